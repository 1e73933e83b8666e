"""Which readers there are: one line each, in the order in which formats are looked for.

A reader's module is imported when it is first asked for, so that a program starts without any of them.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from spikepipe_core.errors import NotAvailableError
from spikepipe_core.ingest.base import Reader

__all__ = ["READERS", "get_reader"]

# Name in the params, and module:class. Formats that hold another one's files come before that one.
READERS: dict[str, str] = {
    "spikeglx": "spikepipe_core.ingest.spikeglx:SpikeGLXReader",
    "aind": "spikepipe_core.ingest.aind:AindReader",
    "openephys": "spikepipe_core.ingest.openephys:OpenEphysReader",
    "nwb": "spikepipe_core.ingest.nwb:NwbReader",
    "spikeinterface": "spikepipe_core.ingest.spikeinterface_reader:SpikeInterfaceReader",
}


@cache
def get_reader(name: str) -> Reader:
    """The reader of a format.

    Raises
    ------
    NotAvailableError
        This version has no reader of that name.
    """
    if name not in READERS:
        raise NotAvailableError(
            f"job_dispatch.input = {name!r}: this version has no reader for it, only {sorted(READERS)}. "
            "Leave `input` out to have the format detected."
        )
    module, _, cls = READERS[name].partition(":")
    return getattr(import_module(module), cls)()
