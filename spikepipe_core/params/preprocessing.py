"""Params section ``preprocessing``: filters, bad channels, referencing, motion."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .base import (
    REPLACED_WHOLE,
    ForwardingModel,
    FreeDict,
    JobKwargs,
    NonNegativeInteger,
    ParamsModel,
    PositiveFloat,
    PositiveInteger,
)

__all__ = [
    "BandpassFilterParams",
    "BlankSaturationParams",
    "CommonReferenceParams",
    "DetectBadChannelsParams",
    "HighpassFilterParams",
    "HighpassSpatialFilterParams",
    "MotionCorrectionParams",
    "PhaseShiftParams",
    "PreprocessingParams",
    "StimulationArtifactsParams",
]

Axis = Literal["x", "y", "z"]
MotionPreset = Literal[
    "dredge",
    "dredge_fast",
    "nonrigid_accurate",
    "nonrigid_fast_and_accurate",
    "rigid_fast",
    "kilosort_like",
]


class HighpassFilterParams(ForwardingModel):
    """Temporal high-pass filter, used when ``filter_type`` is ``highpass``."""

    freq_min: PositiveFloat = Field(default=300.0, description="Cutoff in Hz.")
    margin_ms: float = Field(
        default=5.0, ge=0, description="Margin in ms read around each chunk against edge artifacts."
    )


class BandpassFilterParams(ForwardingModel):
    """Temporal band-pass filter, used when ``filter_type`` is ``bandpass``."""

    freq_min: PositiveFloat = Field(default=300.0, description="Lower cutoff in Hz.")
    freq_max: PositiveFloat = Field(default=6000.0, description="Upper cutoff in Hz, above freq_min.")
    margin_ms: float = Field(
        default=5.0, ge=0, description="Margin in ms read around each chunk against edge artifacts."
    )

    @model_validator(mode="after")
    def _band_is_not_empty(self) -> Self:
        if self.freq_min >= self.freq_max:
            raise ValueError(f"freq_min ({self.freq_min:g} Hz) must be below freq_max ({self.freq_max:g} Hz)")
        return self


class PhaseShiftParams(ForwardingModel):
    """Re-alignment of channels that one multiplexed ADC samples in turn (e.g. Neuropixels)."""

    margin_ms: float = Field(
        default=100.0, ge=0, description="Margin in ms read around each chunk for the shift."
    )


class DetectBadChannelsParams(ForwardingModel):
    """Which channels are dead, noisy or outside the brain (IBL's method by default)."""

    method: Literal["coherence+psd", "std", "mad", "neighborhood_r2"] = Field(
        default="coherence+psd",
        description="'coherence+psd' finds dead, noisy and outside channels from their coherence with"
        " neighbours and their spectrum; the others find noisy ones only.",
    )
    dead_channel_threshold: float = Field(
        default=-0.5, description="A channel whose similarity to its neighbours lies below this is dead."
    )
    noisy_channel_threshold: float = Field(
        default=1.0, description="A channel whose similarity to its neighbours lies above this is noisy."
    )
    outside_channel_threshold: float = Field(
        default=-0.3,
        description="End-of-probe channels whose spectral feature lies below this are outside the brain.",
    )
    outside_channels_location: Literal["top", "bottom", "both"] = Field(
        default="top", description="Which end of the probe may lie outside the brain."
    )
    n_neighbors: PositiveInteger = Field(
        default=11, description="Neighbours in the local median (an odd number)."
    )
    seed: NonNegativeInteger | None = Field(
        default=0, description="Seed of the random choice of chunks. null: another choice each time."
    )


class CommonReferenceParams(ForwardingModel):
    """Common reference, used when ``denoising_strategy`` is ``cmr``."""

    reference: Literal["global", "local"] = Field(
        default="global",
        description="'global': all good channels of the probe; 'local': those in a ring around each.",
    )
    operator: Literal["median", "average"] = Field(
        default="median", description="What is subtracted; the median tolerates outlying channels."
    )


class HighpassSpatialFilterParams(ForwardingModel):
    """Spatial high-pass along the probe (IBL destriping), for the ``denoising_strategy`` ``destripe``."""

    n_channel_pad: NonNegativeInteger = Field(default=60, description="Channels mirrored at each end.")
    n_channel_taper: NonNegativeInteger | None = Field(
        default=None, description="Channels over which the ends are tapered. null: as many as n_channel_pad."
    )
    direction: Axis = Field(default="y", description="Axis of the probe along which to filter; y is depth.")
    apply_agc: bool = Field(default=True, description="Even out the gain over time before the filter.")
    agc_window_length_s: PositiveFloat = Field(
        default=0.01, description="Window in seconds of that gain control."
    )
    highpass_butter_order: PositiveInteger = Field(default=3, description="Order of the Butterworth filter.")
    highpass_butter_wn: float = Field(
        default=0.01, gt=0, lt=1, description="Cutoff as a fraction of the spatial Nyquist frequency."
    )


class StimulationArtifactsParams(ParamsModel):
    """Removal of the artifacts of electrical or optical stimulation, around event times that a file gives."""

    events_file: str | None = Field(
        default=None,
        min_length=1,
        description="File with the event times: a table (.csv, .tsv) or an NWB file (.nwb, .nwb.zarr). It is looked for"
        " in the folder of the raw files and in those above it, up to the data folder; the deployment's params may hold"
        " an absolute path. null: the TTL events that Open Ephys recorded beside the signal.",
    )
    events: str | None = Field(
        default=None,
        description="Which of its events: a column of the table, an object in the NWB file, or a TTL line ('2', or"
        " '<stream folder>/2'). null: the only ones there are; of a table the columns start_time and stop_time, else"
        " the first column.",
    )
    edge: Literal["rising", "falling", "both"] = Field(
        default="rising", description="Which edges of a TTL line of Open Ephys are events."
    )
    times_from: Literal["clock", "start"] = Field(
        default="clock",
        description="What the times (s) in a file count from. 'clock': the recording's own clock, on which its spike"
        " times are; 'start': the first sample of the raw recording.",
    )
    ms_before: float = Field(default=0.5, ge=0, description="Removed before each event (or interval), in ms.")
    ms_after: float = Field(default=3.0, ge=0, description="Removed after each event (or interval), in ms.")
    mode: Literal["linear", "cubic", "zeros", "median", "average"] = Field(
        default="linear",
        description="'linear' and 'cubic' bridge the gap before the temporal filter, which then has nothing to ring"
        " with. 'zeros' (the only mode for intervals besides 'linear'), and 'median' and 'average' (the mean artifact"
        " is subtracted, spikes under it are kept), act on the filtered traces.",
    )


class BlankSaturationParams(ParamsModel):
    """Silencing of stretches in which the amplifiers were saturated, after all other steps."""

    saturation_threshold_uV: PositiveFloat | None = Field(  # noqa: N815 - SpikeInterface's name
        default=None,
        description="A sample beyond this (uV, raw signal) is saturated. null: what the probe's metadata say, which"
        " Neuropixels have.",
    )
    diff_threshold_uV: PositiveFloat | None = Field(  # noqa: N815 - SpikeInterface's name
        default=None,
        description="A step between two samples of more than this (uV) is saturation too. null: not looked at; the IBL"
        " takes 300 for Neuropixels 1.0.",
    )
    proportion: float = Field(
        default=0.2, gt=0, lt=1, description="Share of channels that must be saturated at the same time."
    )
    ms_before: float = Field(
        default=5.0,
        ge=0,
        description="Silenced before each stretch, in ms: as long as the temporal filter rings, about 5 ms at 300 Hz.",
    )
    ms_after: float = Field(default=5.0, ge=0, description="Silenced after each stretch, in ms.")


class MotionCorrectionParams(ParamsModel):
    """Drift of the probe: estimate it, keep the estimate, and optionally apply it to the traces."""

    compute: bool = Field(default=True, description="Estimate the motion and save it with the results.")
    apply: bool = Field(
        default=False,
        description="Interpolate the traces by the estimate before sorting. false: the estimate is only"
        " saved; postprocessing.use_motion_corrected can use it later.",
    )
    preset: MotionPreset = Field(
        default="dredge_fast", description="SpikeInterface's named recipe for the whole estimate."
    )
    detect_kwargs: FreeDict = Field(
        default={}, description="Changes to the preset's peak detection. {}: the preset's own."
    )
    select_kwargs: FreeDict = Field(
        default={}, description="Changes to the preset's peak selection. {}: the preset's own."
    )
    localize_peaks_kwargs: FreeDict = Field(
        default={}, description="Changes to the preset's peak localization. {}: the preset's own."
    )
    estimate_motion_kwargs: FreeDict = Field(
        default={"win_step_norm": 0.1, "win_scale_norm": 0.1},
        description="Changes to the preset's motion estimate; win_step_norm and win_scale_norm are the step"
        " and the width of the depth windows as fractions of the probe's length. {}: the preset's"
        " own.",
    )
    interpolate_motion_kwargs: FreeDict = Field(
        default={}, description="Changes to the interpolation of the traces. {}: the preset's own."
    )


class PreprocessingParams(ParamsModel):
    """From raw traces to traces ready for sorting."""

    job_kwargs: JobKwargs = Field(default=JobKwargs(), description="Chunks and workers of this step.")
    min_preprocessing_duration: float = Field(
        default=120, ge=0, description="Recordings shorter than this many seconds are skipped."
    )
    custom_preprocessing_pipeline: Annotated[dict[str, FreeDict] | None, REPLACED_WHOLE] = Field(
        default=None,
        description="A pipeline of your own: SpikeInterface step names, in order, each with its keyword"
        " arguments. It replaces filter, phase shift, bad channels and referencing; {} means no"
        " step at all. null: the default pipeline.",
    )
    remove_stimulation_artifacts: StimulationArtifactsParams | None = Field(
        default=None,
        description="Take out stimulation artifacts around the events of a file. null: none are.",
    )
    blank_saturation: BlankSaturationParams | None = Field(
        default=None,
        description="Silence stretches in which the amplifiers were saturated; {} takes the probe's own limit. Reads"
        " the whole recording once more. null: nothing is silenced.",
    )
    denoising_strategy: Literal["cmr", "destripe"] = Field(
        default="cmr",
        description="'cmr': common reference (common_reference); 'destripe': highpass_spatial_filter.",
    )
    filter_type: Literal["highpass", "bandpass"] = Field(
        default="highpass",
        description="Temporal filter: 'highpass' (highpass_filter) or 'bandpass' (bandpass_filter).",
    )
    highpass_filter: HighpassFilterParams = Field(
        default=HighpassFilterParams(), description="The filter when filter_type is 'highpass'."
    )
    bandpass_filter: BandpassFilterParams = Field(
        default=BandpassFilterParams(), description="The filter when filter_type is 'bandpass'."
    )
    phase_shift: PhaseShiftParams = Field(
        default=PhaseShiftParams(), description="Correction of the ADCs' sampling times."
    )
    detect_bad_channels: DetectBadChannelsParams = Field(
        default=DetectBadChannelsParams(), description="How bad channels are found."
    )
    remove_out_channels: bool = Field(default=True, description="Remove channels outside the brain.")
    remove_bad_channels: bool = Field(default=True, description="Remove dead and noisy channels.")
    max_bad_channel_fraction: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="A recording with a larger share of bad channels than this is skipped.",
    )
    common_reference: CommonReferenceParams = Field(
        default=CommonReferenceParams(), description="The reference when denoising_strategy is 'cmr'."
    )
    highpass_spatial_filter: HighpassSpatialFilterParams = Field(
        default=HighpassSpatialFilterParams(),
        description="The spatial filter when denoising_strategy is 'destripe'.",
    )
    motion_correction: MotionCorrectionParams = Field(
        default=MotionCorrectionParams(), description="Estimate and correction of probe drift."
    )
    t_start: float | None = Field(
        default=None,
        ge=0,
        description="Start of the part to process, in seconds from the recording's first sample. null: the"
        " beginning.",
    )
    t_stop: PositiveFloat | None = Field(
        default=None,
        description="End of the part to process, in seconds from the first sample. null: the end.",
    )

    @model_validator(mode="after")
    def _part_is_not_empty(self) -> Self:
        if self.t_stop is not None and self.t_stop <= (self.t_start or 0):
            raise ValueError(f"t_stop ({self.t_stop:g} s) must be after t_start ({self.t_start or 0:g} s)")
        return self
