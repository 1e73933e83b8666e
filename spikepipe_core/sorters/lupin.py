"""Lupin, SpikeInterface's own sorter, composed of its sorting components."""

from __future__ import annotations

from typing import Any

from .entry import Memory, Sorter

PARAMETERS: dict[str, Any] = {
    "apply_preprocessing": True,
    "preprocessing_dict": {},
    "apply_motion_correction": True,
    "motion_correction_preset": "dredge_fast",
    "clustering_ms_before": 0.3,
    "clustering_ms_after": 1.3,
    "whitening_radius_um": 100.0,
    "detection_radius_um": 50.0,
    "features_radius_um": 120.0,
    "split_radius_um": 60.0,
    "template_radius_um": 100.0,
    "freq_min": 150.0,
    "freq_max": 7000.0,
    "cache_preprocessing_mode": "no-cache",
    "peak_sign": "neg",
    "detect_threshold": 5.0,
    "n_peaks_per_channel": 5000,
    "n_svd_components_per_channel": 5,
    "n_pca_features": 4,
    "clustering_recursive_depth": 3,
    "ms_before": 1.0,
    "ms_after": 2.5,
    "template_sparsify_threshold": 1.5,
    "template_min_snr_ptp": 4.0,
    "template_max_jitter_ms": 0.2,
    "template_matching_engine": "circus-omp",
    "min_firing_rate": 0.1,
    "gather_mode": "memory",
    "job_kwargs": {},
    "seed": None,
    "save_array": True,
    "debug": False,
}
"""Those of the AIND ephys pipeline's params file, version 1.3.1: for traces that are filtered already."""

LUPIN = Sorter(
    name="lupin",
    spikeinterface_name="lupin",
    title="Lupin",
    parameters=PARAMETERS,
    without_drift_correction={"apply_motion_correction": False},
    memory=Memory(2.0, 0.7, 2.0),
    repeats="always",
    nothing_found=("Prototype should have a negative peak",),  # the mean of no peaks at all
    install="pip install torch",
)
