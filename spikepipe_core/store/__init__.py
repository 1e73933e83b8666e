"""Where outputs live, how they become visible, and what became of every recording job."""

from spikepipe_core.store.ledger import Ledger, Outcome
from spikepipe_core.store.manifest import Manifest
from spikepipe_core.store.publish import Area, Draft, OutputRef
from spikepipe_core.store.registry import Registry, SessionEntry, session_entries
from spikepipe_core.store.store import Store
from spikepipe_core.store.versions import data_version, digest

__all__ = [
    "Area",
    "Draft",
    "Ledger",
    "Manifest",
    "Outcome",
    "OutputRef",
    "Registry",
    "SessionEntry",
    "Store",
    "data_version",
    "digest",
    "session_entries",
]
