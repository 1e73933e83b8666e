"""What may be removed: traces that nothing needs, leftovers of killed writers, outputs of jobs that are no more.

Nothing here removes what somebody writes at the moment: every removal is made under the lock of its output. What is
not ours (no manifest, no temporary name) is left alone.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from spikepipe_core.errors import OutputBusyError
from spikepipe_core.overview import ParamsOf, lines, stale_outputs
from spikepipe_core.params import Params
from spikepipe_core.stages.stage import Stage
from spikepipe_core.store import Area, OutputRef, SessionEntry, Store
from spikepipe_core.store.files import remove
from spikepipe_core.store.publish import STATE
from spikepipe_core.summary import SessionSummary, read_sessions

Kind = Literal["traces", "leftover", "orphan", "output"]

KINDS: dict[Kind, str] = {
    "traces": "scratch files that no step needs any more",
    "leftover": "temporary files of interrupted runs",
    "orphan": "outputs of recording jobs that are no longer registered",
    "output": "outputs that can be made again, as storage.keep says",
}

TEMPORARY = re.compile(r"\.(?:tmp|old)-[0-9a-f]{8}-(.+)")

OLD_S = 86_400.0
"""A temporary name of which nobody knows the output is removed when it is a day old (ours)."""


@dataclass(frozen=True)
class Removable:
    """Something that may be removed.

    Attributes
    ----------
    size : int
        Bytes.
    carry_out : callable
        Removes it; raises `OutputBusyError` if somebody is at work on it.
    """

    kind: Kind
    path: Path
    why: str
    size: int
    carry_out: Callable[[], object]


def find_removable(
    store: Store,
    stages: Mapping[str, Stage],
    params_of: ParamsOf,
    *,
    traces: bool = True,
    released: Collection[str] = (),
) -> Iterator[Removable]:
    """Everything that may be removed now.

    Parameters
    ----------
    traces : bool
        Whether traces that no step needs may go.
    released : collection of str
        Names of outputs whose files may go when everything of their session is made and up to date.
    """
    sessions = read_sessions(store)
    settled = _settled(sessions, stages, store, params_of)
    registered = {folder: store.registry.sessions_in(folder) for folder in _folders(store.results.root)}
    if traces:
        yield from _scratch(store, stages, sessions, registered)
    for folder, entries in registered.items():
        yield from _leftovers(store.results, stages, folder, entries)
        if entries:
            yield from _orphans(store, folder, entries)
        for entry in entries:
            if entry.session in settled and released:
                yield from _releasable(store, stages, entry, released)


def removable_traces(store: Store, stages: Mapping[str, Stage]) -> Iterator[Removable]:
    """What may be removed of scratch; looks only at sessions that have something there."""
    folders = _folders(store.scratch.root)
    registered = {folder: store.registry.sessions_in(folder) for folder in folders}
    names = [entry.session for entries in registered.values() for entry in entries]
    sessions = [summary for name in names for summary in read_sessions(store, name)]
    return _scratch(store, stages, sessions, registered)


def _folders(root: Path) -> list[str]:
    """Session folders that spikepipe has made in a root."""
    if not root.is_dir():
        return []
    names = [entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith(".")]
    return sorted(name for name in names if (root / name / STATE).is_dir())


def _settled(
    sessions: list[SessionSummary], stages: Mapping[str, Stage], store: Store, params_of: ParamsOf
) -> set[str]:
    """Sessions of which every output is made (or left out by rule) and none is out of date."""
    open_ones = {line.session for line in lines(sessions, stages) if line.outcome not in ("ok", "skipped")}
    open_ones |= {one.session for one in stale_outputs(sessions, stages, store, params_of)}
    return {session.session for session in sessions} - open_ones


# --- scratch -------------------------------------------------------------------------------------------------------


def _scratch(
    store: Store,
    stages: Mapping[str, Stage],
    sessions: list[SessionSummary],
    registered: Mapping[str, list[SessionEntry]],
) -> Iterator[Removable]:
    """Scratch of every recording job that is done, or is no more."""
    ended = {
        (line.session, line.probe): line.outcome in ("ok", "skipped") for line in lines(sessions, stages)
    }
    for folder in _folders(store.scratch.root):
        jobs = {
            job.recording_name: (entry, job) for entry in registered.get(folder, []) for job in entry.jobs
        }
        for place in sorted((store.scratch.root / folder).iterdir()):
            if place.name == STATE or not place.is_dir():
                continue
            if place.name not in jobs:
                held = [_traces(folder, place.name)]
                why = "no recording job of this name is registered"
                yield Removable("traces", place, why, size_of(place), _removal(store.scratch, held, place))
                continue
            entry, job = jobs[place.name]
            if ended.get((entry.session, job.probe)):
                outputs = [stage.ref(entry, job) for stage in stages.values() if stage.scope == "probe"]
                why = f"every step of {entry.session} / {job.probe} is done"
                yield Removable(
                    "traces",
                    place,
                    why,
                    size_of(place),
                    _removal(store.scratch, [_traces(folder, place.name)], place, store.results, outputs),
                )


def _traces(folder: str, name: str) -> OutputRef:
    return OutputRef(folder, "traces", name, f"{name}/traces")


def _removal(
    scratch: Area,
    held: list[OutputRef],
    place: Path,
    results: Area | None = None,
    outputs: Collection[OutputRef] = (),
) -> Callable[[], None]:
    """Remove a job's scratch while nobody makes any of its outputs; the manifest of the traces first."""

    def carry_out() -> None:
        with ExitStack() as locks:
            for area, refs in ((results, outputs), (scratch, held)):
                for ref in refs:
                    assert area is not None, "outputs come with their area"
                    locks.enter_context(area.lock(ref, timeout_s=0))
            for ref in held:
                scratch.discard(ref)
            remove(place)

    return carry_out


# --- results -------------------------------------------------------------------------------------------------------


def _leftovers(
    area: Area, stages: Mapping[str, Stage], folder: str, entries: list[SessionEntry]
) -> Iterator[Removable]:
    """Temporary names: of an output that we know, cleared as its next start would; else removed when old."""
    known = {
        area.path(stage.ref(entry, job)): stage.ref(entry, job)
        for entry in entries
        for job in (*entry.jobs, None)
        for stage in stages.values()
        if (stage.scope == "session") == (job is None)
    }
    for path in _temporaries(area.root / folder):
        final = path.with_name(TEMPORARY.fullmatch(path.name)[1])  # type: ignore[index]
        ref = known.get(final)
        if ref is not None:
            why = "a run was killed while it wrote this"
            yield Removable("leftover", path, why, size_of(path), _recovery(area, ref))
        elif time.time() - path.stat().st_mtime > OLD_S:
            yield Removable(
                "leftover",
                path,
                "older than a day, and of no output",
                size_of(path),
                partial(remove, path),
            )


def _temporaries(folder: Path) -> Iterator[Path]:
    """Temporary names in a session's folder; what is inside an output is not looked at."""
    for place, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            if TEMPORARY.fullmatch(name):
                yield Path(place, name)
        folders[:] = [
            name
            for name in folders
            if name != STATE and not TEMPORARY.fullmatch(name) and not name.endswith(".zarr")
        ]


def _recovery(area: Area, ref: OutputRef) -> Callable[[], None]:
    def carry_out() -> None:
        with area.lock(ref, timeout_s=0):
            area.recover(ref)

    return carry_out


def _orphans(store: Store, folder: str, entries: list[SessionEntry]) -> Iterator[Removable]:
    """Outputs under names that no registered job has, such as those of shanks that are no longer split."""
    names = {job.recording_name for entry in entries for job in entry.jobs}
    names |= {entry.session for entry in entries}
    for manifest in store.results.manifests(folder):
        if manifest.name not in names:
            ref = OutputRef(folder, manifest.stage, manifest.name, manifest.path)
            path = store.results.path(ref)
            why = f"no recording job is named {manifest.name} any more"
            yield Removable("orphan", path, why, size_of(path), _discarding(store.results, ref))


def _discarding(area: Area, ref: OutputRef) -> Callable[[], None]:
    def carry_out() -> None:
        with area.lock(ref, timeout_s=0):
            area.discard(ref)

    return carry_out


def _releasable(
    store: Store, stages: Mapping[str, Stage], entry: SessionEntry, released: Collection[str]
) -> Iterator[Removable]:
    for job in entry.jobs:
        for name in released:
            ref = stages[name].ref(entry, job, Params())
            manifest = store.results.read_manifest(ref)
            if manifest is not None and manifest.empty is None and manifest.released is None:
                path = store.results.path(ref)
                size = sum(record.size for record in manifest.files.values())
                why = (
                    f"storage.keep.{name} is while_needed, and all of {entry.session} is made and up to date"
                )
                yield Removable("output", path, why, size, _releasing(store.results, ref))


def _releasing(area: Area, ref: OutputRef) -> Callable[[], None]:
    def carry_out() -> None:
        with area.lock(ref, timeout_s=0):
            area.release(ref)

    return carry_out


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if not path.is_dir():
        return path.stat().st_size if path.exists() else 0
    return sum(Path(place, name).lstat().st_size for place, _, names in os.walk(path) for name in names)


def remove_all(found: list[Removable], say: Callable[[str], None] = lambda _: None) -> int:
    """Remove what was found, as far as nobody is at work on it.

    Returns
    -------
    int
        Bytes removed.
    """
    removed = 0
    for one in found:
        try:
            one.carry_out()
            removed += one.size
        except OutputBusyError:
            say(f"{one.path}: in use, left as it is")
    return removed
