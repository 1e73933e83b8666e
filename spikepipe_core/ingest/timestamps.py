"""Are a recording's timestamps usable? The checks that users of the AIND pipeline know, with the places of
gaps.

Criteria and limits are those of the AIND pipeline's job dispatch
(https://github.com/AllenNeuralDynamics/aind-ephys-job-dispatch): more than 10 steps back of over 0.2 ms, any
step of over 2 ms, or at least 2 % steps of zero make timestamps unusable; the caller then resets them to
sample number / rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording

__all__ = ["TimestampGap", "TimestampsVerdict", "check_timestamps", "reset_times"]

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
    length_ms: float = Field(description="From that sample to the next, in ms; negative for a step back.")


class TimestampsVerdict(BaseModel):
    """Whether timestamps are usable, and the numbers behind it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ok: bool
    reason: str = Field(description="In words.")
    explicit: bool = Field(
        description="Whether there is a time for every sample, rather than a start and a rate."
    )
    num_steps: int = Field(0, description="Steps between neighbouring samples that were looked at.")
    num_backward: int = Field(0, description="Steps back of more than 0.2 ms.")
    num_zero: int = Field(0, description="Steps of zero.")
    num_gaps: int = Field(0, description="Steps of more than 2 ms, either way.")
    largest_step_ms: float = Field(0.0, description="Longest step either way, in ms.")
    gaps: tuple[TimestampGap, ...] = Field((), description="The first 100 gaps.")


def check_timestamps(recording: BaseRecording) -> TimestampsVerdict:
    """Judge the timestamps of all segments; a recording that has only start and rate is fine.

    Memory does not grow with the recording's length where the times are read from a file.
    """
    steps = backward = zero = num_gaps = 0
    largest = 0.0
    gaps: list[TimestampGap] = []
    explicit = False
    for segment in range(recording.get_num_segments()):
        if not recording.has_time_vector(segment):
            continue
        explicit = True
        for first, steps_ms in _steps_ms(recording, segment):
            steps += steps_ms.size
            backward += int(np.sum(steps_ms < -MAX_BACKWARD_MS))
            zero += int(np.sum(steps_ms == 0))
            where = np.flatnonzero(
                ~(np.abs(steps_ms) <= MAX_STEP_MS)
            )  # a time that is not a number is a gap too
            num_gaps += where.size
            largest = max(largest, float(np.max(np.abs(steps_ms))))
            room = _MAX_LISTED_GAPS - len(gaps)
            gaps += [
                TimestampGap(segment=segment, sample=int(first + i), length_ms=float(steps_ms[i]))
                for i in where[:room]
            ]
    reasons = _reasons(steps, backward, zero, num_gaps, gaps)
    fine = f"{steps} steps between samples are regular" if explicit else "no explicit timestamps"
    return TimestampsVerdict(
        ok=not reasons,
        reason="; ".join(reasons) or fine,
        explicit=explicit,
        num_steps=steps,
        num_backward=backward,
        num_zero=zero,
        num_gaps=num_gaps,
        largest_step_ms=largest,
        gaps=tuple(gaps),
    )


def reset_times(recording: BaseRecording) -> None:
    """Replace timestamps by sample number / rate, in place.

    The recordings that it is cut from are reset too: a clipped recording asks them for its times, whatever
    its own `reset_times` has done (SpikeInterface 0.105).
    """
    one: BaseRecording | None = recording
    while one is not None:
        one.reset_times()
        one = one.get_parent()


def _steps_ms(recording: BaseRecording, segment: int) -> Iterator[tuple[int, np.ndarray]]:
    """Index of a first sample, and the steps in ms from it and its followers, chunk by chunk."""
    samples = recording.get_num_samples(segment)
    for first in range(0, samples - 1, _CHUNK_SAMPLES):
        last = min(first + _CHUNK_SAMPLES + 1, samples)
        yield first, np.diff(recording.get_times(segment, start_frame=first, end_frame=last)) * 1e3


def _reasons(steps: int, backward: int, zero: int, num_gaps: int, gaps: list[TimestampGap]) -> list[str]:
    reasons = []
    if backward > MAX_BACKWARD_STEPS:
        reasons.append(
            f"{backward} steps back of more than {MAX_BACKWARD_MS} ms ({MAX_BACKWARD_STEPS} allowed)"
        )
    if num_gaps:
        first = gaps[0]
        reasons.append(
            f"{num_gaps} steps of more than {MAX_STEP_MS:g} ms, the first of {first.length_ms:.3f} ms after "
            f"sample {first.sample} of segment {first.segment}"
        )
    if steps and zero >= MAX_ZERO_FRACTION * steps:
        reasons.append(f"{zero} of {steps} steps are zero ({MAX_ZERO_FRACTION:.0%} allowed)")
    return reasons
