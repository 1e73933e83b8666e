"""Pages of units: each one's template and autocorrelogram."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import spikeinterface.core as si
from matplotlib.axes import Axes
from numpy.typing import NDArray

from spikepipe_core.stages.figures.canvas import FigureInfo, new_figure, save, say, unit_symbol
from spikepipe_core.stages.figures.units import colours_of

ROWS, COLUMNS = 5, 4

MAX_PAGES = 5
"""A probe with more units than fit gets the best of them (ours)."""

MAX_CHANNELS = 8
"""Channels of a template that are drawn: the largest."""


class _Material(NamedTuple):
    """What the pages draw, read once.

    Attributes
    ----------
    templates : array, shape (n_units, n_samples, n_channels), or None
    milliseconds : array, shape (n_samples,)
        From the spike.
    locations : array, shape (n_channels, 2)
        um.
    autocorrelograms : array, shape (n_units, n_bins), or None
        Spikes counted.
    bins : array, shape (n_bins + 1,)
        ms.
    unit : str
        Of the templates.
    """

    templates: NDArray[np.floating] | None
    milliseconds: NDArray[np.float64]
    locations: NDArray[np.float64]
    autocorrelograms: NDArray[np.integer] | None
    bins: NDArray[np.float64]
    unit: str


def template_pages(analyzer: si.SortingAnalyzer, table: pd.DataFrame, out: Path) -> list[FigureInfo]:
    """Template and autocorrelogram of units, `templates_<page>.png`; no page without units.

    Parameters
    ----------
    table : DataFrame
        From `unit_table`. Units that pass come first, and those not called noise, then those with the higher SNR.
    """
    order = _best_first(table)
    shown = order[: MAX_PAGES * ROWS * COLUMNS]
    per_page = ROWS * COLUMNS
    n_pages = -(-len(shown) // per_page)
    material = _material(analyzer)
    chosen = (
        f" The {len(shown)} of {len(order)} units that pass, or have the highest SNR, are shown."
        if len(shown) < len(order)
        else ""
    )
    written = []
    for page in range(n_pages):
        info = FigureInfo(
            f"templates_{page + 1}.png",
            f"Templates, page {page + 1} of {n_pages}",
            "Left: average waveform on the largest channels, placed as on the probe. Right: autocorrelogram; a dip "
            f"at 0 is the refractory period of a single neuron.{chosen}",
        )
        units = shown[page * per_page : (page + 1) * per_page]
        written.append(_page(table, units, material, out, info))
    return written


def _best_first(table: pd.DataFrame) -> list[int]:
    """Row numbers of the units in the order of the pages."""
    passing = table["passing"].map(lambda value: value is None or bool(value)).to_numpy(bool)
    snr = np.nan_to_num(table["snr"].to_numpy(float), nan=-np.inf) if "snr" in table else np.zeros(len(table))
    noise = table["label"].to_numpy() == "noise"
    return [int(row) for row in np.lexsort((-snr, noise, ~passing))]


def _material(analyzer: si.SortingAnalyzer) -> _Material:
    templates, correlograms, bins = None, None, np.zeros(0)
    milliseconds = np.zeros(0)
    if analyzer.has_extension("templates"):
        extension = analyzer.get_extension("templates")
        templates = extension.get_data(operator="average")
        milliseconds = (
            (np.arange(templates.shape[1]) - extension.nbefore) / analyzer.sampling_frequency * 1000
        )
    if analyzer.has_extension("correlograms"):
        counts, bins = analyzer.get_extension("correlograms").get_data()
        correlograms = np.diagonal(counts, axis1=0, axis2=1).T
    unit = unit_symbol("uV" if analyzer.return_in_uV else "raw")
    return _Material(
        templates, milliseconds, analyzer.get_channel_locations(), correlograms, np.asarray(bins), unit
    )


def _page(
    table: pd.DataFrame, units: list[int], material: _Material, out: Path, info: FigureInfo
) -> FigureInfo:
    n_rows = -(-len(units) // COLUMNS)
    figure = new_figure(15, 0.7 + 2.5 * n_rows, info.title)
    grid = figure.subplots(n_rows, 2 * COLUMNS, squeeze=False, width_ratios=(1.2, 1) * COLUMNS)
    cells = grid.reshape(n_rows * COLUMNS, 2)
    colours = colours_of(table)
    for unit, (left, right) in zip(units, cells, strict=False):
        _draw_template(left, material, unit, colours[unit])
        _draw_autocorrelogram(right, material, unit, colours[unit])
        left.set_title(_describe(table, unit), fontsize=8, loc="left")
    for left, right in cells[len(units) :]:
        left.set_axis_off()
        right.set_axis_off()
    for ax in grid[-1, 1::2]:
        if ax.axison:
            ax.set_xlabel("lag (ms)", fontsize=8)
    return save(figure, out, info)


def _describe(table: pd.DataFrame, unit: int) -> str:
    row = table.iloc[unit]
    parts = [f"unit {table.index[unit]}"]
    if row["label"] != "unlabelled":
        parts.append(str(row["label"]))
    if row["passing"] is not None and not bool(row["passing"]):
        parts.append("does not pass")
    second = [f"{row['y']:.0f} µm"]
    if "snr" in table and np.isfinite(row["snr"]):
        second.append(f"SNR {row['snr']:.1f}")
    if "firing_rate" in table and np.isfinite(row["firing_rate"]):
        second.append(f"{row['firing_rate']:.1f} spikes/s")
    return ", ".join(parts) + "\n" + ", ".join(second)


def _draw_template(ax: Axes, material: _Material, unit: int, colour: str) -> None:
    """Waveforms of the largest channels at their places on the probe, with a scale bar."""
    ax.set_axis_off()
    if material.templates is None:
        say(ax, "no templates")
        return
    template = material.templates[unit]
    sizes = np.ptp(template, axis=0)
    main = int(sizes.argmax())
    if not sizes[main] > 0:  # NaN or flat: the unit has no spike that could be averaged
        say(ax, "no waveform")
        return
    channels = [int(c) for c in np.argsort(-sizes)[:MAX_CHANNELS] if sizes[c] > 0.05 * sizes[main]]
    x, y = material.locations[:, 0], material.locations[:, 1]
    width, height = _pitch(x[channels]), _pitch(y[channels])
    span = material.milliseconds - material.milliseconds[0]
    for channel in channels:
        at = x[channel] + 0.9 * width * (span / span[-1] - 0.5)
        level = y[channel] + 1.6 * height * template[:, channel] / sizes[main]
        bold = channel == main
        ax.plot(at, level, color=colour if bold else "0.7", lw=1.6 if bold else 0.8, zorder=3 if bold else 2)
    _scale_bar(ax, 1.6 * height, sizes[main], material.unit)


def _pitch(positions: NDArray[np.float64]) -> float:
    """Smallest distance between columns (or rows) of contacts in um; 20 um if there is just one."""
    steps = np.diff(np.unique(np.round(positions, 1)))
    return float(steps.min()) if steps.size else 20.0


def _scale_bar(ax: Axes, um_per_size: float, size: float, unit: str) -> None:
    """A bar of a round amplitude left of the waveforms."""
    decade = 10 ** np.floor(np.log10(size)) if size > 0 else 1.0
    round_size = next((step * decade for step in (5, 2, 1) if step * decade <= size), decade)
    left, right = ax.get_xlim()
    bottom, _ = ax.get_ylim()
    at = left - 0.06 * (right - left)
    ax.plot([at, at], [bottom, bottom + um_per_size * round_size / max(size, 1e-12)], color="black", lw=1.5)
    ax.text(
        at - 0.02 * (right - left),
        bottom,
        f"{round_size:g} {unit}",
        rotation=90,
        ha="right",
        va="bottom",
        fontsize=6,
    )


def _draw_autocorrelogram(ax: Axes, material: _Material, unit: int, colour: str) -> None:
    if material.autocorrelograms is None:
        say(ax, "no correlograms")
        return
    ax.stairs(material.autocorrelograms[unit], material.bins, fill=True, color=colour)
    ax.set_xlim(material.bins[0], material.bins[-1])
    ax.set_yticks([])
    ax.tick_params(labelsize=7)
    ax.spines[["top", "right", "left"]].set_visible(False)
