"""The demo session is real SpikeGLX data, with the ground truth it says it has."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import probeinterface
import pytest
import spikeinterface.core as si
import spikeinterface.extractors as se
import spikeinterface.preprocessing as spre

from spikepipe_core.demo import ground_truth_folder, read_ground_truth, write_demo_session
from spikepipe_core.demo.simulation import ProbeSimulation
from spikepipe_core.demo.spikeglx import sample_shifts
from spikepipe_core.errors import BadDataError, ParamsError
from spikepipe_core.ingest import discover
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
