"""The store: results, scratch, registry and ledger of one deployment, behind one object."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from spikepipe_core.store.ledger import Ledger
from spikepipe_core.store.publish import Area
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
