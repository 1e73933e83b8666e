"""Params section ``spikesorting``: which sorter, and what it is told."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints
from pydantic.fields import FieldInfo

from ..sorters import BUILT_IN, is_known, sorter_entry
from .base import FreeDict, JobKwargs, NonNegativeInteger, ParamsModel

__all__ = [
    "Kilosort4Params",
    "Kilosort25Params",
    "LupinParams",
    "SorterName",
    "SorterParams",
    "SpikesortingParams",
    "SpykingCircus2Params",
]

SorterName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$"),
    Field(examples=list(BUILT_IN)),
]
"""A sorter's name in the params file. Whether there is one of this name is asked when a file is loaded
(`spikepipe_core.params.installed`): other packages and SpikeInterface have sorters too."""


def _sorter_field(name: str | None = None) -> Any:
    return Field(
        default=dict(BUILT_IN[name].parameters) if name else {},
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
    sorter: FreeDict = _sorter_field()


class Kilosort4Params(SorterParams):
    """Kilosort 4."""

    clear_cache: bool = Field(
        default=False,
        description="Have PyTorch release its memory between the large steps; helps on small GPUs.",
    )
    sorter: FreeDict = _sorter_field("kilosort4")


class Kilosort25Params(SorterParams):
    """Kilosort 2.5."""

    sorter: FreeDict = _sorter_field("kilosort25")


class SpykingCircus2Params(SorterParams):
    """SpyKING CIRCUS 2."""

    sorter: FreeDict = _sorter_field("spykingcircus2")


class LupinParams(SorterParams):
    """Lupin."""

    sorter: FreeDict = _sorter_field("lupin")


class SpikesortingParams(ParamsModel):
    """Choice and settings of the sorter.

    Sorters without a key of their own here (those of other packages, and any other that SpikeInterface has) may get
    one: their name, with an object like the others'.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, SorterParams] = Field(init=False)

    @classmethod
    def further_keys(cls, key: str) -> FieldInfo | None:
        """Return what a key beyond those of the model holds; None if it names no sorter."""
        return FieldInfo(annotation=SorterParams, default=SorterParams()) if is_known(key) else None

    sorter: SorterName | None = Field(
        default=None,
        description="Sorter to run; wins over --sorter. null: --sorter decides, else kilosort4. Besides those with"
        " a key here, any sorter that SpikeInterface has, or another package adds, by its name.",
    )
    kilosort4: Kilosort4Params = Field(default=Kilosort4Params(), description="Settings of Kilosort 4.")
    kilosort25: Kilosort25Params = Field(default=Kilosort25Params(), description="Settings of Kilosort 2.5.")
    spykingcircus2: SpykingCircus2Params = Field(
        default=SpykingCircus2Params(), description="Settings of SpyKING CIRCUS 2."
    )
    lupin: LupinParams = Field(default=LupinParams(), description="Settings of Lupin.")

    def settings(self, sorter: str) -> SorterParams:
        """Return the settings of one sorter, by its name in the params file.

        Those of a sorter without a key of its own lie over the parameters of its entry.
        """
        if sorter in type(self).model_fields:
            return getattr(self, sorter)
        given = (self.model_extra or {}).get(sorter, SorterParams())
        return given.model_copy(update={"sorter": {**sorter_entry(sorter).parameters, **given.sorter}})
