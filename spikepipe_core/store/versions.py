"""Data versions: one hash that tells whether an output is what it would be if made again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def digest(value: Any) -> str:
    """Hash of any JSON value: independent of key order, 16 hexadecimal digits (64 bits).

    300 and 300.0 are one number, as in JSON: which of them a params file holds depends on the tool that wrote it.
    """
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def data_version(
    stage: str,
    code_version: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, str],
    identity: Mapping[str, Any],
) -> str:
    """Data version of one output.

    Parameters
    ----------
    stage : str
        Name of the stage that makes the output.
    code_version : str
        The stage's own version, raised whenever it would make something else from the same inputs.
    settings : mapping
        The effective params that reach this output, and no others.
    inputs : mapping of str to str
        Data versions of the inputs.
    identity : mapping
        Digests of what else decides: raw files, classifier models.
    """
    return digest(
        {
            "stage": stage,
            "code": code_version,
            "settings": settings,
            "inputs": inputs,
            "identity": identity,
        }
    )
