"""All units at one glance: where they are, how they fire, which of them pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import spikeinterface.core as si
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from spikepipe_core.stages.figures.canvas import (
    OKABE_ITO,
    UNIT_COLOURS,
    FigureInfo,
    new_figure,
    save,
    say,
    tidy,
    unit_symbol,
)
from spikepipe_core.stages.figures.layout import DEPTH_LABEL

METRICS = ("firing_rate", "snr", "isi_violations_ratio", "presence_ratio", "amplitude_cutoff")

UNLABELLED = "unlabelled"

PASSES, DOES_NOT_PASS = "passes", "does not pass"

KIND_WORDS = {
    "sua": "single unit",
    "mua": "multi-unit",
    "neural": "neural",
    "noise": "noise",
    PASSES: "passes",
    DOES_NOT_PASS: "does not pass",
    UNLABELLED: "not labelled",
}
"""Kinds of units: the classifier's label, or, for units it did not label, whether they pass the quality query."""

KIND_COLOURS = {**UNIT_COLOURS, PASSES: OKABE_ITO["blue"], DOES_NOT_PASS: OKABE_ITO["orange"]}


def unit_table(analyzer: si.SortingAnalyzer, labels: pd.DataFrame | None = None) -> pd.DataFrame:
    """Collect what figures say of units.

    Parameters
    ----------
    analyzer : SortingAnalyzer
        Extensions ``templates``, ``unit_locations`` and ``quality_metrics`` are used if they are there.
    labels : DataFrame, optional
        Curation, indexed by unit id: ``default_qc`` (``pass`` or ``bad``) and ``decoder_label`` (``sua``, ``mua``,
        ``neural``, ``noise``), either of which may be missing.

    Returns
    -------
    DataFrame
        One row a unit in the analyzer's order: ``x`` and ``y`` (um), ``amplitude`` (peak to peak on the largest
        channel, uV or raw units), `METRICS` (NaN where not known), ``label`` (``unlabelled`` if it has none), and
        ``passing`` (True or False, None if no query was asked).
    """
    table = pd.DataFrame(index=pd.Index(analyzer.unit_ids, name="unit_id"))
    table[["x", "y"]], table["amplitude"] = _places_and_amplitudes(analyzer)
    metrics = (
        analyzer.get_extension("quality_metrics").get_data()
        if analyzer.has_extension("quality_metrics")
        else pd.DataFrame(index=table.index)
    )
    for name in METRICS:
        values = metrics[name] if name in metrics else pd.Series(np.nan, index=table.index)
        table[name] = pd.to_numeric(values.reindex(table.index), errors="coerce").astype("float64")
    return table.join(_curation(table.index, labels))


def units_figure(analyzer: si.SortingAnalyzer, table: pd.DataFrame, out: Path) -> FigureInfo:
    """Places of the units on the probe, and the metrics of each over depth and as histograms, `units.png`.

    Parameters
    ----------
    table : DataFrame
        From `unit_table`.
    """
    sentence = summary_sentence(table)
    info = FigureInfo(
        "units.png",
        "Units",
        f"{sentence}. Colour is the classifier's label; open symbols do not pass the quality query. Grey squares are "
        "the contacts.",
    )
    figure = new_figure(15, 9, sentence)
    if table.empty:
        say(figure.subplots(), "The sorter found no units on this probe.")
        return save(figure, out, info)
    unit = unit_symbol("uV" if analyzer.return_in_uV else "raw")
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.5, 1)).ravel()
    places, amplitude, rate, snr = upper.subplots(1, 4, sharey=True)
    _draw_places(places, analyzer, table)
    _draw_over_depth(amplitude, table, "amplitude", f"peak-to-peak amplitude ({unit})")
    _draw_over_depth(rate, table, "firing_rate", "firing rate (spikes/s)")
    _draw_over_depth(snr, table, "snr", "signal-to-noise ratio")
    isi, presence, cutoff = lower.subplots(1, 3)
    _draw_histogram(isi, table, "isi_violations_ratio", "ISI violations (ratio)", end=1.0)
    _draw_histogram(presence, table, "presence_ratio", "presence ratio", end=1.0)
    _draw_histogram(
        cutoff, table, "amplitude_cutoff", "amplitude cutoff (fraction of spikes missed)", end=0.5
    )
    upper.legend(handles=_legend(table), loc="outside lower center", ncols=6, frameon=False)
    return save(figure, out, info)


def kinds_of(table: pd.DataFrame) -> list[str]:
    """Kind of each unit, a key of `KIND_WORDS`."""
    verdicts = {True: PASSES, False: DOES_NOT_PASS}
    return [
        label if label in UNIT_COLOURS and label != UNLABELLED else verdicts.get(passing, UNLABELLED)
        for label, passing in zip(table["label"], table["passing"], strict=True)
    ]


def colours_of(table: pd.DataFrame) -> list[str]:
    """Colour of each unit, by its kind."""
    return [KIND_COLOURS[kind] for kind in kinds_of(table)]


def summary_sentence(table: pd.DataFrame) -> str:
    """How many units there are, how many pass, and how many carry which label."""
    if table.empty:
        return "No units"
    parts = [f"{len(table)} unit" + "s" * (len(table) > 1)]
    judged = table["passing"].dropna()
    if len(judged):
        parts.append(f"{int(judged.astype(bool).sum())} pass the quality query")
    counts = table["label"].value_counts()
    parts += [
        f"{counts[label]} {words}"
        for label, words in KIND_WORDS.items()
        if label in counts and label != UNLABELLED
    ]
    return ", ".join(parts)


def _places_and_amplitudes(
    analyzer: si.SortingAnalyzer,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Place (um) and peak-to-peak amplitude of each unit, NaN where nothing was computed.

    A unit lies where it was located; where that failed (far off the probe), at its largest channel.
    """
    n_units = len(analyzer.unit_ids)
    places, amplitudes = np.full((n_units, 2), np.nan), np.full(n_units, np.nan)
    if not n_units:
        return places, amplitudes
    contacts = np.asarray(analyzer.get_channel_locations(), float)[:, :2]
    if analyzer.has_extension("templates"):
        sizes = np.ptp(analyzer.get_extension("templates").get_data(operator="average"), axis=1)
        places, amplitudes = contacts[sizes.argmax(axis=1)], sizes.max(axis=1).astype("float64")
    if analyzer.has_extension("unit_locations"):
        located = np.asarray(analyzer.get_extension("unit_locations").get_data(), float)[:, :2]
        reach = 100.0 + np.ptp(contacts, axis=0)
        near = (located > contacts.min(axis=0) - reach) & (located < contacts.max(axis=0) + reach)
        sane = near.all(axis=1)  # also False for NaN
        places = np.where(sane[:, None], located, places)
    return places, amplitudes


def _curation(units: pd.Index, labels: pd.DataFrame | None) -> pd.DataFrame:
    """Columns ``label`` and ``passing``; ids are matched as text, since a table read from CSV changes their type."""
    found = pd.DataFrame({"label": UNLABELLED, "passing": None}, index=units, dtype=object)
    if labels is None or units.empty:
        return found
    rows = labels.set_axis(labels.index.astype(str)).reindex(units.astype(str))
    if "decoder_label" in rows:
        found["label"] = rows["decoder_label"].astype(object).fillna(UNLABELLED).astype(str).to_numpy()
    if "default_qc" in rows:
        verdicts = [None if pd.isna(word) else str(word) == "pass" for word in rows["default_qc"]]
        found["passing"] = pd.Series(verdicts, index=units, dtype=object)
    return found


def _draw_places(ax: Axes, analyzer: si.SortingAnalyzer, table: pd.DataFrame) -> None:
    contacts = analyzer.get_channel_locations()
    ax.scatter(contacts[:, 0], contacts[:, 1], s=5, marker="s", color="0.8", lw=0)
    _scatter_units(ax, table, "x")
    ax.set_ylim(float(contacts[:, 1].min()) - 40, float(contacts[:, 1].max()) + 40)
    ax.set(xlabel="x (µm)", ylabel=DEPTH_LABEL)


def _draw_over_depth(ax: Axes, table: pd.DataFrame, column: str, label: str) -> None:
    if not table[column].notna().any():
        say(ax, f"{column} is not known for any unit")
        return
    _scatter_units(ax, table, column)
    ax.set_xlim(left=0)
    ax.set_xlabel(label)
    ax.grid(color="0.93", zorder=0)


def _scatter_units(ax: Axes, table: pd.DataFrame, column: str) -> None:
    colours = colours_of(table)
    faces = [
        "none" if passing is False else colour
        for passing, colour in zip(table["passing"], colours, strict=True)
    ]
    ax.scatter(
        table[column], table["y"], s=36, facecolors=faces, edgecolors=colours, linewidths=1.2, zorder=2
    )
    tidy(ax)


def _draw_histogram(ax: Axes, table: pd.DataFrame, column: str, label: str, end: float) -> None:
    """Units stacked by kind; those beyond the end are counted in the last bin, which is said."""
    known = table[table[column].notna()]
    if known.empty:
        say(ax, f"{column} is not known for any unit")
        return
    kinds = np.array(kinds_of(known))
    names = [name for name in KIND_WORDS if name in kinds]
    ax.hist(
        [known.loc[kinds == name, column].clip(upper=end).to_numpy() for name in names],
        bins=list(np.linspace(0, end, 26)),
        stacked=True,
        color=[KIND_COLOURS[name] for name in names],
    )
    beyond, unknown = int((known[column] > end).sum()), len(table) - len(known)
    notes = []
    if beyond:
        notes.append(f"{beyond} beyond, in the last bin")
    if unknown:
        notes.append(f"not known for {unknown}")
    ax.set_xlim(0, end)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel=label + (f"\n{'; '.join(notes)}" if notes else ""), ylabel="units")
    tidy(ax)


def _legend(table: pd.DataFrame) -> list[Line2D]:
    kinds = kinds_of(table)
    handles = [
        _symbol(KIND_COLOURS[kind], kind == DOES_NOT_PASS, f"{words} ({kinds.count(kind)})")
        for kind, words in KIND_WORDS.items()
        if kind in kinds
    ]
    failing = [kind for kind, passing in zip(kinds, table["passing"], strict=True) if passing is False]
    if set(failing) - {DOES_NOT_PASS}:
        handles.append(_symbol("0.3", True, f"open: does not pass ({len(failing)})"))
    return handles


def _symbol(colour: str, is_open: bool, label: str) -> Line2D:
    face = "none" if is_open else colour
    return Line2D([], [], ls="", marker="o", color=colour, markerfacecolor=face, label=label)
