"""Params section ``curation``: which units are good, by thresholds and by classifiers; what could be merged."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from .base import JobKwargs, ParamsModel

__all__ = [
    "BombcellParams",
    "BoundsParams",
    "CurationParams",
    "SlayParams",
    "SlayScoreParams",
    "TemplateDifferenceParams",
]


class BoundsParams(ParamsModel):
    """What a metric must be for a unit to pass."""

    greater: float | None = Field(
        default=None, description="The metric must be this or more. null: no such bound."
    )
    less: float | None = Field(
        default=None, description="The metric must be this or less. null: no such bound."
    )
    abs: bool = Field(default=False, description="Bound the metric's magnitude, whatever its sign.")


def _bounds(greater: float | None = None, less: float | None = None, *, abs: bool = False) -> BoundsParams:
    return BoundsParams(greater=greater, less=less, abs=abs)


class BombcellParams(ParamsModel):
    """Bombcell's thresholds (https://github.com/Julie-Fabre/bombcell), by quality or template metric."""

    model_config = ConfigDict(serialize_by_alias=True)

    noise: dict[str, BoundsParams] = Field(
        default={
            "num_positive_peaks": _bounds(less=2),
            "num_negative_peaks": _bounds(less=1),
            "peak_to_trough_duration": _bounds(0.0001, 0.00115),
            "waveform_baseline_flatness": _bounds(less=0.5),
            "peak_after_to_trough_ratio": _bounds(less=0.8),
            "exp_decay": _bounds(0.01, 0.1),
        },
        description="A unit outside any of these bounds is labelled noise.",
    )
    mua: dict[str, BoundsParams] = Field(
        default={
            "amplitude_median": _bounds(30, abs=True),
            "snr": _bounds(5),
            "amplitude_cutoff": _bounds(less=0.2),
            "num_spikes": _bounds(300),
            "rp_contamination": _bounds(less=0.1),
            "presence_ratio": _bounds(0.7),
            "drift_ptp": _bounds(less=100),
        },
        description="A unit that is no noise but outside any of these bounds is labelled mua.",
    )
    non_somatic: dict[str, BoundsParams] = Field(
        default={
            "peak_before_to_trough_ratio": _bounds(less=3),
            "peak_before_width": _bounds(0.00015),
            "trough_width": _bounds(0.0002),
            "peak_before_to_peak_after_ratio": _bounds(less=3),
            "main_peak_to_trough_ratio": _bounds(less=0.8),
        },
        alias="non-somatic",
        description="A unit that is no noise, narrow and of a large peak before its trough, or all peak, is"
        " labelled non_soma. {}: no such label.",
    )


class TemplateDifferenceParams(ParamsModel):
    """Which pairs of units SLAy looks at."""

    templates_diff: float = Field(
        default=0.35, ge=0, le=1, description="Largest difference of two templates, from 0 to 1."
    )


class SlayScoreParams(ParamsModel):
    """SLAy's score of a pair: similarity + k1 * cross-correlation - k2 * refractory violations."""

    k1: float = Field(default=0.25, ge=0, description="Weight of the cross-correlation.")
    k2: float = Field(default=1.0, ge=0, description="Weight of the refractory period violations.")
    slay_threshold: float = Field(default=0.4, description="A pair that scores more than this is proposed.")


class SlayParams(ParamsModel):
    """Merges proposed by SLAy (https://github.com/saikoukunt/SLAy), as SpikeInterface has it."""

    template_similarity: TemplateDifferenceParams = Field(
        default=TemplateDifferenceParams(), description="Which pairs are looked at."
    )
    slay: SlayScoreParams = Field(default=SlayScoreParams(), description="Which of them are proposed.")


class CurationParams(ParamsModel):
    """Labels of units and proposals for a person to look at; no unit is changed or deleted."""

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
    bombcell: BombcellParams | None = Field(
        default=BombcellParams(),
        description="Label units as Bombcell does: noise, mua, good or non_soma. null: skipped.",
    )
    noise_strategy: Literal["bombcell", "unitrefine", "bombcell+unitrefine"] | None = Field(
        default="bombcell+unitrefine",
        description="Who says which units are noise, to be proposed for removal and left out of merges; with"
        " both, they must agree, and with one of them skipped nobody does. null: nobody.",
    )
    slay: SlayParams | None = Field(
        default=SlayParams(),
        description="Propose merges of units, in curation.json. null: no proposals.",
    )
