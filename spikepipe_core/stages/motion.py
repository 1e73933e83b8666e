"""Motion: estimate how the tissue moved along the probe.

Peaks are detected and localised on the preprocessed traces and their depth is followed over time with one of
SpikeInterface's presets. Segments are followed as if they had been recorded without a break between them. The estimate
is always saved; it is applied to the traces only if `motion_correction.apply` (before sorting) or
`postprocessing.use_motion_corrected` (after it) asks for that.

An estimate that fails does not stop sorting: its check fails and says why, and the peaks are saved. Only what is to be
corrected by it then fails too.

Settings that decide: `preprocessing.motion_correction`.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.core as si
import spikeinterface.preprocessing as spre
from numpy.typing import NDArray
from spikeinterface.core.motion import Motion

from spikepipe_core.compiled import keep_compiled
from spikepipe_core.errors import ParamsError, StageFailedError
from spikepipe_core.params import MotionCorrectionParams, Params
from spikepipe_core.pictures import motion_picture
from spikepipe_core.stages.motion_arguments import effective_steps
from spikepipe_core.stages.motion_peaks import find_peaks
from spikepipe_core.stages.motion_segments import by_segment, in_segments
from spikepipe_core.stages.recording import load_recording
from spikepipe_core.stages.reloadable import MotionCorrectedRecording
from spikepipe_core.stages.stage import Built, Stage, Work
from spikepipe_core.stages.traces import cached_traces

MIN_PEAKS = 100
"""With fewer peaks there is no depth profile to follow (ours: ten peaks in each of ten time bins)."""

CHECK = "motion_estimate"


@dataclass(frozen=True)
class Estimate:
    """What came of a motion estimate.

    Attributes
    ----------
    motion : Motion or None
        In um, with as many segments as the recording and time bins on its clock; None if there is none.
    peaks, locations : structured arrays, shape (peaks,)
        What was followed; samples are those of their segments.
    parameters : dict
        Effective parameters of each step.
    changes : tuple of str
        What was chosen for the recording's length, in words.
    failure : str or None
        Why there is no motion though there are peaks enough.
    """

    motion: Motion | None
    peaks: NDArray[Any]
    locations: NDArray[Any]
    parameters: dict[str, Any]
    run_times: dict[str, float] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    failure: str | None = None

    def info(self) -> dict[str, Any]:
        """SpikeInterface's motion information."""
        return {
            "motion": self.motion,
            "peaks": self.peaks,
            "peak_locations": self.locations,
            "parameters": self.parameters,
            "run_times": self.run_times,
        }


def estimate_motion(
    recording: si.BaseRecording,
    params: MotionCorrectionParams,
    folder: Path,
    job_kwargs: dict[str, Any],
    *,
    length_um: float | None = None,
) -> Estimate:
    """Estimate motion with a SpikeInterface preset.

    Parameters
    ----------
    recording : BaseRecording
        Preprocessed traces with a probe.
    params : MotionCorrectionParams
    folder : Path
        Scratch space for peaks; made and removed.
    length_um : float, optional
        Length of the probe, of which `win_step_norm` and `win_scale_norm` are fractions; that of the recording's
        channels if not given.

    Raises
    ------
    ParamsError
        The preset's methods do not take an argument.
    """
    keep_compiled()
    whole = si.concatenate_recordings([recording])  # without times too: gaps in them are no time to estimate
    steps, changes = effective_steps(whole, params, length_um)
    started = time.perf_counter()
    try:
        peaks, locations = find_peaks(whole, steps, folder, job_kwargs)
    except (TypeError, KeyError) as error:
        raise _refused(params, error) from error
    found = time.perf_counter()
    parameters = {"preset": params.preset, **steps, "sampling_frequency": whole.sampling_frequency}
    motion, failure = None, None
    if len(peaks) >= MIN_PEAKS:
        motion, failure = _follow(whole, peaks, locations, params, steps["estimate_motion_kwargs"])
    times = {"detect_and_localize": found - started, "estimate_motion": time.perf_counter() - found}
    return Estimate(
        None if motion is None else by_segment(motion, recording),
        in_segments(peaks, recording),
        locations,
        parameters,
        times,
        changes,
        failure,
    )


def _follow(
    recording: si.BaseRecording,
    peaks: NDArray[Any],
    locations: NDArray[Any],
    params: MotionCorrectionParams,
    arguments: dict[str, Any],
) -> tuple[Motion | None, str | None]:
    """The motion, or why there is none."""
    from spikeinterface.sortingcomponents.motion import estimate_motion as follow

    try:
        with _cheap_collections():
            motion = follow(recording, peaks, locations, progress_bar=False, **arguments)
    except TypeError as error:
        raise _refused(params, error) from error
    except ImportError as error:
        return None, f"{error}. Install it, or take the preset 'kilosort_like', which does not need it"
    except (RuntimeError, ValueError, AssertionError, IndexError, KeyError, np.linalg.LinAlgError) as error:
        return None, str(error) or type(error).__name__
    if not all(np.isfinite(displacement).all() for displacement in motion.displacement):
        return None, "the displacement is not finite everywhere"
    return motion, None


@contextmanager
def _cheap_collections() -> Iterator[None]:
    """Keep the garbage collector from looking at everything that is loaded.

    The decentralized method collects garbage twenty times in each depth window, a third of a second each time.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _refused(params: MotionCorrectionParams, error: Exception) -> ParamsError:
    return ParamsError(
        f"preprocessing.motion_correction: the methods of preset {params.preset!r} do not take these arguments: "
        f"{error}. Correct detect_kwargs, select_kwargs, localize_peaks_kwargs or estimate_motion_kwargs."
    )


# --- the output -------------------------------------------------------------------------------------------------------


def build(work: Work) -> Built:
    """Estimate motion on the preprocessed traces of a recording job."""
    params = work.params.preprocessing.motion_correction
    if not params.compute:
        return Built(reason="not computed: preprocessing.motion_correction.compute is false", empty=True)
    recording = cached_traces(work)
    if np.ptp(recording.get_channel_locations()[:, 1]) == 0:
        return Built(reason="not computed: all channels lie at the same depth", empty=True)
    work.say(f"estimating motion with {params.preset}")
    estimate = estimate_motion(
        recording,
        params,
        work.scratch.path(work.scratch_ref("motion_peaks")),
        work.job_kwargs(work.params.preprocessing.job_kwargs),
        length_um=float(np.ptp(load_recording(work).get_channel_locations()[:, 1])),
    )
    for change in estimate.changes:
        work.say(change)
    if len(estimate.peaks) < MIN_PEAKS:
        return Built(
            reason=f"not computed: {len(estimate.peaks)} peaks, fewer than the {MIN_PEAKS} that motion needs",
            empty=True,
        )
    spre.save_motion_info(estimate.info(), work.path)
    return _describe(estimate, params)


def _describe(estimate: Estimate, params: MotionCorrectionParams) -> Built:
    motion, number = estimate.motion, len(estimate.peaks)
    summary: dict[str, Any] = {
        "preset": params.preset,
        "peaks": number,
        "changed_for_memory": "; ".join(estimate.changes) or "nothing",
    }
    if motion is None:
        why = f"no estimate with preset {params.preset!r}: {estimate.failure}"
        remedy = "Choose another preprocessing.motion_correction.preset, or set compute to false."
        check = {"passed": False, "description": f"{why}. {remedy}"}
        return Built(reason=why, summary={**summary, "failure": estimate.failure, "checks": {CHECK: check}})
    extent = max(float(np.ptp(displacement)) for displacement in motion.displacement)
    reason = f"{extent:.1f} um at most, from {number} peaks"
    return Built(
        reason=reason,
        summary={
            **summary,
            "motion_extent_um": round(extent, 2),
            "windows": len(motion.spatial_bins_um),
            "checks": {CHECK: {"passed": True, "description": reason}},
        },
        pictures={"motion": motion_picture(motion)},
    )


def load_motion_info(work: Work) -> dict[str, Any] | None:
    """The motion information of a job, None if motion was not computed or its estimate failed."""
    manifest = work.manifest("motion")
    if manifest is None or manifest.empty or manifest.summary.get("failure"):
        return None
    return spre.load_motion_info(work.input("motion"))


def interpolate(
    recording: si.BaseRecording, motion: Motion, params: MotionCorrectionParams
) -> si.BaseRecording:
    """Move every trace to where the tissue was, lazily.

    Parameters
    ----------
    recording : BaseRecording
        Integers become float32.
    motion : Motion
        With as many segments as the recording.
    """
    preset = spre.motion.motion_options_preset[params.preset]["interpolate_motion_kwargs"]
    return MotionCorrectedRecording.of(recording, motion, {**preset, **params.interpolate_motion_kwargs})


def motion_corrected(work: Work, recording: si.BaseRecording) -> si.BaseRecording:
    """The recording with the job's motion applied; as it is if no motion was computed.

    Raises
    ------
    StageFailedError
        The estimate failed, so that it cannot be applied.
    """
    manifest = work.manifest("motion")
    if manifest is not None and manifest.summary.get("failure"):
        raise StageFailedError(
            f"motion is to be applied, but there is {manifest.summary['result']}. Choose another "
            "preprocessing.motion_correction.preset, or do not apply it (preprocessing.motion_correction.apply and "
            "postprocessing.use_motion_corrected)."
        )
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
    version="3",
    section="preprocessing.motion_correction",
    location="preprocessed/motion/{name}",
    settings=_settings,
    inputs=lambda _: ("preprocessed_recording",),
    build=build,
    checks={CHECK: "Motion could be estimated; if not, it is not known how the tissue moved."},
)
