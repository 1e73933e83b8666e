"""NWB files: what a session is called and when it was, and all its probes in one file.

`read_session_metadata` finds what is known about the session, `write_session_nwb` writes the file and
`inspect_nwb` says what is in one.
"""

from spikepipe_core.nwb.inspection import inspect_nwb
from spikepipe_core.nwb.metadata import (
    METADATA_FILE,
    SessionMetadata,
    read_session_metadata,
    stable_identifier,
)
from spikepipe_core.nwb.probe_data import ProbeData
from spikepipe_core.nwb.writing import NWB_SUFFIXES, write_session_nwb

__all__ = [
    "METADATA_FILE",
    "NWB_SUFFIXES",
    "ProbeData",
    "SessionMetadata",
    "inspect_nwb",
    "read_session_metadata",
    "stable_identifier",
    "write_session_nwb",
]
