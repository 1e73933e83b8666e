"""The demo session is real data of every format, with the ground truth it says it has."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import probeinterface
import pytest
import spikeinterface.core as si
import spikeinterface.extractors as se
import spikeinterface.preprocessing as spre

from spikepipe_core.demo import FORMATS, ground_truth_folder, read_ground_truth, write_demo_session
from spikepipe_core.demo.simulation import ProbeSimulation
from spikepipe_core.demo.spikeglx import sample_shifts
from spikepipe_core.errors import BadDataError, ParamsError
from spikepipe_core.ingest import discover, load
from spikepipe_core.ingest.openephys_events import event_times
from spikepipe_core.params import JobDispatchParams

SMALL = {"probes": 2, "seconds": 4.0, "channels": (16, 12)}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    steps = []
    run_folder = write_demo_session(folder, **SMALL, progress=lambda done, text: steps.append((done, text)))
    assert run_folder == folder / "demo_g0"
    assert steps[-1][0] == 1.0
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    return folder


def _files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(("probe", "channels"), [("imec0", 16), ("imec1", 12)])
def test_neo_and_probeinterface_read_it_with_true_positions(out, probe, channels):
    recording = se.read_spikeglx(out / "demo_g0", stream_id=f"{probe}.ap")
    lf = se.read_spikeglx(out / "demo_g0", stream_id=f"{probe}.lf")
    meta = out / f"demo_g0/demo_g0_{probe}/demo_g0_t0.{probe}.ap.meta"

    # Neuropixels 1.0: two contacts a row, rows 20 um apart, every other row shifted by 16 um
    rows = np.arange(channels) // 2
    expected = np.stack([(rows + 1) % 2 * 16.0 + np.arange(channels) % 2 * 32.0, rows * 20.0], axis=1)
    assert np.array_equal(recording.get_channel_locations(), expected)
    assert np.array_equal(lf.get_channel_locations(), expected)
    assert recording.get_num_samples() == 4 * 30_000
    assert lf.get_num_samples() == 4 * 2_500
    assert recording.get_property("inter_sample_shift") is not None

    geometry = probeinterface.neuropixels_tools.parse_spikeglx_snsGeomMap(
        probeinterface.neuropixels_tools.parse_spikeglx_meta(meta)
    )
    x, y = geometry[4], geometry[5]
    assert np.array_equal(y, expected[:, 1])
    assert np.ptp(x - expected[:, 0]) == 0


def test_amplitudes_are_those_of_the_ground_truth(out):
    recording = spre.highpass_filter(se.read_spikeglx(out / "demo_g0", stream_id="imec0.ap"))
    sorting, facts = read_ground_truth(ground_truth_folder(out, "imec0"))
    strongest = max(
        (
            unit
            for unit in facts.units
            if unit.num_spikes >= 20 and unit.best_channel not in facts.noisy_channels
        ),
        key=lambda unit: unit.snr,
    )
    traces = recording.get_traces(return_in_uV=True)
    spikes = sorting.get_unit_spike_train(strongest.unit_id)
    spikes = spikes[(spikes > 50) & (spikes < len(traces) - 50)]
    mean = np.mean([traces[spike - 15 : spike + 15] for spike in spikes], axis=0)
    # the tissue moves by up to 7.5 um from its middle position, and the filter takes a little
    assert -mean.min() == pytest.approx(strongest.amplitude_uV, rel=0.3)
    assert sorting.get_num_units() == len(facts.units) >= 2
    assert 10 <= np.ptp(facts.drift_um) <= 20


def test_phase_shift_undoes_the_sampling_offsets_of_the_converters():
    shifts = sample_shifts(16)
    as_sampled = ProbeSimulation(16, 2.0, 3, shifts).spikes_uV(0, 30_000)
    at_once = ProbeSimulation(16, 2.0, 3, np.zeros(16)).spikes_uV(0, 30_000)
    recording = si.NumpyRecording([as_sampled], 30_000.0)
    recording.set_property("inter_sample_shift", shifts)
    undone = spre.phase_shift(recording, margin_ms=100.0).get_traces()
    inner = slice(3_000, 27_000)
    before = np.abs(as_sampled - at_once)[inner].max()
    after = np.abs(undone - at_once)[inner].max()
    assert before > 10
    assert after < 0.02 * before


def test_offsets_are_those_that_spikeinterface_reads(out):
    recording = se.read_spikeglx(out / "demo_g0", stream_id="imec0.ap")
    assert np.allclose(recording.get_property("inter_sample_shift"), sample_shifts(16))


def test_probes_and_bands_share_one_square_wave(out):
    words = {
        stream: se.read_spikeglx(out / "demo_g0", stream_id=f"{stream}-SYNC").get_traces()[:, 0]
        for stream in ("imec0.ap", "imec1.ap", "imec0.lf", "imec1.lf")
    }
    assert np.array_equal(words["imec0.ap"], words["imec1.ap"])
    assert np.array_equal(words["imec0.lf"], words["imec1.lf"])
    assert np.array_equal(words["imec0.ap"][::12], words["imec0.lf"])
    assert set(words["imec0.ap"]) == {0, 64}
    assert np.sum(np.diff(words["imec0.ap"].astype(int)) > 0) == 3  # rises at 1, 2 and 3 s


def test_lf_band_is_slow_and_strong(out):
    traces = se.read_spikeglx(out / "demo_g0", stream_id="imec0.lf").get_traces(return_in_uV=True)
    _, facts = read_ground_truth(ground_truth_folder(out, "imec0"))
    power = np.abs(np.fft.rfft(traces, axis=0)) ** 2
    frequencies = np.fft.rfftfreq(len(traces), 1 / 2_500)
    good = [i for i in range(16) if f"imec0.ap#AP{i}" not in facts.dead_channels + facts.noisy_channels]
    slow = power[(frequencies > 0.1) & (frequencies < 100)].sum(axis=0) / power[1:].sum(axis=0)
    assert np.median(slow[good]) > 0.9  # at some depths the current sources cancel
    assert np.median(traces[:, good].std(axis=0)) > 50


def test_it_says_that_it_is_simulated_and_names_no_instrument(out):
    text = (out / "demo_g0/demo_g0_imec0/demo_g0_t0.imec0.ap.meta").read_text()
    assert "userNotes=Simulated by spikepipe" in text
    assert "imDatPrb_sn" not in text
    binary = out / "demo_g0/demo_g0_imec0/demo_g0_t0.imec0.ap.bin"
    sha1 = hashlib.sha1(binary.read_bytes(), usedforsecurity=False).hexdigest().upper()
    assert f"fileSHA1={sha1}\n" in text


def test_same_seed_same_bytes_other_seed_other_data(out, tmp_path):
    again = tmp_path / "again"
    write_demo_session(again, **SMALL)
    assert _files(again) == _files(out)
    other = tmp_path / "other"
    write_demo_session(other, probes=1, seconds=1, channels=12, seed=1)
    binary = "demo_g0/demo_g0_imec0/demo_g0_t0.imec0.ap.bin"
    assert (other / binary).read_bytes()[:1000] != (out / binary).read_bytes()[:1000]


@pytest.mark.parametrize("level", [".", "demo_g0", "demo_g0/demo_g0_imec0"])
def test_readers_pass_over_the_ground_truth(out, level):
    found = discover(out / level, JobDispatchParams())
    assert {job.session for job in found.jobs} == {"demo_g0"}
    assert [job.probe for job in found.jobs] == (["imec0"] if level.endswith("imec0") else ["imec0", "imec1"])
    assert [job.num_channels for job in found.jobs] == [16, 12][: len(found.jobs)]
    assert all(job.lfp_stream == f"{job.probe}.lf" for job in found.jobs)


def test_an_existing_folder_is_not_touched(out, tmp_path):
    before = _files(out)
    with pytest.raises(ParamsError, match="not empty"):
        write_demo_session(out, probes=1, seconds=1)
    assert _files(out) == before
    empty = tmp_path / "empty"
    empty.mkdir()
    leftover = tmp_path / ".empty.partial"
    leftover.mkdir()
    (leftover / "half").write_text("of a killed process")
    write_demo_session(empty, probes=1, seconds=1, channels=8)
    assert sorted(path.name for path in empty.iterdir()) == ["demo_g0", "ground_truth"]
    assert not leftover.exists()


def test_all_wrong_values_are_said_at_once(tmp_path):
    with pytest.raises(ParamsError) as caught:
        write_demo_session(tmp_path / "x", probes=0, seconds=0.1, channels=(64, 999), seed=-1, name="a/b")
    for value in ("probes = 0", "seconds = 0.1", "999", "seed = -1", "'a/b'"):
        assert value in str(caught.value)
    assert not (tmp_path / "x").exists()


def test_ground_truth_of_something_else_is_refused(tmp_path):
    with pytest.raises(BadDataError, match="no ground truth"):
        read_ground_truth(tmp_path)


# --- every format -------------------------------------------------------------------------------------------

OTHERS = [name for name in FORMATS if name != "spikeglx"]
TINY = {"probes": 2, "seconds": 1.0, "channels": (16, 12)}


@pytest.fixture(scope="module")
def in_every_format(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    return {name: write_demo_session(folder / name, **TINY, format=name) for name in FORMATS}


def _loaded(session: Path):
    found = discover(session.parent, JobDispatchParams())
    assert all(job.problem is None for job in found.jobs), found.jobs
    return {(job.session, job.probe): (job, load(job, found.data_root)) for job in found.jobs}


@pytest.mark.parametrize("name", OTHERS)
def test_the_same_session_in_every_format(in_every_format, name):
    expected, found = _loaded(in_every_format["spikeglx"]), _loaded(in_every_format[name])
    assert list(found) == list(expected) == [("demo_g0", "imec0"), ("demo_g0", "imec1")]
    for key, (job, loaded) in found.items():
        assert job.reader == name.partition("-")[0]
        for ours, theirs in zip(
            (loaded.recording, loaded.lfp),
            (expected[key][1].recording, expected[key][1].lfp),
            strict=True,
        ):
            assert ours.get_dtype() == "int16"
            assert np.array_equal(ours.get_traces(), theirs.get_traces())
            assert np.array_equal(ours.get_channel_locations(), theirs.get_channel_locations())
            assert np.allclose(ours.get_channel_gains(), theirs.get_channel_gains())
            assert np.array_equal(ours.get_times(), theirs.get_times())
            assert ours.get_sampling_frequency() == theirs.get_sampling_frequency()
        shifts = [one.recording.get_property("inter_sample_shift") for one in (loaded, expected[key][1])]
        assert np.allclose(*shifts)


@pytest.mark.parametrize("name", OTHERS)
def test_the_recording_output_loads_again_from_its_description(in_every_format, make_work, tmp_path, name):
    from spikepipe_core.produce import produce
    from spikepipe_core.stages import recording

    data = Path(shutil.copytree(in_every_format[name].parent, tmp_path / "data"))
    work = make_work(data, tmp_path / "results")
    produce(work.stages["recording"], work)
    elsewhere = Path(shutil.move(data, tmp_path / "moved"))
    moved = replace(work, entry=work.entry.model_copy(update={"data": elsewhere}))
    again = recording.load_recording(moved)
    expected = _loaded(in_every_format[name])[work.entry.session, work.recording_job.probe][1]
    assert np.array_equal(again.get_traces(), expected.recording.get_traces())
    assert np.array_equal(again.get_times(), expected.recording.get_times())
    assert again.get_property("inter_sample_shift") is not None
    assert recording.load_lfp_band(moved).get_sampling_frequency() == 2_500.0


@pytest.mark.parametrize("name", ["spikeglx", *OTHERS])
def test_ground_truth_names_channels_as_the_reader_does(in_every_format, name):
    truths = {}
    for (_, probe), (_, loaded) in _loaded(in_every_format[name]).items():
        sorting, facts = read_ground_truth(ground_truth_folder(in_every_format[name].parent, probe))
        ids = set(loaded.recording.channel_ids)
        assert ids.issuperset(facts.dead_channels + facts.noisy_channels)
        assert ids.issuperset(unit.best_channel for unit in facts.units)
        truths[probe] = sorting.to_spike_vector()["sample_index"]
        traces = loaded.recording.get_traces(return_in_uV=True)
        [dead] = np.flatnonzero(loaded.recording.channel_ids == facts.dead_channels[0])
        assert traces[:, dead].std() < 3
    assert len(truths) == 2


def test_spikeinterface_reads_the_open_ephys_session_the_same(in_every_format):
    session = in_every_format["openephys"]
    for job, loaded in _loaded(session).values():
        theirs = se.read_openephys(session, stream_name=job.stream, load_sync_timestamps=True)
        assert np.array_equal(theirs.get_traces(), loaded.recording.get_traces())
        assert np.array_equal(theirs.get_channel_locations(), loaded.recording.get_channel_locations())
        assert np.array_equal(theirs.get_times(), loaded.recording.get_times())


def test_open_ephys_events_are_the_sync_line(in_every_format):
    job, _ = _loaded(in_every_format["openephys"])["demo_g0", "imec0"]
    lines = {line.stream: line for line in event_times(job, in_every_format["openephys"].parent)}
    edges = lines["Neuropix-PXI-100.imec0-AP"]
    assert edges.falling_s.tolist() == [0.5]
    assert lines["Neuropix-PXI-100.imec0-LFP"].falling_samples.tolist() == [1_250]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_that_it_is_simulated_and_names_nothing_of_this_machine(in_every_format, name):
    session = in_every_format[name]
    files = [session] if session.is_file() else [path for path in session.rglob("*") if path.is_file()]
    content = b"".join(path.read_bytes() for path in files)
    assert b"imulated by spikepipe" in content
    assert str(session.parent.parent).encode() not in content


def test_the_command_line_offers_every_format():
    from spikepipe_assets.cli import DEMO_FORMATS

    assert tuple(FORMATS) == DEMO_FORMATS


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(ParamsError, match="format = 'plexon'; use one of spikeglx, openephys"):
        write_demo_session(tmp_path / "x", format="plexon")
