"""Which of SpikeInterface's readers may know a folder that no format here recognises, told by the endings of files."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["reader_hint"]

_OF_ANYTHING = frozenset({"bin", "csv", "dat", "h5", "json", "raw", "set", "txt", "xml"})
"""Endings that say nothing of the format."""

_MOST_FILES = 1000
"""Files whose names are looked at."""


def reader_hint(data: Path) -> str:
    """A sentence that names the reader for a file in a folder (or for the file); empty if no ending tells."""
    from spikepipe_core.ingest.files import walk_files

    readers = _readers_by_ending()
    for number, path in enumerate([data] if data.is_file() else walk_files(data)):
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
    return {ending: readers.pop() for ending, readers in found.items() if len(readers) == 1}
