"""What an entry says about a spike sorter: all that spikepipe needs to know of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Memory", "Repeats", "Sorter"]

Repeats = Literal["always", "on a CPU", "unknown"]


@dataclass(frozen=True)
class Memory:
    """Memory of a step in GiB.

    Attributes
    ----------
    base : float
        Whatever the recording: the libraries.
    worker : float
        For each worker and 100 channels: its chunk, filtered.
    hour : float
        For each hour of 100 channels: spikes and what is kept of them.
    bins : float
        For each hour, whatever the channels: matrices over time bins.
    """

    base: float
    worker: float = 0.0
    hour: float = 0.0
    bins: float = 0.0


@dataclass(frozen=True)
class Sorter:
    """A spike sorter.

    Attributes
    ----------
    name : str
        As the params file spells it.
    spikeinterface_name : str
        As `spikeinterface.sorters.run_sorter` spells it.
    title : str
        As people write it.
    parameters : mapping
        Defaults of its ``sorter`` object in the params, where they are not SpikeInterface's own.
    known_parameters : frozenset of str
        Names beyond those of `parameters` that SpikeInterface has, to tell without importing it.
    takes_null : frozenset of str
        Parameters for which null means something, although it is not SpikeInterface's default.
    without_drift_correction : mapping
        Parameters that switch its own drift correction off; those it does not have are left out.
    gpu : bool
        Uses a GPU when there is one.
    memory : Memory
        What a pod for it needs.
    repeats : {"always", "on a CPU", "unknown"}
        Where the same traces, parameters and versions give the same units again.
    container : str or None
        Image that SpikeInterface can run it in, where it is not installed.
    install : str
        How to make it runnable.
    nothing_found : tuple of str
        What its error says when it finds too few spikes to sort, as regular expressions.
    wrapper : callable, optional
        Returns the subclass of SpikeInterface's `BaseSorter` that runs it, for one that SpikeInterface does not have.
    """

    name: str
    spikeinterface_name: str
    title: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    known_parameters: frozenset[str] = frozenset()
    takes_null: frozenset[str] = frozenset()
    without_drift_correction: Mapping[str, Any] = field(default_factory=dict)
    gpu: bool = False
    memory: Memory = Memory(4.0, 1.0, 3.0)
    repeats: Repeats = "unknown"
    container: str | None = None
    install: str = "install it as SpikeInterface's documentation describes"
    nothing_found: tuple[str, ...] = ()
    wrapper: Callable[[], type] | None = None
