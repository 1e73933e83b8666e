"""Preprocessing: temporal filter, phase shift, bad channels, common reference or destriping.

The raw traces are high-pass (or band-pass) filtered, the sampling offsets of multiplexed ADCs are undone
where the probe declares them, dead, noisy and out-of-brain channels are found on the filtered signal and
taken out, and the remaining channels are referenced to their common median (``cmr``) or passed through the
spatial high-pass filter of the IBL (``destripe``). The output is the lazy chain as JSON with paths relative to the
data folder, so that any SpikeInterface loads it from the raw files.

A recording shorter than `min_preprocessing_duration`, or with more than `max_bad_channel_fraction` of its
channels dead or noisy, is left out, with the reason in the ledger.

Settings that decide: the `preprocessing` section, without `motion_correction` and `job_kwargs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import spikeinterface.core as si
import spikeinterface.preprocessing as spre

from spikepipe_core.errors import ParamsError, SkippedByRule, SpikepipeError
from spikepipe_core.params import Params, PreprocessingParams
from spikepipe_core.pictures import channel_label_picture
from spikepipe_core.stages.recording import load_recording
from spikepipe_core.stages.stage import Built, Stage, Work

BAD_LABELS = ("dead", "noise")
OUT_LABEL = "out"
LABEL_PROPERTY = "channel_labels"

SEED = 0
"""Of the random chunks from which the gain control of the spatial filter takes its floor."""


@dataclass(frozen=True)
class Preprocessed:
    """A preprocessed recording and how it came about.

    Attributes
    ----------
    recording : BaseRecording
        Lazy; channels taken out are not in it.
    channel_labels : dict
        Channel id to ``good``, ``dead``, ``noise`` or ``out``, for every channel of the raw recording; empty if
        the pipeline did not look.
    steps : tuple of str
        What was applied, in order.
    """

    recording: si.BaseRecording
    channel_labels: dict[str, str]
    steps: tuple[str, ...]


def preprocess(
    recording: si.BaseRecording, params: PreprocessingParams, job_kwargs: dict[str, Any] | None = None
) -> Preprocessed:
    """Apply the preprocessing that the params describe.

    Parameters
    ----------
    recording : BaseRecording
        Raw traces with a probe.
    params : PreprocessingParams
    job_kwargs : dict, optional
        Parallelism of the bad channel detection.

    Raises
    ------
    SkippedByRule
        Too short, or too many bad channels.
    ParamsError
        SpikeInterface refuses a step, or an argument of it, for this recording.
    """
    _require_duration(recording, params.min_preprocessing_duration)
    if recording.get_dtype().kind == "u":
        recording = spre.unsigned_to_signed(recording)
    if params.custom_preprocessing_pipeline is not None:
        pipeline = params.custom_preprocessing_pipeline
        with _refusal_explained(f"preprocessing.custom_preprocessing_pipeline {list(pipeline)}"):
            return _custom(recording, pipeline)
    with _refusal_explained("preprocessing"):
        return _default(recording, params, job_kwargs or {})


@contextmanager
def _refusal_explained(what: str) -> Iterator[None]:
    """Turn SpikeInterface's refusal of a value into an error that says which params to look at."""
    try:
        yield
    except SpikepipeError:
        raise
    except (TypeError, ValueError, KeyError, AssertionError) as error:
        raise ParamsError(
            f"{what} cannot be applied to this recording: {error}. Correct the step's params; "
            "see SpikeInterface's documentation of its preprocessing."
        ) from error


def _require_duration(recording: si.BaseRecording, minimum_s: float) -> None:
    duration = recording.get_total_duration()
    if duration < minimum_s:
        raise SkippedByRule(
            f"the recording lasts {duration:.1f} s, less than preprocessing.min_preprocessing_duration = "
            f"{minimum_s:g} s"
        )


def _custom(recording: si.BaseRecording, pipeline: dict[str, Any]) -> Preprocessed:
    """Apply a user's own pipeline, step by step, in SpikeInterface's dictionary form."""
    processed = spre.apply_preprocessing_pipeline(recording, pipeline) if pipeline else recording
    return Preprocessed(processed, {}, tuple(pipeline))


def _default(
    recording: si.BaseRecording, params: PreprocessingParams, job_kwargs: dict[str, Any]
) -> Preprocessed:
    shifted, first_steps = filter_and_align(recording, params)
    labels = label_channels(shifted, params, job_kwargs)
    _require_good_channels(labels, params.max_bad_channel_fraction)
    denoised, denoise_steps = _denoise(shifted, labels, params)
    return Preprocessed(
        recording=denoised,
        channel_labels=labels,
        steps=(*first_steps, "detect_bad_channels", *denoise_steps),
    )


def filter_and_align(
    recording: si.BaseRecording, params: PreprocessingParams
) -> tuple[si.BaseRecording, tuple[str, ...]]:
    """Filter in time and undo the ADCs' sampling offsets: the signal that channels are judged on.

    Returns
    -------
    recording : BaseRecording
        Lazy, all channels.
    steps : tuple of str
        What was applied, in order.
    """
    filtered, filter_step = _temporal_filter(recording, params)
    shifted, shift_steps = _phase_shift(filtered, params)
    return shifted, (filter_step, *shift_steps)


def _temporal_filter(
    recording: si.BaseRecording, params: PreprocessingParams
) -> tuple[si.BaseRecording, str]:
    if params.filter_type == "bandpass":
        return spre.bandpass_filter(recording, **params.bandpass_filter.model_dump()), "bandpass_filter"
    return spre.highpass_filter(recording, **params.highpass_filter.model_dump()), "highpass_filter"


def _phase_shift(
    recording: si.BaseRecording, params: PreprocessingParams
) -> tuple[si.BaseRecording, tuple[str, ...]]:
    """Undo the sampling offsets of multiplexed ADCs, if the recording declares any."""
    shifts = recording.get_property("inter_sample_shift")
    if shifts is None:
        return recording, ()
    # Given as an argument, the offsets are part of the chain; a property gets lost where a chain is written without.
    shifted = spre.phase_shift(recording, inter_sample_shift=shifts, **params.phase_shift.model_dump())
    return shifted, ("phase_shift",)


def label_channels(
    recording: si.BaseRecording, params: PreprocessingParams, job_kwargs: dict[str, Any]
) -> dict[str, str]:
    """Label every channel ``good``, ``dead``, ``noise`` or ``out``.

    Parameters
    ----------
    recording : BaseRecording
        As `filter_and_align` gives it.
    """
    arguments = params.detect_bad_channels.model_dump()
    # The coherence filter is a running median over this many channels, which must be odd and fit the probe.
    most = recording.get_num_channels() - 1 + recording.get_num_channels() % 2
    arguments["n_neighbors"] = max(1, min(arguments["n_neighbors"], most))
    _, labels = spre.detect_bad_channels(
        recording, highpass_filter_cutoff=_highpass_edge(params), job_kwargs=job_kwargs, **arguments
    )
    return {str(channel): str(label) for channel, label in zip(recording.channel_ids, labels, strict=True)}


def _highpass_edge(params: PreprocessingParams) -> float:
    """Lower edge of the temporal filter in Hz: below it there is nothing to judge a channel by."""
    chosen = params.bandpass_filter if params.filter_type == "bandpass" else params.highpass_filter
    return chosen.freq_min


def _require_good_channels(labels: dict[str, str], limit: float) -> None:
    bad = sum(label in BAD_LABELS for label in labels.values())
    if bad > limit * len(labels) or bad == len(labels):
        raise SkippedByRule(
            f"{bad} of {len(labels)} channels are dead or noisy ({bad / len(labels):.0%}), more than "
            f"preprocessing.max_bad_channel_fraction = {limit:g}"
        )


def _denoise(
    recording: si.BaseRecording, labels: dict[str, str], params: PreprocessingParams
) -> tuple[si.BaseRecording, tuple[str, ...]]:
    """Take channels out and remove what they have in common."""
    steps: list[str] = []

    def having(*wanted: str) -> list[Any]:
        present = recording.channel_ids
        return [channel for channel in present if labels[str(channel)] in wanted]

    recording.set_property(LABEL_PROPERTY, np.array([labels[str(c)] for c in recording.channel_ids]))
    bad = having(*BAD_LABELS)
    out = having(OUT_LABEL) if params.remove_out_channels else []
    if len(out) + len(bad) == recording.get_num_channels():
        raise SkippedByRule("every channel is dead, noisy or outside the brain")
    if out:
        recording = recording.remove_channels(out)
        steps.append("remove_out_channels")
    if params.denoising_strategy == "destripe":
        if bad:
            recording = spre.interpolate_bad_channels(recording, bad)
            steps.append("interpolate_bad_channels")
        recording = _spatial_filter(recording, params)
        steps.append("highpass_spatial_filter")
    else:
        good = [channel for channel in recording.channel_ids if channel not in set(bad)]
        reference = params.common_reference.model_dump()
        if bad and not params.remove_bad_channels and reference["reference"] == "global":
            reference["ref_channel_ids"] = good  # a bad channel kept must not disturb the good ones
        elif bad and params.remove_bad_channels:
            recording = recording.remove_channels(bad)
            steps.append("remove_bad_channels")
            bad = []
        recording = spre.common_reference(recording, **reference)
        steps.append("common_reference")
    if bad and params.remove_bad_channels:
        recording = recording.remove_channels(bad)
        steps.append("remove_bad_channels")
    return recording, tuple(steps)


def _spatial_filter(recording: si.BaseRecording, params: PreprocessingParams) -> si.BaseRecording:
    arguments = params.highpass_spatial_filter.model_dump()
    for key in ("n_channel_pad", "n_channel_taper"):  # a short probe has fewer channels to mirror
        if arguments[key] is not None:
            arguments[key] = min(arguments[key], recording.get_num_channels())
    # The gain control's floor; drawn by the filter itself it would differ from run to run.
    floor = si.get_noise_levels(
        recording,
        method="rms",
        return_in_uV=False,
        random_slices_kwargs={"seed": SEED},
        n_jobs=1,
        progress_bar=False,
    )
    return spre.highpass_spatial_filter(recording, rms_values=floor, **arguments)


def build(work: Work) -> Built:
    """Preprocess a recording job; write the chain as JSON."""
    raw = load_recording(work)
    work.say(f"preprocessing {raw.get_num_channels()} channels, {raw.get_total_duration():.0f} s")
    result = preprocess(raw, work.params.preprocessing, work.job_kwargs(work.params.preprocessing.job_kwargs))
    recording = result.recording
    recording.annotate(spikepipe_steps=list(result.steps), spikepipe_channel_labels=result.channel_labels)
    recording.dump_to_json(work.path, relative_to=work.data, include_properties=True)
    counts = {
        label: list(result.channel_labels.values()).count(label) for label in ("good", "dead", "noise", "out")
    }
    return Built(
        reason=f"{recording.get_num_channels()} of {raw.get_num_channels()} channels kept",
        summary={
            "steps": " -> ".join(result.steps) or "none",
            "channels_in": raw.get_num_channels(),
            "channels_kept": recording.get_num_channels(),
            "duration_s": round(recording.get_total_duration(), 3),
            **{f"channels_{label}": number for label, number in counts.items() if result.channel_labels},
            "channel_labels": result.channel_labels,
        },
        pictures=(
            {"channel labels": channel_label_picture(raw, result.channel_labels)}
            if result.channel_labels
            else {}
        ),
    )


def load_preprocessed(work: Work) -> si.BaseRecording:
    """The preprocessed recording of a job as the lazy chain on its raw files."""
    return si.load(work.input("preprocessed_recording"), base_folder=work.data)


def read_channel_labels(work: Work) -> dict[str, str]:
    """Channel labels of a job, empty if none were made."""
    manifest = work.manifest("preprocessed_recording")
    return {} if manifest is None else manifest.summary.get("channel_labels", {})


def _settings(params: Params) -> dict[str, Any]:
    section = params.preprocessing
    dumped = section.model_dump(mode="json", exclude={"motion_correction", "job_kwargs", "t_start", "t_stop"})
    if section.custom_preprocessing_pipeline is not None:
        return {
            "min_preprocessing_duration": section.min_preprocessing_duration,
            "custom_preprocessing_pipeline": list(
                dumped["custom_preprocessing_pipeline"].items()
            ),  # order matters
        }
    dumped.pop("bandpass_filter" if section.filter_type == "highpass" else "highpass_filter")
    dumped.pop("common_reference" if section.denoising_strategy == "destripe" else "highpass_spatial_filter")
    return dumped


STAGE = Stage(
    name="preprocessed_recording",
    version="1",
    section="preprocessing",
    location="preprocessed/{name}.json",
    settings=_settings,
    inputs=lambda _: ("recording",),
    build=build,
)
