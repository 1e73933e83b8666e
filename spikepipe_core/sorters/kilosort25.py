"""Kilosort 2.5 (Steinmetz et al. 2021, doi:10.1126/science.abf4588): MATLAB, compiled MATLAB, or a container of it."""

from __future__ import annotations

from typing import Any

from .entry import Memory, Sorter

PARAMETERS: dict[str, Any] = {
    "detect_threshold": 6,
    "projection_threshold": [10, 4],
    "preclust_threshold": 8,
    "car": True,
    "minFR": 0.1,
    "minfr_goodchannels": 0.1,
    "nblocks": 5,
    "sig": 20,
    "freq_min": 150,
    "sigmaMask": 30,
    "nPCs": 3,
    "ntbuff": 64,
    "nfilt_factor": 4,
    "NT": None,
    "AUCsplit": 0.9,
    "do_correction": True,
    "wave_length": 61,
    "keep_good_only": False,
    "skip_kilosort_preprocessing": False,
    "scaleproc": None,
    "save_rez_to_mat": False,
    "delete_tmp_files": ["matlab_files"],
    "delete_recording_dat": False,
}
"""Those of the AIND ephys pipeline's params file, version 1.3.1."""

KILOSORT25 = Sorter(
    name="kilosort25",
    spikeinterface_name="kilosort2_5",
    title="Kilosort 2.5",
    parameters=PARAMETERS,
    without_drift_correction={"do_correction": False, "nblocks": 0},
    gpu=True,
    memory=Memory(6.0, 0.0, 1.5),
    container="spikeinterface/kilosort2_5-compiled-base",
    install="put the compiled Kilosort 2.5 (ks2_5_compiled) on the PATH, set KILOSORT2_5_PATH to its MATLAB folder, "
    "or have Singularity or Docker for its container; docs/sorters.md says how",
)
