"""Preprocessing: temporal filter, phase shift, bad channels, common reference or destriping.

1. If asked for, stimulation artifacts are bridged around given events (`remove_stimulation_artifacts`).
2. The traces are high-pass (or band-pass) filtered, and the sampling offsets of multiplexed ADCs are undone where the
   probe declares them.
3. Dead, noisy and out-of-brain channels are found on the filtered signal, and taken out.
4. The remaining channels are referenced to their common median (``cmr``) or passed through the spatial high-pass
   filter of the IBL (``destripe``).
5. If asked for, stretches in which the amplifiers were saturated are silenced (`blank_saturation`).

A pipeline of the user's own replaces 2 to 4. The output is the lazy chain as JSON with paths relative to the data
folder, so that it loads from the raw files.

A recording shorter than `min_preprocessing_duration` (except with `debug`), or with more than
`max_bad_channel_fraction` of its channels dead or noisy, is left out, with the reason in the ledger. A step that fails
is an error; none is left out to let the rest go on.

Settings that decide: the `preprocessing` section, without `motion_correction` and `job_kwargs`; the events file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import spikeinterface.core as si
import spikeinterface.preprocessing as spre

from spikepipe_core.errors import NotAvailableError, ParamsError, SkippedByRule, SpikepipeError
from spikepipe_core.ingest.shape import signed
from spikepipe_core.params import Params, PreprocessingParams
from spikepipe_core.pictures import channel_label_picture
from spikepipe_core.stages import artifact_events, artifacts
from spikepipe_core.stages.artifacts import Found, Windows
from spikepipe_core.stages.bad_channels import BAD_LABELS, MIN_CHANNELS, OUT_LABEL, Labels, detector
from spikepipe_core.stages.chain import Chain, Step, write_chain
from spikepipe_core.stages.custom_pipeline import apply_custom
from spikepipe_core.stages.recording import load_recording
from spikepipe_core.stages.stage import Built, Stage, Work

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
    steps : tuple of Step
        What was applied, in order, with its effective parameters.
    found : tuple of Found
        What artifact handling found.
    """

    recording: si.BaseRecording
    channel_labels: Labels
    steps: tuple[Step, ...]
    found: tuple[Found, ...] = field(default=())

    @property
    def step_names(self) -> tuple[str, ...]:
        """Names of the steps."""
        return tuple(step.name for step in self.steps)


def preprocess(
    recording: si.BaseRecording,
    params: PreprocessingParams,
    job_kwargs: dict[str, Any] | None = None,
    *,
    stimulation: Windows | None = None,
    detect: Callable[[si.BaseRecording], Labels] | None = None,
) -> Preprocessed:
    """Apply the preprocessing that the params describe.

    Parameters
    ----------
    recording : BaseRecording
        Raw traces with a probe.
    params : PreprocessingParams
    job_kwargs : dict, optional
        Parallelism of what reads the traces: bad channel and saturation detection.
    stimulation : Windows, optional
        The stretches that `remove_stimulation_artifacts` takes out.
    detect : callable, optional
        What labels the channels of the filtered recording; SpikeInterface's detection with these params if not given.

    Raises
    ------
    SkippedByRule
        Too short, or too many bad channels.
    ParamsError
        SpikeInterface refuses a step, or an argument of it, for this recording.
    """
    _require_duration(recording, params.min_preprocessing_duration)
    job_kwargs = job_kwargs or {}
    raw = signed(recording)
    chain = Chain(raw)
    found: list[Found] = []
    with _refusal_explained("preprocessing"):
        if stimulation is not None:
            artifacts.bridge(chain, stimulation)
            found.append(stimulation.found)
        if params.custom_preprocessing_pipeline is None:
            detect = detect or detector(params, job_kwargs)
            labels = _default(chain, params, detect, stimulation, job_kwargs)
        else:
            labels = apply_custom(chain, params.custom_preprocessing_pipeline, job_kwargs)
            _require_good_channels(labels, params)
            artifacts.subtract(chain, stimulation, job_kwargs)
        if params.blank_saturation is not None:
            found.append(artifacts.blank_saturation(chain, raw, params.blank_saturation, job_kwargs))
    return Preprocessed(chain.recording, labels, tuple(chain.steps), tuple(found))


def _require_duration(recording: si.BaseRecording, minimum_s: float) -> None:
    duration = recording.get_total_duration()
    if duration < minimum_s:
        raise SkippedByRule(
            f"the recording lasts {duration:.1f} s, less than preprocessing.min_preprocessing_duration = "
            f"{minimum_s:g} s"
        )


@contextmanager
def _refusal_explained(what: str) -> Iterator[None]:
    """Turn SpikeInterface's refusal of a value into an error that says which params to look at."""
    try:
        yield
    except SpikepipeError:
        raise
    except (
        TypeError,
        ValueError,
        KeyError,
        IndexError,
        AssertionError,
        AttributeError,
        NotImplementedError,
        np.linalg.LinAlgError,
    ) as error:
        raise ParamsError(
            f"{what} cannot be applied to this recording: {error or type(error).__name__}. Correct the step's params; "
            "see SpikeInterface's documentation of its preprocessing."
        ) from error
    except ImportError as error:
        raise NotAvailableError(
            f"{what} asks for a step that needs a package which is not installed: {error}. Install it."
        ) from error


def _default(
    chain: Chain,
    params: PreprocessingParams,
    detect: Callable[[si.BaseRecording], Labels],
    stimulation: Windows | None,
    job_kwargs: dict[str, Any],
) -> Labels:
    """The documented pipeline."""
    filter_and_align(chain, params)
    artifacts.subtract(chain, stimulation, job_kwargs)
    labels: Labels = {}
    if chain.recording.get_num_channels() >= MIN_CHANNELS:
        _require_gains(chain.recording, params)
        labels = detect(chain.recording)
        chain.note("detect_bad_channels", **params.detect_bad_channels.kwargs())
        _require_good_channels(labels, params)
        chain.recording.set_property(
            LABEL_PROPERTY, np.array([labels[str(channel)] for channel in chain.recording.channel_ids])
        )
    _denoise(chain, labels, params)
    return labels


def filter_and_align(chain: Chain, params: PreprocessingParams) -> None:
    """Filter in time and undo the ADCs' sampling offsets: the signal that channels are judged on."""
    if params.filter_type == "bandpass":
        chain.apply(spre.bandpass_filter, **params.bandpass_filter.kwargs())
    else:
        chain.apply(spre.highpass_filter, **params.highpass_filter.kwargs())
    shifts = chain.recording.get_property("inter_sample_shift")
    if shifts is not None:
        # As an argument the offsets are part of the chain; a property gets lost where a chain is written without.
        chain.apply(
            partial(spre.phase_shift, inter_sample_shift=shifts),
            name="phase_shift",
            **params.phase_shift.kwargs(),
        )


def _require_gains(recording: si.BaseRecording, params: PreprocessingParams) -> None:
    if params.detect_bad_channels.method == "coherence+psd" and not recording.has_scaleable_traces():
        raise ParamsError(
            "preprocessing.detect_bad_channels.method = 'coherence+psd' judges channels by uV, and this recording has "
            "no gains. Give them to the reader (gain_to_uV, offset_to_uV), or take the method 'mad'."
        )


def _require_good_channels(labels: Labels, params: PreprocessingParams) -> None:
    limit = params.max_bad_channel_fraction
    bad = sum(label in BAD_LABELS for label in labels.values())
    if labels and bad == len(labels):
        raise SkippedByRule(
            f"all {bad} channels are dead or noisy. If they are not, the gain may be wrong (channels are judged by "
            "uV): correct it, or take preprocessing.detect_bad_channels.method = 'mad', which compares them with "
            "each other"
        )
    if bad > limit * len(labels):
        raise SkippedByRule(
            f"{bad} of {len(labels)} channels are dead or noisy ({bad / len(labels):.0%}), more than "
            f"preprocessing.max_bad_channel_fraction = {limit:g}"
        )


def _denoise(chain: Chain, labels: Labels, params: PreprocessingParams) -> None:
    """Take channels out and remove what the others have in common."""

    def having(*wanted: str) -> list[Any]:
        return [channel for channel in chain.recording.channel_ids if labels.get(str(channel)) in wanted]

    bad = having(*BAD_LABELS)
    out = having(OUT_LABEL) if params.remove_out_channels else []
    if len(out) + len(bad) == chain.recording.get_num_channels():
        raise SkippedByRule("every channel is dead, noisy or outside the brain")
    _remove(chain, out, "remove_out_channels")
    if params.denoising_strategy == "destripe":
        if bad:
            chain.apply(spre.interpolate_bad_channels, bad_channel_ids=bad)
        _filter_in_space(chain, params)
        if params.remove_bad_channels:
            _remove(chain, bad, "remove_bad_channels")
    else:
        if params.remove_bad_channels:
            _remove(chain, bad, "remove_bad_channels")
        _reference(chain, having(*BAD_LABELS), params)


def _remove(chain: Chain, channels: list[Any], name: str) -> None:
    if channels:
        chain.apply(lambda recording, channel_ids: recording.remove_channels(channel_ids), name=name,
                    channel_ids=channels)  # fmt: skip


def _reference(chain: Chain, kept_bad: list[Any], params: PreprocessingParams) -> None:
    """Subtract the common reference; a bad channel that is kept takes no part in it."""
    channels = chain.recording.channel_ids
    if len(channels) <= 2:
        return  # nothing would be left of one channel; two would mirror each other, which cannot be whitened
    arguments = params.common_reference.kwargs()
    if kept_bad and arguments["reference"] == "global":
        arguments.setdefault("ref_channel_ids", [one for one in channels if one not in set(kept_bad)])
    chain.apply(spre.common_reference, **arguments)


def _filter_in_space(chain: Chain, params: PreprocessingParams) -> None:
    arguments = params.highpass_spatial_filter.kwargs()
    for key in ("n_channel_pad", "n_channel_taper"):  # a short probe has fewer channels to mirror
        if arguments[key] is not None:
            arguments[key] = min(arguments[key], chain.recording.get_num_channels())
    # The gain control's floor; drawn by the filter itself it would differ from run to run.
    floor = si.get_noise_levels(
        chain.recording,
        method="rms",
        return_in_uV=False,
        random_slices_kwargs={"seed": SEED},
        n_jobs=1,
        progress_bar=False,
    )
    chain.apply(
        partial(spre.highpass_spatial_filter, rms_values=floor), name="highpass_spatial_filter", **arguments
    )


def build(work: Work) -> Built:
    """Preprocess a recording job; write the chain as JSON."""
    raw, params = load_recording(work), work.params.preprocessing
    if work.params.job_dispatch.debug:  # which cuts every recording to some seconds
        params = params.model_copy(update={"min_preprocessing_duration": 0.0})
    work.say(f"preprocessing {raw.get_num_channels()} channels, {raw.get_total_duration():.0f} s")
    job_kwargs = work.job_kwargs(params.job_kwargs)
    stimulation = artifact_events.load_windows(work, raw)
    detect = detector(params, job_kwargs, work, artifacts=_events_identity(work))
    result = preprocess(raw, params, job_kwargs, stimulation=stimulation, detect=detect)
    for found in result.found:
        work.say(found.words)
    recording = result.recording
    recording.annotate(
        spikepipe_steps=[step.as_dict() for step in result.steps],
        spikepipe_channel_labels=result.channel_labels,
    )
    write_chain(recording, work.path, work.data)
    return _describe(raw, result)


def _describe(raw: si.BaseRecording, result: Preprocessed) -> Built:
    recording, labels = result.recording, result.channel_labels
    counts = {label: list(labels.values()).count(label) for label in ("good", "dead", "noise", "out")}
    return Built(
        reason=f"{recording.get_num_channels()} of {raw.get_num_channels()} channels kept",
        summary={
            "steps": " -> ".join(result.step_names) or "none",
            "parameters": [{"step": step.name, "parameters": step.words} for step in result.steps],
            "channels_in": raw.get_num_channels(),
            "channels_kept": recording.get_num_channels(),
            "duration_s": round(recording.get_total_duration(), 3),
            **{f"channels_{label}": number for label, number in counts.items() if labels},
            **{key: value for found in result.found for key, value in found.numbers.items()},
            "channel_labels": labels,
        },
        pictures={"channel labels": channel_label_picture(raw, labels)} if labels else {},
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
    if params.job_dispatch.debug:
        dumped["min_preprocessing_duration"] = None
    for key in ("remove_stimulation_artifacts", "blank_saturation"):
        if dumped[key] is None:
            del dumped[key]
    if section.custom_preprocessing_pipeline is not None:
        kept = {"min_preprocessing_duration", "max_bad_channel_fraction"}
        kept |= {"remove_stimulation_artifacts", "blank_saturation"}
        return {
            **{key: value for key, value in dumped.items() if key in kept},
            "custom_preprocessing_pipeline": list(
                dumped["custom_preprocessing_pipeline"].items()
            ),  # order matters
        }
    dumped.pop("bandpass_filter" if section.filter_type == "highpass" else "highpass_filter")
    dumped.pop("common_reference" if section.denoising_strategy == "destripe" else "highpass_spatial_filter")
    return dumped


def _events_identity(work: Work) -> dict[str, Any]:
    """What decides about artifacts besides the recording: the params, and digest of the events' file."""
    params = work.params.preprocessing.remove_stimulation_artifacts
    if params is None:
        return {}
    return {"events": artifact_events.fingerprint(work, params), "params": params.model_dump(mode="json")}


def _identity(work: Work) -> dict[str, Any]:
    params = work.params.preprocessing.remove_stimulation_artifacts
    return {} if params is None else {"events": artifact_events.fingerprint(work, params)}


STAGE = Stage(
    name="preprocessed_recording",
    version="4",
    section="preprocessing",
    location="preprocessed/{name}.json",
    settings=_settings,
    inputs=lambda _: ("recording",),
    identity=_identity,
    build=build,
)
