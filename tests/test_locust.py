"""A real recording of another kind, from its raw files to its NWB file: four channels in a locust's antennal lobe."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from probeinterface import generate_tetrode, write_probeinterface

from spikepipe_core.graph import STAGES
from spikepipe_core.nwb import inspect_nwb
from spikepipe_core.produce import produce
from spikepipe_core.stages.curation import load_curated
from spikepipe_core.stages.postprocessing import load_analyzer
from spikepipe_core.stages.sorting import load_sorting

LOCUST = Path(__file__).resolve().parents[2] / "shared" / "data" / "locust"
TRIALS = ("locust_trial_01.raw", "locust_trial_02.raw")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not LOCUST.is_dir(), reason=f"no recording at {LOCUST}"),
]


@pytest.fixture
def data(tmp_path):
    """The recording's two trials with a probe file, and a made-up start that an NWB file must have."""
    folder = tmp_path / "locust"
    folder.mkdir()
    for trial in TRIALS:
        shutil.copy(LOCUST / trial, folder)
    probe = generate_tetrode()
    probe.set_device_channel_indices(np.arange(4))
    write_probeinterface(folder / "probe.json", probe)
    about = {"session_start_time": "2000-01-01T00:00:00+00:00", "session_description": "a test"}
    (folder / "spikepipe_nwb_metadata.json").write_text(json.dumps({"NWBFile": about}))
    return folder


def test_a_tetrode_in_a_locust_is_sorted_from_raw_files_to_nwb(data, make_work, tiny_params, tmp_path):
    info = {
        "reader_type": "binary",
        "reader_kwargs": {
            "file_paths": list(TRIALS),
            "sampling_frequency": 15_000.0,
            "num_channels": 4,
            "dtype": "int16",
            "gain_to_uV": 1.0,  # not known
            "offset_to_uV": 0.0,
        },
        "probe_paths": "probe.json",
    }
    params = tiny_params(
        job_dispatch={"input": "spikeinterface", "spikeinterface_info": info, "split_segments": False},
        preprocessing={"detect_bad_channels": {"method": "mad"}},  # which needs no gain
    )
    work = make_work(data, tmp_path / "results", params, STAGES)
    reasons = {}
    for stage in STAGES.values():
        made = produce(stage, work if stage.scope == "probe" else replace(work, job=None)).outcome
        reasons[stage.name] = (made.outcome, made.reason)
    not_made = {name: reason for name, (outcome, reason) in reasons.items() if outcome != "ok"}
    assert set(not_made) <= {"clock_report"}, "there is no other stream"

    sorting = load_sorting(work)
    assert sorting.get_num_segments() == 2
    assert 3 <= sorting.get_num_units() <= 15
    snr = load_analyzer(work).get_extension("quality_metrics").get_data()["snr"]
    assert snr.max() > 5
    facts = inspect_nwb(replace(work, job=None).input("nwb"))
    assert (facts["units"], facts["electrodes"]) == (load_curated(work).get_num_units(), 4)
