"""Cutting a recording to what a job is about (one channel group, a stretch of time), and making it signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spikepipe_core.errors import BadDataError, ParamsError

if TYPE_CHECKING:
    from probeinterface import Probe
    from spikeinterface.core import BaseRecording

__all__ = ["clip", "has_group", "probe_model", "require_geometry", "select_group", "signed"]


def probe_model(probe: Probe) -> str | None:
    """Model of a probe with what its maker calls it, such as ``NP1000 (Neuropixels 1.0 probe)``; None if unknown."""
    model = probe.model_name or probe.annotations.get("part_number") or probe.annotations.get("probe_name")
    words = probe.description
    if words and words.startswith("duplicate of"):  # how the maker's catalogue refers to its own older names
        words = None
    return f"{model} ({words})" if model and words else model or words or None


def require_geometry(recording: BaseRecording, stream: str) -> None:
    """Make sure that the recording knows where each of its electrodes is.

    Raises
    ------
    BadDataError
        It has no probe, or positions that are no numbers. (Probeinterface refuses two electrodes at one place.)
    """
    remedy = (
        "Positions are never invented: read the data with job_dispatch.input = 'spikeinterface' and give the geometry "
        "in job_dispatch.spikeinterface_info.probe_paths (a ProbeInterface JSON file)."
    )
    if not recording.has_probe():
        raise BadDataError(f"{stream} has no probe geometry. {remedy}")
    positions = np.asarray(recording.get_channel_locations(), dtype=float)
    if not np.all(np.isfinite(positions)):
        raise BadDataError(f"{stream} has electrode positions that are no numbers. {remedy}")


def signed(recording: BaseRecording) -> BaseRecording:
    """The recording with signed samples around zero; in uV nothing changes.

    Unsigned samples are shifted by half the range of their converter: what the offset says (2048 for 12 bits), or else
    half the range of their data type.
    """
    if recording.get_dtype().kind != "u":
        return recording
    from spikeinterface.preprocessing import unsigned_to_signed

    bits = _converter_bits(recording)
    shifted = unsigned_to_signed(recording, bit_depth=bits)
    if recording.has_scaleable_traces():
        gains, offsets = recording.get_channel_gains(), recording.get_channel_offsets()
        shifted.set_channel_offsets(offsets + 2 ** (bits - 1) * gains)
    return shifted


def _converter_bits(recording: BaseRecording) -> int:
    """Bits of the converter, if the offset is that of its middle; else those of the data type."""
    of_type = 8 * recording.get_dtype().itemsize
    if not recording.has_scaleable_traces():
        return of_type
    middles = np.unique(np.rint(-recording.get_channel_offsets() / recording.get_channel_gains()))
    middle = int(middles[0])
    fits = len(middles) == 1 and middle > 0 and middle.bit_count() == 1 and middle < 2**of_type
    return middle.bit_length() if fits else of_type


def has_group(recording: BaseRecording, group: str | None) -> bool:
    """Whether a recording has channels of a group; of None, always."""
    return group is None or group in {str(one) for one in recording.get_channel_groups()}


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
    rate = recording.get_sampling_frequency()
    lengths = [recording.get_num_samples(index) for index in range(recording.get_num_segments())]
    first = round(start_s * rate)
    ends = [length if stop_s is None else min(round(stop_s * rate), length) for length in lengths]
    if first >= min(ends):
        raise ParamsError(
            f"preprocessing.t_start = {start_s:g} s leaves nothing of a recording that lasts "
            f"{min(lengths) / rate:.1f} s. Give an earlier one, or null."
        )
    if first == 0 and ends == lengths:
        return recording
    if len(lengths) == 1 and not recording.has_time_vector(0):
        return recording.frame_slice(first, ends[0])

    from spikepipe_core.ingest.timed import ClippedRecording

    return ClippedRecording(recording, [first] * len(lengths), ends)
