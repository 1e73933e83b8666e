"""Open Ephys: session folders in the binary format, with one probe or board a stream.

Experiments are blocks, recordings are segments, under their own numbers. Every stream is opened by itself, with the
geometry that `settings.xml` of its experiment gives its probe, so that a broken file of one probe does not keep the
others from loading. Traces, channel ids, gains and geometry are those of `spikeinterface.extractors.read_openephys`;
times are the ones that Open Ephys synchronized between streams, where it wrote them.

Where several Record Nodes wrote the same probe, the one that the signal reached through the fewest processors is taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.base import Found
from spikepipe_core.ingest.clock import Pulses, StreamClock, clock_of_times, period_of
from spikepipe_core.ingest.files import inside, relative, walk_files
from spikepipe_core.ingest.jobs import FoundSegment, FoundStream, IgnoredStream, RecordingJob
from spikepipe_core.ingest.neuropixels import annotate, channel_groups, shank_groups
from spikepipe_core.ingest.openephys_events import TTLLine, event_times
from spikepipe_core.ingest.openephys_files import (
    DAT,
    OEBIN,
    Stream,
    find_recordings,
    read_streams,
    recording_folder,
)
from spikepipe_core.ingest.openephys_geometry import StreamGeometry, stream_geometry
from spikepipe_core.ingest.openephys_layout import Layout, read_layout
from spikepipe_core.ingest.openephys_probe_files import file_geometry, filling_gaps
from spikepipe_core.ingest.openephys_signals import Aside, Signal, find_signals
from spikepipe_core.ingest.probes import ProbeFile
from spikepipe_core.ingest.shape import probe_model

if TYPE_CHECKING:
    from probeinterface import Probe
    from spikeinterface.core import BaseRecording

    from spikepipe_core.params import JobDispatchParams

__all__ = ["OpenEphysReader", "found_stream", "ignored_stream", "probe_files", "probe_names"]

_SYNC_MESSAGES = "sync_messages.txt"
# Key of a job's source with the probe file of each band.
_PROBE_OF = {"stream": "probe", "lfp": "lfp_probe"}


class OpenEphysReader:
    """Reader of Open Ephys session folders, their parents, Record Nodes, experiments and recordings."""

    name = "openephys"

    def detect(self, folder: Path) -> str | None:
        """Recognise the folder by a file `structure.oebin`, or where `continuous.dat` files lie."""
        for path in walk_files(folder):
            is_traces = path.name == DAT and recording_folder(path.parents[2]) is not None
            if path.name == OEBIN or is_traces:
                return f"Open Ephys file {path.relative_to(folder).as_posix()}"
        return None

    def find(
        self, folder: Path, root: Path, params: JobDispatchParams, leave_out: Collection[Path] = ()
    ) -> Found:
        """Find every probe of every recording, with its LFP companion, except in the folders to leave out."""
        recordings, passed_over = find_recordings(folder)
        within = next((one.path for one in recordings if one.path in folder.parents), None)
        if within is not None:
            raise BadDataError(
                f"{folder} is a part of a recording. Give the recording itself, {within}, or its session."
            )
        recordings = [one for one in recordings if not set(leave_out) & set(one.path.parents)]
        geometry_of = filling_gaps(lambda stream: stream_geometry(stream, root), params, root)
        signals, asides = find_signals(recordings, geometry_of, root)
        ignored = [IgnoredStream(stream=relative(path, root), reason=reason) for path, reason in passed_over]
        ignored += [ignored_stream(aside, root) for aside in asides]
        return Found(tuple(_streams(signals, root)), tuple(ignored))

    def recording(self, job: RecordingJob, root: Path) -> BaseRecording:
        """Open the AP or wide-band stream of a job."""
        return _open(job.source, "stream", root)

    def lfp(self, job: RecordingJob, root: Path) -> BaseRecording | None:
        """Open the LFP stream of a job; None if the probe wrote none."""
        with_lfp = [segment for segment in job.source if "lfp" in segment]
        if not with_lfp:
            return None
        if len(with_lfp) < len(job.source):
            raise BadDataError(
                f"The LFP band of {job.stream} is missing for some of its recordings. Copy the missing files, or "
                "process the recordings one by one (job_dispatch.split_segments)."
            )
        lfp = _open(with_lfp, "lfp", root)
        source: Mapping[str, Any] = job.source[0]
        stream = _stream_at(str(source["stream"]), root)
        _group_as(lfp, _geometry(stream, source.get(_PROBE_OF["stream"]), root).probe)
        return lfp

    def clocks(self, job: RecordingJob, segment: int, root: Path) -> dict[str, StreamClock]:
        """Times that Open Ephys synchronized and pulses on TTL lines, of the stream and of the boards beside it."""
        own = _stream_at(str(job.source[segment]["stream"]), root)
        folders = dict.fromkeys((root / name).parent for name in job.board_files)
        beside = [folder for folder in folders if own.recording.path in folder.parents]
        streams = (own, *(_stream_at(relative(folder, root), root) for folder in beside))
        lines = event_times(job, root, segment)
        return {stream.full_name: _clock(stream, lines, root) for stream in streams}


def _clock(stream: Stream, lines: list[TTLLine], root: Path) -> StreamClock:
    layout = read_layout(stream, root)
    whole = _whole([stream], [layout])
    rate = stream.sampling_frequency
    first = layout.first_sample
    clock = clock_of_times(whole, 0, "timestamps.npy") or StreamClock(rate, first / rate)
    for line in lines:
        pulses = (line.rising_samples - first) / rate
        period = period_of(pulses) if line.stream == stream.folder_name else None
        if period is not None:
            return replace(clock, pulses=Pulses(f"TTL line {line.line}", pulses, period))
    return clock


# --- from signals to streams --------------------------------------------------------------------------------


def ignored_stream(aside: Aside, root: Path) -> IgnoredStream:
    """What is said of a stream that is not processed."""
    session = aside.recording.session
    return IgnoredStream(
        stream=relative(aside.folder, root) + aside.suffix,
        reason=aside.reason,
        kind=aside.kind,
        folder=relative(session, root) if session.is_relative_to(root) else None,
    )


def _streams(signals: list[Signal], root: Path) -> list[FoundStream]:
    grouped: dict[tuple, list[Signal]] = defaultdict(list)
    for signal in signals:
        recording = signal.stream.recording
        grouped[(recording.session, recording.experiment, signal.stream.full_name)].append(signal)
    names = probe_names(signals)
    return [
        found_stream(members, names, tuple(_segment(signal, root) for signal in members))
        for members in grouped.values()
    ]


def probe_names(signals: list[Signal]) -> dict[Stream, str]:
    """The stream's own name; with its processor where two in an experiment have probes of the same name."""
    processors: dict[tuple[Path, int, str], set[int | None]] = defaultdict(set)
    for stream in (signal.stream for signal in signals):
        processors[_place(stream)].add(stream.processor_id)
    return {
        stream: stream.base_name
        if len(processors[_place(stream)]) == 1
        else f"{stream.processor}-{stream.processor_id}.{stream.base_name}"
        for stream in (signal.stream for signal in signals)
    }


def _place(stream: Stream) -> tuple[Path, int, str]:
    return stream.recording.session, stream.recording.experiment, stream.base_name


def found_stream(
    signals: list[Signal], names: dict[Stream, str], segments: tuple[FoundSegment, ...]
) -> FoundStream:
    """One probe in one experiment, its recordings as segments."""
    best = next((signal for signal in signals if signal.geometry is not None), signals[0])
    stream, geometry = best.stream, best.geometry
    lfp = next((signal.lfp for signal in signals if signal.lfp is not None), None)
    missing = "no LFP stream was recorded, though there is one in other recordings of the probe"
    return FoundStream(
        folder=stream.recording.session,
        block=stream.recording.block,
        stream=stream.full_name,
        probe=names[stream],
        segments=tuple(
            segment
            if lfp is None or segment.lfp_problem or "lfp" in segment.source
            else replace(segment, lfp_problem=missing)
            for segment in segments
        ),
        groups={} if geometry is None else channel_groups(geometry.probe),
        lfp_stream=None if lfp is None else lfp.stream.full_name,
        sampling_frequency=stream.sampling_frequency or None,
        kind=best.found.kind,
        kind_reason=best.found.reason,
        probe_model=None if geometry is None else probe_model(geometry.probe),
    )


def _segment(signal: Signal, root: Path) -> FoundSegment:
    """Check the files of one recording of a probe; what is wrong with them is said, not raised."""
    stream, problem, lfp_problem, duration = signal.stream, signal.problem, None, None
    source: dict[str, Any] = {"stream": relative(stream.folder, root)}
    files = [stream.recording.path / OEBIN, stream.recording.settings, stream.recording.path / _SYNC_MESSAGES]
    try:
        _require_gains(stream)
        layout = read_layout(stream, root)
        duration = layout.num_samples / stream.sampling_frequency
        files += layout.files
        source |= probe_files(replace(signal, lfp=None), root)
    except (BadDataError, ZeroDivisionError) as error:
        problem = problem or str(error)
    if signal.lfp is not None:
        try:
            of_lfp = probe_files(signal, root)
            files += read_layout(signal.lfp.stream, root).files
            source |= {**of_lfp, "lfp": relative(signal.lfp.stream.folder, root)}
        except BadDataError as error:  # it costs the LFP, not the spikes
            lfp_problem = str(error)
    return FoundSegment(
        number=stream.recording.recording,
        source=source,
        files=_present(files, root),
        duration=duration,
        problem=problem,
        lfp_problem=lfp_problem,
        board_files=_present([path for board in signal.boards for path in _files(board, root)], root),
    )


def probe_files(signal: Signal, root: Path) -> dict[str, Any]:
    """Probe files that the signal's geometry and that of its LFP band come from, for a job's source.

    Raises
    ------
    BadDataError
        The geometry of the LFP band is not known.
    """
    own = None if signal.geometry is None else signal.geometry.file
    files = {_PROBE_OF["stream"]: own}
    if signal.lfp is not None and signal.lfp.geometry is not None:
        files[_PROBE_OF["lfp"]] = signal.lfp.geometry.file
    elif signal.lfp is not None and own is not None:
        file_geometry(signal.lfp.stream, own, root)
        files[_PROBE_OF["lfp"]] = own
    elif signal.lfp is not None and signal.problem is None:
        raise BadDataError(str(signal.lfp.problem))
    return {key: asdict(file) for key, file in files.items() if file is not None}


def _require_gains(stream: Stream) -> None:
    """Make sure that it is known how many microvolts a step of each electrode is."""
    for channel in (stream.channels[index] for index in stream.electrodes):
        if not np.isfinite(channel.microvolts_per_bit) or channel.microvolts_per_bit == 0:
            raise BadDataError(
                f"{stream.recording.path / OEBIN}: bit_volts and units={channel.unit!r} of {channel.name} in "
                f"{stream.folder_name} do not say how many microvolts a step is. Correct them."
            )


def _present(files: Iterable[Path], root: Path) -> tuple[str, ...]:
    return tuple(relative(path, root) for path in files if path.is_file())


def _files(board: Stream, root: Path) -> tuple[Path, ...]:
    """Files of a board whose clock can be compared; none if they are damaged."""
    try:
        return read_layout(board, root).files
    except BadDataError:
        return ()


# --- from streams to recordings -----------------------------------------------------------------------------


def _stream_at(folder: str, root: Path) -> Stream:
    """The stream whose files lie in a folder that discovery found."""
    path = inside(root / folder, root)
    recording = recording_folder(path.parents[1])
    streams = [] if recording is None else read_streams(recording, root)
    found = [stream for stream in streams if stream.folder == path]
    if len(found) != 1:
        raise BadDataError(
            f"{path.parents[1] / OEBIN} no longer lists the stream {path.name}. Run discovery again."
        )
    return found[0]


def _open(source: Sequence[Mapping[str, Any]], band: str, root: Path) -> BaseRecording:
    """Open one band of all recordings of a job as one recording."""
    streams = [_stream_at(str(segment[band]), root) for segment in source]
    _refuse_different(streams)
    geometry = _geometry(streams[0], source[0].get(_PROBE_OF[band]), root)
    whole = _whole(streams, [read_layout(stream, root) for stream in streams])
    recording = whole.select_channels(whole.channel_ids[list(geometry.channels)])
    mode = "auto" if geometry.probe.shank_ids is None else "by_shank"
    recording.set_probe(geometry.probe, group_mode=mode)
    annotate(recording, geometry.probe, streams[0].folder_name)
    return recording


def _whole(streams: list[Stream], layouts: list[Layout]) -> BaseRecording:
    """All channels of a stream, without geometry."""
    from spikepipe_core.ingest.openephys_recording import TimedBinaryRecording

    stream = streams[0]
    times = {index: str(layout.times) for index, layout in enumerate(layouts) if layout.times is not None}
    rate = stream.sampling_frequency
    return TimedBinaryRecording(
        file_paths=[str(layout.files[0]) for layout in layouts],
        sampling_frequency=rate,
        dtype="int16",
        num_channels=len(stream.channels),
        channel_ids=_channel_ids(stream),
        t_starts=[layout.first_sample / rate for layout in layouts],
        gain_to_uV=np.array([channel.microvolts_per_bit for channel in stream.channels]),
        offset_to_uV=np.zeros(len(stream.channels)),
        time_paths=list(times.values()) or None,
        timed_segments=list(times) or None,
    )


def _channel_ids(stream: Stream) -> list[str]:
    names = [channel.name for channel in stream.channels]
    return names if len(set(names)) == len(names) else [f"{i}#{name}" for i, name in enumerate(names)]


def _refuse_different(streams: list[Stream]) -> None:
    first = streams[0]
    for stream in streams:
        if (stream.channels, stream.sampling_frequency) != (first.channels, first.sampling_frequency):
            raise BadDataError(
                f"{stream.folder} has other channels, or another rate, than {first.folder}: they cannot be joined. "
                "Set job_dispatch.split_segments to true."
            )


def _geometry(stream: Stream, file: Mapping[str, Any] | None, root: Path) -> StreamGeometry:
    """Electrodes as the probe file of a job's source has them; without one, as the settings do."""
    return stream_geometry(stream, root) if file is None else file_geometry(stream, ProbeFile(**file), root)


def _group_as(lfp: BaseRecording, probe: Probe) -> None:
    """Number the shanks of the LFP band as those of the other band, of which other channels may have been saved."""
    shanks = lfp.get_probe().shank_ids
    groups = shank_groups(probe)
    if shanks is not None:
        lfp.set_channel_groups([groups.get(str(shank), -1) for shank in shanks])
