"""Motion of several segments: followed as if they had been recorded without a break, and split back."""

from __future__ import annotations

from typing import Any

import numpy as np
import spikeinterface.core as si
from numpy.typing import NDArray
from spikeinterface.core.motion import Motion

MIN_BINS = 3
"""SpikeInterface 0.105 leaves the edge between two time bins undefined if there are no more."""


def by_segment(motion: Motion, recording: si.BaseRecording) -> Motion:
    """The motion of segments that were followed as one, with time bins on each segment's own clock.

    Bins at the border of two segments are in both, so that each is interpolated as the whole would be.

    Parameters
    ----------
    motion : Motion
        Of one segment; times in s since the first sample, over all segments.
    recording : BaseRecording
        With its segments and times.
    """
    rate, bins, moved = recording.get_sampling_frequency(), motion.temporal_bins_s[0], motion.displacement[0]
    if len(bins) < MIN_BINS:
        width = bins[1] - bins[0] if len(bins) == 2 else 2 * bins[0]
        bins = np.concatenate([[bins[0] - width], bins, [bins[-1] + width]])
        moved = np.pad(moved, ((1, 1), (0, 0)), mode="edge")
    displacement, times = [], []
    for segment, (first, last) in enumerate(_borders(recording)):
        mine = _bins_of(bins, first / rate, last / rate)
        displacement.append(moved[mine])
        times.append(_on_clock(recording, segment, bins[mine] * rate - first))
    return Motion(displacement, times, motion.spatial_bins_um, motion.direction, motion.interpolation_method)


def _bins_of(centres_s: NDArray[np.float64], start_s: float, stop_s: float) -> slice:
    """Time bins that reach into a segment, and one more on each side.

    SpikeInterface interpolates the first and the last bin of a motion by another time than their centres.
    """
    half = (centres_s[1] - centres_s[0]) / 2
    inside = np.flatnonzero((centres_s + half > start_s) & (centres_s - half < stop_s))
    first, last = max(0, int(inside[0]) - 1), min(len(centres_s), int(inside[-1]) + 2)
    return slice(max(0, min(first, last - MIN_BINS)), max(last, MIN_BINS))


def _on_clock(recording: si.BaseRecording, segment: int, frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Times of a segment's frames in s; of those before and after it too, by its rate."""
    nearest = np.clip(np.round(frames), 0, recording.get_num_samples(segment) - 1)
    times = recording.sample_index_to_time(nearest.astype(np.int64), segment_index=segment)
    return np.asarray(times, dtype=float) + (frames - nearest) / recording.get_sampling_frequency()


def in_segments(peaks: NDArray[Any], recording: si.BaseRecording) -> NDArray[Any]:
    """Peaks of segments that were searched as one, with the samples of their own segments."""
    borders = _borders(recording)
    if len(borders) > 1:
        segment = np.searchsorted([last for _, last in borders], peaks["sample_index"], side="right")
        peaks["sample_index"] -= np.array([first for first, _ in borders])[segment]
        peaks["segment_index"] = segment
    return peaks


def _borders(recording: si.BaseRecording) -> list[tuple[int, int]]:
    """First sample, and the one after the last, of each segment, counted over all segments."""
    ends = np.cumsum([recording.get_num_samples(index) for index in range(recording.get_num_segments())])
    return [(int(end) - recording.get_num_samples(index), int(end)) for index, end in enumerate(ends)]
