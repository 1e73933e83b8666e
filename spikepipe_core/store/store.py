"""The store: results, scratch, registry and ledger of one deployment, behind one object."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO

from spikepipe_core.store.ledger import Ledger
from spikepipe_core.store.publish import STATE, Area
from spikepipe_core.store.registry import Registry


class Store:
    """Everything that spikepipe keeps.

    Parameters
    ----------
    results : Path
        What users keep: ``<results>/<session folder>/...``.
    scratch : Path, optional
        Large traces that can be made again; ``<results>/.scratch`` unless given.
    """

    def __init__(self, results: Path, scratch: Path | None = None):
        self.results = Area(Path(results).resolve())
        self.scratch = Area(Path(scratch).resolve() if scratch else self.results.root / ".scratch")

    @cached_property
    def registry(self) -> Registry:
        """Which recording jobs exist."""
        return Registry(self.results.root)

    @cached_property
    def ledger(self) -> Ledger:
        """How each of them ended."""
        return Ledger(self.results.root)

    @contextmanager
    def claim(self, session_folder: str) -> Iterator[None]:
        """Tell others that this process sees to the session's own outputs, until it ends or dies.

        Several processes may claim a session; each output has a lock of its own.
        """
        with self._claim_file(session_folder) as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            yield

    def is_claimed(self, session_folder: str) -> bool:
        """Whether a living process has claimed the session."""
        with self._claim_file(session_folder) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _claim_file(self, session_folder: str) -> IO[str]:
        path = self.results.root / session_folder / STATE / "locks" / "session.claim"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+")
