"""Params section ``curation``: which units are good, by thresholds and by classifiers."""

from __future__ import annotations

from pydantic import Field

from .base import JobKwargs, ParamsModel

__all__ = ["CurationParams"]


class CurationParams(ParamsModel):
    """Labels of units; none is ever deleted."""

    job_kwargs: JobKwargs = Field(default=JobKwargs(), description="Chunks and workers of this step.")
    query: str | None = Field(
        default="isi_violations_ratio < 0.5 and presence_ratio > 0.8 and amplitude_cutoff < 0.1",
        description="Pandas query over the quality metrics' columns; units that do not satisfy it are"
        " labelled bad. null or '': no such label.",
    )
    noise_neural_classifier: str | None = Field(
        default="SpikeInterface/UnitRefine_noise_neural_classifier",
        description="Model that tells neurons from noise: a Hugging Face id (optionally 'id@revision') or a"
        " local folder. null: skipped.",
    )
    sua_mua_classifier: str | None = Field(
        default="SpikeInterface/UnitRefine_sua_mua_classifier",
        description="Model that tells single units from multi-unit activity: a Hugging Face id (optionally"
        " 'id@revision') or a local folder. null: skipped.",
    )
