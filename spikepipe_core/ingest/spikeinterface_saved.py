"""Recordings that SpikeInterface saved: binary folders, Zarr stores, JSON descriptions; found and opened.

Pickles (``.pkl``) are never opened, and are named as what is not processed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.files import inside, read_json_object, relative, walk_files
from spikepipe_core.ingest.spikeinterface_description import (
    binary_folder,
    description_paths,
    is_description,
    safe_description,
)
from spikepipe_core.ingest.zarr_stores import array_metadata, check_codecs, refuse_links, require_chunks

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording

__all__ = ["Saved", "find_saved", "identify", "open_saved", "saved_files"]

_BINARY, _FOLDER_MARK = "binary.json", "si_folder.json"
# What else lies in folders that SpikeInterface writes, and describes no recording by itself.
_BESIDE = frozenset({_BINARY, _FOLDER_MARK, "provenance.json", "annotations.json", "probegroup.json"})
_BESIDE |= {"probe.json", "spikeinterface_info.json"}
_PICKLES = (".pkl", ".pickle")


@dataclass(frozen=True)
class Saved:
    """A recording that SpikeInterface saved.

    Attributes
    ----------
    path : Path
        The binary folder, the store, or the JSON file.
    """

    kind: Literal["binary folder", "Zarr store", "JSON description"]
    path: Path

    @property
    def name(self) -> str:
        """What it is called; the name of its stream."""
        return (
            self.path.name if self.kind == "binary folder" else self.path.name.removesuffix(self.path.suffix)
        )


def find_saved(folder: Path, root: Path) -> tuple[list[Saved], list[tuple[Path, str]]]:
    """All recordings that SpikeInterface saved in a folder or below, and what was passed over with the reason.

    JSON descriptions are looked for in the folder itself only: further down they describe steps of other programs.
    """
    itself = identify(folder, root)
    if itself is not None:
        return [itself], []
    if folder.is_file():
        return [], [(folder, _why_not(folder))]
    found: list[Saved] = []
    passed_over: list[tuple[Path, str]] = []
    for path in walk_files(folder):
        if path.name == _BINARY or path.suffix == ".zarr":
            saved = identify(path.parent if path.name == _BINARY else path, root)
            found += [saved] if saved else []
        elif path.name == _FOLDER_MARK and path.with_name("traces_cached_seg0.raw").exists():
            if not path.with_name(_BINARY).is_file():
                passed_over.append((path.parent, f"its {_BINARY} is missing, or no file. Copy it again."))
        elif path.suffix in _PICKLES:
            passed_over.append((path, _why_not(path)))
        elif path.suffix == ".json" and path.parent == folder and path.name not in _BESIDE:
            try:
                saved = identify(path, root)
            except BadDataError as error:
                passed_over.append((path, str(error)))
                continue
            found += [saved] if saved else []
    return found, passed_over


def _why_not(path: Path) -> str:
    if path.suffix in _PICKLES:
        return (
            "a pickle: opening it could run anything, so it never is; write recording.dump_to_json() instead"
        )
    return "no recording that SpikeInterface saved"


def identify(path: Path, root: Path) -> Saved | None:
    """What a file or folder is, if SpikeInterface saved a recording as it; None if not.

    Raises
    ------
    BadDataError
        A JSON file is damaged.
    """
    inside(path, root)
    if path.is_dir() and (path / _BINARY).is_file():
        return Saved("binary folder", path)
    if path.is_dir() and (path / "channel_ids" / ".zarray").is_file():
        return Saved("Zarr store", path)
    if path.suffix == ".json" and path.is_file() and is_description(read_json_object(path, root)):
        return Saved("JSON description", path)
    return None


def open_saved(saved: Saved, root: Path, base: Path | None = None) -> tuple[BaseRecording, tuple[str, ...]]:
    """Open a recording lazily, running nothing that its files say.

    Parameters
    ----------
    base : Path, optional
        What relative paths of a JSON description are relative to; by default its own folder.

    Returns
    -------
    recording : BaseRecording
    remarks : tuple of str
        What was left out.

    Raises
    ------
    BadDataError
        It is damaged, no recording, or not safe to open.
    """
    from spikeinterface.core import BaseRecording
    from spikeinterface.core.base import BaseExtractor

    remarks: tuple[str, ...] = ()
    if saved.kind == "Zarr store":
        recording = _open_zarr(saved.path, root)
    else:
        if saved.kind == "binary folder":
            description, left_out = binary_folder(saved.path, root)
            if left_out:
                remarks = (
                    f"properties {', '.join(left_out)} are pickles, which are never loaded, and left out",
                )
        else:
            content = read_json_object(saved.path, root)
            description = safe_description(content, base or saved.path.parent, root, saved.path)
        recording = BaseExtractor.from_dict(description)
    if not isinstance(recording, BaseRecording):
        raise BadDataError(f"{saved.path} holds no recording, but a {type(recording).__name__}.")
    return recording, remarks


def _open_zarr(store: Path, root: Path) -> BaseRecording:
    from spikeinterface.core import read_zarr

    refuse_links(store)
    check_codecs(store, root)
    segments = 0
    while array_metadata(store, f"traces_seg{segments}", root) is not None:
        require_chunks(store, f"traces_seg{segments}", root)
        segments += 1
    return read_zarr(store)


def saved_files(saved: Saved, root: Path, base: Path | None = None) -> tuple[str, ...]:
    """Files and folders that decide a saved recording, relative to the data root."""
    if saved.kind != "JSON description":
        return (relative(saved.path, root),)
    described: dict[str, Any] = safe_description(
        read_json_object(saved.path, root), base or saved.path.parent, root, saved.path
    )
    paths = [Path(path) for path in description_paths(described)]
    return tuple(dict.fromkeys(relative(path, root) for path in (saved.path, *paths) if path.exists()))
