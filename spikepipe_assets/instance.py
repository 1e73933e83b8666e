"""The Dagster instance that lies beside the results."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

HOST_TAG, PID_TAG = "spikepipe/host", "spikepipe/pid"
SETTINGS = Path(__file__).with_name("dagster.yaml")


def default_home(results: Path) -> Path:
    """Where the instance of a results folder lies unless said otherwise."""
    return results / ".dagster"


def prepare_home(home: Path) -> None:
    """Make the instance's folder, with settings that a person may edit, and point Dagster to it."""
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        shutil.copyfile(SETTINGS, home / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home)


def own_tags() -> dict[str, str]:
    """Tags by which a later process can tell whether this one still lives."""
    return {HOST_TAG: socket.gethostname(), PID_TAG: str(os.getpid())}


GOING = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]


def others_running(instance: dg.DagsterInstance) -> bool:
    """Whether any run is under way in the instance, such as one that a person started in the UI."""
    return bool(instance.get_runs(RunsFilter(statuses=GOING), limit=1))


def close_dead_runs(instance: dg.DagsterInstance) -> int:
    """End the runs whose `spikepipe` process on this host was killed, and free what they held.

    Without this they would be shown as running for ever, and hold their pool slots.

    Returns
    -------
    int
        How many there were.
    """
    dead = [
        run
        for run in instance.get_runs(RunsFilter(statuses=GOING))
        if run.tags.get(HOST_TAG) == socket.gethostname() and not _lives(int(run.tags.get(PID_TAG, 0)))
    ]
    for run in dead:
        instance.report_run_failed(run, "The process that ran it was killed. What it had published is kept.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return len(dead)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
