"""Quality of the raw signal: noise, saturation, bad channels, mains hum, timestamps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import spikeinterface.core as si
from numpy.typing import NDArray

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.shape import signed
from spikepipe_core.params import PreprocessingParams
from spikepipe_core.signal_statistics import MAX_CHUNKS, SignalStatistics, measure_signal
from spikepipe_core.stages.bad_channels import BAD_LABELS, MIN_CHANNELS, Labels, detector
from spikepipe_core.stages.chain import Chain
from spikepipe_core.stages.preprocessing import filter_and_align
from spikepipe_core.stages.quality_control.report import (
    Metric,
    QualityReport,
    informative,
    judged,
    number,
    summarise,
)

FAIL_RMS_UV = 40.0
"""Noise in the action-potential band above which the IBL leaves a recording out (RIGOR metrics, International Brain
Laboratory et al. 2022, doi:10.1101/2022.05.09.491042; there of the 90th percentile of channels, here of the median)."""

WARN_RMS_UV = 20.0
"""Ours: between the 5 to 8 uV of a Neuropixels probe in the brain (Jun et al. 2017, doi:10.1038/nature24636) and
the limit of the IBL."""

LOW_RMS_UV = 1.0
"""Ours: no amplifier is this quiet, so a lower median means wrong gains or nothing connected."""

WARN_SATURATED, FAIL_SATURATED = 1e-4, 1e-2
"""Fraction of samples at the converter's limits (ours: 3 samples a second at 30 kHz; one sample in a hundred)."""

WARN_BAD_FRACTION = 0.1
"""Fraction of channels dead or noisy that is worth a look (ours); above
`preprocessing.max_bad_channel_fraction` the recording is skipped, which is where it fails."""

LINE_FREQUENCIES_HZ = (50, 60)
WARN_LINE_RATIO = 10.0
"""Power at a mains frequency over that beside it: 10 dB (ours)."""

LINE_HALF_WIDTH_HZ, BESIDE_HZ = 1.0, (3.0, 10.0)
"""The peak is within 1 Hz, since a Hann window spreads it over neighbouring bins; 3 to 10 Hz off is beside it."""

MIN_LINE_CHUNKS = 5
"""Spectra averaged at least, or chance alone makes such ratios (ours)."""


@dataclass(frozen=True)
class RawSignal:
    """What was measured on the raw signal.

    Attributes
    ----------
    statistics : SignalStatistics
        From at most 20 chunks of 1 s.
    labels : dict of str to str
        Channel id to ``good``, ``dead``, ``noise`` or ``out``; empty if channels could not be labelled.
    unlabelled : str
        Why not, in words.
    """

    statistics: SignalStatistics
    labels: dict[str, str]
    unlabelled: str = ""

    def good(self, channel_ids: Any) -> NDArray[np.bool_]:
        """Which channels are neither dead nor noisy, shape (n_channels,)."""
        return np.array([self.labels.get(str(channel)) not in BAD_LABELS for channel in channel_ids])


def measure_raw(
    recording: si.BaseRecording,
    params: PreprocessingParams,
    job_kwargs: dict[str, Any] | None = None,
    detect: Callable[[si.BaseRecording], Labels] | None = None,
) -> RawSignal:
    """Measure the raw signal on a bounded, always equal sample of it.

    Parameters
    ----------
    recording : BaseRecording
        Raw traces.
    params : PreprocessingParams
        Filter, phase shift and bad channel detection, used as preprocessing uses them.
    job_kwargs : dict, optional
        Parallelism of the bad channel detection.
    detect : callable, optional
        What labels the channels of the filtered recording, if not SpikeInterface's detection itself.

    Raises
    ------
    BadDataError
        The recording has no samples.
    """
    if recording.get_total_samples() == 0:
        raise BadDataError("the recording holds no samples. Leave its file out, or record again.")
    labels, why = label_channels(recording, params, detect or detector(params, job_kwargs or {}))
    return RawSignal(measure_signal(recording), labels, why)


def label_channels(
    recording: si.BaseRecording, params: PreprocessingParams, detect: Callable[[si.BaseRecording], Labels]
) -> tuple[Labels, str]:
    """Label channels on a filtered, phase-shifted copy, exactly as preprocessing does.

    Returns
    -------
    labels : dict of str to str
        Channel id to label; empty if that is not possible here.
    why_not : str
        The reason in words, empty if there are labels.
    """
    n_channels = recording.get_num_channels()
    if n_channels < MIN_CHANNELS:
        return {}, f"{n_channels} channel(s), fewer than the {MIN_CHANNELS} that this needs"
    if params.detect_bad_channels.method == "coherence+psd" and not recording.has_scaleable_traces():
        return {}, "the recording has no gains to uV, and 'coherence+psd' judges by uV"
    chain = Chain(signed(recording))
    try:
        filter_and_align(chain, params)
        return detect(chain.recording), ""
    except (AssertionError, ValueError, IndexError, KeyError, RuntimeError) as error:
        return (
            {},
            f"SpikeInterface's bad channel detection refused: {str(error).strip() or type(error).__name__}",
        )


def raw_quality(
    recording: si.BaseRecording,
    signal: RawSignal,
    params: PreprocessingParams,
    found: Mapping[str, Any] | None = None,
) -> QualityReport:
    """Judge the raw signal.

    Parameters
    ----------
    recording : BaseRecording
        What `signal` was measured on.
    signal : RawSignal
    params : PreprocessingParams
    found : mapping, optional
        What the `recording` output found: ``timestamps`` in words, ``times_reset``.
    """
    good = signal.good(recording.channel_ids)
    return QualityReport(
        metrics=(
            *_overview(recording, signal.statistics),
            *([_timestamps(found)] if found else []),
            *noise_metrics(signal.statistics, good, "of the raw signal"),
            *_line_noise(signal.statistics, good),
            *_saturation(signal.statistics, good),
            *_bad_channels(recording, signal, params),
        )
    )


def _overview(recording: si.BaseRecording, statistics: SignalStatistics) -> list[Metric]:
    return [
        informative("duration", number(recording.get_total_duration(), 8), "s", "Of all segments together."),
        informative("channels", recording.get_num_channels(), "", "Recorded channels."),
        informative("segments", recording.get_num_segments(), "", "Uninterrupted stretches."),
        informative(
            "sampling_frequency", number(recording.get_sampling_frequency(), 10), "Hz", "Sampling rate."
        ),
        informative(
            "sampled", number(statistics.sampled_s), "s", "Signal that these numbers were measured on."
        ),
    ]


def _timestamps(found: Mapping[str, Any]) -> Metric:
    words = str(found.get("timestamps", "not checked"))
    unchecked = words == "not checked"
    return Metric(
        name="timestamps",
        topic="overview",
        value=words,
        unit="",
        status="not evaluated" if unchecked else "warn" if found.get("times_reset") else "pass",
        rule="job_dispatch.skip_timestamps_check is true"
        if unchecked
        else "warn if sample times do not rise steadily",
        description="Whether the recording's own sample times are used, or were reset to start at 0 s.",
    )


def noise_metrics(statistics: SignalStatistics, good: NDArray[np.bool_], of: str) -> list[Metric]:
    """Root mean square above 300 Hz over the good channels: median (judged), lowest, highest of all.

    Parameters
    ----------
    statistics : SignalStatistics
    good : array of bool, shape (n_channels,)
        Channels whose median is judged.
    of : str
        Which signal, in words.
    """
    rms, unit = statistics.rms_ap, statistics.unit
    median = summarise(rms[good], "median")
    name = "rms_median"
    description = (
        f"Root mean square above 300 Hz {of}: median over the channels that are neither dead nor noisy."
    )
    if unit == "uV":
        judgement = judged(
            "signal_noise",
            name,
            median,
            unit,
            description,
            warn_above=WARN_RMS_UV,
            fail_above=FAIL_RMS_UV,
            fail_below=LOW_RMS_UV,
            missing="no finite values above 300 Hz",
        )
    else:
        judgement = Metric(
            name=name,
            topic="signal_noise",
            value=median,
            unit=unit,
            status="not evaluated",
            rule="the recording has no gains to uV",
            description=description,
        )
    extremes = [
        informative(f"rms_{how}", summarise(rms, how), unit, f"{word} channel's.", "signal_noise")
        for how, word in (("min", "Quietest"), ("max", "Loudest"))
    ]
    return [judgement, *extremes]


def line_ratio(statistics: SignalStatistics, frequency_hz: float) -> NDArray[np.float64] | None:
    """Power density at a mains frequency over the median of that 3 to 10 Hz beside it.

    Returns
    -------
    array, shape (n_channels,), or None
        None if the sample is too short or too slowly sampled to tell.
    """
    frequencies = statistics.frequencies
    away = np.abs(frequencies - frequency_hz)
    near, beside = away <= LINE_HALF_WIDTH_HZ, (away >= BESIDE_HZ[0]) & (away <= BESIDE_HZ[1])
    resolution_hz = frequencies[1] - frequencies[0] if len(frequencies) > 1 else np.inf
    if resolution_hz > 1.5 * LINE_HALF_WIDTH_HZ or frequencies[-1] < frequency_hz + BESIDE_HZ[1]:
        return None
    if statistics.sampled_s * resolution_hz < MIN_LINE_CHUNKS - 0.5:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        return statistics.psd[:, near].mean(axis=1) / np.median(statistics.psd[:, beside], axis=1)


def _line_noise(statistics: SignalStatistics, good: NDArray[np.bool_]) -> list[Metric]:
    metrics = []
    for frequency in LINE_FREQUENCIES_HZ:
        ratio = line_ratio(statistics, frequency)
        metrics.append(
            judged(
                "signal_noise",
                f"line_noise_{frequency}_hz",
                None if ratio is None else summarise(ratio[good], "median"),
                "",
                f"Power at {frequency} Hz over that beside it, median over good channels; 1 is none.",
                warn_above=WARN_LINE_RATIO,
                missing=f"needs {MIN_LINE_CHUNKS} s of signal sampled above {2 * (frequency + BESIDE_HZ[1]):g} Hz",
            )
        )
    return metrics


def _saturation(statistics: SignalStatistics, good: NDArray[np.bool_]) -> list[Metric]:
    fraction = statistics.saturated_fraction
    usable = None if fraction is None or not good.any() else fraction[good]
    return [
        judged(
            "saturation",
            "saturated_fraction",
            None if usable is None else number(usable.mean()),
            "",
            "Samples at the ends of the converter's range, of all samples of channels neither dead nor noisy.",
            warn_above=WARN_SATURATED,
            fail_above=FAIL_SATURATED,
            missing="the converter's range is not known",
        ),
        informative(
            "saturated_fraction_max",
            None if fraction is None else number(fraction.max()),
            "",
            "The same for the channel with most, whatever its label.",
            "saturation",
        ),
    ]


def _bad_channels(
    recording: si.BaseRecording, signal: RawSignal, params: PreprocessingParams
) -> list[Metric]:
    found = list(signal.labels.values())
    counts = {label: found.count(label) if found else None for label in ("dead", "noise", "out")}
    bad = sum(found.count(label) for label in BAD_LABELS)
    return [
        judged(
            "bad_channels",
            "bad_channel_fraction",
            number(bad / len(found)) if found else None,
            "",
            "Channels dead or noisy, of all.",
            warn_above=min(WARN_BAD_FRACTION, params.max_bad_channel_fraction),
            fail_above=params.max_bad_channel_fraction,
            missing=signal.unlabelled,
        ),
        informative(
            "dead_channels", counts["dead"], "", "Unlike their neighbours: no signal.", "bad_channels"
        ),
        informative(
            "noisy_channels", counts["noise"], "", "Far louder than their neighbours.", "bad_channels"
        ),
        informative(
            "out_channels", counts["out"], "", "At the probe's end, outside the brain.", "bad_channels"
        ),
        judged(
            "bad_channels",
            "constant_channels",
            int(signal.statistics.constant.sum()),
            "",
            f"Channels that held a single value in all that was sampled, at most {MAX_CHUNKS} s.",
            warn_above=0,
            fail_above=params.max_bad_channel_fraction * recording.get_num_channels(),
        ),
        judged(
            "bad_channels",
            "nonfinite_channels",
            int((~np.isfinite(signal.statistics.psd).all(axis=1)).sum()),
            "",
            "Channels with NaN or infinity among what was sampled.",
            warn_above=0,
            fail_above=params.max_bad_channel_fraction * recording.get_num_channels(),
        ),
    ]
