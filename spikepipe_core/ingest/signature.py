"""Whether anything in a raw folder has changed since the last look, without opening a file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from spikepipe_core.ingest.files import MAX_DEPTH, STORES

__all__ = ["folder_signature"]


def folder_signature(path: Path) -> str:
    """Digest of the names, sizes and modification times of all files in a folder; no file is opened.

    It does not tell what the files hold: see `fingerprint_files`.
    Inside a store that is a folder (Zarr) only sub-folders are looked at: their times change with every new chunk.

    Returns
    -------
    str
        16 hexadecimal digits (BLAKE2b).

    Raises
    ------
    OSError
        Some folder in it cannot be listed.
    """
    digest = hashlib.blake2b(digest_size=8)
    status = path.stat()
    if path.is_file():
        digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
    else:
        digest.update(str(status.st_mtime_ns).encode())
        for line in _listing(path, 0, in_store=path.suffix in STORES):
            digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _listing(folder: Path | str, depth: int, *, in_store: bool) -> Iterator[str]:
    with os.scandir(folder) as entries:
        ordered = sorted((entry for entry in entries if entry.name[0] != "."), key=lambda entry: entry.name)
    for entry in ordered:
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder or not in_store:
            status = entry.stat(follow_symlinks=False)
            yield f"{entry.path}\0{0 if is_folder else status.st_size}\0{status.st_mtime_ns}\0"
        if is_folder and depth < MAX_DEPTH:
            yield from _listing(entry.path, depth + 1, in_store=in_store or entry.name.endswith(STORES))
