"""What discovery yields: recording jobs, and the streams that were left aside.

A reader reports the probe signals it finds as `FoundStream`; `build_jobs` turns them into one `RecordingJob`
for every (session, probe) pair, under the names that users of the AIND pipeline know.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from spikepipe_core.ingest.classification import StreamKind
from spikepipe_core.ingest.naming import safe_key, safe_name

__all__ = [
    "Discovery",
    "FoundSegment",
    "FoundStream",
    "IgnoredStream",
    "RecordingJob",
    "UnreadableFolder",
    "assign_sessions",
    "build_jobs",
    "session_folder_names",
    "set_twins_aside",
]


class RecordingJob(BaseModel):
    """What one (session, probe) pair is: how its raw signal is loaded, and under which names its results go.

    All paths are relative to the data root (`Discovery.data_root`), with forward slashes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: str = Field(description="Partition key of the session.")
    session_folder: str = Field(description="Name of the session's folder in the results.")
    probe: str = Field(description="Partition key of the probe inside its session.")
    block: str = Field(
        description="Name of the block (Open Ephys: experiment), as it stands in recording_name."
    )
    segment: int | None = Field(description="Number of the segment, from 1; None: all segments together.")
    stream: str = Field(description="Name of the probe's stream, as Neo gives it.")
    group: str | None = Field(
        default=None, description="Channel group (shank) of this job; None: all channels."
    )
    recording_name: str = Field(description="Name of the job's files in the results.")
    reader: str = Field(description="Reader that found the job and loads it.")
    source: tuple[dict[str, JsonValue], ...] = Field(
        description="What the reader needs to load each segment; its keys belong to the reader."
    )
    files: tuple[str, ...] = Field(description="All raw files (or folders) of the job, LFP band included.")
    kind: StreamKind = Field(
        default="wide-band", description="What the stream was found to be: AP or wide-band."
    )
    kind_reason: str = Field(default="", description="From what that was concluded, in words.")
    probe_model: str | None = Field(
        default=None, description="Model of the probe; None if its metadata do not say."
    )
    lfp_stream: str | None = Field(
        default=None, description="Name of the companion LFP stream, None if there is none."
    )
    lfp_problem: str | None = Field(
        default=None,
        description="Why the probe has no LFP though its AP band is high-passed: the LFP band is damaged, or was not"
        " saved; None: nothing is missing.",
    )
    board_files: tuple[str, ...] = Field(
        default=(),
        description="Raw files of other boards with the same sync line (NI-DAQ): they decide nothing but the clock"
        " report.",
    )
    num_channels: int | None = Field(
        default=None, description="Neural channels of this job; None if unknown."
    )
    sampling_frequency: float | None = Field(default=None, description="Hz; None if unknown.")
    duration: float | None = Field(
        default=None, description="Seconds of signal in the raw files; None if unknown."
    )
    problem: str | None = Field(
        default=None, description="Why the job cannot be loaded, and the remedy; None: it can."
    )
    remarks: tuple[str, ...] = Field(
        default=(),
        description="What a person should know of a job that can be loaded: a damaged LFP band that is left out, a"
        " file that was not finished.",
    )
    outside_allowed: bool = Field(
        default=False,
        description="Whether links and paths in the raw files may lead out of the data folder; as the params said"
        " when the job was discovered.",
    )


class IgnoredStream(BaseModel):
    """A stream (or file, or folder) that is not processed, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stream: str = Field(description="Name of the stream, or path of the file or folder in the data root.")
    reason: str
    kind: StreamKind = Field(default="unknown", description="What it was found to be.")
    folder: str | None = Field(
        default=None,
        description="Folder that it lies in, relative to the data root; None if that says nothing.",
    )
    session_folder: str | None = Field(
        default=None, description="Name of the session folder that it belongs to; None: to no session."
    )


class UnreadableFolder(BaseModel):
    """A session folder that should have been read and could not be; the others go on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str = Field(description="Path relative to the data root.")
    reason: str = Field(description="What is wrong, and the remedy.")


class Discovery(BaseModel):
    """All recording jobs of a data folder.

    Attributes
    ----------
    data_root : Path
        What the paths in the jobs are relative to.
    readers : dict of str to str
        Each reader used, with how its format was recognised (or that the params ask for it).
    ignored : tuple of IgnoredStream
        Everything that is not processed, by what it is.
    unreadable : tuple of UnreadableFolder
        Session folders that could not be read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_root: Path
    readers: dict[str, str]
    jobs: tuple[RecordingJob, ...]
    ignored: tuple[IgnoredStream, ...] = ()
    unreadable: tuple[UnreadableFolder, ...] = ()


@dataclass(frozen=True)
class FoundSegment:
    """One continuous stretch of a probe's signal, as a reader found it.

    Attributes
    ----------
    number : int
        From 1, counted over all probes of the session folder, so that it means the same stretch for each.
    source : dict
        What the reader needs to load it: JSON values, paths relative to the data root.
    files : tuple of str
        Raw files that decide its signal and its LFP band.
    duration : float or None
        Seconds.
    problem : str or None
        Why it cannot be loaded, and the remedy.
    remarks : tuple of str
        What a person should know of it though it can be loaded.
    lfp_problem : str or None
        Why its LFP band cannot be used, where the probe acquires one; the rest of it can be.
    board_files : tuple of str
        Raw files of other boards with the same sync line.
    """

    number: int
    source: dict[str, Any]
    files: tuple[str, ...]
    duration: float | None = None
    problem: str | None = None
    board_files: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    lfp_problem: str | None = None


@dataclass(frozen=True)
class FoundStream:
    """One probe's signal in one block.

    Attributes
    ----------
    folder : Path
        The session folder, in which blocks and segments are counted.
    stream, probe : str
        Neo's name of the stream, and the short name that becomes the probe key (``imec0``, ``ProbeA``).
    groups : dict of str to int
        Channels of each channel group; empty if not known.
    kind, kind_reason
        What the stream is and why, as `classify` found it; only sortable streams are reported so.
    probe_model : str or None
        As the metadata give it, such as ``NP1000``; None if they do not.
    """

    folder: Path
    block: str
    stream: str
    probe: str
    segments: tuple[FoundSegment, ...]
    groups: dict[str, int] = field(default_factory=dict)
    lfp_stream: str | None = None
    sampling_frequency: float | None = None
    kind: StreamKind = "wide-band"
    kind_reason: str = ""
    probe_model: str | None = None


def build_jobs(
    reader: str,
    streams: Iterable[FoundStream],
    *,
    split_segments: bool,
    split_groups: bool,
    session_folder: str | None = None,
) -> list[RecordingJob]:
    """Name every recording job of the streams that a reader found.

    Parameters
    ----------
    reader : str
        Name of the reader.
    streams : iterable of FoundStream
    split_segments, split_groups : bool
        As in the params: a job for every segment, for every channel group.
    session_folder : str, optional
        Name for the session folder; by default the name of each stream's own. When it is given and the
        streams lie in several folders, each folder is a block of that one session.
    """
    streams = list(streams)
    by_folder: dict[str, list[FoundStream]] = defaultdict(list)
    if session_folder is None:
        names = session_folder_names(streams)
        for stream in streams:
            by_folder[names[stream.folder]].append(stream)
    else:
        by_folder[safe_key(session_folder)] = _blocks_of_one_session(streams)
    return [
        job
        for name in sorted(by_folder)
        for job in _jobs_of_session_folder(reader, name, by_folder[name], split_segments, split_groups)
    ]


def session_folder_names(streams: Iterable[FoundStream]) -> dict[Path, str]:
    """Name of each session folder; folders of the same name get their parent's in front."""
    names = {stream.folder: stream.folder.name for stream in streams}
    depth = 1
    while len(set(names.values())) < len(names) and depth < 16:
        depth += 1
        counts = Counter(names.values())
        names = {
            path: "_".join(path.parts[-depth:]) if counts[name] > 1 else name for path, name in names.items()
        }
    return {path: safe_key(name) for path, name in names.items()}


def assign_sessions(
    ignored: Iterable[IgnoredStream], streams: Iterable[FoundStream], root: Path, session_folder: str | None
) -> tuple[IgnoredStream, ...]:
    """Say of every ignored stream which session folder it belongs to: the one that it lies in, if any.

    Parameters
    ----------
    session_folder : str or None
        As for `build_jobs`; when given, everything belongs to it.
    """
    if session_folder is not None:
        return tuple(one.model_copy(update={"session_folder": safe_key(session_folder)}) for one in ignored)
    names = session_folder_names(streams)

    def owner(one: IgnoredStream) -> str | None:
        place = root / (one.folder if one.folder is not None else one.stream)
        return next((names[folder] for folder in (place, *place.parents) if folder in names), None)

    return tuple(one.model_copy(update={"session_folder": owner(one)}) for one in ignored)


def _blocks_of_one_session(streams: list[FoundStream]) -> list[FoundStream]:
    """Number the blocks of several folders through, if there are several."""
    if len({stream.folder for stream in streams}) <= 1:
        return streams
    blocks = sorted({(stream.folder, stream.block) for stream in streams})
    return [replace(s, block=f"block{blocks.index((s.folder, s.block))}") for s in streams]


def _jobs_of_session_folder(
    reader: str, session_folder: str, streams: list[FoundStream], split_segments: bool, split_groups: bool
) -> list[RecordingJob]:
    stretches = {
        (stream.block, segment.number if split_segments else None)
        for stream in streams
        for segment in stream.segments
    }
    jobs = []
    for stream in sorted(streams, key=lambda s: (s.block, s.probe, s.stream)):
        for number, segments in _stretches(stream, split_segments):
            stretch = safe_key(stream.block) + ("" if number is None else f"_recording{number}")
            session = session_folder if len(stretches) == 1 else f"{session_folder}__{stretch}"
            jobs += _jobs_of_stretch(reader, session, session_folder, stream, number, segments, split_groups)
    return jobs


def _stretches(
    stream: FoundStream, split_segments: bool
) -> list[tuple[int | None, tuple[FoundSegment, ...]]]:
    """The stream's segments one by one, or all as one stretch without a number."""
    ordered = tuple(sorted(stream.segments, key=lambda segment: segment.number))
    if split_segments:
        return [(segment.number, (segment,)) for segment in ordered]
    return [(None, ordered)]


def _jobs_of_stretch(
    reader: str,
    session: str,
    session_folder: str,
    stream: FoundStream,
    number: int | None,
    segments: tuple[FoundSegment, ...],
    split_groups: bool,
) -> list[RecordingJob]:
    name = f"{stream.block}_{stream.stream}_recording{'' if number is None else number}"
    split = split_groups and len(stream.groups) > 1
    durations = [segment.duration for segment in segments]
    known = [duration for duration in durations if duration is not None]
    problems = [segment.problem for segment in segments if segment.problem]
    lfp_problem = (
        " ".join(_all((segment.lfp_problem,) for segment in segments if segment.lfp_problem)) or None
    )
    remarks = _all(segment.remarks for segment in segments)
    return [
        RecordingJob(
            session=session,
            session_folder=session_folder,
            probe=safe_key(stream.probe if group is None else f"{stream.probe}_group{group}"),
            block=stream.block,
            segment=number,
            stream=stream.stream,
            group=group,
            recording_name=safe_name(name if group is None else f"{name}_group{group}"),
            reader=reader,
            source=tuple(segment.source for segment in segments),
            files=_all(segment.files for segment in segments),
            kind=stream.kind,
            kind_reason=stream.kind_reason,
            probe_model=stream.probe_model,
            lfp_stream=None if lfp_problem else stream.lfp_stream,
            lfp_problem=lfp_problem,
            board_files=_all(segment.board_files for segment in segments),
            num_channels=channels,
            sampling_frequency=stream.sampling_frequency,
            duration=sum(known) if len(known) == len(durations) else None,
            problem=" ".join(dict.fromkeys(problems)) or None,
            remarks=(*remarks, f"no LFP: {lfp_problem}") if lfp_problem else remarks,
        )
        for group, channels in (
            stream.groups.items() if split else [(None, sum(stream.groups.values()) or None)]
        )
    ]


def _all(parts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Everything in the parts once, in order."""
    return tuple(dict.fromkeys(item for part in parts for item in part))


def set_twins_aside(
    jobs: Iterable[RecordingJob],
) -> tuple[tuple[RecordingJob, ...], tuple[UnreadableFolder, ...]]:
    """Make sure that a (session, probe) pair stands for one signal only: pairs that stand for several are none.

    Returns
    -------
    jobs : tuple of RecordingJob
        Those that are alone under their keys.
    unreadable : tuple of UnreadableFolder
        One for each pair of keys that several signals share.
    """
    by_keys: dict[tuple[str, str], list[RecordingJob]] = defaultdict(list)
    for job in jobs:
        by_keys[job.session, job.probe].append(job)
    alone = tuple(members[0] for members in by_keys.values() if len(members) == 1)
    return alone, tuple(_twins(members) for members in by_keys.values() if len(members) > 1)


def _twins(jobs: list[RecordingJob]) -> UnreadableFolder:
    one, other = jobs[:2]
    return UnreadableFolder(
        folder=one.files[0] if one.files else one.session_folder,
        reason=f"Session {one.session!r} has several signals for probe {one.probe!r}: "
        + " and ".join(f"{job.stream} ({', '.join(job.files[:1])})" for job in (one, other))
        + ". Move one of them out of the data folder, or rename its folder.",
    )
