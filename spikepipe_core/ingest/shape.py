"""Cutting a recording to what a job is about: one channel group, a stretch of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikepipe_core.errors import BadDataError, ParamsError

if TYPE_CHECKING:
    from probeinterface import Probe
    from spikeinterface.core import BaseRecording

__all__ = ["clip", "probe_model", "select_group"]


def probe_model(probe: Probe) -> str | None:
    """Model of a probe with what its maker calls it, such as ``NP1000 (Neuropixels 1.0 probe)``; None if unknown."""
    model = probe.model_name or probe.annotations.get("part_number") or probe.annotations.get("probe_name")
    words = probe.description
    return f"{model} ({words})" if model and words else model or words or None


def select_group(recording: BaseRecording, group: str | None, stream: str) -> BaseRecording:
    """Keep the channels of one group (shank); all of them for None.

    Raises
    ------
    BadDataError
        The recording has no such group.
    """
    if group is None:
        return recording
    groups = {str(key): part for key, part in recording.split_by("group").items()}
    if group not in groups:
        raise BadDataError(
            f"{stream} has no channel group {group!r}, only {sorted(groups)}. Its geometry has changed "
            "since it was discovered: run discovery again."
        )
    return groups[group]


def clip(recording: BaseRecording, stop_s: float | None, start_s: float = 0.0) -> BaseRecording:
    """Keep a stretch of every segment, in seconds from the segment's start; the times of what is kept stay.

    Parameters
    ----------
    stop_s : float or None
        A segment that ends before it, and None, keeps its end.
    start_s : float
        A segment that ends before it is an error: nothing would be left.

    Raises
    ------
    ParamsError
        A segment ends before `start_s`.
    """
    from spikeinterface.core import append_recordings

    parts = [recording.select_segments([index]) for index in range(recording.get_num_segments())]
    if len(parts) == 1:
        parts = [recording]
    clipped = [_clip_segment(part, start_s, stop_s) for part in parts]
    return clipped[0] if len(clipped) == 1 else append_recordings(clipped)


def _clip_segment(part: BaseRecording, start_s: float, stop_s: float | None) -> BaseRecording:
    rate, samples = part.get_sampling_frequency(), part.get_num_samples()
    first = round(start_s * rate)
    last = samples if stop_s is None else min(round(stop_s * rate), samples)
    if first >= last:
        raise ParamsError(
            f"preprocessing.t_start = {start_s:g} s leaves nothing of a recording that lasts {samples / rate:.1f} s. "
            "Give an earlier one, or null."
        )
    return part.frame_slice(first, last)
