"""Sessions, probes, and which pairs of them exist."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

import dagster as dg
from dagster._core.storage.tags import MULTIDIMENSIONAL_PARTITION_PREFIX, PARTITION_NAME_TAG

from spikepipe_core.store import SessionEntry

# Pinned and tested: that Dagster calls these beta or preview need not be told to every user at every start.
warnings.filterwarnings("ignore", message=".*MultiToSingleDimension", category=dg.BetaWarning)
warnings.filterwarnings("ignore", message=".*AssetCheckSpec", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", message=".*use_user_code_server", category=dg.BetaWarning)

SESSION, PROBE, SESSION_AND_PROBE = "session", "probe", "session_probe"

SESSIONS = dg.DynamicPartitionsDefinition(name=SESSION)
PROBES = dg.DynamicPartitionsDefinition(name=PROBE)
PAIRS = dg.DynamicPartitionsDefinition(name=SESSION_AND_PROBE)
"""Which (session, probe) pairs exist: the matrix of the two is sparse. Discovery alone adds to it."""

SESSION_PROBE = dg.MultiPartitionsDefinition({SESSION: SESSIONS, PROBE: PROBES})
ALL_PROBES = dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=SESSION)
"""From a probe-level asset to the session-level one: a session's file needs all probes of that session."""


def probe_key(session: str, probe: str) -> dg.MultiPartitionKey:
    """The partition key of a pair; never built by hand, because Dagster orders dimensions by name."""
    return dg.MultiPartitionKey({SESSION: session, PROBE: probe})


def partition_of(tags: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Session and probe that a run is for, by its tags; None for what it is not partitioned by."""
    session = tags.get(f"{MULTIDIMENSIONAL_PARTITION_PREFIX}{SESSION}")
    if session is None:
        return tags.get(PARTITION_NAME_TAG), None
    return session, tags.get(f"{MULTIDIMENSIONAL_PARTITION_PREFIX}{PROBE}")


def pair(session: str, probe: str) -> str:
    """The key of a pair in `PAIRS`."""
    return f"{session}/{probe}"


def register(instance: dg.DagsterInstance, entries: Iterable[SessionEntry]) -> None:
    """Add the partitions of discovered sessions; what is there already stays.

    The pairs go first: a session is visible only together with its probes.
    """
    entries = list(entries)
    pairs = [pair(entry.session, probe) for entry in entries for probe in entry.probes]
    instance.add_dynamic_partitions(SESSION_AND_PROBE, pairs)
    instance.add_dynamic_partitions(PROBE, sorted({probe for entry in entries for probe in entry.probes}))
    instance.add_dynamic_partitions(SESSION, [entry.session for entry in entries])
