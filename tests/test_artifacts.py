"""Artifacts of stimulation are taken out around given events, and saturated stretches are silenced, if asked for."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import spikeinterface.core as si

from spikepipe_core.errors import BadDataError, ParamsError
from spikepipe_core.params import Params, read_session_params
from spikepipe_core.produce import is_current, produce
from spikepipe_core.stages.artifact_events import Times, load_windows, read_times, to_samples
from spikepipe_core.stages.artifacts import Found, Windows
from spikepipe_core.stages.chain import write_chain
from spikepipe_core.stages.preprocessing import preprocess
from spikepipe_core.stages.recording import STAGE as RECORDING_STAGE

RATE, CHANNELS, SECONDS = 30_000.0, 8, 3.0
EVENTS_S = np.arange(0.1, 2.95, 0.1)
ARTIFACT = np.concatenate([np.full(15, 2000.0), -1500.0 * np.exp(-np.arange(45) / 12.0)])
"""2 ms: a plateau and a tail, in steps of the converter."""
SHARES = np.linspace(0.5, 2.0, CHANNELS)
"""Of the artifact on each channel: what is the same on all, the common reference would take away."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Noise on an offset, with an artifact at each event and none in a second file."""
    out = tmp_path_factory.mktemp("stimulated")
    rng = np.random.default_rng(0)
    clean = 300.0 + 12.0 * rng.standard_normal((int(SECONDS * RATE), CHANNELS))
    clean += 40.0 * np.sin(2 * np.pi * 3.0 * np.arange(len(clean)) / RATE)[:, np.newaxis]
    disturbed = clean.copy()
    for event in np.round(EVENTS_S * RATE).astype(int):
        disturbed[event : event + len(ARTIFACT)] += ARTIFACT[:, np.newaxis] * SHARES
    for name, traces in (("clean", clean), ("disturbed", disturbed)):
        np.round(traces).astype("int16").tofile(out / f"{name}.raw")
    return out


def opened(folder: Path, name: str) -> si.BaseRecording:
    recording = si.BinaryRecordingExtractor(
        folder / f"{name}.raw", RATE, "int16", num_channels=CHANNELS, gain_to_uV=0.5, offset_to_uV=0.0
    )
    recording.set_dummy_probe_from_locations(
        np.stack([np.zeros(CHANNELS), np.arange(CHANNELS) * 20.0], axis=1)
    )
    return recording


@pytest.fixture
def clean(folder):
    return opened(folder, "clean")


@pytest.fixture
def disturbed(folder):
    return opened(folder, "disturbed")


@pytest.fixture
def section(tiny_params):
    def make(**values):
        detection = {"method": "mad", "std_mad_threshold": 50.0}
        return tiny_params(preprocessing={"detect_bad_channels": detection, **values}).preprocessing

    return make


def around_events(recording, params) -> Windows:
    """The true events, as if a file had given them."""
    starts, stops, outside = to_samples(Times(EVENTS_S, EVENTS_S, "truth"), recording)
    assert outside == 0
    return Windows(starts, stops, params.remove_stimulation_artifacts, Found("", {}))


def mask(before_ms: float, after_ms: float) -> np.ndarray:
    """Samples less than so much before or after an event."""
    times = np.arange(int(SECONDS * RATE)) / RATE
    since = times[:, np.newaxis] - EVENTS_S[np.newaxis]
    return np.any((since > -before_ms / 1000) & (since < after_ms / 1000), axis=1)


def rms(traces) -> float:
    return float(np.sqrt(np.mean(np.square(traces, dtype="float64"))))


# --- what is left of an artifact ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["linear", "cubic", "zeros", "median", "average"])
def test_no_mode_leaves_more_than_noise_of_an_artifact(clean, disturbed, section, mode):
    """And what lies away from the events is as if there had been none."""
    params = section(remove_stimulation_artifacts={"mode": mode, "ms_before": 1.0, "ms_after": 4.0})
    noise = rms(preprocess(clean, section()).recording.get_traces())
    untreated = preprocess(disturbed, section()).recording.get_traces()
    assert np.abs(untreated[mask(0.0, 2.0)]).max() > 30 * noise, "there is an artifact"
    made = preprocess(disturbed, params, {"n_jobs": 1}, stimulation=around_events(disturbed, params))
    traces = made.recording.get_traces()
    near, far = mask(0.0, 2.0), ~mask(12.0, 16.0)
    assert rms(traces[near]) < 2 * noise
    if mode in ("zeros", "linear", "cubic"):
        assert rms(traces[near]) < noise / 2, "nothing is left there, not even noise"
    whole = preprocess(clean, section()).recording.get_traces()
    assert np.abs(traces[far].astype(int) - whole[far]).max() <= 2, "rounded by filter and reference"
    step = next(step for step in made.steps if step.name == "remove_stimulation_artifacts")
    assert (step.parameters["mode"], step.parameters["ms_after"]) == (mode, 4.0)


def test_bridging_comes_before_the_filter_and_zeros_after_it(disturbed, section):
    for mode, place in (("linear", 0), ("zeros", 1), ("median", 1)):
        params = section(remove_stimulation_artifacts={"mode": mode})
        made = preprocess(disturbed, params, {"n_jobs": 1}, stimulation=around_events(disturbed, params))
        assert made.step_names[place] == "remove_stimulation_artifacts"


@pytest.mark.parametrize("mode", ["linear", "cubic", "zeros", "median"])
def test_traces_do_not_depend_on_how_they_are_cut_into_chunks(disturbed, section, mode):
    params = section(
        remove_stimulation_artifacts={"mode": mode}, custom_preprocessing_pipeline={}
    )  # without a filter, whose margins are another matter
    made = preprocess(
        disturbed, params, {"n_jobs": 1}, stimulation=around_events(disturbed, params)
    ).recording
    whole = made.get_traces()
    event = round(EVENTS_S[10] * RATE)
    for border in range(event - 20, event + 95):
        parts = [
            made.get_traces(start_frame=border - 300, end_frame=border),
            made.get_traces(start_frame=border, end_frame=border + 300),
        ]
        assert np.array_equal(np.concatenate(parts), whole[border - 300 : border + 300]), border - event


@pytest.mark.parametrize("mode", ["linear", "zeros", "average"])
def test_the_chain_loads_again_from_the_raw_file(disturbed, folder, section, tmp_path, mode):
    params = section(
        remove_stimulation_artifacts={"mode": mode}, blank_saturation={"saturation_threshold_uV": 600.0}
    )
    made = preprocess(
        disturbed, params, {"n_jobs": 1}, stimulation=around_events(disturbed, params)
    ).recording
    write_chain(made, tmp_path / "chain.json", folder)
    again = si.load(tmp_path / "chain.json", base_folder=folder)
    assert np.array_equal(again.get_traces(), made.get_traces())


def test_intervals_are_zeroed_whole_and_not_bridged(disturbed, section):
    params = section(remove_stimulation_artifacts={"mode": "zeros", "ms_before": 1.0, "ms_after": 1.0})
    starts, stops, _ = to_samples(Times(np.array([0.5]), np.array([1.5]), "truth"), disturbed)
    windows = Windows(starts, stops, params.remove_stimulation_artifacts, Found("", {}))
    traces = preprocess(disturbed, params, stimulation=windows).recording.get_traces()
    silent = np.flatnonzero(~traces.any(axis=1))
    assert silent[0] == 15_000 - 30 and silent[-1] == 45_000 + 30 and len(silent) == 30_061
    for mode in ("linear", "median"):
        chosen = section(remove_stimulation_artifacts={"mode": mode})
        other = replace(windows, params=chosen.remove_stimulation_artifacts)
        with pytest.raises(ParamsError, match=r"intervals.*'zeros'"):
            preprocess(disturbed, chosen, {"n_jobs": 1}, stimulation=other)


# --- saturation -------------------------------------------------------------------------------------------------------


def test_saturated_stretches_are_silent_with_their_margins(disturbed, section):
    params = section(blank_saturation={"saturation_threshold_uV": 800.0, "ms_before": 0.5, "ms_after": 1.0})
    made = preprocess(disturbed, params, {"n_jobs": 1})
    traces, raw = made.recording.get_traces(), disturbed.get_traces(return_in_uV=True)
    saturated = np.flatnonzero((np.abs(raw) > 800).mean(axis=1) > 0.2)
    assert len(saturated) > 100
    for sample in saturated:
        assert not traces[sample - 15 : sample + 31].any()
    assert made.step_names[-1] == "blank_saturation"
    (found,) = made.found
    assert found.numbers["saturated_stretches"] == len(EVENTS_S)
    assert abs(found.numbers["saturation_silenced_s"] - len(EVENTS_S) * 0.002) < 0.01
    assert rms(traces) < 0.3 * rms(preprocess(disturbed, section()).recording.get_traces())


def test_the_probes_own_limit_is_taken_and_a_missing_one_asked_for(disturbed, section):
    with pytest.raises(ParamsError, match="saturation_threshold_uV"):
        preprocess(disturbed, section(blank_saturation={}), {"n_jobs": 1})
    told = disturbed.clone()
    told.annotate(saturation_threshold_uV=800.0)
    made = preprocess(told, section(blank_saturation={}), {"n_jobs": 1})
    assert made.steps[-1].parameters["saturation_threshold_uV"] == 800.0
    quiet = preprocess(told, section(blank_saturation={"saturation_threshold_uV": 9000.0}), {"n_jobs": 1})
    assert quiet.found[0].numbers["saturated_stretches"] == 0
    assert quiet.step_names[-1] == "blank_saturation", "looked for, and said so"


# --- events -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "events", "starts", "stops"),
    [
        ("a.csv", "time,power\n1.5,3\n2.5,4\n", None, [1.5, 2.5], [1.5, 2.5]),
        ("a.csv", "trial,onset\n1,1.5\n2,2.5\n\n", "onset", [1.5, 2.5], [1.5, 2.5]),
        ("a.tsv", "start_time\tstop_time\n1.5\t1.75\n2\t3\n", None, [1.5, 2.0], [1.75, 3.0]),
        ("a.csv", "start_time,stop_time\n1.5,1.75\n", "start_time", [1.5], [1.5]),
        ("a.csv", "\ufefftime\n", None, [], []),
    ],
)
def test_times_of_a_table(tmp_path, name, text, events, starts, stops):
    (tmp_path / name).write_text(text, encoding="utf-8")
    times = read_times(tmp_path / name, events)
    assert (times.starts.tolist(), times.stops.tolist()) == (starts, stops)
    assert name in times.source


@pytest.mark.parametrize(
    ("text", "events", "error", "words"),
    [
        ("", None, BadDataError, "is empty"),
        ("1.5\n2.5\n", None, BadDataError, "no header"),
        ("time\nsoon\n", None, BadDataError, "column 'time'.*soon"),
        ("time\nnan\n", None, BadDataError, "event 1 is from nan"),
        ("time,power\n1,2\n", "onset", ParamsError, "'onset': a.csv has the columns time, power"),
        ("start_time,stop_time\n3,2\n", None, BadDataError, "event 1 is from 3.0 to 2.0 s"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path, text, events, error, words):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(error, match=words):
        read_times(tmp_path / "a.csv", events)


@pytest.fixture(scope="module")
def nwb(tmp_path_factory) -> dict[str, Path]:
    """Events of every kind that NWB has, in HDF5 and in Zarr."""
    from datetime import UTC, datetime

    from hdmf_zarr import NWBZarrIO
    from pynwb import NWBHDF5IO, NWBFile, TimeSeries
    from pynwb.epoch import TimeIntervals
    from pynwb.event import EventsTable
    from pynwb.misc import IntervalSeries

    paths = {}
    for name, make in (("a.nwb", NWBHDF5IO), ("b.nwb.zarr", NWBZarrIO)):
        file = NWBFile("s", "i", datetime(2026, 1, 1, tzinfo=UTC))
        trains = TimeIntervals(name="trains", description="d")
        trains.add_interval(start_time=1.0, stop_time=1.5)
        file.add_time_intervals(trains)
        pulses = EventsTable(name="pulses", description="d")
        pulses.add_event(timestamp=0.5)
        pulses.add_event(timestamp=2.5)
        file.add_acquisition(pulses)
        edges = IntervalSeries(name="edges", data=[1, -1, 1, -1], timestamps=[1.0, 1.25, 2.0, 2.5])
        file.add_stimulus(edges)
        file.add_stimulus(TimeSeries(name="marks", data=[1.0, 1.0], unit="n", timestamps=[0.25, 0.75]))
        file.add_acquisition(TimeSeries(name="regular", data=[1.0], unit="n", rate=10.0))
        paths[name] = tmp_path_factory.mktemp("nwb") / name
        with make(str(paths[name]), "w") as io:
            io.write(file)
    return paths


@pytest.mark.parametrize("name", ["a.nwb", "b.nwb.zarr"])
@pytest.mark.parametrize(
    ("events", "starts", "stops"),
    [
        ("trains", [1.0], [1.5]),
        ("intervals/trains", [1.0], [1.5]),
        ("pulses", [0.5, 2.5], [0.5, 2.5]),
        ("edges", [1.0, 2.0], [1.25, 2.5]),
        ("marks", [0.25, 0.75], [0.25, 0.75]),
    ],
)
def test_times_of_an_nwb_file(nwb, name, events, starts, stops):
    times = read_times(nwb[name], events)
    assert (times.starts.tolist(), times.stops.tolist()) == (starts, stops)


def test_an_nwb_file_with_several_kinds_asks_which(nwb):
    with pytest.raises(ParamsError, match=r"holds 4 such objects.*acquisition/pulses.*Name one"):
        read_times(nwb["a.nwb"], None)
    with pytest.raises(ParamsError, match=r"'regular': a\.nwb holds 0"):
        read_times(nwb["a.nwb"], "regular")


def test_a_link_out_of_an_nwb_file_is_not_followed(tmp_path, nwb):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["times"] = [1.0, 2.0]
    path = tmp_path / "linked.nwb"
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout(shape=(2,), dtype="f8")
        layout[:] = h5py.VirtualSource(str(secret), "times", shape=(2,))
        file.create_group("stimulus/marks").create_virtual_dataset("timestamps", layout)
        file["stimulus/out"] = h5py.ExternalLink(str(secret), "/")
    with pytest.raises(BadDataError, match="no plain list of numbers in the file itself"):
        read_times(path, "marks")
    (tmp_path / "broken.nwb").write_bytes(b"nothing")
    with pytest.raises(BadDataError, match="cannot be read as NWB"):
        read_times(tmp_path / "broken.nwb", None)


def segments(*spans: tuple[float, float]) -> si.BaseRecording:
    parts = [np.zeros((round(1000 * (stop - start)), 2), "int16") for start, stop in spans]
    return si.NumpyRecording(parts, 1000.0, t_starts=[start for start, _ in spans])


def test_events_find_their_samples_on_the_recordings_clock():
    recording = segments((10.0, 12.0), (20.0, 21.0), (30.0, 31.0))
    moments = np.array([9.0, 10.5, 11.999, 15.0, 30.25, 99.0])
    starts, stops, outside = to_samples(Times(moments, moments, "x"), recording)
    assert [one.tolist() for one in starts] == [[500, 1999], [], [250]]
    assert [one.tolist() for one in stops] == [[500, 1999], [], [250]]
    assert outside == 3
    lasting = Times(np.array([11.5, 19.0]), np.array([20.5, 40.0]), "x")
    starts, stops, outside = to_samples(lasting, recording)
    assert [one.tolist() for one in starts] == [[1500], [0, 0], [0]]
    assert [one.tolist() for one in stops] == [[1999], [500, 999], [999]]
    starts, _, _ = to_samples(Times(np.array([0.5]), np.array([0.5]), "x"), recording, offset_s=10.0)
    assert starts[0].tolist() == [500]


def test_events_of_another_clock_are_told():
    recording = segments((1000.0, 1010.0))
    with pytest.raises(
        BadDataError, match=r"none of the 2 events, from 1.000 to 3.000 s.*1000.000 to.*'start'"
    ):
        to_samples(Times(np.array([1.0, 3.0]), np.array([1.0, 3.0]), "stim.csv"), recording)
    with pytest.raises(BadDataError, match="segments overlap in time"):
        to_samples(Times(np.array([1.0]), np.array([1.0]), "x"), segments((0.0, 2.0), (0.0, 2.0)))


# --- the output -------------------------------------------------------------------------------------------------------


@pytest.fixture
def stimulated(demo_data, make_work, tiny_params, tmp_path):
    """A copy of the demo session with a table of events beside the raw files, and the work on it."""
    data = Path(shutil.copytree(demo_data, tmp_path / "data"))
    (data / "demo_g0" / "stim.csv").write_text("time\n0.5\n1.0\n99.0\n")
    params = tiny_params(
        preprocessing={"remove_stimulation_artifacts": {"events_file": "stim.csv", "times_from": "start"}}
    )
    work = make_work(data, tmp_path / "results", params)
    produce(work.stages["recording"], work)
    return work


def with_events(work, **values):
    whole = work.params.to_dict()
    whole["preprocessing"]["remove_stimulation_artifacts"] |= values
    return replace(work, params=Params.model_validate(whole))


def test_the_output_says_what_was_removed_and_follows_the_file(stimulated):
    work, stage = stimulated, stimulated.stages["preprocessed_recording"]
    said: list[str] = []
    made = produce(stage, replace(work, say=said.append))
    summary = made.manifest.summary
    assert (summary["stimulation_events"], summary["stimulation_events_outside"]) == (2, 1)
    assert "2 stimulation events from stim.csv, column time; 1 more lie outside the recording" in said
    assert summary["steps"].startswith("remove_stimulation_artifacts -> highpass_filter")
    first = summary["parameters"][0]
    assert first["step"] == "remove_stimulation_artifacts" and 'mode = "linear"' in first["parameters"]
    assert produce(stage, work).outcome.reused
    (work.data / "demo_g0" / "stim.csv").write_text("time\n0.5\n")
    assert not is_current(stage, work)
    again = produce(stage, work)
    assert not again.outcome.reused and again.manifest.summary["stimulation_events"] == 1


def test_events_from_the_start_stay_where_they_are_when_the_recording_is_clipped(stimulated, tmp_path):
    whole = stimulated.params.to_dict()
    whole["preprocessing"]["t_start"] = 0.75
    work = replace(stimulated, params=Params.model_validate(whole))
    produce(work.stages["recording"], work)
    made = produce(work.stages["preprocessed_recording"], work)
    assert made.manifest.summary["stimulation_events"] == 1
    chain = json.loads(work.input("preprocessed_recording").read_text())
    text = json.dumps(chain)
    assert f'"list_triggers": [[{round(0.25 * 30_000)}]]' in text


@pytest.mark.parametrize(
    ("name", "words"),
    [("none.csv", "there is no none.csv in"), ("../../secret.csv", "leads out of the data folder")],
)
def test_a_path_that_is_missing_or_leads_out_is_an_error(stimulated, name, words):
    (stimulated.data.parent / "secret.csv").write_text("time\n0.5\n")
    work = with_events(stimulated, events_file=name)
    with pytest.raises(BadDataError, match=words):
        produce(work.stages["preprocessed_recording"], work)


def test_a_link_beside_the_data_does_not_lead_out(stimulated):
    secret = stimulated.data.parent / "secret.csv"
    secret.write_text("time\n0.5\n")
    (stimulated.data / "demo_g0" / "linked.csv").symlink_to(secret)
    work = with_events(stimulated, events_file="linked.csv")
    with pytest.raises(BadDataError, match="leads out of the data folder"):
        produce(work.stages["preprocessed_recording"], work)
    work = with_events(stimulated, events_file=str(secret))
    made = produce(work.stages["preprocessed_recording"], work)
    assert made.manifest.summary["stimulation_events"] == 1, "the deployment may name any file"


def test_a_params_file_among_the_data_may_not_name_a_file_elsewhere(tmp_path):
    path = tmp_path / "spikepipe_params.json"
    for name, allowed in (("stim.csv", True), ("/etc/hostname", False)):
        path.write_text(
            json.dumps({"preprocessing": {"remove_stimulation_artifacts": {"events_file": name}}})
        )
        if allowed:
            assert read_session_params(path)
        else:
            with pytest.raises(ParamsError, match="absolute path /etc/hostname"):
                read_session_params(path)


def test_open_ephys_events_are_asked_of_open_ephys_data_only(stimulated):
    work = with_events(stimulated, events_file=None)
    with pytest.raises(BadDataError, match=r"read with the spikeglx reader\. Give a file"):
        produce(work.stages["preprocessed_recording"], work)


# --- Open Ephys -------------------------------------------------------------------------------------------------------


@pytest.fixture
def ttl(tmp_path, tiny_params):
    """TTL events beside a probe (its own line 1, and lines 1 and 2 of a board), and the work on one recording."""
    from openephys_folders import OpenEphysStream, write_recording

    from spikepipe_core.ingest import RecordingJob
    from spikepipe_core.stages.stage import Work
    from spikepipe_core.store import SessionEntry, Store

    own, board = OpenEphysStream("ProbeA", channels=["CH0"], samples=3000), "NI-DAQmx-103.PXIe-6341"
    recording = write_recording(tmp_path / "session" / "Record Node 101", [own])
    listed = [(own.folder_name, [1, -1, 1], [1300, 1600, 3999]), (board, [1, -1, 2], [5000, 5100, 5200])]
    oebin = json.loads((recording / "structure.oebin").read_text())
    for name, states, numbers in listed:
        folder = recording / "events" / name / "TTL"
        folder.mkdir(parents=True)
        np.save(folder / "states.npy", np.array(states, "int16"))
        np.save(folder / "sample_numbers.npy", np.array(numbers))
        np.save(folder / "timestamps.npy", 0.25 + np.array(numbers) / 30_000 - (0.1 if name == board else 0))
        oebin["events"].append({"folder_name": f"{name}/TTL/", "sample_rate": 30_000})
    (recording / "structure.oebin").write_text(json.dumps(oebin))
    stream = (recording / "continuous" / own.folder_name).relative_to(tmp_path).as_posix()
    job = RecordingJob(
        session="session", session_folder="session", probe="ProbeA", block="experiment1", segment=1, stream="ProbeA",
        recording_name="experiment1_ProbeA_recording1", reader="openephys", source=({"stream": stream},), files=(),
    )  # fmt: skip
    entry = SessionEntry(session="session", session_folder="session", data=tmp_path, jobs=(job,))
    traces = si.NumpyRecording([np.zeros((3000, 1), "int16")], 30_000.0, t_starts=[0.25 + 1000 / 30_000])

    def windows(times_reset: bool = False, **values):
        params = tiny_params(preprocessing={"remove_stimulation_artifacts": values})
        work = Work(Store(tmp_path / "results"), entry, job, params, {"recording": RECORDING_STAGE})
        work.input("recording").mkdir(parents=True, exist_ok=True)
        (work.input("recording") / "job.json").write_text(json.dumps({"times_reset": times_reset}))
        return load_windows(work, traces)

    return windows


def test_a_line_of_the_probes_own_stream_counts_samples(ttl):
    own = "Neuropix-PXI-100.ProbeA"
    found = ttl(events=f"{own}/1")
    assert [one.tolist() for one in found.starts] == [[300, 2999]]
    assert ttl(events=own, edge="falling").starts[0].tolist() == [600]
    assert ttl(events=own, edge="both", times_reset=True).starts[0].tolist() == [300, 600, 2999]
    assert f"3 stimulation events from TTL line 1 of {own}" in ttl(events=own, edge="both").found.words


def test_a_line_of_another_board_needs_synchronized_times(ttl):
    found = ttl(events="2")  # 5200 / 30 kHz, 0.1 s earlier on the shared clock
    assert found.starts[0].tolist() == [5200 - 3000 - 1000]
    with pytest.raises(BadDataError, match="another clock"):
        ttl(events="2", times_reset=True)
    with pytest.raises(ParamsError, match="stands for 2 TTL lines"):
        ttl(events="1")
    with pytest.raises(ParamsError, match="stands for 0 TTL lines"):
        ttl(events="7")
