"""The params file's extensions, in the words of the installed SpikeInterface.

The params file is stable and SpikeInterface is not: names and arguments that were documented once and are
called otherwise now are translated here and nowhere else. Nothing is dropped in silence: each translation is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RENAMED_METRICS = {"isolation_distance": "mahalanobis", "l_ratio": "mahalanobis"}
"""SpikeInterface 0.104 computes both from one Mahalanobis metric, whose columns keep the old names."""

PEAK_SIGN_METRICS = ("snr", "amplitude_cutoff", "amplitude_median", "sd_ratio", "nn_advanced")
"""Metrics that took a peak sign of their own until SpikeInterface 0.104."""

SEEDED = ("random_spikes", "noise_levels", "quality_metrics")
"""Extensions that draw at random; without a seed two runs of the same data would differ."""

SEED = 0
"""Taken where the params give no seed (null); it is recorded with the analyzer's own parameters."""

PC_METRICS = ("mahalanobis", "d_prime", "nearest_neighbor", "silhouette", "nn_advanced")
"""Metrics that need principal components."""


@dataclass
class Translated:
    """Extensions as `SortingAnalyzer.compute` takes them.

    Attributes
    ----------
    extensions : dict
        Name to arguments, in the order of the params file.
    peak_sign : str
        ``neg``, ``pos`` or ``both``: today a property of the whole analyzer.
    changes : list of str
        What was translated, in words.
    """

    extensions: dict[str, dict[str, Any]] = field(default_factory=dict)
    peak_sign: str = "neg"
    changes: list[str] = field(default_factory=list)


def translate(extensions: Mapping[str, Mapping[str, Any]]) -> Translated:
    """Translate the params file's extensions.

    Parameters
    ----------
    extensions : mapping
        Extension name to arguments, as in the params file.
    """
    wanted = {name: dict(arguments) for name, arguments in extensions.items()}
    result = Translated()
    if "spike_amplitudes" in wanted:
        result.peak_sign = wanted["spike_amplitudes"].pop("peak_sign", None) or "neg"
    for name, arguments in wanted.items():
        if name in SEEDED and arguments.get("seed") is None:
            arguments["seed"] = SEED
        translator = _TRANSLATORS.get(name)
        result.extensions[name] = translator(arguments, wanted, result) if translator else arguments
    return result


def _noise_levels(arguments: dict[str, Any], wanted: dict[str, Any], result: Translated) -> dict[str, Any]:
    """The random chunks have a dictionary of their own since SpikeInterface 0.102."""
    slices = ("num_chunks_per_segment", "chunk_size", "chunk_duration", "seed", "margin_frames")
    moved = {key: arguments.pop(key) for key in slices if key in arguments}
    return {**arguments, "random_slices_kwargs": {**moved, **arguments.get("random_slices_kwargs", {})}}


def _template_metrics(
    arguments: dict[str, Any], wanted: dict[str, Any], result: Translated
) -> dict[str, Any]:
    sparsity = arguments.pop("sparsity", None)
    if sparsity is not None:
        result.changes.append(
            f"template_metrics.sparsity = {sparsity!r}: this SpikeInterface takes the analyzer's own sparsity "
            "(postprocessing.sparsity) for multi-channel metrics"
        )
    return arguments


def _quality_metrics(arguments: dict[str, Any], wanted: dict[str, Any], result: Translated) -> dict[str, Any]:
    params = {name: dict(values) for name, values in (arguments.get("metric_params") or {}).items()}
    names = arguments.get("metric_names")
    if names is not None:
        names = _rename_metrics(names, result)
        if "principal_components" not in wanted and (lost := [name for name in names if name in PC_METRICS]):
            names = [name for name in names if name not in lost]
            result.changes.append(f"{', '.join(lost)}: not computed, they need principal_components")
    for old, new in RENAMED_METRICS.items():
        if old in params:
            params[new] = {**params.pop(old), **params.get(new, {})}
    for name in PEAK_SIGN_METRICS:
        _drop_peak_sign(name, params, result)
    _snr_method(params)
    _silhouette_method(params, result)
    if names is not None:
        params = {name: values for name, values in params.items() if name in names}
    return {**arguments, "metric_names": names, "metric_params": params}


def _rename_metrics(names: list[str], result: Translated) -> list[str]:
    renamed = [RENAMED_METRICS.get(name, name) for name in names]
    for old in RENAMED_METRICS.keys() & set(names):
        result.changes.append(
            f"quality metric {old}: computed by {RENAMED_METRICS[old]} in this SpikeInterface"
        )
    return list(dict.fromkeys(renamed))


def _drop_peak_sign(name: str, params: dict[str, dict[str, Any]], result: Translated) -> None:
    sign = params.get(name, {}).pop("peak_sign", None)
    if sign is not None and sign != result.peak_sign:
        result.changes.append(
            f"quality metric {name}.peak_sign = {sign}: this SpikeInterface has one peak sign for the whole "
            f"analyzer, {result.peak_sign} from spike_amplitudes.peak_sign"
        )


def _snr_method(params: dict[str, dict[str, Any]]) -> None:
    if "peak_mode" in params.get("snr", {}):
        params["snr"]["method"] = params["snr"].pop("peak_mode")


def _silhouette_method(params: dict[str, dict[str, Any]], result: Translated) -> None:
    """Once a list; a list today would silently mean the slow "full" method."""
    method = params.get("silhouette", {}).get("method")
    if isinstance(method, list | tuple):
        params["silhouette"]["method"] = method[0]
        if len(method) > 1:
            result.changes.append(
                f"silhouette.method = {method}: this SpikeInterface takes one, {method[0]!r}"
            )


_TRANSLATORS = {
    "noise_levels": _noise_levels,
    "template_metrics": _template_metrics,
    "quality_metrics": _quality_metrics,
}
