"""What is wrong with a params file, all at once: path, value, what is allowed, the closest known key."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import ParamsError
from .structure import all_paths, field_at, known_keys, submodel

__all__ = [
    "KEY_HINTS",
    "InvalidParamsError",
    "Problem",
    "closest",
    "did_you_mean",
    "dotted",
    "origin_of",
    "validation_problems",
]

_WORDING = (
    ("Input should be a valid integer", "must be a whole number"),
    ("Input should be a valid ", "must be a "),
    ("Input should be ", "must be "),
    ("List should have ", "must have "),
    ("String should have ", "must have "),
    ("String should match pattern ", "must match the pattern "),
    ("Value error, ", ""),
)
"""How pydantic's sentences begin, and how ours do."""

KEY_HINTS = {
    "n_jobs": "the number of jobs belongs to the machine: give --n_jobs on the command line",
    "total_memory": "size chunks with chunk_duration",
    "chunk_size": "size chunks with chunk_duration",
    "chunk_memory": "size chunks with chunk_duration",
}
"""Remedies for keys that people bring from SpikeInterface's job kwargs."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes
    ----------
    path : str
        Where, as dotted keys (``preprocessing.highpass_filter.freq_min``); empty for the whole file.
    value : object
        What was found there.
    message : str
        What is wrong and what is allowed.
    suggestion : str or None
        The closest known key or value, or where the key belongs.
    origin : str or None
        The layer (file, command line) that the value came from.
    present : bool
        False where the problem is that a required key is missing.
    """

    path: str
    value: Any
    message: str
    suggestion: str | None = None
    origin: str | None = None
    present: bool = True

    def __str__(self) -> str:
        where = self.path or "the file"
        if self.present:
            where += f" = {_short(self.value)}"
        origin = f" (from {self.origin})" if self.origin else ""
        suggestion = f"; {self.suggestion}" if self.suggestion else ""
        return f"{where}{origin}: {self.message}{suggestion}"


class InvalidParamsError(ParamsError):
    """Params that break the contract; `problems` holds every one of them.

    Remedy: correct what each line names.
    """

    def __init__(self, source: str, problems: Sequence[Problem]):
        self.source = source
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__(
            "\n".join([f"{count} in the params ({source}):", *(f"- {p}" for p in self.problems)])
        )


def origin_of(path: Sequence[str | int], origins: Mapping[str, str]) -> str | None:
    """Return the layer that a value came from: that of the closest path above it which a layer gave."""
    above = (dotted(path[:length]) for length in range(len(path), 0, -1))
    return next((origins[path] for path in above if path in origins), None)


def dotted(path: Sequence[str | int]) -> str:
    """Write a path as dotted keys."""
    return ".".join(str(key) for key in path)


def closest(name: str, known: Collection[str], cutoff: float = 0.6) -> str | None:
    """Return the known name most like the one given (difflib, case ignored), or None if none is alike."""
    if name in known:
        return None
    by_lower = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower().replace("-", "_"), list(by_lower), n=1, cutoff=cutoff)
    return by_lower[matches[0]] if matches else None


def validation_problems(
    root: type[BaseModel],
    raw: Mapping[str, Any],
    error: ValidationError,
    origins: Mapping[str, str] | None = None,
) -> list[Problem]:
    """Turn pydantic's errors into problems, one a path, each with the closest known key or value."""
    merged: dict[tuple[tuple[str | int, ...], Any], list[Any]] = {}
    for item in error.errors(include_url=False):
        path, is_key = _path_in_file(item["loc"], raw, missing=item["type"] == "missing")
        merged.setdefault((path, is_key), []).append(item)
    return [
        _problem(root, raw, path, is_key, items, origins or {}) for (path, is_key), items in merged.items()
    ]


def _problem(
    root: type[BaseModel],
    raw: Mapping[str, Any],
    path: tuple[str | int, ...],
    is_key: bool,
    items: Sequence[Any],
    origins: Mapping[str, str],
) -> Problem:
    value = _value_at(raw, path)
    origin = origin_of(path, origins)
    if items[0]["type"] == "extra_forbidden":
        message, suggestion = "unknown key", _suggest_key(root, path)
    elif is_key:
        expected = _expected_values(items[0])
        message, suggestion = "unknown key", did_you_mean(closest(str(path[-1]), expected))
    elif items[0]["type"] == "missing":
        return Problem(dotted(path), None, "is required", origin=origin, present=False)
    else:
        message = ", or ".join(dict.fromkeys(_rule(item) for item in items))
        suggestion = _suggest_value(value, items)
    return Problem(dotted(path), value, message, suggestion, origin)


def _path_in_file(loc: Sequence[str | int], raw: Any, missing: bool) -> tuple[tuple[str | int, ...], bool]:
    """Drop from pydantic's location what is not in the file: names of union branches and of validators."""
    path: list[str | int] = []
    node = raw
    for position, element in enumerate(loc):
        last = position == len(loc) - 1
        inside = (isinstance(node, Mapping) and element in node) or (
            isinstance(node, list) and isinstance(element, int) and element < len(node)
        )
        if inside:
            node = node[element]
            path.append(element)
        elif missing and last:
            path.append(element)
    return tuple(path), bool(loc) and loc[-1] == "[key]"


def _value_at(raw: Any, path: Sequence[str | int]) -> Any:
    node = raw
    for key in path:
        try:
            node = node[key]
        except (KeyError, IndexError, TypeError):
            return None
    return node


def _rule(item: Any) -> str:
    """Say what is allowed, from pydantic's message."""
    message: str = item["msg"]
    for prefix, replacement in _WORDING:
        if message.startswith(prefix):
            message = replacement + message[len(prefix) :]
            break
    if item["type"] in ("model_type", "dict_type"):
        return "must be an object"
    return message.replace(" after validation", "")


def _expected_values(item: Any) -> list[str]:
    """Return the values pydantic would have taken, from its ``'a', 'b' or 'c'``."""
    expected = str(item.get("ctx", {}).get("expected", ""))
    return [part.strip().strip("'") for part in expected.replace(" or ", ", ").split(", ") if part.strip()]


def _suggest_value(value: Any, items: Sequence[Any]) -> str | None:
    if not isinstance(value, str):
        return None
    return did_you_mean(closest(value, [name for item in items for name in _expected_values(item)]))


def _suggest_key(root: type[BaseModel], path: tuple[str | int, ...]) -> str | None:
    """Suggest the closest key of the same object, else the place where just this key is known."""
    *parents, name = path
    name = str(name)
    if name in KEY_HINTS:
        return KEY_HINTS[name]
    field = field_at(root, parents) if parents else None
    model = root if not parents else submodel(field.annotation) if field is not None else None
    similar = closest(name, known_keys(model)) if model is not None else None
    if similar is not None:
        return did_you_mean(similar)
    elsewhere = [dotted(known) for known in all_paths(root) if known[-1] == name]
    return f"it belongs at {' or '.join(elsewhere[:3])}" if elsewhere else None


def did_you_mean(name: str | None) -> str | None:
    """Write a suggestion, if there is one."""
    return f'did you mean "{name}"?' if name else None


def _short(value: Any, limit: int = 60) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
