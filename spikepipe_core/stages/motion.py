"""Motion: estimate how the tissue moved along the probe.

Peaks are detected and localised on the preprocessed traces and their depth is followed over time with one of
SpikeInterface's presets. Segments are followed as if they had been recorded without a break between them. The estimate
is always saved; it is applied to the traces only if `motion_correction.apply` (before sorting) or
`postprocessing.use_motion_corrected` (after it) asks for that.

An estimate that fails does not stop sorting: its check fails and says why, and the peaks are saved. Only what is to be
corrected by it then fails too.

The matrices of a long recording would not fit in memory: from some bins on, DREDge works through them in pieces (its
mode "online"), and the decentralized method gets longer bins. Both are said, and recorded with the estimate.

Settings that decide: `preprocessing.motion_correction`.
"""

from __future__ import annotations

import gc
import math
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
from spikepipe_core.stages.motion_peaks import find_peaks
from spikepipe_core.stages.recording import load_recording
from spikepipe_core.stages.reloadable import MotionCorrectedRecording
from spikepipe_core.stages.stage import Built, Stage, Work
from spikepipe_core.stages.traces import cached_traces

MIN_PEAKS = 100
"""With fewer peaks there is no depth profile to follow (ours: ten peaks in each of ten time bins)."""

MATRIX_BYTES = 4e9
"""Memory that the matrices over pairs of time bins may take (ours): a quarter of a 16 GB machine."""

BYTES_A_PAIR = {"full": 50, "online": 90, "decentralized": 300}
"""Memory for each pair of time bins; for DREDge in each depth window too (`bench/motion_memory.py` measures it)."""

BIN_S, WIN_STEP_UM = {"dredge_ap": 1.0, "decentralized": 2.0}, 200.0
"""SpikeInterface's, where neither preset nor user give them."""

MIN_BINS = 3
"""SpikeInterface 0.105 leaves the edge between two time bins undefined if there are no more."""

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
        _in_segments(peaks, recording),
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


# --- arguments --------------------------------------------------------------------------------------------------------


def effective_steps(
    recording: si.BaseRecording, params: MotionCorrectionParams, length_um: float | None = None
) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """Arguments of each step of the estimate, the preset's with the user's changes, and what the length changed.

    Parameters
    ----------
    recording : BaseRecording
        Of one segment.
    length_um : float, optional
        As in `estimate_motion`.
    """
    names = ("detect_kwargs", "select_kwargs", "localize_peaks_kwargs")
    preset = spre.motion.motion_options_preset[params.preset]
    steps = {name: _over_preset(preset[name], getattr(params, name)) for name in names}
    if length_um is None:
        length_um = float(np.ptp(recording.get_channel_locations()[:, 1]))
    given = window_sizes(params.estimate_motion_kwargs, length_um)
    estimate = _over_preset(preset["estimate_motion_kwargs"], given, of_any_method=_OF_ANY_ESTIMATOR)
    if estimate.get("batching_mode") == "offline":
        estimate["batching_mode"] = (
            "full"  # what SpikeInterface 0.105 calls it, except in the preset "dredge"
        )
    changes = fit_memory(estimate, given, recording.get_total_duration(), length_um)
    return {**steps, "estimate_motion_kwargs": estimate}, changes


_OF_ANY_ESTIMATOR = ("direction", "rigid", "win_shape", "win_step_um", "win_scale_um", "win_margin_um")


def _over_preset(
    preset: dict[str, Any], given: dict[str, Any], of_any_method: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The preset's arguments with the user's; of another method than the preset's, only what any method takes."""
    if given.get("method", preset.get("method")) != preset.get("method"):
        preset = {name: value for name, value in preset.items() if name in of_any_method}
    return {**preset, **given}


def window_sizes(given: dict[str, Any], length_um: float) -> dict[str, Any]:
    """Arguments of the estimator, with window sizes in um.

    `win_step_norm` and `win_scale_norm` are fractions of the probe's length, as in the AIND pipeline.
    """
    arguments = dict(given)
    for norm, um in (("win_step_norm", "win_step_um"), ("win_scale_norm", "win_scale_um")):
        fraction = arguments.pop(norm, None)
        if fraction is not None and um not in arguments:
            arguments[um] = fraction * length_um
    return arguments


def fit_memory(
    estimate: dict[str, Any], given: dict[str, Any], duration_s: float, length_um: float
) -> tuple[str, ...]:
    """Choose what keeps the matrices over pairs of time bins in memory, unless the user has chosen.

    Parameters
    ----------
    estimate : dict
        Effective arguments of the estimator; changed in place.
    given : dict
        Those of them that the user gave.

    Returns
    -------
    tuple of str
        What was chosen and why, in words.
    """
    method = estimate["method"]
    bin_s = float(estimate.get("bin_s", BIN_S.get(method, 1.0)))
    bins = math.ceil(duration_s / bin_s)
    if method == "decentralized" and "bin_s" not in given:
        most = int(math.sqrt(MATRIX_BYTES / BYTES_A_PAIR["decentralized"]))
        if bins > most:
            estimate["bin_s"] = math.ceil(10 * duration_s / most) / 10
            return (
                f"time bins of {estimate['bin_s']:g} s instead of {bin_s:g} s, so that {bins} fit in memory",
            )
    if method == "dredge_ap" and not {"batching_mode", "chunk_len_s"} & set(given):
        windows = 1 if estimate.get("rigid") else _windows(estimate, length_um)
        if BYTES_A_PAIR["full"] * windows * bins**2 > MATRIX_BYTES:
            # SpikeInterface calls it seconds and counts bins.
            piece = int(math.sqrt(MATRIX_BYTES / (BYTES_A_PAIR["online"] * windows)))
            estimate |= {"batching_mode": "online", "chunk_len_s": piece}
            return (f"in pieces of {piece} time bins (batching_mode online), so that {bins} fit in memory",)
    return ()


def _windows(estimate: dict[str, Any], length_um: float) -> int:
    """Depth windows, at most."""
    return math.ceil(length_um / max(float(estimate.get("win_step_um", WIN_STEP_UM)), 1.0)) + 1


# --- segments ---------------------------------------------------------------------------------------------------------


def by_segment(motion: Motion, recording: si.BaseRecording) -> Motion:
    """The motion of segments that were followed as one, with time bins on each segment's own clock.

    Bins at the border of two segments are in both, so that each is interpolated as the whole would be.

    Parameters
    ----------
    motion : Motion
        Of one segment; times in s since the first sample, over all segments.
    recording : BaseRecording
        With its segments and times.
    """
    rate, bins, moved = recording.get_sampling_frequency(), motion.temporal_bins_s[0], motion.displacement[0]
    if len(bins) < MIN_BINS:
        width = bins[1] - bins[0] if len(bins) == 2 else 2 * bins[0]
        bins = np.concatenate([[bins[0] - width], bins, [bins[-1] + width]])
        moved = np.pad(moved, ((1, 1), (0, 0)), mode="edge")
    displacement, times = [], []
    for segment, (first, last) in enumerate(_borders(recording)):
        mine = _bins_of(bins, first / rate, last / rate)
        displacement.append(moved[mine])
        times.append(_on_clock(recording, segment, bins[mine] * rate - first))
    return Motion(displacement, times, motion.spatial_bins_um, motion.direction, motion.interpolation_method)


def _bins_of(centres_s: NDArray[np.float64], start_s: float, stop_s: float) -> slice:
    """Time bins that reach into a segment, and one more on each side.

    SpikeInterface interpolates the first and the last bin of a motion by another time than their centres.
    """
    half = (centres_s[1] - centres_s[0]) / 2
    inside = np.flatnonzero((centres_s + half > start_s) & (centres_s - half < stop_s))
    first, last = max(0, int(inside[0]) - 1), min(len(centres_s), int(inside[-1]) + 2)
    return slice(max(0, min(first, last - MIN_BINS)), max(last, MIN_BINS))


def _on_clock(recording: si.BaseRecording, segment: int, frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Times of a segment's frames in s; of those before and after it too, by its rate."""
    nearest = np.clip(np.round(frames), 0, recording.get_num_samples(segment) - 1)
    times = recording.sample_index_to_time(nearest.astype(np.int64), segment_index=segment)
    return np.asarray(times, dtype=float) + (frames - nearest) / recording.get_sampling_frequency()


def _in_segments(peaks: NDArray[Any], recording: si.BaseRecording) -> NDArray[Any]:
    """Peaks of segments that were searched as one, with the samples of their own segments."""
    borders = _borders(recording)
    if len(borders) > 1:
        segment = np.searchsorted([last for _, last in borders], peaks["sample_index"], side="right")
        peaks["sample_index"] -= np.array([first for first, _ in borders])[segment]
        peaks["segment_index"] = segment
    return peaks


def _borders(recording: si.BaseRecording) -> list[tuple[int, int]]:
    """First sample, and the one after the last, of each segment, counted over all segments."""
    ends = np.cumsum([recording.get_num_samples(index) for index in range(recording.get_num_segments())])
    return [(int(end) - recording.get_num_samples(index), int(end)) for index, end in enumerate(ends)]


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
