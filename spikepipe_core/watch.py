"""Watching data roots: which sessions are new and complete, which known ones have got more probes.

A data root holds one folder (or one NWB file) a session. A session is complete when its folder has the marker file,
or when two looks at least the settle time apart see the same files. Its recording jobs are then discovered and
registered, and each one that nobody has asked for yet is handed out once.

`Watch.look` does a bounded amount of work, so that any number of folders can be gone through look by look. What it
remembers between looks (`watch.json` beside the results) only saves work: without it, folders are looked at again,
and nothing is handed out twice, because the caller knows which recording jobs it has asked for.

A folder that cannot be read gets a line in the ledger, at the stage `discovery` (as skipped, if it is in no format that
is known), and is tried again when its files change, or after a time that doubles with each attempt.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spikepipe_core.errors import BadDataError, SpikepipeError
from spikepipe_core.ingest import RecordingJob
from spikepipe_core.ingest.discovery import NotRecognisedError, discover_session, session_members
from spikepipe_core.ingest.naming import safe_key
from spikepipe_core.ingest.signature import folder_signature
from spikepipe_core.params import JobDispatchParams
from spikepipe_core.store import Outcome, SessionEntry, Store, digest, session_entries
from spikepipe_core.store.files import write_json
from spikepipe_core.store.ledger import Verdict
from spikepipe_core.store.publish import STATE

DISCOVERY = "discovery"
"""Stage name of the ledger's line for a folder that cannot be read."""

AGAIN = "|"
"""Stands in a key before the digest of a recording job whose files were repaired; no session or probe has it."""

MEMORY, ATTEMPT = "watch.json", "watch-attempt.json"

FIRST_RETRY_S, LAST_RETRY_S = 60.0, 6 * 3600.0
"""Wait after a first and, doubling, at most after any further attempt at a folder that cannot be read (ours)."""

KNOWN_SHARE = 0.025
"""Share of a look's time that is spent on sessions known already, for late probes (ours)."""


@dataclass(frozen=True)
class Wanted:
    """A recording job that is to be processed.

    Attributes
    ----------
    session, probe : str
    key : str
        The same whenever the same recording job is found, so that it can be asked for once.
    """

    session: str
    probe: str
    key: str


@dataclass
class Look:
    """What one look at the data roots found.

    Attributes
    ----------
    registered : list of SessionEntry
        Sessions that were new, or have changed.
    wanted : list of Wanted
        Recording jobs that nobody has asked for yet.
    unreadable : dict of str to str
        Folder to the reason why it could not be read.
    waiting : int
        Folders that are not complete yet, or were not got to.
    """

    registered: list[SessionEntry] = field(default_factory=list)
    wanted: list[Wanted] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    waiting: int = 0


@dataclass(frozen=True)
class _Folder:
    """What is remembered of a folder: what it held, since when, and how often it could not be read."""

    signature: str
    since: float
    known: bool = False
    attempts: int = 0

    def is_due(self, now: float) -> bool:
        """Whether to look again: always while it settles; after a failed attempt when its time has come."""
        return not self.attempts or not 0 <= now - self.since < _retry_after(self.attempts)


class Watch:
    """Looks at data roots for sessions.

    Parameters
    ----------
    roots : sequence of Path
        Folders that hold one folder (or NWB file) a session.
    store : Store
        Where sessions are registered and the ledger is kept.
    dispatch : JobDispatchParams
        How folders become recording jobs.
    settle_s : float
        Seconds for which a folder must stay as it is to be complete; infinite: only the marker counts.
    marker : str, optional
        Name of a file in the session's folder that says that it is complete.
    clock : callable
        Seconds, for tests.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        store: Store,
        dispatch: JobDispatchParams,
        *,
        settle_s: float,
        marker: str | None = None,
        clock: Callable[[], float] = time.time,
    ):
        self._roots, self._store, self._dispatch = [Path(root).resolve() for root in roots], store, dispatch
        self._settle_s, self._marker, self._clock = settle_s, marker, clock
        self._state = store.results.root / STATE

    def look(
        self,
        is_asked_for: Callable[[str, str], bool],
        *,
        accepted: Iterable[str] = (),
        position: str = "",
        seconds: float = 20.0,
        sessions: int = 50,
    ) -> tuple[Look, str]:
        """Look once.

        Parameters
        ----------
        is_asked_for : callable
            Whether a (session, probe) was asked for already.
        accepted : iterable of str
            Keys of recording jobs handed out before for which somebody is seeing to it. All others are handed
            out again: whoever took them may have been killed.
        position : str
            Where the last look at known sessions ended.
        seconds : float
            Time after which no further folder is begun.
        sessions : int
            Sessions to register at most.

        Returns
        -------
        Look
        str
            The position for the next look.
        """
        memory = _Memory.load(self._state / MEMORY)
        self._count_cut_off_attempt(memory)
        found, deadline = Look(wanted=memory.still_wanted(accepted)), time.monotonic() + seconds
        present = self._present(memory, found)
        for path in self._unsettled(memory, present):
            if time.monotonic() > deadline or len(found.registered) >= sessions:
                found.waiting += 1
                continue
            self._look_into(path, memory, found, is_asked_for)
        position = self._look_for_late_probes(memory, present, position, seconds * KNOWN_SHARE)
        memory.want(found.wanted)
        memory.save()
        return found, position

    # --- which folders ---------------------------------------------------------------------------------------

    def _present(self, memory: _Memory, found: Look) -> dict[str, Path]:
        """All members of the roots, by path; what is gone is forgotten."""
        present: dict[str, Path] = {}
        for root in self._roots:
            try:
                paths = {str(path): path for path in session_members(root)}
            except OSError as error:
                found.unreadable[str(root)] = f"the data root cannot be read: {error}"
                continue
            present |= paths
            for gone in [name for name in memory.folders if _is_in(name, root) and name not in paths]:
                self._forget_line(Path(gone))
                memory.forget(gone)
        return present

    def _unsettled(self, memory: _Memory, present: dict[str, Path]) -> list[Path]:
        """Folders that are new, changing, or to be tried again; those that were looked at longest ago first."""
        now, due = self._clock(), []
        for name, path in present.items():
            folder = memory.folders.get(name)
            if folder is None:
                due.append((0.0, path))
            elif not folder.known and folder.is_due(now):
                due.append((folder.since, path))
        return [path for _, path in sorted(due)]

    def _look_for_late_probes(
        self, memory: _Memory, present: dict[str, Path], position: str, seconds: float
    ) -> str:
        """Look at some known sessions, in turn: one whose files have changed must settle once more."""
        known = sorted(name for name, folder in memory.folders.items() if folder.known or folder.attempts)
        later = [name for name in known if name > position]
        deadline = time.monotonic() + seconds
        for name in [*later, *known[: len(known) - len(later)]]:
            if time.monotonic() > deadline:
                return position
            position = name
            if name not in present:
                continue
            try:
                signature = folder_signature(present[name])
            except OSError:
                continue
            if signature != memory.folders[name].signature:
                memory.put(name, _Folder(signature, self._clock()))
        return position

    # --- one folder ------------------------------------------------------------------------------------------

    def _look_into(
        self, path: Path, memory: _Memory, found: Look, is_asked_for: Callable[[str, str], bool]
    ) -> None:
        before, now = memory.folders.get(str(path)), self._clock()
        try:
            signature = folder_signature(path)
        except OSError as error:
            self._give_up(path, before, "", f"{path} cannot be read: {error}", memory, found)
            return
        if before is None or before.signature != signature or now < before.since:
            before = _Folder(signature, now)
            memory.put(str(path), before)
        marked = self._marker is not None and (path / self._marker).exists()
        if not marked and not before.attempts and now - before.since < self._settle_s:
            found.waiting += 1
            return
        try:
            self._register(path, found, is_asked_for)
        except NotRecognisedError as error:
            self._give_up(path, before, signature, str(error), memory, found, "skipped")
        except SpikepipeError as error:
            self._give_up(path, before, signature, str(error), memory, found)
        except Exception as error:  # readers meet untrusted files: one must not stop the others
            self._give_up(path, before, signature, f"{type(error).__name__}: {error}", memory, found)
        else:
            self._forget_line(path)
            memory.put(str(path), _Folder(signature, now, known=True))

    def _register(self, path: Path, found: Look, is_asked_for: Callable[[str, str], bool]) -> None:
        write_json(self._state / ATTEMPT, {"folder": str(path)})
        discovered = discover_session(path, path.parent, self._dispatch)
        for entry in session_entries(discovered.data_root, discovered.jobs):
            before = self._store.registry.read(entry.session_folder, entry.session)
            _refuse_other_root(entry, before)
            merged = _with_earlier_jobs(entry, before)
            if merged != before:
                self._store.registry.add([merged])
            found.registered.append(merged)
            keys = {wanted.key for wanted in found.wanted}
            found.wanted += [w for w in _wanted(merged, before, is_asked_for) if w.key not in keys]
        (self._state / ATTEMPT).unlink()
        if discovered.unreadable:
            raise BadDataError(" ".join(one.reason for one in discovered.unreadable))

    def _give_up(
        self,
        path: Path,
        before: _Folder | None,
        signature: str,
        reason: str,
        memory: _Memory,
        found: Look,
        verdict: Verdict = "failed",
    ) -> None:
        """Say in the ledger why a folder could not be read, and when it will be tried again."""
        (self._state / ATTEMPT).unlink(missing_ok=True)
        attempts = (before.attempts if before else 0) + 1
        memory.put(str(path), _Folder(signature, self._clock(), attempts=attempts))
        found.unreadable[str(path)] = reason
        again = (
            f"Tried {attempts} time(s), again in {_retry_after(attempts) / 60:.0f} min or when files change."
        )
        key = _key(path)
        self._store.ledger.write(
            key,
            Outcome(
                session=key,
                probe=None,
                stage=DISCOVERY,
                outcome=verdict,
                reason=f"{reason} ({again})",
                at=datetime.now(UTC),
            ),
        )

    def _count_cut_off_attempt(self, memory: _Memory) -> None:
        """A look that hung or crashed in a folder is an attempt too: it must not keep the others waiting."""
        try:
            name = json.loads((self._state / ATTEMPT).read_bytes())["folder"]
        except (FileNotFoundError, ValueError, KeyError):
            return
        before = memory.folders.get(name)
        reason = f"{name} could not be looked into: reading it hung, or ended the process"
        self._give_up(Path(name), before, before.signature if before else "", reason, memory, Look())

    def _forget_line(self, path: Path) -> None:
        key = _key(path)
        line = self._store.ledger.read(key, key, None, DISCOVERY)
        if line is not None:
            self._store.ledger.forget(key, line)


def unreadable_folders(store: Store) -> list[Outcome]:
    """The ledger's lines of folders in the data roots that could not be read, as of the last look."""
    memory = _Memory.load(store.results.root / STATE / MEMORY)
    keys = sorted({_key(Path(name)) for name, folder in memory.folders.items() if folder.attempts})
    found = [store.ledger.read(key, key, None, DISCOVERY) for key in keys]
    return [line for line in found if line is not None]


class _Memory:
    """What is remembered between looks: every folder, and what was handed out."""

    def __init__(self, path: Path, folders: dict[str, _Folder], wanted: list[Wanted]):
        self._path, self.folders, self._wanted, self._changed = path, folders, wanted, False

    @classmethod
    def load(cls, path: Path) -> _Memory:
        """Read it; nothing is remembered if there is none, or it is none of ours."""
        try:
            content: dict[str, Any] = json.loads(path.read_bytes())
            folders = {name: _Folder(*values) for name, values in content["folders"].items()}
            return cls(path, folders, [Wanted(*values) for values in content["wanted"]])
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
            return cls(path, {}, [])

    def put(self, name: str, folder: _Folder) -> None:
        self.folders[name], self._changed = folder, True

    def forget(self, name: str) -> None:
        del self.folders[name]
        self._changed = True

    def still_wanted(self, accepted: Iterable[str]) -> list[Wanted]:
        seen_to = set(accepted)
        return [wanted for wanted in self._wanted if wanted.key not in seen_to]

    def want(self, wanted: list[Wanted]) -> None:
        self._changed |= wanted != self._wanted
        self._wanted = list(wanted)

    def save(self) -> None:
        """Write it if anything has changed."""
        if self._changed:
            folders = {name: [*asdict(folder).values()] for name, folder in self.folders.items()}
            write_json(
                self._path, {"folders": folders, "wanted": [[*asdict(w).values()] for w in self._wanted]}
            )


def _is_in(name: str, root: Path) -> bool:
    return os.path.dirname(name) == str(root)  # noqa: PTH120 - thousands a look


def _key(path: Path) -> str:
    """The session key that a folder has if it holds one session."""
    return safe_key(path.stem if path.suffix == ".nwb" else path.name)


def _retry_after(attempts: int) -> float:
    return min(FIRST_RETRY_S * 2 ** (attempts - 1), LAST_RETRY_S)


def _refuse_other_root(entry: SessionEntry, before: SessionEntry | None) -> None:
    """Two folders of one name under two roots would share their results; one that was moved is fine."""
    if before is None or before.data == entry.data:
        return
    if any((before.data / file).exists() for job in before.jobs for file in job.files[:1]):
        raise BadDataError(
            f"session {entry.session!r} is found below {entry.data}, but it is registered with the files below "
            f"{before.data}. Rename one of the two folders."
        )


def _with_earlier_jobs(entry: SessionEntry, before: SessionEntry | None) -> SessionEntry:
    """The session as found now, with the probes whose raw files were archived after they were registered.

    A probe that is not found any more although its files are there goes by another name now.
    """
    archived = tuple(
        job
        for job in (() if before is None else before.jobs)
        if entry.job(job.probe) is None and not any((entry.data / file).exists() for file in job.files)
    )
    return entry.model_copy(update={"jobs": (*entry.jobs, *archived)})


def _wanted(
    entry: SessionEntry, before: SessionEntry | None, is_asked_for: Callable[[str, str], bool]
) -> Iterator[Wanted]:
    """New recording jobs, and those that could not be opened and are another now."""
    for job in entry.jobs:
        key = f"{entry.session}/{job.probe}"
        if not is_asked_for(entry.session, job.probe):
            yield Wanted(entry.session, job.probe, key)
        elif _is_repaired(job, before):
            yield Wanted(entry.session, job.probe, f"{key}{AGAIN}{digest(job.model_dump(mode='json'))}")


def _is_repaired(job: RecordingJob, before: SessionEntry | None) -> bool:
    earlier = before.job(job.probe) if before else None
    return earlier is not None and earlier.problem is not None and job.problem != earlier.problem
