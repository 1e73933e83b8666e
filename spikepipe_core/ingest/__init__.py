"""From raw folders to recording jobs: detect the format, name what is there, open it.

A new format is one module with a `Reader` and one entry in `READERS`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spikepipe_core.errors import BadDataError, NotAvailableError
from spikepipe_core.ingest import shape
from spikepipe_core.ingest.base import LoadedRecording, Reader
from spikepipe_core.ingest.fingerprint import fingerprint_files
from spikepipe_core.ingest.jobs import Discovery, IgnoredStream, RecordingJob, build_jobs, refuse_twins
from spikepipe_core.ingest.nwb import NwbReader
from spikepipe_core.ingest.shape import clip
from spikepipe_core.ingest.spikeglx import SpikeGLXReader
from spikepipe_core.ingest.timestamps import TimestampsVerdict, check_timestamps, reset_times

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording

    from spikepipe_core.params import JobDispatchParams

__all__ = [
    "READERS",
    "Discovery",
    "IgnoredStream",
    "LoadedRecording",
    "RecordingJob",
    "TimestampsVerdict",
    "check_timestamps",
    "clip",
    "discover",
    "fingerprint",
    "load",
    "load_lfp",
    "load_recording",
    "reset_times",
]

READERS: dict[str, Reader] = {reader.name: reader for reader in (SpikeGLXReader(), NwbReader())}


def discover(data: Path, params: JobDispatchParams) -> Discovery:
    """Find every recording job of a data folder.

    Parameters
    ----------
    data : Path
        A run folder, its parent, a probe folder or, where the format is one file, that file.
    params : JobDispatchParams
        `input` left out means that the format is detected; with `multi_session` each sub-folder is a session.

    Returns
    -------
    Discovery
        Jobs that cannot be opened are in it, with their `problem`.

    Raises
    ------
    BadDataError
        The folder does not exist, or holds no recording that the readers know.
    NotAvailableError
        The params ask for a reader that this version does not have.
    """
    data = Path(data)
    if not data.exists():
        raise BadDataError(f"{data} does not exist. Give the folder with the raw data.")
    root = (data if data.is_dir() else data.parent).resolve()
    wanted = _wanted_reader(params)
    if not params.multi_session:
        found = _discover_one(data.resolve(), root, params, wanted, None)
    else:
        found = _discover_sessions(root, params, wanted)
    refuse_twins(found.jobs)
    return found


def _wanted_reader(params: JobDispatchParams) -> str | None:
    """The reader that the params ask for; None if the format is to be detected."""
    wanted = params.input if "input" in params.model_fields_set else None
    if wanted is not None and wanted not in READERS:
        raise NotAvailableError(
            f"job_dispatch.input = {wanted!r}: this version has no reader for it, only {sorted(READERS)}. "
            "Leave `input` out to have the format detected."
        )
    return wanted


def _discover_one(
    data: Path, root: Path, params: JobDispatchParams, wanted: str | None, session_folder: str | None
) -> Discovery:
    """Discover the session or sessions of one folder, all of one format."""
    name, why = (wanted, "asked for by job_dispatch.input") if wanted else _detect(data)
    found = READERS[name].find(data, root, params)
    if not found.streams:
        aside = "".join(f"\n  {stream.stream}: {stream.reason}" for stream in found.ignored)
        raise BadDataError(
            f"{data} holds no recording that the {name} reader could process. Give the folder with the raw "
            f"data, or the right job_dispatch.input.{' Not processed:' if aside else ''}{aside}"
        )
    jobs = build_jobs(
        name,
        found.streams,
        split_segments=params.split_segments,
        split_groups=params.split_groups,
        session_folder=session_folder,
    )
    return Discovery(data_root=root, readers={name: why}, jobs=tuple(jobs), ignored=found.ignored)


def _detect(data: Path) -> tuple[str, str]:
    for name, reader in READERS.items():
        why = reader.detect(data)
        if why is not None:
            return name, why
    raise BadDataError(
        f"{data} is in none of the formats that this version recognises ({', '.join(READERS)}). Give the "
        "folder with the raw data, or name its format in job_dispatch.input."
    )


def _discover_sessions(root: Path, params: JobDispatchParams, wanted: str | None) -> Discovery:
    """Discover every sub-folder as a session of its own; one that cannot be read does not stop the others."""
    readers: dict[str, str] = {}
    jobs: list[RecordingJob] = []
    ignored: list[IgnoredStream] = []
    members = [path for path in sorted(root.iterdir()) if not path.name.startswith(".")]
    for path in (path for path in members if path.is_dir() or path.suffix == ".nwb"):
        if path.is_symlink():
            ignored.append(IgnoredStream(stream=path.name, reason="a symbolic link"))
            continue
        try:
            found = _discover_one(path, root, params, wanted, path.stem if path.is_file() else path.name)
        except BadDataError as error:
            ignored.append(IgnoredStream(stream=path.name, reason=str(error)))
            continue
        readers |= found.readers
        jobs += found.jobs
        ignored += found.ignored
    if not jobs:
        reasons = "".join(f"\n  {stream.stream}: {stream.reason}" for stream in ignored)
        raise BadDataError(
            f"No sub-folder of {root} holds a recording (job_dispatch.multi_session).{reasons}"
        )
    return Discovery(data_root=root, readers=readers, jobs=tuple(jobs), ignored=tuple(ignored))


def load_recording(
    job: RecordingJob, data_root: Path, params: JobDispatchParams | None = None
) -> BaseRecording:
    """Open the AP or wide-band signal of a job, lazily.

    To describe it in a file, use ``recording.dump_to_json(path, relative_to=data_root,
    include_properties=True)``: without properties SpikeInterface keeps gains and geometry, but not
    `inter_sample_shift`, which phase shift needs.

    Parameters
    ----------
    params : JobDispatchParams, optional
        With `debug`, every segment is clipped to `debug_duration` seconds.

    Raises
    ------
    BadDataError
        The job has a problem, or its files have changed since discovery.
    """
    _refuse_problem(job)
    return _shaped(_reader(job).recording(job, Path(data_root).resolve()), job, params)


def load_lfp(
    job: RecordingJob, data_root: Path, params: JobDispatchParams | None = None
) -> BaseRecording | None:
    """Open the probe's own LFP band, lazily; None if the acquisition wrote none. See `load_recording`."""
    _refuse_problem(job)
    lfp = _reader(job).lfp(job, Path(data_root).resolve())
    return None if lfp is None else _shaped(lfp, job, params)


def load(job: RecordingJob, data_root: Path, params: JobDispatchParams | None = None) -> LoadedRecording:
    """Open a job's signal and its LFP band, lazily. See `load_recording`."""
    return LoadedRecording(load_recording(job, data_root, params), load_lfp(job, data_root, params))


def fingerprint(job: RecordingJob, data_root: Path) -> str:
    """Identity of a job's raw files, wherever they lie and whatever their dates. See `fingerprint_files`."""
    return fingerprint_files(job.files, Path(data_root).resolve())


def _refuse_problem(job: RecordingJob) -> None:
    if job.problem:
        raise BadDataError(job.problem)


def _reader(job: RecordingJob) -> Reader:
    if job.reader not in READERS:
        raise NotAvailableError(
            f"{job.recording_name} was found by the reader {job.reader!r}, which this version does not have "
            f"({sorted(READERS)}). Install the version that found it."
        )
    return READERS[job.reader]


def _shaped(recording: BaseRecording, job: RecordingJob, params: JobDispatchParams | None) -> BaseRecording:
    grouped = shape.select_group(recording, job.group, job.stream)
    return shape.clip(grouped, params.debug_duration) if params is not None and params.debug else grouped
