"""Bring the content of an older params file to today's layout, and say in words what changed.

The older layouts are those of the AIND ephys pipeline, versions 1.0 to 1.4
(https://github.com/AllenNeuralDynamics/aind-ephys-pipeline). Nothing is left out without a word; a value that
is merely wrong is left as it is, for validation to name.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["OLDER_KEYS", "migrate"]

OLDER_KEYS = (
    "pipeline_version",
    "job_dispatch.t_start",
    "job_dispatch.t_stop",
    "preprocessing.default_preprocessing_pipeline",
    "preprocessing.motion",
    "preprocessing.motion_correction.temporal_bin_s",
    "spikesorting.kilosort2_5",
    "postprocessing.extensions.noise_levels.random_slices_kwargs",
    "curation.qc_thresholds",
    "curation.unitrefine",
    "nwb.backend",
)
"""Keys by which the editor's page tells an older layout where it has no Python to ask."""


def migrate(raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the content in today's layout and what was changed, one sentence a change.

    Parameters
    ----------
    raw : dict
        Content of a params file, whole or partial, of any layout. It is not modified.

    Returns
    -------
    today : dict
    changes : list of str
        Empty where the file is of today's layout already.
    """
    today = copy.deepcopy(dict(raw))
    changes: list[str] = []
    for step in _STEPS:
        step(today, changes)
    return today, changes


def _drop_pipeline_version(today: dict[str, Any], changes: list[str]) -> None:
    if "pipeline_version" in today:
        version = json.dumps(today.pop("pipeline_version"))
        changes.append(f"pipeline_version ({version}) was left out: it has no effect")


def _move_recording_part(today: dict[str, Any], changes: list[str]) -> None:
    job_dispatch = _section(today, "job_dispatch")
    for key in ("t_start", "t_stop"):
        if key in job_dispatch:
            preprocessing = _section_to_write(today, "preprocessing")
            _move(job_dispatch, "job_dispatch", key, preprocessing, "preprocessing", key, changes)


def _spread_default_pipeline(today: dict[str, Any], changes: list[str]) -> None:
    """``default_preprocessing_pipeline.<step>`` (1.2 to 1.4) becomes ``preprocessing.<step>``."""
    preprocessing = _section(today, "preprocessing")
    pipeline = preprocessing.get("default_preprocessing_pipeline")
    if not isinstance(pipeline, dict):
        return
    where = "preprocessing.default_preprocessing_pipeline"
    for step in list(pipeline):
        new = "detect_bad_channels" if step == "detect_and_remove_bad_channels" else step
        if new == "detect_bad_channels" and isinstance(pipeline[step], dict):
            _split_channel_filters(pipeline[step], f"{where}.{step}", preprocessing, changes)
        _move(pipeline, where, step, preprocessing, "preprocessing", new, changes)
    del preprocessing["default_preprocessing_pipeline"]


def _split_channel_filters(
    detection: dict[str, Any], where: str, preprocessing: dict[str, Any], changes: list[str]
) -> None:
    """``channel_filters`` lists what is removed; today two switches say it."""
    kinds = detection.get("channel_filters")
    if not isinstance(kinds, list):
        return
    del detection["channel_filters"]
    switches = {
        "remove_out_channels": "out" in kinds,
        "remove_bad_channels": bool({"noise", "dead"} & {*kinds}),
    }
    for key, listed in switches.items():
        # the older pipeline removed a kind only where the list and the switch agreed
        preprocessing[key] = bool(preprocessing.get(key, True)) and listed
    told = ", ".join(f"preprocessing.{key} = {json.dumps(preprocessing[key])}" for key in switches)
    changes.append(f"{where}.channel_filters {json.dumps(kinds)} became {told}")
    if len({"noise", "dead"} & {*kinds}) == 1:
        changes.append(f"{where}.channel_filters: dead and noisy channels are now removed together")


def _rename_motion(today: dict[str, Any], changes: list[str]) -> None:
    preprocessing = _section(today, "preprocessing")
    if "motion" in preprocessing:
        _move(
            preprocessing,
            "preprocessing",
            "motion",
            preprocessing,
            "preprocessing",
            "motion_correction",
            changes,
        )


def _move_temporal_bin(today: dict[str, Any], changes: list[str]) -> None:
    """``temporal_bin_s`` is ``bin_s`` of SpikeInterface's motion estimate."""
    motion = _section(_section(today, "preprocessing"), "motion_correction")
    if "temporal_bin_s" in motion:
        estimate = _section_to_write(motion, "estimate_motion_kwargs")
        where = "preprocessing.motion_correction"
        _move(motion, where, "temporal_bin_s", estimate, f"{where}.estimate_motion_kwargs", "bin_s", changes)


def _flatten_noise_levels(today: dict[str, Any], changes: list[str]) -> None:
    """1.4 nests the draw of the noise chunks in ``random_slices_kwargs``."""
    noise = _section(_section(_section(today, "postprocessing"), "extensions"), "noise_levels")
    nested = noise.get("random_slices_kwargs")
    if isinstance(nested, dict):
        where = "postprocessing.extensions.noise_levels"
        for key in list(nested):
            _move(nested, f"{where}.random_slices_kwargs", key, noise, where, key, changes)
        del noise["random_slices_kwargs"]


def _thresholds_to_query(today: dict[str, Any], changes: list[str]) -> None:
    curation = _section(today, "curation")
    thresholds = curation.get("qc_thresholds")
    if not (thresholds is None or _are_thresholds(thresholds)) or "qc_thresholds" not in curation:
        return
    del curation["qc_thresholds"]
    query = _query(thresholds or {})
    if "query" in curation:
        changes.append("curation.qc_thresholds was left out: curation.query is given too, and decides")
        return
    curation["query"] = query or None
    changes.append(f"curation.qc_thresholds became curation.query = {json.dumps(curation['query'])}")


def _are_thresholds(thresholds: Any) -> bool:
    """Say whether this is ``{metric: {"greater": x, "less": y, "abs": bool}}``."""
    return isinstance(thresholds, dict) and all(
        isinstance(bounds, dict)
        and set(bounds) <= {"greater", "less", "abs"}
        and all(
            bounds.get(side) is None or type(bounds[side]) in (int, float) for side in ("greater", "less")
        )
        for bounds in thresholds.values()
    )


def _query(thresholds: Mapping[str, Mapping[str, Any]]) -> str:
    """Write thresholds as a pandas query, bounds inclusive as in SpikeInterface's threshold curation."""
    terms = []
    for metric, bounds in thresholds.items():
        name = metric if metric.isidentifier() else f"`{metric}`"
        column = f"abs({name})" if bounds.get("abs") else name
        for side, comparison in (("greater", ">="), ("less", "<=")):
            if bounds.get(side) is not None:
                terms.append(f"{column} {comparison} {bounds[side]}")
    return " and ".join(terms)


def _lift_unitrefine(today: dict[str, Any], changes: list[str]) -> None:
    curation = _section(today, "curation")
    keys = ("noise_neural_classifier", "sua_mua_classifier")
    unitrefine = curation.get("unitrefine")
    if "unitrefine" in curation and unitrefine is None:
        unitrefine = dict.fromkeys(keys)
    if not isinstance(unitrefine, dict) or not set(unitrefine) <= set(keys):
        return
    for key in list(unitrefine):
        _move(unitrefine, "curation.unitrefine", key, curation, "curation", key, changes)
    del curation["unitrefine"]


def _rename_kilosort25(today: dict[str, Any], changes: list[str]) -> None:
    spikesorting = _section(today, "spikesorting")
    if "kilosort2_5" in spikesorting:
        _move(
            spikesorting, "spikesorting", "kilosort2_5", spikesorting, "spikesorting", "kilosort25", changes
        )
    if spikesorting.get("sorter") == "kilosort2_5":
        spikesorting["sorter"] = "kilosort25"
        changes.append('spikesorting.sorter "kilosort2_5" became "kilosort25"')


def _move_nwb_backend(today: dict[str, Any], changes: list[str]) -> None:
    nwb = _section(today, "nwb")
    if "backend" in nwb:
        _move(nwb, "nwb", "backend", _section_to_write(nwb, "ecephys"), "nwb.ecephys", "backend", changes)


_STEPS: tuple[Callable[[dict[str, Any], list[str]], None], ...] = (
    _drop_pipeline_version,
    _move_recording_part,
    _spread_default_pipeline,
    _rename_motion,
    _move_temporal_bin,
    _flatten_noise_levels,
    _thresholds_to_query,
    _lift_unitrefine,
    _rename_kilosort25,
    _move_nwb_backend,
)


def _section(parent: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return an object of the file to read from; an empty one where it is absent or no object."""
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


def _section_to_write(parent: dict[str, Any], key: str) -> dict[str, Any]:
    """Return an object of the file to write to, making it where it is absent."""
    if not isinstance(parent.get(key), dict):
        parent[key] = {}
    return parent[key]


def _move(
    source: dict[str, Any],
    source_path: str,
    key: str,
    target: dict[str, Any],
    target_path: str,
    new_key: str,
    changes: list[str],
) -> None:
    """Move a value to today's key; where that is given too it wins, and its missing keys are filled in."""
    value = source.pop(key)
    old, new = f"{source_path}.{key}", f"{target_path}.{new_key}"
    if new_key not in target:
        target[new_key] = value
        changes.append(f"{old} became {new}")
    elif isinstance(value, dict) and isinstance(target[new_key], dict):
        target[new_key] = {**value, **target[new_key]}
        changes.append(f"{old} was merged into {new}, whose own values win")
    else:
        changes.append(f"{old} was left out: {new} is given too, and wins")
