"""Motion: estimate how the tissue moved along the probe.

Peaks are detected and localised on the preprocessed traces and their depth is followed over time with one of
SpikeInterface's presets. The estimate is always saved; it is applied to the traces only if
`motion_correction.apply` (before sorting) or `postprocessing.use_motion_corrected` (after it) asks for that.

Settings that decide: `preprocessing.motion_correction`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import spikeinterface.core as si
import spikeinterface.preprocessing as spre
from spikeinterface.core.motion import Motion

from spikepipe_core.compiled import keep_compiled
from spikepipe_core.errors import StageFailedError
from spikepipe_core.ingest import regular_times
from spikepipe_core.params import MotionCorrectionParams, Params
from spikepipe_core.pictures import motion_picture
from spikepipe_core.stages.stage import Built, Stage, Work
from spikepipe_core.stages.traces import cached_traces

MIN_PEAKS = 100
"""With fewer peaks there is no depth profile to follow (ours: ten peaks in each of ten time bins)."""


SEED = 0
"""Of the random chunks from which noise levels are estimated."""


def estimate_motion(
    recording: si.BaseRecording, params: MotionCorrectionParams, job_kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Estimate motion with a SpikeInterface preset; of several segments as of one, and split back.

    Parameters
    ----------
    recording : BaseRecording
        Preprocessed traces with a probe.
    params : MotionCorrectionParams

    Returns
    -------
    dict
        SpikeInterface's motion information: ``motion`` (um; None if there were fewer than `MIN_PEAKS` peaks
        and no estimate), ``peaks``, ``peak_locations`` (um), ``parameters``, ``run_times`` (s).

    Raises
    ------
    StageFailedError
        The estimate failed; the message has SpikeInterface's reason.
    """
    keep_compiled()
    segments = recording
    recording = segments if segments.get_num_segments() == 1 else si.concatenate_recordings([segments])
    # Drawn by SpikeInterface itself the noise levels, and so the motion, would differ from run to run.
    noise = si.get_noise_levels(
        recording, return_in_uV=False, random_slices_kwargs={"seed": SEED}, **job_kwargs
    )
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            _, info = spre.compute_motion(
                recording,
                preset=params.preset,
                detect_kwargs={"noise_levels": noise, **params.detect_kwargs},
                select_kwargs=params.select_kwargs,
                localize_peaks_kwargs=params.localize_peaks_kwargs,
                estimate_motion_kwargs=estimation_arguments(recording, params),
                output_motion_info=True,
                raise_error=False,  # the number of peaks tells whether that is an error
                **job_kwargs,
            )
    except (RuntimeError, ValueError, AssertionError, IndexError, TypeError) as error:
        raise _failed(params, str(error)) from error
    if info["motion"] is None and len(info["peaks"]) >= MIN_PEAKS:
        raise _failed(params, str(said[-1].message))
    return info if recording is segments else _by_segment(info, segments)


def _by_segment(info: dict[str, Any], segments: si.BaseRecording) -> dict[str, Any]:
    """Peaks and motion of segments laid end to end, as those of the segments, on the times of each."""
    count, rate = segments.get_num_segments(), segments.get_sampling_frequency()
    starts, ends = _limits(segments)
    peaks = info["peaks"].copy()
    peaks["segment_index"] = np.searchsorted(ends, peaks["sample_index"], side="right")
    peaks["sample_index"] -= starts[peaks["segment_index"]]
    motion = info["motion"]
    if motion is not None:
        bins, displacement = motion.temporal_bins_s[0], motion.displacement[0]
        inside = [
            _bins_inside(bins, start / rate, end / rate) for start, end in zip(starts, ends, strict=True)
        ]
        shifts = [segments.get_start_time(index) - starts[index] / rate for index in range(count)]
        motion = Motion(
            [displacement[chosen] for chosen in inside],
            [bins[chosen] + shift for chosen, shift in zip(inside, shifts, strict=True)],
            motion.spatial_bins_um,
            direction=motion.direction,
            interpolation_method=motion.interpolation_method,
        )
    return {**info, "peaks": peaks, "motion": motion}


def _bins_inside(centres_s: np.ndarray, start_s: float, end_s: float) -> np.ndarray:
    """Time bins with their centre in a segment; the two nearest if there are fewer: one gives no slope."""
    inside = np.flatnonzero((centres_s >= start_s) & (centres_s < end_s))
    if len(inside) >= 2 or len(centres_s) < 2:
        return inside if len(inside) else np.arange(len(centres_s))
    return np.sort(np.argsort(np.abs(centres_s - (start_s + end_s) / 2))[:2])


def _failed(params: MotionCorrectionParams, why: str) -> StageFailedError:
    return StageFailedError(
        f"motion estimation with preset {params.preset!r} failed: {why}. Choose another "
        "preprocessing.motion_correction.preset, or set preprocessing.motion_correction.compute to false."
    )


def estimation_arguments(recording: si.BaseRecording, params: MotionCorrectionParams) -> dict[str, Any]:
    """Arguments of the estimator, with window sizes in um.

    `win_step_norm` and `win_scale_norm` are fractions of the probe's length, as in the AIND pipeline.
    """
    arguments: dict[str, Any] = dict(params.estimate_motion_kwargs)
    preset = spre.get_motion_parameters_preset(params.preset)["estimate_motion_kwargs"]
    if preset.get("batching_mode") == "offline":
        # SpikeInterface 0.105's "dredge" preset asks for a mode that its estimator calls "full".
        arguments.setdefault("batching_mode", "full")
    length_um = float(np.ptp(recording.get_channel_locations()[:, 1]))
    for norm, um in (("win_step_norm", "win_step_um"), ("win_scale_norm", "win_scale_um")):
        fraction = arguments.pop(norm, None)
        if fraction is not None and um not in arguments:
            arguments[um] = fraction * length_um
    return arguments


def build(work: Work) -> Built:
    """Estimate motion on the preprocessed traces of a recording job."""
    params = work.params.preprocessing.motion_correction
    if not params.compute:
        return Built(reason="not computed: preprocessing.motion_correction.compute is false", empty=True)
    recording = cached_traces(work)
    if np.ptp(recording.get_channel_locations()[:, 1]) == 0:
        return Built(reason="not computed: all channels lie at the same depth", empty=True)
    work.say(f"estimating motion with {params.preset}")
    info = estimate_motion(recording, params, work.job_kwargs(work.params.preprocessing.job_kwargs))
    if len(info["peaks"]) < MIN_PEAKS:
        return Built(
            reason=f"not computed: {len(info['peaks'])} peaks, fewer than the {MIN_PEAKS} that motion needs",
            empty=True,
        )
    spre.save_motion_info(info, work.path)
    extent = max(float(np.ptp(displacement)) for displacement in info["motion"].displacement)
    return Built(
        reason=f"{extent:.1f} um at most, from {len(info['peaks'])} peaks",
        summary={
            "preset": params.preset,
            "peaks": len(info["peaks"]),
            "motion_extent_um": round(extent, 2),
            "windows": len(info["motion"].spatial_bins_um),
        },
        pictures={"motion": motion_picture(info["motion"])},
    )


def load_motion_info(work: Work) -> dict[str, Any] | None:
    """The motion information of a job, None if motion was not computed."""
    manifest = work.manifest("motion")
    if manifest is None or manifest.empty:
        return None
    return spre.load_motion_info(work.input("motion"))


def interpolate(
    recording: si.BaseRecording, motion: Motion, params: MotionCorrectionParams
) -> si.BaseRecording:
    """Move every trace to where the tissue was, lazily; channels that leave the probe in any segment are left out."""
    from spikeinterface.sortingcomponents.motion import InterpolateMotionRecording

    preset = spre.get_motion_parameters_preset(params.preset)["interpolate_motion_kwargs"]
    arguments = {**preset, **params.interpolate_motion_kwargs}
    floating = recording.astype("float32") if recording.get_dtype().kind == "i" else recording
    if recording.get_num_segments() == 1:
        return InterpolateMotionRecording(floating, motion, **arguments)
    # SpikeInterface 0.105 asks for the displacement of several segments without saying of which.
    whole = InterpolateMotionRecording(
        si.concatenate_recordings([floating]), _end_to_end(motion, recording), **arguments
    )
    first, last = _limits(recording)
    parts = [whole.frame_slice(*limits) for limits in zip(first, last, strict=True)]
    times = [float(recording.get_start_time(index)) for index in range(recording.get_num_segments())]
    return regular_times(si.append_recordings(parts), times)


def _end_to_end(motion: Motion, segments: si.BaseRecording) -> Motion:
    """The motion of several segments as that of one, in which they follow each other without a break."""
    first, _ = _limits(segments)
    shifts = first / segments.get_sampling_frequency() - [
        segments.get_start_time(index) for index in range(segments.get_num_segments())
    ]
    bins = np.concatenate([one + shift for one, shift in zip(motion.temporal_bins_s, shifts, strict=True)])
    # A short segment has bins of its neighbours too.
    _, unique = np.unique(bins.round(6), return_index=True)
    return Motion(
        np.concatenate(motion.displacement)[unique],
        bins[unique],
        motion.spatial_bins_um,
        direction=motion.direction,
        interpolation_method=motion.interpolation_method,
    )


def _limits(segments: si.BaseRecording) -> tuple[np.ndarray, np.ndarray]:
    """First sample of each segment, and the one after its last, when they are laid end to end."""
    last = np.cumsum([segments.get_num_samples(index) for index in range(segments.get_num_segments())])
    return np.concatenate([[0], last[:-1]]), last


def motion_corrected(work: Work, recording: si.BaseRecording) -> si.BaseRecording:
    """The recording with the job's motion applied; as it is if no motion was computed."""
    info = load_motion_info(work)
    if info is None:
        work.say("no motion to apply")
        return recording
    return interpolate(recording, info["motion"], work.params.preprocessing.motion_correction)


def _settings(params: Params) -> dict[str, Any]:
    section = params.preprocessing.motion_correction
    if not section.compute:
        return {"compute": False}
    return section.model_dump(mode="json", exclude={"apply", "interpolate_motion_kwargs"})


STAGE = Stage(
    name="motion",
    version="1",
    section="preprocessing.motion_correction",
    location="preprocessed/motion/{name}",
    settings=_settings,
    inputs=lambda _: ("preprocessed_recording",),
    build=build,
)
