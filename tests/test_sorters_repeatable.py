"""The same traces, params and versions give the same units again, however many workers there are."""

from __future__ import annotations

import random

import numpy as np
import pytest
import spikeinterface.core as si
import spikeinterface.sorters as ss
from spikeinterface.core import node_pipeline, waveform_tools
from spikeinterface.core.time_series_tools import get_random_sample_slices
from spikeinterface.preprocessing import astype, scale
from spikeinterface.sortingcomponents.peak_detection import detect_peaks
from spikeinterface.sortingcomponents.tools import get_shuffled_recording_slices

from spikepipe_core.sorters import BUILT_IN as SORTERS
from spikepipe_core.stages.repeatable import CHUNKS_AT_ONCE, repeatable
from spikepipe_core.stages.sorters import sorter_arguments
from spikepipe_core.stages.sorting import sort
from spikepipe_core.stages.traces import cached_traces

CHUNKS = {"chunk_duration": "100ms", "progress_bar": False}


@pytest.fixture(scope="module")
def recording():
    made, _ = si.generate_ground_truth_recording(
        durations=[10.0], num_channels=8, num_units=5, seed=1, dtype="float32"
    )
    return made.save(format="memory", progress_bar=False, verbose=False)


def test_a_draw_without_a_seed_gets_the_given_one_and_one_with_a_seed_keeps_its_own():
    free = np.random.default_rng
    with repeatable(5):
        first = np.random.default_rng().integers(1000, size=5), np.random.rand(), random.random()
        own = np.random.default_rng(seed=7).integers(1000, size=5)
    with repeatable(5):
        second = np.random.default_rng(None).integers(1000, size=5), np.random.rand(), random.random()
    with repeatable(6):
        other = np.random.default_rng().integers(1000, size=5)
    assert np.array_equal(first[0], second[0]) and first[1:] == second[1:]
    assert not np.array_equal(first[0], other)
    assert np.array_equal(own, np.random.default_rng(7).integers(1000, size=5))
    assert np.random.default_rng is free


def test_global_generators_and_functions_are_put_back_even_after_an_error():
    np.random.seed(0)
    expected = np.random.rand(2)
    np.random.seed(0)
    assert np.random.rand() == expected[0]
    functions = node_pipeline.run_node_pipeline, waveform_tools.estimate_templates_with_accumulator
    with pytest.raises(RuntimeError, match="sorter"), repeatable(1):
        np.random.rand(100)
        assert node_pipeline.run_node_pipeline is not functions[0]
        raise RuntimeError("the sorter broke")
    assert np.random.rand() == expected[1]
    import spikeinterface.sortingcomponents.peak_detection.main as user

    assert user.run_node_pipeline is node_pipeline.run_node_pipeline is functions[0]
    assert waveform_tools.estimate_templates_with_accumulator is functions[1]


def test_random_chunks_of_spikeinterface_are_the_same_again(recording):
    def starts():
        return [start for _, start, _ in get_random_sample_slices(recording, chunk_size=100)]

    assert starts() != starts()
    with repeatable(3):
        assert starts() == starts()


def test_detection_that_stops_early_looks_at_the_same_chunks_with_any_number_of_workers(recording):
    slices = get_shuffled_recording_slices(recording, CHUNKS, seed=2)

    def peaks(n_jobs):
        with repeatable(3):
            found = detect_peaks(
                recording,
                method="locally_exclusive",
                method_kwargs={"detect_threshold": 5},
                pipeline_kwargs={"slices": slices, "skip_after_n_peaks": 50},
                job_kwargs={**CHUNKS, "n_jobs": n_jobs},
            )
        return found

    alone, three = peaks(1), peaks(3)
    assert np.array_equal(alone, three)
    chunks = {int(sample) // 2500 for sample in alone["sample_index"]}
    assert len(alone) > 50 and len(chunks) <= 2 * CHUNKS_AT_ONCE < len(slices)


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_average_waveforms_are_right_and_the_same_with_any_number_of_workers(recording, n_jobs):
    generator = np.random.default_rng(0)
    spikes = np.zeros(2000, dtype=si.base.minimum_spike_dtype)
    spikes["sample_index"] = np.sort(generator.integers(100, recording.get_num_samples() - 100, 2000))
    spikes["unit_index"] = generator.integers(0, 3, 2000)
    given = (recording, spikes, ["a", "b", "without spikes", "c"], 10, 20)
    spikes["unit_index"][spikes["unit_index"] == 2] = 3
    with repeatable(0):
        found = waveform_tools.estimate_templates_with_accumulator(*given, n_jobs=n_jobs, **CHUNKS)
        again = waveform_tools.estimate_templates_with_accumulator(*given, n_jobs=2, **CHUNKS)
    plain = waveform_tools.estimate_templates_with_accumulator(*given, n_jobs=1, **CHUNKS)
    assert np.array_equal(found, again)
    assert found.dtype == plain.dtype and np.allclose(found, plain, atol=1e-3)
    assert not found[2].any()


def test_a_sorter_without_a_seed_in_the_params_gets_ours_and_a_given_one_stays():
    for name in ("spykingcircus2", "lupin"):
        for given, expected in ((None, 42), (7, 7)):
            arguments, _ = sorter_arguments(
                SORTERS[name], {"seed": given}, drift_correction=True, job_kwargs={}
            )
            assert arguments["seed"] == expected


def sorted_twice(name, recording, workers, folder, params):
    chosen = params.spikesorting.settings(name).sorter
    found = []
    for run, n_jobs in enumerate(workers):
        jobs = {"n_jobs": n_jobs, "chunk_duration": "250ms", "progress_bar": False}
        arguments, _ = sorter_arguments(SORTERS[name], chosen, drift_correction=False, job_kwargs=jobs)
        found.append(sort(recording, SORTERS[name], arguments, folder / f"run{run}").sorting)
    return found


def assert_same_units(first, second):
    assert first.get_num_units() > 0
    assert list(first.unit_ids) == list(second.unit_ids)
    assert np.array_equal(first.to_spike_vector(), second.to_spike_vector())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spykingcircus2", "lupin"])
def test_a_sorter_finds_the_same_units_again(preprocessed_session, tiny_params, tmp_path, name):
    """Once with one worker, once with two: some 10 s."""
    recording = cached_traces(preprocessed_session)
    assert_same_units(*sorted_twice(name, recording, (1, 2), tmp_path, tiny_params()))


@pytest.mark.slow
@pytest.mark.skipif(not ss.sorter_dict["kilosort4"].is_installed(), reason="kilosort is not installed")
def test_kilosort4_finds_the_same_units_again_on_a_cpu(recording, tiny_params, tmp_path):
    """Some 15 s."""
    traces = astype(scale(recording, gain=5.0), "int16").save(folder=tmp_path / "traces", verbose=False)
    assert_same_units(*sorted_twice("kilosort4", traces, (1, 1), tmp_path, tiny_params()))
