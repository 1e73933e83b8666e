"""Params section ``visualization``: the figures of each recording."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from .base import JobKwargs, NonNegativeInteger, ParamsModel, PeakSign, PositiveFloat, PositiveInteger

__all__ = ["DriftFigureParams", "MotionFigureParams", "TimeseriesParams", "VisualizationParams"]

FigureSize = Annotated[list[PositiveFloat], Field(min_length=2, max_length=2)]
ColourMap = Annotated[str, Field(min_length=1)]


class TimeseriesParams(ParamsModel):
    """Snippets of raw and processed traces."""

    n_snippets_per_segment: NonNegativeInteger = Field(
        default=2, description="Snippets drawn from each segment. 0: no such figure."
    )
    snippet_duration_s: PositiveFloat = Field(default=0.5, description="Seconds in a snippet.")


class DriftDetectionParams(ParamsModel):
    """Peaks of the drift map."""

    peak_sign: PeakSign = Field(default="neg", description="Polarity of the peaks.")
    detect_threshold: PositiveFloat = Field(
        default=5, description="Peaks above this multiple of the noise (MAD) are shown."
    )
    exclude_sweep_ms: PositiveFloat = Field(
        default=0.1, description="Milliseconds around a peak without another one."
    )


class DriftLocalizationParams(ParamsModel):
    """Depths of the drift map's peaks."""

    ms_before: PositiveFloat = Field(default=0.1, description="Milliseconds before the peak that are used.")
    ms_after: PositiveFloat = Field(default=0.3, description="Milliseconds after the peak that are used.")
    radius_um: PositiveFloat = Field(default=100.0, description="Channels within this radius in µm are used.")


class DriftFigureParams(ParamsModel):
    """The drift map: peaks over time and depth."""

    detection: DriftDetectionParams = Field(
        default=DriftDetectionParams(), description="How the peaks are found."
    )
    localization: DriftLocalizationParams = Field(
        default=DriftLocalizationParams(), description="How the peaks are localized."
    )
    n_skip: PositiveInteger = Field(default=30, description="One in this many peaks is drawn.")
    alpha: float = Field(default=0.15, ge=0, le=1, description="Opacity of a point: 0 invisible, 1 solid.")
    vmin: float = Field(default=-200, description="Lower end of the colour scale, in µV.")
    vmax: float = Field(default=0, description="Upper end of the colour scale, in µV, above vmin.")
    cmap: ColourMap = Field(default="Greys_r", description="Matplotlib colour map of the points.")
    figsize: FigureSize = Field(default=[10.0, 10.0], description="Width and height in inches.")

    @model_validator(mode="after")
    def _scale_is_not_empty(self) -> Self:
        if self.vmin >= self.vmax:
            raise ValueError(f"vmin ({self.vmin:g} µV) must be below vmax ({self.vmax:g} µV)")
        return self


class MotionFigureParams(ParamsModel):
    """The estimated motion over the peaks it was estimated from."""

    cmap: ColourMap = Field(default="Greys_r", description="Matplotlib colour map of the points.")
    scatter_decimate: PositiveInteger = Field(default=15, description="One in this many peaks is drawn.")
    figsize: FigureSize = Field(default=[15.0, 10.0], description="Width and height in inches.")


class VisualizationParams(ParamsModel):
    """Figures of the traces, the drift and the motion."""

    job_kwargs: JobKwargs = Field(default=JobKwargs(), description="Chunks and workers of this step.")
    timeseries: TimeseriesParams = Field(default=TimeseriesParams(), description="Snippets of traces.")
    drift: DriftFigureParams = Field(default=DriftFigureParams(), description="The drift map.")
    motion: MotionFigureParams = Field(default=MotionFigureParams(), description="The motion figure.")
