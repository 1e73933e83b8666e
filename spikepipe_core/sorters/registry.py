"""All sorters that can be named: the built-in entries, those of other packages, and what SpikeInterface has.

Another package adds a sorter by an entry point of the group ``spikepipe.sorters`` whose name is the sorter's and whose
value is a `Sorter`::

    [project.entry-points."spikepipe.sorters"]
    mysorter = "mypackage.spikepipe:MYSORTER"

Importing this module imports neither SpikeInterface nor those packages; an entry is loaded when its sorter is named.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from spikepipe_core.errors import NotAvailableError

from .entry import Sorter
from .kilosort4 import KILOSORT4
from .kilosort25 import KILOSORT25
from .lupin import LUPIN
from .spykingcircus2 import SPYKINGCIRCUS2

__all__ = [
    "BUILT_IN",
    "ENTRY_POINTS",
    "has_entry",
    "is_known",
    "known_sorters",
    "named_sorters",
    "sorter_entry",
]

ENTRY_POINTS = "spikepipe.sorters"

BUILT_IN = {sorter.name: sorter for sorter in (KILOSORT4, KILOSORT25, SPYKINGCIRCUS2, LUPIN)}

_ANY_DRIFT_SWITCH = {"apply_motion_correction": False, "do_correction": False, "nblocks": 0}
"""What sorters in SpikeInterface call their drift correction."""


def named_sorters() -> list[str]:
    """Names of the sorters that have an entry, here or in another package."""
    return [*BUILT_IN, *(name for name in _others() if name not in BUILT_IN)]


def has_entry(name: str) -> bool:
    """Whether a sorter has an entry, here or in another package."""
    return name in BUILT_IN or name in _others()


def is_known(name: str) -> bool:
    """Whether there is a sorter of this name; asks SpikeInterface only about names without an entry."""
    return has_entry(name) or name in _of_spikeinterface()


def known_sorters() -> list[str]:
    """Every name that a sorter can have, those with an entry first."""
    named = named_sorters()
    return [*named, *(name for name in _of_spikeinterface() if name not in named)]


def sorter_entry(name: str) -> Sorter:
    """The entry of a sorter; a generic one for those that only SpikeInterface knows.

    Raises
    ------
    NotAvailableError
        Another package's entry cannot be loaded, or is none.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    if name in _others():
        return _load(name)
    return Sorter(name, name, without_drift_correction=_ANY_DRIFT_SWITCH)


@cache
def _others() -> dict[str, str]:
    """Entry points of other packages: sorter's name to where its entry is."""
    return {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}


@cache
def _load(name: str) -> Sorter:
    point = next(point for point in entry_points(group=ENTRY_POINTS) if point.name == name)
    package = point.dist.name if point.dist else "another package"
    try:
        entry = point.load()
    except Exception as error:  # whatever another package does when it is imported
        raise NotAvailableError(
            f"spikesorting.sorter: the entry of {name} ({point.value}, of {package}) cannot be loaded: "
            f"{type(error).__name__}: {error}. Repair or remove {package}."
        ) from error
    if not isinstance(entry, Sorter) or entry.name != name:
        found = f"one of {entry.name!r}" if isinstance(entry, Sorter) else f"a {type(entry).__name__}"
        raise NotAvailableError(
            f"spikesorting.sorter: {point.value} of {package} should be the entry of {name}, "
            f"a spikepipe_core.sorters.Sorter of that name; it is {found}."
        )
    return entry


@cache
def _of_spikeinterface() -> tuple[str, ...]:
    """Sorters that SpikeInterface has, without those that go by another name here."""
    from spikeinterface.sorters import available_sorters

    renamed = {entry.spikeinterface_name for entry in BUILT_IN.values()} - BUILT_IN.keys()
    return tuple(name for name in available_sorters() if name not in renamed)
