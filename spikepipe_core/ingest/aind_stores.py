"""What lies in an AIND session's compressed stores: streams of Open Ephys, with all recordings of an experiment."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spikepipe_core.errors import BadDataError, NotAvailableError
from spikepipe_core.ingest.files import inside
from spikepipe_core.ingest.openephys_files import (
    Channel,
    RecordingFolder,
    Stream,
    find_recordings,
    read_streams,
    recording_folder,
    split_stream_folder,
)
from spikepipe_core.ingest.openephys_geometry import REMEDY, StreamGeometry, stream_geometry
from spikepipe_core.ingest.zarr_stores import array_metadata, check_codecs, store_attributes

if TYPE_CHECKING:
    from probeinterface import Probe

__all__ = [
    "CLIPPED",
    "COMPRESSED",
    "STORE",
    "CompressedSession",
    "StoredStream",
    "num_segments",
    "read_session",
    "sampling_frequency",
    "session_folder",
    "store_geometry",
    "store_shape",
    "stored_stream",
]

COMPRESSED, CLIPPED, MODALITY = "ecephys_compressed", "ecephys_clipped", "ecephys"
STORE = re.compile(r"experiment(?P<experiment>\d+)_(?:(?P<node>Record[ _]Node[^#]*)#)?(?P<stream>.+)\.zarr")


def session_folder(folder: Path) -> Path:
    """The session folder that an ``ecephys`` folder lies in."""
    while folder.name in (MODALITY, CLIPPED) and folder.parent != folder:
        folder = folder.parent
    return folder


@dataclass(frozen=True)
class CompressedSession:
    """Where the parts of a compressed session lie.

    Attributes
    ----------
    compressed : Path
        Folder of the stores.
    recordings : dict
        Recordings in the clipped Open Ephys folder, in order, by number of the experiment and name of the Record Node.
    """

    compressed: Path
    recordings: dict[tuple[int, str], list[RecordingFolder]] = field(default_factory=dict)

    @property
    def clipped(self) -> Path:
        """The Open Ephys folder, with traces of a few samples."""
        return self.compressed.with_name(CLIPPED)

    @property
    def folder(self) -> Path:
        """The session's folder."""
        return session_folder(self.compressed.parent)

    def recordings_of(self, stream: Stream) -> list[RecordingFolder]:
        """The recordings that a stored stream was made from."""
        return self.recordings.get((stream.recording.experiment, stream.recording.node_name), [])


def read_session(compressed: Path, root: Path) -> CompressedSession:
    """Look into the clipped Open Ephys folder beside the stores; it may be missing."""
    clipped = compressed.with_name(CLIPPED)
    found: dict[tuple[int, str], list[RecordingFolder]] = defaultdict(list)
    for recording in find_recordings(inside(clipped, root))[0] if clipped.is_dir() else []:
        found[(recording.experiment, recording.node_name)].append(recording)
    return CompressedSession(compressed, dict(found))


@dataclass(frozen=True)
class StoredStream(Stream):
    """A stream of one experiment, all its recordings in one Zarr store.

    Attributes
    ----------
    problem : str or None
        What is wrong with the store.
    """

    store: Path = field(default_factory=Path)
    problem: str | None = None

    @property
    def folder(self) -> Path:
        """The store."""
        return self.store


def stored_stream(session: CompressedSession, store: Path, root: Path) -> StoredStream | None:
    """What a store, and the Open Ephys folder it was made from, say of a stream; None if its name is none of AIND's."""
    parts = STORE.fullmatch(store.name)
    if parts is None:
        return None
    rate, channels, problem = _signal(store, root)
    experiment, node = int(parts["experiment"]), parts["node"] or ""
    own = session.recordings.get((experiment, node), [])
    recording = RecordingFolder(
        path=own[0].path if own else store,
        node=session.clipped / node if node else session.folder,
        session=session.folder,
        experiment=experiment,
        recording=own[0].recording if own else 1,
    )
    described = _described(own, parts["stream"], root)
    if described is None:
        processor, processor_id, name = split_stream_folder(parts["stream"])
        plain = tuple(Channel(f"CH{number}", "uV", 1.0, None) for number in range(channels))
        described = Stream(recording, parts["stream"], name, processor, processor_id, rate, plain)
    known = _values(described) | {
        "recording": recording,
        "sampling_frequency": rate or described.sampling_frequency,
    }
    return StoredStream(**known, store=store, problem=problem)


def _signal(store: Path, root: Path) -> tuple[float, int, str | None]:
    """Rate and channels; what is wrong is said, not raised."""
    try:
        check_codecs(store, root)
        return sampling_frequency(store, root), store_shape(store, 0, root)[1], None
    except (BadDataError, NotAvailableError) as error:
        return 0.0, 1, str(error)


def _described(recordings: list[RecordingFolder], folder_name: str, root: Path) -> Stream | None:
    """What `structure.oebin` of the first recording says of the stream."""
    try:
        streams = read_streams(recordings[0], root) if recordings else []
    except BadDataError:
        return None
    return next((stream for stream in streams if stream.folder_name == folder_name), None)


def _values(stream: Stream) -> dict:
    return {one.name: getattr(stream, one.name) for one in fields(Stream)}


# --- what a store says --------------------------------------------------------------------------------------


def sampling_frequency(store: Path, root: Path) -> float:
    """Hz; raises `BadDataError` if the store does not say it."""
    value = store_attributes(store, root).get("sampling_frequency")
    if not isinstance(value, int | float) or not np.isfinite(value) or value <= 0:
        raise BadDataError(
            f"{store} gives {value!r} as its sampling frequency, so SpikeInterface did not write it. Copy it again."
        )
    return float(value)


def num_segments(store: Path, root: Path) -> int:
    """Recordings in the store; raises `BadDataError` if it does not say how many."""
    value = store_attributes(store, root).get("num_segments")
    if not isinstance(value, int) or not 0 < value < 10_000:
        raise BadDataError(f"{store} gives {value!r} as its number of segments. Copy it again.")
    return value


def store_shape(store: Path, segment: int, root: Path) -> tuple[int, int]:
    """Samples and channels of a segment; raises `BadDataError` if the store has none."""
    shape = (array_metadata(store, f"traces_seg{segment}", root) or {}).get("shape")
    if not isinstance(shape, list) or len(shape) != 2 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise BadDataError(f"{store} has no traces of segment {segment} (shape {shape}). Copy it again.")
    return shape[0], shape[1]


def store_geometry(stream: Stream, root: Path) -> StreamGeometry:
    """Electrodes as the store has them, else as the settings of the Open Ephys folder do.

    Raises
    ------
    BadDataError
        The store is damaged, or neither has them.
    """
    if isinstance(stream, StoredStream) and stream.problem:
        raise BadDataError(stream.problem)
    probe = _probe(stream.folder, root)
    if probe is None:
        original = recording_folder(stream.recording.path)
        if original is None:
            raise BadDataError(
                f"{stream.folder} has no probe geometry, and no Open Ephys folder is beside it. {REMEDY}"
            )
        return stream_geometry(Stream(**_values(stream) | {"recording": original}), root)
    channels = store_shape(stream.folder, 0, root)[1]
    if probe.get_contact_count() != channels:
        raise BadDataError(
            f"{stream.folder} has {channels} channels, but geometry of {probe.get_contact_count()} electrodes. "
            f"{REMEDY}"
        )
    return StreamGeometry(probe, tuple(range(channels)))


def _probe(store: Path, root: Path) -> Probe | None:
    from probeinterface import ProbeGroup

    attributes = store_attributes(store, root)
    content = attributes.get("probegroup") or attributes.get("probe")
    if not content:
        return None
    try:
        probes = ProbeGroup.from_dict(content).probes
    except Exception as error:  # fails in many ways on what it does not know
        raise BadDataError(
            f"{store}: its probe geometry cannot be read ({type(error).__name__}: {error}). {REMEDY}"
        ) from error
    if len(probes) != 1:
        raise BadDataError(f"{store} has the geometry of {len(probes)} probes, not of one. {REMEDY}")
    return probes[0]
