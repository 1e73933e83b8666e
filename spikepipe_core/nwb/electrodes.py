"""Devices, electrode groups and the electrodes table: one row for every recorded contact of every probe.

AP, LFP and preprocessed channels of one contact have different names and are the same electrode; what they have
in common is the position on the probe, so rows are found by that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pynwb import NWBFile
from pynwb.device import Device, DeviceModel
from pynwb.ecephys import ElectrodeGroup
from spikeinterface.core import BaseRecording, SortingAnalyzer

from spikepipe_core.errors import BadDataError
from spikepipe_core.nwb.probe_data import ProbeData

# What NWB files say where NWB asks for a brain area and nobody gave one.
UNKNOWN_LOCATION = "unknown"
# Contacts are at least some um apart; positions that went through JSON differ by less than this.
POSITION_DECIMALS_UM = 3
COLUMNS = {
    "probe": "Probe that the electrode is on: the key that units and series of this probe carry too.",
    "channel_name": "Name of the acquisition channel; empty where it is not known.",
    "electrode_name": "Contact of the probe, as its manufacturer counts them; empty where it is not known.",
    "channel_label": "Quality of the raw signal: good, dead, noise, out (outside the brain); empty where not judged.",
}

Position = tuple[float, ...]


class ElectrodeRows:
    """Where the electrodes of one probe are in the table.

    Parameters
    ----------
    key : str
        Key of the probe.
    rows : dict of position to int
        Row of each contact position (um).
    groups : dict of int to ElectrodeGroup
        Group of each row.
    """

    def __init__(self, key: str, rows: dict[Position, int], groups: dict[int, ElectrodeGroup]):
        self.key = key
        self._rows = rows
        self.groups = groups

    def of(self, channels: BaseRecording | SortingAnalyzer) -> np.ndarray:
        """Rows (int) of all channels of a recording or analyzer, in its order.

        Raises
        ------
        BadDataError
            A channel sits where the probe has no contact.
        """
        positions = [_rounded(position) for position in channels.get_channel_locations()]
        missing = [position for position in positions if position not in self._rows]
        if missing:
            raise BadDataError(
                f"{self.key}: {len(missing)} channels are at positions where the probe has no contact, the first at "
                f"{missing[0]} um. The LFP, the analyzer and the raw recording must have the same probe."
            )
        return np.array([self._rows[position] for position in positions], dtype=np.int64)


def add_electrodes(nwbfile: NWBFile, probes: list[ProbeData]) -> dict[str, ElectrodeRows]:
    """Add devices, groups and electrodes of all probes.

    Returns
    -------
    dict of str to ElectrodeRows
        By key of the probe.
    """
    for name, description in COLUMNS.items():
        nwbfile.add_electrode_column(name=name, description=description)
    return {probe.key: _add_probe(nwbfile, probe) for probe in probes}


def _add_probe(nwbfile: NWBFile, probe: ProbeData) -> ElectrodeRows:
    device = _device(nwbfile, probe)
    shanks = probe.shanks()
    groups = {
        str(shank): _group(nwbfile, probe, device, str(shank), shanks) for shank in dict.fromkeys(shanks)
    }
    first = 0 if nwbfile.electrodes is None else len(nwbfile.electrodes)
    labels = probe.channel_labels or [""] * len(shanks)
    contact_ids = probe.probe.contact_ids if probe.probe.contact_ids is not None else [""] * len(shanks)
    names, positions = probe.names_of_channels(), probe.probe.contact_positions
    rows: dict[Position, int] = {}
    group_of: dict[int, ElectrodeGroup] = {}
    for index, (position, shank) in enumerate(zip(positions, shanks, strict=True)):
        group = groups[str(shank)]
        nwbfile.add_electrode(
            group=group,
            location=group.location,
            probe=probe.key,
            channel_name=names[index],
            electrode_name=str(contact_ids[index]),
            channel_label=str(labels[index]),
            **{
                name: float(value) for name, value in zip(("rel_x", "rel_y", "rel_z"), position, strict=False)
            },
        )
        rows[_rounded(position)] = first + index
        group_of[first + index] = group
    if len(rows) < len(shanks):
        raise BadDataError(
            f"{probe.key}: {len(shanks) - len(rows)} contacts of the probe are at the position of another one. "
            "Correct the probe's geometry."
        )
    return ElectrodeRows(probe.key, rows, group_of)


def _group(
    nwbfile: NWBFile, probe: ProbeData, device: Device, shank: str, shanks: np.ndarray
) -> ElectrodeGroup:
    several = len(set(shanks)) > 1
    return nwbfile.create_electrode_group(
        name=f"{probe.key}_shank{shank}" if several else probe.key,
        description=f"Shank {shank} of probe {probe.key}." if several else f"All channels of {probe.key}.",
        location=probe.location or UNKNOWN_LOCATION,
        device=device,
    )


def _device(nwbfile: NWBFile, probe: ProbeData) -> Device:
    """The physical probe, with what its acquisition says of it and nothing else."""
    if probe.device_name in nwbfile.devices:
        return nwbfile.devices[probe.device_name]
    known: dict[str, Any] = {}
    # Open Ephys writes "0" for a serial number that it could not read.
    if probe.probe.serial_number not in (None, "", "0"):
        known["serial_number"] = str(probe.probe.serial_number)
    if probe.probe.model_name:
        known["model"] = _model(nwbfile, probe)
    device = Device(name=probe.device_name, **known)
    nwbfile.add_device(device)
    return device


def _model(nwbfile: NWBFile, probe: ProbeData) -> DeviceModel:
    name = str(probe.probe.model_name)
    if name in nwbfile.device_models:
        return nwbfile.device_models[name]
    description = probe.probe.annotations.get("description")
    model = DeviceModel(
        name=name,
        model_number=name,
        manufacturer=probe.probe.manufacturer or "unknown",  # which NWB requires
        **({"description": str(description)} if description else {}),
    )
    nwbfile.add_device_model(model)
    return model


def _rounded(position: np.ndarray) -> Position:
    return tuple(
        float(value) for value in np.round(position, POSITION_DECIMALS_UM) + 0.0
    )  # + 0.0: no minus zero
