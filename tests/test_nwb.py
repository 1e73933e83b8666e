"""The NWB file of a session: what a reader of the file finds, in both backends."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pynwb
import pytest
import spikeinterface.core as si
from probeinterface import generate_multi_shank

from spikepipe_core.errors import BadDataError
from spikepipe_core.nwb import (
    NWB_SUFFIXES,
    ProbeData,
    SessionMetadata,
    inspect_nwb,
    stable_identifier,
)
from spikepipe_core.nwb.writing import write_session_nwb
from spikepipe_core.params import NwbEcephysParams
from spikepipe_core.stages.lfp import compute_lfp

GAIN_UV = 0.5
START_S = 12.5
SESSION = SessionMetadata(
    session_start_time=datetime(2024, 5, 1, 14, 3, tzinfo=UTC),
    identifier=stable_identifier("session", ["v1"]),
    session_id="session",
    nwbfile={"session_description": "A test."},
    subject={"subject_id": "M1", "species": "Mus musculus", "sex": "F", "age": "P90D"},
)


def ground_truth(channels, units, fs, seed, start=0.0):
    """A recording of 10 s in int16 with a gain, and its true spikes."""
    generated, sorting = si.generate_ground_truth_recording(
        durations=[10.0], num_channels=channels, num_units=units, sampling_frequency=fs, seed=seed
    )
    recording = si.NumpyRecording([(generated.get_traces() / GAIN_UV).round().astype("int16")], fs)
    recording.set_probe(generated.get_probe())
    recording.set_channel_gains(GAIN_UV)
    recording.set_channel_offsets(0)
    recording.shift_times(start)
    return recording, si.NumpySorting.from_sorting(sorting)


def analyze(recording, sorting, *, sparse=True, return_in_uV=True):
    more = {"sparsity_kwargs": {"method": "radius", "radius_um": 50}} if sparse else {}
    analyzer = si.create_sorting_analyzer(
        sorting,
        recording,
        sparse=sparse,
        return_in_uV=return_in_uV,
        seed=0,
        n_jobs=1,
        progress_bar=False,
        **more,
    )
    first = {"random_spikes": {"seed": 0}, "noise_levels": {}, "templates": {}}
    analyzer.compute(first, n_jobs=1, progress_bar=False)
    if return_in_uV:  # SpikeInterface computes template metrics of nothing else
        analyzer.compute(["unit_locations", "template_metrics"], n_jobs=1, progress_bar=False)
        analyzer.compute("quality_metrics", metric_names=["num_spikes", "snr", "isi_violation"])
    return analyzer


def labelled(analyzer):
    count = len(analyzer.unit_ids)
    return pd.DataFrame(
        {
            "default_qc": ["pass"] + ["bad"] * (count - 1),
            "decoder_label": ["sua"] * count,
            "decoder_probability": np.linspace(0.5, 1, count),
        },
        index=analyzer.unit_ids,
    )


def probe_data(key, recording, analyzer=None, **more):
    lfp = compute_lfp(recording, None, NwbEcephysParams(lfp_highpass_freq_min=1.0), probe=key)
    return ProbeData(
        key=key,
        recording_name=f"block0_{key}.ap_recording1",
        probe=recording.get_probe(),
        recording=recording,
        lfp=lfp,
        analyzer=analyzer,
        **more,
    )


@pytest.fixture(scope="module")
def probes():
    """Two sorted probes of different sizes, clocks and starts, and one that was only recorded."""
    first, spikes = ground_truth(32, 5, 30_000.27, seed=0)
    first.get_probe().annotate(manufacturer="imec", model_name="NP1010", serial_number="123")
    second, more_spikes = ground_truth(16, 3, 25_000.0, seed=1, start=START_S)
    skipped, _ = ground_truth(8, 2, 30_000.0, seed=2)
    good = analyze(first, spikes)
    bad_channels = second.remove_channels(second.channel_ids[:2])
    return [
        probe_data("imec0", first, good, labels=labelled(good), channel_labels=["good"] * 31 + ["dead"]),
        probe_data("imec1", second, analyze(bad_channels, more_spikes, sparse=False)),
        probe_data("imec2", skipped),
    ]


@pytest.fixture(scope="module", params=["zarr", "hdf5"])
def written(request, probes, tmp_path_factory):
    """The session's file, moved after it was written."""
    folder = tmp_path_factory.mktemp(request.param)
    path = folder / f"writing{NWB_SUFFIXES[request.param]}"
    write_session_nwb(path, session=SESSION, probes=probes, params=NwbEcephysParams(backend=request.param))
    return shutil.move(path, folder / f"session{NWB_SUFFIXES[request.param]}")


@pytest.fixture(scope="module")
def nwbfile(written):
    opened = pynwb.read_nwb(str(written))
    yield opened
    opened.get_read_io().close()


def write(tmp_path, probes, **params):
    path = tmp_path / "session.nwb"
    return write_session_nwb(
        path, session=SESSION, probes=probes, params=NwbEcephysParams(backend="hdf5", **params)
    )


def test_fresh_process_reads_a_moved_file(written):
    code = (
        "import sys, json, pynwb; f = pynwb.read_nwb(sys.argv[1]); "
        "print(json.dumps([len(f.units), f.units['electrode_group'][0].device.name, "
        "[float(t) for t in f.units['spike_times'][0][:2]]]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(written)], capture_output=True, text=True, check=True
    )
    units, device, _ = json.loads(done.stdout)
    assert (units, device) == (8, "imec0")


def test_no_pickle_is_written(written):
    if written.is_file():
        pytest.skip("HDF5 has no pickles")
    arrays = [json.loads(path.read_text()) for path in written.rglob(".zarray")]
    codecs = {codec["id"] for array in arrays for codec in array["filters"] or []}
    assert codecs <= {"json2", "vlen-utf8", "vlen-bytes"}


def test_spikes_are_timed_by_their_own_recording(nwbfile, probes):
    row = 0
    for probe in probes[:2]:
        for unit in probe.analyzer.unit_ids:
            train = probe.analyzer.sorting.get_unit_spike_train(unit, segment_index=0)
            expected = probe.recording.get_times()[train]
            np.testing.assert_allclose(nwbfile.units["spike_times"][row], expected, atol=1e-9)
            assert nwbfile.units["unit_name"][row] == f"{probe.key}_{unit}"
            row += 1
    assert min(nwbfile.units["spike_times"][7]) >= START_S
    assert nwbfile.units["obs_intervals"][7][0] == pytest.approx([START_S, START_S + 10], abs=1e-3)
    assert nwbfile.units.resolution == pytest.approx(1 / 30_000.27)
    assert nwbfile.units.waveform_rate is None, "the probes' clocks differ"


def test_waveforms_are_volts_on_the_units_electrodes(nwbfile, probes):
    row = 0
    for probe in probes[:2]:
        analyzer, before = probe.analyzer, probe.analyzer.get_extension("templates").nbefore
        templates = analyzer.get_extension("templates").get_templates()
        sparsity = analyzer.sparsity.unit_id_to_channel_indices if analyzer.sparsity else None
        for index, unit in enumerate(analyzer.unit_ids):
            channels = sparsity[unit] if sparsity else np.arange(analyzer.get_num_channels())
            mine = _electrodes(nwbfile, row)
            assert set(mine["probe"]) == {probe.key}
            np.testing.assert_allclose(
                mine[["rel_x", "rel_y"]], analyzer.get_channel_locations()[channels], atol=1e-6
            )
            mean = nwbfile.units["waveform_mean"][row]
            own = mean[:, : len(channels)]
            assert np.isnan(mean[:, len(channels) :]).all()
            own = own[~np.isnan(own).all(axis=1)]
            np.testing.assert_allclose(own, templates[index][:, channels] * 1e-6, rtol=1e-5)
            trough = np.unravel_index(np.nanargmax(np.abs(mean)), mean.shape)
            assert abs(trough[0] - 30) <= before, "all probes are aligned on the spike"
            main = analyzer.get_main_channels()[index]
            assert mine.index[list(channels).index(main)] == nwbfile.units["peak_electrode"][row]
            row += 1


def _electrodes(nwbfile, row):
    """Electrodes of a unit."""
    index = nwbfile.units["electrodes"]
    ends = np.concatenate([[0], index.data[:]]).astype(int)
    return nwbfile.electrodes.to_dataframe().iloc[index.target.data[ends[row] : ends[row + 1]]]


def test_metrics_and_labels_are_columns_with_descriptions(nwbfile, probes):
    units = nwbfile.units.to_dataframe()
    quality = probes[1].analyzer.get_extension("quality_metrics").get_data()
    np.testing.assert_allclose(units["snr"][5:], quality["snr"].astype(float), rtol=1e-6)
    assert units["default_qc"].tolist() == ["pass", "bad", "bad", "bad", "bad", "", "", ""]
    assert units["decoder_probability"].isna().tolist() == [False] * 5 + [True] * 3
    assert units["device_name"].tolist() == ["imec0"] * 5 + ["imec1"] * 3
    assert {"estimated_x", "estimated_y", "trough_half_width", "isi_violations_ratio"} <= set(units.columns)
    for column in ("snr", "default_qc", "decoder_label", "estimated_y"):
        assert nwbfile.units[column].description != "No description."


def test_electrodes_of_all_probes_and_only_known_facts_of_devices(nwbfile):
    electrodes = nwbfile.electrodes.to_dataframe()
    assert electrodes["probe"].value_counts().to_dict() == {"imec0": 32, "imec1": 16, "imec2": 8}
    assert electrodes["channel_label"].iloc[[0, 31, 32]].tolist() == ["good", "dead", ""]
    known, unknown = nwbfile.devices["imec0"], nwbfile.devices["imec1"]
    assert (known.model.name, known.model.manufacturer, known.serial_number) == ("NP1010", "imec", "123")
    assert (unknown.model, unknown.serial_number) == (None, None)


def test_lfp_of_every_probe_lies_on_its_electrodes(nwbfile, probes):
    electrodes = nwbfile.electrodes.to_dataframe()
    for probe in probes:
        series = nwbfile.processing["ecephys"]["LFP"].electrical_series[f"ElectricalSeries{probe.key}-LFP"]
        rows = electrodes.iloc[series.electrodes.data[:]]
        np.testing.assert_allclose(rows[["rel_x", "rel_y"]], probe.lfp.get_channel_locations(), atol=1e-6)
        assert set(rows["probe"]) == {probe.key}
        np.testing.assert_array_equal(series.data[:], probe.lfp.get_traces())
        assert series.conversion == pytest.approx(GAIN_UV * 1e-6)
        assert series.starting_time == probe.recording.get_start_time()
        assert series.rate == pytest.approx(probe.lfp.get_sampling_frequency())
        assert "high-pass 1 Hz" in series.filtering


def test_inspection(written, probes):
    found = inspect_nwb(written)
    json.dumps(found)
    assert found["units"] == 8
    assert found["probes"]["imec0"]["units"] == 5
    assert found["probes"]["imec2"]["units"] == 0
    assert found["probes"]["imec1"]["lfp"]["channels"] == 4
    assert found["probes"]["imec1"]["raw"] is None
    assert found["session_start_time"] == "2024-05-01T14:03:00+00:00"
    assert found["size_bytes"] > 10_000


def test_file_is_valid_and_nwbinspector_finds_nothing_critical(nwbfile, written):
    assert not pynwb.validate(io=nwbfile.get_read_io())
    nwbinspector = pytest.importorskip("nwbinspector")
    critical = [
        message
        for message in nwbinspector.inspect_nwbfile_object(nwbfile)
        if message.importance.name in ("CRITICAL", "PYNWB_VALIDATION")
    ]
    assert not critical


def test_new_labels_change_units_only(probes, tmp_path):
    relabelled = replace(probes[0], labels=probes[0].labels.assign(default_qc="bad"))
    relabelled.labels.to_csv(tmp_path / "labels.csv", index_label="unit_id")
    relabelled = replace(relabelled, labels=pd.read_csv(tmp_path / "labels.csv", index_col="unit_id"))
    path = write(tmp_path, [relabelled, *probes[1:]])
    again = pynwb.read_nwb(str(path))
    assert set(again.units["default_qc"][:5]) == {"bad"}
    assert again.identifier == SESSION.identifier
    again.get_read_io().close()


def test_session_without_units_has_no_units_table(probes, tmp_path):
    empty = si.NumpySorting.from_unit_dict([{}], 30_000.0)
    nothing = si.create_sorting_analyzer(empty, probes[2].recording, sparse=False)
    path = write(tmp_path, [replace(probes[2], analyzer=nothing)])
    assert inspect_nwb(path)["units"] == 0
    assert inspect_nwb(path)["probes"]["imec2"]["lfp"] is not None


def test_stub_and_raw_and_no_lfp(probes, tmp_path):
    path = write(tmp_path, probes[:2], stub=True, stub_seconds=2, write_raw=True, write_lfp=False)
    found = inspect_nwb(path)["probes"]
    assert found["imec0"]["raw"] == {"samples": 60_001, "channels": 32, "rate_hz": 30_000.27}
    assert found["imec0"]["lfp"] is None


def test_analyzer_in_counts_is_written_in_volts(probes, tmp_path):
    recording = probes[1].recording
    in_counts = analyze(recording, probes[1].analyzer.sorting, return_in_uV=False)
    path = write(tmp_path, [replace(probes[1], analyzer=in_counts)], write_lfp=False)
    file = pynwb.read_nwb(str(path))
    expected = in_counts.get_extension("templates").get_templates()[0]
    written = file.units["waveform_mean"][0]
    amplitude = np.nanmax(np.abs(written))
    assert amplitude == pytest.approx(np.abs(expected).max() * GAIN_UV * 1e-6, rel=1e-5)
    file.get_read_io().close()


def test_shanks_are_groups_and_shared_probes_are_one_device(tmp_path):
    recording, _ = ground_truth(32, 2, 30_000.0, seed=3)
    probe = generate_multi_shank(num_shank=2, num_columns=1, num_contact_per_column=16, shank_pitch=[150, 0])
    probe.set_device_channel_indices(np.arange(32))
    recording.set_probe(probe)
    whole = ProbeData(key="imec0", recording_name="a", probe=recording.get_probe(), recording=recording)
    halves = [
        replace(whole, key=f"imec1_group{group}", device="imec1", probe=part.get_probe(), recording=part)
        for group, part in recording.split_by("group").items()
    ]
    file = pynwb.read_nwb(str(write(tmp_path, [whole, *halves])))
    assert set(file.electrode_groups) == {"imec0_shank0", "imec0_shank1", "imec1_group0", "imec1_group1"}
    assert set(file.devices) == {"imec0", "imec1"}
    assert len(file.electrodes) == 64
    file.get_read_io().close()


def test_irregular_times_are_written_one_by_one(tmp_path):
    recording, _ = ground_truth(8, 2, 30_000.0, seed=4)
    times = recording.get_times()
    times[150_000:] += 5
    recording.set_times(times)
    data = probe_data("imec0", recording)
    file = pynwb.read_nwb(str(write(tmp_path, [data])))
    series = file.processing["ecephys"]["LFP"].electrical_series["ElectricalSeriesimec0-LFP"]
    assert series.rate is None
    np.testing.assert_allclose(series.timestamps[:], times[::24], atol=1e-9)
    file.get_read_io().close()


def test_outputs_that_do_not_belong_together_are_refused(probes, tmp_path):
    first, second, third = probes
    moved = replace(first, probe=second.probe, channel_labels=None, channel_names=[""] * 16)
    with pytest.raises(BadDataError, match="imec0: 16 channels are at positions"):
        write(tmp_path, [moved], write_lfp=False)
    with pytest.raises(BadDataError, match="ends at 1000"):
        write(tmp_path, [replace(first, recording=first.recording.frame_slice(0, 1000))], write_lfp=False)
    with pytest.raises(BadDataError, match="no metrics or labels"):
        write(tmp_path, [replace(first, labels=first.labels.iloc[1:])])
    with pytest.raises(BadDataError, match="write_raw is on"):
        write(tmp_path, [replace(third, recording=None, channel_names=[""] * 8)], write_raw=True)
    with pytest.raises(BadDataError, match="different keys"):
        write(tmp_path, [first, first])
    ungained = third.recording.clone()
    ungained.delete_property("gain_to_uV")
    with pytest.raises(BadDataError, match="no gain to uV"):
        write(tmp_path, [replace(third, recording=ungained, lfp=ungained)])
    assert not (tmp_path / "session.nwb").exists()


def test_existing_file_is_not_touched(probes, tmp_path):
    (tmp_path / "session.nwb").write_text("mine")
    with pytest.raises(FileExistsError):
        write(tmp_path, probes)
    assert (tmp_path / "session.nwb").read_text() == "mine"
