"""A binary recording whose sample times lie in `.npy` files, as Open Ephys writes them.

SpikeInterface's own reader of Open Ephys looks through a whole session folder to open one stream, and fails if any
other is damaged; its binary recording knows no `.npy` times. This one is opened from the stream's files alone, and its
description in JSON names them, so that times are there again when it is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from spikeinterface.core import BinaryRecordingExtractor

from spikepipe_core.ingest.openephys_layout import load_vector

__all__ = ["TimedBinaryRecording"]


class TimedBinaryRecording(BinaryRecordingExtractor):
    """A binary recording with the times of its samples.

    Parameters
    ----------
    time_paths : list of str, optional
        A `.npy` file for each segment: seconds (floating point) or sample numbers (integers), which are divided by the
        sampling frequency. They are read as they are needed, not kept in memory.
    **binary
        As for `spikeinterface.core.BinaryRecordingExtractor`.
    """

    def __init__(self, time_paths: list[str] | None = None, **binary: Any):
        super().__init__(**binary)
        del self._kwargs["file_timestamps_paths"]
        self._kwargs["time_paths"] = time_paths
        for segment, path in zip(self.segments, time_paths or (), strict=False):
            vector = load_vector(Path(path))
            is_seconds = vector.dtype.kind == "f"
            segment._time_vector = (
                vector if is_seconds else SampleTimes(vector, self.get_sampling_frequency())
            )


class SampleTimes:
    """Times of samples by their numbers, in seconds, worked out when they are asked for.

    Has what SpikeInterface uses of a time vector that is not in memory.
    """

    ndim = 1
    dtype = np.dtype("float64")

    def __init__(self, numbers: np.ndarray, sampling_frequency: float):
        self._numbers, self._rate = numbers, sampling_frequency
        self.shape = numbers.shape

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, key: Any) -> np.ndarray:
        return np.asarray(self._numbers[key]) / self._rate

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)
