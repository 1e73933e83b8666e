"""From raw folders to recording jobs: detect the format, name what is there, open it.

A new format is one module with a `Reader` and one line in `spikepipe_core.ingest.registry`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spikepipe_core.errors import BadDataError, SpikepipeError
from spikepipe_core.ingest import shape
from spikepipe_core.ingest.base import Found, LoadedRecording
from spikepipe_core.ingest.fingerprint import fingerprint_files
from spikepipe_core.ingest.jobs import (
    Discovery,
    IgnoredStream,
    RecordingJob,
    UnreadableFolder,
    assign_sessions,
    build_jobs,
    refuse_twins,
)
from spikepipe_core.ingest.levels import data_root
from spikepipe_core.ingest.listing import ListedStream, list_streams
from spikepipe_core.ingest.registry import READERS, get_reader
from spikepipe_core.ingest.shape import clip
from spikepipe_core.ingest.timestamps import TimestampsVerdict, check_timestamps, regular_times

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording

    from spikepipe_core.params import JobDispatchParams

__all__ = [
    "READERS",
    "Discovery",
    "IgnoredStream",
    "ListedStream",
    "LoadedRecording",
    "RecordingJob",
    "TimestampsVerdict",
    "UnreadableFolder",
    "check_timestamps",
    "clip",
    "discover",
    "fingerprint",
    "list_streams",
    "load",
    "load_lfp",
    "load_recording",
    "regular_times",
]


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
    data = data.resolve()
    wanted = _wanted_reader(params)
    if not params.multi_session:
        found = _discover_one(data, data_root(data), params, wanted, None)
    else:
        found = _discover_sessions(data if data.is_dir() else data.parent, params, wanted)
    refuse_twins(found.jobs)
    return found


def _wanted_reader(params: JobDispatchParams) -> str | None:
    """The reader that the params ask for; None if the format is to be detected."""
    wanted = params.input if "input" in params.model_fields_set else None
    if wanted is not None:
        get_reader(wanted)
    return wanted


def _discover_one(
    data: Path, root: Path, params: JobDispatchParams, wanted: str | None, session_folder: str | None
) -> Discovery:
    """Discover the session or sessions of one folder, all of one format."""
    name, why = (wanted, "asked for by job_dispatch.input") if wanted else _detect(data)
    found = _find(name, data, root, params)
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
    ignored = assign_sessions(found.ignored, found.streams, root, session_folder)
    return Discovery(data_root=root, readers={name: why}, jobs=tuple(jobs), ignored=ignored)


def _find(name: str, data: Path, root: Path, params: JobDispatchParams) -> Found:
    with _as_bad_data(data, name):
        return get_reader(name).find(data, root, params)


def _detect(data: Path) -> tuple[str, str]:
    """The first format that the folder is recognised as, and how."""
    for name in READERS:
        with _as_bad_data(data, name):
            why = get_reader(name).detect(data)
        if why is not None:
            return name, why
    raise NotRecognisedError(
        f"{data} is in none of the formats that this version recognises ({', '.join(READERS)}). Give the "
        "folder with the raw data, or name its format in job_dispatch.input."
    )


@contextmanager
def _as_bad_data(data: Path, reader: str) -> Iterator[None]:
    """Whatever goes wrong in the libraries below a reader is an error of the data, and said as such."""
    try:
        yield
    except (SpikepipeError, MemoryError):
        raise
    except PermissionError as error:
        raise BadDataError(f"{data} may not be read ({error}). Correct its permissions.") from error
    except OSError:
        raise
    except Exception as error:  # Neo, HDF5 and their like fail in many ways on what they do not know
        raise BadDataError(
            f"{data} cannot be read with the {reader} reader ({type(error).__name__}: {error}). Check that it is "
            "complete and as the acquisition wrote it."
        ) from error


class NotRecognisedError(BadDataError):
    """A folder that holds no recording, as far as can be seen."""


def _discover_sessions(root: Path, params: JobDispatchParams, wanted: str | None) -> Discovery:
    """Discover every sub-folder as a session of its own; one that cannot be read does not stop the others."""
    found: list[Discovery] = []
    ignored: list[IgnoredStream] = []
    unreadable: list[UnreadableFolder] = []
    for path in _session_members(root):
        if path.is_symlink():
            ignored.append(IgnoredStream(stream=path.name, reason="a symbolic link", folder=path.name))
            continue
        try:
            found.append(_discover_one(path, root, params, wanted, _session_name(path)))
        except NotRecognisedError as error:
            ignored.append(IgnoredStream(stream=path.name, reason=str(error), folder=path.name))
        except (BadDataError, OSError) as error:
            unreadable.append(UnreadableFolder(folder=path.name, reason=str(error)))
    if not found:
        reasons = [f"{stream.stream}: {stream.reason}" for stream in ignored]
        reasons += [f"{one.folder}: {one.reason}" for one in unreadable]
        raise BadDataError(
            f"No sub-folder of {root} holds a recording (job_dispatch.multi_session)."
            + "".join(f"\n  {reason}" for reason in reasons)
        )
    return Discovery(
        data_root=root,
        readers={name: why for one in found for name, why in one.readers.items()},
        jobs=tuple(job for one in found for job in one.jobs),
        ignored=tuple(ignored) + tuple(stream for one in found for stream in one.ignored),
        unreadable=tuple(unreadable),
    )


def _session_members(root: Path) -> list[Path]:
    """What may be a session in a folder of sessions: sub-folders, and NWB files."""
    members = [path for path in sorted(root.iterdir()) if not path.name.startswith(".")]
    return [path for path in members if path.is_dir() or path.suffix == ".nwb"]


def _session_name(path: Path) -> str:
    return path.stem if path.is_file() else path.name


def load_recording(job: RecordingJob, data_root: Path) -> BaseRecording:
    """Open the AP or wide-band signal of a job, lazily, with signed samples.

    To describe it in a file, use ``recording.dump_to_json(path, relative_to=data_root,
    include_properties=True)``: without properties SpikeInterface keeps gains and geometry, but not
    `inter_sample_shift`, which phase shift needs.

    Raises
    ------
    BadDataError
        The job has a problem, its files have changed since discovery, or the positions of its electrodes are unknown.
    """
    _refuse_problem(job)
    recording = get_reader(job.reader).recording(job, Path(data_root).resolve())
    shape.require_geometry(recording, job.stream)
    return shape.select_group(shape.signed(recording), job.group, job.stream)


def load_lfp(job: RecordingJob, data_root: Path) -> BaseRecording | None:
    """Open the probe's own LFP band, lazily; None if the acquisition wrote none for the job's electrodes."""
    _refuse_problem(job)
    lfp = get_reader(job.reader).lfp(job, Path(data_root).resolve())
    if lfp is None or not shape.has_group(lfp, job.group):
        return None
    return shape.select_group(shape.signed(lfp), job.group, str(job.lfp_stream))


def load(job: RecordingJob, data_root: Path) -> LoadedRecording:
    """Open a job's signal and its LFP band, lazily. See `load_recording`."""
    return LoadedRecording(load_recording(job, data_root), load_lfp(job, data_root))


def fingerprint(job: RecordingJob, data_root: Path) -> str:
    """Identity of a job's raw files, wherever they lie and whatever their dates. See `fingerprint_files`."""
    return fingerprint_files(job.files, Path(data_root).resolve())


def _refuse_problem(job: RecordingJob) -> None:
    if job.problem:
        raise BadDataError(job.problem)
