"""The params file as typed models: load, merge, migrate, check, export."""

from __future__ import annotations

from .base import JobKwargs
from .curation import CurationParams
from .job_dispatch import JobDispatchParams, SpikeInterfaceInfo
from .model import DEFAULT_SORTER, Params, default_params, resolve_sorter
from .nwb import NwbEcephysParams, NwbParams
from .postprocessing import ExtensionsParams, PostprocessingParams
from .preprocessing import MotionCorrectionParams, PreprocessingParams
from .spikesorting import SPIKEINTERFACE_SORTER_NAMES, SorterName, SorterParams, SpikesortingParams
from .visualization import VisualizationParams

__all__ = [
    "DEFAULT_SORTER",
    "SPIKEINTERFACE_SORTER_NAMES",
    "CurationParams",
    "ExtensionsParams",
    "JobDispatchParams",
    "JobKwargs",
    "MotionCorrectionParams",
    "NwbEcephysParams",
    "NwbParams",
    "Params",
    "PostprocessingParams",
    "PreprocessingParams",
    "SorterName",
    "SorterParams",
    "SpikeInterfaceInfo",
    "SpikesortingParams",
    "VisualizationParams",
    "default_params",
    "resolve_sorter",
]
