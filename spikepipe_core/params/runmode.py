"""``--runmode fast``: leave out the slow steps that a first look can do without."""

from __future__ import annotations

import json
from typing import Any, Literal

from .metrics import PCA_METRIC_NAMES
from .model import Params

__all__ = ["RunMode", "apply_runmode"]

RunMode = Literal["full", "fast"]

_SLOW_EXTENSIONS = ("spike_locations", "principal_components")


def apply_runmode(params: Params, runmode: RunMode) -> tuple[Params, list[str]]:
    """Return the params of a run mode, and what it changed in words.

    ``fast`` leaves out motion, ``spike_locations``, ``principal_components``, the metrics that need these two,
    and the LFP; every other value stays as it was. ``full`` changes nothing.
    """
    if runmode == "full":
        return params, []
    data = params.to_dict()
    changes: list[str] = []
    motion = data["preprocessing"]["motion_correction"]
    for key in ("compute", "apply"):
        _set(motion, f"preprocessing.motion_correction.{key}", key, False, changes)
    extensions = data["postprocessing"]["extensions"]
    for name in _SLOW_EXTENSIONS:
        _set(extensions, f"postprocessing.extensions.{name}", name, None, changes)
    _leave_out_metrics(extensions["quality_metrics"], changes)
    _set(data["nwb"]["ecephys"], "nwb.ecephys.write_lfp", "write_lfp", False, changes)
    return Params.model_validate(data), changes


def _leave_out_metrics(quality_metrics: dict[str, Any] | None, changes: list[str]) -> None:
    """Leave out the metrics of principal components, and ``drift``, which needs spike locations."""
    if quality_metrics is None:
        return
    needless = PCA_METRIC_NAMES | {"drift"}
    names = quality_metrics["metric_names"]
    left_out = [name for name in names if name in needless]
    if left_out:
        quality_metrics["metric_names"] = [name for name in names if name not in needless]
        changes.append(f"runmode fast: the quality metrics {', '.join(left_out)} are not computed")


def _set(parent: dict[str, Any], path: str, key: str, value: Any, changes: list[str]) -> None:
    if parent[key] != value:
        changes.append(f"runmode fast: {path} = {json.dumps(value)} (was {_brief(parent[key])})")
        parent[key] = value


def _brief(value: Any) -> str:
    return "{...}" if isinstance(value, dict) else json.dumps(value)
