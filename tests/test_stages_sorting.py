"""Sorters get the params that were written for them, and what they find is cleaned, kept and portable."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import spikeinterface.core as si
import spikeinterface.sorters as ss
from spikeinterface.sorters.utils import SpikeSortingError

from spikepipe_core.demo import ground_truth_folder, read_ground_truth
from spikepipe_core.errors import NotAvailableError, StageFailedError
from spikepipe_core.produce import produce
from spikepipe_core.sorters import BUILT_IN as SORTERS
from spikepipe_core.stages.sorter_files import load_sorter_motion
from spikepipe_core.stages.sorters import find_sorter, sorter_arguments
from spikepipe_core.stages.sorting import drift_correction_allowed, load_sorting, sort
from spikepipe_core.stages.traces import cached_traces

JOBS = {"n_jobs": 2, "chunk_duration": "1s", "progress_bar": False}


# --- arguments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SORTERS)
def test_documented_arguments_are_known_to_the_installed_sorter(tiny_params, name):
    chosen = tiny_params().spikesorting.settings(name).sorter
    arguments, changes = sorter_arguments(SORTERS[name], chosen, drift_correction=True, job_kwargs=JOBS)
    known = ss.get_default_sorter_params(SORTERS[name].spikeinterface_name)
    assert arguments.keys() <= known.keys()
    assert changes == []
    ours = {"job_kwargs", "seed"}  # a seed of null becomes a number: see test_sorters_repeatable.py
    assert {key: arguments[key] for key in chosen if key not in ours} == {
        key: value for key, value in chosen.items() if key not in ours
    }


@pytest.mark.parametrize("name", SORTERS)
def test_parallelism_goes_where_the_sorter_takes_it(tiny_params, name):
    chosen = tiny_params().spikesorting.settings(name).sorter
    arguments, _ = sorter_arguments(SORTERS[name], chosen, drift_correction=True, job_kwargs=JOBS)
    found = arguments if name.startswith("kilosort") else arguments["job_kwargs"]
    assert {key: found[key] for key in JOBS} == JOBS


def test_the_users_own_job_kwargs_of_a_sorter_win():
    chosen = {"job_kwargs": {"chunk_duration": "250ms"}}
    arguments, _ = sorter_arguments(SORTERS["lupin"], chosen, drift_correction=True, job_kwargs=JOBS)
    assert arguments["job_kwargs"] == {**JOBS, "chunk_duration": "250ms"}


def test_null_means_the_default_where_the_sorter_takes_no_null():
    chosen = {"artifact_threshold": None, "max_channel_distance": None, "shift": None, "Th_learned": 8}
    arguments, changes = sorter_arguments(SORTERS["kilosort4"], chosen, drift_correction=True, job_kwargs={})
    assert arguments == {
        "artifact_threshold": math.inf,
        "max_channel_distance": 32,
        "shift": None,
        "Th_learned": 8,
    }
    assert [change.split(":")[0] for change in changes] == ["artifact_threshold", "max_channel_distance"]
    assert all("null means" in change for change in changes)


@pytest.mark.parametrize(
    ("name", "off"),
    [
        ("kilosort4", {"do_correction": False, "nblocks": 0}),
        ("kilosort25", {"do_correction": False, "nblocks": 0}),
        ("spykingcircus2", {"apply_motion_correction": False}),
        ("lupin", {"apply_motion_correction": False}),
    ],
)
def test_drift_correction_is_switched_off_in_the_sorters_own_words(tiny_params, name, off):
    chosen = tiny_params().spikesorting.settings(name).sorter
    on, _ = sorter_arguments(SORTERS[name], chosen, drift_correction=True, job_kwargs={})
    arguments, _ = sorter_arguments(SORTERS[name], chosen, drift_correction=False, job_kwargs={})
    assert {key: arguments[key] for key in off} == off
    assert all(on[key] != value for key, value in off.items())


@pytest.mark.parametrize(
    ("values", "corrected", "channels", "allowed", "words"),
    [
        ({}, False, 6, True, "as the sorter's parameters say"),
        ({}, False, 5, False, "5 channels, fewer than min_drift_channels = 6"),
        ({"min_drift_channels": 100}, False, 99, False, "99 channels, fewer than min_drift_channels = 100"),
        ({"skip_motion_correction": True}, False, 384, False, "skip_motion_correction"),
        ({}, True, 384, False, "motion is corrected before sorting"),
    ],
)
def test_when_the_sorter_may_correct_for_drift(tiny_params, values, corrected, channels, allowed, words):
    params = tiny_params(spikesorting={"kilosort4": values}).spikesorting.kilosort4
    verdict, why = drift_correction_allowed(params, already_corrected=corrected, channels=channels)
    assert verdict is allowed
    assert words in why


def test_an_unknown_sorter_is_named_with_those_there_are():
    with pytest.raises(
        NotAvailableError, match=r"'kilosrt4' is no spike sorter.*kilosort4, kilosort25, spykingcircus2"
    ):
        find_sorter("kilosrt4")


@pytest.mark.skipif(ss.sorter_dict["kilosort2_5"].is_installed(), reason="Kilosort 2.5 is installed here")
def test_a_sorter_that_cannot_run_here_is_said_with_the_remedy():
    with pytest.raises(NotAvailableError, match=r"kilosort25 cannot run.*KILOSORT2_5_PATH.*spykingcircus2"):
        find_sorter("kilosort25")


# --- what a sorter finds, with a stand-in for the sorter itself --------------------------------------------------


@pytest.fixture
def stand_in(monkeypatch):
    """A sorter that finds what the test says, and leaves the files that SpikeInterface's wrapper leaves."""
    calls = []

    def install(found=None, error=None):
        def run_sorter(name, recording, folder, verbose, raise_error, **arguments):
            calls.append((name, recording, arguments))
            folder.mkdir()
            described = {"sorter_name": name, "sorter_params": arguments, "recording": {"file": str(folder)}}
            (folder / "spikeinterface_params.json").write_text(json.dumps(described))
            print("Kept 7 peaks")
            trace = [f"saved in {folder}/out"]
            log = {"sorter_version": "1.2", "runtime_trace": trace, "error": bool(error), "run_time": 1.0}
            (folder / "spikeinterface_log.json").write_text(json.dumps(log))
            if error:
                raise error if isinstance(error, Exception) else SpikeSortingError(error)
            return found(recording)

        monkeypatch.setattr(ss, "run_sorter", run_sorter)
        return calls

    return install


def trains(recording, **units):
    sorting = si.NumpySorting.from_unit_dict(
        [{name: np.array(train) for name, train in units.items()}], recording.sampling_frequency
    )
    sorting.register_recording(recording)
    return sorting


def test_empty_units_and_spikes_beyond_the_end_are_removed(
    preprocessed_session, continued, tiny_params, tmp_path, stand_in
):
    end = 12 * 30_000

    def found(recording):
        made = trains(recording, a=[100, 5_000, end - 1], b=[300, end, end + 7], c=[])
        made.set_property("KSLabel", np.array(["good", "mua", "mua"], dtype=object))
        return made

    calls = stand_in(found)
    params = tiny_params(spikesorting={"spykingcircus2": {"min_drift_channels": 15}})
    work = continued(preprocessed_session, tmp_path / "results", params)
    made = produce(work.stages["sorting"], work)
    assert made.outcome.reason == "2 units, 4 spikes"
    summary = made.manifest.summary
    assert (summary["empty_units_removed"], summary["excess_spikes_removed"]) == (1, 2)
    assert summary["drift_correction"] == "switched off: 14 channels, fewer than min_drift_channels = 15"
    name, recording, arguments = calls[0]
    assert name == "spykingcircus2" and recording.get_num_channels() == 14
    assert arguments["apply_motion_correction"] is False
    assert arguments["job_kwargs"]["n_jobs"] == 1

    sorting = load_sorting(work)
    assert list(sorting.get_unit_spike_train("a")) == [100, 5_000, end - 1]
    assert list(sorting.get_unit_spike_train("b")) == [300]
    assert list(sorting.get_property("KSLabel")) == ["good", "mua"]
    folder = work.input("sorting")
    assert not kept_log(work).exists()
    assert json.loads((folder / "sorter_params.json").read_text())["sorter_params"]["seed"] == 42
    assert json.loads((folder / "sorter_log.json").read_text())["runtime_trace"] == [
        "saved in <working folder>/run/out"
    ]
    assert (folder / "sorter_log.txt").read_text() == "== printed.txt\nKept 7 peaks\n"
    assert made.manifest.versions["spykingcircus2"] == "1.2"
    assert (summary["device"], summary["seed"], summary["repeats"]) == ("cpu", 42, "yes")
    assert not any(str(tmp_path) in file.read_text() for file in folder.rglob("*.json"))
    assert not work.scratch.path(work.scratch_ref("sorter")).exists(), (
        "the sorter's working folder is cleared"
    )


def kept_log(work):
    return work.store.results.root / "demo_g0/.spikepipe/sorter_logs" / work.recording_job.recording_name


def relative(log, work):
    return log.relative_to(work.store.results.root)


def test_no_units_leave_the_recording_out(preprocessed_session, continued, tmp_path, stand_in):
    stand_in(lambda recording: trains(recording, a=[], b=[10**9]))
    work = continued(preprocessed_session, tmp_path / "results")
    made = produce(work.stages["sorting"], work)
    assert made.outcome.outcome == "skipped"
    log = kept_log(work)
    assert (
        made.outcome.reason
        == f"spykingcircus2 found no units. Its log is in the results, in {relative(log, work)}"
    )
    assert {file.name for file in log.iterdir()} == {
        "sorter_params.json",
        "sorter_log.json",
        "sorter_log.txt",
    }
    assert not work.input("sorting").exists()
    line = work.store.ledger.read("demo_g0", "demo_g0", "imec0", "curated_units")
    assert (line.outcome, line.because_of) == ("skipped", "sorting")


TRACE = """Spike sorting failed:
Traceback (most recent call last):
  File "sorter.py", line 7
ValueError: too few spikes for clustering
Spike sorting failed. You can inspect the runtime trace in somewhere."""


def test_a_failing_sorter_is_reported_with_its_last_words_and_its_log(
    preprocessed_session, continued, tmp_path, stand_in
):
    stand_in(error=TRACE)
    work = continued(preprocessed_session, tmp_path / "results")
    with pytest.raises(StageFailedError, match="spykingcircus2 failed: ValueError: too few spikes") as failed:
        produce(work.stages["sorting"], work)
    folder = work.scratch.path(work.scratch_ref("sorter"))
    assert folder.is_dir(), "to look into, until the next start"
    log = kept_log(work)
    assert str(failed.value).endswith(
        f"too few spikes for clustering. Its log is in the results, in {relative(log, work)}"
    )
    assert json.loads((log / "sorter_log.json").read_text())["error"] is True
    assert "Kept 7 peaks" in (log / "sorter_log.txt").read_text()
    line = work.store.ledger.read("demo_g0", "demo_g0", "imec0", "sorting")
    assert line.outcome == "failed" and "too few spikes" in line.reason


def test_with_raise_if_fails_false_the_recording_is_left_out(
    preprocessed_session, continued, tiny_params, tmp_path, stand_in
):
    stand_in(error=TRACE)
    params = tiny_params(spikesorting={"spykingcircus2": {"raise_if_fails": False}})
    work = continued(preprocessed_session, tmp_path / "results", params)
    made = produce(work.stages["sorting"], work)
    assert made.outcome.outcome == "skipped"
    assert "raise_if_fails is false" in made.outcome.reason and "too few spikes" in made.outcome.reason


def test_segments_are_sorted_as_one_and_split_again(stand_in, tmp_path):
    recording = si.generate_recording(num_channels=4, durations=[1.0, 2.0], sampling_frequency=30_000.0)
    calls = stand_in(lambda whole: trains(whole, a=[10, 29_999, 30_000, 80_000]))
    result = sort(recording, SORTERS["lupin"], {}, tmp_path / "sorter")
    assert calls[0][1].get_num_segments() == 1 and calls[0][1].get_num_samples() == 90_000
    assert list(result.sorting.get_unit_spike_train("a", segment_index=0)) == [10, 29_999]
    assert list(result.sorting.get_unit_spike_train("a", segment_index=1)) == [0, 50_000]


def test_traces_are_written_once_and_made_again_for_another_version(
    preprocessed_session, continued, tiny_params, tmp_path
):
    work = continued(preprocessed_session, tmp_path / "results")
    first = cached_traces(work)
    assert first.get_dtype() == np.int16 and first.has_scaleable_traces()
    file = next(work.scratch.root.rglob("*.raw"))
    stamp = file.stat().st_mtime_ns
    cached_traces(work)
    assert file.stat().st_mtime_ns == stamp

    one_second = {"debug": True, "debug_duration": 1.0}
    params = tiny_params(job_dispatch=one_second, preprocessing={"custom_preprocessing_pipeline": {}})
    other = replace(work, params=params)
    for name in ("recording", "preprocessed_recording"):
        produce(other.stages[name], other)
    assert cached_traces(other).get_num_samples() == 30_000


# --- the sorters themselves ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spykingcircus2", "kilosort4"])
def test_a_real_sorter_finds_units_and_leaves_portable_files(
    preprocessed_session, continued, tiny_params, demo_data, tmp_path, name, monkeypatch
):
    """Some 30 s each on a CPU."""
    if not ss.sorter_dict[name].is_installed():
        pytest.skip(f"{name} is not installed")

    def copy(*_, **__):
        raise AssertionError("what lies in scratch is binary already: no copy is needed")

    monkeypatch.setattr("spikeinterface.sorters.external.kilosort4.write_binary_recording", copy)
    from spikeinterface.comparison import compare_sorter_to_ground_truth

    params = tiny_params(spikesorting={"sorter": name})
    work = continued(preprocessed_session, tmp_path / "results", params)
    made = produce(work.stages["sorting"], work)
    assert made.outcome.outcome == "ok"
    assert made.manifest.summary["sorter"] == name
    assert made.manifest.summary["median_firing_rate_hz"] > 0

    truth, _ = read_ground_truth(ground_truth_folder(demo_data, "imec0"))
    accuracy = compare_sorter_to_ground_truth(truth, load_sorting(work)).get_performance()["accuracy"]
    assert accuracy.max() > 0.6, "12 s are too short to ask for more"

    folder = work.input("sorting")
    used = json.loads((folder / "sorter_params.json").read_text())["sorter_params"]
    assert used.items() >= {key: value for key, value in _plain(params, name).items()}.items()
    assert json.loads((folder / "sorter_log.json").read_text())["error"] is False
    motion = load_sorter_motion(folder)
    if name == "kilosort4":
        assert motion.num_segments == 1 and 0 < motion.temporal_bins_s[0][-1] < 12
        assert made.manifest.summary["drift_correction"] == "by the sorter itself"
        assert "kilosort4.log" in (folder / "sorter_log.txt").read_text()
    else:
        assert motion is None, "SpyKING CIRCUS 2 wants more than 32 channels for it"
        assert made.manifest.summary["drift_correction"] == "allowed, and the sorter made none"
    session = work.store.results.root / "demo_g0"
    assert not [file for file in session.rglob("*") if file.suffix in (".pkl", ".pickle")]
    bound = [file for file in folder.rglob("*.json") if str(tmp_path) in file.read_text()]
    assert bound == [], "no path of the machine it was made on"


def _plain(params, name):
    """The sorter's params that are passed through as they are."""
    chosen = params.spikesorting.settings(name).sorter
    return {key: value for key, value in chosen.items() if not isinstance(value, dict | list)}
