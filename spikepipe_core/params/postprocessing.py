"""Params section ``postprocessing``: the sorting analyzer, its extensions, and de-duplication."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .base import (
    ForwardingModel,
    FreeDict,
    JobKwargs,
    NonNegativeInteger,
    ParamsModel,
    PeakSign,
    PositiveFloat,
    PositiveInteger,
)
from .metrics import DEFAULT_METRIC_NAMES, DEFAULT_METRIC_PARAMS, MetricName

__all__ = ["ExtensionsParams", "PostprocessingParams", "QualityMetricsParams", "SparsityParams"]

LocationMethod = Literal["center_of_mass", "grid_convolution", "monopolar_triangulation", "peak_channel"]
Seed = NonNegativeInteger | None


class SparsityParams(ForwardingModel):
    """Which channels belong to a unit."""

    method: Literal["radius", "best_channels", "closest_channels", "snr", "amplitude", "by_property"] = Field(
        default="radius",
        description="SpikeInterface's rule; 'radius' keeps the channels within radius_um of the unit.",
    )
    radius_um: PositiveFloat = Field(default=100, description="Radius in µm around the unit's main channel.")


class RandomSpikesParams(ForwardingModel):
    """The spikes from which waveforms and templates are made."""

    max_spikes_per_unit: PositiveInteger = Field(
        default=500, description="Spikes drawn from each unit, at most."
    )
    method: Literal["uniform", "all", "percentage", "maximum_rate"] = Field(
        default="uniform", description="How they are drawn."
    )
    margin_size: NonNegativeInteger | None = Field(
        default=None,
        description="Samples at both ends of a segment from which no spike is drawn. null: none.",
    )
    seed: Seed = Field(default=None, description="Seed of the draw. null: 0, so that two runs agree.")


class NoiseLevelsParams(ForwardingModel):
    """Noise of each channel, from random chunks."""

    num_chunks_per_segment: PositiveInteger = Field(default=20, description="Chunks drawn from each segment.")
    chunk_size: PositiveInteger = Field(default=10000, description="Samples in a chunk.")
    seed: Seed = Field(default=None, description="Seed of the draw. null: 0, so that two runs agree.")


class WaveformsParams(ForwardingModel):
    """Snippets around spikes."""

    ms_before: PositiveFloat = Field(default=2.0, description="Milliseconds before the spike.")
    ms_after: PositiveFloat = Field(default=3.0, description="Milliseconds after the spike.")
    dtype: str | None = Field(default=None, description="NumPy type of the waveforms. null: the recording's.")


class TemplatesParams(ForwardingModel):
    """Mean waveforms; the waveforms' window is used unless ms_before and ms_after are given."""


class SpikeAmplitudesParams(ForwardingModel):
    """Amplitude of every spike on its unit's main channel."""

    peak_sign: PeakSign = Field(default="neg", description="Polarity by which the main channel is chosen.")


class TemplateSimilarityParams(ForwardingModel):
    """Similarity of each pair of templates."""

    method: Literal["l1", "l2", "cosine", "cosine_similarity"] = Field(
        default="l1", description="Distance between templates."
    )


class CorrelogramsParams(ForwardingModel):
    """Auto- and cross-correlograms."""

    window_ms: PositiveFloat = Field(default=50.0, description="Full width in ms.")
    bin_ms: PositiveFloat = Field(default=1.0, description="Bin in ms.")


class IsiHistogramsParams(ForwardingModel):
    """Histograms of the intervals between spikes."""

    window_ms: PositiveFloat = Field(default=100.0, description="Longest interval in ms.")
    bin_ms: PositiveFloat = Field(default=5.0, description="Bin in ms.")


class UnitLocationsParams(ForwardingModel):
    """Where each unit lies."""

    method: LocationMethod = Field(default="monopolar_triangulation", description="Localization method.")


class SpikeLocationsParams(ForwardingModel):
    """Where each spike lies."""

    method: LocationMethod = Field(default="grid_convolution", description="Localization method.")


class TemplateMetricsParams(ForwardingModel):
    """Shape of the templates: widths, slopes, ratios, spread."""

    upsampling_factor: PositiveInteger = Field(
        default=10, description="Templates are upsampled by this before measuring."
    )
    sparsity: SparsityParams | None = Field(
        default=None,
        description="Channels over which these metrics follow the waveform, as in postprocessing.sparsity. null:"
        " the analyzer's.",
    )
    include_multi_channel_metrics: bool = Field(
        default=True, description="Measure also how the waveform travels over channels (velocity, spread)."
    )


class PrincipalComponentsParams(ForwardingModel):
    """Principal components of the waveforms, used by the metrics of isolation."""

    n_components: PositiveInteger = Field(default=5, description="Components a channel.")
    mode: Literal["by_channel_local", "by_channel_global", "concatenated"] = Field(
        default="by_channel_local",
        description="One model a channel, one for all channels, or one over joined channels.",
    )
    whiten: bool = Field(default=True, description="Scale components to unit variance.")


class AmplitudeScalingsParams(ForwardingModel):
    """Scale of every spike relative to its template."""


class ValidUnitPeriodsParams(ForwardingModel):
    """Stretches of time in which a unit is well isolated and not missing spikes."""


class QualityMetricsParams(ForwardingModel):
    """Quality of each unit; the columns on which curation decides."""

    metric_names: list[MetricName] = Field(
        default=list(DEFAULT_METRIC_NAMES),
        description="Metrics to compute. Older names are accepted: isolation_distance and l_ratio are columns"
        " of 'mahalanobis' today.",
    )
    metric_params: dict[MetricName, FreeDict] = Field(
        default=dict(DEFAULT_METRIC_PARAMS),
        description="Keyword arguments by metric. {}: SpikeInterface's own defaults for all.",
    )


class ExtensionsParams(ParamsModel):
    """The analyzer's extensions, each with its params; an extension set to null is not computed."""

    random_spikes: RandomSpikesParams = Field(
        default=RandomSpikesParams(),
        description="Spikes used for waveforms and templates; always computed.",
    )
    noise_levels: NoiseLevelsParams | None = Field(
        default=NoiseLevelsParams(), description="Noise of each channel. null: not computed."
    )
    waveforms: WaveformsParams | None = Field(
        default=WaveformsParams(), description="Snippets around spikes. null: not computed."
    )
    templates: TemplatesParams = Field(
        default=TemplatesParams(),
        description="Mean waveforms; always computed, de-duplication needs them.",
    )
    spike_amplitudes: SpikeAmplitudesParams | None = Field(
        default=SpikeAmplitudesParams(), description="Amplitude of every spike. null: not computed."
    )
    template_similarity: TemplateSimilarityParams | None = Field(
        default=TemplateSimilarityParams(), description="Similarity of templates. null: not computed."
    )
    correlograms: CorrelogramsParams | None = Field(
        default=CorrelogramsParams(), description="Auto- and cross-correlograms. null: not computed."
    )
    isi_histograms: IsiHistogramsParams | None = Field(
        default=IsiHistogramsParams(), description="Inter-spike intervals. null: not computed."
    )
    unit_locations: UnitLocationsParams | None = Field(
        default=UnitLocationsParams(), description="Where units lie. null: not computed."
    )
    spike_locations: SpikeLocationsParams | None = Field(
        default=SpikeLocationsParams(), description="Where spikes lie. null: not computed."
    )
    template_metrics: TemplateMetricsParams | None = Field(
        default=TemplateMetricsParams(), description="Shape of templates. null: not computed."
    )
    principal_components: PrincipalComponentsParams | None = Field(
        default=PrincipalComponentsParams(),
        description="Principal components of waveforms. null: not computed.",
    )
    amplitude_scalings: AmplitudeScalingsParams | None = Field(
        default=AmplitudeScalingsParams(),
        description="Scale of every spike relative to its template, from which amplitude_cutoff is judged. null:"
        " not computed; amplitude_cutoff falls back to the amplitudes.",
    )
    valid_unit_periods: ValidUnitPeriodsParams | None = Field(
        default=ValidUnitPeriodsParams(),
        description="Stretches in which a unit is well isolated and complete; needs amplitude_scalings. null: not"
        " computed.",
    )
    quality_metrics: QualityMetricsParams | None = Field(
        default=QualityMetricsParams(), description="Quality of units. null: not computed."
    )

    def requested(self) -> dict[str, dict[str, Any]]:
        """Return the extensions to compute, in an order that respects dependencies, with their arguments."""
        chosen = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: extension.kwargs() for name, extension in chosen.items() if extension is not None}


class PostprocessingParams(ParamsModel):
    """From a sorting to an analyzer: de-duplicated units with waveforms, locations and metrics."""

    job_kwargs: JobKwargs = Field(default=JobKwargs(), description="Chunks and workers of this step.")
    use_motion_corrected: bool = Field(
        default=False,
        description="Apply the estimated motion to the traces before measuring; without effect where it was"
        " applied in preprocessing already, or not estimated.",
    )
    sparsity: SparsityParams = Field(default=SparsityParams(), description="Which channels belong to a unit.")
    duplicate_threshold: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Template correlation (cosine similarity) above which two units that share most of their spikes are"
        " duplicates; the one with fewer spikes is removed. 1: none is.",
    )
    return_in_uV: bool = Field(  # noqa: N815 - the params file's key
        default=True, description="Waveforms and templates in µV. false: in the recording's raw counts."
    )
    extensions: ExtensionsParams = Field(
        default=ExtensionsParams(),
        description="What the analyzer computes, with params; null leaves one out.",
    )
