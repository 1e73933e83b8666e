"""Names of the motion estimate's arguments: those of the methods that the preset, or the params, choose.

Each of SpikeInterface's methods takes its own; all are asked, because the importing is what takes the time.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

__all__ = ["GROUPS", "motion_arguments"]

GROUPS = (
    "detect_kwargs",
    "select_kwargs",
    "localize_peaks_kwargs",
    "estimate_motion_kwargs",
    "interpolate_motion_kwargs",
)
"""The params of `preprocessing.motion_correction` that are handed on."""

_GIVEN = {"self", "cls", "args", "recording", "parents", "return_output", "peaks", "peak_locations", "motion",
          "verbose", "method_kwargs", "job_kwargs", "extra", "direction_dim", "noise_levels"}  # fmt: skip
"""What SpikeInterface or spikepipe fills in itself."""

_OURS = {"estimate_motion_kwargs": {"win_step_norm", "win_scale_norm"}}


@cache
def motion_arguments(group: str, preset: str, method: str | None = None) -> frozenset[str]:
    """Names that one group of arguments may hold.

    Parameters
    ----------
    group : str
        One of `GROUPS`.
    preset : str
        Name of the preset, whose method applies where none is chosen.
    method : str, optional
        The group's own `method`.
    """
    from spikeinterface.preprocessing import get_motion_parameters_preset

    values: Mapping[str, Any] = get_motion_parameters_preset(preset).get(group, {})
    functions = _functions(group, method or values.get("method"))
    names = {name for function in functions for name in inspect.signature(function).parameters}
    kept = {name for name in names if name not in _GIVEN and not name.endswith("_kwargs")}
    return frozenset(kept | set(values) | {"method"} | _OURS.get(group, set()))


def _functions(group: str, method: str | None) -> list[Callable[..., Any]]:
    """What takes the arguments of a group; of all methods where the chosen one is not known."""
    if group == "detect_kwargs":
        from spikeinterface.sortingcomponents.peak_detection.method_list import detect_peak_methods

        return [one.__init__ for one in _chosen(detect_peak_methods, method)]
    if group == "localize_peaks_kwargs":
        from spikeinterface.sortingcomponents.peak_localization.method_list import peak_localization_methods

        return [one.__init__ for one in _chosen(peak_localization_methods, method)]
    if group == "estimate_motion_kwargs":
        from spikeinterface.sortingcomponents.motion.dredge import dredge_ap
        from spikeinterface.sortingcomponents.motion.motion_estimation import (
            estimate_motion,
            estimate_motion_methods,
        )

        chosen = _chosen(estimate_motion_methods, method)
        return [
            estimate_motion,
            *(one.run for one in chosen),
            *([dredge_ap] if method == "dredge_ap" else []),
        ]
    if group == "interpolate_motion_kwargs":
        from spikeinterface.sortingcomponents.motion import InterpolateMotionRecording

        return [InterpolateMotionRecording.__init__]
    from spikeinterface.sortingcomponents.peak_selection import select_peaks

    return [select_peaks]


def _chosen(methods: Mapping[str, Any], name: str | None) -> list[Any]:
    return [methods[name]] if name is not None and name in methods else list(methods.values())
