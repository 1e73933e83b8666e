"""Small pictures that travel with an output's metadata and are shown in the Dagster UI."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import spikeinterface.core as si
from spikeinterface.core.motion import Motion

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from spikepipe_core.ingest.clock import ClockDifference

LABEL_COLORS = {"good": "#8c8c8c", "dead": "#000000", "noise": "#d55e00", "out": "#0072b2"}
"""Colours that colour-blind people tell apart (Okabe and Ito 2008)."""


def probe_picture(recording: si.BaseRecording) -> bytes:
    """Contacts of the recorded channels, as PNG."""
    return channel_label_picture(recording, {})


def channel_label_picture(recording: si.BaseRecording, labels: Mapping[str, str]) -> bytes:
    """Contacts coloured by channel label, as PNG.

    Parameters
    ----------
    recording : BaseRecording
        With channel locations in um.
    labels : mapping of str to str
        Channel id to ``good``, ``dead``, ``noise`` or ``out``; channels without a label count as good.
    """
    locations = recording.get_channel_locations()
    found = np.array([labels.get(str(channel), "good") for channel in recording.channel_ids])
    figure, axes = _axes(3.2, 4.2)
    for label, color in LABEL_COLORS.items():
        chosen = found == label
        if chosen.any():
            name = f"{label} ({chosen.sum()})" if labels else f"{chosen.sum()} channels"
            size = 10 if label == "good" else 28
            x, depth = locations[chosen, 0], locations[chosen, 1]
            axes.scatter(x, depth, s=size, marker="s", color=color, label=name, zorder=size)
    axes.set_xlabel("x (µm)")
    axes.set_ylabel("depth y (µm)")
    axes.margins(x=0.4)
    figure.legend(loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return _png(figure)


def motion_picture(motion: Motion) -> bytes:
    """Displacement over time at each depth window, as PNG."""
    figure, axes = _axes(4.8, 2.8)
    offset = 0.0
    for times, displacement in zip(motion.temporal_bins_s, motion.displacement, strict=True):
        for window, depth in enumerate(motion.spatial_bins_um):
            shade = 0.15 + 0.7 * window / max(1, len(motion.spatial_bins_um) - 1)
            axes.plot(
                times + offset, displacement[:, window], lw=1, color=str(shade), label=f"{depth:.0f} µm"
            )
        offset += float(times[-1])
    axes.set_xlabel("time (s)")
    axes.set_ylabel("displacement (µm)")
    if len(motion.spatial_bins_um) <= 6:
        axes.legend(title="depth", fontsize=7, title_fontsize=7, frameon=False)
    return _png(figure)


def clock_picture(differences: Mapping[str, ClockDifference]) -> bytes:
    """Difference of the probe's clock from others over time, as PNG; each from what it is at the start.

    Parameters
    ----------
    differences : mapping of str to ClockDifference
        By the name of the other stream.
    """
    figure, axes = _axes(5.6, 3.0)
    for index, (name, one) in enumerate(differences.items()):
        minutes = (one.times_s - one.times_s[0]) / 60
        label = f"{name}: {one.offset_ms:+.2f} ms, {one.drift_ppm:+.2f} ppm"
        drawn = one.difference_ms - one.offset_ms
        axes.plot(minutes, drawn, ".", ms=3, color=f"C{index % 10}", label=label)
    axes.axhline(0, lw=0.8, color="0.7", zorder=0)
    axes.set_xlabel("time (min)")
    axes.set_ylabel("drift (ms)")
    figure.legend(
        loc="outside upper left",
        fontsize=8,
        frameon=False,
        title="against: offset at the start, drift",
        title_fontsize=8,
    )
    return _png(figure)


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of its own, in inches, outside pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return buffer.getvalue()
