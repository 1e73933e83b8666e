"""Metrics that the params file asks for in a way of their own, measured as it documents them.

SpikeInterface 0.105 has one peak sign and one sparsity for the whole analyzer, counts synchronous spikes for sizes 2,
4 and 8 only, and measures multi-channel template metrics wherever there are 64 channels, asked for or not. What the
params ask for beyond that is measured here by SpikeInterface's own functions, on a second analyzer (in memory, of the
same spikes) where that is what it takes, and put in place of the analyzer's own columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import spikeinterface.core as si

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class OwnMetrics:
    """What is to be measured in a way of its own.

    Attributes
    ----------
    peak_signs : dict of str to str
        Quality metric to ``neg``, ``pos`` or ``both``; those of the analyzer's own sign are left out.
    synchrony_sizes : list of int, optional
        Spikes at one sample; each gives a column ``sync_spike_<size>``.
    template_sparsity : dict, optional
        Arguments of SpikeInterface's sparsity, for the template metrics alone.
    template_metrics_left_out : list of str
        Template metrics that SpikeInterface measures unasked.
    """

    peak_signs: dict[str, str] = field(default_factory=dict)
    synchrony_sizes: list[int] | None = None
    template_sparsity: dict[str, Any] | None = None
    template_metrics_left_out: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(
            self.peak_signs
            or self.synchrony_sizes is not None
            or self.template_sparsity is not None
            or self.template_metrics_left_out
        )


def measure_own(
    analyzer: si.SortingAnalyzer,
    traces: si.BaseRecording,
    own: OwnMetrics,
    extensions: dict[str, dict[str, Any]],
    sparsity: dict[str, Any],
    job_kwargs: dict[str, Any],
) -> None:
    """Replace columns of the analyzer's metrics by those measured as the params ask.

    Parameters
    ----------
    analyzer : SortingAnalyzer
        With all its extensions computed; what is changed is saved with it.
    traces : BaseRecording
        Its signal, fast to read.
    own : OwnMetrics
    extensions : dict
        The arguments of the analyzer's extensions.
    sparsity : dict
        The arguments of the analyzer's sparsity.
    """
    if analyzer.has_extension("quality_metrics"):
        quality = analyzer.get_extension("quality_metrics")
        columns = quality.data["metrics"]
        for sign in sorted(set(own.peak_signs.values())):
            names = [name for name, asked in own.peak_signs.items() if asked == sign]
            measured = _quality_of_sign(analyzer, traces, sign, names, extensions, sparsity, job_kwargs)
            columns = columns.assign(**measured)
        if own.synchrony_sizes is not None:
            columns = _with_synchrony(columns, analyzer, own.synchrony_sizes)
        _replace(quality, columns)
    if analyzer.has_extension("template_metrics"):
        shapes = analyzer.get_extension("template_metrics")
        columns = shapes.data["metrics"]
        if own.template_sparsity is not None:
            columns = _template_metrics(analyzer, traces, own.template_sparsity, extensions, job_kwargs)
        columns = columns.drop(columns=shapes.get_metric_columns(own.template_metrics_left_out))
        _replace(shapes, columns)


def synchrony(analyzer: si.SortingAnalyzer, sizes: list[int]) -> pd.DataFrame:
    """Fraction of each unit's spikes that fall on one sample with those of others.

    Parameters
    ----------
    sizes : list of int
        Spikes at that sample, at least; two or more.

    Returns
    -------
    DataFrame
        A column ``sync_spike_<size>`` a size; -1 for a unit without spikes, as SpikeInterface has it.

    Notes
    -----
    Gruen et al. 1999, doi:10.1016/S0165-0270(99)00126-0, counted by SpikeInterface's function, to which its
    documentation refers those who want sizes other than 2, 4 and 8.
    """
    import pandas as pd
    from spikeinterface.metrics.quality.misc_metrics import _get_synchrony_counts

    ordered = np.unique(sizes)
    sorting = analyzer.sorting.select_periods(periods=_periods(analyzer))
    counts = _get_synchrony_counts(sorting.to_spike_vector(), ordered, sorting.unit_ids)
    spikes = sorting.count_num_spikes_per_unit(outputs="array")
    fractions = np.where(spikes > 0, counts / np.maximum(spikes, 1), -1.0)
    return pd.DataFrame(
        fractions.T, index=sorting.unit_ids, columns=[f"sync_spike_{size}" for size in ordered]
    )


def _periods(analyzer: si.SortingAnalyzer) -> Any:
    """The stretches of time that the quality metrics are measured in; None: the whole recording."""
    return analyzer.get_extension("quality_metrics").params.get("periods")


def _with_synchrony(columns: pd.DataFrame, analyzer: si.SortingAnalyzer, sizes: list[int]) -> pd.DataFrame:
    import pandas as pd
    from spikeinterface.metrics.quality import ComputeQualityMetrics

    usual = list(ComputeQualityMetrics.get_metric_by_name("synchrony").metric_columns)
    if not set(usual) <= set(columns):
        return columns
    place = columns.columns.get_loc(usual[0])
    rest = columns.drop(columns=usual)
    return pd.concat([rest.iloc[:, :place], synchrony(analyzer, sizes), rest.iloc[:, place:]], axis=1)


def _quality_of_sign(
    analyzer: si.SortingAnalyzer,
    traces: si.BaseRecording,
    sign: str,
    names: list[str],
    extensions: dict[str, dict[str, Any]],
    sparsity: dict[str, Any],
    job_kwargs: dict[str, Any],
) -> pd.DataFrame:
    """Quality metrics on the main channel of a peak sign, from amplitudes measured there."""
    second = _second_analyzer(analyzer, traces, sign, sparsity, job_kwargs)
    asked = {
        name: value for name, value in extensions["quality_metrics"].items() if name != "use_valid_periods"
    }
    needed = _templates(extensions)
    needed |= {name: extensions[name] for name in ("noise_levels", "spike_amplitudes") if name in extensions}
    second.compute(needed, **job_kwargs)
    params = {name: values for name, values in asked["metric_params"].items() if name in names}
    asked.update(metric_names=names, metric_params=params, periods=_periods(analyzer))
    second.compute({"quality_metrics": asked}, **job_kwargs)
    return second.get_extension("quality_metrics").data["metrics"]


def _template_metrics(
    analyzer: si.SortingAnalyzer,
    traces: si.BaseRecording,
    sparsity: dict[str, Any],
    extensions: dict[str, dict[str, Any]],
    job_kwargs: dict[str, Any],
) -> pd.DataFrame:
    """Template metrics over the channels of a sparsity of their own."""
    second = _second_analyzer(analyzer, traces, analyzer.peak_sign, sparsity, job_kwargs)
    second.compute(
        {**_templates(extensions), "template_metrics": extensions["template_metrics"]}, **job_kwargs
    )
    return second.get_extension("template_metrics").data["metrics"]


def _second_analyzer(
    analyzer: si.SortingAnalyzer,
    traces: si.BaseRecording,
    sign: str,
    sparsity: dict[str, Any],
    job_kwargs: dict[str, Any],
) -> si.SortingAnalyzer:
    """An analyzer of the same spikes that finds its main channels anew.

    The sorting is copied without its properties: SpikeInterface would take the main channels from them.
    """
    return si.create_sorting_analyzer(
        si.NumpySorting.from_sorting(analyzer.sorting),
        traces,
        format="memory",
        sparse=True,
        sparsity_kwargs=sparsity,
        return_in_uV=analyzer.return_in_uV,
        peak_sign=sign,
        seed=0,
        job_kwargs=job_kwargs,
    )


def _templates(extensions: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The same random spikes and templates as the analyzer's, without keeping waveforms."""
    window = {
        key: value
        for key, value in extensions.get("waveforms", {}).items()
        if key in ("ms_before", "ms_after")
    }
    return {"random_spikes": extensions["random_spikes"], "templates": {**window, **extensions["templates"]}}


def _replace(extension: Any, columns: pd.DataFrame) -> None:
    """Put other columns into an extension and save it, unless they are those it has."""
    if not columns.equals(extension.data["metrics"]):
        extension.set_data("metrics", columns)
        extension.save()
