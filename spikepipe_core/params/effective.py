"""The part of the params that reaches an output: its data version is made of it, and it is recorded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .model import Params
from .problems import closest

__all__ = ["effective"]


def effective(params: Params, *paths: str, without: Iterable[str] = ()) -> dict[str, Any]:
    """Return a part of the params as a nested dict of JSON types.

    Parameters
    ----------
    params : Params
    *paths : str
        Dotted paths of what to keep, e.g. ``"preprocessing.motion_correction"``; none keeps all.
    without : iterable of str
        Dotted paths of what to leave out of that, e.g. ``"preprocessing.job_kwargs"``.

    Raises
    ------
    ValueError
        A path the params do not have: a mistake in the caller.
    """
    whole = params.to_dict()
    whole.pop("$schema", None)
    kept: dict[str, Any] = {} if paths else whole
    for path in paths:
        _put(kept, path, _get(whole, path))
    for path in without:
        _get(whole, path)
        _remove(kept, path)
    return kept


def _get(node: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(node, dict) or key not in node:
            similar = closest(key, list(node)) if isinstance(node, dict) else None
            hint = f'; did you mean "{similar}"?' if similar else ""
            raise ValueError(f'the params have no "{path}": no key "{key}"{hint}')
        node = node[key]
    return node


def _put(target: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for key in parents:
        target = target.setdefault(key, {})
    target[last] = value


def _remove(target: Any, path: str) -> None:
    *parents, last = path.split(".")
    for key in parents:
        target = target.get(key) if isinstance(target, dict) else None
    if isinstance(target, dict):
        target.pop(last, None)
