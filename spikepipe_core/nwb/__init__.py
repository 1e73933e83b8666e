"""NWB files: what a session is called and when it was, and all its probes in one file.

`read_session_metadata` finds what is known about the session, `writing.write_session_nwb` writes the file and
`inspect_nwb` says what is in one. PyNWB is imported by what writes and reads files, when it does.
"""

from spikepipe_core.nwb.inspection import inspect_nwb
from spikepipe_core.nwb.metadata import (
    METADATA_FILE,
    NWB_SUFFIXES,
    SessionMetadata,
    read_session_metadata,
    stable_identifier,
)
from spikepipe_core.nwb.probe_data import ProbeData

__all__ = [
    "METADATA_FILE",
    "NWB_SUFFIXES",
    "ProbeData",
    "SessionMetadata",
    "inspect_nwb",
    "read_session_metadata",
    "stable_identifier",
]
