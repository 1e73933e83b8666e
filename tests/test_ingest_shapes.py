"""Every shape of a recording: segments, groups, bands, clips, unsigned samples; and what is written down keeps it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import spikeinterface.core as si

from spikepipe_core.demo import write_demo_session
from spikepipe_core.errors import BadDataError, ParamsError
from spikepipe_core.ingest import clip, discover, regular_times
from spikepipe_core.ingest.shape import has_group, require_geometry, select_group, signed
from spikepipe_core.params import JobDispatchParams
from spikepipe_core.produce import produce
from spikepipe_core.stages.recording import load_lfp_band, load_recording, read_job

RATE = 30_000.0
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
FOUR_SHANKS = SHARED / "acquisition_metadata/ibl-neuropixel/sampleNP2.4_4shanks_g0_t0.imec.ap.meta"


def recording_with_times(*starts: float, samples: int = 3_000, drift: float = 1e-5) -> si.BaseRecording:
    """Segments whose samples have times of their own, a little slower than the nominal rate."""
    recording = si.generate_recording(num_channels=4, durations=[samples / RATE] * len(starts), seed=0)
    assert recording.get_sampling_frequency() == RATE
    for segment, start in enumerate(starts):
        recording.set_times(start + np.arange(samples) * (1 + drift) / RATE, segment_index=segment)
    return recording


# --- clipping -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("starts", [(5.0,), (5.0, 9.0, 20.0)])
def test_clipped_samples_keep_their_times_whatever_is_done_next(starts):
    whole = recording_with_times(*starts)
    clipped = clip(whole, 0.08, 0.02)
    first, last = 600, 2_400
    for recording in (
        clipped,
        clipped.select_channels(clipped.channel_ids[:2]),
        clip(clipped, 0.06),
        clip(clipped.select_channels(clipped.channel_ids[1:]), 0.06),
    ):
        for segment in range(len(starts)):
            times = recording.get_times(segment_index=segment)
            assert np.array_equal(times, whole.get_times(segment_index=segment)[first : first + len(times)])
            assert recording.get_start_time(segment) == times[0]
    traces = whole.get_traces(segment_index=len(starts) - 1, start_frame=first, end_frame=last)
    assert np.array_equal(clipped.get_traces(segment_index=len(starts) - 1), traces)


def test_clip_without_explicit_times_keeps_the_start():
    recording = si.NumpyRecording([np.zeros((3_000, 1), "int16")] * 2, RATE, t_starts=[4.0, 8.0])
    clipped = clip(recording, 0.08, 0.02)
    assert [clipped.get_start_time(index) for index in range(2)] == pytest.approx([4.02, 8.02])
    assert [clipped.get_num_samples(index) for index in range(2)] == [1_800] * 2


def test_a_segment_that_ends_early_keeps_its_end_and_one_that_would_vanish_is_an_error():
    recording = si.NumpyRecording([np.zeros((n, 1), "int16") for n in (3_000, 900)], RATE)
    assert [clip(recording, 0.05).get_num_samples(index) for index in range(2)] == [1_500, 900]
    with pytest.raises(ParamsError, match=r"lasts 0\.0 s"):
        clip(recording, None, 0.04)
    assert clip(recording, None) is recording


@pytest.mark.parametrize("how", ["clipped", "regular"])
def test_descriptions_keep_times(tmp_path, how):
    saved = recording_with_times(5.0, 9.0).save(folder=tmp_path / "data" / "raw", verbose=False)
    changed = clip(saved, 0.08, 0.02) if how == "clipped" else regular_times(saved, [1.0, 2.0])
    changed.dump_to_json(tmp_path / "chain.json", relative_to=tmp_path / "data", include_properties=True)
    moved = (tmp_path / "data").rename(tmp_path / "moved")
    again = si.load(tmp_path / "chain.json", base_folder=moved)
    for segment in range(2):
        assert np.array_equal(again.get_times(segment), changed.get_times(segment))
        assert np.array_equal(again.get_traces(segment), changed.get_traces(segment))
    assert again.has_time_vector(0) == (how == "clipped")


def test_times_in_a_file_are_read_piece_by_piece(tmp_path):
    """A part of a time vector in HDF5 or Zarr is sliced like the vector itself, and not read before."""
    zarr = recording_with_times(5.0).save(folder=tmp_path / "raw.zarr", format="zarr", verbose=False)
    whole = zarr.get_times(start_frame=0, end_frame=3_000)
    clipped = clip(si.load(tmp_path / "raw.zarr"), 0.08, 0.02)
    times = clipped.segments[0].get_times_kwargs()["time_vector"]
    assert not isinstance(times, np.ndarray)
    assert np.array_equal(clipped.get_times(start_frame=10, end_frame=20), whole[610:620])
    assert clipped.get_end_time() == whole[2_399]
    assert clipped.time_to_sample_index(whole[700]) == 100
    assert np.array_equal(clipped.sample_index_to_time(np.array([5, 3, 3])), whole[[605, 603, 603]])
    assert np.array_equal(clipped.get_times(), whole[600:2_400])


# --- unsigned samples, geometry, groups ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "middle"), [(-2_048 * 0.5, 2_048), (-32_768 * 0.5, 32_768), (0.0, 32_768)]
)
def test_unsigned_samples_become_signed_and_mean_the_same(tmp_path, offset, middle):
    values = (2_048 + np.arange(-500, 500)).astype("uint16").reshape(-1, 2)
    raw = si.NumpyRecording([values], RATE)
    raw.set_channel_gains(0.5)
    raw.set_channel_offsets(offset)
    recording = signed(raw.save(folder=tmp_path / "raw", verbose=False))
    assert recording.get_dtype() == np.dtype("int16")
    assert np.array_equal(recording.get_traces(), (values.astype(int) - middle).astype("int16"))
    assert np.allclose(recording.get_traces(return_in_uV=True), values * 0.5 + offset)
    recording.dump_to_json(tmp_path / "r.json", relative_to=tmp_path, include_properties=True)
    again = si.load(tmp_path / "r.json", base_folder=tmp_path)
    assert np.allclose(again.get_traces(return_in_uV=True), values * 0.5 + offset)


def test_signed_samples_are_left_alone():
    recording = si.generate_recording(num_channels=2, durations=[0.1])
    assert signed(recording) is recording


def test_geometry_is_required_and_never_invented():
    without = si.generate_recording(num_channels=4, durations=[0.1], set_probe=False)
    with pytest.raises(BadDataError, match=r"streamX has no probe geometry.*probe_paths"):
        require_geometry(without, "streamX")
    probe = si.generate_recording(num_channels=4, durations=[0.1]).get_probe()
    probe.contact_positions[3] = np.nan
    without.set_probe(probe)
    with pytest.raises(BadDataError, match="streamX has electrode positions that are no numbers"):
        require_geometry(without, "streamX")


def test_groups_are_selected_by_their_whole_name():
    recording = si.generate_recording(num_channels=4, durations=[0.1])
    recording.set_property("group", np.array([1, 10, 10, 2]))
    assert has_group(recording, "10") and has_group(recording, None) and not has_group(recording, "0")
    assert list(select_group(recording, "1", "s").channel_ids) == list(recording.channel_ids[:1])
    with pytest.raises(BadDataError, match=r"no channel group '0', only \['1', '10', '2'\]"):
        select_group(recording, "0", "s")


# --- whole sessions -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three_triggers(tmp_path_factory):
    """A SpikeGLX run with three triggers of 2 s, 10 s apart, of one probe."""
    out = tmp_path_factory.mktemp("triggers") / "out"
    run = write_demo_session(out, probes=1, seconds=2, channels=8)
    for file in sorted(run.rglob("*_t0.*")):
        for trigger in (1, 2):
            later = file.with_name(file.name.replace("_t0.", f"_t{trigger}."))
            shutil.copy(file, later)
            if later.suffix == ".meta":
                rate = float(re.search(r"imSampRate=(.*)", later.read_text()).group(1))
                text = later.read_text().replace("firstSample=0", f"firstSample={round(10 * trigger * rate)}")
                later.write_text(text)
    return out


def test_three_segments_are_three_sessions_or_one(three_triggers):
    split = discover(three_triggers, JobDispatchParams()).jobs
    assert [job.session for job in split] == [f"demo_g0__block0_recording{n}" for n in (1, 2, 3)]
    assert [job.recording_name for job in split] == [f"block0_imec0.ap_recording{n}" for n in (1, 2, 3)]
    (joined,) = discover(three_triggers, JobDispatchParams(split_segments=False)).jobs
    assert (joined.session, joined.recording_name) == ("demo_g0", "block0_imec0.ap_recording")


def test_joined_segments_keep_their_times_in_every_band(three_triggers, make_work, tiny_params, tmp_path):
    params = tiny_params(job_dispatch={"split_segments": False, "debug": True, "debug_duration": 1.5})
    work = make_work(three_triggers, tmp_path / "results", params)
    produce(work.stages["recording"], work)
    for band in (load_recording(work), load_lfp_band(work)):
        assert [band.get_start_time(index) for index in range(3)] == [0.0, 10.0, 20.0]
        assert [band.get_duration(index) for index in range(3)] == pytest.approx([1.5] * 3)
    assert read_job(work)["segments"] == 3


def test_joined_segments_without_an_order_in_time_are_laid_end_to_end(
    three_triggers, make_work, tiny_params, tmp_path
):
    data = Path(shutil.copytree(three_triggers, tmp_path / "data"))
    for meta in data.rglob("*.meta"):
        meta.write_text(re.sub(r"firstSample=\d+", "firstSample=0", meta.read_text()))
    params = tiny_params(job_dispatch={"split_segments": False})
    work = make_work(data, tmp_path / "results", params)
    produced = produce(work.stages["recording"], work)
    for band in (load_recording(work), load_lfp_band(work)):
        assert [band.get_start_time(index) for index in range(3)] == pytest.approx([0.0, 2.0, 4.0])
    check = produced.manifest.summary["checks"]["timestamps"]
    assert not check["passed"] and "reset: segments overlap" in check["description"]


@pytest.mark.skipif(not FOUR_SHANKS.exists(), reason=f"no acquisition metadata at {SHARED}")
def test_four_shanks_times_three_segments(tmp_path):
    text = FOUR_SHANKS.read_text()
    channels = int(re.search(r"nSavedChans=(\d+)", text).group(1))
    for trigger in range(3):
        stem = tmp_path / "mouse_g0" / "mouse_g0_imec0" / f"mouse_g0_t{trigger}.imec0.ap"
        stem.parent.mkdir(parents=True, exist_ok=True)
        Path(f"{stem}.bin").write_bytes(bytes(2 * channels * 30))
        Path(f"{stem}.meta").write_text(re.sub(r"fileSizeBytes=\d+", f"fileSizeBytes={60 * channels}", text))

    def keys(**params):
        jobs = discover(tmp_path, JobDispatchParams(**params)).jobs
        return {(job.session, job.probe): job.num_channels for job in jobs}

    segments = [f"mouse_g0__block0_recording{n}" for n in (1, 2, 3)]
    groups = [f"imec0_group{n}" for n in range(4)]
    assert set(keys()) == {(session, probe) for session in segments for probe in groups}
    assert set(keys(split_groups=False)) == {(session, "imec0") for session in segments}
    assert set(keys(split_segments=False)) == {("mouse_g0", probe) for probe in groups}
    assert keys(split_segments=False, split_groups=False) == {("mouse_g0", "imec0"): channels - 1}
    assert sum(keys(split_segments=False).values()) == channels - 1


def test_several_nwb_files_are_sessions_and_a_broken_one_stops_none(tmp_path):
    file = write_demo_session(tmp_path / "out", probes=1, seconds=1, channels=8, format="nwb")
    root = tmp_path / "root"
    root.mkdir()
    for name in ("monday", "tuesday"):
        shutil.copy(file, root / f"{name}.nwb")
    (root / "broken.nwb").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    found = discover(root, JobDispatchParams(multi_session=True))
    assert [(job.session, job.probe) for job in found.jobs] == [("monday", "imec0"), ("tuesday", "imec0")]
    assert [one.folder for one in found.unreadable] == ["broken.nwb"]
    chosen = discover(root, JobDispatchParams(input="nwb", nwb_files="tuesday.nwb"))
    assert [job.session for job in chosen.jobs] == ["tuesday"]
