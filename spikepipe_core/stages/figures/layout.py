"""Where channels are drawn: rows of an image in order of shank and depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import spikeinterface.core as si
from matplotlib.axes import Axes
from numpy.typing import NDArray

DEPTH_LABEL = "position along probe (µm)"

_TICKS = 7


@dataclass(frozen=True)
class ChannelLayout:
    """Channels of a recording as rows, from the bottom of the first shank to the top of the last.

    Attributes
    ----------
    order : array of int, shape (n_channels,)
        Channel index drawn at each row.
    x, y : array, shape (n_channels,)
        Position of each row's channel in um.
    shank : array of str, shape (n_channels,)
        Shank (group) of each row's channel.
    """

    order: NDArray[np.intp]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    shank: NDArray[np.str_]

    @property
    def shanks(self) -> list[str]:
        """Shanks, in the order of their rows."""
        return list(dict.fromkeys(self.shank.tolist()))

    def rows_of(self, shank: str) -> NDArray[np.intp]:
        """Rows of one shank."""
        return np.flatnonzero(self.shank == shank)


def channel_layout(recording: si.BaseRecording) -> ChannelLayout:
    """Rows for the channels of a recording.

    Without a probe the channels keep their order, one row each.
    """
    n_channels = recording.get_num_channels()
    if recording.has_probe():
        locations = recording.get_channel_locations()
        x, y = locations[:, 0].astype(float), locations[:, 1].astype(float)
    else:
        x, y = np.zeros(n_channels), np.arange(n_channels, dtype=float)
    shank = np.asarray(recording.get_channel_groups()).astype(str)
    order = np.lexsort((x, y, shank))
    return ChannelLayout(order, x[order], y[order], shank[order])


def label_rows(ax: Axes, layout: ChannelLayout, with_labels: bool = True) -> None:
    """Depth ticks on the row axis, and a line between shanks."""
    ticks, labels = [], []
    per_shank = max(2, round(_TICKS / len(layout.shanks)))
    for shank in layout.shanks:
        rows = layout.rows_of(shank)
        # the first row of a shank but the last lies right above the last row of the one before: leave that tick out
        chosen = np.unique(np.linspace(0, len(rows) - 1, min(per_shank + 1, len(rows))).astype(int))
        if shank != layout.shanks[-1] and len(chosen) > 1:
            chosen = chosen[:-1]
        ticks += list(rows[chosen])
        labels += [f"{layout.y[row]:.0f}" for row in rows[chosen]]
    ax.set_yticks(ticks, labels if with_labels else [])
    for shank in layout.shanks[1:]:
        ax.axhline(layout.rows_of(shank)[0] - 0.5, color="black", lw=1)
    if with_labels:
        ax.set_ylabel(DEPTH_LABEL)
        _name_shanks(ax, layout)


def _name_shanks(ax: Axes, layout: ChannelLayout) -> None:
    if len(layout.shanks) == 1:
        return
    for shank in layout.shanks:
        ax.text(
            0.01, layout.rows_of(shank)[-1], f"shank {shank}",
            transform=ax.get_yaxis_transform(), va="top", fontsize=8,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1},
        )  # fmt: skip
