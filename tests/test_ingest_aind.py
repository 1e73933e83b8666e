"""AIND sessions: compressed streams under the names of Open Ephys, at every level, or the reason why not."""

from __future__ import annotations

import json
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import spikeinterface.core as si
import zarr

from spikepipe_core.demo import write_demo_session
from spikepipe_core.errors import BadDataError, NotAvailableError
from spikepipe_core.ingest import RecordingJob, discover, fingerprint, load, load_recording
from spikepipe_core.nwb.metadata import read_session_metadata
from spikepipe_core.params import JobDispatchParams

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
CHANNELS = 12
AP = "experiment1_Record Node 101#Neuropix-PXI-100.imec0-AP.zarr"
LFP = AP.replace("-AP", "-LFP")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return write_demo_session(
        tmp_path_factory.mktemp("aind") / "out", probes=1, seconds=1, channels=CHANNELS, format="aind"
    )


@pytest.fixture
def copy(demo, tmp_path):
    return Path(shutil.copytree(demo, tmp_path / "ecephys_1_2024-01-01"))


def _jobs(folder: Path, **params) -> dict[str, RecordingJob]:
    return {f"{job.session}/{job.probe}": job for job in discover(folder, JobDispatchParams(**params)).jobs}


def _compressed(session: Path) -> Path:
    return session / "ecephys" / "ecephys_compressed"


def _clipped(session: Path) -> Path:
    return session / "ecephys" / "ecephys_clipped"


# --- names and levels ---------------------------------------------------------------------------------------


def test_a_compressed_session(copy):
    found = discover(copy, JobDispatchParams())
    assert found.readers == {"aind": f"compressed stream {AP}"}
    [job] = found.jobs
    assert (job.session, job.session_folder, job.probe) == (copy.name, copy.name, "imec0")
    assert job.recording_name == AP.removesuffix(".zarr") + "_recording1"
    assert (job.num_channels, job.sampling_frequency, job.duration) == (CHANNELS, 30_000.0, 1.0)
    assert (job.kind, job.probe_model.split()[0], job.problem) == ("AP", "NP1000", None)
    loaded = load(job, copy)
    assert loaded.recording.has_time_vector(0)  # as Open Ephys synchronized them
    assert loaded.lfp.get_sampling_frequency() == 2_500.0
    assert np.allclose(loaded.recording.get_property("inter_sample_shift")[:4], [0, 0, 1 / 13, 1 / 13])
    assert len(np.unique(loaded.recording.get_channel_locations(), axis=0)) == CHANNELS
    json.dumps(job.model_dump(mode="json"))


def test_a_description_in_json_moves_with_the_data(copy, tmp_path):
    [job] = discover(copy, JobDispatchParams()).jobs
    recording = load_recording(job, copy)
    recording.dump_to_json(tmp_path / "it.json", relative_to=copy, include_properties=True)
    moved = Path(shutil.move(copy, tmp_path / "moved"))
    again = si.load(tmp_path / "it.json", base_folder=moved)
    assert np.array_equal(again.get_traces(), load_recording(job, moved).get_traces())
    assert np.array_equal(again.get_times(), load_recording(job, moved).get_times())
    assert again.get_property("inter_sample_shift") is not None


@pytest.mark.parametrize("level", [".", "..", "ecephys", "ecephys/ecephys_compressed"])
def test_any_level_of_a_session_can_be_given(copy, level):
    found = discover((copy / level).resolve(), JobDispatchParams())
    [job] = found.jobs
    assert job.session == copy.name
    assert load(job, found.data_root).lfp is not None
    assert "ecephys_clipped" in str(job.files)


def test_the_older_level_without_ecephys(copy):
    for folder in (_compressed(copy), _clipped(copy)):
        folder.rename(copy / folder.name)
    (copy / "ecephys").rmdir()
    jobs = _jobs(copy)
    assert list(jobs) == [f"{copy.name}/imec0"]
    assert load(jobs[f"{copy.name}/imec0"], copy).lfp is not None


@pytest.fixture
def uncompressed(tmp_path):
    """A session whose traces have not been compressed: `ecephys` is the Open Ephys folder."""
    session = write_demo_session(tmp_path / "raw", probes=1, seconds=1, channels=CHANNELS, format="openephys")
    target = tmp_path / "data" / "ecephys_2_2024-01-02" / "ecephys"
    target.parent.mkdir(parents=True)
    shutil.move(session, target)
    return target.parent


def test_a_session_that_is_not_compressed(uncompressed):
    about = {"describedBy": "https://example.org/aind_data_schema/core/session.py", "subject_id": "2"}
    (uncompressed / "session.json").write_text(json.dumps(about))
    found = discover(uncompressed, JobDispatchParams())
    assert found.readers == {"aind": "session.json of aind-data-schema, with Open Ephys recordings"}
    [job] = found.jobs
    assert (job.session, job.probe, job.reader) == (uncompressed.name, "imec0", "aind")
    loaded = load(job, found.data_root)
    assert loaded.recording.get_num_samples() == 30_000
    assert loaded.lfp is not None


def test_compressed_and_uncompressed_sessions_in_one_folder(copy, uncompressed):
    shutil.move(uncompressed, copy.parent / uncompressed.name)
    for params in ({}, {"multi_session": True, "input": "aind"}):
        jobs = _jobs(copy.parent, **params)
        assert f"{copy.name}/imec0" in jobs
        assert f"{uncompressed.name}/imec0" in jobs


def test_the_clipped_traces_alone_are_no_recording(copy):
    shutil.rmtree(_compressed(copy))
    [job] = discover(copy, JobDispatchParams()).jobs
    assert job.session == copy.name
    assert re.search(r"only the first samples.*ecephys_compressed.*Copy it again", job.problem)


# --- several recordings, streams and nodes ------------------------------------------------------------------


def _store(session: Path, name: str, lengths=(300,), channels=4, rate=30_000.0, probe=True, shanks=1) -> Path:
    """A store as SpikeInterface writes it, under the name of a stream."""
    from probeinterface import generate_multi_shank

    rng = np.random.default_rng(0)
    traces = [rng.integers(-99, 99, (length, channels), dtype="int16") for length in lengths]
    recording = si.NumpyRecording(traces, rate)
    recording.set_channel_gains(0.195)
    recording.set_channel_offsets(0)
    if probe:
        shape = generate_multi_shank(
            num_shank=shanks, num_columns=1, num_contact_per_column=channels // shanks
        )
        shape.set_device_channel_indices(np.arange(channels))
        recording.set_probe(shape, group_mode="by_shank")
    folder = _compressed(session) / f"{name}.zarr"
    recording.save(format="zarr", folder=folder, verbose=False, progress_bar=False)
    return folder


def test_recordings_keep_the_numbers_that_open_ephys_gave_them(copy):
    node = _clipped(copy) / "Record Node 101"
    shutil.copytree(node / "experiment1/recording1", node / "experiment3/recording2")
    shutil.copytree(node / "experiment1/recording1", node / "experiment3/recording10")
    _store(copy, "experiment3_Record Node 101#Neuropix-PXI-100.imec0-AP", lengths=(300, 200))
    jobs = discover(copy, JobDispatchParams()).jobs
    assert [(job.session, round(job.duration * 30_000)) for job in jobs] == [
        (f"{copy.name}__experiment1_recording1", 30_000),
        (f"{copy.name}__experiment3_recording2", 300),
        (f"{copy.name}__experiment3_recording10", 200),
    ]
    assert [load_recording(job, copy).get_num_samples() for job in jobs[1:]] == [300, 200]
    [_, joined] = discover(copy, JobDispatchParams(split_segments=False)).jobs
    assert load_recording(joined, copy).get_num_segments() == 2


def test_without_the_open_ephys_folder_recordings_are_counted(copy):
    shutil.rmtree(_clipped(copy))
    _store(copy, "experiment2_Record Node 101#Neuropix-PXI-100.imec0-AP", lengths=(300, 200))
    assert [job.session for job in discover(copy, JobDispatchParams()).jobs] == [
        f"{copy.name}__experiment1_recording1",
        f"{copy.name}__experiment2_recording1",
        f"{copy.name}__experiment2_recording2",
    ]


def test_shanks_and_their_lfp(copy):
    shutil.rmtree(_compressed(copy))
    name = "experiment1_Record Node 101#Neuropix-PXI-100.imec0"
    _store(copy, f"{name}-AP", channels=8, shanks=2)
    _store(copy, f"{name}-LFP", channels=8, shanks=2, rate=2_500.0, lengths=(25,))
    jobs = discover(copy, JobDispatchParams()).jobs
    assert [(job.probe, job.num_channels) for job in jobs] == [("imec0_group0", 4), ("imec0_group1", 4)]
    for job in jobs:
        loaded = load(job, copy)
        assert list(loaded.recording.channel_ids) == list(loaded.lfp.channel_ids)


def test_everything_that_is_no_probe_is_listed_with_why(copy):
    node = "experiment1_Record Node 101#"
    _store(copy, f"{node}NI-DAQmx-103.PXIe-6341")
    _store(copy, f"{node}Neuropix-PXI-100.imec0-APSYNC", channels=1)
    _store(copy, f"{node}Neuropix-PXI-100.imec7-LFP", rate=2_500.0)
    _store(copy, "AmplifierData")
    _store(copy, "experiment1_Record Node 109#Neuropix-PXI-100.imec0-AP")
    found = discover(copy, JobDispatchParams())
    assert [job.stream for job in found.jobs] == ["Record Node 101#Neuropix-PXI-100.imec0-AP"]
    reasons = {one.stream.rsplit("/", 1)[-1]: (one.kind, one.reason) for one in found.ignored}
    assert reasons[f"{node}NI-DAQmx-103.PXIe-6341.zarr"][0] == "analog"
    assert reasons[f"{node}Neuropix-PXI-100.imec0-APSYNC.zarr"][0] == "sync"
    assert reasons[f"{node}Neuropix-PXI-100.imec7-LFP.zarr"][0] == "LFP"
    assert "AIND names its streams" in reasons["AmplifierData.zarr"][1]
    assert "another Record Node" in reasons["experiment1_Record Node 109#Neuropix-PXI-100.imec0-AP.zarr"][1]


# --- geometry -----------------------------------------------------------------------------------------------


def _without_probe(store: Path) -> None:
    content = json.loads((store / ".zattrs").read_text())
    content.pop("probegroup")
    (store / ".zattrs").write_text(json.dumps(content))


def test_geometry_that_a_store_lacks_is_that_of_the_settings(copy):
    before = load(_jobs(copy)[f"{copy.name}/imec0"], copy)
    _without_probe(_compressed(copy) / AP)
    job = _jobs(copy)[f"{copy.name}/imec0"]
    assert (job.problem, job.num_channels) == (None, CHANNELS)
    recording = load(job, copy).recording
    assert np.array_equal(recording.get_channel_locations(), before.recording.get_channel_locations())

    shutil.rmtree(_clipped(copy))
    job = _jobs(copy)[f"{copy.name}/imec0"]
    assert re.search(r"imec0-AP.* no probe geometry.*probe_paths", job.problem)


def test_geometry_from_a_probe_file(copy):
    from probeinterface import generate_linear_probe, write_probeinterface

    for store in (AP, LFP):
        _without_probe(_compressed(copy) / store)
    shutil.rmtree(_clipped(copy))
    probe = generate_linear_probe(CHANNELS, ypitch=25)
    probe.set_device_channel_indices(np.arange(CHANNELS)[::-1])
    write_probeinterface(copy / "probe.json", probe)
    info = {"reader_type": "openephysbinary", "probe_paths": "probe.json"}
    [job] = discover(copy, JobDispatchParams(spikeinterface_info=info)).jobs
    loaded = load(job, copy)
    for recording in (loaded.recording, loaded.lfp):
        assert recording.get_channel_locations()[:, 1].tolist() == [25.0 * i for i in range(CHANNELS)][::-1]

    shutil.rmtree(_compressed(copy) / AP / "traces_seg0")  # no probe file hides this
    [job] = discover(copy, JobDispatchParams(spikeinterface_info=info)).jobs
    assert "has no traces of segment 0" in job.problem


def test_the_geometry_of_older_versions_is_put_in_the_order_of_the_channels(copy):
    """Before SpikeInterface 0.105 the contacts had an order of their own, and named their channels."""
    store = _store(copy, "experiment2_Record Node 101#Neuropix-PXI-100.imec0", channels=4)
    content = json.loads((store / ".zattrs").read_text())
    group = content.pop("probegroup")
    probe = group["probes"][0]
    order = [2, 0, 3, 1]
    places = probe["contact_positions"]
    probe["contact_positions"] = [places[channel] for channel in order]
    probe["device_channel_indices"] = order
    (store / ".zattrs").write_text(json.dumps(content | {"probe": group}))
    job = next(job for job in discover(copy, JobDispatchParams()).jobs if job.block == "experiment2")
    assert load_recording(job, copy).get_channel_locations().tolist() == places


# --- codecs -------------------------------------------------------------------------------------------------


def _recompress(store: Path, compressor) -> None:
    group = zarr.open(str(store), mode="a")
    traces = group["traces_seg0"][:]
    group.create_dataset(
        "traces_seg0", data=traces, chunks=(10_000, traces.shape[1]), compressor=compressor, overwrite=True
    )
    zarr.consolidate_metadata(str(store))  # as SpikeInterface did before 0.105


def test_wavpack(copy):
    wavpack = pytest.importorskip("wavpack_numcodecs", reason="the extra spikepipe[wavpack] is not installed")
    job = _jobs(copy)[f"{copy.name}/imec0"]
    before = load_recording(job, copy).get_traces()
    _recompress(_compressed(copy) / AP, wavpack.WavPack(level=3))
    after = load_recording(_jobs(copy)[f"{copy.name}/imec0"], copy)
    assert np.array_equal(after.get_traces(), before)


def _edit_codec(store: Path, array: str, codec: dict) -> None:
    path = store / array / ".zarray"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"compressor": codec}))


def test_a_codec_that_is_missing_is_named_with_its_extra(copy, monkeypatch):
    from numcodecs import registry

    job = _jobs(copy)[f"{copy.name}/imec0"]
    monkeypatch.delitem(registry.codec_registry, "wavpack", raising=False)
    monkeypatch.delitem(registry.entries, "wavpack", raising=False)
    _edit_codec(_compressed(copy) / AP, "traces_seg0", {"id": "wavpack", "level": 3})
    said = (
        r"imec0-AP\.zarr is compressed with the codec 'wavpack', which is not installed.*spikepipe\[wavpack\]"
    )
    assert re.search(said, _jobs(copy)[f"{copy.name}/imec0"].problem)
    with pytest.raises(NotAvailableError, match=said):
        load_recording(job, copy)


@pytest.mark.parametrize("where", ["traces_seg0", "properties/group", "consolidated"])
def test_pickle_is_not_opened(copy, where):
    store = _compressed(copy) / AP
    if where == "consolidated":
        zarr.consolidate_metadata(str(store))
        content = json.loads((store / ".zmetadata").read_text())
        content["metadata"]["traces_seg0/.zarray"]["filters"] = [{"id": "pickle", "protocol": 5}]
        (store / ".zmetadata").write_text(json.dumps(content))
    else:
        _edit_codec(store, where, {"id": "pickle", "protocol": 5})
    job = _jobs(copy)[f"{copy.name}/imec0"]
    assert re.search(r"codec 'pickle', which is not known to be safe", job.problem)
    with pytest.raises(BadDataError, match="pickle"):
        load_recording(job, copy)


# --- what is wrong with a store -----------------------------------------------------------------------------


def _zattrs(store: Path, **changes) -> None:
    path = store / ".zattrs"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda s: shutil.rmtree(s / "traces_seg0"), r"no traces of segment 0"),
        (lambda s: (s / ".zattrs").write_text("{"), r"\.zattrs is no valid JSON"),
        (lambda s: (s / ".zattrs").write_text("[]"), r"no JSON object"),
        (lambda s: (s / ".zattrs").write_bytes(b"\xff\xfe"), r"not text in UTF-8"),
        (lambda s: _zattrs(s, sampling_frequency="fast"), r"'fast' as its sampling frequency"),
        (lambda s: _zattrs(s, num_segments=-1), r"-1 as its number of segments"),
        (lambda s: _zattrs(s, probegroup={"probes": [{}]}), r"geometry cannot be read"),
        (lambda s: (s / "zarr.json").write_text("{}"), r"Zarr 3, which is not read"),
        (lambda s: (s / "traces_seg0/.zarray").write_text("{}"), r"no traces of segment 0 \(shape None\)"),
        (lambda s: (s / ".zmetadata").write_text("{}"), r"no consolidated metadata"),
    ],
)
def test_a_broken_store_says_why_and_the_other_goes_on(copy, damage, said):
    _store(copy, "experiment1_Record Node 101#Neuropix-PXI-100.imec1-AP")
    damage(_compressed(copy) / AP)
    jobs = _jobs(copy)
    broken, whole = jobs[f"{copy.name}/imec0"], jobs[f"{copy.name}/imec1"]
    assert re.search(said, broken.problem), broken.problem
    with pytest.raises(BadDataError):
        load(broken, copy)
    assert whole.problem is None
    assert load_recording(whole, copy).get_num_channels() == 4


def test_a_broken_lfp_store_costs_the_lfp_and_nothing_else(copy):
    shutil.rmtree(_compressed(copy) / LFP / "traces_seg0")
    job = _jobs(copy)[f"{copy.name}/imec0"]
    assert re.search(r"imec0-LFP\.zarr has no traces", job.lfp_problem)
    assert load(job, copy).lfp is None


def test_a_store_that_was_copied_in_part_is_not_read_as_zeros(copy):
    [job] = discover(copy, JobDispatchParams()).jobs
    next((_compressed(copy) / AP / "traces_seg0").glob("0*")).unlink()
    with pytest.raises(BadDataError, match=r"0 of 1 chunks: it was not copied completely"):
        load_recording(job, copy)


def test_links_in_a_store_are_not_followed(copy):
    [job] = discover(copy, JobDispatchParams()).jobs
    chunk = _compressed(copy) / AP / "traces_seg0" / "0.0"
    outside = copy.parent / "outside"
    shutil.move(chunk, outside)
    chunk.symlink_to(outside)
    with pytest.raises(BadDataError, match="symbolic link"):
        load_recording(job, copy)
    chunk.unlink()
    os.mkfifo(chunk)
    with pytest.raises(BadDataError, match="is no file"):
        load_recording(job, copy)


# --- identity -----------------------------------------------------------------------------------------------


def test_fingerprint_of_a_store(copy, tmp_path):
    [job] = discover(copy, JobDispatchParams()).jobs
    original = fingerprint(job, copy)
    again = Path(shutil.copytree(copy, tmp_path / "again" / "elsewhere"))
    os.utime(_compressed(again) / AP / ".zattrs", (0, 0))
    [moved] = discover(again, JobDispatchParams()).jobs
    assert fingerprint(moved, again) == original
    _zattrs(_compressed(again) / AP, sampling_frequency=29_999.0)
    assert fingerprint(moved, again) != original
    [chunk, *_] = sorted((_compressed(copy) / AP / "traces_seg0").glob("0*"))
    content = bytearray(chunk.read_bytes())
    content[-1] ^= 1
    chunk.write_bytes(content)
    assert fingerprint(job, copy) != original


# --- who was recorded when ----------------------------------------------------------------------------------


def _metadata(session: Path):
    found = discover(session, JobDispatchParams())
    raw = [found.data_root / file for job in found.jobs for file in job.files]
    return read_session_metadata(session.name, raw, found.data_root, identifier="x")


def test_real_json_beside_the_data(copy):
    real = SHARED / "aind_metadata"
    if not real.is_dir():
        pytest.skip(f"no metadata of aind-data-schema at {real}")
    for path in real.glob("*.json"):
        (copy / path.name).write_text(path.read_text())
    metadata = _metadata(copy)
    assert metadata.session_start_time == datetime(2023, 4, 25, 2, 35, tzinfo=UTC)  # session.json
    assert metadata.subject["subject_id"] == "632269"
    assert metadata.subject["date_of_birth"].year == 2022
    assert metadata.nwbfile["institution"] == "Allen Institute for Neural Dynamics"
    assert metadata.session_id == "ecephys_632269_2023-10-10_10-10-10"


def test_json_of_version_2(copy):
    schema = "https://raw.githubusercontent.com/AllenNeuralDynamics/aind-data-schema/main/"
    acquisition = {"subject_id": "7", "acquisition_start_time": "2025-02-03T04:05:06+00:00"}
    details = {"sex": "Male", "species": {"name": "Mus musculus"}, "genotype": "wt/wt"}
    for name, content in (
        ("acquisition", acquisition | {"acquisition_type": "Foraging"}),
        ("subject", {"subject_id": "7", "subject_details": details}),
    ):
        (copy / f"{name}.json").write_text(json.dumps(content | {"describedBy": schema}))
    (copy / "session.json").unlink()
    metadata = _metadata(copy)
    assert metadata.session_start_time == datetime(2025, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert metadata.nwbfile["session_description"] == "Foraging"
    assert (metadata.subject["sex"], metadata.subject["genotype"]) == ("M", "wt/wt")


def test_without_json_the_start_is_that_of_open_ephys_and_there_is_no_subject(copy):
    for path in copy.glob("*.json"):
        path.unlink()
    node = _clipped(copy) / "Record Node 101"
    messages = node / "experiment1/recording1/sync_messages.txt"
    messages.write_text("Software Time (milliseconds since midnight Jan 1st 1970 UTC): 1651600344618\n")
    metadata = _metadata(copy)
    assert metadata.session_start_time == datetime(2022, 5, 3, 17, 52, 24, 618_000, tzinfo=UTC)
    assert metadata.subject is None
    messages.write_text("Software time: 14402102@2435932Hz\n")  # before GUI 0.6: of no known epoch
    settings = node / "settings.xml"
    settings.write_text(re.sub("<DATE>.*</DATE>", "<DATE>3 May 2022 10:52:24</DATE>", settings.read_text()))
    start = _metadata(copy).session_start_time
    assert start.replace(tzinfo=None) == datetime(2022, 5, 3, 10, 52, 24)
