"""The one Definitions object: what there is, as a table of contents.

==========  ======================================================================================
Assets      every output of `spikepipe_core.graph.STAGES`, keyed by session and probe (NWB by session); `ledger`
Jobs        `probe`: every output of one recording job; `session_nwb`: the file of one session
Sensors     `new_sessions`, `session_outputs` (NWB by itself), `lost_steps`, `failure_webhook`, `ledger`, `tidy_scratch`
Resources   `store`: where outputs live and which params apply
Executor    steps in a fork server that has the imports ready; on a cluster, pods
==========  ======================================================================================
"""

from __future__ import annotations

import multiprocessing
import os

import dagster as dg

from spikepipe_assets.assets import build_assets
from spikepipe_assets.automation import build_sensors
from spikepipe_assets.deployment import Deployment
from spikepipe_assets.jobs import STEP_PROCESSES, build_jobs
from spikepipe_assets.ledger_view import ledger_asset
from spikepipe_assets.resources import StoreResource


def build_definitions(deployment: Deployment) -> dg.Definitions:
    """Everything that Dagster needs to know about a deployment."""
    return dg.Definitions(
        assets=[*build_assets(deployment), ledger_asset()],
        jobs=build_jobs(),
        sensors=build_sensors(deployment),
        resources={"store": StoreResource(deployment=deployment.model_dump_json())},
        executor=_executor(),
    )


def _executor() -> dg.ExecutorDefinition:
    if not os.environ.get("SPIKEPIPE_CLUSTER"):
        return STEP_PROCESSES
    from spikepipe_assets.kubernetes import Cluster, step_pods

    cluster = Cluster.from_environment()
    assert cluster is not None
    return step_pods(cluster)


_deployment = Deployment.from_environment()
if multiprocessing.parent_process() is not None:
    # The process of a run: its steps take the params file as it is now, whatever becomes of it meanwhile.
    _deployment.pin()
defs = build_definitions(_deployment)
