"""`Params`: the whole params file as one typed, immutable object."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from .base import ParamsModel
from .curation import CurationParams
from .job_dispatch import JobDispatchParams
from .nwb import NwbParams
from .postprocessing import PostprocessingParams
from .preprocessing import PreprocessingParams
from .spikesorting import SorterName, SpikesortingParams
from .visualization import VisualizationParams

__all__ = ["DEFAULT_SORTER", "Params", "default_params", "resolve_sorter"]

DEFAULT_SORTER: SorterName = "kilosort4"


class Params(ParamsModel):
    """Every setting of the pipeline, one section a step."""

    model_config = ConfigDict(title="spikepipe params")

    schema_reference: str | None = Field(
        default=None,
        alias="$schema",
        description="Where the JSON Schema of this file lies, for editors that complete and check; no effect"
        " here.",
    )
    job_dispatch: JobDispatchParams = Field(
        default=JobDispatchParams(),
        description="What the raw folder is and how it becomes recording jobs.",
    )
    preprocessing: PreprocessingParams = Field(
        default=PreprocessingParams(), description="Filters, bad channels, referencing, motion."
    )
    spikesorting: SpikesortingParams = Field(
        default=SpikesortingParams(), description="Which sorter, and what it is told."
    )
    postprocessing: PostprocessingParams = Field(
        default=PostprocessingParams(), description="The sorting analyzer and de-duplication."
    )
    curation: CurationParams = Field(default=CurationParams(), description="Which units are good.")
    visualization: VisualizationParams = Field(
        default=VisualizationParams(), description="The figures of each recording."
    )
    nwb: NwbParams = Field(default=NwbParams(), description="What the session's NWB file holds.")

    def to_dict(self) -> dict[str, Any]:
        """Return the params as they are written to a file (JSON types only)."""
        dumped = self.model_dump(mode="json", by_alias=True)
        if dumped["$schema"] is None:
            del dumped["$schema"]
        return dumped


def default_params() -> dict[str, Any]:
    """Return the built-in defaults, whole, as a params file holds them."""
    return Params().to_dict()


def resolve_sorter(params: Params, cli_sorter: SorterName | None = None) -> SorterName:
    """Return the sorter to run: the params file's, else the command line's, else Kilosort 4."""
    return params.spikesorting.sorter or cli_sorter or DEFAULT_SORTER
