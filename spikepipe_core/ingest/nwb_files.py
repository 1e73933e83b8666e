"""NWB files as groups, arrays and links, whether HDF5 or Zarr holds them; nothing in other files is looked at.

Zarr files that hdmf-zarr wrote have references as pickles. Arrays with such a codec are never decoded: what is needed
of a recording (positions, names of groups, samples, times) is not among them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikepipe_core.errors import BadDataError, SpikepipeError
from spikepipe_core.ingest.files import inside, read_small, regular_file
from spikepipe_core.ingest.hdf5_files import is_hdf5
from spikepipe_core.ingest.zarr_stores import check_codecs, refuse_links, store_attributes

__all__ = ["NwbFile", "is_nwb", "opened_nwb"]

_MAX_GROUPS = 12
_ZARR_LINKS = ("zarr_link", "_LINKS")  # the latter from hdmf-zarr 0.14


def is_nwb(path: Path) -> bool:
    """Whether a file or folder is NWB, told by its content."""
    if path.is_dir():
        try:
            attributes = json.loads(read_small(path / ".zattrs"))
        except (BadDataError, ValueError):
            return False
        return isinstance(attributes, dict) and attributes.get("neurodata_type") == "NWBFile"
    return path.suffix == ".nwb" and is_hdf5(path)


@contextmanager
def opened_nwb(path: Path, root: Path) -> Iterator[NwbFile]:
    """Open a file for reading.

    Raises
    ------
    BadDataError
        It is damaged, no NWB, or leads out of the data folder. Whatever HDF5 or Zarr say inside the block becomes
        one too.
    """
    inside(path, root)
    try:
        if path.is_dir():
            yield NwbFile(path, root, _zarr_group(path, root), is_zarr=True)
            return
        import h5py

        with h5py.File(regular_file(path, root), "r") as file:
            yield NwbFile(path, root, file, is_zarr=False)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, IndexError) as error:
        if isinstance(error, SpikepipeError):
            raise
        raise BadDataError(
            f"{path} cannot be read as NWB ({type(error).__name__}: {error}). Copy it again; check it with "
            "nwbinspector."
        ) from error


def _zarr_group(path: Path, root: Path) -> Any:
    import zarr

    if store_attributes(path, root).get("neurodata_type") != "NWBFile":
        raise BadDataError(f"{path} is a folder, but no NWB file in Zarr. Copy it again.")
    refuse_links(path)
    return zarr.open_group(str(path), mode="r")


@dataclass(frozen=True)
class NwbFile:
    """An open file.

    Attributes
    ----------
    file : h5py.File or zarr.Group
    """

    path: Path
    root: Path
    file: Any
    is_zarr: bool

    def of_type(self, neurodata_type: str) -> list[str]:
        """Paths of all groups of a type, in order; links are not followed."""
        return sorted(_of_type(self, self.file, "", neurodata_type, 0))

    def array(self, where: str) -> Any:
        """An array of this file, lazily.

        Raises
        ------
        BadDataError
            It lies in another file, or in a form that is not safe to decode.
        """
        if self.is_zarr:
            check_codecs(self.path / where, self.root)
            return self.file[where]
        data = self.file[where]
        if data.external or data.is_virtual or Path(data.file.filename).resolve() != self.path.resolve():
            raise BadDataError(
                f"{self.path}: the data of {where} lie in another file. Export the series into one file."
            )
        return data

    def values(self, where: str, rows: np.ndarray) -> np.ndarray:
        """Some values of an array of one dimension: numbers, or texts as str."""
        data = self.array(where)
        whole = data.asstr()[:] if not self.is_zarr and data.dtype.kind == "O" else data[:]
        return np.asarray([str(value) for value in whole] if whole.dtype.kind == "O" else whole)[rows]

    def attributes(self, where: str) -> dict[str, Any]:
        """Attributes of a group or array."""
        return dict(self.file[where].attrs)

    def has(self, where: str) -> bool:
        """Whether there is such a group or array in the file itself."""
        return where in self.file

    def names(self, where: str) -> list[str]:
        """What a group holds in this file itself; links to other files are left out."""
        return _names(self, self.file[where])

    def link(self, where: str, name: str) -> str | None:
        """Path of what a group links to under a name; None if there is no such link within the file."""
        if not self.is_zarr:
            found = self.file[where].get(name, getlink=True)
            return (
                str(found.path).strip("/")
                if getattr(found, "path", None) and not hasattr(found, "filename")
                else None
            )
        attributes = self.attributes(where)
        links: list[dict[str, Any]] = next((attributes[key] for key in _ZARR_LINKS if key in attributes), [])
        return next(
            (
                str(link.get("path")).strip("/")
                for link in links
                if link.get("name") == name and link.get("source") == "."
            ),
            None,
        )

    def electrodes(self, series: str) -> tuple[np.ndarray, str]:
        """Rows of the electrodes table that a series was recorded from, and the path of that table."""
        where = f"{series}/electrodes"
        if not self.has(where):
            where = self.link(series, "electrodes") or where
        region = self.array(where)
        table = region.attrs["table"]
        if self.is_zarr:
            target = table["value"]
            if target.get("source") != ".":
                raise BadDataError(
                    f"{self.path}: the electrodes of {series} lie in another file. Export them into one."
                )
            return np.asarray(region[:], dtype=int), str(target["path"]).strip("/")
        return np.asarray(region[:], dtype=int), self.file[table].name.strip("/")


def _of_type(nwb: NwbFile, group: Any, where: str, wanted: str, depth: int) -> Iterator[str]:
    if depth > _MAX_GROUPS:
        return
    for name in _names(nwb, group):
        child, path = group[name], f"{where}/{name}".strip("/")
        if not hasattr(child, "keys"):
            continue
        if child.attrs.get("neurodata_type") == wanted:
            yield path
        yield from _of_type(nwb, child, path, wanted, depth + 1)


def _names(nwb: NwbFile, group: Any) -> list[str]:
    if nwb.is_zarr:
        return list(group.keys())
    import h5py

    return [name for name in group if isinstance(group.get(name, getlink=True), h5py.HardLink)]
