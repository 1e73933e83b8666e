"""The params file as a page that people read: every key with its type, default and meaning, from the models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .model import default_params
from .schema import json_schema

__all__ = ["parameters_page"]

_HEAD = """# Parameters

Written by `python -m spikepipe_core.params.export` from the models; not edited by hand.

A params file is JSON and holds what should differ from the defaults, no more. Weakest first: the defaults below, the
file given with `--params_file`, a `spikepipe_params.json` beside a session's data, the command line, Dagster's
launchpad. `spikepipe params validate FILE` checks a file, `spikepipe params show` says what applies and why, `spikepipe
params edit` opens an editor, and `spikepipe params migrate FILE` brings files of older pipelines to this layout.
"""

_LIMITS = {
    "minimum": "{} or more",
    "exclusiveMinimum": "above {}",
    "maximum": "{} or less",
    "exclusiveMaximum": "below {}",
    "pattern": "like `{}`",
}

_TYPES = {"boolean": "true/false", "integer": "integer", "number": "number", "string": "text", "null": "null"}


def parameters_page() -> str:
    """Return the page as Markdown: a table for every section, keys by their dotted path."""
    defaults = default_params()
    parts = [_HEAD]
    for section, schema in json_schema()["properties"].items():
        if "properties" not in schema:
            continue
        parts.append(f"## `{section}`\n\n{schema['description']}\n")
        parts.append("| key | type | default | meaning |\n| --- | --- | --- | --- |")
        rows = _rows(schema, defaults[section], ())
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n")
    return "\n".join(parts)


def _rows(
    schema: Mapping[str, Any], values: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    for key, below in schema["properties"].items():
        here, value = (*path, key), values.get(key, below.get("default"))
        keys = _object(below)
        name = f"`{'.'.join(here)}`"
        meaning = _cell(below.get("description", ""))
        if keys is not None and isinstance(value, Mapping):
            yield name, "object" if keys is below else "object or null", "", meaning
        else:
            default = "required" if key in schema.get("required", ()) else _code(value)
            yield name, _type(below), default, meaning
        if keys is not None:
            yield from _rows(keys, value or {}, here)


def _object(schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The branch of a key's schema that is an object with known keys."""
    branches = [schema, *schema.get("anyOf", ())]
    return next((branch for branch in branches if branch.get("properties")), None)


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(_code(value) for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type(branch) for branch in schema["anyOf"])
    if "const" in schema:
        return _code(schema["const"])
    kind = schema.get("type")
    if kind == "array":
        return f"list of {_type(schema['items'])}" if schema.get("items") else "list"
    if kind == "object":
        return "object"
    limits = [text.format(schema[limit]) for limit, text in _LIMITS.items() if limit in schema]
    return _cell(", ".join([_TYPES.get(str(kind), "anything"), *limits]))


def _code(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    """Text that a table's cell can hold."""
    return text.replace("|", "\\|").replace("\n", " ")
