"""What would be processed and what not, stream by stream, with reasons: for `spikepipe scan` and for metadata."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from spikepipe_core.ingest.classification import StreamKind
from spikepipe_core.ingest.jobs import IgnoredStream, RecordingJob, UnreadableFolder

__all__ = ["ListedStream", "list_streams"]


class ListedStream(BaseModel):
    """One line: a recording job, a stream that is left aside, or a folder that cannot be read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: str | None = Field(
        description="Partition key, or the session folder's name where there is no job."
    )
    probe: str | None = Field(description="Partition key inside the session; None: not processed.")
    stream: str = Field(description="Name of the stream, or path of a file or folder.")
    kind: StreamKind
    status: Literal["processed", "skipped", "failed", "not processed"]
    reason: str = Field(description="Why it is taken for what it is, or why it is not processed.")
    probe_model: str | None = None
    channels: int | None = None
    sampling_frequency_hz: float | None = None
    duration_s: float | None = None
    segments: int | None = None
    lfp_stream: str | None = None


def list_streams(
    jobs: Iterable[RecordingJob],
    ignored: Iterable[IgnoredStream] = (),
    unreadable: Iterable[UnreadableFolder] = (),
    *,
    min_duration_s: float = -1,
) -> list[ListedStream]:
    """Every recording job, then every stream and folder that is left aside, session by session.

    Parameters
    ----------
    min_duration_s : float
        Jobs known to be shorter are listed as skipped (`job_dispatch.min_recording_duration`).
    """
    listed = [_of_job(job, min_duration_s) for job in jobs]
    listed += [
        ListedStream(
            session=stream.session_folder,
            probe=None,
            stream=stream.stream,
            kind=stream.kind,
            status="not processed",
            reason=stream.reason,
        )
        for stream in ignored
    ]
    listed += [
        ListedStream(
            session=None, probe=None, stream=one.folder, kind="unknown", status="failed", reason=one.reason
        )
        for one in unreadable
    ]
    return listed


def _of_job(job: RecordingJob, min_duration_s: float) -> ListedStream:
    too_short = job.duration is not None and job.duration < min_duration_s
    reason = "; ".join((job.kind_reason, *job.remarks)) if job.remarks else job.kind_reason
    if job.problem:
        reason = job.problem
    elif too_short:
        reason = (
            f"{job.duration:.1f} s is less than job_dispatch.min_recording_duration = {min_duration_s:g} s"
        )
    return ListedStream(
        session=job.session,
        probe=job.probe,
        stream=job.stream,
        kind=job.kind,
        status="failed" if job.problem else "skipped" if too_short else "processed",
        reason=reason,
        probe_model=job.probe_model,
        channels=job.num_channels,
        sampling_frequency_hz=job.sampling_frequency,
        duration_s=job.duration,
        segments=len(job.source),
        lfp_stream=job.lfp_stream,
    )
