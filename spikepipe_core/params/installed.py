"""Compare names in the params with those the installed SpikeInterface knows.

Arguments of sorters, analyzer extensions, metrics, sparsity, motion and custom preprocessing steps are handed on to
SpikeInterface, so it decides which names exist. It takes seconds to import, so it is only asked about names
beyond our defaults', which are known to be right (a test holds them to it). Values are not judged here; each
stage translates those that the installed version no longer takes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, get_args

from ..errors import NotAvailableError
from ..sorters import is_known, known_sorters, sorter_entry
from .base import PeakSign
from .curation import BombcellParams
from .installed_motion import GROUPS, motion_arguments
from .metrics import DEFAULT_METRIC_PARAMS
from .model import Params
from .postprocessing import ExtensionsParams, SparsityParams
from .preprocessing import MotionCorrectionParams, PreprocessingParams
from .problems import InvalidParamsError, Problem, closest, did_you_mean, origin_of
from .spikesorting import SpikesortingParams
from .structure import field_by_key, known_keys, submodel

__all__ = [
    "check_sorter_name",
    "check_sorter_params",
    "installed_problems",
    "sorter_arguments",
    "sorter_name_problems",
]

_OTHER_METRIC_ARGUMENTS = {
    "noise_cutoff": {"high_quantile", "low_quantile", "n_bins"},
    "sd_ratio": {"censored_period_ms", "correct_for_drift", "correct_for_template_itself", "peak_sign"},
}
"""Names beyond our defaults' that the 1.3.1 file uses, some of older SpikeInterface versions."""

_MISSPELT = 0.8
"""How alike (difflib) a name must be to a known one to be called misspelt where any name is taken."""


def check_sorter_params(params: Params) -> None:
    """Compare the sorters' arguments with the installed SpikeInterface's.

    Raises
    ------
    InvalidParamsError
        An argument that SpikeInterface's wrapper of the sorter does not know, with the closest one it does.
    """
    problems = list(_sorter_problems(params.to_dict()))
    if problems:
        raise InvalidParamsError("spikesorting", problems)


def installed_problems(data: Mapping[str, Any], origins: Mapping[str, str] | None = None) -> list[Problem]:
    """Return every name that the installed SpikeInterface does not know.

    Parameters
    ----------
    data : dict
        Params as a whole dict. What is not of the right type is passed over: validation names it.
    origins : dict, optional
        Layer by path, put into the problems.
    """
    found = [
        *_sorter_problems(data),
        *_pipeline_problems(data),
        *_step_problems(data),
        *_sparsity_problems(data),
        *_extension_problems(data),
        *_metric_problems(data),
        *_bombcell_problems(data),
        *_motion_problems(data),
    ]
    return [_with_origin(problem, origins or {}) for problem in found]


def check_sorter_name(name: str, source: str) -> None:
    """Find out whether there is a sorter of this name.

    Parameters
    ----------
    name : str
    source : str
        Where the name was given, for the message.

    Raises
    ------
    InvalidParamsError
        With the closest name that there is.
    """
    problems = sorter_name_problems("spikesorting.sorter", name)
    if problems:
        raise InvalidParamsError(source, problems)


def _sorter_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    section = _object_at(data, "spikesorting")
    chosen = section.get("sorter")
    if isinstance(chosen, str) and chosen:
        yield from sorter_name_problems("spikesorting.sorter", chosen)
    settings = known_keys(SpikesortingParams)
    for key, value in section.items():
        if key in settings or is_known(key):
            yield from _argument_problems(key, _object_at(data, f"spikesorting.{key}.sorter"))
        else:
            similar = did_you_mean(closest(key, [*settings, *known_sorters()]))
            yield Problem(
                f"spikesorting.{key}", value, "unknown key: no setting and no spike sorter", similar
            )


def sorter_name_problems(path: str, name: str) -> list[Problem]:
    """Return the problem that there is no sorter of this name, with the closest name, if so."""
    if is_known(name):
        return []
    message = "is no spike sorter that spikepipe, another package or SpikeInterface has"
    there_are = f"there are {', '.join(known_sorters())}"
    return [Problem(path, name, f"{message}: {there_are}", did_you_mean(closest(name, known_sorters())))]


def _argument_problems(sorter: str, arguments: Mapping[str, Any]) -> Iterator[Problem]:
    if not arguments:
        return
    path = f"spikesorting.{sorter}.sorter"
    try:
        entry = sorter_entry(sorter)
        if arguments.keys() <= {*entry.parameters, *entry.known_parameters}:
            return
        known = sorter_arguments(sorter)
    except NotAvailableError as error:
        yield Problem(path, dict(arguments), f"cannot be checked: {error}")
        return
    yield from _unknown(path, arguments, known, f"an argument of {sorter} in the installed SpikeInterface")


@cache
def sorter_arguments(sorter: str) -> frozenset[str]:
    """Return the names of the arguments that a sorter takes, by its entry or the installed SpikeInterface."""
    from ..stages.sorters import default_parameters

    entry = sorter_entry(sorter)
    return frozenset({*entry.parameters, *entry.known_parameters, *default_parameters(entry)})


def _pipeline_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    path = "preprocessing.custom_preprocessing_pipeline"
    pipeline = _object_at(data, path)
    if not pipeline:
        return
    from spikeinterface.preprocessing.pipeline import pp_names_to_functions

    yield from _unknown(path, pipeline, pp_names_to_functions, "a preprocessing step of SpikeInterface")
    for step, arguments in pipeline.items():
        if step in pp_names_to_functions and isinstance(arguments, Mapping):
            takes, open_ended = _arguments(_implementation(pp_names_to_functions[step]))
            if not open_ended:
                yield from _unknown(f"{path}.{step}", arguments, takes, f"an argument of {step}")


_STEPS = (
    "highpass_filter",
    "bandpass_filter",
    "phase_shift",
    "detect_bad_channels",
    "common_reference",
    "highpass_spatial_filter",
)
"""Steps of the documented pipeline, called as SpikeInterface calls them."""

_NOT_OF_A_STEP = {"job_kwargs", "btype", "band", "coeff", "filter_kwargs"}
"""What is given by another key, or by the name of the step itself."""


def _step_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    for step in _STEPS:
        path = f"preprocessing.{step}"
        arguments, field = _object_at(data, path), field_by_key(PreprocessingParams, step)
        model = submodel(field.annotation) if field is not None else None
        documented = set(known_keys(model)) if model is not None else set()
        if arguments.keys() <= documented:
            continue
        import spikeinterface.preprocessing as spre

        takes, open_ended = _arguments(_implementation(getattr(spre, step)))
        if open_ended:  # the filters hand arguments on to the filter behind them
            takes |= _arguments(_implementation(spre.filter))[0]
        known = documented | {name for name in takes - _NOT_OF_A_STEP if not name.startswith("_")}
        yield from _unknown(path, arguments, known, f"an argument of {step}")


def _sparsity_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    known = set(known_keys(SparsityParams))
    for path in ("postprocessing.sparsity", "postprocessing.extensions.template_metrics.sparsity"):
        arguments = _object_at(data, path)
        if arguments.keys() <= known:
            continue
        from spikeinterface.core.sparsity import estimate_sparsity

        takes, _ = _arguments(estimate_sparsity)
        yield from _unknown(path, arguments, known | takes, "an argument of SpikeInterface's sparsity")


def _extension_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    for name in known_keys(ExtensionsParams):
        path = f"postprocessing.extensions.{name}"
        arguments = _object_at(data, path)
        documented = _documented_arguments(name)
        if arguments.keys() <= documented:
            continue
        takes, open_ended = _extension_arguments(name)
        known = documented | takes
        # an extension that hands arguments on takes any name: there, only a clear misspelling is called wrong
        judged = {key: v for key, v in arguments.items() if not open_ended or closest(key, known, _MISSPELT)}
        yield from _unknown(path, judged, known, f"an argument of the extension {name}")


def _documented_arguments(extension: str) -> set[str]:
    field = field_by_key(ExtensionsParams, extension)
    model = submodel(field.annotation) if field is not None else None
    return set(known_keys(model)) if model is not None else set()


def _extension_arguments(name: str) -> tuple[set[str], bool]:
    from spikeinterface.core.sortinganalyzer import get_extension_class

    return _arguments(get_extension_class(name)._set_params)


def _metric_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    path = "postprocessing.extensions.quality_metrics.metric_params"
    defaults = {str(name): set(known) for name, known in DEFAULT_METRIC_PARAMS.items()}
    for metric, arguments in _object_at(data, path).items():
        ours = defaults.get(metric, set()) | _OTHER_METRIC_ARGUMENTS.get(metric, set())
        if not isinstance(arguments, Mapping):
            continue
        yield from _own_metric_problems(f"{path}.{metric}", arguments)
        if arguments.keys() <= ours:
            continue
        from spikeinterface.metrics.quality import get_default_quality_metrics_params

        installed = get_default_quality_metrics_params()
        if metric in installed:
            known = ours | installed[metric].keys()
            yield from _unknown(f"{path}.{metric}", arguments, known, f"an argument of the metric {metric}")


def _own_metric_problems(path: str, arguments: Mapping[str, Any]) -> Iterator[Problem]:
    """Judge the values of what SpikeInterface takes no longer and the pipeline measures itself."""
    sign, sizes = arguments.get("peak_sign"), arguments.get("synchrony_sizes")
    signs = get_args(PeakSign)
    if sign is not None and sign not in signs:
        similar = did_you_mean(closest(str(sign), signs))
        yield Problem(f"{path}.peak_sign", sign, f"must be one of {', '.join(signs)}", similar)
    if sizes is not None and not _are_synchrony_sizes(sizes):
        yield Problem(f"{path}.synchrony_sizes", sizes, "must be a list of whole numbers, each 2 or more")


def _are_synchrony_sizes(sizes: Any) -> bool:
    return (
        isinstance(sizes, list)
        and bool(sizes)
        and all(isinstance(size, int) and not isinstance(size, bool) and size >= 2 for size in sizes)
    )


def _bombcell_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    documented = BombcellParams().model_dump(by_alias=True)
    for section, defaults in documented.items():
        path = f"curation.bombcell.{section}"
        bounds = _object_at(data, path)
        if not bounds.keys() <= defaults.keys():
            known = set(defaults) | _metric_columns()
            yield from _unknown(path, bounds, known, "a quality or template metric of SpikeInterface")


def _metric_columns() -> set[str]:
    from spikeinterface.metrics.quality import ComputeQualityMetrics
    from spikeinterface.metrics.template import ComputeTemplateMetrics

    metrics = (*ComputeQualityMetrics.metric_list, *ComputeTemplateMetrics.metric_list)
    return {column for metric in metrics for column in metric.metric_columns}


def _motion_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    above = "preprocessing.motion_correction"
    preset = _object_at(data, above).get("preset")
    for group in GROUPS:
        arguments = _object_at(data, f"{above}.{group}")
        documented = MotionCorrectionParams.model_fields[group].default
        if arguments.keys() <= documented.keys() or not isinstance(preset, str):
            continue
        try:
            known = motion_arguments(group, preset, arguments.get("method"))
        except KeyError:
            continue  # the preset is not known: validation names it
        # peak selection hands further names on to its methods: there, only a clear misspelling is called wrong
        judged = {
            key: value
            for key, value in arguments.items()
            if group != "select_kwargs" or closest(key, known, _MISSPELT)
        }
        yield from _unknown(
            f"{above}.{group}", judged, known, f"an argument of the motion estimate ({group})"
        )


def _implementation(function: Any) -> Callable[..., Any]:
    """Return what carries the signature: the class behind SpikeInterface's function wrappers."""
    return inspect.unwrap(function)


def _arguments(function: Callable[..., Any]) -> tuple[set[str], bool]:
    """Return the names a function takes, and whether it takes any other name too."""
    parameters = inspect.signature(function).parameters.values()
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return named - {"self", "recording"}, open_ended


def _unknown(path: str, given: Mapping[str, Any], known: Collection[str], what: str) -> Iterator[Problem]:
    for name, value in given.items():
        if name not in known:
            suggestion = did_you_mean(closest(name, known))
            yield Problem(f"{path}.{name}", value, f"is not {what}", suggestion)


def _object_at(data: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    node: Any = data
    for key in path.split("."):
        node = node.get(key) if isinstance(node, Mapping) else None
    return node if isinstance(node, Mapping) else {}


def _with_origin(problem: Problem, origins: Mapping[str, str]) -> Problem:
    return replace(problem, origin=origin_of(problem.path.split("."), origins))
