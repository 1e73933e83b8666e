"""Recordings of SpikeInterface that its JSON descriptions do not load again, made so that they do.

A description that names one of these loads wherever spikepipe is installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import spikeinterface.core as si
from spikeinterface.core.base import base_period_dtype
from spikeinterface.core.motion import Motion
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment
from spikeinterface.preprocessing.silence_periods import SilencedPeriodsRecording
from spikeinterface.sortingcomponents.motion.motion_interpolation import InterpolateMotionRecording

__all__ = ["MotionCorrectedRecording", "SilencedRecording", "WholeEventsRecording"]


class MotionCorrectedRecording(InterpolateMotionRecording):
    """SpikeInterface's interpolation by a motion, with the motion in the description instead of an object to pickle.

    Parameters
    ----------
    recording : BaseRecording
        Floats; all channels keep their place.
    motion : Motion, or dict of its arrays
        With as many segments as the recording.
    **arguments
        Of `InterpolateMotionRecording`; ``border_mode`` is ``force_extrapolate`` or ``force_zeros``.
    """

    def __init__(self, recording: si.BaseRecording, motion: Motion | Mapping[str, Any], **arguments: Any):
        if not isinstance(motion, Motion):
            motion = Motion(
                [np.asarray(one, dtype=float) for one in motion["displacement"]],
                [np.asarray(one, dtype=float) for one in motion["temporal_bins_s"]],
                np.asarray(motion["spatial_bins_um"], dtype=float),
                direction=motion["direction"],
                interpolation_method=motion["interpolation_method"],
            )
        super().__init__(recording, motion, **arguments)
        self._serializability["json"] = True
        self._kwargs = {"recording": recording, "motion": _described(motion), **arguments}

    @staticmethod
    def of(recording: si.BaseRecording, motion: Motion, arguments: Mapping[str, Any]) -> si.BaseRecording:
        """The recording interpolated by a motion, with SpikeInterface's arguments.

        ``remove_channels`` removes what leaves the probe at any time in any segment. (SpikeInterface 0.105 knows that
        mode for one segment only.)
        """
        floating = recording if recording.get_dtype().kind == "f" else recording.astype("float32")
        given = dict(arguments)
        mode = given.pop("border_mode", "remove_channels")
        if mode != "remove_channels":
            return MotionCorrectedRecording(floating, motion, border_mode=mode, **given)
        depths = recording.get_channel_locations()[:, motion.dim]
        inside = np.ones(len(depths), dtype=bool)
        for segment, times in enumerate(motion.temporal_bins_s):
            moved = depths[:, np.newaxis] + motion.get_displacement_at_time_and_depth(
                times, depths, segment_index=segment, grid=True
            )
            inside &= ((moved >= depths.min()) & (moved <= depths.max())).all(axis=1)
        corrected = MotionCorrectedRecording(floating, motion, border_mode="force_zeros", **given)
        return corrected.select_channels(recording.channel_ids[inside])


def _described(motion: Motion) -> dict[str, Any]:
    return {
        "displacement": [one.tolist() for one in motion.displacement],
        "temporal_bins_s": [one.tolist() for one in motion.temporal_bins_s],
        "spatial_bins_um": motion.spatial_bins_um.tolist(),
        "direction": motion.direction,
        "interpolation_method": motion.interpolation_method,
    }


class SilencedRecording(SilencedPeriodsRecording):
    """SpikeInterface's silenced periods, whose table of periods JSON cannot hold.

    Parameters
    ----------
    recording : BaseRecording
    periods : sequence of (segment, first sample, sample after the last)
        Must not overlap.
    **arguments
        Of `SilencedPeriodsRecording`: ``mode``, ``seed``, ``noise_levels``, ``apodization_samples``.
    """

    def __init__(self, recording: si.BaseRecording, periods: Sequence[Sequence[int]], **arguments: Any):
        table = np.zeros(len(periods), dtype=base_period_dtype)
        for index, (segment, start, stop) in enumerate(periods):
            table[index] = (segment, start, stop)
        if arguments.get("noise_levels") is not None:
            arguments["noise_levels"] = np.asarray(arguments["noise_levels"])
        super().__init__(recording, periods=table, **arguments)
        self._serializability["json"] = True
        del self._kwargs["periods"]
        self._kwargs["periods"] = [[int(number) for number in period] for period in periods]

    @classmethod
    def from_spikeinterface(cls, silenced: SilencedPeriodsRecording) -> SilencedRecording:
        """The same as SpikeInterface made it, whether the periods were given to it or found by it."""
        tables = [segment.periods for segment in silenced.segments]
        periods = [
            (index, int(start), int(stop))
            for index, table in enumerate(tables)
            for start, stop in zip(table["start_sample_index"], table["end_sample_index"], strict=True)
        ]
        first = silenced.segments[0]
        return cls(
            silenced.get_parent(),
            periods,
            mode=first.mode,
            seed=silenced._kwargs.get("seed"),
            noise_levels=silenced._kwargs.get("noise_levels"),
            apodization_samples=first.apodization_samples,
        )


class WholeEventsRecording(BasePreprocessor):
    """Reads every chunk of a recording with a margin, and gives what was asked for.

    SpikeInterface's removal of artifacts treats what lies in a chunk: an artifact on the border of two chunks would be
    treated differently from others, and the traces would depend on how they are cut into chunks.

    Parameters
    ----------
    recording : BaseRecording
    margin : int
        Samples read on both sides.
    """

    def __init__(self, recording: si.BaseRecording, margin: int):
        super().__init__(recording)
        for segment in recording.segments:
            self.add_recording_segment(_WholeEventsSegment(segment, int(margin)))
        self._kwargs = {"recording": recording, "margin": int(margin)}


class _WholeEventsSegment(BasePreprocessorSegment):
    def __init__(self, parent: si.BaseRecordingSegment, margin: int):
        super().__init__(parent)
        self._margin = margin

    def get_traces(self, start_frame: int, end_frame: int, channel_indices: Any) -> np.ndarray:
        first = max(0, start_frame - self._margin)
        last = min(self.get_num_samples(), end_frame + self._margin)
        traces = self.parent_recording_segment.get_traces(first, last, channel_indices)
        return traces[start_frame - first : end_frame - first]
