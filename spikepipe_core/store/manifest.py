"""The manifest: what an output consists of and what it was made from."""

from __future__ import annotations

import hashlib
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

MANY_FILES = 64
"""Above this many files one `sync` of the file system is cheaper than one `fsync` a file (ours)."""


class FileRecord(BaseModel):
    """One file of an output."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    sha256: str
    mtime_ns: int = Field(description="A hint: a file whose size and time still agree is not read again.")


class Manifest(BaseModel):
    """What an output consists of, what it was made from, and how.

    An output without a manifest that verifies does not exist, whatever lies at its path.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    session: str
    probe: str | None = Field(description="None for an output of the whole session.")
    name: str = Field(description="Recording name, or the session key for an output of the session.")
    path: str = Field(description="Relative to the session's results folder.")
    data_version: str
    code_version: str
    settings: dict[str, Any] = Field(description="The effective params that reached this output.")
    inputs: dict[str, str] = Field(description="Data versions of the inputs.")
    identity: dict[str, Any] = Field(description="Digests of raw files and models.")
    versions: dict[str, str] = Field(description="Versions of the packages that made it.")
    started: datetime
    duration_s: float
    empty: str | None = Field(
        default=None, description="Why there are no files: the params ask for none, or there is nothing."
    )
    summary: dict[str, Any] = Field(default_factory=dict, description="Numbers and tables people look at.")
    pictures: dict[str, str] = Field(default_factory=dict, description="Title to a small PNG, base64.")
    files: dict[str, FileRecord] = Field(default_factory=dict, description="'.' for a single file.")
    released: datetime | None = Field(
        default=None,
        description="When the files were removed to save room. They are made again when something needs them.",
    )


def record_files(path: Path) -> dict[str, FileRecord]:
    """Read every file below `path` (or `path` itself), make it durable, and record size and checksum.

    Raises
    ------
    OSError
        A file cannot be read, or is a link: links would make an output depend on what lies elsewhere.
    """
    files = _files_below(path)
    if len(files) > MANY_FILES:
        os.sync()
    return {name: _record(file, durable=len(files) > MANY_FILES) for name, file in files.items()}


def verify_files(path: Path, files: dict[str, FileRecord], *, thorough: bool = False) -> str | None:
    """Compare what lies at `path` with the record.

    Parameters
    ----------
    thorough : bool
        Read every file. Otherwise only those whose modification time is not the recorded one, as
        after a copy to another disk.

    Returns
    -------
    str or None
        What is wrong, in words; None if all is well.
    """
    found = _files_below(path)
    if missing := files.keys() - found.keys():
        return f"{path}: {len(missing)} of {len(files)} files are missing, the first is {min(missing)!r}"
    if strange := found.keys() - files.keys():
        return f"{path}: holds {len(strange)} files that were not published, the first is {min(strange)!r}"
    for name, record in files.items():
        status = found[name].stat()
        if status.st_size != record.size:
            return f"{found[name]}: {status.st_size} bytes where {record.size} were published"
        if (thorough or status.st_mtime_ns != record.mtime_ns) and _sha256(found[name]) != record.sha256:
            return f"{found[name]}: its content is not what was published (checksum differs)"
    return None


def _files_below(path: Path) -> dict[str, Path]:
    if path.is_file():
        return {".": path}
    files: dict[str, Path] = {}
    for folder, folders, names in os.walk(path):
        for name in [*names, *folders]:
            file = Path(folder, name)
            if file.is_symlink():
                raise OSError(f"{file} is a link; an output must contain what it consists of")
        files |= {Path(folder, name).relative_to(path).as_posix(): Path(folder, name) for name in names}
    return dict(sorted(files.items()))


def _record(file: Path, *, durable: bool) -> FileRecord:
    status = file.stat()
    return FileRecord(
        size=status.st_size, sha256=_sha256(file, sync=not durable), mtime_ns=status.st_mtime_ns
    )


def _sha256(file: Path, *, sync: bool = False) -> str:
    with file.open("rb") as stream:
        if sync:
            os.fsync(stream.fileno())
        return hashlib.file_digest(stream, "sha256").hexdigest()
