"""Recordings of SpikeInterface that its JSON descriptions do not load again, made so that they do.

A description that names one of these loads wherever spikepipe is installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import spikeinterface.core as si
from spikeinterface.core.base import base_period_dtype
from spikeinterface.preprocessing.basepreprocessor import BasePreprocessor, BasePreprocessorSegment
from spikeinterface.preprocessing.silence_periods import SilencedPeriodsRecording

__all__ = ["SilencedRecording", "WholeEventsRecording"]


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
