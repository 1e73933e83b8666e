"""Params section ``spikesorting``: which sorter, and what it is told."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .base import FreeDict, JobKwargs, NonNegativeInteger, ParamsModel
from .sorter_defaults import KILOSORT4, KILOSORT25, LUPIN, SPYKINGCIRCUS2

__all__ = [
    "SPIKEINTERFACE_SORTER_NAMES",
    "Kilosort4Params",
    "Kilosort25Params",
    "LupinParams",
    "SorterName",
    "SorterParams",
    "SpikesortingParams",
    "SpykingCircus2Params",
]

SorterName = Literal["kilosort4", "kilosort25", "spykingcircus2", "lupin"]

SPIKEINTERFACE_SORTER_NAMES: dict[SorterName, str] = {
    "kilosort4": "kilosort4",
    "kilosort25": "kilosort2_5",
    "spykingcircus2": "spykingcircus2",
    "lupin": "lupin",
}
"""The params file's sorter names, and what SpikeInterface calls them."""


def _sorter_field(defaults: dict[str, Any]) -> Any:
    return Field(
        default=defaults,
        description="Keyword arguments of the sorter, as SpikeInterface names them. What is left out, or null"
        " where the sorter takes no null, is the sorter's own default.",
    )


class SorterParams(ParamsModel):
    """What every sorter's object holds."""

    job_kwargs: JobKwargs = Field(default=JobKwargs(), description="Chunks and workers of this step.")
    skip_motion_correction: bool = Field(
        default=False,
        description="Switch off the sorter's own drift correction, for data that are corrected already.",
    )
    min_drift_channels: NonNegativeInteger = Field(
        default=6, description="With fewer channels than this the sorter's drift correction is switched off."
    )
    raise_if_fails: bool = Field(
        default=True,
        description="A failing sorter fails the recording. false: the failure is recorded and the rest of the"
        " recording's outputs are skipped.",
    )
    sorter: FreeDict = _sorter_field({})


class Kilosort4Params(SorterParams):
    """Kilosort 4."""

    clear_cache: bool = Field(
        default=False,
        description="Have PyTorch release its memory between the large steps; helps on small GPUs.",
    )
    sorter: FreeDict = _sorter_field(KILOSORT4)


class Kilosort25Params(SorterParams):
    """Kilosort 2.5."""

    sorter: FreeDict = _sorter_field(KILOSORT25)


class SpykingCircus2Params(SorterParams):
    """SpyKING CIRCUS 2."""

    sorter: FreeDict = _sorter_field(SPYKINGCIRCUS2)


class LupinParams(SorterParams):
    """Lupin."""

    sorter: FreeDict = _sorter_field(LUPIN)


class SpikesortingParams(ParamsModel):
    """Choice and settings of the sorter."""

    sorter: SorterName | None = Field(
        default=None, description="Sorter to run; wins over --sorter. null: --sorter decides, else kilosort4."
    )
    kilosort4: Kilosort4Params = Field(default=Kilosort4Params(), description="Settings of Kilosort 4.")
    kilosort25: Kilosort25Params = Field(default=Kilosort25Params(), description="Settings of Kilosort 2.5.")
    spykingcircus2: SpykingCircus2Params = Field(
        default=SpykingCircus2Params(), description="Settings of SpyKING CIRCUS 2."
    )
    lupin: LupinParams = Field(default=LupinParams(), description="Settings of Lupin.")

    def settings(self, sorter: SorterName) -> SorterParams:
        """Return the settings of one sorter, by its name in the params file."""
        return getattr(self, sorter)
