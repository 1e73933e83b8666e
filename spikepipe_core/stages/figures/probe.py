"""Figure of the probe: where the recorded contacts are, and how noisy each is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import spikeinterface.core as si
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from numpy.typing import NDArray

from spikepipe_core.signal_statistics import AP_BAND_MIN_HZ, SignalStatistics
from spikepipe_core.stages.figures.canvas import (
    FigureInfo,
    new_figure,
    quantile_scale,
    save,
    tidy,
    unit_symbol,
)
from spikepipe_core.stages.figures.layout import DEPTH_LABEL, ChannelLayout, channel_layout

MAX_NAMED = 64
"""Up to this many channels of a shank are all named, more only every few."""


def probe_figure(recording: si.BaseRecording, statistics: SignalStatistics, out: Path) -> FigureInfo:
    """Contacts of each shank coloured by their noise, `probe_layout.png`.

    Parameters
    ----------
    recording : BaseRecording
    statistics : SignalStatistics
        Measured on that recording.
    """
    layout = channel_layout(recording)
    noise = statistics.rms_ap[layout.order]
    figure = new_figure(2.2 + 2.2 * len(layout.shanks), 8.5, "Recorded contacts")
    axes = figure.subplots(1, len(layout.shanks), squeeze=False, sharey=True)[0]
    drawn = [_draw_shank(ax, layout, shank, noise) for ax, shank in zip(axes, layout.shanks, strict=True)]
    axes[0].set_ylabel(DEPTH_LABEL)
    figure.colorbar(
        drawn[-1], ax=list(axes), extend="both", aspect=40,
        label=f"noise above {AP_BAND_MIN_HZ:.0f} Hz, RMS ({unit_symbol(statistics.unit)})",
    )  # fmt: skip
    return save(
        figure,
        out,
        FigureInfo(
            "probe_layout.png",
            "Probe",
            "Recorded contacts of each shank, with channel numbers, coloured by the noise of the raw signal. The "
            "horizontal axis is stretched.",
        ),
    )


def _draw_shank(ax: Axes, layout: ChannelLayout, shank: str, noise: NDArray[np.float64]) -> PathCollection:
    rows = layout.rows_of(shank)
    low, high = quantile_scale(noise, 0.05, 0.95)
    size = float(np.clip(6000 / len(rows), 12, 120))
    drawn = ax.scatter(
        layout.x[rows], layout.y[rows], c=np.nan_to_num(noise[rows]), s=size, marker="s",
        cmap="viridis", vmin=low, vmax=high, edgecolors="0.3", linewidths=0.3,
    )  # fmt: skip
    for row in rows[:: -(-len(rows) // MAX_NAMED)]:
        ax.annotate(
            str(layout.order[row]), (layout.x[row], layout.y[row]), xytext=(size**0.5 / 2 + 2, 0),
            textcoords="offset points", fontsize=5, va="center", color="0.25",
        )  # fmt: skip
    ax.set_xlabel("x (µm)")
    ax.set_title(f"shank {shank}" if len(layout.shanks) > 1 else f"{len(rows)} channels", fontsize=10)
    ax.margins(x=0.5)
    tidy(ax)
    return drawn
