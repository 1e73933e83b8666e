"""The JSON Schema (draft-07) of the params file, made from the models.

It is written without references, so that forms need not follow any: what a key holds stands at the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from .model import Params

__all__ = ["DRAFT_07", "json_schema", "model_schema"]

DRAFT_07 = "http://json-schema.org/draft-07/schema#"

_LEFT_OUT = {"title", "$defs", "$ref"}
"""Pydantic's titles repeat the keys; definitions are written out where they are used."""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a params file: every key optional, unknown keys refused.

    A few rules between keys (``freq_min`` below ``freq_max``, ``vmin`` below ``vmax``, ``t_start`` before
    ``t_stop``, the content of strings that hold JSON) are beyond it and are checked when a file is loaded.
    """
    schema = model_schema(Params)
    return {"$schema": DRAFT_07, "title": "spikepipe params", **schema}


def model_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of one model, free of references."""
    schema = model.model_json_schema(by_alias=True)
    return _written_out(schema, schema.get("$defs", {}))


def _written_out(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_written_out(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        # what stands beside the reference (description, default) is about this key, and wins
        schema = {**definitions[schema["$ref"].rsplit("/", 1)[1]], **schema}
    result = {}
    for key, value in schema.items():
        if key == "properties":
            result[key] = {name: _written_out(below, definitions) for name, below in value.items()}
        elif key in ("default", "enum", "const", "examples"):
            result[key] = value
        elif key not in _LEFT_OUT:
            result[key] = _written_out(value, definitions)
    if "properties" in result:
        result.pop("default", None)  # its keys say theirs
    return result
