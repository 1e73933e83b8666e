"""Figure of the estimated motion and of what it does to the peaks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.core as si
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from spikeinterface.core.motion import Motion

from spikepipe_core.params import VisualizationParams
from spikepipe_core.stages.figures.canvas import (
    FigureInfo,
    new_figure,
    quantile_scale,
    save,
    tidy,
    unit_symbol,
)
from spikepipe_core.stages.figures.layout import DEPTH_LABEL
from spikepipe_core.stages.figures.timeline import TIME_LABEL, Timeline, scatter_events


def motion_figure(
    recording: si.BaseRecording, info: Mapping[str, Any], params: VisualizationParams, out: Path
) -> FigureInfo:
    """Peaks before and after correction, and the motion itself, `motion.png`.

    Parameters
    ----------
    recording : BaseRecording
        On which the motion was estimated.
    info : mapping
        SpikeInterface's motion information: ``motion``, ``peaks``, ``peak_locations``, ``parameters``.
    """
    motion: Motion = info["motion"]
    some = slice(None, None, params.motion.scatter_decimate)
    peaks, depths = info["peaks"][some], np.asarray(info["peak_locations"][motion.direction][some], float)
    figure = new_figure(params.motion.figsize[0], params.motion.figsize[1], "Motion")
    before, after, lines, image = figure.subplots(2, 2, sharex=True).ravel()
    timeline = Timeline(recording)
    _draw_peaks(figure, (before, after), recording, motion, peaks, depths, params.motion.cmap)
    _draw_lines(lines, recording, motion, timeline)
    _draw_image(figure, image, recording, motion, timeline)
    for ax in (before, after, lines, image):
        timeline.frame(ax)
        tidy(ax)
    preset = info["parameters"].get("preset") or "custom"
    return save(
        figure,
        out,
        FigureInfo(
            "motion.png",
            "Motion",
            f"Motion estimated with {preset} from {len(info['peaks'])} peaks, of which one in "
            f"{params.motion.scatter_decimate} is drawn. After correction bands of peaks should be level.",
        ),
    )


def _draw_peaks(
    figure: Figure,
    pair: tuple[Axes, Axes],
    recording: si.BaseRecording,
    motion: Motion,
    peaks: NDArray[Any],
    depths: NDArray[np.float64],
    cmap: str,
) -> None:
    scaled = recording.has_scaleable_traces()
    gains = recording.get_channel_gains() if scaled else np.ones(recording.get_num_channels())
    amplitudes = peaks["amplitude"] * gains[peaks["channel_index"]]
    low, high = quantile_scale(amplitudes)
    style = {"cmap": cmap, "vmin": low, "vmax": high, "alpha": 0.6}
    seconds = Timeline(recording).seconds(peaks)
    corrected = depths - displacement_of(peaks, depths, motion, recording)
    for ax, at, title in (
        (pair[0], depths, "peaks as recorded"),
        (pair[1], corrected, "peaks after correction"),
    ):
        drawn = scatter_events(ax, seconds, at, amplitudes, style)
        ax.set(ylabel=DEPTH_LABEL, title=title)
    pair[1].sharey(pair[0])
    bar = figure.colorbar(
        drawn, ax=pair[1], pad=0.01, label=f"peak amplitude ({unit_symbol('uV' if scaled else 'raw')})"
    )
    if bar.solids is not None:
        bar.solids.set_alpha(1)


def displacement_of(
    peaks: NDArray[Any], depths: NDArray[np.float64], motion: Motion, recording: si.BaseRecording
) -> NDArray[np.float64]:
    """Displacement of the tissue at the time and depth of each peak.

    Returns
    -------
    array, shape (n_peaks,)
        um.
    """
    moved = np.zeros(len(peaks))
    for segment in range(recording.get_num_segments()):
        mine = peaks["segment_index"] == segment
        times = recording.sample_index_to_time(peaks["sample_index"][mine], segment_index=segment)
        moved[mine] = motion.get_displacement_at_time_and_depth(times, depths[mine], segment_index=segment)
    return moved


def _bins(
    recording: si.BaseRecording, motion: Motion, timeline: Timeline, segment: int
) -> NDArray[np.float64]:
    """Centres of a segment's time bins on the figure's time axis."""
    start = recording.sample_index_to_time(0, segment_index=segment)
    return motion.temporal_bins_s[segment] - start + timeline.starts[segment]


def _draw_lines(ax: Axes, recording: si.BaseRecording, motion: Motion, timeline: Timeline) -> None:
    """Displacement of each depth window; dark is deep."""
    windows = len(motion.spatial_bins_um)
    for segment, displacement in enumerate(motion.displacement):
        times = _bins(recording, motion, timeline, segment)
        for window, depth in enumerate(motion.spatial_bins_um):
            shade = 0.15 + 0.65 * window / max(1, windows - 1)
            name = f"{depth:.0f} µm" if segment == 0 and window in (0, windows - 1) else None
            ax.plot(times, displacement[:, window], color=str(shade), lw=1, label=name)
    ax.axhline(0, color="0.8", lw=0.8, zorder=0)
    ax.set(xlabel=TIME_LABEL, ylabel="displacement (µm)", title="displacement of each depth window")
    ax.legend(title="window centre", frameon=False, fontsize=8, title_fontsize=8)


def _draw_image(
    figure: Figure, ax: Axes, recording: si.BaseRecording, motion: Motion, timeline: Timeline
) -> None:
    """Displacement over time and depth."""
    end = max(1.0, max(float(np.abs(displacement).max()) for displacement in motion.displacement))
    depths = recording.get_channel_locations()[:, 1]
    edges = np.concatenate(
        [[depths.min()], (motion.spatial_bins_um[1:] + motion.spatial_bins_um[:-1]) / 2, [depths.max()]]
    )
    for segment, displacement in enumerate(motion.displacement):
        centres = _bins(recording, motion, timeline, segment)
        first, last = timeline.starts[segment : segment + 2]
        times = np.concatenate([[first], (centres[1:] + centres[:-1]) / 2, [last]])
        image = ax.pcolormesh(
            times, edges, displacement.T, cmap="PuOr_r", vmin=-end, vmax=end, rasterized=True
        )
    ax.set(xlabel=TIME_LABEL, ylabel=DEPTH_LABEL, title="displacement over depth")
    figure.colorbar(image, ax=ax, pad=0.01, label="displacement (µm)")
