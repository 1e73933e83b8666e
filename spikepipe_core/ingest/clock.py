"""Clocks of the streams of one session: how far they are apart, and how they drift.

Every headstage and board samples with an oscillator of its own, so a second of one probe is not quite a second of
another (1 to 30 ppm; 1 ppm is 3.6 ms an hour). Streams are compared by moments that both of them saw: pulses of a
shared sync line, or sample times that the acquisition software synchronized. Nothing is shifted here; the numbers tell
by how much times of different streams may not be taken for the same.

Pulses come at regular intervals and are all alike. As TPrime does (https://billkarsh.github.io/SpikeGLX/#tprime), the
nearest ones are taken for the same: streams must have been started within half a period of each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording

__all__ = ["ClockDifference", "StreamClock", "clock_of_times", "compare_clocks", "period_of"]

_MARKS = 1000
_MIN_MARKS = 2
_PERIOD_TOLERANCE = 0.05  # of a period; oscillators differ by far less, a missed or extra pulse by more
_REGULAR_FRACTION = 0.95  # of the intervals
_OUTLIERS_MAD = 10.0


@dataclass(frozen=True)
class StreamClock:
    """Moments of one shared clock, as one stream saw them.

    Attributes
    ----------
    source : str
        Where they come from, in words: ``bit 6 of the SYNC word``, ``timestamps.npy``.
    stream_s : array of float, shape (marks,)
        On the stream's own clock: samples since its first one / nominal sampling rate, in s; rising.
    sampling_frequency : float
        Nominal rate of the stream, in Hz.
    shared_s : array of float, shape (marks,), or None
        On the shared clock, in s, where the marks say what time it is; None for pulses, which are all alike.
    period_s : float or None
        Nominal time between pulses; None if they are no pulses. Pulses may be left out.
    start_s : float
        Time of the stream's first sample on the time line of the recording, in s.
    is_corrected : bool
        Whether the recording's times are those of the shared clock, rather than sample number / rate.
    """

    source: str
    stream_s: np.ndarray
    sampling_frequency: float
    shared_s: np.ndarray | None = None
    period_s: float | None = None
    start_s: float = 0.0
    is_corrected: bool = False

    @property
    def own_s(self) -> np.ndarray:
        """The marks at sample number / rate from the time of the first sample on, in s."""
        return self.start_s + self.stream_s


@dataclass(frozen=True)
class ClockDifference:
    """How far the clock of a stream is ahead of that of another one.

    Attributes
    ----------
    times_s : array of float, shape (marks,)
        When they were compared, on the other stream's clock, in s.
    difference_ms : array of float, shape (marks,)
        Time on the stream's clock (sample number / rate) minus time on the other's at the same moment, in ms.
    offset_ms : float
        Difference when the later of the two starts, on the straight line through all marks.
    drift_ppm : float
        Slope of that line: positive where the stream's clock is fast.
    drift_ms : float
        Change of the difference from the first mark to the last.
    scatter_ms : float
        Largest distance of a mark from the line, without outliers.
    is_corrected : bool
        Whether times of both recordings are on the shared clock, so that the difference is not in them any more.
    """

    source: str
    times_s: np.ndarray
    difference_ms: np.ndarray
    offset_ms: float
    drift_ppm: float
    drift_ms: float
    scatter_ms: float
    is_corrected: bool


def clock_of_times(recording: BaseRecording, segment: int, source: str) -> StreamClock | None:
    """The clock of a stream that has a time for every sample, on one time line with other streams.

    Some of the times are looked at, from the first to the last, however long the recording is.

    Returns
    -------
    StreamClock or None
        None if the recording has only a start and a rate, which tell nothing about its oscillator.
    """
    samples = recording.get_num_samples(segment)
    if not recording.has_time_vector(segment) or samples < _MIN_MARKS:
        return None
    rate = recording.get_sampling_frequency()
    where = np.unique(np.linspace(0, samples - 1, _MARKS).round().astype(np.int64))
    times = np.array([float(recording.get_times(segment, start_frame=i, end_frame=i + 1)[0]) for i in where])
    return StreamClock(source, where / rate, rate, shared_s=times, start_s=float(times[0]), is_corrected=True)


def period_of(pulses_s: np.ndarray) -> float | None:
    """Time between regular pulses of which some may be missing, in s; None if they are irregular."""
    if len(pulses_s) <= _MIN_MARKS:
        return None
    intervals = np.diff(pulses_s)
    period = float(np.median(intervals))
    if period <= 0:
        return None
    off = np.abs(intervals / period - np.rint(intervals / period))
    return period if np.mean(off < _PERIOD_TOLERANCE) >= _REGULAR_FRACTION else None


def compare_clocks(own: StreamClock, other: StreamClock) -> ClockDifference | str:
    """Compare the clock of a stream with that of another one of the same session.

    Returns
    -------
    ClockDifference or str
        In words why they cannot be compared: no common moments, or nothing in them that tells clocks apart.
    """
    if own.shared_s is not None and other.shared_s is not None:
        marks = _by_shared_time(own, other)
    elif own.period_s is not None and other.period_s is not None:
        marks = _by_pulses(own, other)
    else:
        return f"{own.source} and {other.source} have no moments in common"
    if isinstance(marks, str):
        return marks
    times, difference = marks
    keep = np.isfinite(difference)
    if keep.sum() < _MIN_MARKS:
        return "they were not recorded at the same time"
    slope, at_zero = _line(times[keep], difference[keep])
    span = float(times[keep][-1] - times[keep][0])
    away = np.abs(difference[keep] - (slope * times[keep] + at_zero))
    return ClockDifference(
        source=own.source if own.source == other.source else f"{own.source} and {other.source}",
        times_s=times[keep],
        difference_ms=difference[keep] * 1e3,
        offset_ms=float(slope * max(own.start_s, other.start_s) + at_zero) * 1e3,
        drift_ppm=slope * 1e6,
        drift_ms=slope * span * 1e3,
        scatter_ms=float(np.max(away[~_outliers(away)])) * 1e3,
        is_corrected=own.is_corrected and other.is_corrected,
    )


def _by_shared_time(own: StreamClock, other: StreamClock) -> tuple[np.ndarray, np.ndarray] | str:
    """Where the other's clock was when the own one was at its marks, and the difference, in s."""
    assert own.shared_s is not None and other.shared_s is not None
    if _is_free_running(own) and _is_free_running(other):
        return "their timestamps are sample number / rate: they were not synchronized, or it is too short to tell"
    for clock in (own, other):
        assert clock.shared_s is not None
        if not np.all(np.diff(clock.shared_s) > 0):
            return f"{clock.source} do not rise"
    seen = np.interp(own.shared_s, other.shared_s, other.own_s, left=np.nan, right=np.nan)
    return seen, own.own_s - seen


def _is_free_running(clock: StreamClock) -> bool:
    """Whether the times are just sample number / rate, to half a sample."""
    assert clock.shared_s is not None
    return bool(np.all(np.abs(clock.shared_s - clock.own_s) <= 0.5 / clock.sampling_frequency))


def _by_pulses(own: StreamClock, other: StreamClock) -> tuple[np.ndarray, np.ndarray] | str:
    """The same for pulses: they are numbered, and the numbers of the other's are looked up in between."""
    assert own.period_s is not None and other.period_s is not None
    period = other.period_s
    if abs(own.period_s - period) > _PERIOD_TOLERANCE * period:
        return f"pulses come every {own.period_s:g} s in one and every {period:g} s in the other"
    if min(len(own.stream_s), len(other.stream_s)) < _MIN_MARKS:
        return "one of them has less than two pulses"
    mine, theirs = own.own_s, other.own_s
    nearest = int(np.argmin(np.abs(theirs - mine[0])))
    numbers, their_numbers = _pulse_numbers(mine, period), _pulse_numbers(theirs, period)
    numbers = numbers + their_numbers[nearest] + round(float(mine[0] - theirs[nearest]) / period)
    seen = np.interp(numbers, their_numbers, theirs, left=np.nan, right=np.nan)
    return seen, mine - seen


def _pulse_numbers(times: np.ndarray, period: float) -> np.ndarray:
    """Numbers of pulses from 0 on, counted from one to the next so that drift does not add up."""
    return np.concatenate([[0], np.cumsum(np.rint(np.diff(times) / period))])


def _line(times: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Slope and value at zero of the line through the points, outliers left out."""
    slope, at_zero = np.polyfit(times, values, 1)
    off = _outliers(np.abs(values - (slope * times + at_zero)))
    if off.any() and (~off).sum() >= _MIN_MARKS:
        slope, at_zero = np.polyfit(times[~off], values[~off], 1)
    return float(slope), float(at_zero)


def _outliers(distances: np.ndarray) -> np.ndarray:
    return distances > np.maximum(_OUTLIERS_MAD * np.median(distances), 1e-6)
