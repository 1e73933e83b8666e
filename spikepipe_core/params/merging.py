"""Layers of params, weakest first, become one `Params`.

An object is merged into the weaker layer's, key by key, at every depth; lists and plain values replace.
Free-form objects (a sorter's arguments, ``*_kwargs``, ``metric_params``) are merged in the same way, and an
explicitly empty one, ``{}``, clears the weaker layers': that is how "the preset's own defaults" is said.
``custom_preprocessing_pipeline`` and ``spikeinterface_info`` are replaced whole.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from .base import REPLACED_WHOLE
from .files import read_params_file
from .installed import installed_problems
from .migration import migrate
from .model import Params, default_params
from .problems import InvalidParamsError, Problem, dotted, origin_of, validation_problems
from .structure import field_by_key, leaves, submodel

__all__ = ["BUILT_IN", "load_params", "merge", "parse_params"]

BUILT_IN = "built-in defaults"

logger = logging.getLogger(__name__)


def load_params(path: Path | str) -> Params:
    """Read a params file over the built-in defaults.

    Older layouts are migrated, and each change is logged.

    Raises
    ------
    ParamsError
        The file cannot be read, or breaks the contract (then an `InvalidParamsError` with all problems).
    """
    return parse_params(read_params_file(path), source=str(path))


def parse_params(raw: Mapping[str, Any], source: str) -> Params:
    """Check the (possibly partial) content of a params file over the built-in defaults.

    Parameters
    ----------
    raw : dict
        The file's content.
    source : str
        What to call it in messages, usually its path.
    """
    params, _ = merge((source, raw))
    return params


def merge(*layers: tuple[str, Mapping[str, Any]]) -> tuple[Params, dict[str, str]]:
    """Merge layers of params over the built-in defaults.

    Parameters
    ----------
    *layers : (name, raw dict)
        Weakest first: the deployment's file, the session's own, the command line or launchpad. Each may be
        partial and of an older layout.

    Returns
    -------
    params : Params
    provenance : dict of str
        For every leaf of the params (dotted path), the name of the layer it came from.
    """
    merged = default_params()
    origins: dict[str, str] = {}
    for name, raw in layers:
        today, changes = migrate(raw)
        for change in changes:
            logger.warning("params (%s): %s", name, change)
        _merge_object(merged, today, Params, (), name, origins)
    source = ", ".join(name for name, _ in layers) or BUILT_IN
    params = _validate(merged, source, origins)
    paths = [path for path, _ in leaves(params.to_dict())]
    return params, {dotted(path): origin_of(path, origins) or BUILT_IN for path in paths}


def _validate(merged: dict[str, Any], source: str, origins: Mapping[str, str]) -> Params:
    """Return the params, or raise with the problems of the models and of SpikeInterface's names together."""
    problems: list[Problem] = []
    params = None
    try:
        params = Params.model_validate(merged)
    except ValidationError as error:
        problems = validation_problems(Params, merged, error, origins)
    unknown = installed_problems(merged, origins)
    if problems or unknown or params is None:
        raise InvalidParamsError(source, [*_not_below(problems, unknown), *unknown])
    return params


def _not_below(problems: list[Problem], unknown: list[Problem]) -> list[Problem]:
    """Leave out what is wrong at or inside a key that is unknown anyway."""
    paths = [problem.path for problem in unknown]
    return [p for p in problems if not any(p.path == path or p.path.startswith(f"{path}.") for path in paths)]


def _merge_object(
    weaker: dict[str, Any],
    stronger: Mapping[str, Any],
    model: type[BaseModel] | None,
    path: tuple[str, ...],
    name: str,
    origins: dict[str, str],
) -> None:
    """Merge ``stronger`` into ``weaker`` in place, noting where each replaced value came from."""
    for key, value in stronger.items():
        field = field_by_key(model, key) if model is not None else None
        below = submodel(field.annotation) if field is not None else None
        here = (*path, key)
        if isinstance(value, Mapping) and not _replaces(value, below, field):
            if not isinstance(weaker.get(key), dict):
                weaker[key] = {}
                origins[dotted(here)] = name
            _merge_object(weaker[key], value, below, here, name, origins)
        else:
            _forget(origins, here)
            weaker[key] = copy.deepcopy(value)
            origins[dotted(here)] = name


def _replaces(value: Mapping[str, Any], below: type[BaseModel] | None, field: FieldInfo | None) -> bool:
    """Say whether an object replaces the weaker one rather than being merged into it."""
    if field is not None and REPLACED_WHOLE in field.metadata:
        return True
    return below is None and not value


def _forget(origins: dict[str, str], path: tuple[str, ...]) -> None:
    prefix = dotted(path) + "."
    for known in [known for known in origins if known.startswith(prefix)]:
        del origins[known]
