"""Looking into Zarr stores (version 2) of untrusted data folders before they are opened.

Arrays name the codecs that decode them, and some of these would run what the file says (pickle). Only known ones are
let through; one that is missing here is named with its remedy.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

from spikepipe_core.errors import BadDataError, NotAvailableError
from spikepipe_core.ingest.files import inside, read_json_object

__all__ = ["array_metadata", "check_codecs", "refuse_links", "require_chunks", "store_attributes"]

# What numcodecs 0.15 has and decodes to plain numbers or text, and audio codecs for electrophysiology
# (Buccino et al. 2023, doi:10.1088/1741-2552/acf5a4).
_SAFE_CODECS = frozenset(
    {"adler32", "astype", "base64", "bitround", "blosc", "bz2", "categorize", "crc32", "delta"}
    | {"fixedscaleoffset", "fletcher32", "gzip", "jenkins_lookup3", "json2", "lz4", "lzma", "msgpack2"}
    | {"packbits", "quantize", "shuffle", "vlen-array", "vlen-bytes", "vlen-utf8", "zfpy", "zlib", "zstd"}
    | {"wavpack", "flac"}
)
# SpikeInterface nests groups three deep at most.
_MAX_GROUPS = 8
_REMEDIES = {
    "wavpack": "Install it with `pip install 'spikepipe[wavpack]'`.",
    "flac": "Install it with `pip install flac-numcodecs`.",
}


def store_attributes(store: Path, root: Path) -> dict[str, Any]:
    """Attributes of a store's root group.

    Raises
    ------
    BadDataError
        It is no store in Zarr 2, or damaged.
    """
    if not inside(store, root).is_dir():
        raise BadDataError(f"{store} is no folder, so no Zarr store. Copy it again.")
    if (store / "zarr.json").exists():
        raise BadDataError(
            f"{store} is in Zarr 3, which is not read. Write it again with SpikeInterface and zarr<3."
        )
    path = store / ".zattrs"
    return read_json_object(path, root) if path.exists() else {}


def array_metadata(store: Path, name: str, root: Path) -> dict[str, Any] | None:
    """What the store says of one of its arrays (``shape``, ``dtype``, ``compressor``); None if it has none so named."""
    path = store / name / ".zarray"
    return read_json_object(path, root) if path.exists() else None


def check_codecs(store: Path, root: Path) -> None:
    """Make sure that opening a store runs nothing but known codecs, and that these are here.

    Raises
    ------
    BadDataError
        Arrays use codecs that are not known to be safe.
    NotAvailableError
        A codec is not installed.
    """
    used: dict[str, Path] = {}
    for path in _metadata_files(inside(store, root)):
        for metadata in _arrays(path, root):
            for codec in (metadata.get("compressor"), *(metadata.get("filters") or ())):
                if isinstance(codec, dict):
                    used.setdefault(str(codec.get("id")), path)
    for codec, path in sorted(used.items()):
        if codec not in _SAFE_CODECS:
            raise BadDataError(
                f"{path} uses the codec {codec!r}, which is not known to be safe in data from elsewhere. Write the "
                "store again with another one."
            )
        if not _is_installed(codec):
            raise NotAvailableError(
                f"{store} is compressed with the codec {codec!r}, which is not installed. {_REMEDIES.get(codec, '')}"
            )


def refuse_links(folder: Path) -> None:
    """Make sure that a store holds plain files and folders only, and no links to somewhere else.

    Raises
    ------
    BadDataError
        One is.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                raise BadDataError(
                    f"{entry.path} is a symbolic link. Put the file itself there; links in a store are not followed."
                )
            if entry.is_dir():
                refuse_links(Path(entry.path))
            elif not entry.is_file():  # reading from a pipe may never end
                raise BadDataError(f"{entry.path} is no file. Take it out of the store.")


def require_chunks(store: Path, name: str, root: Path) -> None:
    """Make sure that all chunks of an array are there: Zarr takes a missing one for zeros.

    Raises
    ------
    BadDataError
        Some are missing, or the array's metadata are damaged.
    """
    metadata = array_metadata(store, name, root) or {}
    shape, chunks = metadata.get("shape"), metadata.get("chunks")
    if not _are_counts(shape) or not _are_counts(chunks) or len(shape) != len(chunks) or 0 in chunks:
        raise BadDataError(
            f"{store / name / '.zarray'}: shape={shape}, chunks={chunks} cannot be. Copy it again."
        )
    expected = math.prod(-(-length // chunk) for length, chunk in zip(shape, chunks, strict=True))
    found = sum(
        not file.startswith(".") for _, _, files in os.walk(store / name, followlinks=False) for file in files
    )
    if found < expected:
        raise BadDataError(
            f"{store / name} has {found} of {expected} chunks: it was not copied completely. Copy the store again."
        )


def _are_counts(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(isinstance(value, int) and value >= 0 for value in values)


def _metadata_files(group: Path, depth: int = 0) -> Iterator[Path]:
    """Files that describe the arrays of a group and its sub-groups; chunks are not looked at."""
    for name in (".zarray", ".zmetadata"):
        if (group / name).exists():
            yield group / name
    if not (group / ".zarray").exists() and depth < _MAX_GROUPS:
        for path in sorted(group.iterdir()):
            if path.is_dir():
                yield from _metadata_files(path, depth + 1)


def _arrays(path: Path, root: Path) -> list[dict[str, Any]]:
    """Descriptions of arrays in a file: its own, or all of a store (consolidated metadata)."""
    content = read_json_object(path, root)
    if path.name == ".zarray":
        return [content]
    entries = content.get("metadata")
    if not isinstance(entries, dict):
        raise BadDataError(f"{path} is no consolidated metadata of Zarr. Copy the store again.")
    return [entry for name, entry in entries.items() if name.endswith(".zarray") and isinstance(entry, dict)]


def _is_installed(codec: str) -> bool:
    from numcodecs import registry

    return codec in registry.codec_registry or codec in registry.entries
