"""LFP: the slow band of every probe, small enough to keep and to copy into each NWB file.

A probe with an LFP band of its own (Neuropixels 1.0) gives that band; for a wide-band probe the signal is resampled
to `lfp.sampling_rate` and limited to the band `lfp.filter`. Then, in this order: for a probe through agar the median
of the channels above the tissue is subtracted; every `lfp_spatial_factor`-th channel of a shank is kept, counted by
depth; one sample in `lfp_temporal_factor` is kept, behind an anti-aliasing filter; a high-pass at
`lfp_highpass_freq_min` is applied. A probe whose own LFP band is damaged or was not saved has no LFP: its AP band holds
no low frequencies. All filters are zero-phase, so times need no correction; the times of the samples
that are kept are those of the raw recording. Values stay integers of the raw gain (uV).

Settings that decide: `nwb.ecephys`, without `backend` and `write_raw`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.core as si

from spikepipe_core.errors import BadDataError, ParamsError
from spikepipe_core.ingest.shape import signed
from spikepipe_core.params import NwbEcephysParams, Params
from spikepipe_core.stages.recording import device_name, load_lfp_band, load_recording
from spikepipe_core.stages.stage import Built, Stage, Work
from spikepipe_core.store.files import remove

# Order of all Butterworth filters here: the default of SpikeInterface's filters (applied forward and backward).
FILTER_ORDER = 5
# A chunk is filtered together with so many periods of the cut-off frequency on both sides, as SpikeInterface does
# (`adjust_margin_ms_for_highpass`): what is left of a chunk border there is below 1e-3 of the signal.
MARGIN_PERIODS = 5
# A chunk that is about as long as the two margins of a 0.1 Hz high-pass: reading twice as much as is written.
CHUNK_DURATION = "60s"
# Gaps in the time vector are kept in the times, and the samples on both sides of one are filtered as neighbours.
# SpikeInterface can filter each stretch by itself, but its worker processes do not know the time vector.
_ANY_GAP_MS = 1e12
# What an annotation of the LFP recording is called that says in words what was done to it.
PROCESSING = "lfp_processing"


def compute_lfp(
    recording: si.BaseRecording,
    lfp_band: si.BaseRecording | None,
    params: NwbEcephysParams,
    *,
    probe: str,
    device: str | None = None,
    bad_channel_labels: Mapping[Any, str] | None = None,
    scratch: Path | None = None,
    job_kwargs: Mapping[str, Any] | None = None,
) -> si.BaseRecording:
    """The LFP of one probe, lazily, with the times of the raw recording.

    Parameters
    ----------
    recording : BaseRecording
        Wide-band signal with a probe; integers or floats of any gain (uV).
    lfp_band : BaseRecording or None
        The probe's own LFP band; None if it has none.
    params : NwbEcephysParams
        `lfp.*` and `lfp_*`, `surface_channel_agar_probes_indices`, `stub`, `stub_seconds`.
    probe : str
        Key of the probe, for `surface_channel_agar_probes_indices`.
    device : str, optional
        Name of the physical probe, if `probe` is one of its shanks; the params may name either.
    bad_channel_labels : mapping of channel id to str, optional
        Labels of the wide-band channels. ``dead`` and ``noise`` channels take no part in the reference.
    scratch : Path, optional
        A folder that does not exist yet, on fast disk. A wide-band signal is resampled into it, once, because the
        filters after that read long margins. Needed as long as the result is; the caller removes it. Without it
        everything is computed on the fly: fine for minutes, not for hours.
    job_kwargs : mapping, optional
        `n_jobs` and the like of SpikeInterface, for writing into `scratch`.

    Returns
    -------
    BaseRecording
        Samples x channels; same integer type and gain as the source, floats if the source has floats.

    Raises
    ------
    ParamsError
        The surface channel does not exist or has nothing above it; the band does not fit the sampling rate.
    BadDataError
        The band that is to be processed has no gain to uV.
    """
    source = recording if lfp_band is None else lfp_band
    _check_gains(source, probe)
    source = signed(_first_seconds(source, params))
    surface = surface_channel(params, probe, device)
    reference = (
        [] if surface is None else _reference_channels(source, surface, probe, recording, bad_channel_labels)
    )
    kept = spatial_subset(source, params.lfp_spatial_factor)
    needed = _in_order(source, [*kept, *reference])

    lfp = _select(source, needed)
    steps: list[str] = []
    highpass: list[float] = []
    if lfp_band is None:
        lfp = _resampled(lfp, params, steps)
        lfp = lfp if scratch is None else lfp.save(folder=scratch, format="binary", **dict(job_kwargs or {}))
        highpass = [params.lfp.filter.freq_min]
    if reference:
        lfp = _referenced(_highpassed(lfp, highpass, steps), reference, steps)
        highpass = []
    lfp = _decimated(_select(lfp, kept), params.lfp_temporal_factor, steps)
    lfp = _highpassed(lfp, [*highpass, params.lfp_highpass_freq_min], steps)
    return _finished(lfp, source, steps)


def write_lfp(lfp: si.BaseRecording, folder: Path, *, n_jobs: int = 1, progress_bar: bool = False) -> Path:
    """Write an LFP recording as SpikeInterface's Zarr format; `si.load(folder)` reads it, wherever it is moved.

    Memory is bounded by the chunk (60 s and the margins of the filters), not by the duration.

    Parameters
    ----------
    folder : Path
        Ends in ``.zarr`` and does not exist yet.
    n_jobs : int
        Processes to use.
    """
    import zarr

    lfp.save(
        folder=folder,
        format="zarr",
        n_jobs=n_jobs,
        chunk_duration=CHUNK_DURATION,
        progress_bar=progress_bar,
        verbose=False,
    )
    root = zarr.open(str(folder), mode="r+")
    root.attrs["provenance"] = None  # names absolute paths of the raw files; loading does not need it
    zarr.consolidate_metadata(root.store)
    return folder


def check_surface_channels(params: NwbEcephysParams, probes: Iterable[str]) -> None:
    """Make sure that `surface_channel_agar_probes_indices` names probes that the session has.

    Parameters
    ----------
    probes : iterable of str
        Keys and device names of all probes of the session.

    Raises
    ------
    ParamsError
        It is no valid JSON, or names a probe that the session does not have.
    """
    known = sorted(set(probes))
    for name in _surface_channels(params):
        if name not in known:
            raise ParamsError(
                f"nwb.ecephys.surface_channel_agar_probes_indices names the probe {name!r}, which this session does "
                f"not have. Its probes: {', '.join(known) or 'none'}."
            )


def surface_channel(params: NwbEcephysParams, probe: str, device: str | None = None) -> int | None:
    """Index of a probe's uppermost channel still in tissue; None if the params give none."""
    indices = _surface_channels(params)
    return indices.get(probe, indices.get(device) if device else None)


def spatial_subset(recording: si.BaseRecording, factor: int) -> list[Any]:
    """Every `factor`-th channel of each shank, counted from the tip, in the order of the recording.

    On the usual layouts, whose channels are numbered by depth, this is every `factor`-th channel.

    Parameters
    ----------
    factor : int
        0 or 1 keeps all.

    Returns
    -------
    list
        Channel ids.
    """
    if factor <= 1:
        return list(recording.channel_ids)
    shanks, depths = _shanks_and_depths(recording)
    kept: list[Any] = []
    for shank in np.unique(shanks):
        members = np.flatnonzero(shanks == shank)
        by_depth = members[np.argsort(depths[members], kind="stable")]
        kept.extend(recording.channel_ids[by_depth[::factor]])
    return _in_order(recording, kept)


def _surface_channels(params: NwbEcephysParams) -> dict[str, int]:
    try:
        return params.surface_channels()
    except (ValueError, AttributeError) as error:
        raise ParamsError(
            "nwb.ecephys.surface_channel_agar_probes_indices "
            f"{params.surface_channel_agar_probes_indices!r} is no JSON object of probe names and channel indices "
            f'({error}); write for example {{"ProbeA": 350}}.'
        ) from error


def _reference_channels(
    source: si.BaseRecording,
    surface: int,
    probe: str,
    wide_band: si.BaseRecording,
    labels: Mapping[Any, str] | None,
) -> list[Any]:
    """Channels above the uppermost one in tissue, without those that carry no signal of their own."""
    if surface >= source.get_num_channels():
        raise ParamsError(
            f"nwb.ecephys.surface_channel_agar_probes_indices gives channel {surface} for {probe!r}, which has "
            f"only {source.get_num_channels()} channels (0 to {source.get_num_channels() - 1})."
        )
    _, depths = _shanks_and_depths(source)
    above = depths > depths[surface]
    broken = _positions_with_label(wide_band, labels or {}, {"dead", "noise"})
    usable = [
        channel
        for channel, position, is_above in zip(
            source.channel_ids, source.get_channel_locations(), above, strict=True
        )
        if is_above and tuple(position) not in broken
    ]
    if not usable:
        raise ParamsError(
            f"nwb.ecephys.surface_channel_agar_probes_indices gives channel {surface} for {probe!r}, but no usable "
            "channel lies above it to take a reference from. Give the index of the uppermost channel still in "
            "tissue, or leave the probe out."
        )
    return usable


def _positions_with_label(
    recording: si.BaseRecording, labels: Mapping[Any, str], wanted: Collection[str]
) -> set[tuple[float, ...]]:
    """Positions (um) of labelled channels: what AP and LFP channels of one electrode have in common."""
    channels = [channel for channel in recording.channel_ids if labels.get(channel) in wanted]
    return (
        {tuple(position) for position in recording.get_channel_locations(channel_ids=channels)}
        if channels
        else set()
    )


def _check_gains(recording: si.BaseRecording, probe: str) -> None:
    if not recording.has_scaleable_traces():
        raise BadDataError(
            f"The signal of {probe} has no gain to uV, so its LFP would have no unit. Give the gain to the reader "
            "(gain_to_uV, offset_to_uV)."
        )


def _first_seconds(recording: si.BaseRecording, params: NwbEcephysParams) -> si.BaseRecording:
    """The beginning, if the params ask for a stub."""
    if not params.stub or recording.get_num_segments() != 1:
        return recording
    samples = round(params.stub_seconds * recording.get_sampling_frequency())
    return recording.frame_slice(0, min(max(samples, 1), recording.get_num_samples()))


def _select(recording: si.BaseRecording, channels: list[Any]) -> si.BaseRecording:
    """Some channels, with the times: SpikeInterface forgets the time vector of a clipped recording here."""
    selected = recording.select_channels(channels)
    for segment in range(recording.get_num_segments()):
        if recording.has_time_vector(segment) and not selected.has_time_vector(segment):
            selected.set_times(recording.get_times(segment), segment_index=segment)
    return selected


def _resampled(recording: si.BaseRecording, params: NwbEcephysParams, steps: list[str]) -> si.BaseRecording:
    """A wide-band signal at the rate of the LFP, below the upper edge of its band (float32)."""
    import spikeinterface.preprocessing as spre

    fs, wanted, freq_max = (
        recording.get_sampling_frequency(),
        params.lfp.sampling_rate,
        params.lfp.filter.freq_max,
    )
    resampled = recording
    if wanted < fs:
        resampled = _resample_to(recording, wanted)
        steps.append(f"resampled from {fs:g} to {resampled.get_sampling_frequency():g} Hz")
    fs = resampled.get_sampling_frequency()
    if freq_max >= fs / 2:
        raise ParamsError(
            f"nwb.ecephys.lfp.filter.freq_max ({freq_max:g} Hz) must be below half the sampling rate of the LFP "
            f"({fs:g} Hz). Raise nwb.ecephys.lfp.sampling_rate or lower freq_max."
        )
    steps.append(f"low-pass {freq_max:g} Hz")
    # Offsets are kept: unlike what SpikeInterface assumes, this filter lets them pass.
    lowpassed = spre.filter(
        resampled,
        coeff=_butterworth(freq_max, "lowpass", fs),
        margin_ms=1000 * MARGIN_PERIODS / freq_max,
        dtype="float32",
    )
    lowpassed.set_channel_offsets(recording.get_channel_offsets())
    return lowpassed


def _resample_to(recording: si.BaseRecording, rate: float) -> si.BaseRecording:
    import warnings

    import spikeinterface.preprocessing as spre

    with warnings.catch_warnings():
        # Calibrated clocks (30000.27 Hz) give a rate a few ppm off; the recording reports the rate it has.
        warnings.filterwarnings("ignore", message="Requested resample_rate")
        return spre.resample(recording, rate, gap_tolerance_ms=_ANY_GAP_MS, dtype="float32")


def _referenced(recording: si.BaseRecording, reference: list[Any], steps: list[str]) -> si.BaseRecording:
    import spikeinterface.preprocessing as spre

    steps.append(f"median of {len(reference)} channels above the tissue subtracted")
    return spre.common_reference(
        recording, reference="global", operator="median", ref_channel_ids=reference, dtype="float32"
    )


def _decimated(recording: si.BaseRecording, factor: int, steps: list[str]) -> si.BaseRecording:
    import spikeinterface.preprocessing as spre

    if factor <= 1:
        return recording
    decimated = spre.decimate(recording, factor, antialias=True, dtype="float32")
    steps.append(
        f"decimated by {factor} to {decimated.get_sampling_frequency():g} Hz behind an anti-aliasing filter"
    )
    return decimated


def _highpassed(recording: si.BaseRecording, edges: Iterable[float], steps: list[str]) -> si.BaseRecording:
    """All high-passes in one filter, so that the long margin is read once."""
    import spikeinterface.preprocessing as spre

    edges = [edge for edge in edges if edge > 0]
    if not edges:
        return recording
    fs = recording.get_sampling_frequency()
    if max(edges) >= fs / 2:
        raise ParamsError(
            f"a high-pass of the LFP at {max(edges):g} Hz needs a sampling rate above {2 * max(edges):g} Hz, and the "
            f"LFP has {fs:g} Hz. Lower nwb.ecephys.lfp_highpass_freq_min or lfp_temporal_factor."
        )
    steps.extend(f"high-pass {edge:g} Hz" for edge in edges)
    return spre.filter(
        recording,
        coeff=np.vstack([_butterworth(edge, "highpass", fs) for edge in edges]),
        margin_ms=1000 * MARGIN_PERIODS / min(edges),
        dtype="float32",
    )


def _butterworth(edge: float, kind: str, fs: float) -> np.ndarray:
    from scipy.signal import butter

    return butter(FILTER_ORDER, edge, btype=kind, fs=fs, output="sos")


def _finished(lfp: si.BaseRecording, source: si.BaseRecording, steps: list[str]) -> si.BaseRecording:
    """Back to the type of the source, with a note of what was done."""
    import spikeinterface.preprocessing as spre

    dtype = source.get_dtype() if source.get_dtype().kind == "i" else np.dtype("float32")
    if lfp.get_dtype() != dtype:
        lfp = spre.astype(lfp, dtype=dtype, round=dtype.kind == "i")
    lfp.annotate(**{PROCESSING: "; ".join(steps) or "as acquired"})
    return lfp


def _shanks_and_depths(recording: si.BaseRecording) -> tuple[np.ndarray, np.ndarray]:
    """Group (a shank, where the probe has several) and depth (um from the tip) of every channel."""
    return np.asarray(recording.get_channel_groups()), recording.get_channel_locations()[:, 1]


def _in_order(recording: si.BaseRecording, channels: Collection[Any]) -> list[Any]:
    wanted = set(channels)
    return [channel for channel in recording.channel_ids if channel in wanted]


def build(work: Work) -> Built:
    """Compute and write the LFP of a recording job."""
    params = work.params.nwb.ecephys
    if not params.write_lfp:
        return Built(reason="not computed: nwb.ecephys.write_lfp is false", empty=True)
    job, band = work.recording_job, load_lfp_band(work)
    if job.lfp_problem:
        return Built(reason=f"no LFP: {job.lfp_problem}", empty=True)
    resampled = work.scratch.path(work.scratch_ref("lfp"))
    remove(resampled)
    work.say("from the LFP band" if band is not None else "resampled from the wide band")
    lfp = compute_lfp(
        load_recording(work),
        band,
        params,
        probe=job.probe,
        device=device_name(job),
        scratch=resampled,
        job_kwargs={"n_jobs": work.n_jobs, "progress_bar": True},
    )
    write_lfp(lfp, work.path, n_jobs=work.n_jobs, progress_bar=True)
    remove(resampled)
    rate, channels = lfp.get_sampling_frequency(), lfp.get_num_channels()
    return Built(
        reason=f"{channels} channels at {rate:g} Hz",
        summary={
            "source": "wide band" if band is None else job.lfp_stream,
            "channels": channels,
            "sampling_frequency_hz": rate,
            "duration_s": round(lfp.get_total_duration(), 3),
            "steps": lfp.get_annotation(PROCESSING),
        },
    )


def _settings(params: Params) -> dict[str, Any]:
    section = params.nwb.ecephys
    if not section.write_lfp:
        return {"write_lfp": False}
    without = {"backend", "write_raw"} | (set() if section.stub else {"stub_seconds"})
    return section.model_dump(mode="json", exclude=without)


STAGE = Stage(
    name="lfp",
    version="2",
    section="nwb.ecephys",
    location="lfp/{name}.zarr",
    settings=_settings,
    inputs=lambda _: ("recording",),
    build=build,
)
