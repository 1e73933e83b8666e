"""Each session at a glance, in one small file: how its recording jobs ended, and what their outputs were made from.

The ledger and the manifests are the truth: some fifty files for a session with four probes. Whoever writes one of them
brings ``.spikepipe/summary.json`` up to date with it, so that ten thousand sessions are read in seconds. The
summary carries the modification times of the folders that it was made from: where a folder has another one (a process
was killed, a person removed something) the session is read anew.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from spikepipe_core.store import Manifest, Outcome, SessionEntry, Store, digest
from spikepipe_core.store.files import replace_file
from spikepipe_core.store.publish import STATE

FILE, FORMAT = "summary.json", 1

Ended = Literal["ok", "empty", "skipped", "failed"]
"""`empty`: nothing was made because the params ask for nothing; stages below go on."""

_ORDER = {"failed": 0, "skipped": 1, "empty": 2, "ok": 2}
"""A failure tells more of a recording job than a skip, and a skip more than what went well."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a published output was made from, as far as staleness needs it.

    Attributes
    ----------
    settings : str
        Digest of the params that reached it.
    used : sequence of str
        Stages whose outputs it was made from, as they are now.
    changed : mapping of str to str
        Stages whose outputs it was made from and that are others now, with how so in words.
    """

    code: str
    settings: str
    used: Sequence[str]
    changed: Mapping[str, str]


class Told(NamedTuple):
    """The outcome that says most of a job: the first failure, else the first skip, else the latest.

    Attributes
    ----------
    has_output : bool
        Something was published, if only that there is nothing to make.
    """

    stage: str
    outcome: str
    reason: str
    at: str
    has_output: bool
    run_id: str | None
    log: str | None


@dataclass(frozen=True, slots=True)
class JobSummary:
    """How a recording job, or the session's own stages (`probe` is None), ended.

    Attributes
    ----------
    outcomes : mapping of str to str
        How it ended at each stage that it came to.
    made : mapping of str to Made
        Its published outputs.
    seconds : float
        What making its outputs took, failed attempts included.
    """

    session: str
    session_folder: str
    probe: str | None
    outcomes: Mapping[str, Ended]
    made: Mapping[str, Made]
    told: Told | None
    seconds: float


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """A registered session.

    Attributes
    ----------
    data : Path
        The data root.
    folders : tuple of str
        See `SessionEntry.folders`.
    jobs : tuple of JobSummary
        One a registered probe, in order.
    own : JobSummary
        The stages of the whole session.
    """

    session: str
    session_folder: str
    data: Path
    folders: tuple[str, ...]
    jobs: tuple[JobSummary, ...]
    own: JobSummary

    @property
    def all(self) -> tuple[JobSummary, ...]:
        """All jobs, the session's own last."""
        return (*self.jobs, self.own)


def read_sessions(
    store: Store, session: str | None = None, say: Callable[[str], None] = lambda _: None
) -> list[SessionSummary]:
    """All registered sessions (or one), ordered by key.

    Parameters
    ----------
    say : callable
        Told once if summaries have to be made anew, which takes longer than reading them.
    """
    found: list[SessionSummary] = []
    told = False
    with _without_collecting():
        for folder in _session_folders(store, session):
            summaries = _read(store, folder)
            if summaries is None:
                if not told:
                    say("reading ledger and manifests anew where they changed")
                    told = True
                summaries = write_summary(store, folder, read_truth(store, folder))
            found += summaries
    chosen = [one for one in found if session in (None, one.session)]
    return sorted(chosen, key=lambda one: one.session)


def last_change(store: Store) -> tuple[int, int]:
    """How many session folders there are, and when the ledger of one of them changed last (ns since 1970).

    Takes a look at each folder, and reads none: whoever shows the ledger again and again asks this first.
    """
    root, newest = store.results.root, 0
    folders = _session_folders(store, None)
    for folder in [*folders, ""]:
        with suppress(OSError):
            newest = max(newest, os.stat(f"{root}/{folder}/{STATE}").st_mtime_ns)  # noqa: PTH116 - thousands
    return len(folders), newest


@dataclass(frozen=True)
class Truth:
    """All that a session folder says of itself.

    Attributes
    ----------
    seen : dict of str to int
        Modification time in ns of every folder that was read, taken before: a change meanwhile will show.
    """

    seen: Mapping[str, int]
    entries: Sequence[SessionEntry]
    manifests: Sequence[Manifest]
    outcomes: Sequence[Outcome]


def read_truth(store: Store, session_folder: str) -> Truth:
    """Read registry, manifests and ledger of a session folder; outcomes and manifests in the order of time."""
    seen = _seen(_state(store, session_folder))
    outcomes = store.ledger.outcomes_in(session_folder)
    return Truth(
        seen,
        store.registry.sessions_in(session_folder),
        store.results.manifests(session_folder),
        sorted(outcomes, key=lambda outcome: outcome.at),
    )


def write_summary(store: Store, session_folder: str, truth: Truth) -> list[SessionSummary]:
    """Bring the summary of a session folder up to date, if this process may write there."""
    sessions = [_session(entry, truth) for entry in truth.entries]
    content = {"format": FORMAT, "seen": truth.seen, "sessions": sessions}
    with suppress(OSError):  # a person who may only read still gets an answer
        replace_file(_state(store, session_folder) / FILE, json.dumps(content, separators=(",", ":")))
    return [_parsed(one, session_folder) for one in sessions]


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Let Python not look for garbage while hundreds of thousands of objects are made: half of the time otherwise."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _session_folders(store: Store, session: str | None) -> list[str]:
    root = store.results.root
    if session is not None:
        entry = store.registry.find(session)
        return [entry.session_folder] if entry else []
    if not root.is_dir():
        return []
    return sorted(
        entry.name for entry in os.scandir(root) if not entry.name.startswith(".") and entry.is_dir()
    )


def _state(store: Store, session_folder: str) -> Path:
    return store.results.root / session_folder / STATE


def _read(store: Store, session_folder: str) -> list[SessionSummary] | None:
    """The summary as it is on disk; None if there is none that is still true; empty if this is no session's."""
    try:
        state = os.open(f"{store.results.root}/{session_folder}/{STATE}", os.O_RDONLY)
    except OSError:
        return []
    try:  # relative to an open folder the twenty looks take a third of the time
        with os.fdopen(os.open(FILE, os.O_RDONLY, dir_fd=state), "rb") as file:
            content = json.loads(file.read())
        if content["format"] != FORMAT:
            return None
        for folder, changed in content["seen"].items():
            if os.stat(folder, dir_fd=state).st_mtime_ns != changed:
                return None
        return [_parsed(one, session_folder) for one in content["sessions"]]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    finally:
        os.close(state)


def _seen(state: Path) -> dict[str, int]:
    """Modification time in ns of every folder whose files decide."""
    seen: dict[str, int] = {}
    for top, depth in (("sessions", 0), ("ledger", 2), ("manifests", 1)):
        with suppress(OSError):
            (state / top).mkdir(exist_ok=True)  # a folder that comes later would not be noticed
        seen |= dict(_times(state, top, depth))
    return seen


def _times(state: Path, folder: str, depth: int) -> Iterator[tuple[str, int]]:
    try:
        yield folder, (state / folder).stat().st_mtime_ns
        if depth:
            for entry in sorted(os.scandir(state / folder), key=lambda entry: entry.name):
                if entry.is_dir():
                    yield from _times(state, f"{folder}/{entry.name}", depth - 1)
    except FileNotFoundError:
        return


# --- made from the ledger and the manifests --------------------------------------------------------------------


class _Rows:
    """Rows that many jobs share, each kept once, as JSON: equal texts are parsed once for all sessions."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def place(self, row: Mapping[str, Any]) -> int:
        text = json.dumps(row, sort_keys=True, separators=(",", ":"))
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text)


def _session(entry: SessionEntry, truth: Truth) -> dict[str, Any]:
    ledger = [outcome for outcome in truth.outcomes if outcome.session == entry.session]
    published = {
        (m.probe, m.stage): m
        for m in truth.manifests
        if m.session == entry.session and m.name == _name(entry, m.probe)
    }
    shared = _Rows()
    jobs = []
    for probe in (*entry.probes, None):
        outcomes = {outcome.stage: outcome for outcome in ledger if outcome.probe == probe}
        own = {stage: m for (whose, stage), m in published.items() if whose == probe}
        told = _telling(outcomes.values())
        jobs.append(
            {
                "probe": probe,
                "outcomes": shared.place({stage: _ended(outcome) for stage, outcome in outcomes.items()}),
                "made": shared.place(_made(entry, probe, own, published, ledger)),
                "told": told,
                "seconds": round(_seconds(outcomes, own), 3),
            }
        )
    return {
        "session": entry.session,
        "data": str(entry.data),
        "folders": entry.folders,
        "jobs": jobs,
        "shared": shared.texts,
    }


def _name(entry: SessionEntry, probe: str | None) -> str | None:
    if probe is None:
        return entry.session
    job = entry.job(probe)
    return job.recording_name if job else None


def _ended(outcome: Outcome) -> Ended:
    if outcome.outcome == "skipped" and outcome.data_version is not None:
        return "empty"
    return outcome.outcome


def _telling(outcomes: Iterable[Outcome]) -> Told | None:
    causes = [outcome for outcome in outcomes if outcome.because_of is None]
    if not causes:
        return None
    worst = min(_ORDER[_ended(outcome)] for outcome in causes)
    alike = [outcome for outcome in causes if _ORDER[_ended(outcome)] == worst]
    by_time = sorted(alike, key=lambda outcome: outcome.at)
    one = by_time[-1] if worst == _ORDER["ok"] else by_time[0]
    return Told(
        one.stage,
        one.outcome,
        one.reason,
        one.at.isoformat(),
        one.data_version is not None,
        one.run_id,
        one.log,
    )


def _seconds(outcomes: Mapping[str, Outcome], made: Mapping[str, Manifest]) -> float:
    failed = [o.duration_s for o in outcomes.values() if o.outcome == "failed"]
    return sum(m.duration_s for m in made.values()) + sum(failed)


def _made(
    entry: SessionEntry,
    probe: str | None,
    own: Mapping[str, Manifest],
    published: Mapping[tuple[str | None, str], Manifest],
    ledger: Sequence[Outcome],
) -> dict[str, list[Any]]:
    """The fields of `Made` of every published output of a job."""
    there = _of_probe(own) if probe else _of_session(entry, published, ledger)
    return {
        stage: [manifest.code_version, digest(manifest.settings), *_used_and_changed(manifest, there)]
        for stage, manifest in own.items()
    }


def _of_probe(own: Mapping[str, Manifest]) -> dict[str, dict[str, str]]:
    """Data versions that a stage of a probe would find, by stage and name among its inputs."""
    return {stage: {stage: manifest.data_version} for stage, manifest in own.items()}


def _of_session(
    entry: SessionEntry, published: Mapping[tuple[str | None, str], Manifest], ledger: Sequence[Outcome]
) -> dict[str, dict[str, str]]:
    """Data versions that a stage of the session would find: of every probe, or that it is left out."""
    found: dict[str, dict[str, str]] = {}
    for outcome in ledger:
        if outcome.probe in entry.probes and _ended(outcome) == "skipped":
            found.setdefault(outcome.stage, {})[f"{outcome.probe}/{outcome.stage}"] = "skipped"
    for (probe, stage), manifest in published.items():
        if probe is not None:
            found.setdefault(stage, {})[f"{probe}/{stage}"] = manifest.data_version
    return found


def _used_and_changed(
    manifest: Manifest, there: Mapping[str, Mapping[str, str]]
) -> tuple[list[str], dict[str, str]]:
    used, changed = [], {}
    for stage, versions in there.items():
        if not any(name in manifest.inputs for name in versions):
            continue
        different = [name for name, now in versions.items() if manifest.inputs.get(name) != now]
        if different:
            name = different[0]
            changed[stage] = changed_input(name, manifest.inputs.get(name), versions[name])
        else:
            used.append(stage)
    return sorted(used), changed


def changed_input(name: str, before: str | None, now: str | None) -> str:
    """In words, how an input is not the one that an output was made from."""
    if now == "skipped":
        return f"{name} is left out now"
    if before in (None, "skipped", "missing"):
        return f"{name} was not there when it was made"
    return f"{name} has been made again and is another one"


# --- read again ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _row(text: str) -> Any:
    """Outcomes by stage, or `Made` by stage."""
    row = json.loads(text)
    return {stage: Made(*value) if isinstance(value, list) else value for stage, value in row.items()}


def _parsed(content: Mapping[str, Any], session_folder: str) -> SessionSummary:
    session = content["session"]
    rows = [_row(text) for text in content["shared"]]
    jobs = tuple(
        JobSummary(
            session,
            session_folder,
            job["probe"],
            rows[job["outcomes"]],
            rows[job["made"]],
            job["told"] and Told(*job["told"]),
            job["seconds"],
        )
        for job in content["jobs"]
    )
    return SessionSummary(
        session, session_folder, Path(content["data"]), tuple(content["folders"]), jobs[:-1], jobs[-1]
    )
