"""Clock report: how far the probe's clock is from those of the session's other streams.

Every headstage and board has an oscillator of its own. The probe's is compared with that of every other probe and
board of the same stretch of recording, by pulses of a sync line that both recorded or by timestamps that the
acquisition software synchronized: how far apart they are when both have started, and how that changes. Nothing is
shifted: whoever compares spikes of two probes by their times decides with these numbers.

The output is `clocks.json` and a figure; no other stage depends on it. There is none for a probe that is alone, or
where streams have nothing in common.

Settings that decide: none.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from spikepipe_core.errors import SpikepipeError
from spikepipe_core.ingest import RecordingJob
from spikepipe_core.ingest.clock import ClockDifference, StreamClock, compare_clocks
from spikepipe_core.ingest.registry import get_reader
from spikepipe_core.pictures import clock_picture
from spikepipe_core.stages.recording import device_name
from spikepipe_core.stages.stage import Built, Stage, Work
from spikepipe_core.store import digest
from spikepipe_core.store.files import write_json

CLOCKS, FIGURE = "clocks.json", "clocks.png"


def build(work: Work) -> Built:
    """Compare the probe's clock with the others and write what was found."""
    rows: list[dict[str, Any]] = []
    found: dict[str, ClockDifference] = {}
    for segment in range(len(work.recording_job.source)):
        for stream, difference in compare_with_others(work, segment).items():
            name = stream if len(work.recording_job.source) == 1 else f"{stream}, segment {segment}"
            rows.append({"against": name, **_row(difference)})
            if isinstance(difference, ClockDifference):
                found[name] = difference
    if not found:
        return Built(reason=_why_none(rows), empty=True)
    work.path.mkdir(parents=True)
    picture = clock_picture(found)
    (work.path / FIGURE).write_bytes(picture)
    write_json(work.path / CLOCKS, {name: _plain(one) for name, one in found.items()})
    return Built(
        reason=_in_short(found),
        summary={"clocks": rows},
        pictures={"clocks": picture},
    )


def compare_with_others(work: Work, segment: int) -> dict[str, ClockDifference | str]:
    """The probe's clock against those of boards and other probes, or in words why that is not known."""
    job = work.recording_job
    own, boards = _clocks(work, job, segment)
    others: dict[str, StreamClock | str] = dict(boards)
    for device, other in _other_probes(work).items():
        if segment < len(other.source):
            others[device] = _clocks(work, other, segment)[0]
    return {
        name: _first_text(own, other) or compare_clocks(own, other)  # type: ignore[arg-type]
        for name, other in others.items()
    }


def _first_text(*clocks: StreamClock | str) -> str | None:
    return next((clock for clock in clocks if isinstance(clock, str)), None)


def _clocks(
    work: Work, job: RecordingJob, segment: int
) -> tuple[StreamClock | str, dict[str, StreamClock | str]]:
    """The clock of a job's stream and those of the boards beside it, or in words why there is none."""
    if job.problem:
        return f"{job.stream} cannot be read", {}
    try:
        clocks = get_reader(job.reader).clocks(job, segment, work.data)
    except (SpikepipeError, OSError, ValueError) as error:
        return f"the clock of {job.stream} cannot be read: {error}", {}
    own = clocks.pop(job.stream, None)
    none = f"{job.stream} has no regular sync pulses and no timestamps"
    return none if own is None else own, dict(clocks)


def _other_probes(work: Work) -> dict[str, RecordingJob]:
    """One job of every other probe of the session, by the probe's name: shanks share their probe's clock."""
    own = device_name(work.recording_job)
    jobs = {device_name(job): job for job in reversed(work.entry.jobs)}
    return {device: jobs[device] for device in sorted(jobs) if device != own}


def _in_short(found: dict[str, ClockDifference]) -> str:
    """The one comparison, or that of the clock which drifts most."""
    name, most = max(found.items(), key=lambda item: abs(item[1].drift_ppm))
    of_several = f" (of {len(found)} comparisons the one with most drift)" if len(found) > 1 else ""
    return f"against {name}: {in_words(most)}{of_several}"


def in_words(difference: ClockDifference) -> str:
    """The difference as a person would say it."""
    done = "times are synchronized" if difference.is_corrected else "times are not corrected"
    return (
        f"{difference.offset_ms:+.2f} ms at the start, {difference.drift_ms:+.2f} ms more after "
        f"{difference.span_s / 60:.1f} min ({difference.drift_ppm:+.2f} ppm); {done}"
    )


def _row(difference: ClockDifference | str) -> dict[str, Any]:
    if isinstance(difference, str):
        return {"offset (ms)": None, "drift (ms)": None, "drift (ppm)": None, "remark": difference}
    return {
        "offset (ms)": round(difference.offset_ms, 4),
        "drift (ms)": round(difference.drift_ms, 4),
        "drift (ppm)": round(difference.drift_ppm, 4),
        "scatter (ms)": round(difference.scatter_ms, 4),
        "marks": len(difference.times_s),
        "by": difference.source,
        "remark": "synchronized" if difference.is_corrected else "not corrected",
    }


def _why_none(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "there is no other stream to compare the clock with"
    return "; ".join(f"{row['against']}: {row['remark']}" for row in rows)


def _plain(difference: ClockDifference) -> dict[str, Any]:
    values = asdict(difference)
    return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in values.items()}


def _identity(work: Work) -> dict[str, Any]:
    """Names and sizes of the files with the other clocks; the own ones decide the `recording` output already."""
    jobs = _other_probes(work).values()
    names = [
        *work.recording_job.board_files,
        *(name for job in jobs for name in (*job.files, *job.board_files)),
    ]
    paths = {name: work.data / name for name in names}
    return {"clocks": digest({name: path.stat().st_size for name, path in paths.items() if path.exists()})}


STAGE = Stage(
    name="clock_report",
    version="1",
    section="job_dispatch",
    location="clock/{name}",
    settings=lambda _: {},
    inputs=lambda _: ("recording",),
    identity=_identity,
    build=build,
)
