"""Marks of a clock that several streams share: pulses of a sync line, or sample times that were synchronized.

Every board samples with an oscillator of its own, so a second of one probe is not quite a second of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording

__all__ = ["StreamClock", "clock_of_times"]

_MARKS = 1000


@dataclass(frozen=True)
class StreamClock:
    """Moments of one shared clock, as one stream saw them.

    Attributes
    ----------
    source : str
        Where they come from, in words: ``bit 6 of the SYNC word``, ``timestamps.npy``.
    stream_s : array of float, shape (marks,)
        On the stream's own clock: samples since its first one / nominal sampling rate, in s; rising.
    shared_s : array of float, shape (marks,), or None
        On the shared clock, in s, where the marks say what time it is; None for pulses, which are all alike.
    period_s : float or None
        Nominal time between pulses; None if they are irregular, or no pulses.
    sampling_frequency : float
        Nominal rate of the stream, in Hz.
    """

    source: str
    stream_s: np.ndarray
    sampling_frequency: float
    shared_s: np.ndarray | None = None
    period_s: float | None = None


def clock_of_times(recording: BaseRecording, segment: int, source: str) -> StreamClock | None:
    """The clock of a stream that has a time for every sample, on one time line with other streams.

    Some of the times are looked at, from the first to the last, however long the recording is.

    Returns
    -------
    StreamClock or None
        None if the recording has only a start and a rate, which tell nothing about its oscillator.
    """
    samples = recording.get_num_samples(segment)
    if not recording.has_time_vector(segment) or samples < 2:
        return None
    rate = recording.get_sampling_frequency()
    where = np.unique(np.linspace(0, samples - 1, _MARKS).round().astype(np.int64))
    times = [float(recording.get_times(segment, start_frame=i, end_frame=i + 1)[0]) for i in where]
    return StreamClock(source, where / rate, rate, shared_s=np.array(times))
