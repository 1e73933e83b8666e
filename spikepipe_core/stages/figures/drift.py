"""Figures of drift: peaks of the traces, and spikes of the units, over time and depth."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import spikeinterface.core as si
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from spikepipe_core.compiled import keep_compiled
from spikepipe_core.params import VisualizationParams
from spikepipe_core.stages.figures.canvas import (
    OKABE_ITO,
    FigureInfo,
    new_figure,
    save,
    say,
    tidy,
    unit_symbol,
)
from spikepipe_core.stages.figures.layout import DEPTH_LABEL
from spikepipe_core.stages.figures.timeline import TIME_LABEL, Timeline, scatter_events

STRETCH_S = 1.0
"""Length of a stretch in which peaks are looked for."""

MAX_STRETCHES = 300
"""Stretches looked at, at most: five minutes, spread evenly, show the drift of any recording (ours)."""

MAX_SPIKES = 200_000
"""Spikes drawn at most."""

UNIT_CYCLE = ("blue", "orange", "green", "vermillion", "purple", "sky", "black")


class LocatedPeaks(NamedTuple):
    """Peaks that are drawn, and where they are.

    Attributes
    ----------
    peaks : structured array, shape (n_peaks,)
        SpikeInterface's ``sample_index``, ``channel_index``, ``amplitude`` (in the units of the traces),
        ``segment_index``.
    locations : structured array, shape (n_peaks,)
        ``x`` and ``y`` in um.
    detected : int
        Peaks found; all but those drawn are left out here.
    covered_s : float
        Seconds in which they were looked for.
    """

    peaks: NDArray[Any]
    locations: NDArray[Any]
    detected: int
    covered_s: float


def find_peaks(
    recording: si.BaseRecording, params: VisualizationParams, job_kwargs: dict[str, Any]
) -> LocatedPeaks:
    """Detect peaks, each the largest of its neighbourhood, and locate those to draw by centre of mass.

    These are the methods of the AIND pipeline's drift maps. Time and memory are bounded: of a long recording only
    evenly spaced stretches are looked at, and only peaks that `drift.n_skip` leaves are located.

    Parameters
    ----------
    recording : BaseRecording
        Processed, with a probe.
    params : VisualizationParams
        `drift.detection`, `drift.localization` and `drift.n_skip` decide.
    job_kwargs : dict
        Parallelism.
    """
    from spikeinterface.sortingcomponents.peak_detection import detect_peaks
    from spikeinterface.sortingcomponents.peak_localization import localize_peaks

    keep_compiled()
    detection = params.drift.detection.model_dump()
    detection["random_slices_kwargs"] = {"seed": 0}  # of the noise levels that the threshold multiplies
    stretches = stretches_of(recording)
    covered_s = sum(stop - start for _, start, stop in stretches) / recording.get_sampling_frequency()
    where = {"slices": stretches}
    detected = detect_peaks(
        recording,
        method="locally_exclusive",
        method_kwargs=detection,
        pipeline_kwargs=where,
        job_kwargs=job_kwargs,
    )
    if not len(detected):
        nowhere = np.zeros(0, dtype=[("x", "float64"), ("y", "float64")])
        return LocatedPeaks(detected, nowhere, 0, covered_s)
    peaks = detected[:: params.drift.n_skip]
    localization = params.drift.localization
    locations = localize_peaks(
        recording,
        peaks,
        method="center_of_mass",
        method_kwargs={"radius_um": localization.radius_um},
        ms_before=localization.ms_before,
        ms_after=localization.ms_after,
        pipeline_kwargs=where,
        job_kwargs=job_kwargs,
    )
    return LocatedPeaks(peaks, locations, len(detected), covered_s)


def stretches_of(recording: si.BaseRecording) -> list[tuple[int, int, int]]:
    """Segment, first and last sample of the stretches looked at: all of a short recording, part of a long one."""
    size = max(1, round(STRETCH_S * recording.get_sampling_frequency()))
    lengths = [recording.get_num_samples(segment) for segment in range(recording.get_num_segments())]
    every = [
        (segment, start, min(start + size, length))
        for segment, length in enumerate(lengths)
        for start in range(0, length, size)
    ]
    if len(every) <= MAX_STRETCHES:
        return every
    return [every[index] for index in np.linspace(0, len(every) - 1, MAX_STRETCHES).astype(int)]


def drift_figure(
    recording: si.BaseRecording, located: LocatedPeaks, params: VisualizationParams, out: Path
) -> FigureInfo:
    """Peaks over time and depth, coloured by amplitude, a panel for each shank, `drift_map.png`.

    Parameters
    ----------
    recording : BaseRecording
        In which the peaks were found.
    located : LocatedPeaks
        From `find_peaks`.
    """
    shank_of_channel = np.asarray(recording.get_channel_groups()).astype(str)
    shanks = sorted(set(shank_of_channel.tolist()))
    peaks, depths = located.peaks, np.asarray(located.locations["y"], float)
    amplitudes = _amplitudes(recording, peaks, one_sided=params.drift.vmax <= 0)
    shank_of_peak = shank_of_channel[peaks["channel_index"]]

    norm = Normalize(params.drift.vmin, params.drift.vmax)
    style = {"cmap": params.drift.cmap, "norm": norm, "alpha": params.drift.alpha}
    figure = new_figure(params.drift.figsize[0], params.drift.figsize[1], "Drift map")
    axes = figure.subplots(1, len(shanks), squeeze=False, sharey=True)[0]
    timeline = Timeline(recording)
    largest_last = np.argsort(np.abs(amplitudes), kind="stable")
    for ax, shank in zip(axes, shanks, strict=True):
        mine = largest_last[shank_of_peak[largest_last] == shank]
        scatter_events(ax, timeline.seconds(peaks[mine]), depths[mine], amplitudes[mine], style)
        ax.set_xlabel(TIME_LABEL)
        ax.set_title(f"shank {shank}" if len(shanks) > 1 else "", fontsize=10)
        timeline.frame(ax)
        _frame_depth(ax, recording)
        tidy(ax)
    axes[0].set_ylabel(DEPTH_LABEL)
    unit = unit_symbol("uV" if recording.has_scaleable_traces() else "raw")
    figure.colorbar(
        ScalarMappable(norm, params.drift.cmap), ax=list(axes), extend="both", pad=0.01, aspect=40,
        label=f"peak amplitude ({unit})",
    )  # fmt: skip
    return save(figure, out, FigureInfo("drift_map.png", "Drift map", _caption(recording, located, params)))


def _caption(recording: si.BaseRecording, located: LocatedPeaks, params: VisualizationParams) -> str:
    total = recording.get_total_duration()
    looked = (
        f", looked for in {located.covered_s:.0f} s spread evenly over {total:.0f} s"
        if located.covered_s < 0.99 * total
        else ""
    )
    return (
        f"{len(located.peaks)} of {located.detected} peaks beyond {params.drift.detection.detect_threshold:g} times "
        f"the noise{looked}, over time and depth. Level bands mean a stable probe; slopes and steps are drift."
    )


def unit_spikes_figure(analyzer: si.SortingAnalyzer, out: Path) -> FigureInfo:
    """Depth of every unit's spikes over time, neighbouring units in different colours, `unit_spikes.png`."""
    info = FigureInfo(
        "unit_spikes.png",
        "Spikes of the units",
        "Depth of each unit's spikes over time. Neighbouring units have different colours. A unit that ends where "
        "another of the same course begins may be the same neuron.",
    )
    n_units = len(analyzer.unit_ids)
    figure = new_figure(10, 7, "Spikes of the sorted units")
    ax = figure.subplots()
    if not n_units:
        say(ax, "The sorter found no units on this probe.")
        return save(figure, out, info)
    if not analyzer.has_extension("spike_locations"):
        say(ax, "Spike locations were not computed.")
        return save(figure, out, info)
    spikes = analyzer.sorting.to_spike_vector()
    depths = np.asarray(analyzer.get_extension("spike_locations").get_data()["y"], float)
    colours = _alternating_colours(spikes["unit_index"], depths, n_units)
    some = np.arange(0, len(spikes), -(-len(spikes) // MAX_SPIKES) or 1)
    timeline = Timeline(analyzer.recording)
    scatter_events(ax, timeline.seconds(spikes[some]), depths[some], colours[some], {"alpha": 0.7})
    timeline.frame(ax)
    _frame_depth(ax, analyzer)
    ax.set(xlabel=TIME_LABEL, ylabel=DEPTH_LABEL)
    ax.set_title(f"{n_units} unit" + "s" * (n_units > 1), fontsize=10)
    tidy(ax)
    return save(figure, out, info)


def _amplitudes(recording: si.BaseRecording, peaks: NDArray[Any], one_sided: bool) -> NDArray[np.float64]:
    """Amplitude of each peak in uV (raw units without gains).

    On a colour scale that ends at 0 (`one_sided`), a positive peak takes the colour of a negative one of its size;
    it would be invisible otherwise.
    """
    amplitudes = peaks["amplitude"].astype("float64")
    if recording.has_scaleable_traces():
        amplitudes = amplitudes * recording.get_channel_gains()[peaks["channel_index"]]
    return -np.abs(amplitudes) if one_sided else amplitudes


def _frame_depth(ax: Axes, probed: si.BaseRecording | si.SortingAnalyzer) -> None:
    """Limit an axes to the probe, so that an empty part of it is seen as such."""
    y = probed.get_channel_locations()[:, 1]
    ax.set_ylim(float(y.min()) - 20, float(y.max()) + 20)


def _alternating_colours(
    unit_index: NDArray[np.integer], depths: NDArray[np.float64], n_units: int
) -> NDArray[np.str_]:
    """Colour of each spike: units take turns in order of their mean depth."""
    counts = np.maximum(np.bincount(unit_index, minlength=n_units), 1)
    means = np.bincount(unit_index, weights=np.nan_to_num(depths), minlength=n_units) / counts
    rank = np.argsort(np.argsort(means, kind="stable"), kind="stable")
    cycle = np.array([OKABE_ITO[name] for name in UNIT_CYCLE])
    return cycle[rank[unit_index] % len(cycle)]
