"""NWB files: every wide-band series is a probe, with the file's own geometry, or a clear reason why not."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numcodecs
import numpy as np
import pytest
import spikeinterface.core as si
import zarr
from hdmf_zarr import NWBZarrIO
from pynwb import NWBHDF5IO, NWBFile
from pynwb.ecephys import LFP, ElectricalSeries

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest import check_timestamps, discover, fingerprint, identity, load, load_recording
from spikepipe_core.params import JobDispatchParams

RATE = 30_000.0
ELECTRODES = "general/extracellular_ephys/electrodes"


def write_nwb(
    path: Path,
    *,
    devices: tuple[str, ...] = ("ProbeA", "ProbeB"),
    shanks: int = 1,
    channels: int = 4,
    positions: bool = True,
    lfp: bool = True,
    dtype: str = "int16",
    timestamps: np.ndarray | None = None,
    same_place: bool = False,
    one_series: bool = False,
    relative_to_shanks: bool = False,
) -> None:
    """Write a file with a wide-band series, and an LFP series in the LFP container, for each device.

    A name that ends in ``.zarr`` makes it Zarr, with pickled references, as hdmf-zarr writes them.
    """
    nwb = NWBFile("test", path.stem, datetime(2024, 1, 1, tzinfo=UTC))
    nwb.add_electrode_column("inter_sample_shift", "in samples")
    rng = np.random.default_rng(0)
    info = np.iinfo(dtype)
    middle = (info.max + info.min + 1) // 2
    times = {"timestamps": timestamps} if timestamps is not None else {"rate": RATE, "starting_time": 1.5}
    for name in devices:
        model = nwb.create_device_model(name=f"model of {name}", manufacturer="imec", model_number="NP1000")
        device = nwb.create_device(name=name, serial_number="123", model=model)
        for shank in range(shanks):
            group = nwb.create_electrode_group(
                name if shanks == 1 else f"{name}_shank{shank}", description="x", location="y", device=device
            )
            for channel in range(channels):
                x = 0.0 if relative_to_shanks else 250.0 * shank
                where = {"rel_x": x, "rel_y": 0.0 if same_place else 20.0 * channel} if positions else {}
                nwb.add_electrode(group=group, location="cortex", inter_sample_shift=channel / 10, **where)
    per_device = shanks * channels
    parts = [("", range(per_device * len(devices)))] if one_series else [
        (name, range(per_device * index, per_device * (index + 1))) for index, name in enumerate(devices)
    ]  # fmt: skip
    for name, rows in parts:
        region = nwb.create_electrode_table_region(list(rows), description="z")
        data = (middle + rng.integers(-100, 100, (3000, len(rows)))).astype(dtype)
        nwb.add_acquisition(
            ElectricalSeries(
                name=f"ElectricalSeries{name}AP", data=data, electrodes=region, conversion=2e-6, **times
            )
        )
        if lfp:
            slow = ElectricalSeries(
                name=f"ElectricalSeries{name}LF",
                data=data[::12].astype("int16"),
                electrodes=region,
                rate=RATE / 12,
                conversion=4e-6,
            )
            nwb.add_acquisition(LFP(name=f"LFP{name}", electrical_series=slow))
    with NWBZarrIO(str(path), "w") if path.suffix == ".zarr" else NWBHDF5IO(path, "w") as io:
        io.write(nwb)


@pytest.fixture(scope="module", params=[".nwb", ".nwb.zarr"])
def two_probes(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("nwb")
    write_nwb(folder / f"mouse 1{request.param}")
    return folder


def test_jobs_and_signals(two_probes):
    (file,) = two_probes.iterdir()
    found = discover(two_probes, JobDispatchParams())
    assert found.readers == {"nwb": f"NWB file {file.name}"}
    assert [(job.probe, job.recording_name, job.lfp_stream) for job in found.jobs] == [
        (
            "ProbeA",
            "block0_acquisition-ElectricalSeriesProbeAAP_recording1",
            "acquisition-LFPProbeA-ElectricalSeriesProbeALF",
        ),
        (
            "ProbeB",
            "block0_acquisition-ElectricalSeriesProbeBAP_recording1",
            "acquisition-LFPProbeB-ElectricalSeriesProbeBLF",
        ),
    ]
    assert len({job.session for job in found.jobs}) == 1
    assert {job.probe_model for job in found.jobs} == {"NP1000"}
    assert {job.kind for job in found.jobs} == {"wide-band"}
    loaded = load(found.jobs[1], found.data_root)
    assert loaded.recording.get_num_channels() == loaded.lfp.get_num_channels() == 4
    assert np.array_equal(loaded.recording.get_channel_locations()[:, 1], [0, 20, 40, 60])
    assert loaded.recording.get_channel_gains() == pytest.approx(2.0)
    assert loaded.recording.get_times()[0] == 1.5
    assert loaded.lfp.get_sampling_frequency() == 2500
    assert found.ignored == ()
    probe = loaded.recording.get_probe()
    assert (probe.name, probe.model_name, probe.manufacturer, probe.serial_number) == (
        "ProbeB",
        "NP1000",
        "imec",
        "123",
    )
    assert loaded.recording.get_property("inter_sample_shift").tolist() == [0.0, 0.1, 0.2, 0.3]
    assert loaded.recording.get_property("brain_area").tolist() == ["cortex"] * 4
    assert set(loaded.recording.get_channel_groups()) == {"ProbeB"}


def test_zarr_and_hdf5_give_the_same(tmp_path):
    times = 10 + np.arange(3000) / RATE
    for name in ("h/m.nwb", "z/m.nwb.zarr"):
        (tmp_path / name).parent.mkdir()
        write_nwb(tmp_path / name, shanks=2, timestamps=times)
    found = [discover(tmp_path / part, JobDispatchParams()) for part in "hz"]
    keys = [[(job.session, job.probe, job.recording_name, job.duration) for job in one.jobs] for one in found]
    assert keys[0] == keys[1]
    for of_hdf5, of_zarr in zip(found[0].jobs, found[1].jobs, strict=True):
        one, other = load(of_hdf5, found[0].data_root), load(of_zarr, found[1].data_root)
        for left, right in ((one.recording, other.recording), (one.lfp, other.lfp)):
            assert np.array_equal(left.get_traces(), right.get_traces())
            assert np.array_equal(left.get_times(), right.get_times())
            assert np.array_equal(left.get_channel_locations(), right.get_channel_locations())
            assert np.array_equal(left.get_channel_gains(), right.get_channel_gains())
            assert left.channel_ids.tolist() == right.channel_ids.tolist()
            assert set(left.get_property_keys()) == set(right.get_property_keys())


def test_a_series_of_two_devices_is_two_probes(tmp_path):
    write_nwb(tmp_path / "s.nwb", one_series=True)
    found = discover(tmp_path, JobDispatchParams())
    assert [(job.probe, job.num_channels) for job in found.jobs] == [("ProbeA", 4), ("ProbeB", 4)]
    both = [load(job, tmp_path) for job in found.jobs]
    assert both[1].recording.get_probe().name == "ProbeB"
    assert both[1].lfp.get_num_channels() == 4
    with h5py.File(tmp_path / "s.nwb") as file:
        data = file["acquisition/ElectricalSeriesAP/data"][:]
    for index, one in enumerate(both):
        assert np.array_equal(one.recording.get_traces(), data[:, 4 * index : 4 * index + 4])


def test_positions_that_are_relative_to_each_shank(tmp_path):
    write_nwb(tmp_path / "s.nwb", devices=("ProbeA",), shanks=2, relative_to_shanks=True)
    jobs = discover(tmp_path, JobDispatchParams()).jobs
    assert [load_recording(job, tmp_path).get_channel_locations()[:, 1].tolist() for job in jobs] == [
        [0, 20, 40, 60]
    ] * 2
    (joined,) = discover(tmp_path, JobDispatchParams(split_groups=False)).jobs
    assert "positions relative to each group" in joined.problem


def test_one_file_can_be_given(two_probes):
    whole = discover(two_probes, JobDispatchParams())
    (file,) = two_probes.iterdir()
    one = discover(file, JobDispatchParams())
    assert [job.session for job in one.jobs] == [job.session for job in whole.jobs]
    assert [identity(job, one.data_root) for job in one.jobs] == [
        identity(job, two_probes) for job in whole.jobs
    ]
    assert fingerprint(one.jobs[0], one.data_root) == fingerprint(whole.jobs[0], whole.data_root)


def test_description_reloads(two_probes, tmp_path):
    found = discover(two_probes, JobDispatchParams())
    recording = load_recording(found.jobs[0], two_probes)
    recording.dump_to_json(tmp_path / "r.json", relative_to=two_probes, include_properties=True)
    again = si.load(tmp_path / "r.json", base_folder=two_probes)
    assert np.array_equal(again.get_traces(), recording.get_traces())
    assert np.array_equal(again.get_channel_locations(), recording.get_channel_locations())


def test_shanks_are_groups(tmp_path):
    write_nwb(tmp_path / "s.nwb", devices=("ProbeA",), shanks=2)
    split = discover(tmp_path, JobDispatchParams())
    assert [job.probe for job in split.jobs] == ["ProbeA_groupProbeA_shank0", "ProbeA_groupProbeA_shank1"]
    loaded = load(split.jobs[1], tmp_path)
    assert set(loaded.recording.get_channel_locations()[:, 0]) == {250.0}
    assert loaded.lfp.get_num_channels() == 4
    assert [job.num_channels for job in discover(tmp_path, JobDispatchParams(split_groups=False)).jobs] == [8]


def test_unsigned_data(tmp_path):
    write_nwb(tmp_path / "u.nwb", devices=("ProbeA",), dtype="uint16")
    found = discover(tmp_path, JobDispatchParams())
    recording = load_recording(found.jobs[0], tmp_path)
    assert recording.get_dtype() == np.dtype("int16")
    assert abs(recording.get_traces()).max() <= 100


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"positions": False}, r"ElectricalSeriesProbeAAP has no electrode positions.*rel_x.*probe_paths"),
        ({"same_place": True}, r"4 electrodes of group 'ProbeA' at one place"),
    ],
)
def test_positions_are_never_invented(tmp_path, how, said):
    write_nwb(tmp_path / "p.nwb", devices=("ProbeA",), **how)
    (job,) = discover(tmp_path, JobDispatchParams()).jobs
    with pytest.raises(BadDataError, match=said):
        load(job, tmp_path)


def test_data_in_another_file_are_not_followed(tmp_path):
    write_nwb(tmp_path / "a.nwb", devices=("ProbeA",), lfp=False)
    (tmp_path / "secret.bin").write_bytes(bytes(3000 * 4 * 2))
    with h5py.File(tmp_path / "a.nwb", "a") as file:
        series = file["acquisition/ElectricalSeriesProbeAAP"]
        attributes = dict(series["data"].attrs)
        del series["data"]
        outside = [(str(tmp_path / "secret.bin"), 0, 3000 * 4 * 2)]
        data = series.create_dataset("data", (3000, 4), "int16", external=outside)
        data.attrs.update(attributes)
    (job,) = discover(tmp_path, JobDispatchParams()).jobs
    with pytest.raises(BadDataError, match="lie in another file"):
        load(job, tmp_path)


def test_a_damaged_file_does_not_stop_the_others(tmp_path):
    write_nwb(tmp_path / "good.nwb", devices=("ProbeA",))
    (tmp_path / "bad.nwb").write_bytes((tmp_path / "good.nwb").read_bytes()[:5000])
    (tmp_path / "store.nwb").mkdir()
    found = discover(tmp_path, JobDispatchParams())
    assert [job.session for job in found.jobs] == ["good"]
    reasons = {stream.stream: stream.reason for stream in found.ignored}
    assert "cannot be read as NWB" in reasons["bad.nwb"]
    assert "no NWB file in Zarr" in reasons["store.nwb"]


class Bomb:
    """Whoever unpickles it leaves a trace."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


def test_pickles_in_zarr_are_never_decoded(tmp_path):
    path = tmp_path / "m.nwb.zarr"
    write_nwb(path, devices=("ProbeA",))
    electrodes, marker = path / "general/extracellular_ephys/electrodes", tmp_path / "exploded"
    for name in ("group", "evil"):
        store = zarr.open_group(str(electrodes), mode="a")
        if name in store:
            del store[name]
        values = np.array([Bomb(marker)] * 4, dtype=object)
        store.create_dataset(name, data=values, object_codec=numcodecs.Pickle())
    (path / ".zmetadata").unlink()
    marker.unlink(missing_ok=True)  # writing with Zarr reads back
    (job,) = discover(tmp_path, JobDispatchParams()).jobs
    recording = load_recording(job, tmp_path)
    recording.dump_to_json(tmp_path / "r.json", relative_to=tmp_path, include_properties=True)
    si.load(tmp_path / "r.json", base_folder=tmp_path).get_traces()
    assert not marker.exists()

    codec = json.loads((electrodes / "evil/.zarray").read_text())["filters"]
    described = json.loads((electrodes / "group_name/.zarray").read_text())
    (electrodes / "group_name/.zarray").write_text(json.dumps({**described, "filters": codec}))
    (job,) = discover(tmp_path, JobDispatchParams()).jobs
    assert "uses the codec 'pickle', which is not known to be safe" in job.problem
    assert not marker.exists()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda z: (z / "acquisition/ElectricalSeriesProbeAAP/data/0.0").unlink(), r"has \d+ of \d+ chunks"),
        (
            lambda z: (z / "acquisition/ElectricalSeriesProbeAAP/data/.zarray").write_text("{"),
            r"cannot be read as NWB",
        ),
        (lambda z: (z / "acquisition/x").symlink_to("/etc"), r"is a symbolic link"),
        (lambda z: os.mkfifo(z / "general/extracellular_ephys/electrodes/rel_x/1"), r"is no file"),
        (lambda z: (z / ".zattrs").write_bytes(b"\xff"), r"is not text in UTF-8"),
    ],
)
def test_damaged_zarr(tmp_path, damage, said):
    path = tmp_path / "m.nwb.zarr"
    write_nwb(path, devices=("ProbeA",), lfp=False)
    damage(path)
    with pytest.raises(BadDataError, match=said):
        found = discover(tmp_path, JobDispatchParams())
        load(found.jobs[0], tmp_path)


def _spoil_hdf5(change):
    def spoil(path):
        with h5py.File(path, "a") as file:
            change(file, file["acquisition/ElectricalSeriesProbeAAP"])

    return spoil


def _replace(group, name, values):
    attributes = dict(group[name].attrs)
    del group[name]
    group.create_dataset(name, data=values).attrs.update(attributes)


def _without_channels(series):
    _replace(series, "electrodes", np.zeros(0, int))
    _replace(series, "data", np.zeros((9, 0)))


def _link_out(series):
    with h5py.File(Path(series.file.filename).with_name("other.h5"), "w") as other:
        series.copy("data", other)
    del series["data"]
    series["data"] = h5py.ExternalLink("other.h5", "/data")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_spoil_hdf5(lambda f, s: _replace(s, "data", np.zeros((0, 4), "int16"))), r"holds no samples"),
        (_spoil_hdf5(lambda f, s: _replace(s, "data", np.zeros((9, 3), "int16"))), r"\(9, 3\) for 4 electrodes"),
        (_spoil_hdf5(lambda f, s: _without_channels(s)), r"holds no samples"),
        (_spoil_hdf5(lambda f, s: _replace(s, "electrodes", [90, 91, 92, 93])), r"cannot be read|out of bounds"),
        (_spoil_hdf5(lambda f, s: s.__delitem__("starting_time")), r"neither a rate nor usable timestamps"),
        (_spoil_hdf5(lambda f, s: s["starting_time"].attrs.__setitem__("rate", float("nan"))), r"neither a rate"),
        (_spoil_hdf5(lambda f, s: f[ELECTRODES].__delitem__("group_name")), r"no column group_name"),
        (_spoil_hdf5(lambda f, s: _link_out(s)), r"ElectricalSeriesProbeAAP/data.* in another file"),
    ],
)  # fmt: skip
def test_damaged_series_is_named_and_other_files_go_on(tmp_path, damage, said):
    write_nwb(tmp_path / "bad.nwb", devices=("ProbeA",), lfp=False)
    write_nwb(tmp_path / "good.nwb", devices=("ProbeA",), lfp=False)
    damage(tmp_path / "bad.nwb")
    found = discover(tmp_path, JobDispatchParams())
    assert [job.session for job in found.jobs if job.problem is None] == ["good"]
    reasons = [one.reason for one in found.ignored] + [job.problem for job in found.jobs if job.problem]
    assert re.search(said, " ".join(reasons)), reasons


def test_files_can_be_chosen(tmp_path):
    for name in ("a", "b"):
        write_nwb(tmp_path / f"{name}.nwb", devices=("ProbeA",), lfp=False)
    found = discover(tmp_path, JobDispatchParams(nwb_files="b.nwb"))
    assert [job.session for job in found.jobs] == ["b"]
    with pytest.raises(BadDataError, match=r"'c\.nwb'"):
        discover(tmp_path, JobDispatchParams(nwb_files=["c.nwb"]))


def test_times_of_the_file_are_kept_and_judged(tmp_path):
    times = 10 + np.arange(3000) / RATE
    write_nwb(tmp_path / "fine.nwb", devices=("ProbeA",), timestamps=times, lfp=False)
    recording = load_recording(discover(tmp_path, JobDispatchParams()).jobs[0], tmp_path)
    assert recording.get_sampling_frequency() == pytest.approx(RATE)
    assert np.array_equal(recording.get_times(), times)
    assert check_timestamps(recording).ok

    times[2000:] += 0.5
    (tmp_path / "gap").mkdir()
    write_nwb(tmp_path / "gap/gap.nwb", devices=("ProbeA",), timestamps=times, lfp=False)
    found = discover(tmp_path / "gap", JobDispatchParams())
    verdict = check_timestamps(load_recording(found.jobs[0], found.data_root))
    assert not verdict.ok
    assert verdict.gaps[0].sample == 1999
