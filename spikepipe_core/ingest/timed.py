"""Recordings with a time line of their own, which their JSON descriptions keep.

SpikeInterface 0.105 loses the times of samples when a slice in time is sliced again or joined to others, and forgets
`reset_times` as soon as a recording is described in a file. These two keep what they are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from spikeinterface.core import BaseRecording, BaseRecordingSegment
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor

__all__ = ["ClippedRecording", "RegularTimesRecording"]


class ClippedRecording(BasePreprocessor):
    """A stretch of every segment, with the times that its samples had.

    Parameters
    ----------
    recording : BaseRecording
    start_frames, end_frames : sequence of int
        First sample, and the one after the last, of each segment's stretch.
    """

    def __init__(self, recording: BaseRecording, start_frames: Sequence[int], end_frames: Sequence[int]):
        super().__init__(recording)
        for segment, first, last in zip(recording.segments, start_frames, end_frames, strict=True):
            self.add_recording_segment(_ClippedSegment(segment, int(first), int(last)))
        self._kwargs = {
            "recording": recording,
            "start_frames": [int(frame) for frame in start_frames],
            "end_frames": [int(frame) for frame in end_frames],
        }


class _ClippedSegment(BaseRecordingSegment):
    def __init__(self, parent: BaseRecordingSegment, first: int, last: int):
        times = parent.get_times_kwargs()
        if times["time_vector"] is None:
            times = {**times, "t_start": float(parent.sample_index_to_time(first))}
        else:
            times = {**times, "t_start": None, "time_vector": _part(times["time_vector"], first, last)}
        super().__init__(**times)
        self._parent, self._first, self._last = parent, first, last

    def get_num_samples(self) -> int:
        return self._last - self._first

    def get_traces(self, start_frame: int, end_frame: int, channel_indices: Any) -> np.ndarray:
        return self._parent.get_traces(self._first + start_frame, self._first + end_frame, channel_indices)


def _part(times: Any, first: int, last: int) -> Any:
    """A stretch of a time vector that is read when it is looked at, wherever it is stored."""
    return times[first:last] if isinstance(times, np.ndarray) else _LazyPart(times, first, last)


class _LazyPart:
    """A stretch of an array in a file (HDF5, Zarr), for SpikeInterface to slice as if it were the array itself."""

    ndim = 1

    def __init__(self, array: Any, first: int, last: int):
        self._array, self._first, self._last = array, first, last
        self.shape, self.dtype = (last - first,), array.dtype

    def __len__(self) -> int:
        return self._last - self._first

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, slice):
            start, stop, step = item.indices(len(self))
            return np.asarray(self._array[self._first + start : self._first + max(start, stop)])[::step]
        index = np.asarray(item)
        if index.ndim == 0:
            return self._array[self._first + int(index) % len(self)]
        return np.asarray(self)[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._array[self._first : self._last], dtype=dtype)


class RegularTimesRecording(BasePreprocessor):
    """The same samples at times that follow from their number: start of the segment + sample / nominal rate.

    Parameters
    ----------
    recording : BaseRecording
    t_starts : sequence of float
        Time of each segment's first sample, in s.
    """

    def __init__(self, recording: BaseRecording, t_starts: Sequence[float]):
        super().__init__(recording)
        rate = recording.get_sampling_frequency()
        for segment, t_start in zip(recording.segments, t_starts, strict=True):
            self.add_recording_segment(_RegularSegment(segment, rate, float(t_start)))
        self._kwargs = {"recording": recording, "t_starts": [float(t_start) for t_start in t_starts]}


class _RegularSegment(BaseRecordingSegment):
    def __init__(self, parent: BaseRecordingSegment, rate: float, t_start: float):
        super().__init__(sampling_frequency=rate, t_start=t_start)
        self._parent = parent

    def get_num_samples(self) -> int:
        return self._parent.get_num_samples()

    def get_traces(self, start_frame: int, end_frame: int, channel_indices: Any) -> np.ndarray:
        return self._parent.get_traces(start_frame, end_frame, channel_indices)
