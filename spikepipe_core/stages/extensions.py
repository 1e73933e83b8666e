"""The params file's extensions, in the words of the installed SpikeInterface.

The params file is stable and SpikeInterface is not: names and arguments that were documented once and are
called otherwise now are translated here and nowhere else. Nothing is dropped in silence: each translation is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spikepipe_core.stages.own_metrics import OwnMetrics

RENAMED_METRICS = {
    "isolation_distance": "mahalanobis",
    "l_ratio": "mahalanobis",
    "nn_isolation": "nn_advanced",
    "nn_noise_overlap": "nn_advanced",
}
"""SpikeInterface 0.104 computes two at a time, in columns that keep the old names."""

PEAK_SIGN_METRICS = ("snr", "amplitude_cutoff", "amplitude_median", "sd_ratio")
"""Metrics that took a peak sign of their own until SpikeInterface 0.104, and take it here (`own_metrics`)."""

ALWAYS = ("random_spikes", "templates")
"""Extensions that the params cannot leave out."""

SEEDED = ("random_spikes", "noise_levels", "quality_metrics")
"""Extensions that draw at random; without a seed two runs of the same data would differ."""

SEED = 0
"""Taken where the params give no seed (null); it is recorded with the analyzer's own parameters."""

SYNCHRONY_SIZES = [2, 4, 8]
"""The only ones that SpikeInterface 0.105 computes; others are counted in `own_metrics`."""


@dataclass
class Translated:
    """Extensions as `SortingAnalyzer.compute` takes them.

    Attributes
    ----------
    extensions : dict
        Name to arguments, in the order of the params file.
    peak_sign : str
        ``neg``, ``pos`` or ``both``: today a property of the whole analyzer.
    own : OwnMetrics
        Metrics that the analyzer cannot measure as they are asked for.
    changes : list of str
        What was translated, in words.
    """

    extensions: dict[str, dict[str, Any]] = field(default_factory=dict)
    peak_sign: str = "neg"
    own: OwnMetrics = field(default_factory=OwnMetrics)
    changes: list[str] = field(default_factory=list)


def translate(extensions: Mapping[str, Mapping[str, Any]], *, in_uV: bool = True) -> Translated:
    """Translate the params file's extensions.

    Parameters
    ----------
    extensions : mapping
        Extension name to arguments, as in the params file.
    in_uV : bool
        Whether the analyzer's templates are in uV.
    """
    wanted = {name: dict(arguments) for name, arguments in extensions.items()}
    result = Translated()
    if not in_uV and wanted.pop("template_metrics", None) is not None:
        result.changes.append(
            "template_metrics: not computed, this SpikeInterface takes them from templates in uV only "
            "(postprocessing.return_in_uV is false)"
        )
    _leave_out_impossible(wanted, result)
    _peak_sign(wanted, result)
    _seeds(wanted, result)
    for name, arguments in wanted.items():
        translator = _TRANSLATORS.get(name)
        result.extensions[name] = translator(arguments, wanted, result) if translator else arguments
    return result


def _leave_out_impossible(wanted: dict[str, dict[str, Any]], result: Translated) -> None:
    """Leave out extensions that need one which is null; quality metrics are looked at one by one instead."""
    from spikeinterface.core.sortinganalyzer import get_extension_class

    for name in [name for name in wanted if name != "quality_metrics"]:
        needs = get_extension_class(name).get_required_dependencies(**wanted[name])
        missing = [need for need in needs if not {*wanted, *ALWAYS} & {*need.split("|")}]
        if missing:
            del wanted[name]
            result.changes.append(
                f"{name}: not computed, it needs {' and '.join(missing).replace('|', ' or ')}, which is null"
            )


def _peak_sign(wanted: dict[str, dict[str, Any]], result: Translated) -> None:
    sign = wanted.get("spike_amplitudes", {}).pop("peak_sign", None)
    if sign is not None:
        result.peak_sign = sign
        result.changes.append(
            f"spike_amplitudes.peak_sign = {sign}: the peak sign of the whole analyzer in this SpikeInterface"
        )


def _seeds(wanted: dict[str, dict[str, Any]], result: Translated) -> None:
    drawn = [name for name in SEEDED if name in wanted and wanted[name].get("seed") is None]
    for name in drawn:
        wanted[name]["seed"] = SEED
    if drawn:
        result.changes.append(f"{', '.join(drawn)}: seed {SEED} where none is given, so that two runs agree")


def _noise_levels(arguments: dict[str, Any], wanted: dict[str, Any], result: Translated) -> dict[str, Any]:
    """The random chunks have a dictionary of their own since SpikeInterface 0.102."""
    slices = ("num_chunks_per_segment", "chunk_size", "chunk_duration", "seed", "margin_frames")
    moved = {key: arguments.pop(key) for key in slices if key in arguments}
    if moved:
        result.changes.append(f"noise_levels: {', '.join(moved)} given as random_slices_kwargs")
    return {**arguments, "random_slices_kwargs": {**moved, **arguments.get("random_slices_kwargs", {})}}


def _template_metrics(
    arguments: dict[str, Any], wanted: dict[str, Any], result: Translated
) -> dict[str, Any]:
    sparsity = arguments.pop("sparsity", None)
    if sparsity is not None:
        result.own.template_sparsity = sparsity
        result.changes.append(
            f"template_metrics.sparsity = {sparsity!r}: measured apart, over these channels"
        )
    if arguments.get("include_multi_channel_metrics") is False:
        result.own.template_metrics_left_out = _multi_channel_metrics(arguments.get("metric_names"))
    return arguments


def _multi_channel_metrics(asked_for: list[str] | None) -> list[str]:
    """Those that SpikeInterface adds where there are 64 channels, even if it is told not to."""
    from spikeinterface.metrics.template.template_metrics import get_multi_channel_template_metric_names

    return [name for name in get_multi_channel_template_metric_names() if name not in (asked_for or ())]


def _quality_metrics(arguments: dict[str, Any], wanted: dict[str, Any], result: Translated) -> dict[str, Any]:
    params = {name: dict(values) for name, values in (arguments.get("metric_params") or {}).items()}
    names = arguments.get("metric_names")
    if names is not None:
        names = _possible_metrics(_rename_metrics(names, result), wanted, result)
    for old, new in RENAMED_METRICS.items():
        if old in params:
            params[new] = {**params.pop(old), **params.get(new, {})}
    if names is not None:
        params = {name: values for name, values in params.items() if name in names}
    for name in PEAK_SIGN_METRICS:
        _own_peak_sign(name, names, params, result)
    _snr_method(params, result)
    _silhouette_method(params, result)
    _synchrony_sizes(params, result)
    _nn_advanced(names, params, result)
    return {**arguments, "metric_names": names, "metric_params": params}


def _rename_metrics(names: list[str], result: Translated) -> list[str]:
    for old, new in RENAMED_METRICS.items():
        if old in names:
            result.changes.append(f"quality metric {old}: computed by {new} in this SpikeInterface")
    return list(dict.fromkeys(RENAMED_METRICS.get(name, name) for name in names))


def _possible_metrics(names: list[str], wanted: dict[str, Any], result: Translated) -> list[str]:
    """The metrics whose extensions are computed; SpikeInterface itself would only warn of the others."""
    from spikeinterface.metrics import ComputeQualityMetrics

    needs = {metric.metric_name: metric.depend_on for metric in ComputeQualityMetrics.metric_list}
    possible = []
    for name in names:
        missing = [need for need in needs.get(name, ()) if not any(one in wanted for one in need.split("|"))]
        if missing:
            result.changes.append(
                f"quality metric {name}: not computed, it needs {' and '.join(missing).replace('|', ' or ')}"
            )
        else:
            possible.append(name)
    return possible


def _own_peak_sign(
    name: str, names: list[str] | None, params: dict[str, dict[str, Any]], result: Translated
) -> None:
    sign = params.get(name, {}).pop("peak_sign", None)
    if sign is not None and sign != result.peak_sign and (names is None or name in names):
        result.own.peak_signs[name] = sign
        result.changes.append(
            f"quality metric {name}.peak_sign = {sign}: measured apart, on the main channels of this sign (those of "
            f"the analyzer are of {result.peak_sign})"
        )


def _snr_method(params: dict[str, dict[str, Any]], result: Translated) -> None:
    if "peak_mode" in params.get("snr", {}):
        params["snr"]["method"] = params["snr"].pop("peak_mode")
        result.changes.append("quality metric snr.peak_mode: called method in this SpikeInterface")


def _silhouette_method(params: dict[str, dict[str, Any]], result: Translated) -> None:
    """Once a list; a list today would silently mean the slow "full" method."""
    method = params.get("silhouette", {}).get("method")
    if isinstance(method, list | tuple):
        params["silhouette"]["method"] = method[0]
        result.changes.append(
            f"quality metric silhouette.method = {method}: this SpikeInterface takes one, {method[0]!r}"
        )


def _synchrony_sizes(params: dict[str, dict[str, Any]], result: Translated) -> None:
    sizes = params.get("synchrony", {}).pop("synchrony_sizes", None)
    if sizes is not None and sorted(set(sizes)) != SYNCHRONY_SIZES:
        result.own.synchrony_sizes = list(sizes)
        result.changes.append(f"quality metric synchrony.synchrony_sizes = {list(sizes)}: counted apart")


def _nn_advanced(names: list[str] | None, params: dict[str, dict[str, Any]], result: Translated) -> None:
    """Seed the choice of spikes; a peak sign of its own is the one that is not measured apart, and it is said."""
    if "nn_advanced" not in params and "nn_advanced" not in (names or ()):
        return
    arguments = params.setdefault("nn_advanced", {})
    arguments.setdefault("seed", SEED)
    sign = arguments.pop("peak_sign", None)
    if sign is not None and sign != result.peak_sign:
        result.changes.append(
            f"quality metric nn_advanced.peak_sign = {sign}: this SpikeInterface takes the main channels of the "
            f"analyzer, {result.peak_sign}"
        )


_TRANSLATORS = {
    "noise_levels": _noise_levels,
    "template_metrics": _template_metrics,
    "quality_metrics": _quality_metrics,
}
