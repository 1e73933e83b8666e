"""The recording stage: what is written down loads the same signal again, cut as the params say."""

from __future__ import annotations

import numpy as np
import pytest

from spikepipe_core.errors import ParamsError
from spikepipe_core.produce import produce
from spikepipe_core.stages.recording import load_lfp_band, load_recording, read_job


def recorded(make_work, data, results, params=None):
    work = make_work(data, results, params)
    produce(work.stages["recording"], work)
    return work


def test_the_description_loads_the_raw_signal(demo_data, make_work, tmp_path):
    work = recorded(make_work, demo_data, tmp_path / "results")
    recording, job = load_recording(work), read_job(work)
    assert (recording.get_num_channels(), recording.get_total_duration()) == (
        job["channels"],
        job["duration_s"],
    )
    assert recording.get_probe() is not None and load_lfp_band(work) is not None
    assert (
        not job["times_reset"]
        and str(tmp_path) not in (work.input("recording") / "recording.json").read_text()
    )


def test_t_start_and_t_stop_cut_every_band_on_one_clock(demo_data, make_work, tiny_params, tmp_path):
    whole = load_recording(recorded(make_work, demo_data, tmp_path / "whole"))
    params = tiny_params(preprocessing={"t_start": 2.0, "t_stop": 5.0})
    work = recorded(make_work, demo_data, tmp_path / "cut", params)
    cut, band = load_recording(work), load_lfp_band(work)
    rate = whole.get_sampling_frequency()
    assert cut.get_total_duration() == pytest.approx(3.0, abs=1 / rate)
    assert band.get_total_duration() == pytest.approx(3.0, abs=1 / band.get_sampling_frequency())
    start = whole.get_times()[0] + 2.0
    assert cut.get_times()[0] == pytest.approx(start) and band.get_times()[0] == pytest.approx(
        start, abs=1e-3
    )
    frames = round(2.0 * rate)
    assert np.array_equal(
        cut.get_traces(end_frame=1000), whole.get_traces(start_frame=frames, end_frame=frames + 1000)
    )


def test_t_start_after_the_end_is_said(demo_data, make_work, tiny_params, tmp_path):
    work = make_work(demo_data, tmp_path / "results", tiny_params(preprocessing={"t_start": 600.0}))
    with pytest.raises(ParamsError, match=r"t_start = 600 s .* lasts 12\.0 s"):
        produce(work.stages["recording"], work)


def test_too_short_for_job_dispatch_is_skipped(demo_data, make_work, tiny_params, tmp_path):
    work = make_work(
        demo_data, tmp_path / "results", tiny_params(job_dispatch={"min_recording_duration": 60})
    )
    outcome = produce(work.stages["recording"], work).outcome
    assert outcome.outcome == "skipped" and "min_recording_duration = 60" in outcome.reason
