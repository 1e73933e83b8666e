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
        `.npy` files with a time for every sample: seconds (floating point), or sample numbers (integers), which are
        divided by the sampling frequency.
    timed_segments : list of int, optional
        The segment of each of these files; by default the first file is of the first segment, and so on.
    **binary
        As for `spikeinterface.core.BinaryRecordingExtractor`.
    """

    def __init__(
        self, time_paths: list[str] | None = None, timed_segments: list[int] | None = None, **binary: Any
    ):
        super().__init__(**binary)
        del self._kwargs["file_timestamps_paths"]
        self._kwargs |= {"time_paths": time_paths, "timed_segments": timed_segments}
        paths = time_paths or []
        for index, path in zip(timed_segments or range(len(paths)), paths, strict=True):
            self.segments[index]._time_vector = TimesInFile(
                load_vector(Path(path)), self.get_sampling_frequency()
            )


class TimesInFile:
    """Times of samples in seconds, read (and worked out, if they are sample numbers) when they are asked for.

    Has what SpikeInterface uses of a time vector that is not in memory. What it hands out are copies, because a
    binary segment unmaps its time vector when it is deleted (SpikeInterface 0.105), whoever still looks at it.
    """

    ndim = 1
    dtype = np.dtype("float64")

    def __init__(self, vector: np.ndarray, sampling_frequency: float):
        self._vector = vector
        self._rate = 1.0 if vector.dtype.kind == "f" else sampling_frequency
        self.shape = vector.shape

    def __len__(self) -> int:
        return len(self._vector)

    def __getitem__(self, key: Any) -> np.ndarray:
        return np.array(self._vector[key], dtype=self.dtype) / self._rate

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)
