"""Timestamps: the criteria that users know, at their limits, with gaps located."""

from __future__ import annotations

import numpy as np
import pytest
import spikeinterface.core as si

from spikepipe_core.ingest import TimestampsVerdict, check_timestamps, reset_times, timestamps

RATE = 30_000.0


def _recording(*segments: np.ndarray) -> si.BaseRecording:
    recording = si.NumpyRecording([np.zeros((len(times), 1), "int16") for times in segments], RATE)
    for index, times in enumerate(segments):
        recording.set_times(times, segment_index=index, with_warning=False)
    return recording


def _regular(samples: int = 10_000) -> np.ndarray:
    return np.arange(samples) / RATE


def test_without_explicit_times_all_is_well():
    recording = si.NumpyRecording([np.zeros((100, 1), "int16")], RATE, t_starts=[3.0])
    verdict = check_timestamps(recording)
    assert verdict.ok and not verdict.explicit
    assert TimestampsVerdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_regular_times_are_fine():
    verdict = check_timestamps(_recording(_regular(), 100 + _regular()))
    assert verdict.ok and verdict.explicit
    assert verdict.num_steps == 2 * 9_999


@pytest.mark.parametrize(("length_ms", "ok"), [(1.9, True), (2.1, False), (5000, False)])
def test_gaps_beyond_2_ms(length_ms, ok):
    times = _regular()
    times[6_000:] += length_ms / 1000 - 1 / RATE
    verdict = check_timestamps(_recording(_regular(), times))
    assert verdict.ok is ok
    if not ok:
        assert [(gap.segment, gap.sample) for gap in verdict.gaps] == [(1, 5_999)]
        assert verdict.gaps[0].length_ms == pytest.approx(length_ms)
        assert "after sample 5999 of segment 1" in verdict.reason


@pytest.mark.parametrize(("steps_back", "ok"), [(10, True), (11, False)])
def test_steps_back(steps_back, ok):
    times = _regular()
    for index in range(steps_back):
        times[500 * (index + 1)] -= 0.3e-3
    verdict = check_timestamps(_recording(times))
    assert verdict.num_backward == steps_back
    assert verdict.ok is ok


@pytest.mark.parametrize(("fraction", "ok"), [(0.019, True), (0.021, False)])
def test_steps_of_zero(fraction, ok):
    times = _regular(10_001)
    for index in range(round(fraction * 10_000)):
        times[40 * index + 1] = times[40 * index]
    verdict = check_timestamps(_recording(times))
    assert verdict.ok is ok
    assert ok or "are zero" in verdict.reason


def test_times_that_are_no_numbers_are_not_fine():
    times = _regular()
    times[100] = np.nan
    assert not check_timestamps(_recording(times)).ok


def test_gaps_at_the_seams_of_chunks_are_found(monkeypatch):
    monkeypatch.setattr(timestamps, "_CHUNK_SAMPLES", 1_000)
    times = _regular()
    for seam in (1_000, 2_000, 2_001):
        times[seam:] += 0.1
    verdict = check_timestamps(_recording(times))
    assert [gap.sample for gap in verdict.gaps] == [999, 1_999, 2_000]
    assert verdict.num_steps == 9_999


def test_many_gaps_are_counted_and_the_first_listed():
    verdict = check_timestamps(_recording(np.arange(1_000) * 0.01))
    assert verdict.num_gaps == 999
    assert len(verdict.gaps) == 100


def test_clipped_recording_is_judged_by_its_own_times():
    times = _regular()
    times[6_000:] += 1
    assert check_timestamps(_recording(times).frame_slice(0, 5_000)).ok
    assert not check_timestamps(_recording(times).frame_slice(5_000, 7_000)).ok


@pytest.mark.parametrize("clipped", [False, True])
def test_reset_times_are_regular_even_of_a_clipped_recording(clipped):
    recording = _recording(np.arange(1_000) * 0.01)
    if clipped:
        recording = recording.frame_slice(0, 500)
    reset_times(recording)
    assert check_timestamps(recording).ok
    assert recording.get_times()[-1] == pytest.approx((recording.get_num_samples() - 1) / RATE)
