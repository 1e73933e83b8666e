"""How runs are started on one machine, and how a run is found dead whose process nobody is left to ask.

Dagster's own launcher asks the server that started a run. A run outlives that server when the daemon is killed, and
`spikepipe run` has none. Here the run's process itself is looked for, so that run monitoring ends a run that was
killed, run retries start it again, and a person can stop any run in the UI.
"""

from __future__ import annotations

import os
import signal
import socket

import psutil
from dagster import DagsterEventType, DagsterInstance, DagsterRun
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._core.launcher.base import LaunchRunContext
from dagster._core.storage.tags import GRPC_INFO_TAG
from typing_extensions import override

HOST_TAG, PID_TAG = "spikepipe/host", "spikepipe/pid"
"""Where a run's process lives; runs that the daemon starts tell their process id in their first events."""

CLOCK_SLACK_S = 5.0
"""A process younger than its run's first event by more than this has taken over a process id (ours)."""


class LocalRunLauncher(DefaultRunLauncher):
    """Starts runs as processes of this machine and knows whether they live."""

    @override
    def launch_run(self, context: LaunchRunContext) -> None:
        """Start a run, and note on which machine that is."""
        super().launch_run(context)
        run = self._instance.get_run_by_id(context.dagster_run.run_id)
        if run is not None and '"socket"' in run.tags.get(GRPC_INFO_TAG, ""):
            self._instance.add_run_tags(run.run_id, {HOST_TAG: socket.gethostname()})

    @property
    @override
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring asks."""
        return True

    @override
    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the run's process lives; one on another machine is taken to."""
        if run.tags.get(HOST_TAG) != socket.gethostname():
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        process = find_process(self._instance, run)
        if process is None:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the process of the run is gone")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    @override
    def terminate(self, run_id: str) -> bool:
        """Stop a run: by its server, or by its process if that has none or has lost it."""
        run = self._instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished and run.tags.get(HOST_TAG) == socket.gethostname():
            process = find_process(self._instance, run)
            if process is not None:
                self._instance.report_run_canceling(run)
                os.kill(process, signal.SIGINT)
                return True
        return super().terminate(run_id)


def find_process(instance: DagsterInstance, run: DagsterRun) -> int | None:
    """The process id of a run that this machine started, None if it has ended."""
    found = _process_of(instance, run)
    if found is None:
        return None
    pid, at = found
    try:
        process = psutil.Process(pid)
        alive = process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= at + CLOCK_SLACK_S
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return pid
    return pid if alive else None


def _process_of(instance: DagsterInstance, run: DagsterRun) -> tuple[int, float] | None:
    """Process id of a run, and a time at which it was that."""
    record = instance.get_run_record_by_id(run.run_id)
    if PID_TAG in run.tags and record is not None:
        return int(run.tags[PID_TAG]), record.create_timestamp.timestamp()
    for log in instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT):
        data = log.dagster_event.event_specific_data if log.dagster_event else None
        pid = getattr(data, "metadata", {}).get("pid")
        if pid is not None and log.step_key is None:
            return int(pid.value), log.timestamp
    return None
