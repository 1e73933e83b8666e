"""The two figures of quality control, one a page."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import spikeinterface.core as si
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from spikepipe_core.pictures import LABEL_COLORS
from spikepipe_core.signal_statistics import SignalStatistics
from spikepipe_core.stages.curation import LABEL, PASSED, QC
from spikepipe_core.stages.quality_control.signal import LINE_FREQUENCIES_HZ, RawSignal
from spikepipe_core.stages.quality_control.units import column, passing_units

DPI = 130
MAX_PICTURE_BYTES = 60_000
LABEL_WORDS = {"good": "good", "dead": "dead", "noise": "noisy", "out": "outside"}
BLUE, GREY = "#0072b2", "#8c8c8c"  # Okabe and Ito 2008
BINS = 20


def raw_figure(recording: si.BaseRecording, signal: RawSignal) -> Figure:
    """Noise and saturation of every channel by depth, and their spectra."""
    figure, (noise, spectrum, saturation) = _figure(11, 4.2, 1, 3)
    labels = np.array([signal.labels.get(str(channel), "good") for channel in recording.channel_ids])
    depths, words = _depths(recording)
    statistics = signal.statistics
    _by_depth(noise, statistics.rms_ap, depths, labels, named=bool(signal.labels))
    noise.set(xlabel=f"RMS above 300 Hz ({_unit(statistics)})", ylabel=words, title="Noise")
    _spectra(spectrum, statistics, labels)
    if statistics.saturated_fraction is None:
        _say(saturation, "the converter's range is not known")
    else:
        _by_depth(saturation, 100 * statistics.saturated_fraction, depths, labels, named=False)
        most = 100 * float(np.nanmax(statistics.saturated_fraction))
        saturation.set_xlim(-0.05 * max(most, 0.01), 1.1 * max(most, 0.01))
    saturation.set(xlabel="samples at the converter's limits (%)", ylabel=words, title="Saturation")
    return figure


def processed_figure(
    recording: si.BaseRecording,
    statistics: SignalStatistics,
    motion_info: Mapping[str, Any] | None,
    metrics: pd.DataFrame,
    labels: pd.DataFrame,
) -> Figure:
    """Noise after preprocessing, drift, and how the units are distributed."""
    figure, axes = _figure(11, 6.6, 2, 3)
    noise, drift, counts, snr, rate, isi = axes.flat
    depths, words = _depths(recording)
    good = np.full(recording.get_num_channels(), "good")
    _by_depth(noise, statistics.rms_ap, depths, good, named=False)
    noise.set(
        xlabel=f"RMS above 300 Hz ({_unit(statistics)})", ylabel=words, title="Noise after preprocessing"
    )
    _displacement(drift, motion_info)
    _label_counts(counts, labels)
    passing = passing_units(labels)
    _histogram(snr, metrics, "snr", passing, "signal-to-noise ratio")
    _histogram(rate, metrics, "firing_rate", passing, "firing rate (Hz)", log=True)
    _histogram(isi, metrics, "isi_violations_ratio", passing, "ISI violations ratio")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    figure.savefig(path, dpi=DPI)


def small_picture(figure: Figure) -> bytes:
    """A figure as a PNG of at most 60 kB."""
    for dpi in (80, 64, 48, 32, 20):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi)
        if buffer.tell() <= MAX_PICTURE_BYTES:
            break
    return buffer.getvalue()


def _figure(width: float, height: float, rows: int, columns: int) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns)


def _unit(statistics: SignalStatistics) -> str:
    return "µV" if statistics.unit == "uV" else "as stored"


def _depths(recording: si.BaseRecording) -> tuple[NDArray[np.float64], str]:
    """Depth of every channel in um, its index where there is no probe; and the axis label."""
    if recording.has_probe():
        return recording.get_channel_locations()[:, 1], "depth y (µm)"
    return np.arange(recording.get_num_channels(), dtype="float64"), "channel"


def _by_depth(
    axes: Axes, values: NDArray[np.float64], depths: NDArray[np.float64], labels: NDArray[Any], *, named: bool
) -> None:
    for label, color in LABEL_COLORS.items():
        chosen = labels == label
        if chosen.any():
            name = f"{LABEL_WORDS[label]} ({chosen.sum()})" if named else None
            size, order = (10, 2) if label == "good" else (26, 3)
            axes.scatter(values[chosen], depths[chosen], s=size, color=color, label=name, zorder=order)
    highest = np.max(values, where=np.isfinite(values), initial=0.0)
    axes.set_xlim(0, 1.08 * highest if highest > 0 else 1)
    if named:
        axes.legend(fontsize=8, frameon=False)


def _spectra(axes: Axes, statistics: SignalStatistics, labels: NDArray[Any]) -> None:
    keep = _log_spaced(statistics.frequencies)
    finite = np.isfinite(statistics.psd).all(axis=1)
    labels = labels[finite]
    frequencies, psd = statistics.frequencies[keep], np.maximum(statistics.psd[finite][:, keep], 1e-12)
    power = "µV²/Hz" if statistics.unit == "uV" else "stored units²/Hz"
    axes.set(xlabel="frequency (Hz)", ylabel=f"power ({power})", title="Spectrum")
    if not psd.size:
        _say(axes, "no finite values")
        return
    for label in ("out", "noise", "dead"):
        for row in psd[labels == label]:
            axes.plot(frequencies, row, color=LABEL_COLORS[label], lw=0.7, alpha=0.8)
    if (labels == "good").any():
        low, middle, high = np.percentile(psd[labels == "good"], [5, 50, 95], axis=0)
        axes.fill_between(frequencies, low, high, color=GREY, alpha=0.35, lw=0, label="5 to 95 %")
        axes.plot(frequencies, middle, color=BLUE, lw=1.2, label="median of good")
        axes.legend(fontsize=8, framealpha=0.85, edgecolor="none", loc="lower left")
    for frequency in LINE_FREQUENCIES_HZ:
        axes.axvline(frequency, color="k", lw=0.6, ls=":")
    axes.set(xscale="log", yscale="log")


def _log_spaced(frequencies: NDArray[np.float64]) -> NDArray[np.intp]:
    """Every bin up to 200 Hz, where mains peaks are, then at most 600 evenly spaced on a log axis; not the ends."""
    positive = np.flatnonzero((frequencies > 0) & (frequencies < frequencies[-1]))
    narrow = positive[frequencies[positive] <= 200]
    wide = positive[frequencies[positive] > 200]
    if wide.size:
        places = np.geomspace(1, wide.size, 600).astype(int) - 1
        wide = wide[np.unique(places)]
    return np.concatenate([narrow, wide])


def _displacement(axes: Axes, motion_info: Mapping[str, Any] | None) -> None:
    axes.set(xlabel="time (s)", ylabel="displacement (µm)", title="Drift")
    if motion_info is None:
        _say(axes, "not computed")
        return
    motion = motion_info["motion"]
    offset = 0.0
    last = max(1, len(motion.spatial_bins_um) - 1)
    for times, displacement in zip(motion.temporal_bins_s, motion.displacement, strict=True):
        for window in range(displacement.shape[1]):
            axes.plot(times + offset, displacement[:, window], lw=0.9, color=str(0.1 + 0.65 * window / last))
        offset += float(times[-1])
    if len(motion.spatial_bins_um) > 1:
        lowest, highest = motion.spatial_bins_um.min(), motion.spatial_bins_um.max()
        axes.set_title(f"Drift: dark {lowest:.0f} µm, light {highest:.0f} µm from the tip", fontsize=9)


def _label_counts(axes: Axes, labels: pd.DataFrame) -> None:
    axes.set(title=f"{len(labels)} units", ylabel="units")
    bars: dict[str, int] = {}
    if QC in labels:
        passing = int((labels[QC] == PASSED).sum())
        bars |= {"pass": passing, "bad": len(labels) - passing}
    if LABEL in labels:
        found = labels[LABEL].value_counts()
        bars |= {name: int(found.get(name, 0)) for name in ("sua", "mua", "neural", "noise") if name in found}
    if not bars or not len(labels):
        _say(axes, "no units" if not len(labels) else "no labels")
        return
    colors = [BLUE if name in ("pass", "sua") else GREY for name in bars]
    drawn = axes.bar(list(bars), list(bars.values()), color=colors)
    axes.bar_label(drawn, fontsize=8)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.12)


def _histogram(
    axes: Axes,
    metrics: pd.DataFrame,
    name: str,
    passing: NDArray[np.bool_] | None,
    words: str,
    *,
    log: bool = False,
) -> None:
    axes.set(xlabel=words, ylabel="units")
    values = column(metrics, name)
    values = values[values > 0] if log else values
    if not values.size:
        _say(axes, "no values")
        return
    low, high = values.min(), values.max()
    if low == high:
        low, high = (low / 2, high * 2) if log else (low, low + 1)
    spaced = np.geomspace if log else np.linspace
    edges: list[float] = spaced(low, high, BINS + 1).tolist()
    axes.hist(values, edges, color=GREY, label="all")
    if passing is not None and len(passing) == len(metrics):
        axes.hist(column(metrics[passing], name), edges, color=BLUE, label="pass")
    axes.axvline(float(np.median(values)), color="k", lw=0.8, ls="--", label="median of all")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend(fontsize=7, frameon=False)


def _say(axes: Axes, words: str) -> None:
    """Say in the middle of an empty panel why it is empty."""
    axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes, color="0.4", fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
