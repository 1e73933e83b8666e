"""One time axis for all segments of a recording, laid end to end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import spikeinterface.core as si
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from numpy.typing import NDArray

TIME_LABEL = "time from start of recording (s)"

_SMALLEST, _LARGEST = 0.5, 10.0


class Timeline:
    """Seconds since the start, with the segments of a recording laid end to end.

    Parameters
    ----------
    recording : BaseRecording

    Attributes
    ----------
    starts : array, shape (n_segments + 1,)
        Where each segment starts, and where the last one ends, in s.
    """

    def __init__(self, recording: si.BaseRecording):
        self.sampling_frequency = recording.get_sampling_frequency()
        lengths = [recording.get_num_samples(segment) for segment in range(recording.get_num_segments())]
        self.starts = np.concatenate([[0.0], np.cumsum(lengths)]) / self.sampling_frequency

    def seconds(self, events: NDArray[Any]) -> NDArray[np.float64]:
        """Times of events with fields ``segment_index`` and ``sample_index``."""
        return self.starts[events["segment_index"]] + events["sample_index"] / self.sampling_frequency

    def frame(self, ax: Axes) -> None:
        """Limit an axes to the recording and draw a line between segments."""
        ax.set_xlim(0, self.starts[-1])
        for start in self.starts[1:-1]:
            ax.axvline(start, color="black", lw=0.8, ls=":")


def scatter_events(
    ax: Axes,
    seconds: NDArray[np.floating],
    depths: NDArray[np.floating],
    colours: NDArray[Any],
    style: Mapping[str, Any],
) -> PathCollection:
    """Points over time and depth; fewer points are drawn larger, so that a quiet recording can be seen too."""
    size = float(np.clip(20_000 / max(len(seconds), 1), _SMALLEST, _LARGEST))
    return ax.scatter(seconds, depths, c=colours, s=size, linewidths=0, rasterized=True, **style)
