"""Cutting a recording to what a job is about: one channel group, the first seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikepipe_core.errors import BadDataError

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording

__all__ = ["clip", "select_group"]


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


def clip(recording: BaseRecording, seconds: float) -> BaseRecording:
    """Keep the first seconds of every segment; shorter segments stay as they are."""
    from spikeinterface.core import append_recordings

    parts = [recording.select_segments([index]) for index in range(recording.get_num_segments())]
    if len(parts) == 1:
        parts = [recording]
    frames = round(seconds * recording.get_sampling_frequency())
    clipped = [part.frame_slice(0, min(frames, part.get_num_samples())) for part in parts]
    return clipped[0] if len(clipped) == 1 else append_recordings(clipped)
