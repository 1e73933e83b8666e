"""Params section ``nwb``: what a session's NWB file holds."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from .base import NonNegativeInteger, ParamsModel, PositiveFloat

__all__ = ["LfpFilterParams", "LfpParams", "NwbEcephysParams", "NwbParams"]


def _check_agar_indices(value: Any) -> Any:
    """Refuse a text that is not the JSON of an object of channel indices; leave the rest to the types."""
    if not isinstance(value, str) or not value.strip():
        return value
    remedy = 'give text like {"ProbeA": 350}, an object, or "" where it does not apply'
    try:
        decoded = json.loads(value)
    except ValueError as error:
        raise ValueError(f"is no valid JSON ({error}); {remedy}") from error
    if not isinstance(decoded, dict) or not all(
        type(index) is int and index >= 0 for index in decoded.values()
    ):
        raise ValueError(f"must map probe names to channel indices (whole numbers from 0); {remedy}")
    return value


class LfpFilterParams(ParamsModel):
    """The LFP band."""

    freq_min: float = Field(default=0.1, ge=0, description="Lower edge in Hz.")
    freq_max: PositiveFloat = Field(default=500, description="Upper edge in Hz, above freq_min.")

    @model_validator(mode="after")
    def _band_is_not_empty(self) -> Self:
        if self.freq_min >= self.freq_max:
            raise ValueError(f"freq_min ({self.freq_min:g} Hz) must be below freq_max ({self.freq_max:g} Hz)")
        return self


class LfpParams(ParamsModel):
    """How LFP is made from a wide-band stream."""

    filter: LfpFilterParams = Field(default=LfpFilterParams(), description="Band-pass that defines the LFP.")
    sampling_rate: PositiveFloat = Field(
        default=2500, description="Sampling rate of the LFP in Hz, after downsampling."
    )


class NwbEcephysParams(ParamsModel):
    """Electrophysiology of the NWB file."""

    backend: Literal["zarr", "hdf5"] = Field(
        default="zarr",
        description="'zarr': a chunked folder that suits object stores; 'hdf5': one .nwb file.",
    )
    stub: bool = Field(
        default=False, description="Write only the first stub_seconds of each series, for a quick look."
    )
    stub_seconds: PositiveFloat = Field(default=10, description="Seconds that are written when stub is on.")
    write_lfp: bool = Field(default=True, description="Write the LFP.")
    write_raw: bool = Field(
        default=False, description="Write the raw wide-band traces too; the file becomes much larger."
    )
    lfp_temporal_factor: NonNegativeInteger = Field(
        default=2, description="Keep one LFP sample in this many. 0 or 1: all."
    )
    lfp_spatial_factor: NonNegativeInteger = Field(
        default=4, description="Keep one LFP channel in this many. 0 or 1: all."
    )
    lfp_highpass_freq_min: float = Field(
        default=0.1, ge=0, description="High-pass of the LFP in Hz. 0: none."
    )
    surface_channel_agar_probes_indices: Annotated[
        str | dict[str, NonNegativeInteger], BeforeValidator(_check_agar_indices)
    ] = Field(
        default="",
        description="For probes that go through agar: the index of the uppermost channel still in tissue, by"
        ' probe name, as an object or its JSON text, e.g. {"ProbeA": 350}; the LFP is referenced'
        ' to the median of the channels above it. "": none.',
    )
    lfp: LfpParams = Field(default=LfpParams(), description="How LFP is made from a wide-band stream.")

    def surface_channels(self) -> dict[str, int]:
        """Return the uppermost channel in tissue by probe name; empty where none is given."""
        value = self.surface_channel_agar_probes_indices
        if isinstance(value, dict):
            return dict(value)
        return json.loads(value) if value.strip() else {}


class NwbParams(ParamsModel):
    """The session's NWB file."""

    allow_partial: bool = Field(
        default=False,
        description="Write a session's file although a probe of it failed. false: wait until it is repaired.",
    )
    ecephys: NwbEcephysParams = Field(default=NwbEcephysParams(), description="Electrophysiology.")
