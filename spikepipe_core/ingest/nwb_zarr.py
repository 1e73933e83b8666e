"""A recording over the arrays of one ElectricalSeries in an NWB file in Zarr.

SpikeInterface's own reader decodes every column of the electrodes table, pickles among them; this one opens what is
named, and its description in JSON opens the same again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from spikeinterface.core import BaseRecording, BaseRecordingSegment

__all__ = ["NwbZarrRecording"]


class NwbZarrRecording(BaseRecording):
    """Samples of an ElectricalSeries, lazily.

    Parameters
    ----------
    folder_path : str
        The Zarr folder.
    series : str
        Path of the series inside it.
    channel_ids : sequence of str
    sampling_frequency : float
        Hz.
    gains, offsets : sequence of float
        To uV, of each channel.
    properties : mapping of str to list, optional
        Further values of each channel.
    """

    def __init__(
        self,
        folder_path: str,
        series: str,
        channel_ids: Sequence[str],
        sampling_frequency: float,
        gains: Sequence[float],
        offsets: Sequence[float],
        properties: Mapping[str, list[Any]] | None = None,
    ):
        import zarr

        group = zarr.open_group(str(folder_path), mode="r")[series]
        data = group["data"]
        super().__init__(
            sampling_frequency=sampling_frequency, channel_ids=list(channel_ids), dtype=data.dtype
        )
        self.add_recording_segment(_Segment(data, _times(group, sampling_frequency)))
        self.set_channel_gains(np.asarray(gains, dtype=float))
        self.set_channel_offsets(np.asarray(offsets, dtype=float))
        for name, values in (properties or {}).items():
            self.set_property(name, np.asarray(values))
        self._kwargs = {
            "folder_path": str(Path(folder_path).absolute()),
            "series": series,
            "channel_ids": list(channel_ids),
            "sampling_frequency": sampling_frequency,
            "gains": [float(gain) for gain in gains],
            "offsets": [float(offset) for offset in offsets],
            "properties": dict(properties or {}),
        }


def _times(group: Any, rate: float) -> dict[str, Any]:
    if "starting_time" in group:
        return {"sampling_frequency": rate, "t_start": float(np.ravel(group["starting_time"][...])[0])}
    return {"time_vector": group["timestamps"]}


class _Segment(BaseRecordingSegment):
    def __init__(self, data: Any, times: dict[str, Any]):
        super().__init__(**times)
        self._data = data

    def get_num_samples(self) -> int:
        return int(self._data.shape[0])

    def get_traces(self, start_frame: int, end_frame: int, channel_indices: Any) -> np.ndarray:
        rows = self._data[start_frame:end_frame]
        columns = rows[:, np.newaxis] if rows.ndim == 1 else rows
        return columns if channel_indices is None else columns[:, channel_indices]
