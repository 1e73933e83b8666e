"""The registry: which recording jobs exist, as discovery found them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest import IgnoredStream, RecordingJob
from spikepipe_core.store.files import write_json
from spikepipe_core.store.publish import STATE


class SessionEntry(BaseModel):
    """A registered session and its recording jobs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: str
    session_folder: str
    data: Path = Field(description="The data root: what every path in the jobs is relative to.")
    jobs: tuple[RecordingJob, ...]
    ignored: tuple[IgnoredStream, ...] = Field(
        default=(), description="Streams of the session folder that are not processed, with reasons."
    )

    @property
    def probes(self) -> tuple[str, ...]:
        """Probe keys of the session, in order."""
        return tuple(job.probe for job in self.jobs)

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders of the raw files and those above, up to the data root (``.``) and relative to it; nearest first."""
        found: dict[str, None] = {}
        for job in self.jobs:
            above = PurePosixPath(job.files[0]).parents if job.files else [PurePosixPath(".")]
            found |= dict.fromkeys(map(str, above))
        return tuple(found)

    def job(self, probe: str) -> RecordingJob | None:
        """The recording job of a probe, None if the session has no such probe."""
        return next((job for job in self.jobs if job.probe == probe), None)


def session_entries(
    data: Path, jobs: tuple[RecordingJob, ...], ignored: tuple[IgnoredStream, ...] = ()
) -> list[SessionEntry]:
    """Discovered jobs, session by session; nothing is written.

    Raises
    ------
    BadDataError
        Two jobs of one session would have the same probe key or recording name.
    """
    sessions = {job.session: job.session_folder for job in jobs}
    entries = [
        SessionEntry(
            session=session,
            session_folder=folder,
            data=data,
            jobs=tuple(job for job in jobs if job.session == session),
            ignored=tuple(stream for stream in ignored if stream.session_folder == folder),
        )
        for session, folder in sessions.items()
    ]
    for entry in entries:
        _refuse_twins(entry)
    return entries


class Registry:
    """Registered sessions under the results root, one file a session."""

    def __init__(self, root: Path):
        self.root = Path(root)

    def add(self, entries: list[SessionEntry]) -> None:
        """Register sessions; one that is known already is replaced by what was found now."""
        for entry in entries:
            write_json(self._path(entry.session_folder, entry.session), entry.model_dump(mode="json"))

    def sessions(self) -> list[SessionEntry]:
        """All registered sessions, ordered by key."""
        found = [_load(path) for path in self.root.glob(f"*/{STATE}/sessions/*.json")]
        return sorted((entry for entry in found if entry), key=lambda entry: entry.session)

    def read(self, session_folder: str, session: str) -> SessionEntry | None:
        """The entry of a session whose folder is known, None if it was never registered."""
        return _load(self._path(session_folder, session))

    def sessions_in(self, session_folder: str) -> list[SessionEntry]:
        """The sessions registered in one session folder, ordered by key."""
        found = [
            _load(path) for path in sorted((self.root / session_folder / STATE / "sessions").glob("*.json"))
        ]
        return [entry for entry in found if entry]

    def find(self, session: str) -> SessionEntry | None:
        """The session's entry, None if it was never registered."""
        folder = session.split("__", 1)[0]
        quick = _load(self._path(session, session)) or _load(self._path(folder, session))
        return quick or next((entry for entry in self.sessions() if entry.session == session), None)

    def _path(self, session_folder: str, session: str) -> Path:
        return self.root / session_folder / STATE / "sessions" / f"{session}.json"


def _load(path: Path) -> SessionEntry | None:
    try:
        return SessionEntry.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _refuse_twins(entry: SessionEntry) -> None:
    for what, values in (
        ("probe key", entry.probes),
        ("recording name", [job.recording_name for job in entry.jobs]),
    ):
        twins = sorted({value for value in values if list(values).count(value) > 1})
        if twins:
            raise BadDataError(
                f"session {entry.session}: the {what} {twins[0]!r} stands for several streams. Rename the "
                "folders of the probes so that their names differ."
            )
