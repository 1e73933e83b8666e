"""Sessions, probes, and which pairs of them exist."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from spikepipe_core.store import SessionEntry

SESSIONS = dg.DynamicPartitionsDefinition(name="session")
PROBES = dg.DynamicPartitionsDefinition(name="probe")
PAIRS = dg.DynamicPartitionsDefinition(name="session_probe")
"""Which (session, probe) pairs exist: the matrix of the two is sparse. Discovery alone adds to it."""

SESSION_PROBE = dg.MultiPartitionsDefinition({"session": SESSIONS, "probe": PROBES})
ALL_PROBES = dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name="session")
"""From a probe-level asset to the session-level one: a session's file needs all probes of that session."""


def probe_key(session: str, probe: str) -> dg.MultiPartitionKey:
    """The partition key of a pair; never built by hand, because Dagster orders dimensions by name."""
    return dg.MultiPartitionKey({"session": session, "probe": probe})


def pair(session: str, probe: str) -> str:
    """The key of a pair in `PAIRS`."""
    return f"{session}/{probe}"


def register(instance: dg.DagsterInstance, entries: Iterable[SessionEntry]) -> None:
    """Add the partitions of discovered sessions; what is there already stays.

    The pairs go first: a session is visible only together with its probes.
    """
    entries = list(entries)
    pairs = [pair(entry.session, probe) for entry in entries for probe in entry.probes]
    instance.add_dynamic_partitions(PAIRS.name, pairs)
    instance.add_dynamic_partitions(
        PROBES.name, sorted({probe for entry in entries for probe in entry.probes})
    )
    instance.add_dynamic_partitions(SESSIONS.name, [entry.session for entry in entries])
