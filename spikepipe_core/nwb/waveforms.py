"""Mean waveforms in volts on each unit's own channels, of several probes in one array.

A dense array of all channels would be 384 wide and, for several probes, could not be one array at all (probes have
different numbers of channels). So each unit keeps the channels of its sparsity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from spikeinterface.core import SortingAnalyzer

UV_TO_V = 1e-6
# Calibrated clocks of one kind of probe differ by some ppm; those of different kinds by more than this.
SAME_RATE = 1e-3


@dataclass(frozen=True)
class ProbeWaveforms:
    """Mean waveforms of one probe's units.

    Attributes
    ----------
    channels : list of array of int
        Channel indices of each unit in the analyzer.
    mean, sd : array of float32, shape (n_units, n_samples, n_channels)
        Volts; NaN beyond a unit's channels. `sd` is None if it was not computed.
    sampling_frequency : float
        Hz.
    before : int
        Samples before the spike.
    """

    channels: list[np.ndarray]
    mean: np.ndarray
    sd: np.ndarray | None
    sampling_frequency: float
    before: int


@dataclass(frozen=True)
class MergedWaveforms:
    """Mean waveforms of all probes, aligned on the spike.

    Attributes
    ----------
    sampling_frequency, ms_before : float or None
        None if they differ from probe to probe.
    """

    mean: np.ndarray
    sd: np.ndarray | None
    sampling_frequency: float | None
    ms_before: float | None


def probe_waveforms(analyzer: SortingAnalyzer) -> ProbeWaveforms | None:
    """Mean waveforms of an analyzer; None if its templates were not computed."""
    if not analyzer.has_extension("templates"):
        return None
    extension = analyzer.get_extension("templates")
    if "average" not in extension.params["operators"]:
        return None
    channels = _channels(analyzer)
    scale = _scale_to_volts(analyzer)
    average = _on_own_channels(extension.get_templates(operator="average"), channels, scale)
    sd = (
        _on_own_channels(extension.get_templates(operator="std"), channels, scale)
        if "std" in extension.params["operators"]
        else None
    )
    return ProbeWaveforms(channels, average, sd, analyzer.sampling_frequency, int(extension.nbefore))


def merge_waveforms(parts: list[tuple[ProbeWaveforms | None, int]]) -> MergedWaveforms | None:
    """Put the waveforms of several probes into one array, NaN where one is shorter or narrower than another.

    Parameters
    ----------
    parts : list of (ProbeWaveforms or None, int)
        With the number of units, of which a probe without waveforms gets rows of NaN.

    Returns
    -------
    MergedWaveforms or None
        None if no probe has waveforms.
    """
    known = [part for part, _ in parts if part is not None]
    if not known:
        return None
    before = max(part.before for part in known)
    after = max(part.mean.shape[1] - part.before for part in known)
    shape = (sum(count for _, count in parts), before + after, max(part.mean.shape[2] for part in known))
    mean, sd = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    first = 0
    for part, count in parts:
        if part is not None:
            start = before - part.before
            here = np.s_[first : first + count, start : start + part.mean.shape[1], : part.mean.shape[2]]
            mean[here] = part.mean
            if part.sd is not None:
                sd[here] = part.sd
        first += count
    rates = [part.sampling_frequency for part in known]
    rate = float(np.mean(rates)) if max(rates) <= min(rates) * (1 + SAME_RATE) else None
    return MergedWaveforms(
        mean=mean,
        sd=sd if any(part.sd is not None for part in known) else None,
        sampling_frequency=rate,
        ms_before=1000 * before / rate if rate else None,
    )


def _channels(analyzer: SortingAnalyzer) -> list[np.ndarray]:
    if analyzer.sparsity is None:
        return [np.arange(analyzer.get_num_channels())] * analyzer.get_num_units()
    indices = analyzer.sparsity.unit_id_to_channel_indices
    return [np.asarray(indices[unit]) for unit in analyzer.unit_ids]


def _scale_to_volts(analyzer: SortingAnalyzer) -> np.ndarray:
    """Factor of each channel from the analyzer's values (uV, or counts) to volts."""
    if analyzer.return_in_uV:
        return np.full(analyzer.get_num_channels(), UV_TO_V, np.float32)
    return (np.asarray(analyzer.get_recording_property("gain_to_uV")) * UV_TO_V).astype(np.float32)


def _on_own_channels(dense: np.ndarray, channels: list[np.ndarray], scale: np.ndarray) -> np.ndarray:
    """Templates (units x samples x channels) on each unit's channels only, in volts."""
    width = max((len(own) for own in channels), default=0)
    sparse = np.full((len(dense), dense.shape[1], width), np.nan, np.float32)
    for unit, own in enumerate(channels):
        sparse[unit, :, : len(own)] = dense[unit][:, own] * scale[own]
    return sparse
