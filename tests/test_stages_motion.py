"""Motion is estimated with SpikeInterface's presets, in um, the same in each run, and only where it can be."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import spikeinterface.core as si
import spikeinterface.preprocessing as spre
from spikeinterface.core.motion import Motion

from spikepipe_core.errors import StageFailedError
from spikepipe_core.produce import produce
from spikepipe_core.stages.motion import estimate_motion, estimation_arguments, interpolate, load_motion_info
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


def test_windows_are_fractions_of_the_probe(recording, section):
    assert estimation_arguments(recording, section()) == {"win_step_um": 38.0, "win_scale_um": 38.0}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"win_step_norm": 0.5}, {"win_step_um": 190.0}),
        ({"win_scale_norm": 1.0, "bin_s": 2.0}, {"win_scale_um": 380.0, "bin_s": 2.0}),
        ({"win_step_norm": 0.5, "win_step_um": 70.0}, {"win_step_um": 70.0}),
        ({"win_step_norm": None}, {}),
    ],
)
def test_what_the_user_gives_reaches_the_estimator(recording, section, given, expected):
    assert estimation_arguments(recording, section(estimate_motion_kwargs=given)) == expected


@pytest.mark.parametrize("preset", ["dredge", "rigid_fast", "kilosort_like"])
def test_documented_presets_run(preprocessed_session, section, preset):
    """The default preset is in the next test; two others take a minute each."""
    traces = cached_traces(preprocessed_session)
    params = section(
        preset=preset, localize_peaks_kwargs={} if preset != "dredge" else {"method": "center_of_mass"}
    )
    info = estimate_motion(traces, params, {"n_jobs": 1, "progress_bar": False})
    assert len(info["peaks"]) > 100
    assert np.isfinite(info["motion"].displacement[0]).all()


def test_segments_are_followed_as_one_and_split_back(preprocessed_session, section):
    """Three segments, the last too short for a time bin of its own; motion and peaks are those of the whole."""
    traces = cached_traces(preprocessed_session)
    rate, samples = traces.get_sampling_frequency(), traces.get_num_samples()
    cuts = [0, round(5 * rate), samples - 600, samples]
    parts = [traces.frame_slice(first, last) for first, last in pairwise(cuts)]
    for index, part in enumerate(parts):
        part.shift_times(100.0 * index)
    segments = si.append_recordings(parts)
    params = section(preset="rigid_fast", estimate_motion_kwargs={"bin_s": 1.0})
    arguments = {"n_jobs": 1, "progress_bar": False}
    whole, split = (estimate_motion(one, params, arguments) for one in (traces, segments))
    assert np.array_equal(
        split["peaks"]["sample_index"] + np.array(cuts)[split["peaks"]["segment_index"]],
        whole["peaks"]["sample_index"],
    )
    motion = split["motion"]
    assert motion.num_segments == 3 and all(len(bins) >= 2 for bins in motion.temporal_bins_s)
    assert np.array_equal(motion.displacement[0], whole["motion"].displacement[0][:5])
    start = segments.get_start_time(1)
    assert motion.temporal_bins_s[1][0] - start == pytest.approx(
        whole["motion"].temporal_bins_s[0][5] - cuts[1] / rate
    )
    moved, moved_whole = interpolate(segments, motion, params), interpolate(traces, whole["motion"], params)
    assert [moved.get_start_time(index) for index in range(3)] == [
        segments.get_start_time(index) for index in range(3)
    ]
    assert np.array_equal(moved.channel_ids, moved_whole.channel_ids)
    again = np.concatenate([moved.get_traces(segment_index=index) for index in range(3)])
    assert np.allclose(again, moved_whole.get_traces(), atol=1e-3)


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


def test_a_value_the_preset_does_not_take_is_said(preprocessed_session, section):
    params = section(preset="rigid_fast", estimate_motion_kwargs={"win_stpe_um": 5.0})
    with pytest.raises(StageFailedError, match=r"'rigid_fast' failed: .*win_stpe_um"):
        estimate_motion(cached_traces(preprocessed_session), params, {"n_jobs": 1, "progress_bar": False})


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
    params = section(interpolate_motion_kwargs={"border_mode": "remove_channels"})
    chosen = interpolate(recording, still, params).to_dict()["kwargs"]
    assert chosen["border_mode"] == "remove_channels"
    preset = spre.get_motion_parameters_preset("dredge_fast")["interpolate_motion_kwargs"]
    assert chosen["sigma_um"] == preset["sigma_um"]
    assert json.dumps(preset)
