"""Spectrum, noise and saturation of a recording's channels, from a bounded sample of it.

One pass over evenly spaced chunks feeds both the figures and the quality control, so that they agree. The
chunks are at fixed places: the same recording gives the same numbers every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import spikeinterface.core as si
from numpy.typing import NDArray

CHUNK_S = 1.0
"""Length of a chunk in s, and with it the resolution of the spectrum: 1 Hz keeps 50 and 60 Hz apart."""

MAX_CHUNKS = 20
"""Chunks read at most (ours; SpikeInterface's noise levels also use 20 a segment)."""

CHANNEL_BLOCK = 64
"""Channels transformed at once; bounds memory at about 20 MB for 30 kHz whatever the probe's size."""

AP_BAND_MIN_HZ = 300.0
"""Lower edge of the action-potential band, as in the default preprocessing."""

SATURATION_MARGIN = 0.98
"""A sample beyond this fraction of the converter's range is saturated (IBL, used in SpikeInterface too)."""


@dataclass(frozen=True)
class SignalStatistics:
    """What a sample of a recording says about each channel.

    Attributes
    ----------
    frequencies : array, shape (n_frequencies,)
        Hz, 0 to Nyquist.
    psd : array, shape (n_channels, n_frequencies)
        One-sided power spectral density in `unit`²/Hz.
    rms_ap : array, shape (n_channels,)
        Root mean square above 300 Hz in `unit`: the power of the spectrum there, so no filter is run. All NaN if the
        sampling rate leaves no such band.
    saturated_fraction : array, shape (n_channels,), or None
        Fraction of samples at the ends of the converter's range; None if that range is not known.
    constant : array of bool, shape (n_channels,)
        The channel held one single value all through the sample.
    unit : str
        ``uV``, or ``raw`` if the recording has no gains.
    sampled_s : float
        Seconds read.
    """

    frequencies: NDArray[np.float64]
    psd: NDArray[np.float32]
    rms_ap: NDArray[np.float64]
    saturated_fraction: NDArray[np.float64] | None
    constant: NDArray[np.bool_]
    unit: str
    sampled_s: float


def measure_signal(recording: si.BaseRecording) -> SignalStatistics:
    """Measure every channel on at most 20 chunks of 1 s, spread evenly.

    Parameters
    ----------
    recording : BaseRecording
        Raw or processed; traces are converted to uV if it has gains.
    """
    from scipy.signal import welch

    fs = recording.get_sampling_frequency()
    n_samples = min(
        round(CHUNK_S * fs), max(map(recording.get_num_samples, range(recording.get_num_segments())))
    )
    limits = converter_limits(recording)
    gains, offsets, unit = _scaling(recording)

    power = np.zeros((recording.get_num_channels(), n_samples // 2 + 1))
    saturated = np.zeros(recording.get_num_channels())
    lowest, highest = np.full((2, len(saturated)), np.inf)
    highest = -highest
    n_chunks = 0
    for segment, start in _chunk_starts(recording, n_samples):
        traces = recording.get_traces(segment_index=segment, start_frame=start, end_frame=start + n_samples)
        n_chunks += 1
        lowest, highest = np.minimum(lowest, traces.min(axis=0)), np.maximum(highest, traces.max(axis=0))
        if limits is not None:
            saturated += np.mean((traces <= limits[0]) | (traces >= limits[1]), axis=0)
        for block in _blocks(traces.shape[1]):
            scaled = traces[:, block].astype("float32") * gains[block] + offsets[block]
            frequencies, spectrum = welch(scaled, fs, nperseg=n_samples, axis=0)
            power[block] += spectrum.T
    power /= n_chunks
    return SignalStatistics(
        frequencies=frequencies,
        psd=power.astype("float32"),
        rms_ap=band_rms(frequencies, power, AP_BAND_MIN_HZ),
        saturated_fraction=None if limits is None else saturated / n_chunks,
        constant=lowest == highest,
        unit=unit,
        sampled_s=n_chunks * n_samples / fs,
    )


def band_rms(
    frequencies: NDArray[np.floating], psd: NDArray[np.floating], freq_min: float
) -> NDArray[np.float64]:
    """Root mean square of each channel above a frequency, by Parseval from its spectrum.

    Parameters
    ----------
    frequencies : array, shape (n_frequencies,)
        Hz.
    psd : array, shape (n_channels, n_frequencies)
    freq_min : float
        Hz.

    Returns
    -------
    array, shape (n_channels,)
        NaN if no frequency lies in the band.
    """
    band = frequencies >= freq_min
    if not band.any():
        return np.full(len(psd), np.nan)
    return np.sqrt(psd[:, band].sum(axis=1, dtype="float64") * (frequencies[1] - frequencies[0]))


def converter_limits(recording: si.BaseRecording) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Values at and beyond which a sample is saturated, in the units that the traces are stored in.

    The range of the converter, where SpikeInterface read it from the probe's metadata
    (`saturation_threshold_uV`); else the ends of the integer type; else unknown.

    Returns
    -------
    (lower, upper), each shape (n_channels,), or None
    """
    level_uv = recording.get_annotation("saturation_threshold_uV")
    dtype = np.dtype(recording.get_dtype())
    n_channels = recording.get_num_channels()
    if level_uv is not None and recording.has_scaleable_traces():
        gains, offsets = recording.get_channel_gains(), recording.get_channel_offsets()
        edge = SATURATION_MARGIN * float(level_uv)
        return (-edge - offsets) / gains, (edge - offsets) / gains
    if dtype.kind not in "iu":
        return None
    info = np.iinfo(dtype)
    return np.full(n_channels, float(info.min)), np.full(n_channels, float(info.max))


def _scaling(recording: si.BaseRecording) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
    if recording.has_scaleable_traces():
        gains, offsets = recording.get_channel_gains(), recording.get_channel_offsets()
        return gains.astype("float32"), offsets.astype("float32"), "uV"
    n_channels = recording.get_num_channels()
    return np.ones(n_channels, "float32"), np.zeros(n_channels, "float32"), "raw"


def _chunk_starts(recording: si.BaseRecording, n_samples: int) -> Iterator[tuple[int, int]]:
    """Segment and first sample of each chunk: a share for each segment that is long enough, evenly spaced."""
    lengths = [recording.get_num_samples(segment) for segment in range(recording.get_num_segments())]
    usable = {segment: length for segment, length in enumerate(lengths) if length >= n_samples}
    for segment, length in usable.items():
        share = round(MAX_CHUNKS * length / sum(usable.values()))
        count = max(1, min(share, length // n_samples))
        for start in np.linspace(0, length - n_samples, count + 2)[1:-1].astype(int):
            yield segment, int(start)


def _blocks(n_channels: int) -> Iterator[slice]:
    for first in range(0, n_channels, CHANNEL_BLOCK):
        yield slice(first, first + CHANNEL_BLOCK)
