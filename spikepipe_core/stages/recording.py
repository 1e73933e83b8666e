"""Recording: open one probe's raw signal, check it, and write down how to load it again.

Nothing is copied. The output is a folder with SpikeInterface's description of the recording
(`recording.json`, and `lfp.json` if the probe has an LFP band of its own), with paths relative to the data
folder, and `job.json`: what was found, and the verdict on its timestamps.

1. The files are opened with the reader that found them: positions of all electrodes must be known, unsigned samples
   become signed, one channel group is selected if groups are split.
2. A recording that is shorter than `min_recording_duration` is left out.
3. It is clipped: from `t_start` to `t_stop`, and with `debug` to the first `debug_duration` seconds of that. The times
   of what is kept stay as they are.
4. Timestamps are judged (see `ingest.timestamps`). If they are not usable, times are sample number / rate from then
   on, in every band; if only the LFP band's are not, it starts when the AP band starts. `skip_timestamps_check` takes
   them as they are.

Settings that decide: `job_dispatch` (how folders become recording jobs, debug clipping, timestamps check);
`preprocessing.t_start` and `t_stop`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spikeinterface.core as si

from spikepipe_core import ingest
from spikepipe_core.errors import BadDataError, SkippedByRule
from spikepipe_core.params import Params
from spikepipe_core.pictures import probe_picture
from spikepipe_core.stages.stage import Built, Stage, Work
from spikepipe_core.store.files import write_json

RECORDING, LFP, JOB = "recording.json", "lfp.json", "job.json"
_LISTED_GAPS = 20


def _settings(params: Params) -> dict[str, Any]:
    """What of job dispatch reaches a single recording: not how its siblings are found."""
    keep = {"debug", "debug_duration", "skip_timestamps_check", "min_recording_duration"}
    dumped = params.job_dispatch.model_dump(mode="json", include=keep)
    if not params.job_dispatch.debug:
        dumped.pop("debug_duration", None)
    return {**dumped, "t_start": params.preprocessing.t_start, "t_stop": params.preprocessing.t_stop}


def _identity(work: Work) -> dict[str, Any]:
    return ingest.identity(work.recording_job, work.data)


def build(work: Work) -> Built:
    """Open the raw files of a recording job and write its description."""
    job = work.recording_job
    work.say(f"opening {job.stream} with the {job.reader} reader")
    for remark in job.remarks:
        work.say(f"note: {remark}")
    loaded = ingest.load(job, work.data)
    _require_duration(loaded.recording, work.params.job_dispatch.min_recording_duration)
    timed = on_usable_times(loaded, work)

    work.path.mkdir(parents=True)
    _write(timed.recording, work.path / RECORDING, work.data)
    if timed.lfp is not None:
        _write(timed.lfp, work.path / LFP, work.data)
    facts = _facts(timed)
    write_json(
        work.path / JOB,
        {
            **job.model_dump(mode="json"),
            **facts,
            "times_reset": not timed.verdict.ok,
            "lfp_times_reset": timed.lfp_verdict is not None and not timed.lfp_verdict.ok,
            "timestamps_verdict": timed.verdict.model_dump(mode="json"),
            "lfp_timestamps_verdict": timed.lfp_verdict and timed.lfp_verdict.model_dump(mode="json"),
        },
    )
    return Built(
        reason="; ".join(
            (
                f"{facts['channels']} channels, {facts['duration_s']:.1f} s at {facts['sampling_frequency_hz']:g} Hz",
                *job.remarks,
            )
        ),
        summary={
            **facts,
            "stream": job.stream,
            "kind": f"{job.kind}: {job.kind_reason}" if job.kind_reason else job.kind,
            "probe_model": job.probe_model,
            "reader": job.reader,
            "recording_name": job.recording_name,
            **({"remarks": " ".join(job.remarks)} if job.remarks else {}),
            "timestamp_gaps": _gaps(timed),
            "streams_of_the_session": _streams(work),
            "checks": {
                "timestamps": {
                    "passed": timed.verdict.ok,
                    "description": facts["timestamps"],
                    "numbers": timed.verdict.numbers(),
                }
            },
        },
        pictures={"probe": probe_picture(timed.recording)},
    )


@dataclass(frozen=True)
class Timed:
    """Clipped bands on times that can be used, and what was found about the times in the files.

    Attributes
    ----------
    verdict, lfp_verdict : TimestampsVerdict
        The LFP band's is None if there is no such band, or its times were replaced with those of the other.
    """

    recording: si.BaseRecording
    lfp: si.BaseRecording | None
    verdict: ingest.TimestampsVerdict
    lfp_verdict: ingest.TimestampsVerdict | None


def on_usable_times(loaded: ingest.LoadedRecording, work: Work) -> Timed:
    """Clip every band, judge its timestamps, and replace those that cannot be used."""
    raw, lfp = loaded.recording, loaded.lfp
    trusted = work.params.job_dispatch.skip_timestamps_check
    verdict = ingest.check_timestamps(_clipped(raw, work.params), trusted=trusted)
    lfp_verdict = None
    if not verdict.ok:
        work.say(f"timestamps are not usable ({verdict.reason}): times are reset to start at 0 s")
        raw = ingest.regular_times(raw)
        lfp = None if lfp is None else ingest.regular_times(lfp, _starts(raw))
    elif lfp is not None:
        lfp_verdict = ingest.check_timestamps(_clipped(lfp, work.params), trusted=trusted)
        if not lfp_verdict.ok:
            work.say(
                f"timestamps of the LFP band are not usable ({lfp_verdict.reason}): it starts with the AP band"
            )
            lfp = ingest.regular_times(lfp, _starts(raw))
    clipped_lfp = None if lfp is None else _clipped(lfp, work.params)
    return Timed(_clipped(raw, work.params), clipped_lfp, verdict, lfp_verdict)


def _starts(recording: si.BaseRecording) -> list[float]:
    return [float(recording.get_start_time(index)) for index in range(recording.get_num_segments())]


def _clipped(recording: si.BaseRecording, params: Params) -> si.BaseRecording:
    """The stretch from `preprocessing.t_start` to `t_stop`; with `debug`, the first seconds of it.

    Cut here, before anything else, so that spikes, LFP and figures all run on one clock.
    """
    start, stop = params.preprocessing.t_start or 0.0, params.preprocessing.t_stop
    if params.job_dispatch.debug:
        limit = start + params.job_dispatch.debug_duration
        stop = limit if stop is None else min(stop, limit)
    return ingest.clip(recording, stop, start)


def _require_duration(recording: si.BaseRecording, minimum_s: float) -> None:
    duration = recording.get_total_duration()
    if duration < minimum_s:
        raise SkippedByRule(
            f"the recording lasts {duration:.1f} s, less than job_dispatch.min_recording_duration = {minimum_s:g} s"
        )


def _facts(timed: Timed) -> dict[str, Any]:
    recording, verdict, lfp_verdict = timed.recording, timed.verdict, timed.lfp_verdict
    times = verdict.reason if verdict.ok else f"reset: {verdict.reason}"
    if lfp_verdict is not None and not lfp_verdict.ok:
        times += f"; LFP band reset: {lfp_verdict.reason}"
    return {
        "duration_s": round(recording.get_total_duration(), 3),
        "channels": recording.get_num_channels(),
        "sampling_frequency_hz": recording.get_sampling_frequency(),
        "segments": recording.get_num_segments(),
        "lfp_band": timed.lfp is not None,
        "timestamps": times,
    }


def _gaps(timed: Timed) -> list[dict[str, Any]]:
    """Where the first gaps are, as rows of a table."""
    return [
        {"segment": gap.segment, "after sample": gap.sample, "length (ms)": gap.length_ms}
        for gap in timed.verdict.gaps[:_LISTED_GAPS]
    ]


def _streams(work: Work) -> list[dict[str, Any]]:
    """Every stream of the session folder and what becomes of it, as rows of a table."""
    listed = ingest.list_streams(
        work.entry.jobs,
        work.entry.ignored,
        min_duration_s=work.params.job_dispatch.min_recording_duration,
    )
    return [
        {
            "stream": row.stream,
            "kind": row.kind,
            "probe": row.probe,
            "becomes": row.status,
            "why": row.reason,
            "channels": row.channels,
            "rate (Hz)": row.sampling_frequency_hz,
            "duration (s)": row.duration_s,
            "LFP band": row.lfp_stream,
        }
        for row in listed
    ]


def load_recording(work: Work) -> si.BaseRecording:
    """The raw recording of a job, lazily, as the `recording` output describes it."""
    return _load(work, RECORDING)


def load_lfp_band(work: Work) -> si.BaseRecording | None:
    """The probe's own LFP band, lazily; None if it has none."""
    return _load(work, LFP) if (work.input("recording") / LFP).exists() else None


def read_job(work: Work) -> dict[str, Any]:
    """What the `recording` output found."""
    return json.loads((work.input("recording") / JOB).read_text())


def device_name(job: ingest.RecordingJob) -> str:
    """Name of the physical probe: its key without the shank."""
    return job.probe if job.group is None else job.probe.removesuffix(f"_group{job.group}")


def _load(work: Work, name: str) -> si.BaseRecording:
    return si.load(work.input("recording") / name, base_folder=work.data)


def _write(recording: si.BaseRecording, path: Path, data: Path) -> None:
    # Properties too: phase shift needs `inter_sample_shift`, which is one.
    recording.dump_to_json(path, relative_to=data, include_properties=True)
    description = json.loads(path.read_text())
    if not description.get("relative_paths", False):
        raise BadDataError(
            f"{recording}: its files do not all lie below the data folder {data}, so the results could not be "
            "moved. Choose the folder that holds them all as --data."
        )


STAGE = Stage(
    name="recording",
    version="2",
    section="job_dispatch",
    location="recording/{name}",
    settings=_settings,
    identity=_identity,
    build=build,
    checks={
        "timestamps": "The recording's sample times rise steadily; if not, they are reset to start at 0 s."
    },
)
