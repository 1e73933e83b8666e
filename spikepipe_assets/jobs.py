"""The jobs that the command line runs, and how steps become processes."""

from __future__ import annotations

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from spikepipe_assets.partitions import SESSION_PROBE, SESSIONS
from spikepipe_core.graph import STAGES

STEP_PROCESSES = dg.multiprocess_executor.configured(
    {
        "max_concurrent": 2,
        "start_method": {
            "forkserver": {
                # Nothing that starts threads or touches a GPU: the server is forked from.
                "preload_modules": ["dagster", "spikeinterface.full", "spikepipe_core.graph"]
            }
        },
    }
)
"""Each step in a process of its own: a crash takes one output with it. Two at a time: motion beside sorting."""

PROBE_JOB, SESSION_JOB = "probe", "session_nwb"
IN_PROCESS = "_reused"
"""Suffix of the jobs that run in the calling process: for outputs that are all up to date, a process each is waste."""


def build_jobs() -> list[UnresolvedAssetJobDefinition]:
    """Both jobs, each also to be run in the calling process."""
    of_probe = [name for name, stage in STAGES.items() if stage.scope == "probe"]
    of_session = [name for name, stage in STAGES.items() if stage.scope == "session"]
    wanted = [
        (PROBE_JOB, of_probe, SESSION_PROBE, "Every output of one recording job."),
        (SESSION_JOB, of_session, SESSIONS, "The NWB file of one session."),
    ]
    return [
        dg.define_asset_job(
            name + suffix,
            selection=dg.AssetSelection.assets(*assets),
            partitions_def=partitions,
            description=description,
            executor_def=executor,
        )
        for name, assets, partitions, description in wanted
        for suffix, executor in (("", STEP_PROCESSES), (IN_PROCESS, dg.in_process_executor))
    ]
