"""Kilosort 4 (Pachitariu et al. 2024, doi:10.1038/s41592-024-02232-7)."""

from __future__ import annotations

from typing import Any

from .entry import Memory, Sorter

PARAMETERS: dict[str, Any] = {
    "batch_size": 60000,
    "nblocks": 5,
    "Th_universal": 9,
    "Th_learned": 8,
    "do_CAR": True,
    "invert_sign": False,
    "nt": 61,
    "shift": None,
    "scale": None,
    "nskip": 25,
    "whitening_range": 32,
    "highpass_cutoff": 300,
    "binning_depth": 5,
    "sig_interp": 20,
    "drift_smoothing": [0.5, 0.5, 0.5],
    "nt0min": None,
    "dmin": None,
    "dminx": 32,
    "min_template_size": 10,
    "template_sizes": 5,
    "nearest_chans": 10,
    "nearest_templates": 100,
    "templates_from_data": True,
    "n_templates": 6,
    "n_pcs": 6,
    "Th_single_ch": 6,
    "acg_threshold": 0.2,
    "ccg_threshold": 0.25,
    "cluster_downsampling": 20,
    "x_centers": None,
    "duplicate_spike_ms": 0.25,
    "save_preprocessed_copy": False,
    "torch_device": "auto",
    "bad_channels": None,
    "clear_cache": False,
    "save_extra_vars": False,
    "do_correction": True,
    "keep_good_only": False,
    "skip_kilosort_preprocessing": False,
    "delete_recording_dat": True,
}
"""Those of the AIND ephys pipeline's params file, version 1.3.1; its nulls for the three below are left out."""

KILOSORT4 = Sorter(
    name="kilosort4",
    spikeinterface_name="kilosort4",
    title="Kilosort 4",
    parameters=PARAMETERS,
    known_parameters=frozenset({"artifact_threshold", "max_channel_distance", "use_binary_file"}),
    takes_null=frozenset({"use_binary_file"}),
    without_drift_correction={"do_correction": False, "nblocks": 0},
    gpu=True,
    memory=Memory(4.0, 0.0, 1.5),
    repeats="on a CPU",
    nothing_found=("No spikes detected", "Found array with 0 sample"),
    install="pip install 'spikepipe[kilosort4]'",
)
