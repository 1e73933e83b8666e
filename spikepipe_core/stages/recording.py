"""Recording: open one probe's raw signal, check it, and write down how to load it again.

Nothing is copied. The output is a folder with SpikeInterface's description of the recording
(`recording.json`, and `lfp.json` if the probe has an LFP band of its own), with paths relative to the data
folder, and `job.json`: what was found, and the verdict on its timestamps.

Settings that decide: `job_dispatch` (how folders become recording jobs, debug clipping, timestamps check);
`preprocessing.t_start` and `t_stop`.
"""

from __future__ import annotations

import json
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


def _settings(params: Params) -> dict[str, Any]:
    """What of job dispatch reaches a single recording: not how its siblings are found."""
    keep = {"split_segments", "split_groups", "debug", "debug_duration", "skip_timestamps_check"}
    keep |= {"min_recording_duration"}
    dumped = params.job_dispatch.model_dump(mode="json", include=keep)
    if not params.job_dispatch.debug:
        dumped.pop("debug_duration", None)
    return {**dumped, "t_start": params.preprocessing.t_start, "t_stop": params.preprocessing.t_stop}


def _identity(work: Work) -> dict[str, Any]:
    job = work.recording_job
    # What is told about the signal but does not change it must not call for a new sorting.
    told = {"board_files", "kind", "kind_reason", "probe_model"}
    return {
        "raw": ingest.fingerprint(job, work.data),
        "load": job.model_dump(mode="json", exclude=told),
    }


def build(work: Work) -> Built:
    """Open the raw files of a recording job and write its description."""
    job, settings = work.recording_job, work.params.job_dispatch
    if job.problem:
        raise BadDataError(job.problem)
    work.say(f"opening {job.stream} with the {job.reader} reader")
    loaded = ingest.load(job, work.data, settings)
    recording, lfp = _clipped(loaded.recording, work.params), loaded.lfp
    if lfp is not None:
        lfp = _clipped(lfp, work.params)
    _require_duration(recording, settings.min_recording_duration)
    verdict = None
    if not settings.skip_timestamps_check:
        work.say("checking timestamps")
        verdict = ingest.check_timestamps(recording)
        if not verdict.ok:
            work.say(f"timestamps are not usable ({verdict.reason}): times are reset to start at 0 s")

    work.path.mkdir(parents=True)
    _write(recording, work.path / RECORDING, work.data)
    if lfp is not None:
        _write(lfp, work.path / LFP, work.data)
    facts = {
        "duration_s": round(recording.get_total_duration(), 3),
        "channels": recording.get_num_channels(),
        "sampling_frequency_hz": recording.get_sampling_frequency(),
        "segments": recording.get_num_segments(),
        "lfp_band": lfp is not None,
        "timestamps": "not checked"
        if verdict is None
        else "ok"
        if verdict.ok
        else f"reset: {verdict.reason}",
    }
    write_json(
        work.path / JOB,
        {
            **job.model_dump(mode="json"),
            **facts,
            "times_reset": verdict is not None and not verdict.ok,
            "timestamps_verdict": None if verdict is None else verdict.model_dump(mode="json"),
        },
    )
    return Built(
        reason=f"{facts['channels']} channels, {facts['duration_s']:.1f} s at {facts['sampling_frequency_hz']:g} Hz",
        summary={
            **facts,
            "stream": job.stream,
            "reader": job.reader,
            "recording_name": job.recording_name,
            "checks": {
                "timestamps": {
                    "passed": verdict is None or verdict.ok,
                    "description": str(facts["timestamps"]),
                }
            },
        },
        pictures={"probe": probe_picture(recording)},
    )


def _clipped(recording: si.BaseRecording, params: Params) -> si.BaseRecording:
    """The stretch from `preprocessing.t_start` to `t_stop`.

    Cut here, before anything else, so that spikes, LFP and figures all run on one clock.
    """
    start, stop = params.preprocessing.t_start, params.preprocessing.t_stop
    if start is None and stop is None:
        return recording
    return ingest.clip(recording, stop, start or 0.0)


def _require_duration(recording: si.BaseRecording, minimum_s: float) -> None:
    duration = recording.get_total_duration()
    if duration < minimum_s:
        raise SkippedByRule(
            f"the recording lasts {duration:.1f} s, less than job_dispatch.min_recording_duration = {minimum_s:g} s"
        )


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
    recording = si.load(work.input("recording") / name, base_folder=work.data)
    if read_job(work)["times_reset"]:
        ingest.reset_times(recording)
    return recording


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
    version="1",
    section="job_dispatch",
    location="recording/{name}",
    settings=_settings,
    identity=_identity,
    build=build,
    checks={
        "timestamps": "The recording's sample times rise steadily; if not, they are reset to start at 0 s."
    },
)
