"""SpyKING CIRCUS 2 (SpikeInterface's rewriting of Yger et al. 2018, doi:10.7554/eLife.34518)."""

from __future__ import annotations

from typing import Any

from .entry import Memory, Sorter

PARAMETERS: dict[str, Any] = {
    "general": {"ms_before": 0.5, "ms_after": 1.5, "radius_um": 100.0},
    "filtering": {"freq_min": 150, "freq_max": 7000, "ftype": "bessel", "filter_order": 2},
    "whitening": {"mode": "local", "regularize": False},
    "detection": {
        "method": "matched_filtering",
        "method_kwargs": {"peak_sign": "neg", "detect_threshold": 5},
        "pipeline_kwargs": {},
    },
    "selection": {
        "method": "uniform",
        "method_kwargs": {"n_peaks_per_channel": 5000, "min_n_peaks": 100000, "select_per_channel": False},
    },
    "apply_motion_correction": True,
    "motion_correction": {"preset": "dredge_fast"},
    "merging": {"max_distance_um": 50},
    "clustering": {"method": "iterative-hdbscan", "method_kwargs": {}},
    "cleaning": {"min_snr": 5, "max_jitter_ms": 0.2, "sparsify_threshold": 1, "mean_sd_ratio_threshold": 3},
    "min_firing_rate": 0.1,
    "matching": {"method": "circus-omp", "method_kwargs": {}, "pipeline_kwargs": {}},
    "apply_preprocessing": False,
    "apply_whitening": True,
    "cache_preprocessing": {"mode": "no-cache"},
    "chunk_preprocessing": {"memory_limit": None},
    "multi_units_only": False,
    "job_kwargs": {},
    "seed": 42,
    "deterministic_peaks_detection": False,
    "debug": False,
}
"""Those of the AIND ephys pipeline's params file, version 1.3.1: for traces that are filtered already."""

SPYKINGCIRCUS2 = Sorter(
    name="spykingcircus2",
    spikeinterface_name="spykingcircus2",
    title="SpyKING CIRCUS 2",
    parameters=PARAMETERS,
    without_drift_correction={"apply_motion_correction": False},
    memory=Memory(2.0, 0.7, 2.0),
    repeats="always",
    nothing_found=("Prototype should have a negative peak",),  # the mean of no peaks at all
)
