"""The sync line in SpikeGLX files: a square wave that all streams of a run record.

Probes and OneBoxes have it in a bit of the SYNC word (the last channel), an NI-DAQ in a digital line or an analog
channel: https://billkarsh.github.io/SpikeGLX/help/syncEdges/Sync_edges/ and
https://billkarsh.github.io/SpikeGLX/Sgl_help/Metadata_30.html (sync*, syncIm*, syncNi*).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.clock import Pulses, StreamClock, are_regular
from spikepipe_core.ingest.files import inside
from spikepipe_core.ingest.spikeglx_files import SAMPLE_BYTES, read_meta

__all__ = ["sync_clock"]

SYNC_BIT = 6  # of the SYNC word, unless syncImChan says otherwise (Phase 3A)
NI_STEPS = 32768  # positive steps of a 16-bit converter where niMaxInt is missing
_PULSES = 200  # looked at, evenly spaced
_MAX_MISSED = 10  # of these; then the line is taken for dead from there on
_NEAR_S = 0.010  # around where a pulse is expected
_WORD_BITS = 16


@dataclass(frozen=True)
class _Line:
    """Where in a file the sync line is.

    Attributes
    ----------
    channels : int
        Channels in a frame.
    rate : float
        Hz.
    is_high : callable
        From frames, shape (samples, channels), to whether the line is up, shape (samples,).
    """

    source: str
    channels: int
    rate: float
    is_high: Callable[[np.ndarray], np.ndarray]


def sync_clock(meta_path: Path, root: Path) -> StreamClock | None:
    """The pulses in a stream's file, at most some hundred of them: little is read of a long recording.

    Returns
    -------
    StreamClock or None
        None if the file has no sync line, or no regular pulses on it.

    Raises
    ------
    BadDataError
        Its metadata cannot be read.
    """
    meta = read_meta(meta_path, root)
    try:
        line = _line(meta)
        period = float(meta.get("syncSourcePeriod", 1.0))
        first_sample = int(meta.get("firstSample", 0))
    except (KeyError, ValueError) as error:
        raise BadDataError(
            f"{meta_path} does not say where the sync line is ({error}). Copy it again from the acquisition."
        ) from error
    if line is None or not 0 < period < 60:
        return None
    binary = inside(meta_path.with_suffix(".bin"), root)
    frames = binary.stat().st_size // (SAMPLE_BYTES * line.channels) if binary.is_file() else 0
    if frames < 2 * period * line.rate:
        return None
    data = np.memmap(binary, dtype="<i2", mode="r", shape=(frames, line.channels))
    edges = _sampled_edges(data, line, round(period * line.rate))
    pulses = edges / line.rate
    if len(pulses) < 2 or not are_regular(pulses, period):
        return None
    start = first_sample / line.rate
    return StreamClock(line.rate, start, pulses=Pulses(line.source, pulses, period))


def _line(meta: dict[str, str]) -> _Line | None:
    """Find the sync line by the metadata."""
    channels = int(meta["nSavedChans"])
    kind = meta.get("typeThis", "imec")
    if kind == "nidq":
        return _line_of_nidq(meta, channels)
    counts = meta["snsXaDwSy"] if kind == "obx" else meta["snsApLfSy"]
    if int(counts.split(",")[-1]) < 1:
        return None
    rate = float(meta["obSampRate" if kind == "obx" else "imSampRate"])
    digital = meta.get("syncImChanType", "0") == "0"
    bit = int(meta.get("syncImChan", SYNC_BIT)) if digital else SYNC_BIT
    return _Line(f"bit {bit} of the SYNC word", channels, rate, _bit_of(channels - 1, bit))


def _line_of_nidq(meta: dict[str, str], channels: int) -> _Line | None:
    """A line of the digital words, which come last in a frame, or an analog channel."""
    muxed_neural, muxed_analog, analog, words = (int(part) for part in meta["snsMnMaXaDw"].split(","))
    rate, number = float(meta["niSampRate"]), int(meta.get("syncNiChan", -1))
    if number < 0:
        return None
    if meta.get("syncNiChanType", "0") == "0":
        word = number // _WORD_BITS
        if word >= words:
            return None
        column = channels - words + word
        return _Line(f"digital line {number}", channels, rate, _bit_of(column, number % _WORD_BITS))
    if number >= muxed_neural + muxed_analog + analog:
        return None
    steps = float(meta.get("niMaxInt", NI_STEPS))
    threshold = float(meta["syncNiThresh"]) / float(meta["niAiRangeMax"]) * steps
    return _Line(f"analog channel {number}", channels, rate, lambda frames: frames[:, number] > threshold)


def _bit_of(column: int, bit: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda frames: (frames[:, column].astype(np.uint16) >> bit) & 1 == 1


def _sampled_edges(data: np.ndarray, line: _Line, period: int) -> np.ndarray:
    """Samples at which the line rises, for pulses evenly spaced over the file, in order.

    The first is looked for in the first periods; every other one where it is expected from those before, and if it is
    not there, in the whole period around that place.
    """
    first = _edges(data, line, 0, 2 * period + 2)
    if len(first) == 0:
        return first
    edges = [int(first[0])]
    length, near = float(period), round(_NEAR_S * line.rate)
    stride = max(1, (len(data) - edges[0]) // period // _PULSES)
    ahead, missed = stride, 0  # pulses from the last one found to the next one looked for
    while (expected := edges[-1] + ahead * length) + near < len(data) and missed < _MAX_MISSED:
        found = _nearest(_edges(data, line, expected - near, expected + near), expected)
        if found is None:
            around = _edges(data, line, expected - period / 2, expected + period / 2)
            found = _nearest(around, expected)
        if found is None or found <= edges[-1]:
            ahead, missed = ahead + stride, missed + 1
            continue
        length = (found - edges[-1]) / max(1, round((found - edges[-1]) / period))
        edges.append(found)
        ahead = stride
    return np.array(edges)


def _edges(data: np.ndarray, line: _Line, start: float, stop: float) -> np.ndarray:
    """Samples from `start` to `stop` at which the line is up and was down one before."""
    begin = max(0, round(start) - 1)
    high = line.is_high(data[begin : round(stop)])
    return begin + 1 + np.flatnonzero(high[1:] & ~high[:-1])


def _nearest(edges: np.ndarray, expected: float) -> int | None:
    return int(edges[np.argmin(np.abs(edges - expected))]) if len(edges) else None
