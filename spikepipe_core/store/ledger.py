"""The ledger: how every recording job ended at every stage, with the reason in words."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spikepipe_core.store.files import write_json
from spikepipe_core.store.publish import STATE

SESSION_LEVEL = "_session"
"""Folder name that stands for "all probes": no probe key begins with an underscore."""

Verdict = Literal["ok", "skipped", "failed"]


class Outcome(BaseModel):
    """How one recording job (or session) ended at one stage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: str
    probe: str | None
    stage: str
    outcome: Verdict
    reason: str = Field(description="In words: what was made, which rule skipped it, or what went wrong.")
    at: datetime
    duration_s: float = 0.0
    reused: bool = False
    data_version: str | None = None
    because_of: str | None = Field(default=None, description="The stage above that decided this outcome.")
    run_id: str | None = Field(default=None, description="The Dagster run.")
    log: str | None = Field(default=None, description="Where the log is.")


class Ledger:
    """Outcomes under the results root, one small file each: no shared file to lock, nothing to corrupt."""

    def __init__(self, root: Path):
        self.root = Path(root)

    def write(self, session_folder: str, outcome: Outcome) -> None:
        """Record an outcome; it replaces the previous one of the same job and stage."""
        write_json(
            self._path(session_folder, outcome.session, outcome.probe, outcome.stage),
            outcome.model_dump(mode="json"),
        )

    def forget(self, session_folder: str, outcome: Outcome) -> None:
        """Remove an outcome whose cause is gone."""
        self._path(session_folder, outcome.session, outcome.probe, outcome.stage).unlink(missing_ok=True)

    def read(self, session_folder: str, session: str, probe: str | None, stage: str) -> Outcome | None:
        """The latest outcome, None if the stage never ended for this job."""
        return _load(self._path(session_folder, session, probe, stage))

    def outcomes(self, session_folder: str, session: str) -> list[Outcome]:
        """All outcomes of a session, ordered by probe and stage."""
        folder = self.root / session_folder / STATE / "ledger" / session
        found = [_load(path) for path in sorted(folder.glob("*/*.json"))]
        return [outcome for outcome in found if outcome is not None]

    def outcomes_in(self, session_folder: str) -> list[Outcome]:
        """All outcomes in a session folder, of every session that it holds."""
        found = map(_load, sorted((self.root / session_folder / STATE / "ledger").glob("*/*/*.json")))
        return [outcome for outcome in found if outcome is not None]

    def _path(self, session_folder: str, session: str, probe: str | None, stage: str) -> Path:
        state = self.root / session_folder / STATE
        return state / "ledger" / session / (probe or SESSION_LEVEL) / f"{stage}.json"


def _load(path: Path) -> Outcome | None:
    try:
        return Outcome.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
