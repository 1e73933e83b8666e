"""Traces as ElectricalSeries: integers as recorded with their conversion to volts, iterated chunk by chunk."""

from __future__ import annotations

from typing import Any

import numpy as np
from pynwb import NWBFile
from pynwb.ecephys import LFP, ElectricalSeries
from spikeinterface.core import BaseRecording

from spikepipe_core.errors import BadDataError
from spikepipe_core.nwb.electrodes import ElectrodeRows
from spikepipe_core.nwb.probe_data import ProbeData
from spikepipe_core.params import NwbEcephysParams
from spikepipe_core.stages.lfp import PROCESSING

UV_TO_V = 1e-6
MODULE = "Processed extracellular electrophysiology."


def add_raw(nwbfile: NWBFile, probe: ProbeData, rows: ElectrodeRows, params: NwbEcephysParams) -> None:
    """Add a probe's raw signal to the acquisition, as ``ElectricalSeries<probe>``."""
    if probe.recording is None:
        raise BadDataError(
            f"{probe.key}: nwb.ecephys.write_raw is on and the raw recording {probe.recording_name} was not found. "
            "Give the data folder, or set write_raw to false."
        )
    name, description = f"ElectricalSeries{probe.key}", f"Raw traces of {probe.key}."
    for series in _series(nwbfile, probe.recording, name, description, probe, rows, params):
        nwbfile.add_acquisition(series)


def add_lfp(nwbfile: NWBFile, probe: ProbeData, rows: ElectrodeRows, params: NwbEcephysParams) -> None:
    """Add a probe's LFP to ``processing/ecephys/LFP``, as ``ElectricalSeries<probe>-LFP``."""
    assert probe.lfp is not None, "the caller leaves out probes without LFP"
    if "ecephys" not in nwbfile.processing:
        nwbfile.create_processing_module(name="ecephys", description=MODULE).add(LFP(name="LFP"))
    name, description = f"ElectricalSeries{probe.key}-LFP", f"Local field potential of {probe.key}."
    for series in _series(nwbfile, probe.lfp, name, description, probe, rows, params):
        nwbfile.processing["ecephys"]["LFP"].add_electrical_series(series)


def _series(
    nwbfile: NWBFile,
    recording: BaseRecording,
    name: str,
    description: str,
    probe: ProbeData,
    rows: ElectrodeRows,
    params: NwbEcephysParams,
) -> list[ElectricalSeries]:
    """One series a segment; their names are numbered if there are several."""
    count = recording.get_num_segments()
    filtering = recording.get_annotation(PROCESSING)
    return [
        ElectricalSeries(
            name=name if count == 1 else f"{name}-{segment}",
            description=description,
            electrodes=nwbfile.create_electrode_table_region(
                rows.of(recording).tolist(), f"Electrodes of {probe.key}."
            ),
            **_data(first_seconds(recording, params), segment),
            **_conversion(recording, probe),
            **({"filtering": filtering} if filtering else {}),
        )
        for segment in range(count)
    ]


def first_seconds(recording: BaseRecording, params: NwbEcephysParams) -> BaseRecording:
    """The beginning of a recording, if the params ask for a stub."""
    if not params.stub or recording.get_num_segments() != 1:
        return recording
    samples = max(round(params.stub_seconds * recording.get_sampling_frequency()), 1)
    return recording.frame_slice(0, min(samples, recording.get_num_samples()))


def _data(recording: BaseRecording, segment: int) -> dict[str, Any]:
    """Traces, and when each sample was taken: a rate if they are regular (to 1 us), else all times."""
    from neuroconv.tools.iterative_write import get_electrical_series_chunk_shape
    from neuroconv.tools.spikeinterface.spikeinterfacerecordingdatachunkiterator import (
        SpikeInterfaceRecordingDataChunkIterator,
    )
    from neuroconv.utils import calculate_regular_series_rate

    channels, samples = recording.get_num_channels(), recording.get_num_samples(segment)
    chunk = get_electrical_series_chunk_shape(
        number_of_channels=channels, number_of_frames=samples, dtype=recording.get_dtype()
    )
    data = SpikeInterfaceRecordingDataChunkIterator(
        recording, segment_index=segment, chunk_shape=chunk, buffer_shape=(chunk[0], channels)
    )
    if not recording.has_time_vector(segment):
        rate = recording.get_sampling_frequency()
        return {"data": data, "rate": rate, "starting_time": float(recording.get_start_time(segment))}
    times = recording.get_times(segment)
    regular = calculate_regular_series_rate(times)
    if regular is None:
        return {"data": data, "timestamps": times}
    return {"data": data, "rate": float(regular), "starting_time": float(times[0])}


def _conversion(recording: BaseRecording, probe: ProbeData) -> dict[str, Any]:
    """Gain and offset to volts."""
    if not recording.has_scaleable_traces():
        raise BadDataError(
            f"The signal of {probe.key} has no gain to uV, and NWB stores volts. Give the gain to the reader "
            "(gain_to_uV, offset_to_uV)."
        )
    gains, offsets = recording.get_channel_gains() * UV_TO_V, recording.get_channel_offsets() * UV_TO_V
    if len(np.unique(offsets)) > 1:
        raise BadDataError(
            f"The channels of {probe.key} have different offsets ({np.unique(offsets / UV_TO_V)[:4]} uV, ...), and an "
            "NWB ElectricalSeries has one for all. Split the channels by offset."
        )
    if len(np.unique(gains)) == 1:
        return {"conversion": float(gains[0]), "offset": float(offsets[0])}
    return {"channel_conversion": gains, "offset": float(offsets[0])}
