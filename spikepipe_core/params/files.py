"""Read a params file: strict JSON, with errors that name the file and the line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from ..errors import ParamsError

__all__ = ["MAX_PARAMS_BYTES", "read_params_file", "read_session_params"]

EVENTS_FILE = ("preprocessing", "remove_stimulation_artifacts", "events_file")
"""The key of the params file that names a file to read."""

MAX_PARAMS_BYTES = 4 * 2**20
"""A params file is some kilobytes; anything near this size is another file."""


def read_params_file(path: Path | str) -> dict[str, Any]:
    """Return the JSON object in a params file, as it stands.

    Raises
    ------
    ParamsError
        The file is missing, too large, not UTF-8, not valid JSON (with line and column), holds a key twice
        or a number JSON does not have, or is not an object.
    """
    path = Path(path)
    text = _read_text(path)
    try:
        raw = json.loads(text, object_pairs_hook=_object_without_duplicates, parse_constant=_no_such_number)
    except json.JSONDecodeError as error:
        raise ParamsError(
            f"{path} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno};"
            " JSON has neither comments nor trailing commas"
        ) from error
    except _RefusedJsonError as error:
        raise ParamsError(f"{path}: {error}") from error
    except RecursionError as error:
        raise ParamsError(f"{path} is nested too deeply for a params file") from error
    if not isinstance(raw, dict):
        raise ParamsError(
            f"{path} holds a {_json_type(raw)}, not an object; a params file looks like {{...}}"
        )
    return raw


def read_session_params(path: Path | str) -> dict[str, Any]:
    """Return the JSON object in a params file that lies among the data, and so is not to be trusted.

    Raises
    ------
    ParamsError
        As `read_params_file`; or it names a file by an absolute path, which only the deployment's params may.
    """
    raw = read_params_file(path)
    node: Any = raw
    for key in EVENTS_FILE:
        node = node.get(key) if isinstance(node, dict) else None
    if isinstance(node, str) and Path(node).is_absolute():
        raise ParamsError(
            f"{path}: {'.'.join(EVENTS_FILE)} is the absolute path {node}. A params file among the data may only name "
            "files there, relative to the folder of the raw files; put the key into the deployment's params."
        )
    return raw


class _RefusedJsonError(ValueError):
    """JSON that the standard parser would take and that we refuse."""


def _read_text(path: Path) -> str:
    if path.is_dir():
        raise ParamsError(f"{path} is a folder; give the params file itself")
    if not path.is_file():
        raise ParamsError(f"there is no params file {path}")
    size = path.stat().st_size
    if size > MAX_PARAMS_BYTES:
        raise ParamsError(
            f"{path} has {size} bytes, more than the {MAX_PARAMS_BYTES} a params file may have;"
            " is it another file?"
        )
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ParamsError(
            f"{path} is not UTF-8 text (byte {error.start} is {error.object[error.start]:#04x});"
            " save it as UTF-8"
        ) from error


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise _RefusedJsonError(f'the key "{key}" stands twice in one object; keep one of them')
        result[key] = value
    return result


def _no_such_number(text: str) -> NoReturn:
    raise _RefusedJsonError(f"{text} is no number in JSON; use null, or a finite number")


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "list"}
    return names.get(type(value), type(value).__name__)
