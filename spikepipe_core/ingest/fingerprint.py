"""Identity of raw input: what it holds, wherever it lies and whenever it was copied there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.files import STORES, inside, walk_files

__all__ = ["fingerprint_files", "place_free"]

# Files up to this size (all metadata) are read whole; of larger ones, this many bytes at each of so many
# places.
_WHOLE_BYTES = 4 * 2**20
_BLOCK_BYTES = 64 * 2**10
_BLOCKS = 32
_LONGEST_PATH = 4096


def fingerprint_files(files: Iterable[str], root: Path) -> str:
    """Digest of files: names, sizes, and content (sampled where they are large).

    Two copies of the same files have the same fingerprint, whatever folder they are in. A change inside a
    large file that keeps its size and touches none of the sampled blocks (head, tail and 30 between, 2 MiB
    in all) is not seen: reading 100 GB to see it would cost more than the analysis gains. Of a Zarr store the
    names and sizes of all chunks count, and the content of its metadata and of 32 chunks.

    Parameters
    ----------
    files : iterable of str
        Files or folders, relative to `root`.

    Returns
    -------
    str
        32 hexadecimal digits (BLAKE2b).
    """
    read = {path: counts for name in files for path, counts in _expand(root / name, root)}
    if not read:
        raise BadDataError(f"No raw file of the recording is left below {root}. Put them back.")
    folder = Path(os.path.commonpath([path.parent for path in read]))
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(read):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        for block in _blocks(path, size) if read[path] else ():
            digest.update(block)
    return digest.hexdigest()


def place_free(source: Any, files: Iterable[str], root: Path) -> Any:
    """What a reader needs to load a job, with paths counted from the folder that its files have in common.

    Parameters
    ----------
    source : JSON value
        As in `RecordingJob.source`; a string in it is a path below `root` if there is such a file or folder.
    files : iterable of str
        Files (or folders) of the job, relative to `root`.
    """
    places = [os.path.normpath(root / name) for name in files]
    common = os.path.commonpath([os.path.dirname(place) for place in places] or [str(root)])  # noqa: PTH120

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: moved(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [moved(item) for item in value]
        if isinstance(value, str) and value and _exists(root / value):
            return Path(os.path.relpath(root / value, common)).as_posix()
        return value

    return moved(source)


def _exists(path: Path) -> bool:
    text = str(path)
    return "\0" not in text and len(text) < _LONGEST_PATH and os.path.lexists(text)


def _expand(path: Path, root: Path) -> Iterator[tuple[Path, bool]]:
    """Files, and whether their content counts: of the chunks of a Zarr store, only that of some."""
    inside(path, root)
    if path.is_dir() and path.suffix in STORES:
        yield from _files_of_store(path)
    elif path.is_dir():
        for file in walk_files(path):
            yield from _expand(file, root) if file.is_dir() else [(file, True)]
    elif path.is_file():
        yield path, True
    else:
        raise BadDataError(f"{path} is missing. Put it back, or run discovery again.")


def _files_of_store(store: Path) -> Iterator[tuple[Path, bool]]:
    files = sorted(Path(here) / name for here, _, names in os.walk(store) for name in names)
    chunks = [path for path in files if not path.name.startswith(".z")]
    last = max(len(chunks) - 1, 0)
    sampled = {chunks[last * index // (_BLOCKS - 1)] for index in range(_BLOCKS)} if chunks else set()
    for path in files:
        yield path, path.name.startswith(".z") or path in sampled


def _blocks(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        if size <= _WHOLE_BYTES:
            yield file.read()
            return
        for index in range(_BLOCKS):
            file.seek((size - _BLOCK_BYTES) * index // (_BLOCKS - 1))
            yield file.read(_BLOCK_BYTES)
