"""Quality of the result: what is left of the noise, drift, and the units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import spikeinterface.core as si
from numpy.typing import NDArray

from spikepipe_core.signal_statistics import SignalStatistics
from spikepipe_core.stages.curation import LABEL, PASSED, QC
from spikepipe_core.stages.quality_control.report import (
    Metric,
    QualityReport,
    informative,
    judged,
    number,
    summarise,
)
from spikepipe_core.stages.quality_control.signal import noise_metrics

if TYPE_CHECKING:
    import pandas as pd

WARN_DRIFT_UM = 50.0
"""Ours: the imposed movement that drift correction was tested with went over about as much (Steinmetz et al. 2021,
doi:10.1126/science.abf4588); beyond it, units may be lost at the ends of what the probe sees."""

WARN_UNITS_PER_CHANNEL = 0.1
"""Passing units per channel below which the IBL leaves a recording out (RIGOR metrics, International Brain
Laboratory et al. 2022, doi:10.1101/2022.05.09.491042); few units are no fault of the signal, so here it warns."""


def processed_quality(
    recording: si.BaseRecording,
    statistics: SignalStatistics,
    motion_info: Mapping[str, Any] | None,
    metrics: pd.DataFrame,
    labels: pd.DataFrame,
) -> QualityReport:
    """Judge what came out of preprocessing, motion estimation, sorting and curation.

    Parameters
    ----------
    recording : BaseRecording
        Preprocessed.
    statistics : SignalStatistics
        Of the preprocessed recording.
    motion_info : mapping or None
        SpikeInterface's; None if motion was not computed.
    metrics : DataFrame
        One row a unit; may lack any column.
    labels : DataFrame
        One row a unit: ``default_qc`` and ``decoder_label``, if made.
    """
    everything = np.ones(recording.get_num_channels(), dtype=bool)
    return QualityReport(
        metrics=(
            informative("channels", recording.get_num_channels(), "", "Channels kept by preprocessing."),
            *_after_preprocessing(statistics, everything),
            _drift(motion_info),
            *_yield(labels, recording.get_num_channels()),
            *_label_fractions(labels),
            *_medians(metrics),
        )
    )


def passing_units(labels: pd.DataFrame) -> NDArray[np.bool_] | None:
    """Which units pass the curation query, None if there was none."""
    return (labels[QC] == PASSED).to_numpy(dtype=bool) if QC in labels else None


def column(metrics: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """Finite values of a metric; empty if it was not computed."""
    import pandas as pd

    if name not in metrics:
        return np.empty(0)
    values = pd.to_numeric(metrics[name], errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
    return values[np.isfinite(values)]


def drift_extent_um(motion_info: Mapping[str, Any] | None) -> float | None:
    """Largest peak-to-peak displacement of any depth window in any segment, in um."""
    if motion_info is None:
        return None
    return max(
        (float(np.ptp(d, axis=0).max()) for d in motion_info["motion"].displacement if d.size), default=None
    )


def _after_preprocessing(statistics: SignalStatistics, good: NDArray[np.bool_]) -> list[Metric]:
    of = "after preprocessing"
    return [
        metric.model_copy(update={"description": metric.description.replace(_RAW_WORDS, "the channels kept")})
        for metric in noise_metrics(statistics, good, of)
    ]


_RAW_WORDS = "the channels that are neither dead nor noisy"


def _drift(motion_info: Mapping[str, Any] | None) -> Metric:
    return judged(
        "drift",
        "drift_max",
        number(drift_extent_um(motion_info)),
        "um",
        "Displacement along the probe, peak to peak over time, where it is largest.",
        warn_above=WARN_DRIFT_UM,
        missing="motion was not computed",
    )


def _yield(labels: pd.DataFrame, n_channels: int) -> list[Metric]:
    passing = passing_units(labels)
    n_passing = None if passing is None else int(passing.sum())
    unlabelled = "curation.query is empty"
    return [
        judged("unit_yield", "units", len(labels), "", "Units after removal of duplicates.", fail_below=1),
        judged(
            "unit_yield",
            "passing_units",
            n_passing,
            "",
            "Units that satisfy curation.query.",
            warn_below=1,
            missing=unlabelled,
        ),
        judged(
            "unit_yield",
            "passing_units_per_channel",
            None if n_passing is None else number(n_passing / n_channels),
            "",
            "Passing units over channels kept.",
            warn_below=WARN_UNITS_PER_CHANNEL,
            missing=unlabelled,
        ),
    ]


def _label_fractions(labels: pd.DataFrame) -> list[Metric]:
    words = {"noise": "no neuron", "sua": "single neurons", "mua": "several neurons together"}
    known = LABEL in labels and len(labels) > 0
    return [
        informative(
            f"{name}_fraction",
            number((labels[LABEL] == name).mean()) if known else None,
            "",
            f"Units that the classifiers take for {meaning}.",
            "unit_yield",
        )
        for name, meaning in words.items()
    ]


def _medians(metrics: pd.DataFrame) -> list[Metric]:
    wanted = (
        ("snr", "", "Median over units: peak amplitude over the noise of its channel."),
        ("firing_rate", "Hz", "Median over units: spikes per second."),
        (
            "isi_violations_ratio",
            "",
            "Median over units: refractory period violations over what chance gives.",
        ),
        ("presence_ratio", "", "Median over units: part of the recording in which the unit fires."),
        ("amplitude_cutoff", "", "Median over units: spikes estimated to be missed."),
    )
    return [
        informative(f"{name}_median", summarise(column(metrics, name), "median"), unit, text)
        for name, unit, text in wanted
    ]
