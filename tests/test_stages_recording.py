"""The recording stage: what is written down loads the same signal again, cut as the params say."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import spikeinterface.core as si

from spikepipe_core.demo import write_demo_session
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


def test_the_shortest_duration_is_that_of_the_raw_recording(demo_data, make_work, tiny_params, tmp_path):
    """A clip for a trial is not a recording that is too short."""
    dispatch = {"debug": True, "debug_duration": 1.0, "min_recording_duration": 10.0}
    work = recorded(make_work, demo_data, tmp_path / "results", tiny_params(job_dispatch=dispatch))
    assert load_recording(work).get_total_duration() == 1.0


def test_debug_keeps_the_first_seconds_from_t_start_on(demo_data, make_work, tiny_params, tmp_path):
    params = tiny_params(
        job_dispatch={"debug": True, "debug_duration": 1.0}, preprocessing={"t_start": 3.0, "t_stop": 8.0}
    )
    work = recorded(make_work, demo_data, tmp_path / "results", params)
    for band in (load_recording(work), load_lfp_band(work)):
        assert band.get_start_time() == pytest.approx(3.0, abs=1e-3)
        assert band.get_total_duration() == pytest.approx(1.0, abs=1e-3)


# --- timestamps ---------------------------------------------------------------------------------------------

GAP_SAMPLE, GAP_S = 20_000, 0.5


@pytest.fixture(scope="module")
def open_ephys(tmp_path_factory):
    """One probe of 2 s with a time for every sample of both bands, from 40 s on. To be read only."""
    data = tmp_path_factory.mktemp("times") / "data"
    write_demo_session(data, probes=1, seconds=2, channels=8, format="openephys")
    for times in data.rglob("continuous/*/timestamps.npy"):
        np.save(times, 40.0 + np.load(times))
    return data


def with_gap(source, target, band: str):
    """A copy in which the times of one band jump."""
    data = Path(shutil.copytree(source, target))
    (path,) = data.rglob(f"continuous/*{band}/timestamps.npy")
    times = np.load(path)
    times[len(times) // 3 if band == "LFP" else GAP_SAMPLE + 1 :] += GAP_S
    np.save(path, times)
    return data


def test_good_timestamps_are_kept(open_ephys, make_work, tmp_path):
    work = recorded(make_work, open_ephys, tmp_path / "results")
    assert [load_recording(work).get_start_time(), load_lfp_band(work).get_start_time()] == [40.0, 40.0]
    assert not read_job(work)["times_reset"]


def test_bad_timestamps_are_reset_in_every_band_said_and_recorded(open_ephys, make_work, tmp_path):
    said: list[str] = []
    data = with_gap(open_ephys, tmp_path / "data", "AP")
    work = replace(make_work(data, tmp_path / "results"), say=said.append)
    summary = produce(work.stages["recording"], work).manifest.summary
    for band in (load_recording(work), load_lfp_band(work)):
        assert not band.has_time_vector() and band.get_start_time() == 0
    assert any("times are reset" in sentence for sentence in said)
    check = summary["checks"]["timestamps"]
    assert not check["passed"] and check["numbers"]["gaps (steps of more than 2 ms)"] == 1
    (gap,) = summary["timestamp_gaps"]
    assert (gap["segment"], gap["after sample"]) == (0, GAP_SAMPLE)
    assert gap["length (ms)"] == pytest.approx(500, abs=0.1)
    job = read_job(work)
    assert job["times_reset"] and job["timestamps_verdict"]["gaps"][0]["sample"] == GAP_SAMPLE


def test_reset_times_stay_reset_in_what_is_made_of_the_recording(open_ephys, make_work, tmp_path):
    work = make_work(with_gap(open_ephys, tmp_path / "data", "AP"), tmp_path / "results")
    for name in ("recording", "preprocessed_recording"):
        produce(work.stages[name], work)
    chain = si.load(work.input("preprocessed_recording"), base_folder=work.data)
    assert not chain.has_time_vector() and chain.get_start_time() == 0


def test_skipping_the_check_takes_times_as_they_are(open_ephys, make_work, tiny_params, tmp_path):
    data = with_gap(open_ephys, tmp_path / "data", "AP")
    params = tiny_params(job_dispatch={"skip_timestamps_check": True})
    work = recorded(make_work, data, tmp_path / "results", params)
    times = load_recording(work).get_times()
    assert times[GAP_SAMPLE + 1] - times[GAP_SAMPLE] == pytest.approx(GAP_S, abs=1e-3)
    assert "not checked" in read_job(work)["timestamps"]


def test_an_lfp_band_with_bad_timestamps_starts_with_the_other_band(open_ephys, make_work, tmp_path):
    work = recorded(make_work, with_gap(open_ephys, tmp_path / "data", "LFP"), tmp_path / "results")
    recording, lfp, job = load_recording(work), load_lfp_band(work), read_job(work)
    assert (job["times_reset"], job["lfp_times_reset"]) == (False, True)
    assert recording.has_time_vector() and not lfp.has_time_vector()
    assert lfp.get_start_time() == recording.get_start_time() == 40.0


def test_metadata_name_every_stream_of_the_session(demo_data, make_work, tmp_path):
    work = make_work(demo_data, tmp_path / "results")
    manifest = produce(work.stages["recording"], work).manifest
    rows = {row["stream"]: row for row in manifest.summary["streams_of_the_session"]}
    assert (rows["imec0.ap"]["becomes"], rows["imec0.ap"]["LFP band"]) == ("processed", "imec0.lf")
    assert (rows["imec0.ap-SYNC"]["becomes"], rows["imec0.ap-SYNC"]["kind"]) == ("not processed", "sync")
    assert "probe" in manifest.pictures
