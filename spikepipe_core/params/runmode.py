"""``--runmode fast``: leave out the slow steps that a first look can do without."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

from .metrics import PCA_METRIC_NAMES, SLOW_METRIC_COLUMNS
from .model import Params

__all__ = ["RunMode", "apply_runmode"]

RunMode = Literal["full", "fast"]

_SLOW_EXTENSIONS = ("spike_locations", "principal_components")

_UNITREFINE = re.compile(r"SpikeInterface/UnitRefine_.*")
"""UnitRefine's models on the hub (Jain et al.), which were trained on every metric that SpikeInterface had."""


def apply_runmode(params: Params, runmode: RunMode) -> tuple[Params, list[str]]:
    """Return the params of a run mode, and what it changed in words.

    ``fast`` leaves out motion, ``spike_locations``, ``principal_components``, what needs these two (metrics, the
    classifiers trained on them, a query over them), and the LFP; every other value stays as it was. ``full``
    changes nothing.
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
    _leave_out_labels(data["curation"], changes)
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


def _leave_out_labels(curation: dict[str, Any], changes: list[str]) -> None:
    """Leave out the labels that are decided by metrics which are not computed."""
    if SLOW_METRIC_COLUMNS.intersection(re.findall(r"\w+", curation["query"] or "")):
        _set(curation, "curation.query", "query", None, changes)
    for key in ("noise_neural_classifier", "sua_mua_classifier"):
        if curation[key] and _needs_slow_metrics(curation[key]):
            _set(curation, f"curation.{key}", key, None, changes)


def _needs_slow_metrics(classifier: str) -> bool:
    """Whether a classifier was trained on metrics that ``fast`` leaves out, as far as can be known without it."""
    info = Path(classifier).expanduser() / "model_info.json"
    try:
        trained_on = json.loads(info.read_bytes())["metric_params"]["quality_metric_params"]["metric_names"]
        return bool(SLOW_METRIC_COLUMNS.intersection(trained_on))
    except (OSError, ValueError, KeyError, TypeError):
        return _UNITREFINE.fullmatch(classifier) is not None


def _set(parent: dict[str, Any], path: str, key: str, value: Any, changes: list[str]) -> None:
    if parent[key] != value:
        changes.append(f"runmode fast: {path} = {json.dumps(value)} (was {_brief(parent[key])})")
        parent[key] = value


def _brief(value: Any) -> str:
    return "{...}" if isinstance(value, dict) else json.dumps(value)
