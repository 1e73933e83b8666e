"""The params file as typed models: load, merge, migrate, check, export.

`load_params` reads a file, `merge` puts layers over each other, `apply_runmode` and `resolve_sorter` apply the
two global flags, `effective` gives the part that an output depends on. Importing this package does not import
SpikeInterface.
"""

from __future__ import annotations

from .base import ForwardingModel, JobKwargs, ParamsModel
from .curation import BombcellParams, CurationParams, SlayParams
from .files import read_params_file, read_session_params
from .installed import check_sorter_name, check_sorter_params, installed_problems
from .job_dispatch import JobDispatchParams, SpikeInterfaceInfo
from .merging import BUILT_IN, load_params, merge, parse_params
from .migration import migrate
from .model import DEFAULT_SORTER, Params, default_params, resolve_sorter
from .nwb import NwbEcephysParams, NwbParams
from .postprocessing import ExtensionsParams, PostprocessingParams
from .preprocessing import MotionCorrectionParams, PreprocessingParams
from .problems import InvalidParamsError, Problem
from .runmode import RunMode, apply_runmode
from .schema import json_schema, model_schema
from .spikesorting import SorterName, SorterParams, SpikesortingParams
from .visualization import VisualizationParams

__all__ = [
    "BUILT_IN",
    "DEFAULT_SORTER",
    "BombcellParams",
    "CurationParams",
    "ExtensionsParams",
    "ForwardingModel",
    "InvalidParamsError",
    "JobDispatchParams",
    "JobKwargs",
    "MotionCorrectionParams",
    "NwbEcephysParams",
    "NwbParams",
    "Params",
    "ParamsModel",
    "PostprocessingParams",
    "PreprocessingParams",
    "Problem",
    "RunMode",
    "SlayParams",
    "SorterName",
    "SorterParams",
    "SpikeInterfaceInfo",
    "SpikesortingParams",
    "VisualizationParams",
    "apply_runmode",
    "check_sorter_name",
    "check_sorter_params",
    "default_params",
    "installed_problems",
    "json_schema",
    "load_params",
    "merge",
    "migrate",
    "model_schema",
    "parse_params",
    "read_params_file",
    "read_session_params",
    "resolve_sorter",
]
