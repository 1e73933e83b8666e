"""The Dagster instance that lies beside the results."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter
from dagster._core.storage.tags import MAX_RETRIES_TAG

from spikepipe_assets.database import name_driver, require_database, storage_block
from spikepipe_assets.launcher import HOST_TAG, PID_TAG, find_process
from spikepipe_core.resources import available_gpus

SETTINGS = Path(__file__).with_name("dagster.yaml")

GPU_POOL, DISK_POOL = "gpu", "disk"
"""Pools of steps that use a GPU, and of steps that read or write a whole recording."""

DISK_SLOTS = 2
"""Steps that may read or write whole recordings at a time, unless the instance says otherwise (ours)."""


def default_home(results: Path) -> Path:
    """Where the instance of a results folder lies unless said otherwise."""
    return results / ".dagster"


def prepare_home(home: Path) -> None:
    """Make the instance's folder, with settings that a person may edit, and point Dagster to it.

    Raises
    ------
    ParamsError, NotAvailableError
        Its database cannot be used; see `spikepipe_assets.database`.
    """
    name_driver()
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        settings.write_text(SETTINGS.read_text() + storage_block())
    require_database(settings)
    os.environ["DAGSTER_HOME"] = str(home)


def set_pool_limits(instance: dg.DagsterInstance) -> None:
    """Let as many steps use a GPU as there are GPUs (one if there is none: sorting on the processor).

    The limits must be in the instance before the first step asks: Dagster would let too many through until then.
    That of the disk is left as it is if a person has set it.
    """
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    given = {limit.name for limit in storage.get_pool_limits() if not limit.from_default}
    storage.set_concurrency_slots(GPU_POOL, max(1, available_gpus()))
    if DISK_POOL not in given:
        storage.set_concurrency_slots(DISK_POOL, DISK_SLOTS)


def own_tags() -> dict[str, str]:
    """Tags of a run that this process does itself: whether it still lives, and that no daemon retries it."""
    return {HOST_TAG: socket.gethostname(), PID_TAG: str(os.getpid()), MAX_RETRIES_TAG: "0"}


GOING = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]


def others_running(instance: dg.DagsterInstance) -> bool:
    """Whether any run is under way in the instance, such as one that a person started in the UI."""
    return bool(instance.get_runs(RunsFilter(statuses=GOING), limit=1))


def close_dead_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """End the runs whose `spikepipe` process on this host was killed, and free what they held.

    Without this they would be shown as running for ever, and hold their pool slots.

    Returns
    -------
    list of DagsterRun
        Those runs.
    """
    dead = [
        run
        for run in instance.get_runs(RunsFilter(statuses=GOING))
        if run.tags.get(HOST_TAG) == socket.gethostname()
        and PID_TAG in run.tags
        and find_process(instance, run) is None
    ]
    for run in dead:
        instance.report_run_failed(run, "The process that ran it was killed. What it had published is kept.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return dead
