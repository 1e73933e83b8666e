"""Numbers and texts of a Dagster config that have limits, refused before a run starts where they break one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jsonschema
from dagster._config import ConfigScalar, ConfigScalarKind
from dagster._config.errors import PostProcessingError

__all__ = ["LIMITS", "LimitedScalar", "limits_of"]

LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minLength": "at least {} characters",
    "pattern": "matches {}",
}
"""The limits of JSON Schema that our models use, in words."""

_KINDS = {
    "integer": ConfigScalarKind.INT,
    "number": ConfigScalarKind.FLOAT,
    "string": ConfigScalarKind.STRING,
}


def limits_of(schema: Mapping[str, Any]) -> list[str]:
    """Return the limits of a schema in words."""
    return [text.format(schema[key]) for key, text in LIMITS.items() if key in schema]


class LimitedScalar(ConfigScalar):
    """A number or text within the limits of its JSON Schema.

    Dagster's own scalars have none; it judges them when it resolves a run's config, which it does before it makes
    the run. The name, which Dagster wants unique, is made of the limits.
    """

    def __init__(self, schema: Mapping[str, Any]):
        self._kind: str = schema["type"]
        self._rule = {key: schema[key] for key in LIMITS if key in schema}
        name = "_".join([self._kind, *(re.sub(r"\W+", "_", text) for text in limits_of(schema))])
        super().__init__(key=name, given_name=name, scalar_kind=_KINDS[self._kind])

    def post_process(self, value: Any) -> Any:
        """Return the value as the type has it.

        Raises
        ------
        PostProcessingError
            It breaks a limit.
        """
        if not jsonschema.Draft7Validator(self._rule).is_valid(value):
            raise PostProcessingError(f"{value!r} is not {' and '.join(limits_of(self._rule))}")
        return float(value) if self._kind == "number" else value
