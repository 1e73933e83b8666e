"""Motion is estimated with SpikeInterface's presets, in um, the same in each run, and only where it can be."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import spikeinterface.core as si
import spikeinterface.preprocessing as spre
from spikeinterface.core.motion import Motion

from spikepipe_core.errors import ParamsError, StageFailedError
from spikepipe_core.produce import produce
from spikepipe_core.stages import motion_arguments, motion_peaks
from spikepipe_core.stages.motion import (
    CHECK,
    estimate_motion,
    interpolate,
    load_motion_info,
    motion_corrected,
)
from spikepipe_core.stages.motion_arguments import effective_steps
from spikepipe_core.stages.motion_segments import by_segment
from spikepipe_core.stages.traces import cached_traces


@pytest.fixture(scope="module")
def recording():
    """Channels over 380 um of depth."""
    made = si.generate_recording(num_channels=20, durations=[1.0], set_probe=False)
    made.set_dummy_probe_from_locations(np.stack([np.zeros(20), np.arange(20) * 20.0], axis=1))
    return made


@pytest.fixture
def section(tiny_params):
    return lambda **values: (
        tiny_params(preprocessing={"motion_correction": values}).preprocessing.motion_correction
    )


ONE_JOB = {"n_jobs": 1, "progress_bar": False}


@pytest.fixture(scope="module")
def traces(preprocessed_session):
    """Eight seconds of the demo session, preprocessed."""
    whole = cached_traces(preprocessed_session)
    return whole.frame_slice(0, round(8 * whole.get_sampling_frequency()))


# --- arguments --------------------------------------------------------------------------------------------------------


def estimator(recording, params, **more):
    steps, _ = effective_steps(recording, params, **more)
    return steps["estimate_motion_kwargs"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"win_step_um": 38.0, "win_scale_um": 38.0}),
        ({"win_step_norm": 0.5}, {"win_step_um": 190.0, "win_scale_um": 38.0}),
        ({"win_scale_norm": 1.0, "bin_s": 2.0}, {"win_scale_um": 380.0, "bin_s": 2.0}),
        ({"win_step_norm": 0.5, "win_step_um": 70.0}, {"win_step_um": 70.0}),
        ({"win_step_norm": None, "win_scale_norm": None}, {"win_step_um": 400.0, "win_scale_um": 400.0}),
        ({"mincorr": 0.3}, {"mincorr": 0.3, "method": "dredge_ap"}),
    ],
)
def test_what_the_user_gives_reaches_the_estimator(recording, section, given, expected):
    """Windows are fractions of the probe, which is 380 um long; what is not given is the preset's."""
    default = section().estimate_motion_kwargs
    found = estimator(recording, section(estimate_motion_kwargs={**default, **given}))
    assert expected.items() <= found.items()
    assert not {"win_step_norm", "win_scale_norm"} & set(found)


def test_the_probe_may_be_longer_than_what_is_left_of_it(recording, section):
    assert estimator(recording, section(), length_um=3820.0)["win_step_um"] == 382.0


def test_every_step_gets_its_arguments(traces, section, tmp_path, monkeypatch):
    from spikeinterface.sortingcomponents.peak_detection import detect_peak_methods
    from spikeinterface.sortingcomponents.peak_localization import peak_localization_methods

    seen = {}
    for methods, name in ((detect_peak_methods, "by_channel"), (peak_localization_methods, "center_of_mass")):
        monkeypatch.setitem(methods, name, spying(methods[name], seen))
    params = section(
        preset="rigid_fast",
        detect_kwargs={"method": "by_channel", "detect_threshold": 6.0},
        select_kwargs={"method": "uniform", "n_peaks": 200},
        localize_peaks_kwargs={"radius_um": 60.0},
        estimate_motion_kwargs={"bin_s": 2.0},
    )
    made = estimate_motion(traces, params, tmp_path / "peaks", ONE_JOB)
    assert (seen["detect_threshold"], seen["radius_um"]) == (6.0, 60.0)
    assert len(made.peaks) == len(made.locations) == 200
    assert np.diff(made.motion.temporal_bins_s[0]) == pytest.approx(2.0)
    assert made.parameters["select_kwargs"] == {"method": "uniform", "n_peaks": 200}
    assert set(made.parameters["detect_kwargs"]) == {"method", "detect_threshold"}, (
        "of a method of the user's choice"
    )
    assert made.parameters["localize_peaks_kwargs"] == {"method": "center_of_mass", "radius_um": 60.0}
    assert not (tmp_path / "peaks").exists()


def spying(method, seen):
    class Spying(method):
        def __init__(self, *arguments, **named):
            seen.update(named)
            super().__init__(*arguments, **named)

    return Spying


@pytest.mark.parametrize(
    "preset",
    [
        "dredge",
        "dredge_fast",
        "nonrigid_accurate",
        "nonrigid_fast_and_accurate",
        "rigid_fast",
        "kilosort_like",
    ],
)
def test_every_documented_preset_runs(traces, section, tmp_path, preset):
    made = estimate_motion(traces, section(preset=preset), tmp_path / "peaks", ONE_JOB)
    assert made.failure is None
    assert len(made.peaks) > 100
    assert np.isfinite(made.motion.displacement[0]).all()


def test_the_estimate_is_plain_spikeinterfaces(traces, section, tmp_path):
    si.get_noise_levels(traces, return_in_uV=False, random_slices_kwargs={"seed": 0}, **ONE_JOB)  # is kept
    _, plain = spre.compute_motion(traces, preset="rigid_fast", output_motion_info=True, **ONE_JOB)
    params = section(preset="rigid_fast", estimate_motion_kwargs={})
    made = estimate_motion(traces, params, tmp_path / "peaks", ONE_JOB)
    assert np.array_equal(made.peaks, plain["peaks"])
    assert np.array_equal(made.locations, plain["peak_locations"])
    assert np.allclose(made.motion.displacement[0][:1], plain["motion"].displacement[0][:1])


# --- long recordings --------------------------------------------------------------------------------------------------


def lasting(recording, hours: float):
    """The same channels for so long; there are no traces."""
    samples = round(hours * 3600 * 1000)
    made = si.NumpyRecording([np.broadcast_to(np.zeros((1, 20), "int16"), (samples, 20))], 1000.0)
    made.set_probe(recording.get_probe())
    return made


@pytest.mark.parametrize(
    ("hours", "values", "expected", "words"),
    [
        (0.5, {}, {}, None),
        (4, {}, {"batching_mode": "online"}, "in pieces of"),
        (4, {"preset": "dredge"}, {"batching_mode": "online"}, "14400 fit in memory"),
        (4, {"estimate_motion_kwargs": {"batching_mode": "full"}}, {"batching_mode": "full"}, None),
        (4, {"estimate_motion_kwargs": {"bin_s": 10.0}}, {"bin_s": 10.0}, None),
        (4, {"preset": "rigid_fast"}, {"bin_s": 5.0}, None),
        (4, {"preset": "nonrigid_accurate"}, {"bin_s": 4.0}, "time bins of 4 s instead of 2 s"),
        (4, {"preset": "nonrigid_accurate", "estimate_motion_kwargs": {"bin_s": 2.5}}, {"bin_s": 2.5}, None),
        (4, {"preset": "kilosort_like"}, {"bin_s": 2.0}, None),
    ],
)
def test_long_recordings_fit_in_memory_unless_the_user_has_chosen(
    recording, section, hours, values, expected, words
):
    default = section().estimate_motion_kwargs
    values = {**values, "estimate_motion_kwargs": {**default, **values.get("estimate_motion_kwargs", {})}}
    steps, changes = effective_steps(lasting(recording, hours), section(**values))
    estimate = steps["estimate_motion_kwargs"]
    assert expected.items() <= estimate.items()
    assert (words is None and changes == ()) or words in changes[0]
    if estimate.get("batching_mode") == "online":
        assert 90 * 11 * estimate["chunk_len_s"] ** 2 <= motion_arguments.MATRIX_BYTES


def test_in_pieces_the_estimate_is_the_same(traces, section, tmp_path, monkeypatch):
    params = section(estimate_motion_kwargs={"bin_s": 0.1, "win_step_norm": 0.5, "win_scale_norm": 0.5})
    whole = estimate_motion(traces, params, tmp_path / "peaks", ONE_JOB)
    monkeypatch.setattr(motion_arguments, "MATRIX_BYTES", 90 * 3 * 15**2)
    pieces = estimate_motion(traces, params, tmp_path / "peaks", ONE_JOB)
    assert whole.changes == () and "in pieces of 15 time bins" in pieces.changes[0]
    one, two = (each.motion.displacement[0] - each.motion.displacement[0].mean() for each in (whole, pieces))
    assert one.shape == two.shape
    assert np.sqrt(np.mean((one - two) ** 2)) < 2.0, "um"


def test_peaks_beyond_what_memory_holds_are_thinned_evenly(traces, section, tmp_path, monkeypatch):
    params = section(preset="rigid_fast")
    every = estimate_motion(traces, params, tmp_path / "peaks", ONE_JOB)
    monkeypatch.setattr(motion_peaks, "MAX_PEAKS", len(every.peaks) // 2)
    some = estimate_motion(traces, params, tmp_path / "peaks", ONE_JOB)
    step = 2 + len(every.peaks) % 2
    assert np.array_equal(some.peaks, every.peaks[::step])
    assert np.array_equal(some.locations, every.locations[::step])


# --- segments ---------------------------------------------------------------------------------------------------------


def test_segments_are_followed_as_one_and_split_back(preprocessed_session, section, tmp_path):
    """Three segments, the last too short for a time bin of its own; motion and peaks are those of the whole."""
    traces = cached_traces(preprocessed_session)
    rate, samples = traces.get_sampling_frequency(), traces.get_num_samples()
    cuts = [0, round(5 * rate), samples - 600, samples]
    parts = [traces.frame_slice(first, last) for first, last in pairwise(cuts)]
    for index, part in enumerate(parts):
        part.shift_times(100.0 * index)
    segments = si.append_recordings(parts)
    params = section(preset="rigid_fast", estimate_motion_kwargs={"bin_s": 1.0})
    whole, split = (estimate_motion(one, params, tmp_path / "peaks", ONE_JOB) for one in (traces, segments))
    assert np.array_equal(
        split.peaks["sample_index"] + np.array(cuts)[split.peaks["segment_index"]],
        whole.peaks["sample_index"],
    )
    motion, motion_of_whole = split.motion, whole.motion
    assert motion.num_segments == 3 and all(len(bins) >= 3 for bins in motion.temporal_bins_s)
    assert np.array_equal(motion.displacement[0], motion_of_whole.displacement[0][:6])
    start = segments.get_start_time(1)
    assert motion.temporal_bins_s[1][0] - start == pytest.approx(
        motion_of_whole.temporal_bins_s[0][4] - cuts[1] / rate
    )
    moved, moved_whole = interpolate(segments, motion, params), interpolate(traces, motion_of_whole, params)
    assert [moved.get_start_time(index) for index in range(3)] == [
        segments.get_start_time(index) for index in range(3)
    ]
    assert np.array_equal(moved.channel_ids, moved_whole.channel_ids)
    again = np.concatenate([moved.get_traces(segment_index=index) for index in range(3)])
    assert np.allclose(again, moved_whole.get_traces(), atol=1e-3)


# --- the output -------------------------------------------------------------------------------------------------------


def test_the_default_estimate_is_saved_and_the_same_in_each_run(preprocessed_session, continued, tmp_path):
    """Displacement must not depend on the chunks from which noise levels happen to be drawn."""
    found = []
    for name in ("one", "two"):
        work = continued(preprocessed_session, tmp_path / name)
        made = produce(work.stages["motion"], work)
        assert made.outcome.outcome == "ok"
        found.append(load_motion_info(work))
    one, two = found
    assert np.array_equal(one["peaks"], two["peaks"])
    assert np.array_equal(one["motion"].displacement[0], two["motion"].displacement[0])
    assert np.ptp(one["motion"].displacement[0]) > 0
    assert one["motion"].direction == "y"
    summary = made.manifest.summary
    assert (summary["preset"], summary["peaks"]) == ("dredge_fast", len(one["peaks"]))
    assert "motion" in made.manifest.pictures
    for file in work.input("motion").rglob("*.json"):
        assert str(tmp_path) not in file.read_text(), "no path of the machine it was made on"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"compute": False}, "preprocessing.motion_correction.compute is false"),
        (
            {"preset": "rigid_fast", "detect_kwargs": {"detect_threshold": 300.0}},
            "0 peaks, fewer than the 100",
        ),
        ({"detect_kwargs": {"detect_threshold": 300.0}}, "0 peaks, fewer than the 100"),
        (
            {"preset": "kilosort_like", "detect_kwargs": {"detect_threshold": 300.0}},
            "0 peaks, fewer than the 100",
        ),
    ],
)
def test_where_there_is_no_motion_to_estimate_the_output_is_empty(
    preprocessed_session, continued, tiny_params, tmp_path, values, words
):
    params = tiny_params(preprocessing={"motion_correction": values})
    work = continued(preprocessed_session, tmp_path / "results", params)
    made = produce(work.stages["motion"], work)
    assert made.outcome.outcome == "skipped"
    assert words in made.outcome.reason
    assert made.manifest.empty == made.outcome.reason
    assert load_motion_info(work) is None
    assert not work.input("motion").exists()


def test_a_value_the_preset_does_not_take_is_said(traces, section, tmp_path):
    for values, words in (
        ({"estimate_motion_kwargs": {"win_stpe_um": 5.0}}, "'rigid_fast'.*win_stpe_um"),
        ({"detect_kwargs": {"method": "by_ear"}}, "by_ear"),
        ({"localize_peaks_kwargs": {"radious_um": 5.0}}, "radious_um"),
    ):
        with pytest.raises(ParamsError, match=rf"preprocessing.motion_correction: .*{words}"):
            estimate_motion(traces, section(preset="rigid_fast", **values), tmp_path / "peaks", ONE_JOB)


@pytest.fixture
def failing(preprocessed_session, continued, tiny_params, tmp_path):
    """A session whose motion cannot be estimated, though its params are right and there are peaks."""
    values = {
        "preset": "rigid_fast",
        "apply": True,
        "estimate_motion_kwargs": {"bin_s": 2.0, "direction": "z"},
    }
    params = tiny_params(preprocessing={"motion_correction": values})
    work = continued(preprocessed_session, tmp_path / "results", params)
    return work, produce(work.stages["motion"], work)


def test_a_failed_estimate_is_a_failed_check_and_stops_nothing(failing):
    work, made = failing
    assert made.outcome.outcome == "ok"
    assert made.outcome.reason.startswith("no estimate with preset 'rigid_fast': ")
    check = made.manifest.summary["checks"][CHECK]
    assert not check["passed"] and "Choose another" in check["description"]
    assert load_motion_info(work) is None
    saved = spre.load_motion_info(work.input("motion"))
    assert saved["motion"] is None and len(saved["peaks"]) > 100, "what there is is kept"


def test_what_is_to_be_corrected_by_a_failed_estimate_fails(failing, recording):
    work, _ = failing
    with pytest.raises(StageFailedError, match="motion is to be applied, but there is no estimate"):
        motion_corrected(work, recording)


# --- interpolation ----------------------------------------------------------------------------------------------------


def test_no_motion_leaves_the_traces_alone_and_a_shift_moves_them(recording, section):
    bins = np.array([0.0, 0.5, 1.0])
    still = Motion([np.zeros((3, 1))], [bins], np.array([190.0]))
    traces = recording.get_traces()
    assert np.allclose(interpolate(recording, still, section()).get_traces(), traces, atol=1e-3)
    one_row = Motion([np.full((3, 1), 20.0)], [bins], np.array([190.0]))
    moved = interpolate(recording, one_row, section()).get_traces()
    # Tissue that has moved up by one contact row is looked for one row higher.
    assert np.corrcoef(moved[:, 5], traces[:, 6])[0, 1] > 0.95
    assert abs(np.corrcoef(moved[:, 5], traces[:, 5])[0, 1]) < 0.3


def test_interpolation_takes_the_users_arguments(recording, section):
    still = Motion([np.zeros((3, 1))], [np.array([0.0, 0.5, 1.0])], np.array([190.0]))
    params = section(interpolate_motion_kwargs={"border_mode": "force_zeros"})
    chosen = interpolate(recording, still, params).to_dict()["kwargs"]
    assert chosen["border_mode"] == "force_zeros"
    preset = spre.get_motion_parameters_preset("dredge_fast")["interpolate_motion_kwargs"]
    assert chosen["sigma_um"] == preset["sigma_um"]
    assert json.dumps(preset)


DRIFTING = Motion(
    [np.array([[0.0, 5.0], [10.0, 20.0], [-15.0, -5.0]])],
    [np.array([0.1, 0.5, 0.9])],
    np.array([50.0, 300.0]),
)


@pytest.mark.parametrize("mode", ["remove_channels", "force_extrapolate", "force_zeros"])
def test_interpolation_is_plain_spikeinterfaces(recording, section, mode):
    plain = spre_interpolate(recording, DRIFTING, border_mode=mode, p=2)
    ours = interpolate(recording, DRIFTING, section(interpolate_motion_kwargs={"border_mode": mode}))
    assert list(ours.channel_ids) == list(plain.channel_ids)
    assert np.array_equal(ours.get_channel_locations(), plain.get_channel_locations())
    assert np.allclose(ours.get_traces(), plain.get_traces(), atol=1e-5)


def spre_interpolate(recording, motion, **arguments):
    from spikeinterface.sortingcomponents.motion import interpolate_motion

    return interpolate_motion(recording, motion, **arguments)


def test_channels_that_leave_the_probe_in_any_segment_are_removed(recording, section):
    still = np.zeros((2, 2))
    motion = Motion([still, still, still + 25.0], [np.array([0.0, 1.0])] * 3, np.array([50.0, 300.0]))
    three = si.append_recordings([recording] * 3)
    params = section(interpolate_motion_kwargs={"border_mode": "remove_channels"})
    corrected = interpolate(three, motion, params)
    assert corrected.get_num_segments() == 3
    assert list(corrected.channel_ids) == list(recording.channel_ids[:18]), "25 um up, in rows of 20 um"


@pytest.mark.parametrize("bins", [1, 2, 3])
def test_few_time_bins_can_be_interpolated_too(recording, section, bins):
    centres = (np.arange(bins) + 0.5) / bins
    motion = Motion([np.full((bins, 1), 20.0)], [centres], np.array([190.0]))
    usable = by_segment(motion, recording)
    moved = interpolate(recording, usable, section()).get_traces()
    assert np.corrcoef(moved[:, 5], recording.get_traces()[:, 6])[0, 1] > 0.95


READ = """
import json, sys
import spikeinterface.core as si
recording = si.load(sys.argv[1], base_folder=sys.argv[2])
print(json.dumps(recording.get_traces(segment_index=2, start_frame=100, end_frame=110).tolist()))
"""


def test_a_corrected_recording_loads_from_its_description(tmp_path, section):
    """In a fresh process, of three segments; nothing is pickled."""
    rng = np.random.default_rng(0)
    parts = []
    for index in range(3):
        rng.integers(-100, 100, (3000, 20), dtype="int16").tofile(tmp_path / f"{index}.raw")
        parts.append(tmp_path / f"{index}.raw")
    raw = si.BinaryRecordingExtractor(parts, 3000.0, "int16", num_channels=20)
    raw.set_dummy_probe_from_locations(np.stack([np.zeros(20), np.arange(20) * 20.0], axis=1))
    motion = Motion(
        [np.full((2, 1), 7.0 * index) for index in range(3)], [np.array([0.0, 1.0])] * 3, np.array([190.0])
    )
    corrected = interpolate(raw, motion, section())
    corrected.dump_to_json(tmp_path / "corrected.json", relative_to=tmp_path, include_properties=True)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ, tmp_path / "corrected.json", tmp_path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    here = corrected.get_traces(segment_index=2, start_frame=100, end_frame=110)
    assert np.allclose(json.loads(done.stdout), here, atol=1e-5)
    assert not np.allclose(here, raw.get_traces(segment_index=2, start_frame=100, end_frame=110))
