"""Unusual recordings through a real sorter and all that comes after it: joined segments, two channels, silence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import spikeinterface.core as si
from probeinterface import write_probeinterface
from spikeinterface.preprocessing import astype, scale

from spikepipe_core.ingest import discover
from spikepipe_core.params import Params
from spikepipe_core.produce import produce
from spikepipe_core.stages.curation import load_curated
from spikepipe_core.stages.sorting import load_sorting
from spikepipe_core.stages.stage import Work
from spikepipe_core.store import Store, session_entries

STAGES = ("recording", "preprocessed_recording", "sorting", "analyzer", "curated_units")

pytestmark = pytest.mark.slow


@pytest.fixture
def session(tmp_path, tiny_params, probe_stages):
    """Raw files of one probe, one a segment, with what is to be done with them."""

    def write(durations, channels, *, silent=False):
        data = tmp_path / "mouse"
        data.mkdir()
        made, truth = si.generate_ground_truth_recording(
            durations=durations, num_channels=channels, num_units=4, sampling_frequency=30_000.0, seed=1
        )
        noise = np.random.default_rng(0)
        for segment, seconds in enumerate(durations):
            traces = astype(scale(made, gain=5.0), "int16").get_traces(segment_index=segment)
            if silent:
                traces = noise.normal(scale=20.0, size=(int(seconds * 30_000), channels)).astype("int16")
            traces.tofile(data / f"{segment}.raw")
        write_probeinterface(data / "probe.json", made.get_probe())
        params = tiny_params(job_dispatch=dispatch([f"{n}.raw" for n in range(len(durations))], channels))
        return work(data, params), truth

    def dispatch(files, channels):
        kwargs = {
            "file_paths": files,
            "sampling_frequency": 30_000.0,
            "num_channels": channels,
            "dtype": "int16",
            "gain_to_uV": 0.2,
            "offset_to_uV": 0,
        }
        info = {"reader_type": "binary", "reader_kwargs": kwargs, "probe_paths": "probe.json"}
        return {"input": "spikeinterface", "spikeinterface_info": info, "split_segments": False}

    def work(data, params: Params) -> Work:
        found = discover(data, params.job_dispatch)
        store = Store(tmp_path / "results")
        entries = session_entries(found.data_root, found.jobs)
        store.registry.add(entries)
        return Work(store, entries[0], entries[0].jobs[0], params, probe_stages)

    return write


def test_joined_segments_are_sorted_as_one_and_stay_apart_in_all_that_follows(session):
    """Some 15 s."""
    work, truth = session([6.0, 5.0, 4.0], 8)
    for name in STAGES:
        produce(work.stages[name], work)
    for sorting in (load_sorting(work), load_curated(work)):
        per_segment = sorting.to_spike_vector(concatenated=False)
        assert [
            spikes["sample_index"].max() < n
            for spikes, n in zip(per_segment, (180e3, 150e3, 120e3), strict=True)
        ]
        found = np.array([len(spikes) for spikes in per_segment])
        expected = np.array([len(spikes) for spikes in truth.to_spike_vector(concatenated=False)])
        assert np.all(found > expected / 2) and np.all(found < 2 * expected)
    analyzer = si.load(work.input("analyzer"), load_extensions=False)
    assert analyzer.get_num_segments() == 3
    assert not list(work.scratch.root.rglob("recording.dat"))


def test_two_channels_give_units(session):
    """Some 10 s."""
    work, truth = session([10.0], 2)
    for name in STAGES:
        made = produce(work.stages[name], work)
        assert made.outcome.outcome == "ok"
    summary = work.manifest("sorting").summary
    assert summary["drift_correction"] == "switched off: 2 channels, fewer than min_drift_channels = 6"
    assert summary["units"] >= 1 and summary["spikes"] > truth.count_total_num_spikes() / 3


@pytest.mark.parametrize("name", ["spykingcircus2", "lupin"])
def test_a_silent_recording_is_left_out_with_the_reason_and_everything_below_it_says_why(session, name):
    """Some 5 s."""
    work, _ = session([5.0], 2, silent=True)
    chosen = work.params.spikesorting.model_copy(update={"sorter": name})
    work = replace(work, params=work.params.model_copy(update={"spikesorting": chosen}))
    outcomes = {stage: produce(work.stages[stage], work).outcome for stage in STAGES}
    assert outcomes["sorting"].outcome == "skipped"
    assert f"{name} found no units (too few spikes to sort)" in outcomes["sorting"].reason
    for below in ("analyzer", "curated_units"):
        assert (outcomes[below].outcome, outcomes[below].because_of) == ("skipped", "sorting")
    assert not any(work.input(stage).exists() for stage in ("sorting", "analyzer", "curated_units"))
