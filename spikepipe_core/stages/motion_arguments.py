"""Motion: what is asked of each step of the estimate.

The user's arguments go over the preset's. The matrices of a long recording would not fit in memory: from some bins on,
DREDge works through them in pieces (its mode "online"), and the decentralized method gets longer bins. Both are said,
and recorded with the estimate.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import spikeinterface.core as si
import spikeinterface.preprocessing as spre

from spikepipe_core.params import MotionCorrectionParams

MATRIX_BYTES = 4e9
"""Memory that the matrices over pairs of time bins may take (ours): a quarter of a 16 GB machine."""

BYTES_A_PAIR = {"full": 50, "online": 90, "decentralized": 300}
"""Memory for each pair of time bins; for DREDge in each depth window too (`bench/motion_memory.py` measures it)."""

BIN_S, WIN_STEP_UM = {"dredge_ap": 1.0, "decentralized": 2.0}, 200.0
"""SpikeInterface's, where neither preset nor user give them."""

_OF_ANY_ESTIMATOR = ("direction", "rigid", "win_shape", "win_step_um", "win_scale_um", "win_margin_um")


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
