"""Artifacts: bridge or subtract those of stimulation, silence stretches of saturation.

Interpolation (``linear``, ``cubic``) comes before the temporal filter: what is bridged does not ring in it. Zeros and
the subtraction of a mean artifact need traces around zero and come after it. Saturation is looked for in the raw
signal, and its stretches are silenced at the very end, with a margin for the filter's ringing.

Settings that decide: `remove_stimulation_artifacts` and `blank_saturation` of `preprocessing`, both off by default.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import spikeinterface.core as si
import spikeinterface.preprocessing as spre
from numpy.typing import NDArray

from spikepipe_core.errors import ParamsError
from spikepipe_core.params.preprocessing import BlankSaturationParams, StimulationArtifactsParams
from spikepipe_core.stages.chain import Chain
from spikepipe_core.stages.reloadable import SilencedRecording, WholeEventsRecording

INTERPOLATING = ("linear", "cubic")
SUBTRACTING = ("median", "average")

FIT_MS = 1.0
"""Distance of the points beside an artifact through which its bridge goes, in ms: SpikeInterface's default."""

LABEL = "artifact"
STIMULATION = "remove_stimulation_artifacts"


@dataclass(frozen=True)
class Found:
    """What artifact handling found, in words and as numbers for the summary."""

    words: str
    numbers: dict[str, Any]


@dataclass(frozen=True)
class Windows:
    """Stretches around the events, which are to be taken out.

    Attributes
    ----------
    starts, stops : tuple of int arrays, each of shape (events,)
        First sample of each event and the last one (the same for a moment), one array a segment.
    params : StimulationArtifactsParams
    found : Found
    """

    starts: tuple[NDArray[np.int64], ...]
    stops: tuple[NDArray[np.int64], ...]
    params: StimulationArtifactsParams
    found: Found

    @property
    def are_intervals(self) -> bool:
        """Whether the events last."""
        return any(np.any(start != stop) for start, stop in zip(self.starts, self.stops, strict=True))


def bridge(chain: Chain, windows: Windows) -> None:
    """Interpolate over the artifacts, if that is the mode.

    Raises
    ------
    ParamsError
        The events are intervals.
    """
    if windows.params.mode in INTERPOLATING:
        if windows.are_intervals:
            raise ParamsError(
                "preprocessing.remove_stimulation_artifacts: the events are intervals, which are too long to be "
                f"bridged with mode {windows.params.mode!r}. Set mode to 'zeros'."
            )
        _remove(chain, windows, {})


def subtract(chain: Chain, windows: Windows | None, job_kwargs: dict[str, Any]) -> None:
    """Zero the artifacts or subtract their mean, if that is the mode.

    Parameters
    ----------
    chain : Chain
        With traces around zero.
    windows : Windows or None
        None: there are none.
    job_kwargs : dict
        Parallelism of the mean.

    Raises
    ------
    ParamsError
        The events are intervals and the mode is not ``zeros``.
    """
    if windows is None or windows.params.mode in INTERPOLATING:
        return
    if windows.params.mode == "zeros":
        params = windows.params
        _silence(
            chain,
            _periods(windows.starts, windows.stops, chain.recording, params.ms_before, params.ms_after),
            name=STIMULATION,
            **_described(params),
        )
    elif windows.are_intervals:
        raise ParamsError(
            "preprocessing.remove_stimulation_artifacts: the events are intervals, of which there is no mean artifact "
            f"(mode {windows.params.mode!r}). Set mode to 'zeros'."
        )
    else:
        _remove(chain, windows, job_kwargs)


def _described(params: StimulationArtifactsParams) -> dict[str, Any]:
    return params.model_dump(mode="json", exclude_none=True)


def _remove(chain: Chain, windows: Windows, job_kwargs: dict[str, Any]) -> None:
    """SpikeInterface's removal, the same for an artifact wherever the borders of chunks lie."""
    params, rate = windows.params, chain.recording.get_sampling_frequency()
    before, after = (int(ms * rate / 1000) for ms in (params.ms_before, params.ms_after))
    # So that SpikeInterface, which rounds in two ways, comes to just these numbers of samples.
    exact = {"ms_before": (before + 1e-6) * 1000 / rate, "ms_after": (after + 1e-6) * 1000 / rate}
    more: dict[str, Any] = {}
    if params.mode in SUBTRACTING:
        more["artifacts"] = {LABEL: _mean_artifact(chain.recording, windows, before, after, job_kwargs)}

    def remove(recording: si.BaseRecording, **_: Any) -> si.BaseRecording:
        removed = spre.remove_artifacts(
            recording,
            list_triggers=[starts.tolist() for starts in windows.starts],
            list_labels=[[LABEL] * len(starts) for starts in windows.starts],
            mode=params.mode,
            fit_sample_spacing=FIT_MS,
            **exact,
            **more,
        )
        return WholeEventsRecording(removed, before + after + 4 * int(FIT_MS * rate / 1000) + 4)

    chain.apply(remove, name=STIMULATION, **_described(params))


def _mean_artifact(
    recording: si.BaseRecording, windows: Windows, before: int, after: int, job_kwargs: dict[str, Any]
) -> NDArray[Any]:
    """Mean or median of the traces around the events, shape (samples, channels)."""
    events = [
        (start, 0, segment)
        for segment, starts in enumerate(windows.starts)
        for start in starts
        if before <= start < recording.get_num_samples(segment) - after
    ]
    if not events:
        raise ParamsError(
            "preprocessing.remove_stimulation_artifacts: no event has its whole window in the recording, so there is "
            "no mean artifact. Set mode to 'linear' or 'zeros'."
        )
    spikes = np.array(events, dtype=si.base.minimum_spike_dtype)
    mean = si.estimate_templates(
        recording=recording,
        spikes=spikes,
        unit_ids=np.array([LABEL]),
        nbefore=before,
        nafter=after,
        operator=windows.params.mode,
        return_in_uV=False,
        **job_kwargs,
    )
    return mean[0]


def blank_saturation(
    chain: Chain, raw: si.BaseRecording, params: BlankSaturationParams, job_kwargs: dict[str, Any]
) -> Found:
    """Silence the stretches in which the raw signal is saturated.

    Parameters
    ----------
    chain : Chain
        All other steps applied.
    raw : BaseRecording
        As acquired, all channels.

    Raises
    ------
    ParamsError
        Neither the params nor the probe's metadata give the limit, or the recording has no gains.
    """
    limit = params.saturation_threshold_uV or raw.get_annotation("saturation_threshold_uV")
    if limit is None:
        raise ParamsError(
            "preprocessing.blank_saturation: the probe's metadata do not say where its amplifiers saturate. Give "
            "saturation_threshold_uV."
        )
    if not raw.has_scaleable_traces():
        raise ParamsError(
            "preprocessing.blank_saturation judges by uV, and this recording has no gains. Give them to the reader "
            "(gain_to_uV, offset_to_uV), or set it to null."
        )
    found = spre.detect_saturation_periods(
        raw,
        saturation_threshold_uV=float(limit),
        diff_threshold_uV=params.diff_threshold_uV,
        proportion=params.proportion,
        job_kwargs=job_kwargs,
    )
    segments = range(raw.get_num_segments())
    mine = [found[found["segment_index"] == segment] for segment in segments]
    periods = _periods(
        [one["start_sample_index"] for one in mine],
        [one["end_sample_index"] - 1 for one in mine],
        raw,
        params.ms_before,
        params.ms_after,
    )
    _silence(
        chain,
        periods,
        name="blank_saturation",
        **{**params.model_dump(mode="json"), "saturation_threshold_uV": float(limit)},
    )
    seconds = sum(stop - start for _, start, stop in periods) / raw.get_sampling_frequency()
    return Found(
        f"saturated beyond {limit:g} uV in {len(found)} stretches: {seconds:.3f} s are silenced",
        {"saturated_stretches": len(found), "saturation_silenced_s": round(seconds, 4)},
    )


def _silence(chain: Chain, periods: list[tuple[int, int, int]], *, name: str, **described: Any) -> None:
    if periods:
        chain.apply(
            lambda recording, **_: partial(SilencedRecording, mode="zeros")(recording, periods),
            name=name,
            **described,
        )
    else:
        chain.note(name, **described)


def _periods(
    starts: Any, stops: Any, recording: si.BaseRecording, ms_before: float, ms_after: float
) -> list[tuple[int, int, int]]:
    """Events with their margins as (segment, first sample, sample after the last), joined where they overlap."""
    rate = recording.get_sampling_frequency()
    before, after = round(ms_before * rate / 1000), round(ms_after * rate / 1000)
    periods: list[tuple[int, int, int]] = []
    for segment, (first, last) in enumerate(zip(starts, stops, strict=True)):
        length = recording.get_num_samples(segment)
        for start, stop in sorted(zip(np.asarray(first) - before, np.asarray(last) + after + 1, strict=True)):
            start, stop = max(0, int(start)), min(length, int(stop))
            if periods and periods[-1][0] == segment and start <= periods[-1][2]:
                periods[-1] = (segment, periods[-1][1], max(stop, periods[-1][2]))
            elif start < stop:
                periods.append((segment, start, stop))
    return periods
