"""From which folder on paths are counted, when somebody gives a folder in the middle of a session."""

from __future__ import annotations

import re
from pathlib import Path

from spikepipe_core.ingest.files import STORES

__all__ = ["data_root"]

_EXPERIMENT, _RECORDING = re.compile(r"experiment\d+"), re.compile(r"recording\d+")
_AIND_FOLDERS = ("ecephys", "ecephys_compressed", "ecephys_clipped")


def data_root(data: Path) -> Path:
    """The given folder, or the one above it that holds what belongs to it; of a file or store, the folder it is in.

    An experiment or recording of Open Ephys has its `settings.xml` in the Record Node's folder; the
    `ecephys` folders of an AIND session have the JSON metadata above them.

    Parameters
    ----------
    data : Path
        Folder or file, resolved.
    """
    folder = data if data.is_dir() and data.suffix not in STORES else data.parent
    if _RECORDING.fullmatch(folder.name) and _EXPERIMENT.fullmatch(folder.parent.name):
        folder = folder.parent
    if _EXPERIMENT.fullmatch(folder.name) and any(folder.glob("recording*/structure.oebin")):
        return folder.parent
    while folder.name in _AIND_FOLDERS and folder.parent != folder:
        folder = folder.parent
    return folder
