"""Identity of raw input: what it holds, wherever it lies and whenever it was copied there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.files import inside, walk_files

__all__ = ["fingerprint_files"]

# Files up to this size (all metadata) are read whole; of larger ones, this many bytes at each of so many
# places.
_WHOLE_BYTES = 4 * 2**20
_BLOCK_BYTES = 64 * 2**10
_BLOCKS = 32


def fingerprint_files(files: Iterable[str], root: Path) -> str:
    """Digest of files: names, sizes, and content (sampled where they are large).

    Two copies of the same files have the same fingerprint, whatever folder they are in. A change inside a
    large file that keeps its size and touches none of the sampled blocks (head, tail and 30 between, 2 MiB
    in all) is not seen: reading 100 GB to see it would cost more than the analysis gains.

    Parameters
    ----------
    files : iterable of str
        Files or folders, relative to `root`.

    Returns
    -------
    str
        32 hexadecimal digits (BLAKE2b).
    """
    paths = sorted({path for name in files for path in _expand(root / name, root)})
    if not paths:
        raise BadDataError(f"No raw file of the recording is left below {root}. Put them back.")
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        for block in _blocks(path, size):
            digest.update(block)
    return digest.hexdigest()


def _expand(path: Path, root: Path) -> Iterator[Path]:
    inside(path, root)
    if path.is_dir():
        yield from walk_files(path)
    elif path.is_file():
        yield path
    else:
        raise BadDataError(f"{path} is missing. Put it back, or run discovery again.")


def _blocks(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        if size <= _WHOLE_BYTES:
            yield file.read()
            return
        for index in range(_BLOCKS):
            file.seek((size - _BLOCK_BYTES) * index // (_BLOCKS - 1))
            yield file.read(_BLOCK_BYTES)
