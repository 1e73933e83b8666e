"""Are a recording's timestamps usable? The checks that users of the AIND pipeline know, with the places of
gaps.

Criteria and limits are those of the AIND pipeline's job dispatch
(https://github.com/AllenNeuralDynamics/aind-ephys-job-dispatch): more than 10 steps back of over 0.2 ms, any
step of over 2 ms, or at least 2 % steps of zero make timestamps unusable. Segments that are kept together must
also follow each other in time (ours: spikes of a unit are written in order). The caller then takes
`regular_times` instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording

__all__ = ["TimestampGap", "TimestampsVerdict", "check_timestamps", "regular_times"]

MAX_BACKWARD_MS = 0.2
MAX_BACKWARD_STEPS = 10
MAX_STEP_MS = 2.0
MAX_ZERO_FRACTION = 0.02

_CHUNK_SAMPLES = 2**20  # 8 MiB of float64
_MAX_LISTED_GAPS = 100


class TimestampGap(BaseModel):
    """A step between neighbouring samples that is longer than it may be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    segment: int = Field(description="Index of the segment, from 0.")
    sample: int = Field(description="Index of the last sample before the gap, in its segment.")
    length_ms: float | None = Field(
        description="From that sample to the next, in ms; negative for a step back; None: not a number."
    )


class TimestampsVerdict(BaseModel):
    """Whether timestamps are usable, and the numbers behind it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ok: bool
    reason: str = Field(description="In words.")
    explicit: bool = Field(
        description="Whether there is a time for every sample, rather than a start and a rate."
    )
    num_steps: int = Field(default=0, description="Steps between neighbouring samples that were looked at.")
    num_backward: int = Field(default=0, description="Steps back of more than 0.2 ms.")
    num_zero: int = Field(default=0, description="Steps of zero.")
    num_gaps: int = Field(default=0, description="Steps of more than 2 ms, either way.")
    largest_step_ms: float = Field(default=0.0, description="Longest step either way, in ms.")
    segments_overlap: bool = Field(
        default=False, description="Whether a segment starts before the one before it ends."
    )
    gaps: tuple[TimestampGap, ...] = Field(default=(), description="The first 100 gaps.")

    def numbers(self) -> dict[str, int | float]:
        """What was counted, under names that people read."""
        return {
            "steps looked at": self.num_steps,
            f"steps back of more than {MAX_BACKWARD_MS:g} ms": self.num_backward,
            "steps of zero": self.num_zero,
            f"gaps (steps of more than {MAX_STEP_MS:g} ms)": self.num_gaps,
            "largest step (ms)": self.largest_step_ms,
        }


def check_timestamps(recording: BaseRecording, *, trusted: bool = False) -> TimestampsVerdict:
    """Judge the timestamps of all segments; a recording that has only start and rate is fine.

    Memory does not grow with the recording's length where the times are read from a file.

    Parameters
    ----------
    trusted : bool
        Explicit timestamps are taken as they are (`job_dispatch.skip_timestamps_check`).
    """
    explicit = any(recording.has_time_vector(index) for index in range(recording.get_num_segments()))
    if explicit and trusted:
        return TimestampsVerdict(
            ok=True, reason="not checked (job_dispatch.skip_timestamps_check)", explicit=True
        )
    count = _Count(_longest_step_ms(recording.get_sampling_frequency()))
    for segment in range(recording.get_num_segments()):
        if recording.has_time_vector(segment):
            for first, steps_ms in _steps_ms(recording, segment):
                count.add(segment, first, steps_ms)
    overlap = _segments_overlap(recording)
    reasons = count.reasons() + (["segments overlap in time"] if overlap else [])
    fine = f"{count.steps} steps between samples are regular" if explicit else "no explicit timestamps"
    return TimestampsVerdict(
        ok=not reasons,
        reason="; ".join(reasons) or fine,
        explicit=explicit,
        num_steps=count.steps,
        num_backward=count.backward,
        num_zero=count.zero,
        num_gaps=count.num_gaps,
        largest_step_ms=count.largest_ms,
        segments_overlap=overlap,
        gaps=tuple(count.gaps),
    )


@dataclass
class _Count:
    """Steps between samples, as they are counted chunk by chunk."""

    longest_ms: float
    steps: int = 0
    backward: int = 0
    zero: int = 0
    num_gaps: int = 0
    largest_ms: float = 0.0
    gaps: list[TimestampGap] = field(default_factory=list)

    def add(self, segment: int, first: int, steps_ms: np.ndarray) -> None:
        """Count the steps from sample `first` of a segment on."""
        self.steps += steps_ms.size
        self.backward += int(np.sum(steps_ms < -MAX_BACKWARD_MS))
        self.zero += int(np.sum(steps_ms == 0))
        where = np.flatnonzero(~(np.abs(steps_ms) <= self.longest_ms))  # what is not a number is a gap too
        self.num_gaps += where.size
        self.largest_ms = max(
            self.largest_ms, float(np.max(np.abs(steps_ms), initial=0, where=steps_ms == steps_ms))
        )
        for index in where[: _MAX_LISTED_GAPS - len(self.gaps)]:
            length = float(steps_ms[index])
            self.gaps.append(
                TimestampGap(
                    segment=segment,
                    sample=int(first + index),
                    length_ms=length if np.isfinite(length) else None,
                )
            )

    def reasons(self) -> list[str]:
        """What makes the timestamps unusable, in words; empty if nothing does."""
        reasons = []
        if self.backward > MAX_BACKWARD_STEPS:
            reasons.append(
                f"{self.backward} steps back of more than {MAX_BACKWARD_MS:g} ms ({MAX_BACKWARD_STEPS} allowed)"
            )
        if self.num_gaps:
            first = self.gaps[0]
            length = "no number" if first.length_ms is None else f"{first.length_ms:.3f} ms"
            reasons.append(
                f"{self.num_gaps} steps of more than {self.longest_ms:g} ms, the first of {length} after "
                f"sample {first.sample} of segment {first.segment}"
            )
        if self.steps and self.zero >= MAX_ZERO_FRACTION * self.steps:
            reasons.append(f"{self.zero} of {self.steps} steps are zero ({MAX_ZERO_FRACTION:.0%} allowed)")
        return reasons


def _longest_step_ms(rate: float) -> float:
    """The longest step that is no gap: 2 ms, and for a slow stream (LFP) somewhat more than its own period (ours)."""
    return max(MAX_STEP_MS, 1.5e3 / rate)


def _segments_overlap(recording: BaseRecording) -> bool:
    last = range(recording.get_num_segments())
    return any(
        recording.get_start_time(index) < recording.get_end_time(index - 1) for index in last if index > 0
    )


def regular_times(recording: BaseRecording, starts: Sequence[float] | None = None) -> BaseRecording:
    """The recording with times that follow from the sample number: start + sample / rate, in s.

    Parameters
    ----------
    starts : sequence of float, optional
        Time of each segment's first sample, in s; by default 0, with segments laid end to end.
    """
    from spikepipe_core.ingest.timed import RegularTimesRecording

    if starts is None:
        lengths = [recording.get_num_samples(index) for index in range(recording.get_num_segments())]
        ends = np.cumsum(lengths) / recording.get_sampling_frequency()
        starts = [0.0, *ends[:-1].tolist()]
    return RegularTimesRecording(recording, starts)


def _steps_ms(recording: BaseRecording, segment: int) -> Iterator[tuple[int, np.ndarray]]:
    """Index of a first sample, and the steps in ms from it and its followers, chunk by chunk."""
    samples = recording.get_num_samples(segment)
    for first in range(0, samples - 1, _CHUNK_SAMPLES):
        last = min(first + _CHUNK_SAMPLES + 1, samples)
        yield first, np.diff(recording.get_times(segment, start_frame=first, end_frame=last)) * 1e3
