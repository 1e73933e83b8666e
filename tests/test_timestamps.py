"""Timestamps: the criteria that users know, at their limits, with gaps located."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import spikeinterface.core as si

from spikepipe_core.ingest import TimestampsVerdict, check_timestamps, regular_times, timestamps

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
    verdict = check_timestamps(_recording(_regular(), 100 + times))
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


def test_segments_that_overlap_cannot_be_kept_together():
    verdict = check_timestamps(_recording(_regular(), 0.1 + _regular()))
    assert not verdict.ok and verdict.segments_overlap
    assert "overlap" in verdict.reason
    without_times = si.NumpyRecording([np.zeros((100, 1), "int16")] * 2, RATE)
    assert check_timestamps(without_times).segments_overlap


def test_trusted_timestamps_are_not_judged():
    times = np.arange(1_000) * 0.01
    verdict = check_timestamps(_recording(times), trusted=True)
    assert verdict.ok and "skip_timestamps_check" in verdict.reason


def test_a_slow_stream_may_have_long_steps():
    recording = si.NumpyRecording([np.zeros((100, 1), "int16")], 250.0)
    recording.set_times(np.arange(100) / 250.0)
    assert check_timestamps(recording).ok


def test_numbers_are_for_people():
    times = _regular()
    times[6_000:] += 1
    numbers = check_timestamps(_recording(times)).numbers()
    assert numbers["gaps (steps of more than 2 ms)"] == 1
    assert numbers["largest step (ms)"] == pytest.approx(1000 + 1000 / RATE)


@pytest.mark.parametrize("clipped", [False, True])
def test_regular_times_even_of_a_clipped_recording(clipped):
    recording = _recording(np.arange(1_000) * 0.01)
    if clipped:
        recording = recording.frame_slice(0, 500)
    regular = regular_times(recording)
    assert check_timestamps(regular).ok
    assert regular.get_times()[-1] == pytest.approx((recording.get_num_samples() - 1) / RATE)
    assert np.array_equal(regular.get_traces(), recording.get_traces())


def test_regular_times_lay_segments_end_to_end():
    regular = regular_times(_recording(_regular(300), _regular(600), _regular(30)))
    assert [regular.get_start_time(index) for index in range(3)] == pytest.approx([0, 0.01, 0.03])
    assert check_timestamps(regular).ok


def test_memory_does_not_grow_with_the_recording(tmp_path):
    """The peak is that of some chunks, for a time vector of one chunk as for one thirty times as long."""

    def peak(samples: int) -> int:
        path = tmp_path / f"{samples}.npy"
        times = np.lib.format.open_memmap(path, mode="w+", dtype="float64", shape=(samples,))
        del times  # zeros, and no room on the disk
        recording = si.generate_recording(num_channels=1, durations=[samples / RATE], sampling_frequency=RATE)
        recording.segments[0]._time_vector = np.load(path, mmap_mode="r")
        tracemalloc.start()
        verdict = check_timestamps(recording)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert verdict.num_steps == samples - 1
        return most

    chunk = timestamps._CHUNK_SAMPLES
    assert peak(30 * chunk) < 1.5 * peak(2 * chunk) < 100 * 2**20
