"""Looking into untrusted data folders: bounded walks, bounded reads, no way out of the folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from spikepipe_core.errors import BadDataError

__all__ = ["STORES", "inside", "read_small", "relative", "walk_files"]

# The largest metadata seen are Quad-base .meta files of 75 kB and settings.xml of 600 kB.
MAX_METADATA_BYTES = 16 * 2**20
# Deepest acquisition layouts (rawdata/subject/session/ephys/run/probe) have 6 levels below the data folder.
MAX_DEPTH = 8
STORES = (".zarr", ".nwb")


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, in a fixed order, without following linked folders.

    Hidden folders are left out (instances, version control), and so are levels deeper than any acquisition
    software makes. A folder that is one store (``.zarr``, ``.nwb``) is yielded itself, without what is
    inside.
    """
    for here, folders, files in os.walk(folder, followlinks=False):
        depth = len(Path(here).relative_to(folder).parts)
        visible = sorted(name for name in folders if not name.startswith("."))
        folders[:] = (
            [] if depth >= MAX_DEPTH else [name for name in visible if Path(name).suffix not in STORES]
        )
        yield from (Path(here) / name for name in visible if Path(name).suffix in STORES)
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(here) / name


def inside(path: Path, root: Path) -> Path:
    """Return the path if it really lies in the data folder.

    Raises
    ------
    BadDataError
        It leads out of the folder, by ``..`` or by a symbolic link.
    """
    real, real_root = path.resolve(), root.resolve()
    if real != real_root and real_root not in real.parents:
        raise BadDataError(
            f"{path} leads out of the data folder {root}, to {real}. Put the file itself there, or give the "
            "folder that holds both as the data folder."
        )
    return path


def relative(path: Path, root: Path) -> str:
    """Path relative to the data root, with forward slashes."""
    return path.relative_to(root).as_posix()


def read_small(path: Path, limit: int = MAX_METADATA_BYTES) -> str:
    """Text of a metadata file.

    Raises
    ------
    BadDataError
        It is missing, no file, larger than `limit` bytes, or no UTF-8 text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        if not path.is_file():
            raise BadDataError(
                f"{path} is missing or not a file. Copy it again from the acquisition."
            ) from error
        raise
    if len(content) > limit:
        raise BadDataError(
            f"{path} is larger than {limit} bytes, which no metadata file is. Check that it is what it is "
            "named."
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadDataError(
            f"{path} is not text in UTF-8 (byte {error.start}). Copy it again from the acquisition."
        ) from error
