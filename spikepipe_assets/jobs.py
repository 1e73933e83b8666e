"""The jobs that the command line runs, and how steps become processes."""

from __future__ import annotations

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from spikepipe_assets.partitions import SESSION_PROBE, SESSIONS
from spikepipe_core.graph import STAGES

STEP_PROCESSES = dg.multiprocess_executor.configured(
    {
        "max_concurrent": 2,
        "start_method": {"forkserver": {"preload_modules": ["spikepipe_assets.preload"]}},
    }
)
"""Each step in a process of its own: a crash takes one output with it. Two at a time: motion beside sorting."""

PROBE_JOB, SESSION_JOB = "probe", "session_nwb"

PRIORITY_TAG = "dagster/priority"
"""Dagster starts waiting runs, and the ready steps of a run, with the highest value of this tag first."""

SESSION_PRIORITY, NEW_SESSION_PRIORITY, BACKFILL_PRIORITY = 1, 0, -1
"""Runs: finish a session before the next one is begun, and new data before old."""


def build_jobs() -> list[UnresolvedAssetJobDefinition]:
    """One job for everything of a recording job, one for everything of a session."""
    return [
        dg.define_asset_job(
            PROBE_JOB,
            selection=dg.AssetSelection.assets(*_names("probe")),
            partitions_def=SESSION_PROBE,
            description="Every output of one recording job.",
        ),
        dg.define_asset_job(
            SESSION_JOB,
            selection=dg.AssetSelection.assets(*_names("session")),
            partitions_def=SESSIONS,
            description="The NWB file of one session.",
        ),
    ]


def _names(scope: str) -> list[str]:
    return [name for name, stage in STAGES.items() if stage.scope == scope]
