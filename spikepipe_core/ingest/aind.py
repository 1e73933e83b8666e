"""Sessions as the Allen Institute for Neural Dynamics stores them: Open Ephys, compressed to Zarr.

``<session>/ecephys/ecephys_compressed/<experiment>_<stream>.zarr`` holds the traces of every stream, with times, gains
and geometry as SpikeInterface wrote them; ``<session>/ecephys/ecephys_clipped/`` is the Open Ephys folder with traces
of a few samples, from which the numbers of the recordings are known, and the geometry where the Zarr has none. Both
may also lie in the session folder itself (older sessions). Sessions that are not compressed are Open Ephys folders, and
read as such. JSON beside them says who was recorded when (`spikepipe_core.nwb.metadata`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.aind_stores import (
    CLIPPED,
    COMPRESSED,
    CompressedSession,
    StoredStream,
    num_segments,
    read_session,
    sampling_frequency,
    session_folder,
    store_geometry,
    store_shape,
    stored_stream,
)
from spikepipe_core.ingest.base import Found
from spikepipe_core.ingest.clock import StreamClock, clock_of_times
from spikepipe_core.ingest.files import inside, read_small, relative, walk_files
from spikepipe_core.ingest.jobs import FoundSegment, FoundStream, IgnoredStream, RecordingJob
from spikepipe_core.ingest.neuropixels import annotate, shank_groups
from spikepipe_core.ingest.openephys import (
    OpenEphysReader,
    found_stream,
    ignored_stream,
    probe_files,
    probe_names,
)
from spikepipe_core.ingest.openephys_files import OEBIN, RecordingFolder, recording_folder
from spikepipe_core.ingest.openephys_probe_files import file_geometry, filling_gaps
from spikepipe_core.ingest.openephys_signals import Signal, choose_nodes, describe_streams
from spikepipe_core.ingest.probes import ProbeFile
from spikepipe_core.ingest.zarr_stores import check_codecs, refuse_links, require_chunks

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording

    from spikepipe_core.params import JobDispatchParams

__all__ = ["AindReader"]

# Key of a job's source with the probe file of each band.
_PROBE_OF = {"zarr": "probe", "lfp": "lfp_probe"}
_METADATA = ("data_description.json", "session.json", "acquisition.json", "subject.json")


class AindReader:
    """Reader of AIND session folders, their parents, and the `ecephys` folders inside them."""

    name = "aind"

    def detect(self, folder: Path) -> str | None:
        """Recognise the folder by compressed streams, or by an Open Ephys recording with JSON of aind-data-schema."""
        files = list(walk_files(folder))
        stores = [path for path in files if _is_store(path)]
        recordings = [p.parent for p in files if p.name == OEBIN and recording_folder(p.parent) is not None]
        clipped = [path for path in recordings if any(parent.name == CLIPPED for parent in path.parents)]
        if stores or clipped:
            return f"compressed stream {stores[0].name}" if stores else f"Open Ephys folder in {CLIPPED}"
        for path in (path for path in files if recordings and path.name in _METADATA and _is_aind(path)):
            if any(path.parent in recording.parents for recording in recordings):
                return f"{path.name} of aind-data-schema, with Open Ephys recordings"
        return None

    def find(self, folder: Path, root: Path, params: JobDispatchParams) -> Found:
        """Find every probe of every compressed session, and of those that are not compressed."""
        streams: list[FoundStream] = []
        ignored: list[IgnoredStream] = []
        by_folder: dict[Path, list[Path]] = defaultdict(list)
        for path in walk_files(folder):
            if _is_store(path):
                by_folder[path.parent].append(path)
        sessions = [read_session(compressed, root) for compressed in by_folder]
        for session in sessions:
            found = _find_compressed(session, by_folder[session.compressed], params, root)
            streams += found.streams
            ignored += found.ignored
        raw = OpenEphysReader().find(folder, root, params, leave_out={one.clipped for one in sessions})
        streams += [_uncompressed(stream) for stream in raw.streams]
        return Found(tuple(streams), (*ignored, *raw.ignored))

    def recording(self, job: RecordingJob, root: Path) -> BaseRecording:
        """Open the AP or wide-band stream of a job."""
        if "zarr" not in job.source[0]:
            return OpenEphysReader().recording(job, root)
        return _open(job.source, "zarr", root)

    def lfp(self, job: RecordingJob, root: Path) -> BaseRecording | None:
        """Open the LFP stream of a job; None if the probe wrote none."""
        if "zarr" not in job.source[0]:
            return OpenEphysReader().lfp(job, root)
        if "lfp" not in job.source[0]:
            return None
        lfp = _open(job.source, "lfp", root)
        _number_shanks(lfp, shank_groups(_open(job.source, "zarr", root).get_probe()))
        return lfp

    def clocks(self, job: RecordingJob, segment: int, root: Path) -> dict[str, StreamClock]:
        """Times that Open Ephys synchronized, of the job's stream."""
        if "zarr" not in job.source[0]:
            return OpenEphysReader().clocks(job, segment, root)
        clock = clock_of_times(_open(job.source, "zarr", root), segment, "times in the Zarr")
        return {} if clock is None else {job.stream: clock}


def _is_store(path: Path) -> bool:
    return path.suffix == ".zarr" and path.parent.name == COMPRESSED


def _is_aind(path: Path) -> bool:
    try:
        text = read_small(path)
    except BadDataError:
        return False
    return '"describedBy"' in text and "aind" in text


def _uncompressed(stream: FoundStream) -> FoundStream:
    """The stream in its session's folder; with a problem if all there is of it are the clipped traces."""
    folder = session_folder(stream.folder)
    clipped = next((path for path in (stream.folder, *stream.folder.parents) if path.name == CLIPPED), None)
    if clipped is None:
        return replace(stream, folder=folder)
    problem = (
        f"{clipped} holds only the first samples of each recording, and {COMPRESSED} with the whole of them is not "
        "beside it. Copy it again."
    )
    segments = tuple(replace(segment, problem=problem) for segment in stream.segments)
    return replace(stream, folder=folder, segments=segments)


# --- from stores to streams ---------------------------------------------------------------------------------


def _find_compressed(
    session: CompressedSession, stores: list[Path], params: JobDispatchParams, root: Path
) -> Found:
    by_experiment: dict[int, list[StoredStream]] = defaultdict(list)
    streams: list[FoundStream] = []
    ignored: list[IgnoredStream] = []
    for store in stores:
        stream = stored_stream(session, store, root)
        name = relative(store, root)
        if stream is None:
            reason = "its name is not experiment<number>_<stream>.zarr, as AIND names its streams"
            ignored.append(IgnoredStream(stream=name, reason=reason))
        elif stream.folder_name.endswith("SYNC"):
            ignored.append(IgnoredStream(stream=name, reason="the sync line of a probe", kind="sync"))
        else:
            by_experiment[stream.recording.experiment].append(stream)
    for members in by_experiment.values():
        geometry_of = filling_gaps(lambda stream: store_geometry(stream, root), params, root)
        signals, asides = describe_streams(members, geometry_of)
        chosen, doubles = choose_nodes(signals)
        names = probe_names(chosen)
        streams += [found_stream([one], names, _segments(one, session, root)) for one in chosen]
        ignored += [ignored_stream(aside, root) for aside in asides + doubles]
    return Found(tuple(streams), tuple(ignored))


def _segments(signal: Signal, session: CompressedSession, root: Path) -> tuple[FoundSegment, ...]:
    """One segment for each recording in the store, under the number that Open Ephys gave it."""
    store, own = signal.stream.folder, session.recordings_of(signal.stream)
    problem = _damage(signal) or signal.problem
    lfp_problem = None if signal.lfp is None else _damage(signal.lfp)
    source: dict[str, Any] = {"zarr": relative(store, root)}
    durations: list[float | None] = [None]
    try:
        rate = sampling_frequency(store, root)
        durations = [store_shape(store, i, root)[0] / rate for i in range(num_segments(store, root))]
        source |= probe_files(replace(signal, lfp=None), root)
    except BadDataError as error:
        problem = problem or str(error)
    fits = len(own) == len(durations)
    numbers = [one.recording for one in own] if fits else range(1, len(durations) + 1)
    files = [store, *_beside(own)]
    if signal.lfp is not None and lfp_problem is None:
        try:
            source |= {**probe_files(signal, root), "lfp": relative(signal.lfp.stream.folder, root)}
            files.append(signal.lfp.stream.folder)
        except BadDataError as error:  # it costs the LFP, not the spikes
            lfp_problem = str(error)
    return tuple(
        FoundSegment(
            number=number,
            source={**source, "segment": index},
            files=tuple(relative(path, root) for path in files),
            duration=durations[index],
            problem=problem,
            lfp_problem=lfp_problem,
        )
        for index, number in enumerate(numbers)
    )


def _damage(signal: Signal) -> str | None:
    """What is wrong with the store of a stream."""
    return signal.stream.problem if isinstance(signal.stream, StoredStream) else None


def _beside(recordings: list[RecordingFolder]) -> Iterator[Path]:
    """What the Open Ephys folder says about a stream: geometry, and when the recordings began."""
    paths = [recording.settings for recording in recordings[:1]]
    paths += [recording.path / name for recording in recordings for name in (OEBIN, "sync_messages.txt")]
    yield from (path for path in paths if path.is_file())


# --- from stores to recordings ------------------------------------------------------------------------------


def _open(source: Iterable[dict[str, Any]], band: str, root: Path) -> BaseRecording:
    """Open one band of some recordings of an experiment as one recording."""
    from spikeinterface.core.zarrextractors import ZarrRecordingExtractor

    segments = list(source)
    store = inside(root / str(segments[0][band]), root)
    check_codecs(store, root)
    refuse_links(store)
    for segment in segments:
        require_chunks(store, f"traces_seg{int(segment['segment'])}", root)
    try:
        recording = ZarrRecordingExtractor(store)
    except Exception as error:  # zarr and SpikeInterface fail in many ways on a damaged store
        raise BadDataError(
            f"{store} cannot be read ({type(error).__name__}: {error}). Copy it again."
        ) from error
    if not recording.has_scaleable_traces():
        raise BadDataError(f"{store} does not say how many microvolts a step is. Compress the session again.")
    indices = [int(segment["segment"]) for segment in segments]
    if max(indices) >= recording.get_num_segments():
        raise BadDataError(
            f"{store} has only {recording.get_num_segments()} segments now. Run discovery again."
        )
    if not recording.has_probe():
        recording = _with_geometry(recording, store, segments[0].get(_PROBE_OF[band]), root)
    _number_shanks(recording, shank_groups(recording.get_probe()))
    if recording.get_property("inter_sample_shift") is None:
        annotate(recording, recording.get_probe(), store.stem)
    everything = list(range(recording.get_num_segments()))
    return recording if indices == everything else recording.select_segments(indices)


def _with_geometry(
    recording: BaseRecording, store: Path, file: dict[str, Any] | None, root: Path
) -> BaseRecording:
    """The channels that the Open Ephys folder, or else the probe file of the params, has electrodes for."""
    stream = stored_stream(read_session(store.parent, root), store, root)
    if stream is None or len(stream.electrodes) != recording.get_num_channels():
        raise BadDataError(
            f"{store} has {recording.get_num_channels()} channels, and {OEBIN} of its Open Ephys folder another number "
            "of electrodes. Compress the session again."
        )
    probe = None if file is None else ProbeFile(**file)
    geometry = store_geometry(stream, root) if probe is None else file_geometry(stream, probe, root)
    places = [stream.electrodes.index(channel) for channel in geometry.channels]
    chosen = recording.select_channels(recording.channel_ids[places])
    chosen.set_probe(geometry.probe)
    return chosen


def _number_shanks(recording: BaseRecording, groups: dict[str, int]) -> None:
    shanks = recording.get_probe().shank_ids
    one = [0] * recording.get_num_channels()
    numbers = one if shanks is None else [groups.get(str(shank), -1) for shank in shanks]
    recording.set_property("group", np.array(numbers))
