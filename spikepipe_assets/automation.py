"""What happens by itself: new sessions are found and processed, their files written, lost steps told.

`new_sessions` looks at the data roots. A recording job is asked for once: its run key is its session and probe, and
it counts as registered (in the partitions `session_probe`) only after Dagster has taken its run, so that a tick that
was cut off is repeated and a repeated one starts nothing twice.
"""

import glob
import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from spikepipe_assets.deployment import Deployment
from spikepipe_assets.housekeeping import tidy_scratch
from spikepipe_assets.jobs import NEW_SESSION_PRIORITY, PRIORITY_TAG, PROBE_JOB, SESSION_PRIORITY
from spikepipe_assets.ledger_view import ledger_sensor
from spikepipe_assets.lost_steps import record_lost_steps
from spikepipe_assets.partitions import PAIRS, PROBES, SESSION_AND_PROBE, SESSIONS, pair, probe_key
from spikepipe_assets.webhook import failure_webhook
from spikepipe_core.graph import STAGES
from spikepipe_core.watch import AGAIN, Look, Wanted, Watch

SESSION_TAG, PROBE_TAG = "spikepipe/session", "spikepipe/probe"

MAX_QUEUED = 500
"""With more runs than this waiting, no further session is taken in: the queue is not where ten thousand wait (ours)."""

MAX_NAMED = 5
"""Folders named in a tick's message; the ledger has them all."""


def build_sensors(deployment: Deployment) -> list[dg.SensorDefinition]:
    """All sensors of a deployment."""
    return [
        new_sessions(deployment),
        session_outputs(deployment),
        lost_steps(deployment),
        failure_webhook(deployment),
        ledger_sensor(deployment),
        tidy_scratch(deployment),
    ]


def new_sessions(deployment: Deployment) -> dg.SensorDefinition:
    """Registers new sessions, and late probes of known ones, and asks for one run a recording job."""
    settings = deployment.watch
    running = dg.DefaultSensorStatus.RUNNING if settings.roots else dg.DefaultSensorStatus.STOPPED

    @dg.sensor(
        name="new_sessions",
        job_name=PROBE_JOB,
        minimum_interval_seconds=settings.every_s,
        default_status=running,
        description=f"Processes new sessions below {', '.join(settings.roots) or '(no data root is set)'}.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor = json.loads(context.cursor or "{}")
        accepted: list[str] = cursor.get("asked", [])
        watch = Watch(
            _expanded(settings.roots),
            deployment.store(),
            deployment.effective_params().job_dispatch,
            settle_s=float("inf") if settings.settle_s is None else settings.settle_s,
            marker=settings.marker,
        )
        registered = set(context.instance.get_dynamic_partitions(SESSION_AND_PROBE))
        registered |= {_pair_of(key) for key in accepted}
        found, position = watch.look(
            lambda session, probe: pair(session, probe) in registered,
            accepted=accepted,
            position=cursor.get("position", ""),
            sessions=0 if _is_queue_full(context.instance) else 50,
        )
        for folder, reason in found.unreadable.items():
            context.log.warning(f"{folder}: {reason}")
        return _result(found, accepted, position)

    return sensor


def _expanded(patterns: tuple[str, ...]) -> list[Path]:
    """The folders that the patterns name now; a plain path stands for itself, even if it is not there."""
    return [
        Path(path)
        for pattern in patterns
        for path in (sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern])  # noqa: PTH207
    ]


def _is_queue_full(instance: dg.DagsterInstance) -> bool:
    waiting = RunsFilter(job_name=PROBE_JOB, statuses=[DagsterRunStatus.QUEUED])
    return instance.get_runs_count(waiting) > MAX_QUEUED


def _result(found: Look, accepted: list[str], position: str) -> dg.SensorResult:
    cursor = json.dumps({"asked": [wanted.key for wanted in found.wanted], "position": position})
    new = list(_partitions(found.wanted))
    confirmed = sorted({_pair_of(key) for key in accepted})
    if confirmed:
        new.append(PAIRS.build_add_request(confirmed))
    if not found.wanted:
        return dg.SensorResult(skip_reason=_words(found), cursor=cursor, dynamic_partitions_requests=new)
    return dg.SensorResult(
        run_requests=[_request(wanted) for wanted in found.wanted],
        cursor=cursor,
        dynamic_partitions_requests=new,
    )


def _partitions(wanted: list[Wanted]) -> Iterator[dg.AddDynamicPartitionsRequest]:
    if wanted:
        yield PROBES.build_add_request(sorted({one.probe for one in wanted}))
        yield SESSIONS.build_add_request(sorted({one.session for one in wanted}))


def _request(wanted: Wanted) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=wanted.key,
        partition_key=probe_key(wanted.session, wanted.probe),
        tags={
            SESSION_TAG: wanted.session,
            PROBE_TAG: wanted.probe,
            PRIORITY_TAG: str(NEW_SESSION_PRIORITY),
        },
    )


def _pair_of(key: str) -> str:
    """The pair that a run key is for."""
    return key.split(AGAIN, 1)[0]


def _words(found: Look) -> str:
    words = [f"{found.waiting} folder(s) not complete yet" if found.waiting else "nothing new"]
    words += [f"{folder}: {reason}" for folder, reason in list(found.unreadable.items())[:MAX_NAMED]]
    return "; ".join(words)


def session_outputs(deployment: Deployment) -> dg.SensorDefinition:
    """Writes a session's file when all its probes have an outcome, and again when one of them changes."""
    names = [name for name, stage in STAGES.items() if stage.scope == "session"]
    return dg.AutomationConditionSensorDefinition(
        name="session_outputs",
        target=dg.AssetSelection.assets(*names),
        use_user_code_server=True,  # the condition is our own, and only our code can evaluate it
        emit_backfills=False,
        minimum_interval_seconds=deployment.watch.every_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        run_tags={PRIORITY_TAG: str(SESSION_PRIORITY)},
        description="Writes NWB files: all registered probes of a session have an outcome, one newer than the file.",
    )


def lost_steps(deployment: Deployment) -> dg.SensorDefinition:
    """Gives a line in the ledger to steps whose process died before it could write one."""

    @dg.run_failure_sensor(
        name="lost_steps",
        minimum_interval_seconds=deployment.watch.every_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells in the ledger which steps were killed, with nobody left to say so.",
    )
    def sensor(context: dg.RunFailureSensorContext) -> None:
        record_lost_steps(context.instance, context.dagster_run, deployment)

    return sensor
