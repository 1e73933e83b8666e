"""Machine code that Numba makes is kept on disk: made once a machine, not once a process.

SpikeInterface compiles its inner loops with Numba's cache off. A step runs in a process of its own, so each of them
would compile the same loops again: 5 to 10 s of processor time on a session of a minute.

The code goes where Numba keeps it: ``NUMBA_CACHE_DIR``, else beside SpikeInterface, else the user's cache folder. Numba
makes it again when its source file, its own version or the processor is another one.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

MODULES = (
    "spikeinterface.curation.auto_merge",
    "spikeinterface.curation.curation_tools",
    "spikeinterface.metrics.quality.misc_metrics",
    "spikeinterface.postprocessing.isi",
    "spikeinterface.postprocessing.localization_tools",
    "spikeinterface.postprocessing.template_similarity",
    "spikeinterface.sortingcomponents.clustering.isosplit_isocut",
    "spikeinterface.sortingcomponents.matching.tdc_peeler",
    "spikeinterface.sortingcomponents.peak_detection.locally_exclusive",
    "spikeinterface.sortingcomponents.peak_detection.matched_filtering",
)
"""Where SpikeInterface 0.105 has functions that Numba compiles and can keep (closures and correlograms it cannot)."""


@cache
def keep_compiled() -> tuple[str, ...]:
    """Turn Numba's cache on for SpikeInterface's compiled functions, once a process, before they are first called.

    Returns
    -------
    tuple of str
        Full names of the functions whose code is kept; none if there is no writable place for it.
    """
    from numba.core.dispatcher import Dispatcher

    kept = []
    for name in MODULES:
        for function in vars(import_module(name)).values():
            if isinstance(function, Dispatcher) and function.py_func.__module__ == name:
                try:
                    function.enable_caching()
                except RuntimeError:
                    return ()  # no locator: a read-only file system without NUMBA_CACHE_DIR; compiling still works
                kept.append(f"{name}.{function.py_func.__qualname__}")
    return tuple(kept)
