"""Recordings of every shape through a real sorter and all that comes after it, to the NWB file."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import spikeinterface.core as si
from probeinterface import Probe, generate_multi_columns_probe, generate_multi_shank, write_probeinterface

from spikepipe_core.graph import STAGES
from spikepipe_core.ingest import discover
from spikepipe_core.nwb import inspect_nwb
from spikepipe_core.produce import produce
from spikepipe_core.stages.curation import load_curated
from spikepipe_core.stages.motion import load_motion_info
from spikepipe_core.stages.preprocessing import load_preprocessed
from spikepipe_core.stages.recording import load_recording
from spikepipe_core.stages.sorting import load_sorting
from spikepipe_core.stages.stage import Work
from spikepipe_core.store import Store, session_entries

pytestmark = pytest.mark.slow

RATE, GAIN_UV = 30_000.0, 0.2
FEW_CHANNELS = {"spikesorting": {"sorter": "mountainsort5"}}
"""SpyKING CIRCUS 2 takes minutes for four channels."""

WITH_UNITS = ("sorting", "analyzer", "curated_units", "figures", "quality_control")
ALWAYS = ("recording", "lfp", "nwb")


@dataclass
class Shape:
    """Raw files that have been processed: the work of every recording job, and what is known of the units."""

    works: list[Work]
    truth: si.BaseSorting
    outcomes: dict[tuple[str, str, str], str]

    def of(self, work: Work, stage: str) -> str:
        """How a recording job ended at a stage, and the reason."""
        probe = "" if STAGES[stage].scope == "session" else work.recording_job.probe
        return self.outcomes[work.entry.session, probe, stage]

    def units_in_nwb(self, work: Work) -> int:
        """Units of a recording job in its session's file."""
        whole = replace(work, job=None)
        return inspect_nwb(whole.input("nwb"))["probes"][work.recording_job.probe]["units"]


@pytest.fixture
def process(tmp_path, tiny_params):
    """Write raw files, one a segment, and make every output but the figures of the signal."""

    def run(probe: Probe, durations, *, units=4, dtype="int16", traces=None, **sections) -> Shape:
        data = tmp_path / "mouse"
        data.mkdir()
        made, truth = si.generate_ground_truth_recording(
            durations=durations, probe=probe, num_units=units, sampling_frequency=RATE, seed=1
        )
        for segment in range(len(durations)):
            counts = (made.get_traces(segment_index=segment) / GAIN_UV).astype("int16")
            counts = counts if traces is None else traces(counts.shape)
            if dtype == "uint16":
                counts = (counts.astype("int32") + 2**15).astype("uint16")
            counts.tofile(data / f"{segment}.raw")
        write_probeinterface(data / "probe.json", probe)
        about = {"session_start_time": "2026-01-01T12:00:00+00:00", "session_description": "simulated"}
        (data / "spikepipe_nwb_metadata.json").write_text(json.dumps({"NWBFile": about}))
        kwargs = {
            "file_paths": [f"{segment}.raw" for segment in range(len(durations))],
            "sampling_frequency": RATE,
            "num_channels": probe.get_contact_count(),
            "dtype": dtype,
            "gain_to_uV": GAIN_UV,
            "offset_to_uV": -(2**15) * GAIN_UV if dtype == "uint16" else 0,
        }
        info = {"reader_type": "binary", "reader_kwargs": kwargs, "probe_paths": "probe.json"}
        dispatch = {
            "input": "spikeinterface",
            "spikeinterface_info": info,
            **sections.pop("job_dispatch", {}),
        }
        preprocessing = {"motion_correction": {"compute": False}, **sections.pop("preprocessing", {})}
        params = tiny_params(job_dispatch=dispatch, preprocessing=preprocessing, **sections)
        found = discover(data, params.job_dispatch)
        store = Store(tmp_path / "results")
        entries = session_entries(found.data_root, found.jobs)
        store.registry.add(entries)
        works = [Work(store, entry, job, params, STAGES) for entry in entries for job in entry.jobs]
        return Shape(works, truth, outcomes(works))

    return run


def outcomes(works: list[Work]) -> dict[tuple[str, str, str], str]:
    found = {}
    sessions = {work.entry.session: replace(work, job=None) for work in works}
    for name in ("recording", "preprocessed_recording", "motion", "lfp", *WITH_UNITS):
        for work in works:
            made = produce(STAGES[name], work).outcome
            found[work.entry.session, work.recording_job.probe, name] = f"{made.outcome}: {made.reason}"
    for session, work in sessions.items():
        made = produce(STAGES["nwb"], work).outcome
        found[session, "", "nwb"] = f"{made.outcome}: {made.reason}"
    return found


def assert_whole(shape: Shape) -> None:
    """Every output of every job is there, and they agree about units, segments and channels."""
    ends = {key: reason for key, reason in shape.outcomes.items() if key[2] != "motion"}
    assert {reason.partition(":")[0] for reason in ends.values()} == {"ok"}, ends
    for work in shape.works:
        sorting, curated = load_sorting(work), load_curated(work)
        segments = load_recording(work).get_num_segments()
        analyzer = si.load(work.input("analyzer"), load_extensions=False)
        assert sorting.get_num_units() > 0
        assert (sorting.get_num_segments(), analyzer.get_num_segments()) == (segments, segments)
        assert analyzer.get_num_channels() == load_preprocessed(work).get_num_channels()
        assert set(curated.unit_ids) <= set(analyzer.unit_ids)
        assert shape.units_in_nwb(work) == curated.get_num_units()
        assert list(work.input("figures").iterdir()) and list(work.input("quality_control").iterdir())


def assert_nothing_sorted(shape: Shape, stage: str, reason: str) -> None:
    """Left out at a stage: what needs no units is there, and all below says why it is not."""
    (work,) = shape.works
    assert shape.of(work, stage).startswith("skipped: ") and reason in shape.of(work, stage)
    for below in WITH_UNITS[WITH_UNITS.index(stage) + 1 if stage in WITH_UNITS else 0 :]:
        assert shape.of(work, below).startswith("skipped: ")
        assert not work.input(below).exists()
    for name in ALWAYS:
        assert shape.of(work, name).startswith("ok: ")
    assert shape.units_in_nwb(work) == 0


def column(channels: int) -> Probe:
    """One shank, one column."""
    probe = generate_multi_columns_probe(num_columns=1, num_contact_per_column=channels, ypitch=20)
    probe.set_device_channel_indices(np.arange(channels))
    return probe


def shanks(channels_each: int) -> Probe:
    """Four shanks."""
    probe = generate_multi_shank(
        num_shank=4, num_columns=1, num_contact_per_column=channels_each, shank_pitch=(250, 0)
    )
    probe.set_device_channel_indices(np.arange(4 * channels_each))
    return probe


# --- segments ---------------------------------------------------------------------------------------------------------


def test_joined_segments_are_sorted_as_one_and_stay_apart_in_all_that_follows(process):
    """Unsigned samples besides, and motion that is applied."""
    shape = process(
        column(8),
        [6.0, 5.0, 4.0],
        dtype="uint16",
        job_dispatch={"split_segments": False},
        preprocessing={"motion_correction": {"apply": True, "preset": "dredge_fast"}},
    )
    assert_whole(shape)
    (work,) = shape.works
    assert load_motion_info(work)["motion"].num_segments == 3
    assert work.manifest("sorting").summary["drift_correction"] == (
        "switched off: motion is corrected before sorting"
    )
    ends = np.array([6.0, 5.0, 4.0]) * RATE
    expected = np.array([len(spikes) for spikes in shape.truth.to_spike_vector(concatenated=False)])
    for sorting in (load_sorting(work), load_curated(work)):
        per_segment = sorting.to_spike_vector(concatenated=False)
        assert all(spikes["sample_index"].max() < end for spikes, end in zip(per_segment, ends, strict=True))
        found = np.array([len(spikes) for spikes in per_segment])
        assert np.all(found > expected / 2) and np.all(found < 2 * expected)
    assert not list(work.scratch.root.rglob("recording.dat"))


def test_split_segments_are_sessions_of_their_own(process):
    shape = process(column(4), [4.0, 3.0, 3.0], units=2, **FEW_CHANNELS)
    assert [work.entry.session for work in shape.works] == [f"mouse__block0_recording{n}" for n in (1, 2, 3)]
    assert_whole(shape)
    for work, seconds in zip(shape.works, (4.0, 3.0, 3.0), strict=True):
        assert load_recording(work).get_total_duration() == seconds
        assert load_sorting(work).to_spike_vector()["sample_index"].max() < seconds * RATE


# --- channels ---------------------------------------------------------------------------------------------------------


def test_four_shanks_are_four_jobs_of_one_session(process):
    shape = process(shanks(4), [6.0], units=20, **FEW_CHANNELS)
    assert [work.recording_job.probe for work in shape.works] == [f"binary_group{n}" for n in range(4)]
    ends = [shape.of(work, "curated_units") for work in shape.works]
    assert {end.partition(":")[0] for end in ends} <= {"ok", "skipped"}, "a shank may have no units"
    sorted_ones = [work for work, end in zip(shape.works, ends, strict=True) if end.startswith("ok")]
    assert len(sorted_ones) >= 2
    facts = inspect_nwb(replace(shape.works[0], job=None).input("nwb"))
    assert facts["units"] == sum(load_curated(work).get_num_units() for work in sorted_ones)
    assert facts["electrodes"] == 16


def test_four_shanks_may_stay_together(process):
    shape = process(shanks(4), [4.0], units=8, job_dispatch={"split_groups": False})
    assert [work.recording_job.probe for work in shape.works] == ["binary"]
    assert_whole(shape)
    analyzer = si.load(shape.works[0].input("analyzer"), load_extensions=False)
    assert set(analyzer.get_probe().shank_ids) == {"0", "1", "2", "3"}


def test_a_shank_of_95_channels_is_destriped_and_sorted(process):
    """A number that no padding, taper or batch of channels divides."""
    probe = generate_multi_columns_probe(num_columns=5, num_contact_per_column=19, xpitch=20, ypitch=20)
    probe.set_device_channel_indices(np.arange(95))
    shape = process(probe, [4.0], units=10, preprocessing={"denoising_strategy": "destripe"})
    assert_whole(shape)


def test_two_channels_give_units(process):
    shape = process(column(2), [8.0])
    assert_whole(shape)
    summary = shape.works[0].manifest("sorting").summary
    assert summary["drift_correction"] == "switched off: 2 channels, fewer than min_drift_channels = 6"
    assert summary["spikes"] > shape.truth.count_total_num_spikes() / 3


# --- nothing to sort --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["spykingcircus2", "lupin"])
def test_a_silent_recording_is_left_out_by_the_sorter(process, name):
    noise = np.random.default_rng(0)
    shape = process(
        column(2),
        [4.0],
        traces=lambda shape: noise.normal(scale=20.0, size=shape).astype("int16"),
        spikesorting={"sorter": name},
    )
    assert_nothing_sorted(shape, "sorting", f"{name} found no units (too few spikes to sort)")


def test_a_recording_without_a_good_channel_is_left_out_before_sorting(process):
    noise = np.random.default_rng(0)
    shape = process(
        column(8), [4.0], traces=lambda shape: noise.normal(scale=4000.0, size=shape).astype("int16")
    )
    assert_nothing_sorted(shape, "preprocessed_recording", "all 8 channels are dead or noisy")


def test_a_flat_recording_is_left_out_by_the_sorter(process):
    """There is nothing to tell a dead channel from."""
    shape = process(column(4), [2.0], traces=lambda shape: np.zeros(shape, "int16"))
    assert_nothing_sorted(shape, "sorting", "spykingcircus2 found no units (the traces are flat)")
