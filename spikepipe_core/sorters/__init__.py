"""The spike sorters, one entry each: names, resources, parameters. SpikeInterface's others work by their names."""

from .entry import Memory, Sorter
from .registry import BUILT_IN, has_entry, is_known, known_sorters, named_sorters, sorter_entry

__all__ = [
    "BUILT_IN",
    "Memory",
    "Sorter",
    "has_entry",
    "is_known",
    "known_sorters",
    "named_sorters",
    "sorter_entry",
]
