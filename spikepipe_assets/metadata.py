"""An output's manifest as the metadata that people look at in the UI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg

from spikepipe_core.produce import Produced

HIDDEN = ("result", "checks", "figures", "channel_labels")
"""Parts of a summary that are shown otherwise, or are for machines."""

MAX_ROWS = 200
"""Rows of a table shown in the UI; the file has them all (ours: the event log keeps every row for ever)."""


def describe(produced: Produced, path: Path) -> dict[str, Any]:
    """Metadata of a materialization: the result, its numbers, tables and pictures, where it lies, how it was made."""
    manifest = produced.manifest
    assert manifest is not None, "only an output has metadata"
    metadata: dict[str, Any] = {"result": manifest.empty or manifest.summary.get("result", "")}
    if not manifest.empty:
        metadata["path"] = dg.MetadataValue.path(str(path))
    for name, value in manifest.summary.items():
        if name not in HIDDEN and not _is_nothing(value):
            metadata[name.replace("_", " ")] = _value(value)
    for title, png in manifest.pictures.items():
        metadata[title] = dg.MetadataValue.md(f"![{title}](data:image/png;base64,{png})")
    return metadata | {
        "reused": produced.outcome.reused,
        "seconds to make": manifest.duration_s,
        "size": size_in_words(sum(record.size for record in manifest.files.values())),
        "params": dg.MetadataValue.json(manifest.settings),
        "versions": dg.MetadataValue.json(manifest.versions),
    }


def _is_nothing(value: Any) -> bool:
    return value is None or value == [] or value == {}


def _value(value: Any) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return dg.MetadataValue.table(
            [dg.TableRecord({k: _cell(v) for k, v in row.items()}) for row in value[:MAX_ROWS]]
        )
    if isinstance(value, list | dict):
        return dg.MetadataValue.json(value)
    return value


def _cell(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else "" if value is None else str(value)


def size_in_words(count: int) -> str:
    """Bytes as people read them."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"
