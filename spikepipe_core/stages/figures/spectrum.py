"""Figures of the raw signal's spectrum and of its noise along the probe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import spikeinterface.core as si
from matplotlib.axes import Axes
from numpy.typing import NDArray

from spikepipe_core.signal_statistics import AP_BAND_MIN_HZ, SignalStatistics
from spikepipe_core.stages.figures.canvas import (
    OKABE_ITO,
    FigureInfo,
    new_figure,
    quantile_scale,
    save,
    tidy,
    unit_symbol,
)
from spikepipe_core.stages.figures.layout import ChannelLayout, channel_layout, label_rows

FREQUENCY_BINS = 240
"""Columns of the spectrum image, evenly spaced in log frequency."""


def spectrum_figure(recording: si.BaseRecording, statistics: SignalStatistics, out: Path) -> FigureInfo:
    """Power spectral density of every channel in order of depth, `psd.png`.

    Parameters
    ----------
    recording : BaseRecording
        Where the channels are.
    statistics : SignalStatistics
        Measured on that recording.
    """
    layout = channel_layout(recording)
    unit = unit_symbol(statistics.unit)
    edges, binned = log_binned(statistics.frequencies, statistics.psd)
    figure = new_figure(13, 6.5, "Power spectrum of the raw signal")
    left, middle, right = figure.subplots(1, 3, width_ratios=(3, 1, 2.6))
    decibels = _decibels(binned[layout.order])
    low, high = quantile_scale(decibels)
    rows = np.arange(len(layout.order) + 1) - 0.5
    image = left.pcolormesh(edges, rows, decibels, cmap="viridis", vmin=low, vmax=high, rasterized=True)
    left.set(xscale="log", xlabel="frequency (Hz)", title="every channel")
    label_rows(left, layout)
    figure.colorbar(
        image,
        ax=left,
        location="bottom",
        aspect=40,
        extend="both",
        label=f"power density (dB re 1 {unit}²/Hz)",
    )
    _draw_noise(middle, statistics, layout)
    _draw_median(right, edges, binned, unit)
    return save(
        figure,
        out,
        FigureInfo(
            "psd.png",
            "Power spectrum",
            f"Power spectral density of the raw signal, from {statistics.sampled_s:.0f} s spread evenly over the "
            "recording. Vertical lines are interference (mains at 50 or 60 Hz and its multiples); horizontal ones are "
            f"channels unlike their neighbours. Middle: noise of each channel above {AP_BAND_MIN_HZ:.0f} Hz.",
        ),
    )


def log_binned(
    frequencies: NDArray[np.floating], psd: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average spectra in bins of log frequency; 0 Hz is left out.

    Parameters
    ----------
    frequencies : array, shape (n_frequencies,)
        Hz, evenly spaced from 0.
    psd : array, shape (n_channels, n_frequencies)

    Returns
    -------
    edges : array, shape (n_bins + 1,)
        Hz. At low frequency, where bins would be narrower than the resolution, each bin is one frequency.
    binned : array, shape (n_channels, n_bins)
    """
    step = frequencies[1]
    wanted = np.geomspace(step / 2, frequencies[-1] + step / 2, FREQUENCY_BINS + 1)
    firsts = np.unique(np.searchsorted(frequencies, wanted[:-1]))
    edges = np.append(frequencies[firsts] - step / 2, frequencies[-1] + step / 2)
    counts = np.diff(np.append(firsts, len(frequencies)))
    return edges, np.add.reduceat(psd, firsts, axis=1, dtype="float64") / counts


def _decibels(power: NDArray[np.floating]) -> NDArray[np.float64]:
    """10 log10 of power; NaN where there is none (a dead channel)."""
    positive = np.where(power > 0, power, np.nan)
    return 10 * np.log10(positive)


def _draw_noise(ax: Axes, statistics: SignalStatistics, layout: ChannelLayout) -> None:
    rms = statistics.rms_ap[layout.order]
    ax.barh(np.arange(len(rms)), np.nan_to_num(rms), height=1.0, color=OKABE_ITO["blue"], lw=0)
    ax.set_ylim(-0.5, len(rms) - 0.5)
    if np.isfinite(rms).any():
        # a noisy channel must not squeeze all the others
        ax.set_xlim(0, max(3 * float(np.nanmedian(rms)), 1e-9))
    unit = unit_symbol(statistics.unit)
    ax.set(xlabel=f"RMS ({unit})", title=f"above {AP_BAND_MIN_HZ:.0f} Hz")
    label_rows(ax, layout, with_labels=False)
    tidy(ax)


def _draw_median(ax: Axes, edges: NDArray[np.float64], binned: NDArray[np.float64], unit: str) -> None:
    centres = np.sqrt(edges[:-1] * edges[1:])
    low, median, high = np.percentile(binned, (5, 50, 95), axis=0)
    ax.fill_between(
        centres, low, high, color=OKABE_ITO["sky"], alpha=0.4, lw=0, label="5 to 95 % of channels"
    )
    ax.plot(centres, median, color=OKABE_ITO["blue"], lw=1.2, label="median channel")
    ax.set(
        xscale="log", yscale="log", xlabel="frequency (Hz)", ylabel=f"power density ({unit}²/Hz)",
        title="all channels",
    )  # fmt: skip
    ax.grid(which="major", color="0.9")
    ax.legend(frameon=False, fontsize=8)
    tidy(ax)
