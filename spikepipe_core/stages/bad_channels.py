"""Bad channels: which are dead, noisy or outside the brain.

Channels are judged on the filtered signal, once a recording job: preprocessing and the quality control of the raw
signal both need the labels, and whoever comes first leaves them in scratch for the other.

Settings that decide: `detect_bad_channels`, and the filter before it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import spikeinterface.core as si
import spikeinterface.preprocessing as spre

from spikepipe_core.params import PreprocessingParams
from spikepipe_core.stages.stage import Work
from spikepipe_core.store import digest
from spikepipe_core.store.files import write_json

BAD_LABELS = ("dead", "noise")
OUT_LABEL = "out"

MIN_CHANNELS = 4
"""With fewer channels there is no reference to compare a channel with (ours)."""

Labels = dict[str, str]
"""Channel id to ``good``, ``dead``, ``noise`` or ``out``."""


def detection_arguments(params: PreprocessingParams) -> dict[str, Any]:
    """Arguments of SpikeInterface's detection."""
    chosen = params.bandpass_filter if params.filter_type == "bandpass" else params.highpass_filter
    # The lower edge of the temporal filter: below it there is nothing to judge a channel by.
    return {"highpass_filter_cutoff": chosen.freq_min, **params.detect_bad_channels.kwargs()}


def label_channels(
    recording: si.BaseRecording, params: PreprocessingParams, job_kwargs: dict[str, Any]
) -> Labels:
    """Label every channel ``good``, ``dead``, ``noise`` or ``out``.

    Parameters
    ----------
    recording : BaseRecording
        Filtered, all channels.
    job_kwargs : dict
        Parallelism.
    """
    _, labels = spre.detect_bad_channels(recording, job_kwargs=job_kwargs, **detection_arguments(params))
    return {str(channel): str(label) for channel, label in zip(recording.channel_ids, labels, strict=True)}


def detector(
    params: PreprocessingParams,
    job_kwargs: dict[str, Any],
    work: Work | None = None,
    artifacts: Mapping[str, Any] | None = None,
) -> Callable[[si.BaseRecording], Labels]:
    """What labels the channels of a filtered recording.

    Parameters
    ----------
    work : Work, optional
        The recording job whose labels may lie in scratch already, and are left there if not.
    artifacts : mapping, optional
        What decides about artifacts that are taken out of the signal before, as JSON values.
    """
    if work is None:
        return lambda recording: label_channels(recording, params, job_kwargs)
    settings = {
        "filter": params.filter_type,
        "detection": detection_arguments(params),
        "artifacts": dict(artifacts or {}),
    }
    for step in (f"{params.filter_type}_filter", "phase_shift"):
        settings[step] = getattr(params, step).model_dump(mode="json")
    return lambda recording: _once_a_job(
        work, settings, lambda: label_channels(recording, params, job_kwargs)
    )


def _once_a_job(work: Work, settings: dict[str, Any], detect: Callable[[], Labels]) -> Labels:
    """The labels of a job's channels, from scratch; made and left there if they are not."""
    recording = work.manifest("recording")
    assert recording is not None, "recording is an input of every stage that labels its channels"
    version = digest({"recording": recording.data_version, "settings": settings})
    ref = work.scratch_ref("channel_labels.json")
    with work.scratch.lock(ref, waiting=work.say):
        path = work.scratch.path(ref)
        if path.is_file():
            kept = json.loads(path.read_text())
            if kept["version"] == version:
                return kept["labels"]
        labels = detect()
        write_json(path, {"version": version, "labels": labels})
    return labels
