"""SpikeInterface: every format that it has a reader for, and the recordings that it saved itself.

`job_dispatch.spikeinterface_info` names the reader and what to open; without it, what SpikeInterface saved in the data
folder (binary folders, Zarr stores, JSON descriptions) is found. Every stream of a Neo reader is one probe's signal or
is left aside with the reason. Geometry is the reader's own or comes from `probe_paths`; a stream that has neither is
reported with the remedy.

Nothing that the files say is run: see `spikeinterface_description` and `spikeinterface_openings`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikepipe_core.errors import BadDataError, NotAvailableError, SpikepipeError
from spikepipe_core.ingest.base import Found
from spikepipe_core.ingest.classification import Classification, classify
from spikepipe_core.ingest.clock import StreamClock, clock_of_times
from spikepipe_core.ingest.files import relative
from spikepipe_core.ingest.jobs import FoundSegment, FoundStream, IgnoredStream, RecordingJob
from spikepipe_core.ingest.probes import (
    ProbeFile,
    find_probe_file,
    read_probe_file,
    unwired_channels,
    with_probe,
)
from spikepipe_core.ingest.shape import probe_model, require_geometry
from spikepipe_core.ingest.spikeinterface_openings import UNIVERSAL, Opening, openings
from spikepipe_core.ingest.spikeinterface_saved import find_saved
from spikepipe_core.ingest.spikeinterface_streams import Stream, open_stream, saved_streams, streams_of
from spikepipe_core.params.job_dispatch import SpikeInterfaceInfo

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording

    from spikepipe_core.params import JobDispatchParams

__all__ = ["SpikeInterfaceReader"]

_BAND_WORDS = re.compile(r"(?:^|(?<=[^A-Za-z]))(ap|lf|lfp)(?=$|[^A-Za-z])", re.IGNORECASE)
_LONELY_LFP = "an LFP band without the band that spikes are sorted from"
_BOARDS = ("sync", "analog", "digital")


class SpikeInterfaceReader:
    """Reader of whatever SpikeInterface reads."""

    name = "spikeinterface"

    def detect(self, folder: Path) -> str | None:
        """Recognise a folder by recordings that SpikeInterface saved; other formats must be asked for."""
        found, _ = find_saved(folder, folder if folder.is_dir() else folder.parent)
        return f"SpikeInterface {found[0].kind} {found[0].path.name}" if found else None

    def find(self, folder: Path, root: Path, params: JobDispatchParams) -> Found:
        """Find every stream of every session."""
        info = params.spikeinterface_info or SpikeInterfaceInfo(reader_type=UNIVERSAL)
        streams: list[FoundStream] = []
        opened, failed = openings(info, folder, root)
        ignored = [IgnoredStream(stream=name, reason=reason) for name, reason in failed]
        for opening in opened:
            try:
                found = _find(opening, info, root)
            except BadDataError as error:
                if len(opened) + len(failed) == 1:
                    raise
                ignored.append(IgnoredStream(stream=opening.session.name, reason=str(error)))
                continue
            streams += found.streams
            ignored += found.ignored
        return Found(tuple(streams), tuple(ignored))

    def recording(self, job: RecordingJob, root: Path) -> BaseRecording:
        """Open the stream of a job, with the segments that are its own."""
        sources = [dict(source) for source in job.source]
        return _open(sources, root, job.stream)

    def lfp(self, job: RecordingJob, root: Path) -> BaseRecording | None:
        """Open the LFP stream of a job; None if there is none."""
        if job.lfp_stream is None:
            return None
        sources = [{**dict(source), "stream": source["lfp"]} for source in job.source if "lfp" in source]
        return _open(sources, root, job.lfp_stream)

    def clocks(self, job: RecordingJob, segment: int, root: Path) -> dict[str, StreamClock]:
        """The times of the samples, which a reader gives on one time line for all streams of a session."""
        clock = clock_of_times(self.recording(job, root), segment, "times that the reader gives")
        return {} if clock is None else {job.stream: clock}


# --- from openings to streams -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Described:
    """A stream with what was found out about it.

    Attributes
    ----------
    recording : BaseRecording or None
        None if it could not be opened, as `problem` says.
    """

    stream: Stream
    found: Classification
    recording: BaseRecording | None
    probe: ProbeFile | None
    problem: str | None
    remarks: tuple[str, ...] = ()


def _find(opening: Opening, info: SpikeInterfaceInfo, root: Path) -> Found:
    if opening.reader_type == UNIVERSAL:
        streams, passed_over = saved_streams(opening, root)
    else:
        streams, passed_over = streams_of(opening, root), []
    ignored = [IgnoredStream(stream=relative(path, root), reason=reason) for path, reason in passed_over]
    wanted, unwanted = _filtered(streams, info)
    ignored += [_ignored(stream, kind_of(stream), reason, root) for stream, reason in unwanted]
    signals, lfps = [], []
    for stream in wanted:
        described = _describe(stream, opening, root)
        if described.found.kind == "LFP":
            lfps.append(described)
        elif described.found.is_sortable or described.problem:
            signals.append(described)
        else:
            ignored.append(_ignored(stream, described.found, described.found.reason, root))
    paired = [(signal, _companion(signal, lfps)) for signal in signals]  # with its problem, if it has one
    used = [lfp for _, lfp in paired if lfp is not None]
    ignored += [
        _ignored(lfp.stream, lfp.found, lfp.problem or _LONELY_LFP, root) for lfp in lfps if lfp not in used
    ]
    return Found(tuple(_found_stream(signal, lfp, root) for signal, lfp in paired), tuple(ignored))


def kind_of(stream: Stream) -> Classification:
    """What a stream is, from its name and channels alone."""
    return classify(stream.facts)


def _ignored(stream: Stream, found: Classification, reason: str, root: Path) -> IgnoredStream:
    session = stream.session
    return IgnoredStream(
        stream=stream.name,
        reason=reason,
        kind=found.kind,
        folder=relative(session, root) if session.is_relative_to(root) else None,
    )


def _filtered(
    streams: list[Stream], info: SpikeInterfaceInfo
) -> tuple[list[Stream], list[tuple[Stream, str]]]:
    """Streams that the params keep, and those that they leave out; these params match parts of names, as documented."""
    keep, skip = (
        None if given is None else [given] if isinstance(given, str) else given
        for given in (info.keep_stream_substrings, info.skip_stream_substrings)
    )
    wanted: list[Stream] = []
    unwanted: list[tuple[Stream, str]] = []
    for stream in streams:
        skipping = next((part for part in skip or () if part in stream.name), None)
        if skipping is not None:
            unwanted.append((stream, f"left out by skip_stream_substrings ({skipping!r})"))
        elif keep is not None and not any(part in stream.name for part in keep):
            unwanted.append((stream, f"not kept by keep_stream_substrings ({', '.join(map(repr, keep))})"))
        else:
            wanted.append(stream)
    return wanted, unwanted


def _describe(stream: Stream, opening: Opening, root: Path) -> _Described:
    """Open a stream and find out what it is; what is wrong with it is said, not raised."""
    plain = kind_of(stream)
    named = isinstance(opening.probes, dict) and stream.name in opening.probes
    if plain.kind in _BOARDS and not named:
        return _Described(stream, plain, None, None, None)
    recording, probe, remarks = None, None, stream.remarks
    try:
        recording = open_stream(stream.source(), root)
        probe = find_probe_file(opening.probes, stream.name, opening.base, root)
        if probe is not None:
            group = read_probe_file(probe, root)
            unwired = unwired_channels(recording, group)
            recording = with_probe(recording, group, stream.name)
            if unwired:
                remarks = (
                    *remarks,
                    f"{unwired} channels are left out: no contact of {probe.path} is wired to them",
                )
        found = classify(stream.with_geometry(recording.has_probe()))
        problem = _what_is_missing(recording, stream.name) if _may_be_neural(found, stream) else None
    except NotAvailableError:
        raise
    except SpikepipeError as error:
        return _Described(stream, plain, recording, probe, str(error))
    except OSError as error:
        if not isinstance(error, EOFError | FileNotFoundError):
            raise
        return _Described(stream, plain, None, probe, _unreadable(stream, error))
    except Exception as error:  # Neo and its like fail in many ways on what they do not know
        return _Described(stream, plain, None, probe, _unreadable(stream, error))
    return _Described(stream, found, recording, probe, problem, remarks)


def _unreadable(stream: Stream, error: Exception) -> str:
    return (
        f"{stream.name} cannot be opened with SpikeInterface's reader ({type(error).__name__}: {error}). Check that "
        "its files are complete."
    )


def _may_be_neural(found: Classification, stream: Stream) -> bool:
    """Whether a stream would be a probe's if only its geometry were known: in volts, and no other board's."""
    fast = stream.is_fast or found.kind == "LFP"
    return found.kind not in _BOARDS and fast and stream.is_in_volts


def _what_is_missing(recording: BaseRecording, name: str) -> str | None:
    try:
        require_geometry(recording, name)
    except BadDataError as error:
        return str(error)
    if not recording.has_scaleable_traces():
        return (
            f"{name} does not say how many uV a step is. Give gain_to_uV and offset_to_uV in "
            "job_dispatch.spikeinterface_info.reader_kwargs if the reader takes them, or save the recording with "
            "SpikeInterface after recording.set_channel_gains()."
        )
    return None


def _companion(signal: _Described, lfps: list[_Described]) -> _Described | None:
    """The LFP stream of the same name but for the band, in the same block."""
    wanted = _without_band(signal.stream.name), signal.stream.block
    named = [lfp for lfp in lfps if (_without_band(lfp.stream.name), lfp.stream.block) == wanted]
    return named[0] if len(named) == 1 else None


def _without_band(name: str) -> str:
    return _BAND_WORDS.sub("", name)


def _found_stream(signal: _Described, lfp: _Described | None, root: Path) -> FoundStream:
    stream, recording = signal.stream, signal.recording
    usable = recording is not None and recording.has_probe()
    numbers = np.sort(recording.get_channel_groups()) if usable and recording else ()
    probes = recording.get_probes() if usable and recording else []
    return FoundStream(
        folder=stream.session,
        block=stream.block,
        stream=stream.name,
        probe=_short_name(stream.name),
        segments=tuple(_segments(signal, lfp, root)),
        groups=dict(Counter(str(group) for group in numbers)),
        lfp_stream=None if lfp is None else lfp.stream.name,
        sampling_frequency=None if recording is None else float(recording.get_sampling_frequency()),
        kind=signal.found.kind if signal.found.is_sortable else "unknown",
        kind_reason=signal.found.reason,
        probe_model=probe_model(probes[0]) if len(probes) == 1 else None,
    )


def _short_name(name: str) -> str:
    """Name of a probe: of its stream, without the recording software's part and without the band."""
    own = name.rsplit("#", 1)[-1]
    short = _without_band(own).strip(" ._-")
    return short or own


def _segments(signal: _Described, lfp: _Described | None, root: Path) -> list[FoundSegment]:
    recording = signal.recording
    count = 1 if recording is None else recording.get_num_segments()
    source: dict[str, Any] = {"stream": signal.stream.source()}
    if signal.probe is not None:
        source["probe"] = asdict(signal.probe)
    lfp_problem = None if lfp is None else lfp.problem
    if lfp is not None and lfp_problem is None:
        source["lfp"] = lfp.stream.source()
        if lfp.probe is not None:
            source["lfp_probe"] = asdict(lfp.probe)
    files = (*signal.stream.files, *(lfp.stream.files if lfp and lfp_problem is None else ()))
    return [
        FoundSegment(
            number=index + 1,
            source={**source, "segment": index},
            files=tuple(dict.fromkeys(files)),
            duration=None if recording is None else _duration(recording, index),
            problem=signal.problem or (_empty(recording, index, signal.stream.name) if recording else None),
            remarks=signal.remarks,
            lfp_problem=lfp_problem,
        )
        for index in range(count)
    ]


def _duration(recording: BaseRecording, segment: int) -> float:
    return float(recording.get_num_samples(segment) / recording.get_sampling_frequency())


def _empty(recording: BaseRecording, segment: int, name: str) -> str | None:
    if recording.get_num_samples(segment) and recording.get_num_channels():
        return None
    return f"{name} holds no samples in segment {segment + 1}. Copy it again, or leave it out (skip_stream_substrings)."


# --- from jobs to recordings --------------------------------------------------------------------------------


def _open(sources: list[dict[str, Any]], root: Path, name: str) -> BaseRecording:
    """Open one stream, with some of its segments."""
    recording = open_stream(sources[0]["stream"], root)
    is_lfp = "lfp" in sources[0] and sources[0]["stream"] == sources[0]["lfp"]
    probe = sources[0].get("lfp_probe" if is_lfp else "probe")
    if probe is not None:
        recording = with_probe(recording, read_probe_file(ProbeFile(**probe), root), name)
    problem = _what_is_missing(recording, name)
    if problem:
        raise BadDataError(problem)
    segments = [int(source["segment"]) for source in sources]
    if max(segments) >= recording.get_num_segments():
        raise BadDataError(f"{name} has fewer segments than when it was discovered. Run discovery again.")
    if segments == list(range(recording.get_num_segments())):
        return recording
    return recording.select_segments(np.asarray(segments).tolist())
