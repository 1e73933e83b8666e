"""Input `spikeinterface`: any of its readers, and what it saved, without ever running what files say."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import probeinterface as pi
import pytest
import spikeinterface.core as si
import spikeinterface.preprocessing as spre

from spikepipe_core.errors import BadDataError, NotAvailableError, ParamsError
from spikepipe_core.ingest import discover, identity, load, load_recording
from spikepipe_core.params import JobDispatchParams

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
LOCUST, INTAN = SHARED / "locust", SHARED / "intan"
needs_real_data = pytest.mark.skipif(not LOCUST.exists(), reason=f"no real recordings at {SHARED}")
BINARY = {
    "sampling_frequency": 20_000.0,
    "num_channels": 4,
    "dtype": "int16",
    "gain_to_uV": 0.5,
    "offset_to_uV": 0,
}


def params(reader_type: str = "binary", reader_kwargs=None, dispatch=None, **info) -> JobDispatchParams:
    described = {"reader_type": reader_type, "reader_kwargs": reader_kwargs, **info}
    return JobDispatchParams(input="spikeinterface", spikeinterface_info=described, **(dispatch or {}))


def write_probe(path: Path, wiring, shanks: int = 1) -> pi.Probe:
    """A probe with a column of contacts on each shank, wired as said."""
    per_shank = len(wiring) // shanks
    probe = pi.Probe(ndim=2, si_units="um")
    positions = [[250.0 * (i // per_shank), 20.0 * (i % per_shank)] for i in range(len(wiring))]
    probe.set_contacts(positions, shapes="circle", shape_params={"radius": 5})
    probe.set_shank_ids([str(i // per_shank) for i in range(len(wiring))])
    probe.set_device_channel_indices(wiring)
    pi.write_probeinterface(path, probe)
    return probe


def traces(seconds: float = 0.1, channels: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-100, 100, (round(seconds * 20_000), channels), dtype="int16")


@pytest.fixture
def binary(tmp_path) -> Path:
    """A folder with two raw files and the probe that they were recorded with."""
    folder = tmp_path / "mouse1"
    folder.mkdir()
    for index in (1, 2):
        traces(seed=index).tofile(folder / f"trial{index}.raw")
    write_probe(folder / "probe.json", [0, 1, 2, 3])
    return folder


def two(files=("trial1.raw", "trial2.raw")) -> dict:
    return {**BINARY, "file_paths": list(files)}


# --- readers and their arguments ----------------------------------------------------------------------------


def test_files_are_segments(binary):
    found = discover(binary, params(reader_kwargs=two(), probe_paths="probe.json"))
    assert [(job.session, job.probe, job.recording_name) for job in found.jobs] == [
        ("mouse1__block0_recording1", "binary", "block0_binary_recording1"),
        ("mouse1__block0_recording2", "binary", "block0_binary_recording2"),
    ]
    for index, job in enumerate(found.jobs):
        assert (job.num_channels, job.sampling_frequency, job.duration) == (4, 20_000.0, 0.1)
        loaded = load(job, binary)
        assert np.array_equal(loaded.recording.get_traces(), traces(seed=index + 1))
        assert loaded.recording.get_channel_gains().tolist() == [0.5] * 4
        assert loaded.lfp is None
    (joined,) = discover(
        binary, params(reader_kwargs=two(), probe_paths="probe.json", dispatch={"split_segments": False})
    ).jobs
    assert joined.session == "mouse1"
    assert load_recording(joined, binary).get_num_segments() == 2


@pytest.mark.parametrize(
    ("reader_type", "kwargs", "said"),
    [
        ("binry", {}, r"'binry' is no reader of SpikeInterface\. Did you mean 'binary'"),
        ("binary", {"num_chanels": 4}, r"no argument 'num_chanels'; did you mean 'num_channels'"),
        ("intan", {"file_path": 3}, r"reader_kwargs\.file_path = 3 is no path"),
        ("intan", {"file_path": "s3://bucket/a.rhd"}, r"no path"),
        ("nwb", {"file_path": "a.nwb", "stream_mode": "remfile"}, r"reads over a network"),
    ],
)
def test_wrong_params(binary, reader_type, kwargs, said):
    with pytest.raises(ParamsError, match=said):
        discover(binary, params(reader_type, kwargs))


def test_readers_that_run_what_files_say_are_not_used(binary):
    for reader in ("sinapsresearchplatform", "shybrid", "ibl", "numpy"):
        with pytest.raises(NotAvailableError, match="is not done with data folders"):
            discover(binary, params(reader))


def test_lists_must_fit_together(binary):
    with pytest.raises(ParamsError, match=r"session_names has 2 entries for 1 of reader_kwargs"):
        discover(binary, params(reader_kwargs=two(), session_names=["a", "b"]))


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        (two(["nothing.raw"]), r"nothing\.raw is missing"),
        (two(["sub"]), r"sub is a folder, where a file is expected"),
        (two(["pipe"]), r"pipe is a pipe, where a file is expected"),
        (two(["../secret.raw"]), r"leads out of the data folder"),
        (two(["link.raw"]), r"leads out of the data folder.*allow_paths_outside_data"),
        (two(["loop.raw"]), r"leads back to itself"),
        (two(["trial1.raw"]) | {"num_channels": 3}, r"no whole frames of 6 bytes"),
        (two(["trial1.raw"]) | {"num_channels": 10**12}, r"is no number of channels"),
        (two(["trial1.raw"]) | {"num_channels": 0}, r"0 is no number of channels"),
        (two(["trial1.raw"]) | {"dtype": "O"}, r"dtype=object"),
    ],
)
def test_files_that_cannot_be_opened(binary, kwargs, said):
    (binary.parent / "secret.raw").write_bytes(bytes(80))
    (binary / "link.raw").symlink_to(binary.parent / "secret.raw")
    (binary / "loop.raw").symlink_to("loop.raw")
    os.mkfifo(binary / "pipe")
    (binary / "sub").mkdir()
    with pytest.raises(BadDataError, match=said):
        discover(binary, params(reader_kwargs=kwargs, probe_paths="probe.json"))


def test_paths_may_lead_out_if_the_params_say_so(binary):
    outside = binary.parent / "outside.raw"
    shutil.move(binary / "trial1.raw", outside)
    (binary / "link.raw").symlink_to(outside)
    for name in ("link.raw", "../outside.raw", str(outside)):
        asked = params(
            reader_kwargs=two([name]), probe_paths="probe.json", dispatch={"allow_paths_outside_data": True}
        )
        (job,) = discover(binary, asked).jobs
        assert np.array_equal(load_recording(job, binary).get_traces(), traces(seed=1))
        assert identity(job, binary)


def test_a_list_of_arguments_is_a_list_of_sessions(binary):
    several = [two(["trial1.raw"]), two(["nothing.raw"]), two(["trial2.raw"])]
    found = discover(binary, params(reader_kwargs=several, probe_paths="probe.json"))
    assert [job.session for job in found.jobs] == ["trial1", "trial2"]
    assert "nothing.raw is missing" in next(
        one.reason for one in found.ignored if one.stream == "reader_kwargs[1]"
    )
    named = params(
        reader_kwargs=[several[0], several[2]],
        session_names=["monday", "../tuesday"],
        probe_paths=["probe.json", {"binary": "probe.json"}],
        dispatch={"multi_session": True},
    )
    sessions = [job.session for job in discover(binary, named).jobs]
    assert sessions[1] == "monday"
    assert sessions[0].startswith("__tuesday")


def test_multi_session_opens_the_same_arguments_in_every_folder(binary, tmp_path):
    shutil.copytree(binary, tmp_path / "mouse2")
    shutil.copytree(binary, tmp_path / "mouse3")
    (tmp_path / "mouse3" / "trial1.raw").unlink()
    asked = params(
        reader_kwargs=two(["trial1.raw"]), probe_paths="probe.json", dispatch={"multi_session": True}
    )
    found = discover(tmp_path, asked)
    assert [job.session for job in found.jobs] == ["mouse1", "mouse2"]
    assert [(one.folder, "is missing" in one.reason) for one in found.unreadable] == [("mouse3", True)]


def test_identity_follows_the_content_not_the_place(binary, tmp_path):
    asked = params(reader_kwargs=two(["trial1.raw"]), probe_paths="probe.json", session_names="s")
    (job,) = discover(binary, asked).jobs
    above = params(
        reader_kwargs=two(["mouse1/trial1.raw"]), probe_paths="mouse1/probe.json", session_names="s"
    )
    (from_above,) = discover(tmp_path, above).jobs
    assert identity(job, binary) == identity(from_above, tmp_path)
    write_probe(binary / "probe.json", [3, 2, 1, 0])
    (rewired,) = discover(binary, asked).jobs
    assert identity(job, binary) != identity(rewired, binary)
    with pytest.raises(BadDataError, match=r"probe\.json has changed since it was discovered"):
        load(job, binary)


# --- geometry -----------------------------------------------------------------------------------------------


def test_without_geometry_the_stream_and_the_remedy_are_named(binary):
    (job,) = discover(binary, params(reader_kwargs=two(["trial1.raw"]))).jobs
    assert job.problem.startswith("binary has no probe geometry")
    assert "job_dispatch.spikeinterface_info.probe_paths" in job.problem
    with pytest.raises(BadDataError, match="probe_paths"):
        load(job, binary)


def test_a_scrambled_map_of_two_shanks_is_sorted_into_true_positions(binary):
    wiring = [5, 0, 3, 6, 1, 7, 2, 4]
    eight = traces(channels=8)
    eight.tofile(binary / "eight.raw")
    probe = write_probe(binary / "scrambled.json", wiring, shanks=2)
    kwargs = two(["eight.raw"]) | {"num_channels": 8}
    asked = params(reader_kwargs=kwargs, probe_paths="scrambled.json", dispatch={"split_groups": False})
    (job,) = discover(binary, asked).jobs
    recording = load_recording(job, binary)
    assert np.array_equal(recording.get_traces(), eight)
    for contact, channel in enumerate(wiring):
        assert (
            recording.get_channel_locations()[channel].tolist() == probe.contact_positions[contact].tolist()
        )

    split = discover(binary, params(reader_kwargs=kwargs, probe_paths="scrambled.json")).jobs
    assert [(job.probe, job.num_channels) for job in split] == [("binary_group0", 4), ("binary_group1", 4)]
    for shank, job in enumerate(split):
        part = load_recording(job, binary)
        contacts = sorted(range(4 * shank, 4 * shank + 4), key=lambda contact: wiring[contact])
        assert np.array_equal(part.get_traces(), eight[:, [wiring[contact] for contact in contacts]])
        assert part.get_channel_locations().tolist() == probe.contact_positions[contacts].tolist()


def test_channels_without_a_contact_are_left_out_and_that_is_said(binary):
    write_probe(binary / "three.json", [2, -1, 0, 1])
    (job,) = discover(binary, params(reader_kwargs=two(["trial1.raw"]), probe_paths="three.json")).jobs
    assert job.remarks == ("1 channels are left out: no contact of three.json is wired to them",)
    assert job.num_channels == 3
    recording = load_recording(job, binary)
    assert np.array_equal(recording.get_traces(), traces(seed=1)[:, :3])
    assert recording.get_channel_locations()[:, 1].tolist() == [40, 60, 0]


def _spoil(change):
    def write(path):
        write_probe(path, [0, 1, 2, 3])
        content = json.loads(path.read_text())
        change(content["probes"][0])
        path.write_text(json.dumps(content))

    return write


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: None, r"probe_paths: .*spoilt\.json is missing"),
        (lambda path: path.write_text("{"), r"cannot be read as a ProbeInterface file"),
        (lambda path: path.write_text("{}"), r"is no ProbeInterface file"),
        (lambda path: path.write_bytes(b"\xff\xfe"), r"not text in UTF-8"),
        (lambda path: os.mkfifo(path), r"is a pipe"),
        (lambda path: write_probe(path, [0, 1, 2, 7]), r"4 channels \(0 to 3\).*channel 7"),
        (lambda path: write_probe(path, [-1, -1, -1, -1]), r"wires contacts to none of them"),
        (_spoil(lambda probe: probe.pop("device_channel_indices")), r"which channel each contact is wired to"),
        (_spoil(lambda probe: probe.update(device_channel_indices=[0, 0, 1, 2])), r"several contacts to channel 0"),
        (_spoil(lambda probe: probe.update(si_units="mm")), r"positions in mm"),
        (_spoil(lambda probe: probe["contact_positions"][0].__setitem__(0, float("nan"))), r"no numbers"),
    ],
)  # fmt: skip
def test_probe_files_that_cannot_be_used(binary, write, said):
    write(binary / "spoilt.json")
    (job,) = discover(binary, params(reader_kwargs=two(["trial1.raw"]), probe_paths="spoilt.json")).jobs
    with pytest.raises(BadDataError, match=said):
        load(job, binary)


# --- real formats -------------------------------------------------------------------------------------------


@needs_real_data
def test_locust(tmp_path):
    write_probe(tmp_path / "probe.json", [0, 1, 2, 3])
    kwargs = {
        "file_paths": ["locust_trial_01.raw", "locust_trial_02.raw"],
        "sampling_frequency": 15_000.0,
        "num_channels": 4,
        "dtype": "int16",
        "gain_to_uV": 1,
        "offset_to_uV": 0,
    }
    asked = params(
        reader_kwargs=kwargs, probe_paths=str(tmp_path / "probe.json"), dispatch={"split_segments": False}
    )
    (job,) = discover(LOCUST, asked).jobs
    assert (job.session, job.probe, job.kind) == ("locust", "binary", "wide-band")
    assert (job.num_channels, job.sampling_frequency) == (4, 15_000.0)
    assert job.duration == pytest.approx(57.54, abs=0.01)
    first = np.fromfile(LOCUST / "locust_trial_01.raw", dtype="int16").reshape(-1, 4)
    assert np.array_equal(load_recording(job, LOCUST).get_traces(segment_index=0), first)


@needs_real_data
def test_intan(tmp_path):
    write_probe(tmp_path / "probe.json", np.arange(64)[::-1].tolist(), shanks=4)
    info = {"probe_paths": {"RHD2000 amplifier channel": str(tmp_path / "probe.json")}}
    found = discover(INTAN, params("intan", **info))
    assert [(job.probe, job.num_channels) for job in found.jobs] == [
        (f"RHD2000_amplifier_channel_group{shank}", 16) for shank in range(4)
    ]
    assert [(one.stream, one.kind) for one in found.ignored] == [
        ("RHD2000 auxiliary input channel", "analog")
    ]
    loaded = load_recording(found.jobs[0], INTAN)
    raw = si.load(loaded.to_dict(recursive=True, include_properties=True))
    assert loaded.get_dtype() == raw.get_dtype() == np.dtype("int16")  # unsigned in the file
    assert loaded.get_num_samples() == 17_664
    assert loaded.get_channel_gains()[0] == pytest.approx(0.195)
    assert abs(loaded.get_traces(return_in_uV=True)).max() < 6400

    (bare,) = discover(INTAN, params("intan")).jobs
    assert bare.problem.startswith("RHD2000 amplifier channel has no probe geometry")
    kept = discover(INTAN, params("intan", keep_stream_substrings="amplifier", **info))
    assert "keep_stream_substrings" in kept.ignored[0].reason
    with pytest.raises(BadDataError, match=r"amplifier channel: left out by skip_stream_substrings"):
        discover(INTAN, params("intan", skip_stream_substrings=["amplifier", "aux"]))


@needs_real_data
def test_the_one_file_of_a_format_is_found_and_of_several_none_is_taken(tmp_path):
    for name in ("a.rhd", "b.rhd"):
        shutil.copy(INTAN / "sampledata.rhd", tmp_path / name)
    with pytest.raises(BadDataError, match=r"holds 2 files \(a\.rhd, b\.rhd.*reader_kwargs\.file_path"):
        discover(tmp_path, params("intan"))
    (tmp_path / "b.rhd").unlink()
    assert [job.session for job in discover(tmp_path, params("intan")).jobs] == [tmp_path.name]
    assert [job.session for job in discover(tmp_path / "a.rhd", params("intan")).jobs] == ["a"]
    (tmp_path / "a.rhd").write_bytes((tmp_path / "a.rhd").read_bytes()[:1000])
    with pytest.raises(BadDataError, match=r"cannot be read with the spikeinterface reader"):
        discover(tmp_path, params("intan"))


def test_streams_of_one_probe_get_its_key_and_its_lfp_band(tmp_path):
    from spikepipe_core.demo import write_demo_session

    write_demo_session(tmp_path / "out", probes=1, seconds=1, channels=(16,))
    folder = tmp_path / "out" / "demo_g0"
    (job,) = discover(folder, params("spikeglx")).jobs
    (native,) = discover(folder, JobDispatchParams()).jobs
    assert (job.session, job.probe, job.recording_name) == (
        native.session,
        native.probe,
        native.recording_name,
    )
    assert (job.lfp_stream, job.kind) == ("imec0.lf", "AP")
    ours, theirs = load(job, folder), load(native, folder)
    for one, other in ((ours.recording, theirs.recording), (ours.lfp, theirs.lfp)):
        assert np.array_equal(one.get_traces(), other.get_traces())
        assert np.array_equal(one.get_channel_locations(), other.get_channel_locations())


# --- what SpikeInterface saved ------------------------------------------------------------------------------


def a_recording(channels: int = 8) -> si.BaseRecording:
    recording = si.NumpyRecording([traces(channels=channels), traces(0.05, channels)], 20_000.0)
    recording.set_channel_gains(0.5)
    recording.set_channel_offsets(0.0)
    recording.set_property("inter_sample_shift", np.linspace(0, 0.9, channels))
    probe = pi.generate_multi_columns_probe(num_columns=1, num_contact_per_column=channels)
    probe.set_device_channel_indices(np.arange(channels)[::-1])
    recording.set_probe(probe)
    return recording


def assert_same(one: si.BaseRecording, other: si.BaseRecording) -> None:
    assert one.get_num_segments() == other.get_num_segments()
    for segment in range(one.get_num_segments()):
        assert np.array_equal(one.get_traces(segment_index=segment), other.get_traces(segment_index=segment))
        assert np.array_equal(one.get_times(segment), other.get_times(segment))
    assert np.array_equal(one.get_channel_locations(), other.get_channel_locations())
    assert np.array_equal(one.get_channel_gains(), other.get_channel_gains())
    assert np.array_equal(one.get_property("inter_sample_shift"), other.get_property("inter_sample_shift"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A session folder with the same recording as a binary folder, a Zarr store, and a description of the former."""
    folder = tmp_path_factory.mktemp("saved") / "mouse1"
    folder.mkdir()
    recording = a_recording()
    binary = recording.save(folder=folder / "ProbeA", verbose=False)
    recording.save(folder=folder / "ProbeB.zarr", format="zarr", verbose=False)
    sliced = binary.select_channels(binary.channel_ids[:4])
    sliced.dump_to_json(folder / "ProbeC.json", relative_to=folder, include_properties=True)
    return folder


@pytest.fixture
def breakable(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "mouse1"))


def test_saved_recordings_are_found_and_opened_as_they_were(saved):
    found = discover(saved, JobDispatchParams(split_segments=False))
    assert list(found.readers) == ["spikeinterface"]
    assert [(job.session, job.probe, job.num_channels) for job in found.jobs] == [
        ("mouse1", "ProbeA", 8),
        ("mouse1", "ProbeB", 8),
        ("mouse1", "ProbeC", 4),
    ]
    original = a_recording()
    half = original.select_channels(original.channel_ids[:4])
    for job, expected in zip(found.jobs, (original, original, half), strict=True):
        assert_same(load_recording(job, saved), expected)
        assert load_recording(job, saved).get_dtype() == np.dtype("int16")


def test_what_was_loaded_can_be_described_and_moved(saved, tmp_path):
    found = discover(saved, JobDispatchParams())
    moved = Path(shutil.copytree(saved, tmp_path / "elsewhere"))
    for job in found.jobs:
        recording = load_recording(job, saved)
        recording.dump_to_json(tmp_path / "r.json", relative_to=saved, include_properties=True)
        assert str(saved) not in (tmp_path / "r.json").read_text()
        assert_same(si.load(tmp_path / "r.json", base_folder=moved), recording)


@pytest.mark.parametrize("name", ["ProbeA", "ProbeB.zarr", "ProbeC.json"])
def test_one_saved_recording_can_be_given_itself(saved, name):
    jobs = discover(saved / name, JobDispatchParams(split_segments=False)).jobs
    assert [(job.session, job.probe) for job in jobs] == [(name.split(".")[0],) * 2]
    named = params("spikeinterface", {"folder": name}, session_names="m", dispatch={"split_segments": False})
    (job,) = discover(saved, named).jobs
    assert (job.session, job.probe) == ("m", name.split(".")[0])


def test_preprocessing_steps_in_a_description_are_done(breakable):
    folder = breakable / "ProbeA"
    chain = spre.highpass_filter(si.load(folder), freq_min=300.0)
    chain.dump_to_json(breakable / "filtered.json", relative_to=breakable, include_properties=True)
    asked = params("spikeinterface", {"file_path": "filtered.json"}, dispatch={"split_segments": False})
    (job,) = discover(breakable, asked).jobs
    loaded = load_recording(job, breakable)
    assert np.array_equal(loaded.get_traces(segment_index=0), chain.get_traces(segment_index=0))


class Bomb:
    """Whoever unpickles it leaves a trace."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def test_pickles_are_never_loaded(breakable, tmp_path):
    marker = tmp_path / "exploded"
    values = np.array([Bomb(marker)] * 8, dtype=object)
    np.save(breakable / "ProbeA" / "properties" / "evil.npy", values, allow_pickle=True)
    (breakable / "provenance.pkl").write_bytes(pickle.dumps(Bomb(marker)))
    metadata = breakable / "ProbeB.zarr" / "properties" / "inter_sample_shift" / ".zarray"
    metadata.write_text(
        metadata.read_text().replace('"filters": null', '"filters": [{"id": "pickle", "protocol": 5}]')
    )
    found = discover(breakable, JobDispatchParams(split_segments=False))
    jobs = {job.probe: job for job in found.jobs}
    assert "evil are pickles" in " ".join(jobs["ProbeA"].remarks)
    assert_same(load_recording(jobs["ProbeA"], breakable), a_recording())
    assert load_recording(jobs["ProbeC"], breakable).get_num_channels() == 4
    reasons = {one.stream: one.reason for one in found.ignored}
    assert "a pickle" in reasons["provenance.pkl"]
    assert "codec 'pickle'" in reasons["ProbeB.zarr"]
    with pytest.raises(BadDataError, match="a pickle"):
        discover(breakable, params("spikeinterface", {"file_path": "provenance.pkl"}))
    assert not marker.exists()


def _described(folder: Path, change) -> None:
    path = folder / "ProbeC.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _inner(content: dict) -> dict:
    while "recording" in content["kwargs"] or "parent_recording" in content["kwargs"]:
        content = content["kwargs"].get("recording") or content["kwargs"]["parent_recording"]
    return content


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update({"class": "subprocess.Popen"}), r"describes a 'subprocess\.Popen', which is not opened"),
        (lambda c: c.update({"class": "os.spikeinterface.core.ChannelSliceRecording"}), r"is not opened"),
        (lambda c: _inner(c).update({"class": "builtins.exec"}), r"builtins\.exec"),
        (lambda c: _inner(c)["kwargs"].update(folder_path="../../secret"), r"leads out of the data folder"),
        (lambda c: c.update(relative_paths=False) or _inner(c)["kwargs"].update(folder_path="/etc"), r"leads out"),
        (lambda c: _inner(c)["kwargs"].update(folder_path="s3://bucket/a.zarr"), r"data on a network are not read"),
        (lambda c: _inner(c)["kwargs"].update(storage_options={"anon": True}), r"data on a network"),
        (lambda c: _inner(c)["kwargs"].update(folder_path="nowhere"), r"binary\.json is missing"),
        (lambda c: c.update(kwargs=None), r"without keyword arguments"),
        (lambda c: c["kwargs"].update(channel_ids=["no", "such"]), r"cannot be read with the spikeinterface reader"),
    ],
)  # fmt: skip
def test_descriptions_that_are_not_safe(breakable, change, said):
    (breakable.parent / "secret").mkdir()
    _described(breakable, change)
    with pytest.raises(BadDataError, match=said):
        discover(breakable / "ProbeC.json", JobDispatchParams())
    with pytest.raises(BadDataError, match=said):
        discover(breakable, params("spikeinterface", {"file_path": "ProbeC.json"}))


def test_a_description_nested_without_end(breakable):
    text = '{"class": "a", "version": "", "annotations": {}, "kwargs": ' + '{"recording": ' * 100_000
    (breakable / "ProbeC.json").write_text(text + "1" + "}" * 100_001)
    with pytest.raises(BadDataError, match=r"no valid JSON|nested too deeply"):
        discover(breakable / "ProbeC.json", JobDispatchParams(input="spikeinterface"))


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


@pytest.mark.parametrize(
    ("probe", "damage", "said"),
    [
        ("ProbeA", lambda f: _truncate(f / "ProbeA/traces_cached_seg1.raw"), r"no whole frames of 16 bytes"),
        ("ProbeA", lambda f: (f / "ProbeA/traces_cached_seg1.raw").unlink(), r"seg1\.raw is missing"),
        ("ProbeA", lambda f: (f / "ProbeA/binary.json").write_text("[]"), r"no JSON object"),
        ("ProbeA", lambda f: (f / "ProbeA/binary.json").write_text("{}"), r"does not describe binary files"),
        ("ProbeA", lambda f: (f / "ProbeA/probegroup.json").write_text("{}"), r"ProbeA has no probe geometry"),
        ("ProbeA", lambda f: (f / "ProbeA/properties/gain_to_uV.npy").write_bytes(b"no"), r"no NumPy file"),
        ("ProbeB", lambda f: (f / "ProbeB.zarr/traces_seg0/0.0").unlink(), r"has 0 of 1 chunks"),
        ("ProbeB", lambda f: (f / "ProbeB.zarr/traces_seg0/.zarray").write_text("{"), r"no valid JSON"),
        ("ProbeB", lambda f: (f / "ProbeB.zarr/traces_seg0/9.9").symlink_to("0.0"), r"symbolic link"),
    ],
)  # fmt: skip
def test_damaged_recordings_do_not_stop_the_others(breakable, probe, damage, said):
    (breakable / "ProbeC.json").unlink()
    damage(breakable)
    found = discover(breakable, JobDispatchParams(split_segments=False))
    (other,) = {"ProbeA", "ProbeB"} - {probe}
    assert [job.probe for job in found.jobs if job.problem is None] == [other]
    reasons = " ".join([one.reason for one in found.ignored] + [job.problem or "" for job in found.jobs])
    assert re.search(said, reasons), reasons
