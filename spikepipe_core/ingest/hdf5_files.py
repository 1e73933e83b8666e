"""Looking into HDF5 files of untrusted data folders: they can point to other files, which is not followed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikepipe_core.errors import BadDataError

if TYPE_CHECKING:
    import h5py

__all__ = ["is_hdf5", "refuse_links_out"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: Path) -> bool:
    """Whether a regular file begins as HDF5 files do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def refuse_links_out(path: Path, root: Path) -> None:
    """Make sure that everything an HDF5 file holds is in the file itself; other files pass.

    Raises
    ------
    BadDataError
        It holds external links, or data sets whose data lie elsewhere; or it is damaged.
    """
    if not is_hdf5(path):
        return
    import h5py

    try:
        with h5py.File(path, "r") as file:
            found = _first_outside(file)
    except (OSError, RuntimeError, KeyError) as error:
        raise BadDataError(
            f"{path} cannot be read as HDF5 ({type(error).__name__}: {error}). Copy it again."
        ) from error
    if found:
        raise BadDataError(f"{path}: the data of {found} lie in another file. Export them into one file.")


def _first_outside(file: h5py.File) -> str | None:
    import h5py

    outside: list[str] = []

    def look_at_link(name: str, link: Any) -> str | None:
        if isinstance(link, h5py.ExternalLink):
            outside.append(name)
            return name
        return None

    def look_at_object(name: str, item: Any) -> str | None:
        if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
            outside.append(name)
            return name
        return None

    file.visititems_links(look_at_link)
    if not outside:
        file.visititems(look_at_object)
    return outside[0] if outside else None
