"""Figures as files: size, style, colours, and the small picture for a user interface.

Figures are made as objects, never through pyplot, so that nothing global is changed and nothing stays open.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from spikepipe_core.pictures import LABEL_COLORS

DPI = 150

OKABE_ITO = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "grey": "#999999",
}
"""Okabe and Ito's palette, told apart with any kind of colour blindness (jfly.uni-koeln.de/color)."""

CHANNEL_COLOURS = LABEL_COLORS
CHANNEL_WORDS = {"good": "good", "dead": "dead", "noise": "noisy", "out": "outside the brain"}

UNIT_COLOURS = {
    "sua": OKABE_ITO["blue"],
    "mua": OKABE_ITO["orange"],
    "neural": OKABE_ITO["green"],
    "noise": OKABE_ITO["grey"],
    "unlabelled": OKABE_ITO["black"],
}

TRACE_CMAP = "RdBu_r"

_THUMBNAIL_WIDTHS = (640, 480, 360, 240, 160, 96, 48)


@dataclass(frozen=True)
class FigureInfo:
    """A figure that was written.

    Attributes
    ----------
    name : str
        File name inside the folder given.
    title : str
        A few words.
    caption : str
        What is drawn and how to read it.
    """

    name: str
    title: str
    caption: str


def new_figure(width: float, height: float, title: str | None = None) -> Figure:
    """An empty figure of a size in inches, which makes room for its labels."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    if title:
        figure.suptitle(title, fontsize=13)
    return figure


def save(figure: Figure, folder: Path, info: FigureInfo) -> FigureInfo:
    """Write a figure as PNG into a folder, making the folder if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / info.name, dpi=DPI, metadata={"Title": info.title})
    return info


def tidy(ax: Axes) -> None:
    """Take away the spines that carry no scale."""
    ax.spines[["top", "right"]].set_visible(False)


def say(ax: Axes, sentence: str) -> None:
    """Write a sentence in place of a plot that has nothing to show."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, sentence, ha="center", va="center", transform=ax.transAxes, color="0.3", wrap=True)


def quantile_scale(
    values: NDArray[np.floating], low: float = 0.02, high: float = 0.98
) -> tuple[float, float]:
    """Ends of a colour scale that a few outliers cannot stretch.

    Parameters
    ----------
    values : array
        NaN is passed over; without any number the scale is 0 to 1.
    low, high : float
        Quantiles.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    bottom, top = np.quantile(finite, (low, high))
    return float(bottom), float(top if top > bottom else bottom + 1)


def unit_symbol(unit: str) -> str:
    """How a unit of the traces is written on an axis."""
    return {"uV": "µV", "raw": "raw units"}[unit]


def thumbnail(png_path: Path, max_bytes: int = 60_000) -> bytes:
    """A small PNG of a figure, for pictures inside metadata.

    Parameters
    ----------
    png_path : Path
        A figure.
    max_bytes : int
        The picture is made smaller until it fits.

    Returns
    -------
    bytes
        PNG with at most 64 colours and 640 pixels of width.
    """
    with Image.open(png_path) as opened:
        full = opened.convert("RGB")
    for width in _THUMBNAIL_WIDTHS:
        small = full.copy()
        small.thumbnail((width, 2 * width), Image.Resampling.LANCZOS)
        encoded = _encode(small)
        if len(encoded) <= max_bytes:
            return encoded
    raise ValueError(
        f"{png_path}: no picture of {_THUMBNAIL_WIDTHS[-1]} pixels or more fits {max_bytes} bytes; "
        "allow more with max_bytes"
    )


def _encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.quantize(colors=64).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def legend_above(ax: Axes, handles: list[Any], columns: int) -> None:
    """A legend over the axes, where it hides no data."""
    ax.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, frameon=False, fontsize=8
    )
