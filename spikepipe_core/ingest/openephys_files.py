"""Open Ephys binary folders: where recordings lie, and what `structure.oebin` says of their streams.

``<session>/Record Node <id>/experiment<E>/recording<R>/continuous/<stream>/continuous.dat``; before GUI 0.5 there is no
Record Node folder. https://open-ephys.github.io/gui-docs/User-Manual/Data-formats/Binary-format.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.files import read_json_object, walk_files

__all__ = [
    "Channel",
    "RecordingFolder",
    "Stream",
    "find_recordings",
    "read_streams",
    "recording_folder",
    "split_stream_folder",
]

OEBIN, CONTINUOUS, DAT = "structure.oebin", "continuous", "continuous.dat"

_RECORDING = re.compile(r"recording(\d+)")
_EXPERIMENT = re.compile(r"experiment(\d+)")
# Copies often have underscores for the spaces.
_NODE = re.compile(r"Record[ _]Node.*")
_STREAM_FOLDER = re.compile(r"(?P<processor>.+?)-(?P<id>\d+)\.(?P<name>.+)")
_NO_ELECTRODE = re.compile("SYNC|ADC|AUX")
_BANDS = ("-AP", "-LFP")

# Microvolts of a unit. Without a unit Open Ephys means uV for electrodes.
_MICROVOLTS = {"": 1.0, "uV": 1.0, "µV": 1.0, "μV": 1.0, "mV": 1e3, "V": 1e6}


# --- folders ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RecordingFolder:
    """One ``recording<R>`` folder.

    Attributes
    ----------
    node : Path
        The folder of the Record Node; before GUI 0.5 the session's own. `settings.xml` lies here.
    session : Path
    """

    path: Path
    node: Path
    session: Path
    experiment: int
    recording: int

    @property
    def node_name(self) -> str:
        """Name of the Record Node's folder, empty if there is none."""
        return self.node.name if self.node != self.session else ""

    @property
    def settings(self) -> Path:
        """The settings of the experiment; every experiment of a node has its own."""
        return self.node / ("settings.xml" if self.experiment == 1 else f"settings_{self.experiment}.xml")

    @property
    def block(self) -> str:
        """Name of the experiment."""
        return f"experiment{self.experiment}"


def find_recordings(folder: Path) -> tuple[list[RecordingFolder], list[tuple[Path, str]]]:
    """All recordings below a folder, and folders that were passed over with the reason."""
    found: set[Path] = set()
    for path in walk_files(folder):
        if path.name == OEBIN:
            found.add(path.parent)
        elif path.name == DAT and path.parents[1].name == CONTINUOUS:
            found.add(path.parents[2])
    recordings, passed_over = [], []
    for path in sorted(found):
        recording = recording_folder(path)
        if recording is None:
            passed_over.append(
                (
                    path,
                    f"{path.parent.name}/{path.name} is not experiment<number>/recording<number>, as Open Ephys "
                    "names its folders; give it such a name",
                )
            )
        else:
            recordings.append(recording)
    nodes = sorted({one.node for one in recordings if one.node.is_relative_to(folder)})
    passed_over += [empty for node in nodes for empty in _without_recording(node, found)]
    recordings.sort(key=lambda one: (one.session, one.experiment, one.recording, one.node))
    return recordings, passed_over


def _without_recording(node: Path, found: set[Path]) -> list[tuple[Path, str]]:
    """Experiments of a Record Node that was stopped before it wrote anything, or that were not copied whole."""
    reason = "no recording in it has a structure.oebin or a continuous.dat. Copy it again, if one was made"
    experiments = [path for path in sorted(node.iterdir()) if _EXPERIMENT.fullmatch(path.name)]
    return [(path, reason) for path in experiments if not any(path in one.parents for one in found)]


def recording_folder(path: Path) -> RecordingFolder | None:
    """What the names of a recording's folder and of those above it say; None if they are not Open Ephys'."""
    recording, experiment = _RECORDING.fullmatch(path.name), _EXPERIMENT.fullmatch(path.parent.name)
    if recording is None or experiment is None:
        return None
    node = path.parents[1]
    return RecordingFolder(
        path=path,
        node=node,
        session=node.parent if _NODE.fullmatch(node.name) else node,
        experiment=int(experiment.group(1)),
        recording=int(recording.group(1)),
    )


# --- structure.oebin ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Channel:
    """One channel of a stream.

    Attributes
    ----------
    microvolts_per_bit : float
    electrode_index : int or None
        The electrode that was connected to it, where the plugin wrote that down (Neuropix-PXI from 0.6.6).
    """

    name: str
    unit: str
    microvolts_per_bit: float
    electrode_index: int | None

    @property
    def is_electrode(self) -> bool:
        """Whether it is one, rather than the sync line or an input that shares the stream."""
        return _NO_ELECTRODE.search(self.name) is None

    @property
    def number(self) -> int | None:
        """The number that its name ends in."""
        digits = self.name[len(self.name.rstrip("0123456789")) :]
        return int(digits) if digits else None


@dataclass(frozen=True)
class Stream:
    """One continuous stream of one recording.

    Attributes
    ----------
    folder_name : str
        ``<processor>-<id>.<name>``
    name : str
        The stream's own name, such as ``ProbeA-AP``; before GUI 0.6 streams had only numbers, and this is the
        name of the folder.
    sampling_frequency : float
        Hz.
    history : tuple of str
        The processors that the signal went through, from its source to the Record Node.
    node_id : int or None
        Id of the Record Node.
    """

    recording: RecordingFolder
    folder_name: str
    name: str
    processor: str
    processor_id: int | None
    sampling_frequency: float
    channels: tuple[Channel, ...]
    history: tuple[str, ...] = ()
    node_id: int | None = None

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.recording.path / CONTINUOUS / self.folder_name

    @property
    def full_name(self) -> str:
        """Neo's name of the stream, with the Record Node's."""
        node = self.recording.node_name
        return f"{node}#{self.folder_name}" if node else self.folder_name

    @property
    def base_name(self) -> str:
        """The name without its band: that of the probe."""
        band = next((band for band in _BANDS if self.name.endswith(band)), "")
        return self.name.removesuffix(band)

    @property
    def band(self) -> str:
        """``AP``, ``LFP``, or empty if the name says neither."""
        return self.name.removeprefix(self.base_name).removeprefix("-")

    @property
    def number(self) -> int | None:
        """Before GUI 0.6, when streams had no names: the number of the stream among those of its processor."""
        own = self.folder_name.rsplit(".", 1)[-1]
        return int(own) if self.name == self.folder_name and own.isdigit() else None

    @cached_property
    def electrodes(self) -> tuple[int, ...]:
        """Indices of the channels that are electrodes."""
        return tuple(index for index, channel in enumerate(self.channels) if channel.is_electrode)


def split_stream_folder(name: str) -> tuple[str, int | None, str]:
    """Processor, its id, and the stream's own name, from the name of a stream's folder.

    Examples
    --------
    >>> split_stream_folder("Neuropix-PXI-100.ProbeA-AP")
    ('Neuropix-PXI', 100, 'ProbeA-AP')
    """
    found = _STREAM_FOLDER.fullmatch(name)
    if found is None:
        return "", None, name
    own = found["name"]
    return found["processor"], int(found["id"]), name if own.isdigit() else own


def read_streams(recording: RecordingFolder, root: Path) -> list[Stream]:
    """All continuous streams that `structure.oebin` of a recording lists.

    Raises
    ------
    BadDataError
        The file is missing, no JSON, or lacks what it must say.
    """
    path = recording.path / OEBIN
    content = read_json_object(path, root)
    try:
        return [_stream(recording, entry) for entry in content["continuous"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, BadDataError):
            raise
        raise BadDataError(
            f"{path} is not as Open Ephys writes it ({type(error).__name__}: {error}). Copy it again from the "
            "acquisition."
        ) from error


def _stream(recording: RecordingFolder, entry: dict[str, Any]) -> Stream:
    folder_name = str(entry["folder_name"]).rstrip("/")
    if not folder_name or folder_name in (".", "..") or re.search(r"[/\\]", folder_name):
        raise BadDataError(
            f"{recording.path / OEBIN} names {entry['folder_name']!r} as the folder of a stream, which is not the "
            "name of one. Copy it again from the acquisition."
        )
    processor, processor_id, own_name = split_stream_folder(folder_name)
    rate = float(entry["sample_rate"])
    if not (np.isfinite(rate) and rate > 0):
        raise BadDataError(
            f"{recording.path / OEBIN}: sample_rate={entry['sample_rate']} of {folder_name} is no rate in Hz."
        )
    channels = entry["channels"]
    return Stream(
        recording=recording,
        folder_name=folder_name,
        name=str(entry.get("stream_name") or own_name),
        processor=str(entry.get("source_processor_name") or processor),
        processor_id=int(entry.get("source_processor_id", processor_id or 0)) or processor_id,
        sampling_frequency=rate,
        channels=tuple(_channel(channel) for channel in channels),
        history=tuple(str(channels[0].get("history", "")).split(" -> ")) if channels else (),
        node_id=int(entry["recorded_processor_id"]) if "recorded_processor_id" in entry else None,
    )


def _channel(entry: dict[str, Any]) -> Channel:
    unit = str(entry.get("units", ""))
    index = next(
        (
            int(fact["value"][0])
            for fact in entry.get("channel_metadata", ())
            if fact.get("identifier") == "neuropixels.electrode_index"
        ),
        None,
    )
    return Channel(
        name=str(entry["channel_name"]),
        unit=unit,
        microvolts_per_bit=float(entry["bit_volts"]) * _MICROVOLTS.get(unit, np.nan),
        electrode_index=index,
    )
