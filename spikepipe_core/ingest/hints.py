"""Which of SpikeInterface's readers may know a folder that no format here recognises, told by the endings of files."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["reader_hint"]

_OF_ANYTHING = frozenset({"bin", "csv", "dat", "h5", "json", "raw", "set", "txt", "xml"})
"""Endings that say nothing of the format."""

_OF_OPENEPHYS_LEGACY = ("continuous", "openephys")
"""Endings of the Open Ephys format (https://open-ephys.github.io/gui-docs/User-Manual/Data-formats/Open-Ephys-format.html):
its reader in SpikeInterface is a function that says none."""

_MOST_FILES = 1000
"""Files whose names are looked at."""


def reader_hint(data: Path) -> str:
    """A sentence that names the reader for a file in a folder (or for the file); empty if no ending tells."""
    from spikepipe_core.ingest.files import walk_files
    from spikepipe_core.ingest.spikeglx_files import parse_name

    readers = _readers_by_ending()
    for number, path in enumerate([data] if data.is_file() else walk_files(data)):
        name = parse_name(path.stem) if path.suffix == ".meta" else None
        if name is not None and not name.device.startswith("imec"):
            return (
                f" {path.name} is SpikeGLX's, but of a board ({name.device}); there is no file of a probe (imec). To "
                "sort the board's channels, set job_dispatch.input to 'spikeinterface', and in "
                "job_dispatch.spikeinterface_info reader_type to 'spikeglx' and probe_paths to their geometry."
            )
        reader = readers.get(path.suffix.removeprefix(".").lower())
        if reader is not None:
            return (
                f" {path.name} is named like data that SpikeInterface's reader {reader!r} opens: set "
                "job_dispatch.input to 'spikeinterface' and job_dispatch.spikeinterface_info.reader_type to "
                f"{reader!r}."
            )
        if number >= _MOST_FILES:
            break
    return ""


@cache
def _readers_by_ending() -> dict[str, str]:
    """SpikeInterface's reader for each ending that Neo knows for one reader only."""
    import neo.rawio
    from spikeinterface.extractors.extractor_classes import recording_extractor_full_dict

    found: dict[str, set[str]] = {}
    for reader, extractor in recording_extractor_full_dict.items():
        neo_name = getattr(extractor, "NeoRawIOClass", None)
        for ending in getattr(neo.rawio, neo_name).extensions if neo_name else ():
            if not ending.isdigit() and ending.lower() not in _OF_ANYTHING:
                found.setdefault(ending.lower(), set()).add(reader)
    told = {ending: readers.pop() for ending, readers in found.items() if len(readers) == 1}
    return told | dict.fromkeys(_OF_OPENEPHYS_LEGACY, "openephyslegacy")
