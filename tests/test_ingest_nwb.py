"""NWB files: every wide-band series is a probe, with the file's own geometry, or a clear reason why not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
import spikeinterface.core as si
from pynwb import NWBHDF5IO, NWBFile
from pynwb.ecephys import LFP, ElectricalSeries

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest import check_timestamps, discover, fingerprint, load, load_recording
from spikepipe_core.params import JobDispatchParams

RATE = 30_000.0


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
) -> None:
    """Write a file with a wide-band series, and an LFP series in the LFP container, for each device."""
    nwb = NWBFile("test", path.stem, datetime(2024, 1, 1, tzinfo=UTC))
    rng = np.random.default_rng(0)
    row = 0
    for name in devices:
        device = nwb.create_device(name=name)
        first = row
        for shank in range(shanks):
            group = nwb.create_electrode_group(
                name if shanks == 1 else f"{name}_shank{shank}", description="x", location="y", device=device
            )
            for channel in range(channels):
                where = (
                    {"rel_x": 250.0 * shank, "rel_y": 0.0 if same_place else 20.0 * channel}
                    if positions
                    else {}
                )
                nwb.add_electrode(group=group, location="cortex", **where)
                row += 1
        region = nwb.create_electrode_table_region(list(range(first, row)), description="z")
        info = np.iinfo(dtype)
        middle = (info.max + info.min + 1) // 2
        data = (middle + rng.integers(-100, 100, (3000, row - first))).astype(dtype)
        times = {"timestamps": timestamps} if timestamps is not None else {"rate": RATE, "starting_time": 1.5}
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
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)


@pytest.fixture(scope="module")
def two_probes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nwb")
    write_nwb(folder / "mouse 1.nwb")
    return folder


def test_jobs_and_signals(two_probes):
    found = discover(two_probes, JobDispatchParams())
    assert found.readers == {"nwb": "NWB file mouse 1.nwb"}
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
    loaded = load(found.jobs[1], found.data_root)
    assert loaded.recording.get_num_channels() == loaded.lfp.get_num_channels() == 4
    assert np.array_equal(loaded.recording.get_channel_locations()[:, 1], [0, 20, 40, 60])
    assert loaded.recording.get_channel_gains() == pytest.approx(2.0)
    assert loaded.recording.get_times()[0] == 1.5
    assert loaded.lfp.get_sampling_frequency() == 2500
    assert found.ignored == ()


def test_one_file_can_be_given(two_probes):
    whole = discover(two_probes, JobDispatchParams())
    one = discover(two_probes / "mouse 1.nwb", JobDispatchParams())
    assert one.jobs == whole.jobs
    assert one.data_root == two_probes
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
    assert "Zarr" in reasons["store.nwb"]


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
