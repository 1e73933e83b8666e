"""Params models as Dagster config: what the launchpad shows, checks and hands back.

`config_field` turns a section's model into a config schema: nested, typed, with descriptions, limits, choices and
the defaults shown for every key. `launchpad_overrides` gives back only what a person changed there: it is a layer of
params like any other (the strongest), so what was left alone must not hide the session's own params file.

Dagster checks names, types, choices and limits before a run starts; rules between keys are checked when the layers are
merged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import dagster as dg
from pydantic import BaseModel

from spikepipe_assets.limited_config import LimitedScalar, limits_of
from spikepipe_core.params import model_schema

__all__ = ["config_field", "launchpad_overrides"]

_SCALARS: dict[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool}

_MISSING = object()


def config_field(model: type[BaseModel], default: BaseModel | None = None) -> dg.Field:
    """Make the config schema of a params model, for ``@asset(config_schema=...)``.

    Parameters
    ----------
    model : type of BaseModel
        A section of the params, or any model without required keys.
    default : BaseModel, optional
        The values to show as defaults, usually the deployment's; the model's own if not given.
    """
    shown = (default if default is not None else model()).model_dump(mode="json", by_alias=True)
    return _field(model_schema(model), shown, required=False)


def launchpad_overrides(
    op_config: Any, run_config: Any, op_name: str, shown: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the keys that a person set in the launchpad, with their resolved values.

    Parameters
    ----------
    op_config : dict
        The step's config as Dagster resolved it, with all defaults filled in
        (``context.op_execution_context.op_config``).
    run_config : dict
        The run's config as it was typed (``context.run.run_config``).
    op_name : str
        The step's name (``context.op_execution_context.op_def.name``).
    shown : dict, optional
        The values the launchpad showed: the default given to `config_field`, dumped as JSON. The launchpad opens
        with all of them written out, so a key that still has the shown value counts as left alone. Without it
        every key that is there counts.

    Returns
    -------
    dict
        Partial params of the section, ready to be merged over the weaker layers.
    """
    typed: Any = run_config
    for key in ("ops", op_name, "config"):
        typed = typed.get(key) if isinstance(typed, Mapping) else None
    if not isinstance(typed, Mapping) or not isinstance(op_config, Mapping):
        return {}
    return _typed(op_config, typed, {} if shown is None else shown)


def _typed(resolved: Mapping[str, Any], raw: Mapping[str, Any], shown: Mapping[str, Any]) -> dict[str, Any]:
    overrides: dict[str, Any] = {}
    for key in raw:
        if key not in resolved:
            continue
        value, default = resolved[key], shown.get(key, _MISSING)
        if value == default:
            continue
        if value and isinstance(value, Mapping) and isinstance(raw[key], Mapping):
            overrides[key] = _typed(value, raw[key], default if isinstance(default, Mapping) else {})
        else:
            overrides[key] = value
    return overrides


def _field(schema: Mapping[str, Any], shown: Any, required: bool) -> dg.Field:
    """Make the field of one key.

    An object carries no default of its own: its keys do, so that a partial override keeps the others and the
    launchpad can write them all out.
    """
    config_type = _config_type(schema, shown)
    description = _description(schema)
    if isinstance(config_type, (dg.Shape, dg.Permissive)) and schema.get("properties"):
        return dg.Field(config_type, description=description)
    if shown is _MISSING:
        return dg.Field(config_type, description=description, is_required=required)
    return dg.Field(config_type, description=description, is_required=False, default_value=shown)


def _config_type(schema: Mapping[str, Any], shown: Any = _MISSING) -> Any:
    if "enum" in schema:
        return _choice(schema["enum"])
    if "anyOf" in schema:
        return _either(schema["anyOf"], shown)
    kind = schema.get("type")
    if kind == "object":
        return _object(schema, shown)
    if kind == "array":
        items = schema.get("items")
        return dg.Array(_config_type(items) if items else dg.Any)
    return LimitedScalar(schema) if limits_of(schema) else _SCALARS.get(str(kind), dg.Any)


def _object(schema: Mapping[str, Any], shown: Any) -> Any:
    properties = schema.get("properties")
    if not properties:
        return dg.Permissive()
    values = shown if isinstance(shown, Mapping) else {}
    required = schema.get("required", ())
    fields = {
        key: _field(below, values.get(key, below.get("default", _MISSING)), required=key in required)
        for key, below in properties.items()
    }
    return dg.Permissive(fields) if schema.get("additionalProperties") else dg.Shape(fields)


def _either(branches: list[Mapping[str, Any]], shown: Any) -> Any:
    """Make the type of a key that takes one of several: nullable, or a text and something else, else anything."""
    some = [branch for branch in branches if branch.get("type") != "null"]
    nullable = len(some) < len(branches)
    inner = _config_type(some[0], shown) if len(some) == 1 else _text_or(some)
    return dg.Noneable(inner) if nullable and inner is not dg.Any else inner


def _text_or(branches: list[Mapping[str, Any]]) -> Any:
    """Make the type of a text or one list or object with known keys; Dagster has no narrower type for the rest."""
    others = [branch for branch in branches if branch.get("type") != "string"]
    if (
        len(others) == 1
        and len(branches) == 2
        and (others[0].get("properties") or others[0]["type"] == "array")
    ):
        return dg.ScalarUnion(scalar_type=str, non_scalar_schema=_config_type(others[0]))
    return dg.Any


def _choice(values: list[Any]) -> Any:
    """Make an enum; its name, which Dagster wants unique, is made of its values."""
    name = "OneOf_" + "_".join(re.sub(r"\W", "_", str(value)) for value in values)
    return dg.Enum(name, [dg.EnumValue(value) for value in values])


def _description(schema: Mapping[str, Any]) -> str | None:
    limits = limits_of(schema) or [text for branch in schema.get("anyOf", ()) for text in limits_of(branch)]
    parts = [schema.get("description"), f"[{', '.join(limits)}]" if limits else None]
    return " ".join(part for part in parts if part) or None
