"""Looking into untrusted data folders: bounded walks, bounded reads, no way out of the folder.

Every reader goes through these, so that the rules are the same for all formats:

- nothing outside the data folder is opened because something in it says so (a link, a path in a JSON file), unless the
  params allow it (`job_dispatch.allow_paths_outside_data`);
- only regular files are opened: reading from a pipe or a device may never end;
- metadata files are read up to a size that no real one has.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from spikepipe_core.errors import BadDataError

__all__ = [
    "STORES",
    "check_tree",
    "inside",
    "outside_allowed",
    "read_json_object",
    "read_small",
    "regular_file",
    "relative",
    "undecodable_names",
    "walk_files",
]

# The largest metadata seen are Quad-base .meta files of 75 kB and settings.xml of 600 kB.
MAX_METADATA_BYTES = 16 * 2**20
# Deepest acquisition layouts (rawdata/subject/session/ephys/run/probe) have 6 levels below the data folder.
MAX_DEPTH = 8
STORES = (".zarr", ".nwb")

_outside_allowed: ContextVar[bool] = ContextVar("outside_allowed", default=False)


@contextmanager
def outside_allowed(allowed: bool) -> Iterator[None]:
    """Say for what is done inside whether links and paths may lead out of the data folder."""
    token = _outside_allowed.set(allowed)
    try:
        yield
    finally:
        _outside_allowed.reset(token)


# --- folders ------------------------------------------------------------------------------------------------


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, in a fixed order.

    Linked folders are followed only where links may lead out of the data folder, and none of them twice. Hidden
    folders are left out (instances, version control), and so are levels deeper than any acquisition software makes,
    and names that are no text (see `undecodable_names`). A folder that is one store (``.zarr``, ``.nwb``) is yielded
    itself, without what is inside.
    """
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=_outside_allowed.get()):
        real = os.path.realpath(here)
        if real in seen:
            folders[:] = []
            continue
        seen.add(real)
        depth = len(Path(here).relative_to(folder).parts)
        visible = sorted(name for name in folders if not name.startswith(".") and _is_text(name))
        folders[:] = (
            [] if depth >= MAX_DEPTH else [name for name in visible if Path(name).suffix not in STORES]
        )
        yield from (Path(here) / name for name in visible if Path(name).suffix in STORES)
        for name in sorted(files):
            if not name.startswith(".") and _is_text(name):
                yield Path(here) / name


def undecodable_names(folder: Path) -> list[str]:
    """Paths below a folder whose names are no text in the file system's encoding, as Python writes them.

    They can be neither reported nor written down as they are, so nothing of them is processed.
    """
    found = []
    for here, folders, files in os.walk(folder, followlinks=False):
        depth = len(Path(here).relative_to(folder).parts)
        names = [name for name in (*folders, *files) if not _is_text(name)]
        found += [ascii(str((Path(here) / name).relative_to(folder)))[1:-1] for name in names]
        folders[:] = [] if depth >= MAX_DEPTH else [n for n in folders if Path(n).suffix not in STORES]
    return sorted(found)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_tree(folder: Path, root: Path) -> None:
    """Make sure that a folder which a library opens by itself holds plain files and folders only.

    Raises
    ------
    BadDataError
        It holds a link out of the data folder, a pipe, a socket or a device.
    """
    inside(folder, root)
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                path = Path(entry.path)
                if entry.is_symlink():
                    inside(path, root)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(path)
                elif not entry.is_file() and not entry.is_dir():
                    raise BadDataError(f"{path} is {_what_it_is(path)}. Take it out of the folder.")


# --- single paths -------------------------------------------------------------------------------------------


def inside(path: Path, root: Path) -> Path:
    """Return the path if it really lies in the data folder, or need not.

    Raises
    ------
    BadDataError
        It leads out of the folder, by ``..`` or by a symbolic link, and the params do not allow that; or it is a link
        to itself.
    """
    try:
        real, real_root = path.resolve(), root.resolve()
    except (RuntimeError, OSError) as error:  # which of the two depends on Python's version
        raise BadDataError(f"{path} is a symbolic link that leads back to itself. Take it away.") from error
    if not _outside_allowed.get() and real != real_root and real_root not in real.parents:
        raise BadDataError(
            f"{path} leads out of the data folder {root}, to {real}. Put the file itself there, give the "
            "folder that holds both as the data folder, or set job_dispatch.allow_paths_outside_data if the folder "
            "can be trusted."
        )
    return path


def regular_file(path: Path, root: Path) -> Path:
    """Return the path if it is a file in the data folder that can be read to its end.

    Raises
    ------
    BadDataError
        It is missing, a folder, a pipe, a socket or a device, or outside the data folder.
    """
    inside(path, root)
    if not path.is_file():
        raise BadDataError(f"{path} is {_what_it_is(path)}. Copy it again from the acquisition.")
    return path


def _what_it_is(path: Path) -> str:
    """What stands where a file is expected, in words."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "a symbolic link to nothing" if path.is_symlink() else "missing"
    except OSError as error:
        return f"not readable ({error.strerror})"
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}
    kind = next((word for test, word in kinds.items() if test(mode)), "a device")
    return f"{kind}, where a file is expected"


def relative(path: Path, root: Path) -> str:
    """Path relative to the data root, with forward slashes; with ``..`` if it may lie outside and does."""
    if _outside_allowed.get() and not path.is_relative_to(root):
        return Path(os.path.relpath(path, root)).as_posix()
    return path.relative_to(root).as_posix()


# --- metadata files -----------------------------------------------------------------------------------------


def read_small(path: Path, limit: int = MAX_METADATA_BYTES) -> str:
    """Text of a metadata file.

    Raises
    ------
    BadDataError
        It is missing, no file, larger than `limit` bytes, or no UTF-8 text.
    """
    if not path.is_file():
        raise BadDataError(f"{path} is {_what_it_is(path)}. Copy it again from the acquisition.")
    with path.open("rb") as file:
        content = file.read(limit + 1)
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


def read_json_object(path: Path, root: Path, limit: int = MAX_METADATA_BYTES) -> dict[str, Any]:
    """Content of a JSON file that holds one object.

    Raises
    ------
    BadDataError
        As `read_small`; or it is no valid JSON, no object, or outside the data folder.
    """
    text = read_small(inside(path, root), limit)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadDataError(f"{path} is no valid JSON ({error}). Copy it again.") from error
    if not isinstance(content, dict):
        raise BadDataError(f"{path} holds no JSON object, but {type(content).__name__}. Copy it again.")
    return content
