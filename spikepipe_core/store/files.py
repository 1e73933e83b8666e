"""Small file operations that survive a power cut: atomic writes, directory syncs, removal."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never a part.

    NaN and infinity are refused: they are not JSON.
    """
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, path.name)
    while not _replace(path, text):
        continue  # swept away by another writer in the instant before it was locked
    sync_folder(path.parent)


def _replace(path: Path, text: str) -> bool:
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex[:8]}-{path.name}")
    with temporary.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # tells `sweep` that its writer lives
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        try:
            temporary.replace(path)
        except FileNotFoundError:
            return False
    return True


def replace_file(path: Path, text: str) -> None:
    """Write a text that can be made again: readers see the old one or the new one; a power cut may leave neither."""
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path, name: str) -> None:
    """Remove the temporary files that killed writers of a JSON file left; `name` is a glob pattern."""
    for stale in folder.glob(f".tmp-????????-{name}"):
        with suppress(OSError), stale.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held, and so refused, while its writer lives
            stale.unlink()


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file or a folder; nothing there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
