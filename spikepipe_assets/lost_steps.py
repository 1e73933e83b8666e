"""Steps that could not tell how they ended: their process was killed, or the one that ran the whole run."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
from dagster import DagsterEventType, DagsterRun, EventLogEntry
from dagster._core.storage.tags import WILL_RETRY_TAG

from spikepipe_assets.deployment import Deployment
from spikepipe_assets.partitions import partition_of
from spikepipe_core.graph import STAGES
from spikepipe_core.produce import Context, record_lost
from spikepipe_core.stages.stage import Work
from spikepipe_core.store import Store

ENDS = {DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_SKIPPED}


def record_lost_steps(instance: dg.DagsterInstance, run: DagsterRun, deployment: Deployment) -> list[str]:
    """Give a line in the ledger to every step of an ended run that failed without one.

    Nothing is said of a run that Dagster is about to try again: that one will tell.

    Returns
    -------
    list of str
        Names of the stages.
    """
    if run.tags.get(WILL_RETRY_TAG) == "true":
        return []
    store = deployment.store()
    work = _work(run, deployment, store)
    if work is None:
        return []
    lost = []
    for step, (began, reason) in _unfinished(instance, run.run_id).items():
        stage = STAGES.get(step)
        if stage is None:
            continue
        entry, probe = work.entry, work.job.probe if work.job else None
        last = store.ledger.read(entry.session_folder, entry.session, probe, step)
        if last is None or last.at < began:
            record_lost(stage, work, reason, Context(run.run_id, f"run {run.run_id}, step {step}"))
            lost.append(step)
    return lost


def _work(run: DagsterRun, deployment: Deployment, store: Store) -> Work | None:
    """What the run was for; None if that is no registered recording job or session."""
    session, probe = partition_of(run.tags)
    entry = store.registry.find(session) if session else None
    if entry is None:
        return None
    job = entry.job(probe) if probe else None
    if probe and job is None:
        return None
    return Work(store, entry, job, deployment.usable_params(entry), STAGES)


def _unfinished(instance: dg.DagsterInstance, run_id: str) -> dict[str, tuple[datetime, str]]:
    """Steps that were begun and did not end well: when they were begun, and what Dagster saw of their end."""
    found: dict[str, tuple[datetime, str]] = {}
    for log in instance.all_logs(run_id):
        if log.step_key is None or log.dagster_event is None:
            continue
        kind = log.dagster_event.event_type
        if kind is DagsterEventType.STEP_START:
            at = datetime.fromtimestamp(log.timestamp, UTC)
            found[log.step_key] = (at, "the process of its run was killed")
        elif kind in ENDS:
            found.pop(log.step_key, None)
        elif log.step_key in found and (words := _words(log)):
            found[log.step_key] = (found[log.step_key][0], words)
    return found


def _words(log: EventLogEntry) -> str | None:
    """Why a step ended, from Dagster's note of a process that died."""
    event = log.dagster_event
    if event is None or event.event_type is not DagsterEventType.ENGINE_EVENT:
        return None
    error = getattr(event.event_specific_data, "error", None)
    return None if error is None else f"its process died. {event.message}"
