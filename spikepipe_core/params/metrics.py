"""Names and default params of the quality metrics."""

from __future__ import annotations

from typing import Any, Literal

__all__ = [
    "DEFAULT_METRIC_NAMES",
    "DEFAULT_METRIC_PARAMS",
    "PCA_METRIC_NAMES",
    "SLOW_METRIC_COLUMNS",
    "MetricName",
]

MetricName = Literal[
    "amplitude_cutoff",
    "amplitude_cv",
    "amplitude_median",
    "d_prime",
    "drift",
    "firing_range",
    "firing_rate",
    "isi_violation",
    "isolation_distance",
    "l_ratio",
    "mahalanobis",
    "nearest_neighbor",
    "nn_advanced",
    "nn_isolation",
    "nn_noise_overlap",
    "noise_cutoff",
    "num_spikes",
    "presence_ratio",
    "rp_violation",
    "sd_ratio",
    "silhouette",
    "sliding_rp_violation",
    "snr",
    "synchrony",
]
"""SpikeInterface's metrics (0.105), and the older names that params files use: ``isolation_distance`` and
``l_ratio`` (of ``mahalanobis`` today), ``nn_isolation`` and ``nn_noise_overlap`` (of ``nn_advanced``)."""

DEFAULT_METRIC_NAMES: tuple[MetricName, ...] = (
    "num_spikes",
    "firing_rate",
    "presence_ratio",
    "snr",
    "isi_violation",
    "rp_violation",
    "sliding_rp_violation",
    "amplitude_cutoff",
    "amplitude_median",
    "amplitude_cv",
    "synchrony",
    "firing_range",
    "drift",
    "isolation_distance",
    "l_ratio",
    "d_prime",
    "nearest_neighbor",
    "silhouette",
)

PCA_METRIC_NAMES: frozenset[MetricName] = frozenset(
    {
        "d_prime",
        "isolation_distance",
        "l_ratio",
        "mahalanobis",
        "nearest_neighbor",
        "nn_advanced",
        "nn_isolation",
        "nn_noise_overlap",
        "silhouette",
    }
)
"""Metrics that are computed from principal components."""

SLOW_METRIC_COLUMNS: frozenset[str] = frozenset(
    {
        "d_prime",
        "drift_mad",
        "drift_ptp",
        "drift_std",
        "isolation_distance",
        "l_ratio",
        "nn_hit_rate",
        "nn_isolation",
        "nn_miss_rate",
        "nn_noise_overlap",
        "nn_unit_id",
        "silhouette",
        "silhouette_full",
    }
)
"""Columns of the metrics that need principal components or, as ``drift`` does, spike locations."""

DEFAULT_METRIC_PARAMS: dict[MetricName, dict[str, Any]] = {
    "presence_ratio": {"bin_duration_s": 60},
    "snr": {"peak_sign": "neg", "peak_mode": "extremum"},
    "isi_violation": {"isi_threshold_ms": 1.5, "min_isi_ms": 0},
    "rp_violation": {"refractory_period_ms": 1, "censored_period_ms": 0.0},
    "sliding_rp_violation": {
        "bin_size_ms": 0.25,
        "window_size_s": 1,
        "exclude_ref_period_below_ms": 0.5,
        "max_ref_period_ms": 10,
        "contamination_values": None,
    },
    "amplitude_cutoff": {
        "peak_sign": "neg",
        "num_histogram_bins": 100,
        "histogram_smoothing_value": 3,
        "amplitudes_bins_min_ratio": 5,
    },
    "amplitude_median": {"peak_sign": "neg"},
    "amplitude_cv": {
        "average_num_spikes_per_bin": 50,
        "percentiles": [5, 95],
        "min_num_bins": 10,
        "amplitude_extension": "spike_amplitudes",
    },
    "firing_range": {"bin_size_s": 5, "percentiles": [5, 95]},
    "synchrony": {"synchrony_sizes": [2, 4, 8]},
    "nearest_neighbor": {"max_spikes": 10000, "n_neighbors": 4},
    "silhouette": {"method": ["simplified"]},
}
"""The documented defaults, as written; the analyzer stage translates them to the installed SpikeInterface."""
