"""Figures of trace snippets: the raw signal, and raw beside processed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import spikeinterface.core as si
import spikeinterface.preprocessing as spre
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from numpy.typing import NDArray

from spikepipe_core.params import VisualizationParams
from spikepipe_core.signal_statistics import AP_BAND_MIN_HZ
from spikepipe_core.stages.figures.canvas import (
    CHANNEL_COLOURS,
    CHANNEL_WORDS,
    TRACE_CMAP,
    FigureInfo,
    new_figure,
    save,
    unit_symbol,
)
from spikepipe_core.stages.figures.layout import ChannelLayout, channel_layout, label_rows

IMAGE_COLUMNS = 600
"""Columns of a trace image; more samples than this are reduced to the extreme of each column."""

MAX_LINES = 16
"""Up to this many channels are drawn as lines, more as an image."""

LINE_SPACING = 2.5
"""Distance between two lines, in ends of the colour scale (ours)."""

COLOUR_QUANTILE = 0.995
"""A channel reaches as far as this fraction of its values (ours)."""

CHANNEL_QUANTILE = 0.9
"""The colour scale ends where this fraction of the channels do not reach (ours): the others are noisy, or spike."""

ROW_HEIGHT = 4.2

NEAREST_ROWS = 500
"""Up to this many rows are drawn as they are; more than the figure has pixels are averaged for display."""


class Snippet(NamedTuple):
    """A stretch of a segment, in samples."""

    segment: int
    start: int
    stop: int


class Layer(NamedTuple):
    """One column of a figure: a recording, its name, and whether it shares the scale of the layer before."""

    title: str
    recording: si.BaseRecording
    shares_scale: bool = False


def full_traces(
    recording: si.BaseRecording,
    out: Path,
    params: VisualizationParams,
    channel_labels: Mapping[str, str] | None = None,
) -> list[FigureInfo]:
    """Snippets of the raw signal, `traces_full_seg<i>.png` for every segment.

    The raw signal is drawn with each channel's median taken off, and again above 300 Hz, where spikes, dead and noisy
    channels show.
    """
    layers = [Layer("raw, offset removed", recording), *_ap_layer(recording)]
    return [
        save(
            _snippet_figure(layers, snippets, channel_labels),
            out,
            FigureInfo(
                f"traces_full_seg{segment}.png",
                f"Raw traces, segment {segment}",
                "Raw signal of every channel in order of depth. Each column of pixels shows the largest excursion "
                "in it. Dead channels are stripes without structure, noisy ones stripes of strong colour.",
            ),
        )
        for segment, snippets in snippets_of(recording, params).items()
    ]


def processed_traces(
    raw: si.BaseRecording,
    processed: si.BaseRecording,
    out: Path,
    params: VisualizationParams,
    channel_labels: Mapping[str, str] | None = None,
) -> list[FigureInfo]:
    """Raw beside processed, `traces_proc_seg<i>.png` for every segment.

    Processed channels stand in the rows of the raw ones; rows of channels that were taken out stay empty.
    """
    ap = [layer._replace(title="raw above 300 Hz", shares_scale=False) for layer in _ap_layer(raw)]
    layers = [Layer("raw, offset removed", raw), *ap, Layer("processed", processed, shares_scale=bool(ap))]
    return [
        save(
            _snippet_figure(layers, snippets, channel_labels),
            out,
            FigureInfo(
                f"traces_proc_seg{segment}.png",
                f"Raw and processed traces, segment {segment}",
                "The same stretch before and after preprocessing, the last two with one colour scale. The coloured "
                "strip at the left marks bad channels; hatched rows were taken out.",
            ),
        )
        for segment, snippets in snippets_of(raw, params).items()
    ]


def snippets_of(recording: si.BaseRecording, params: VisualizationParams) -> dict[int, list[Snippet]]:
    """Evenly spaced snippets of each segment; a segment shorter than a snippet is shown whole."""
    wanted = params.timeseries.n_snippets_per_segment
    found: dict[int, list[Snippet]] = {}
    for segment in range(recording.get_num_segments()) if wanted else ():
        length = recording.get_num_samples(segment)
        size = min(length, round(params.timeseries.snippet_duration_s * recording.get_sampling_frequency()))
        count = min(wanted, length // size)
        starts = np.linspace(0, length - size, count + 2)[1:-1].astype(int)
        found[segment] = [Snippet(segment, int(start), int(start) + size) for start in starts]
    return found


def extreme_of_columns(traces: NDArray[np.floating], n_columns: int = IMAGE_COLUMNS) -> NDArray[np.floating]:
    """Reduce samples to columns, keeping each channel's value farthest from zero in every column.

    Averaging would hide spikes, which last less than a column.

    Parameters
    ----------
    traces : array, shape (n_samples, n_channels)
    n_columns : int

    Returns
    -------
    array, shape (at most n_columns, n_channels)
    """
    width = -(-len(traces) // n_columns)
    if width == 1:
        return traces
    padded = np.concatenate([traces, np.repeat(traces[-1:], -len(traces) % width, axis=0)])
    binned = padded.reshape(-1, width, traces.shape[1])
    low, high = binned.min(axis=1), binned.max(axis=1)
    return np.where(-low > high, low, high)


def _ap_layer(recording: si.BaseRecording) -> list[Layer]:
    if recording.get_sampling_frequency() / 2 <= 2 * AP_BAND_MIN_HZ:
        return []
    filtered = spre.highpass_filter(recording, freq_min=AP_BAND_MIN_HZ, dtype="float32")
    return [Layer("above 300 Hz", filtered)]


def _snippet_figure(
    layers: list[Layer], snippets: list[Snippet], channel_labels: Mapping[str, str] | None
) -> Figure:
    """One row a snippet, one column a layer."""
    reference = layers[0].recording
    layout = channel_layout(reference)
    figure = new_figure(2 + 4.6 * len(layers), ROW_HEIGHT * len(snippets) + 0.6)
    grid = figure.subplots(len(snippets), len(layers), squeeze=False, sharex="row", sharey=True)
    scale = 0.0
    for column in reversed(range(len(layers))):
        layer = layers[column]
        blocks = [_read(layer.recording, snippet, layout, reference) for snippet in snippets]
        follows_shared = column + 1 < len(layers) and layers[column + 1].shares_scale
        scale = scale if follows_shared else colour_scale(blocks, layout, reference, channel_labels)
        for row, (snippet, block) in enumerate(zip(snippets, blocks, strict=True)):
            ax = grid[row, column]
            mappable = _draw(ax, block, snippet, reference, layout, scale)
            label_rows(ax, layout, with_labels=column == 0)
            if row == 0:
                ax.set_title(layer.title, fontsize=11)
            if row == len(snippets) - 1:
                ax.set_xlabel("time from start of segment (s)")
            unit = unit_symbol("uV" if layer.recording.has_scaleable_traces() else "raw")
            if mappable is not None:
                figure.colorbar(mappable, ax=ax, pad=0.01, fraction=0.04, label=unit)
            elif row == 0:
                ax.set_title(f"{layer.title} (lines {LINE_SPACING * scale:.0f} {unit} apart)", fontsize=11)
    _mark_bad_channels(figure, grid, layout, reference, channel_labels)
    return figure


def _read(
    recording: si.BaseRecording, snippet: Snippet, layout: ChannelLayout, reference: si.BaseRecording
) -> NDArray[np.float32]:
    """A snippet as the reference's rows, NaN for channels the recording does not have.

    Returns
    -------
    array, shape (n_samples, n_rows)
        Each channel's median taken off.
    """
    # a pipeline of the user's own may have changed the sampling rate
    ratio = recording.get_sampling_frequency() / reference.get_sampling_frequency()
    traces = recording.get_traces(
        segment_index=snippet.segment,
        start_frame=round(snippet.start * ratio),
        end_frame=round(snippet.stop * ratio),
        return_in_uV=recording.has_scaleable_traces(),
    ).astype("float32")
    traces -= np.median(traces, axis=0)
    column_of = {channel: index for index, channel in enumerate(recording.channel_ids)}
    rows = np.full((len(traces), len(layout.order)), np.nan, dtype="float32")
    for row, channel in enumerate(reference.channel_ids[layout.order]):
        if channel in column_of:
            rows[:, row] = traces[:, column_of[channel]]
    return rows


def colour_scale(
    blocks: list[NDArray[np.float32]],
    layout: ChannelLayout,
    reference: si.BaseRecording,
    channel_labels: Mapping[str, str] | None,
) -> float:
    """Symmetric end of the colour scale: so that good channels fill it and a bad one cannot stretch it."""
    labels = _row_labels(layout, reference, channel_labels)
    judged = np.array([label not in ("dead", "noise") for label in labels])
    sizes = np.abs(np.concatenate([extreme_of_columns(block) for block in blocks]))
    sizes = sizes[:, judged & np.isfinite(sizes).all(axis=0)]
    if not sizes.size:
        return 1.0
    # channel by channel first: raw figures do not know yet which channels are noisy
    reach = np.quantile(sizes, COLOUR_QUANTILE, axis=0)
    return float(np.quantile(reach, CHANNEL_QUANTILE)) or 1.0


def _row_labels(
    layout: ChannelLayout, reference: si.BaseRecording, channel_labels: Mapping[str, str] | None
) -> list[str]:
    labels = channel_labels or {}
    return [labels.get(str(channel), "good") for channel in reference.channel_ids[layout.order]]


def _draw(
    ax: Axes,
    block: NDArray[np.float32],
    snippet: Snippet,
    reference: si.BaseRecording,
    layout: ChannelLayout,
    scale: float,
) -> AxesImage | None:
    fs = reference.get_sampling_frequency()
    t_start, t_stop = snippet.start / fs, snippet.stop / fs
    _hatch_missing(ax, block)
    if block.shape[1] <= MAX_LINES:
        times = np.linspace(t_start, t_stop, len(block))
        ax.plot(times, block / (LINE_SPACING * scale) + np.arange(block.shape[1]), color="0.1", lw=0.4)
        ax.set_ylim(-1, block.shape[1])
        ax.set_xlim(t_start, t_stop)
        return None
    image = ax.imshow(
        extreme_of_columns(block).T,
        aspect="auto",
        origin="lower",
        interpolation="nearest" if block.shape[1] <= NEAREST_ROWS else "antialiased",
        cmap=TRACE_CMAP,
        vmin=-scale,
        vmax=scale,
        extent=(t_start, t_stop, -0.5, block.shape[1] - 0.5),
    )
    return image


def _hatch_missing(ax: Axes, block: NDArray[np.float32]) -> None:
    """Hatch the rows of channels that the recording does not have."""
    for row in np.flatnonzero(np.isnan(block).all(axis=0)):
        ax.axhspan(row - 0.5, row + 0.5, facecolor="0.9", edgecolor="0.6", hatch="////", lw=0)


def _mark_bad_channels(
    figure: Figure,
    grid: NDArray,
    layout: ChannelLayout,
    reference: si.BaseRecording,
    channel_labels: Mapping[str, str] | None,
) -> None:
    """A coloured strip along the left edge of every axes in the rows of bad channels."""
    labels = _row_labels(layout, reference, channel_labels)
    present = [label for label in ("dead", "noise", "out") if label in labels]
    for ax in grid.ravel():
        for row, label in enumerate(labels):
            if label != "good":
                ax.axhspan(row - 0.5, row + 0.5, xmin=0, xmax=0.012, color=CHANNEL_COLOURS[label], lw=0)
    if present:
        handles = [
            Patch(color=CHANNEL_COLOURS[label], label=f"{CHANNEL_WORDS[label]} ({labels.count(label)})")
            for label in present
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False)
