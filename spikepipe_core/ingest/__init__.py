"""From raw folders to recording jobs: detect the format, name what is there, open it.

A new format is one module with a `Reader` and one line in `spikepipe_core.ingest.registry`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest import shape
from spikepipe_core.ingest.base import LoadedRecording
from spikepipe_core.ingest.discovery import discover
from spikepipe_core.ingest.files import outside_allowed
from spikepipe_core.ingest.fingerprint import fingerprint_files, place_free
from spikepipe_core.ingest.jobs import Discovery, IgnoredStream, RecordingJob, UnreadableFolder
from spikepipe_core.ingest.listing import ListedStream, list_streams
from spikepipe_core.ingest.registry import READERS, get_reader
from spikepipe_core.ingest.shape import clip
from spikepipe_core.ingest.timestamps import TimestampsVerdict, check_timestamps, regular_times

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording

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
    "identity",
    "list_streams",
    "load",
    "load_lfp",
    "load_recording",
    "regular_times",
]


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
    with outside_allowed(job.outside_allowed):
        recording = get_reader(job.reader).recording(job, Path(data_root).resolve())
    shape.require_geometry(recording, job.stream)
    return shape.select_group(shape.signed(recording), job.group, job.stream)


def load_lfp(job: RecordingJob, data_root: Path) -> BaseRecording | None:
    """Open the probe's own LFP band, lazily; None if the acquisition wrote none for the job's electrodes."""
    _refuse_problem(job)
    if job.lfp_stream is None:
        return None
    with outside_allowed(job.outside_allowed):
        lfp = get_reader(job.reader).lfp(job, Path(data_root).resolve())
    if lfp is None or not shape.has_group(lfp, job.group):
        return None
    return shape.select_group(shape.signed(lfp), job.group, str(job.lfp_stream))


def load(job: RecordingJob, data_root: Path) -> LoadedRecording:
    """Open a job's signal and its LFP band, lazily. See `load_recording`."""
    return LoadedRecording(load_recording(job, data_root), load_lfp(job, data_root))


def fingerprint(job: RecordingJob, data_root: Path) -> str:
    """Identity of a job's raw files, wherever they lie and whatever their dates. See `fingerprint_files`."""
    with outside_allowed(job.outside_allowed):
        return fingerprint_files(job.files, Path(data_root).resolve())


def identity(job: RecordingJob, data_root: Path) -> dict[str, Any]:
    """What decides a job's signal: its raw files and how they are loaded, wherever they lie.

    The same whichever level of the folders was given as the data folder.
    """
    # What is told about the signal but does not change it must not call for a new sorting.
    told = {"files", "board_files", "kind", "kind_reason", "probe_model", "remarks", "outside_allowed"}
    told |= {"lfp_problem"}
    load = job.model_dump(mode="json", exclude=told)
    return {
        "raw": fingerprint(job, data_root),
        "load": {**load, "source": place_free(load["source"], job.files, Path(data_root).resolve())},
    }


def _refuse_problem(job: RecordingJob) -> None:
    if job.problem:
        raise BadDataError(job.problem)
