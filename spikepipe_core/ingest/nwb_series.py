"""What an NWB file says of one ElectricalSeries: rate, electrodes and where they are, device; and opening it.

A series whose electrodes are on several devices is one signal for each device.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.classification import MIN_SPIKE_HZ, Classification, StreamFacts, classify
from spikepipe_core.ingest.nwb_files import NwbFile
from spikepipe_core.ingest.zarr_stores import require_chunks

if TYPE_CHECKING:
    from probeinterface import Probe, ProbeGroup
    from spikeinterface.core import BaseRecording

__all__ = ["Series", "is_slow", "open_series", "read_series"]

_WHERE_GROUPS_ARE = "general/extracellular_ephys"
_STEPS_FOR_RATE = 1000
_REMEDY = (
    "Add the columns rel_x and rel_y (um) to its electrodes table, or read the original files with the "
    "'spikeinterface' reader and probe_paths."
)
_UNIT_CHANNEL_COLUMNS = frozenset(
    {"id", "rel_x", "rel_y", "rel_z", "group", "group_name", "channel_name", "offset"}
)


@dataclass(frozen=True)
class Device:
    """A device as the file describes it; None where it says nothing."""

    name: str
    model: str | None = None
    manufacturer: str | None = None
    serial_number: str | None = None


@dataclass(frozen=True)
class Series:
    """One ElectricalSeries.

    Attributes
    ----------
    path : str
        In the file, such as ``acquisition/ElectricalSeriesAP``.
    rows : array of int, shape (channels,)
        In the electrodes table, for each channel.
    groups : array of str, shape (channels,)
        Name of each channel's electrode group.
    devices : dict of str to Device
        Of each electrode group that has one.
    positions : array of float, shape (channels, 2), or None
        um.
    problem : str or None
        Why it cannot be opened.
    """

    path: str
    sampling_frequency: float
    num_samples: int
    rows: np.ndarray
    table: str
    groups: np.ndarray
    devices: dict[str, Device]
    positions: np.ndarray | None
    problem: str | None = None
    found: Classification = field(default_factory=lambda: Classification("unknown", ""))

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def device_names(self) -> list[str | None]:
        """Names of the devices that its electrodes are on, each once; None for electrodes of no known device."""
        return list(dict.fromkeys(self.device_of(group) for group in self.groups.tolist()))

    def device_of(self, group: str) -> str | None:
        """Name of the device of a group."""
        device = self.devices.get(group)
        return None if device is None else device.name

    def channels_on(self, device: str | None) -> np.ndarray:
        """Which channels are on a device."""
        return np.flatnonzero([self.device_of(group) == device for group in self.groups.tolist()])


def read_series(nwb: NwbFile, where: str) -> Series:
    """All that decides what a series is.

    Raises
    ------
    BadDataError
        It says no rate, or what it says of its electrodes cannot be.
    """
    data = nwb.array(f"{where}/data")
    rows, table = nwb.electrodes(where)
    channels = 1 if len(data.shape) == 1 else int(data.shape[1])
    if data.dtype.kind not in "iuf" or len(data.shape) > 2 or channels != len(rows):
        raise BadDataError(
            f"{nwb.path}: {where} has {data.dtype} samples of shape {tuple(data.shape)} for {len(rows)} electrodes. "
            "Write it again."
        )
    rate = _rate(nwb, where)
    if channels == 0 or data.shape[0] == 0:
        raise BadDataError(f"{nwb.path}: {where} holds no samples (shape {tuple(data.shape)}). Take it out.")
    columns = nwb.names(table)
    if "group_name" not in columns:
        raise BadDataError(f"{nwb.path}: {table} has no column group_name. Write the file again.")
    groups = nwb.values(f"{table}/group_name", rows).astype(str)
    positions, problem = _positions(nwb, table, columns, rows, groups, where)
    facts = StreamFacts(where.rsplit("/", 1)[-1], sampling_frequency=rate, has_geometry=problem is None)
    return Series(
        path=where,
        sampling_frequency=rate,
        num_samples=int(data.shape[0]),
        rows=rows,
        table=table,
        groups=groups,
        devices={group: device for group in np.unique(groups) if (device := _device(nwb, str(group)))},
        positions=positions,
        problem=problem,
        found=_classified(facts),
    )


def is_slow(nwb: NwbFile, where: str) -> bool:
    """Whether a series is known to be too slow for spikes."""
    try:
        return _rate(nwb, where) < MIN_SPIKE_HZ
    except BadDataError:
        return False


def _classified(facts: StreamFacts) -> Classification:
    """What a series is: an ElectricalSeries is a signal of electrodes, unless its name says something else."""
    found = classify(facts)
    if found.kind != "unknown":
        return found
    known = classify(StreamFacts(facts.name, sampling_frequency=facts.sampling_frequency, has_geometry=True))
    return Classification(known.kind, f"an ElectricalSeries at {facts.sampling_frequency:g} Hz")


def _rate(nwb: NwbFile, where: str) -> float:
    """Sampling frequency in Hz: the rate, or the median of the first 1000 steps between timestamps."""
    rate = float("nan")
    if nwb.has(f"{where}/starting_time"):
        rate = float(nwb.attributes(f"{where}/starting_time").get("rate", np.nan))
    elif nwb.has(f"{where}/timestamps"):
        steps = np.diff(nwb.array(f"{where}/timestamps")[:_STEPS_FOR_RATE])
        rate = float(1.0 / np.median(steps)) if len(steps) and np.median(steps) > 0 else rate
    if not np.isfinite(rate) or rate <= 0:
        raise BadDataError(
            f"{nwb.path}: {where} has neither a rate nor usable timestamps. Write one of them."
        )
    return rate


def _positions(
    nwb: NwbFile, table: str, columns: list[str], rows: np.ndarray, groups: np.ndarray, where: str
) -> tuple[np.ndarray | None, str | None]:
    """Where the electrodes are, or why that is not known."""
    if "rel_x" not in columns or "rel_y" not in columns:
        return None, f"{nwb.path}: {where} has no electrode positions (rel_x, rel_y). {_REMEDY}"
    axes = [nwb.values(f"{table}/{name}", rows).astype(float) for name in ("rel_x", "rel_y")]
    positions = np.stack(axes, axis=1)
    if not np.all(np.isfinite(positions)):
        return None, f"{nwb.path}: {where} has electrode positions that are no numbers. {_REMEDY}"
    places = Counter(zip(groups.tolist(), *positions.T.tolist(), strict=True))
    (group, at_x, at_y), count = places.most_common(1)[0]
    if count > 1:
        return None, (
            f"{nwb.path}: {where} has {count} electrodes of group {group!r} at one place ({at_x}, {at_y}). {_REMEDY}"
        )
    return positions, None


def _device(nwb: NwbFile, group: str) -> Device | None:
    """Device of an electrode group; names of groups may hold no path."""
    where = f"{_WHERE_GROUPS_ARE}/{group}"
    path = nwb.link(where, "device") if "/" not in group and nwb.has(where) else None
    if path is None or not nwb.has(path):
        return None
    said = nwb.attributes(path)
    model = nwb.link(path, "model")  # an object of its own since NWB 2.9
    of_model = nwb.attributes(model) if model is not None and nwb.has(model) else {}
    name = said.get("model_name") or of_model.get("model_number") or (model and model.rsplit("/", 1)[-1])
    return Device(
        path.rsplit("/", 1)[-1],
        _text(name or said.get("model_number")),
        _text(said.get("manufacturer") or of_model.get("manufacturer")),
        _text(said.get("serial_number")),
    )


def _text(value: Any) -> str | None:
    return str(value) if value else None


# --- opening ------------------------------------------------------------------------------------------------


def open_series(nwb: NwbFile, series: Series, device: str | None) -> BaseRecording:
    """The channels of a series that are on one device, with their positions, and groups by name.

    Raises
    ------
    BadDataError
        The positions are not known, or samples are missing.
    """
    if series.problem is not None or series.positions is None:
        raise BadDataError(series.problem or f"{series.path} has no positions")
    whole = _zarr_recording(nwb, series) if nwb.is_zarr else _hdf5_recording(nwb, series)
    channels = series.channels_on(device)
    recording = (
        whole if len(channels) == len(series.rows) else whole.select_channels(whole.channel_ids[channels])
    )
    recording.set_probegroup(_geometry(series, channels), check_overlap=False)
    recording.set_channel_groups(series.groups[channels])
    return recording


def _hdf5_recording(nwb: NwbFile, series: Series) -> BaseRecording:
    from spikeinterface.extractors.nwbextractors import NwbRecordingExtractor

    for name in nwb.names(series.table):
        nwb.array(f"{series.table}/{name}")  # SpikeInterface reads them all
    return NwbRecordingExtractor(
        file_path=nwb.path, electrical_series_path=series.path, load_time_vector=True
    )


def _zarr_recording(nwb: NwbFile, series: Series) -> BaseRecording:
    from spikepipe_core.ingest.nwb_zarr import NwbZarrRecording

    for name in ("data", "timestamps"):
        if nwb.has(f"{series.path}/{name}"):
            nwb.array(f"{series.path}/{name}")
            require_chunks(nwb.path, f"{series.path}/{name}", nwb.root)
    said = nwb.attributes(f"{series.path}/data")
    gains = np.full(len(series.rows), float(said.get("conversion", 1.0)))
    if nwb.has(f"{series.path}/channel_conversion"):
        gains = gains * np.asarray(nwb.array(f"{series.path}/channel_conversion")[:])
    columns = _safe_columns(nwb, series)
    offsets = np.full(len(series.rows), float(said.get("offset", 0.0)))
    if not offsets.any() and "offset" in columns:
        offsets = columns["offset"].astype(float)
    ids = columns.get("channel_name")
    if ids is None or len(set(ids.tolist())) < len(ids):
        ids = columns["id"]
    kept = {name: values for name, values in columns.items() if name not in _UNIT_CHANNEL_COLUMNS}
    renamed = {"brain_area" if name == "location" else name: values.tolist() for name, values in kept.items()}
    return NwbZarrRecording(
        folder_path=str(nwb.path),
        series=series.path,
        channel_ids=ids.tolist(),
        sampling_frequency=series.sampling_frequency,
        gains=(gains * 1e6).tolist(),
        offsets=(offsets * 1e6).tolist(),
        properties=renamed,
    )


def _safe_columns(nwb: NwbFile, series: Series) -> dict[str, np.ndarray]:
    """Columns of the electrodes table with one value a row; references, which are pickles, are left out."""
    columns = {}
    for name in nwb.names(series.table):
        try:
            array = nwb.array(f"{series.table}/{name}")
        except BadDataError:
            continue
        if (
            len(array.shape) == 1
            and f"{name}_index" not in nwb.names(series.table)
            and not name.endswith("_index")
        ):
            columns[name] = nwb.values(f"{series.table}/{name}", series.rows)
    return columns


def _geometry(series: Series, channels: np.ndarray) -> ProbeGroup:
    """One probe with a shank for each group; a probe for each group if their positions are relative to each."""
    from probeinterface import ProbeGroup

    assert series.positions is not None
    positions, groups = series.positions[channels], series.groups[channels]
    apart = len(np.unique(positions, axis=0)) < len(positions)
    members = (
        [np.flatnonzero(groups == group) for group in np.unique(groups)]
        if apart
        else [np.arange(len(groups))]
    )
    geometry = ProbeGroup()
    for member in members:
        geometry.add_probe(_probe(positions[member], groups[member], member, series))
    return geometry


def _probe(positions: np.ndarray, groups: np.ndarray, wiring: np.ndarray, series: Series) -> Probe:
    from probeinterface import Probe

    device = series.devices.get(str(groups[0]))
    probe = Probe(ndim=2, si_units="um")
    probe.set_contacts(positions, shapes="circle", shape_params={"radius": 1})
    if len(np.unique(groups)) > 1:
        probe.set_shank_ids(groups)
    if device is not None:
        probe.name, probe.model_name, probe.manufacturer = device.name, device.model, device.manufacturer
        probe.serial_number = device.serial_number
    probe.set_device_channel_indices(wiring)
    return probe
