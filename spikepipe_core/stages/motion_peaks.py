"""Peaks from which motion is estimated: detected and located with SpikeInterface's nodes, in bounded memory.

Peaks go to disk as they are found. Of a recording with more of them than an estimate can use, every second, third, ...
is kept, so that memory depends on no recording's length or noise.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.core as si
from numpy.typing import NDArray
from spikeinterface.core.node_pipeline import ExtractDenseWaveforms, run_node_pipeline

MAX_PEAKS = 20_000_000
"""Peaks kept at most (ours): 1400 in each second of four hours, and 2 GB in memory while motion is estimated."""

SNIPPET_MS = (0.1, 0.3)
"""Stretch before and after a peak by which it is located: SpikeInterface's in `compute_motion`."""

SEED = 0
"""Of the random chunks from which noise levels are estimated, and of the selection of peaks."""

Peaks = tuple[NDArray[Any], NDArray[Any]]


def find_peaks(
    recording: si.BaseRecording,
    steps: Mapping[str, Mapping[str, Any]],
    folder: Path,
    job_kwargs: dict[str, Any],
) -> Peaks:
    """Detect and locate peaks.

    Parameters
    ----------
    recording : BaseRecording
        Preprocessed traces of one segment, with a probe.
    steps : mapping
        Effective ``detect_kwargs``, ``select_kwargs`` and ``localize_peaks_kwargs``. With an empty selection, peaks
        are located as they are found.
    folder : Path
        For peaks while they are looked for; made and removed.

    Returns
    -------
    peaks : structured array, shape (peaks,)
        ``sample_index``, ``channel_index``, ``amplitude`` (in the units of the traces), ``segment_index``; at most
        `MAX_PEAKS`.
    locations : structured array, shape (peaks,)
        ``x``, ``y`` and what else the method finds, in um.
    """
    try:
        if steps["select_kwargs"]:
            return _selected(recording, steps, folder, job_kwargs)
        return _all(recording, steps, folder, job_kwargs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _all(
    recording: si.BaseRecording,
    steps: Mapping[str, Mapping[str, Any]],
    folder: Path,
    job_kwargs: dict[str, Any],
) -> Peaks:
    from spikeinterface.sortingcomponents.peak_localization import peak_localization_methods

    detect, job_kwargs = _detector(recording, steps["detect_kwargs"], job_kwargs)
    snippets = ExtractDenseWaveforms(
        recording, parents=[detect], ms_before=SNIPPET_MS[0], ms_after=SNIPPET_MS[1]
    )
    arguments = dict(steps["localize_peaks_kwargs"])
    method = peak_localization_methods[arguments.pop("method")]
    locate = method(recording, parents=[detect, snippets], return_output=True, **arguments)
    peaks, locations = run_node_pipeline(
        recording,
        [detect, snippets, locate],
        job_kwargs,
        job_name="detect and locate peaks",
        gather_mode="npy",
        dest=folder,
        names=["peaks", "peak_locations"],
        squeeze_output=False,
    )
    kept = _thinned(len(peaks))
    return np.array(peaks[kept]), np.array(locations[kept])


def _selected(
    recording: si.BaseRecording,
    steps: Mapping[str, Mapping[str, Any]],
    folder: Path,
    job_kwargs: dict[str, Any],
) -> Peaks:
    from spikeinterface.sortingcomponents.peak_localization import localize_peaks
    from spikeinterface.sortingcomponents.peak_selection import select_peaks

    detect, detection_kwargs = _detector(recording, steps["detect_kwargs"], job_kwargs)
    (peaks,) = run_node_pipeline(
        recording,
        [detect],
        detection_kwargs,
        job_name="detect peaks",
        gather_mode="npy",
        dest=folder,
        names=["peaks"],
        squeeze_output=False,
    )
    found = np.array(peaks[_thinned(len(peaks))])
    chosen = select_peaks(found, recording=recording, **{"seed": SEED, **steps["select_kwargs"]})
    locations = localize_peaks(
        recording,
        chosen,
        method_kwargs=dict(steps["localize_peaks_kwargs"]),
        job_kwargs=job_kwargs,
        seed=SEED,
    )
    return chosen, locations


def _detector(
    recording: si.BaseRecording, arguments: Mapping[str, Any], job_kwargs: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The node that detects peaks, and the parallelism that it needs."""
    from spikeinterface.sortingcomponents.peak_detection import detect_peak_methods

    given = dict(arguments)
    method = detect_peak_methods[given.pop("method")]
    if method.need_noise_levels and "noise_levels" not in given:
        # Drawn by SpikeInterface itself the noise levels, and so the motion, would differ from run to run.
        given["noise_levels"] = si.get_noise_levels(
            recording, return_in_uV=False, random_slices_kwargs={"seed": SEED}, **job_kwargs
        )
    if method.preferred_mp_context is not None:
        job_kwargs = {**job_kwargs, "mp_context": method.preferred_mp_context}
    return method(recording, **given), job_kwargs


def _thinned(number: int) -> slice:
    return slice(None, None, -(-number // MAX_PEAKS) or 1)
