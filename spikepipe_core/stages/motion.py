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
    """Estimate motion with a SpikeInterface preset.

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
    return info


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
    """Move every trace to where the tissue was, lazily."""
    from spikeinterface.sortingcomponents.motion import InterpolateMotionRecording

    preset = spre.get_motion_parameters_preset(params.preset)["interpolate_motion_kwargs"]
    floating = recording.astype("float32") if recording.get_dtype().kind == "i" else recording
    return InterpolateMotionRecording(floating, motion, **{**preset, **params.interpolate_motion_kwargs})


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
