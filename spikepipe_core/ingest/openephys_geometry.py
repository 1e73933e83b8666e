"""Geometry of a stream of Open Ephys: which channel of the file is which electrode, and where that is.

probeinterface turns the settings of one probe into positions. Which channel is which electrode is decided by the
channels' names in `structure.oebin`, because these went through the same channel maps and selections as the signal did.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.openephys_files import Stream
from spikepipe_core.ingest.openephys_settings import ProbeSettings, probe_settings
from spikepipe_core.ingest.probes import ProbeFile

if TYPE_CHECKING:
    from probeinterface import Probe

__all__ = ["REMEDY", "StreamGeometry", "stream_geometry"]

REMEDY = (
    "Correct it, or give the geometry in job_dispatch.spikeinterface_info.probe_paths (a ProbeInterface JSON file): "
    "positions are never invented."
)


@dataclass(frozen=True)
class StreamGeometry:
    """Where the electrodes of a stream are.

    Attributes
    ----------
    probe : Probe
        Its contacts are in the order of `channels`.
    channels : tuple of int
        Indices of the stream's channels that have an electrode.
    without_electrode : tuple of str
        Names of channels that were recorded but connected to none, such as the reference of Neuropixels 1.0.
    file : ProbeFile or None
        The probe file that it comes from, if it was not the acquisition that said it.
    """

    probe: Probe
    channels: tuple[int, ...]
    without_electrode: tuple[str, ...] = ()
    file: ProbeFile | None = None


def stream_geometry(stream: Stream, root: Path) -> StreamGeometry:
    """Find the electrodes of a stream's channels.

    Raises
    ------
    BadDataError
        The settings are missing or damaged, describe no probe for the stream, or contradict `structure.oebin`.
    """
    try:
        settings = probe_settings(stream, root)
        return _wire(stream, _positions(settings), settings)
    except BadDataError as error:
        settings_file = stream.recording.settings.name
        raise BadDataError(
            f"{stream.full_name} has no geometry in {settings_file}: {error} {REMEDY}"
        ) from error


# --- positions ----------------------------------------------------------------------------------------------


def _positions(settings: ProbeSettings) -> Probe:
    """Let probeinterface read the one probe."""
    try:
        return _read_probe(settings.xml)
    except Exception as error:  # the parser fails in many ways on what it does not know
        raise BadDataError(
            f"the settings describe its probe (model {settings.part_number!r}) in a way that gives no positions "
            f"({type(error).__name__}: {error})."
        ) from error


@lru_cache(maxsize=64)
def _read_probe(settings: bytes) -> Probe:
    """The probe of settings with only one; bands and recordings of a probe, and often sessions, share them."""
    import probeinterface

    with tempfile.TemporaryDirectory(prefix="spikepipe-") as folder:
        path = Path(folder) / "settings.xml"
        path.write_bytes(settings)
        return probeinterface.read_openephys_neuropixels(path)


# --- wiring -------------------------------------------------------------------------------------------------


def _wire(stream: Stream, probe: Probe, settings: ProbeSettings) -> StreamGeometry:
    """Put the contacts in the order of the stream's channels."""
    readout = settings.readout_channels
    if len(readout) != probe.get_contact_count():
        raise BadDataError(
            f"the settings connect {len(readout)} channels to {probe.get_contact_count()} electrodes."
        )
    contact_of = {number: contact for contact, number in enumerate(readout)}
    pairs = [
        (channel, contact_of[number])
        for channel, number in zip(
            stream.electrodes,
            _readout_numbers(stream, probe, contact_of, settings.saved_channels),
            strict=True,
        )
        if number in contact_of
    ]
    if not pairs:
        raise BadDataError("none of its channels is connected to an electrode.")
    channels, contacts = (list(values) for values in zip(*pairs, strict=True))
    wired = probe.get_slice(np.array(contacts))
    wired.name = stream.base_name
    wired.set_device_channel_indices(np.arange(len(contacts)))
    if readout != tuple(range(len(readout))):
        _annotate_sampling_order(wired, [readout[contact] for contact in contacts])
    _refuse_contradiction(stream, channels, wired)
    unconnected = sorted(set(stream.electrodes) - set(channels))
    return StreamGeometry(wired, tuple(channels), tuple(stream.channels[i].name for i in unconnected))


def _readout_numbers(
    stream: Stream, probe: Probe, contact_of: dict[int, int], saved: frozenset[int] | None
) -> list[int]:
    """Readout channel of each electrode channel of the stream.

    Channels are named by their readout channel, counted from 0 or from 1 as the plugin's version has it. If both are
    possible, because only some channels were saved, the Record Node's selection or the electrodes that
    `structure.oebin` names decide.
    """
    named = [stream.channels[index].number for index in stream.electrodes]
    numbers = [number for number in named if number is not None]
    if not numbers and len(named) == len(contact_of) and "Channel Map" not in stream.history:
        return sorted(contact_of)
    if len(numbers) != len(named) or len(set(numbers)) != len(numbers):
        raise BadDataError(
            f"its channels are named {stream.channels[0].name!r} ... {stream.channels[-1].name!r}, which does not say "
            "which readout channels they are."
        )
    last = max(contact_of)
    possible = [first for first in (0, 1) if min(numbers) >= first and max(numbers) - first <= last]
    if len(possible) > 1 and saved is not None:
        electrodes = {channel for channel in saved if channel <= last}  # without the sync line
        possible = [first for first in possible if {number - first for number in numbers} == electrodes]
    if len(possible) > 1:
        indices = [stream.channels[index].electrode_index for index in stream.electrodes]
        possible = [
            first
            for first in possible
            if _agree(probe, [contact_of.get(number - first) for number in numbers], indices)
        ]
    if len(possible) != 1:
        raise BadDataError(
            f"its channels are numbered {min(numbers)} to {max(numbers)}, and the settings connect the readout "
            f"channels {min(contact_of)} to {last}; it is not clear which is which."
        )
    return [number - possible[0] for number in numbers]


def _agree(probe: Probe, contacts: Sequence[int | None], indices: Sequence[int | None]) -> bool:
    """Whether contacts are the electrodes of these indices, as far as both are known; at least one must be."""
    known = [
        (contact, index)
        for contact, index in zip(contacts, indices, strict=True)
        if contact is not None and index is not None
    ]
    return bool(known) and all(index in _electrode_indices(probe, contact) for contact, index in known)


def _electrode_indices(probe: Probe, contact: int) -> set[int]:
    """The index of an electrode on its shank, and on the whole probe (plugins use either)."""
    found = re.fullmatch(r"(?:s(\d+))?e(\d+)", str(probe.contact_ids[contact]))
    if found is None:
        return set()
    own = int(found[2])
    return {own, own + int(found[1] or 0) * _electrodes_per_shank(probe.annotations["part_number"])}


@cache
def _electrodes_per_shank(part_number: str) -> int:
    from probeinterface.neuropixels_tools import build_neuropixels_probe

    catalogue = build_neuropixels_probe(part_number)
    shanks = 1 if catalogue.shank_ids is None else len(set(catalogue.shank_ids))
    return catalogue.get_contact_count() // shanks


def _refuse_contradiction(stream: Stream, channels: list[int], probe: Probe) -> None:
    indices = [stream.channels[index].electrode_index for index in channels]
    if any(index is not None for index in indices) and not _agree(probe, range(len(channels)), indices):
        wrong = next(
            i
            for i, index in enumerate(indices)
            if index is not None and index not in _electrode_indices(probe, i)
        )
        raise BadDataError(
            f"{stream.recording.settings.name} connects channel {stream.channels[channels[wrong]].name} to electrode "
            f"{probe.contact_ids[wrong]}, structure.oebin to electrode {indices[wrong]}: they are not of the same "
            "recording."
        )


def _annotate_sampling_order(probe: Probe, readout: Sequence[int]) -> None:
    """Say when in a sample each contact is sampled.

    probeinterface takes contact i for readout channel i, which is wrong where readout channels are left out.
    """
    table = str(probe.annotations.get("adc_sampling_table") or "")
    _, *adcs = table.strip("()").split(")(")
    if not adcs:
        return
    order = {}
    group = {}
    for slot, members in enumerate(adcs):
        for adc, channel in enumerate(members.split()):
            order[int(channel)], group[int(channel)] = slot, adc
    probe.annotate_contacts(
        adc_sample_order=np.array([order[channel] for channel in readout]),
        adc_group=np.array([group[channel] for channel in readout]),
    )
