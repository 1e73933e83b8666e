"""Writing the simulated session as an NWB file: for each probe a device, its electrodes, and AP and LF series."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikepipe_core.demo.source import DemoProbe
from spikepipe_core.demo.spikeglx import CREATED, NOTE

if TYPE_CHECKING:
    from pynwb import NWBFile

__all__ = ["channel_id", "write_nwb", "write_nwb_zarr"]

SERIES = {"AP": "ElectricalSeriesAP", "LFP": "ElectricalSeriesLF"}


def channel_id(probe: str, index: int) -> str:
    """Id of a channel as SpikeInterface reads it from the file's column `channel_name`."""
    return f"{probe}-{index}"


def write_nwb(probes: list[DemoProbe], path: Path) -> None:
    """Write an HDF5 file."""
    from pynwb import NWBHDF5IO

    with NWBHDF5IO(path, "w") as io:
        io.write(_file(probes))


def write_nwb_zarr(probes: list[DemoProbe], path: Path) -> None:
    """Write a Zarr folder."""
    from hdmf_zarr import NWBZarrIO

    with NWBZarrIO(str(path), "w") as io:
        io.write(_file(probes))


def _file(probes: list[DemoProbe]) -> NWBFile:
    from pynwb import NWBFile

    start = datetime.fromisoformat(CREATED).replace(tzinfo=UTC)
    nwb = NWBFile(NOTE, "spikepipe-demo", start)
    nwb.add_electrode_column("channel_name", "name of the channel")
    nwb.add_electrode_column("inter_sample_shift", "how much later than the first it is sampled, in samples")
    for probe in probes:
        _add_probe(nwb, probe)
    return nwb


def _add_probe(nwb: NWBFile, probe: DemoProbe) -> None:
    device = nwb.create_device(name=probe.name, description="simulated Neuropixels 1.0")
    group = nwb.create_electrode_group(probe.name, description="simulated", location="unknown", device=device)
    ap = probe.bands["AP"]
    first = 0 if nwb.electrodes is None else len(nwb.electrodes)
    shifts = ap.get_property("inter_sample_shift")
    for index, (x, y) in enumerate(ap.get_channel_locations()):
        nwb.add_electrode(
            group=group,
            location="unknown",
            rel_x=float(x),
            rel_y=float(y),
            channel_name=channel_id(probe.name, index),
            inter_sample_shift=float(shifts[index]),
        )
    rows = list(range(first, first + ap.get_num_channels()))
    for band in probe.bands:
        nwb.add_acquisition(_series(nwb, probe, band, rows))


def _series(nwb: NWBFile, probe: DemoProbe, band: str, rows: list[int]) -> Any:
    from neuroconv.tools.spikeinterface.spikeinterfacerecordingdatachunkiterator import (
        SpikeInterfaceRecordingDataChunkIterator,
    )
    from pynwb.ecephys import ElectricalSeries

    recording = probe.bands[band]
    return ElectricalSeries(
        name=f"{SERIES[band]}{probe.name}",
        data=SpikeInterfaceRecordingDataChunkIterator(recording),
        electrodes=nwb.create_electrode_table_region(rows, f"electrodes of {probe.name}"),
        rate=recording.get_sampling_frequency(),
        starting_time=0.0,
        conversion=float(np.unique(recording.get_channel_gains()).item()) * 1e-6,
    )
