"""Clocks of the streams of one session: how far they are apart, and how they drift.

Every headstage and board samples with an oscillator of its own, so a second of one probe is not quite a second of
another (1 to 30 ppm; 1 ppm is 3.6 ms an hour). Streams are compared by moments that both of them saw: sample times
that the acquisition software synchronized, or pulses of a shared sync line. Nothing is shifted here; the numbers tell
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

__all__ = [
    "ClockDifference",
    "Pulses",
    "StreamClock",
    "Times",
    "are_regular",
    "clock_of_times",
    "compare_clocks",
    "period_of",
]

_MARKS = 1000
_MIN_MARKS = 2
_PERIOD_TOLERANCE = 0.05  # of a period; oscillators differ by far less, a missed or extra pulse by more
_REGULAR_FRACTION = 0.95  # of the intervals
_OUTLIERS_MAD = 10.0


@dataclass(frozen=True)
class Times:
    """Some samples of a stream, and what time they are on a time line that it shares with others.

    Attributes
    ----------
    source : str
        Where they come from, in words: ``timestamps.npy``.
    stream_s : array of float, shape (samples,)
        On the stream's own clock: samples since its first one / nominal sampling rate, in s; rising.
    shared_s : array of float, shape (samples,)
        On the shared time line, in s.
    """

    source: str
    stream_s: np.ndarray
    shared_s: np.ndarray


@dataclass(frozen=True)
class Pulses:
    """Regular pulses of a sync line, of which some may be left out.

    Attributes
    ----------
    source : str
        Where they come from, in words: ``bit 6 of the SYNC word``.
    stream_s : array of float, shape (pulses,)
        On the stream's own clock: samples since its first one / nominal sampling rate, in s; rising.
    period_s : float
        From one pulse to the next, in s.
    """

    source: str
    stream_s: np.ndarray
    period_s: float


@dataclass(frozen=True)
class StreamClock:
    """What a stream saw of clocks that others may have seen too.

    Attributes
    ----------
    sampling_frequency : float
        Nominal rate of the stream, in Hz.
    start_s : float
        Time of the stream's first sample on the time line of its recording, in s.
    times : Times or None
        If given, they are the times of the recording.
    pulses : Pulses or None
    """

    sampling_frequency: float
    start_s: float = 0.0
    times: Times | None = None
    pulses: Pulses | None = None


@dataclass(frozen=True)
class ClockDifference:
    """How far the clock of a stream is ahead of that of another one.

    Attributes
    ----------
    source : str
        By what they were compared, in words.
    times_s : array of float, shape (marks,)
        When they were compared, on the other stream's clock, in s.
    difference_ms : array of float, shape (marks,)
        Time on the stream's clock (sample number / rate) minus time on the other's at the same moment, in ms.
    offset_ms : float
        Difference when the later of the two starts, on the straight line through all marks.
    drift_ppm : float
        Slope of that line: positive where the stream's clock is fast.
    drift_ms : float
        Change of the difference from there to the last mark.
    span_s : float
        Time from there to the last mark, in s.
    scatter_ms : float
        Largest distance of a mark from the line, without outliers.
    is_corrected : bool
        Whether times of both recordings are on the shared time line, so that the difference is not in them any more.
    """

    source: str
    times_s: np.ndarray
    difference_ms: np.ndarray
    offset_ms: float
    drift_ppm: float
    drift_ms: float
    span_s: float
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
    return StreamClock(rate, float(times[0]), times=Times(source, where / rate, times))


def period_of(pulses_s: np.ndarray) -> float | None:
    """Time between regular pulses of which a few may be missing, in s; None if they are irregular."""
    if len(pulses_s) <= _MIN_MARKS:
        return None
    period = float(np.median(np.diff(pulses_s)))
    return period if period > 0 and are_regular(pulses_s, period) else None


def are_regular(pulses_s: np.ndarray, period: float) -> bool:
    """Whether nearly all intervals are multiples of a period (s): pulses may be left out, but not in between."""
    intervals = np.diff(pulses_s) / period
    return bool(np.mean(np.abs(intervals - np.rint(intervals)) < _PERIOD_TOLERANCE) >= _REGULAR_FRACTION)


def compare_clocks(own: StreamClock, other: StreamClock) -> ClockDifference | str:
    """Compare the clock of a stream with that of another one of the same session.

    Returns
    -------
    ClockDifference or str
        In words why they cannot be compared: no common moments, or nothing in them that tells clocks apart.
    """
    reasons = []
    for source, found in _common_moments(own, other):
        if isinstance(found, str):
            reasons.append(found)
            continue
        times, difference = found
        keep = np.isfinite(difference)
        if keep.sum() >= _MIN_MARKS:
            return _difference(own, other, source, times[keep], difference[keep])
        reasons.append("they were not recorded at the same time")
    return "; ".join(reasons) or "one has only timestamps, the other only sync pulses"


def _common_moments(
    own: StreamClock, other: StreamClock
) -> list[tuple[str, tuple[np.ndarray, np.ndarray] | str]]:
    """By timestamps and by pulses: the other's clock at common moments and the difference, or why there are none."""
    found = []
    if own.times is not None and other.times is not None:
        found.append((_sources(own.times, other.times), _by_shared_time(own, other)))
    if own.pulses is not None and other.pulses is not None:
        found.append((_sources(own.pulses, other.pulses), _by_pulses(own, other)))
    return found


def _sources(one: Times | Pulses, other: Times | Pulses) -> str:
    return " and ".join(dict.fromkeys((one.source, other.source)))


def _difference(
    own: StreamClock, other: StreamClock, source: str, times: np.ndarray, difference: np.ndarray
) -> ClockDifference:
    slope, at_zero = _line(times, difference)
    start = max(own.start_s, other.start_s)
    span = float(times[-1]) - start
    away = np.abs(difference - (slope * times + at_zero))
    return ClockDifference(
        source=source,
        times_s=times,
        difference_ms=difference * 1e3,
        offset_ms=(slope * start + at_zero) * 1e3,
        drift_ppm=slope * 1e6,
        drift_ms=slope * span * 1e3,
        span_s=span,
        scatter_ms=float(np.max(away[~_outliers(away)])) * 1e3,
        is_corrected=_is_corrected(own, other, slope),
    )


def _is_corrected(own: StreamClock, other: StreamClock, drift: float) -> bool:
    """Whether both have times on one line: those of free-running clocks that drift show that they are not."""
    if own.times is None or other.times is None:
        return False
    if not (_is_free_running(own) and _is_free_running(other)):
        return True
    span = min(float(own.times.stream_s[-1]), float(other.times.stream_s[-1]))
    return abs(drift) * span <= 1 / min(own.sampling_frequency, other.sampling_frequency)


def _by_shared_time(own: StreamClock, other: StreamClock) -> tuple[np.ndarray, np.ndarray] | str:
    assert own.times is not None and other.times is not None
    if _is_free_running(own) and _is_free_running(other):
        return "their timestamps are sample number / rate: they were not synchronized, or it is too short to tell"
    for times in (own.times, other.times):
        if not np.all(np.diff(times.shared_s) > 0):
            return f"{times.source} do not rise"
    theirs = other.start_s + other.times.stream_s
    seen = np.interp(own.times.shared_s, other.times.shared_s, theirs, left=np.nan, right=np.nan)
    return seen, own.start_s + own.times.stream_s - seen


def _is_free_running(clock: StreamClock) -> bool:
    """Whether the times are just sample number / rate, to half a sample."""
    assert clock.times is not None
    away = np.abs(clock.times.shared_s - (clock.start_s + clock.times.stream_s))
    return bool(np.all(away <= 0.5 / clock.sampling_frequency))


def _by_pulses(own: StreamClock, other: StreamClock) -> tuple[np.ndarray, np.ndarray] | str:
    """Pulses are numbered, and the own one's numbers are looked up between those of the other."""
    assert own.pulses is not None and other.pulses is not None
    period = other.pulses.period_s
    if abs(own.pulses.period_s - period) > _PERIOD_TOLERANCE * period:
        return f"pulses come every {own.pulses.period_s:.3g} s in one and every {period:.3g} s in the other"
    mine, theirs = own.start_s + own.pulses.stream_s, other.start_s + other.pulses.stream_s
    if min(len(mine), len(theirs)) < _MIN_MARKS:
        return "one of them has less than two pulses"
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
