"""Failures told to a chat: what failed, where and why, posted to a webhook that takes Slack's JSON.

The sensor `failure_webhook` looks at the runs that have failed since its last tick, and posts one message for all of
them. A webhook that does not answer fails nothing: the message is kept for the next tick, for a day at most.

The webhook's address is a secret itself, so no log and no message holds it.
"""

import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
from dagster import DagsterEventType, DagsterRunStatus, RunsFilter
from dagster._core.storage.tags import WILL_RETRY_TAG

from spikepipe_assets.deployment import Deployment
from spikepipe_assets.launcher import PID_TAG
from spikepipe_assets.lost_steps import record_lost_steps
from spikepipe_assets.opened import run_url
from spikepipe_assets.partitions import partition_of
from spikepipe_core.store import digest
from spikepipe_core.watch import unreadable_folders

URL_VARIABLE = "SPIKEPIPE_WEBHOOK_URL"

PATIENCE_S = 10.0
"""Seconds in which the webhook must answer; a tick of a sensor may take 60 s (Dagster)."""

MEMORY_S = 86_400.0
"""The same failure of the same output is told once in this time; an older one is not told any more (ours)."""

MAX_RUNS = 50
"""New runs looked at in one tick; the next one goes on (ours)."""

OVERLAP_S = 60.0
"""So far a tick looks back: a run may be written a little after the time that it carries (ours)."""

MAX_NAMED, MAX_REASON = 10, 400
"""Failures named in one message, and characters of a reason (ours; Slack cuts messages at 40,000)."""


ATTEMPTS = re.compile(r" \(Tried \d+ time.*$")
"""What the line of a folder says at its end, another one with every attempt."""


@dataclass(frozen=True)
class Failed:
    """One output that failed for a cause of its own, not because of an input's failure."""

    session: str | None
    probe: str | None
    asset: str | None
    reason: str
    run_id: str | None

    @property
    def key(self) -> str:
        """The same for the same failure in another run, or of another attempt at a folder."""
        return digest([self.session, self.probe, self.asset, ATTEMPTS.sub("", self.reason)])[:16]


class NotDeliveredError(Exception):
    """The webhook did not take the message."""


def failure_webhook(deployment: Deployment) -> dg.SensorDefinition:
    """Tells a chat of runs that failed, if the environment gives the address of its webhook."""
    status = (
        dg.DefaultSensorStatus.RUNNING if os.environ.get(URL_VARIABLE) else dg.DefaultSensorStatus.STOPPED
    )

    @dg.sensor(
        name="failure_webhook",
        minimum_interval_seconds=deployment.watch.every_s,
        default_status=status,
        description=f"Posts failures to the webhook of {URL_VARIABLE}: session, probe, asset, reason, run.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        url = os.environ.get(URL_VARIABLE)
        if not url:
            return dg.SensorResult(skip_reason=f"{URL_VARIABLE} is not set", cursor=context.cursor)
        cursor, said = tell_failures(context.instance, deployment, url, json.loads(context.cursor or "null"))
        return dg.SensorResult(skip_reason=said, cursor=json.dumps(cursor))

    return sensor


def tell_failures(
    instance: dg.DagsterInstance, deployment: Deployment, url: str, cursor: dict[str, Any] | None
) -> tuple[dict[str, Any], str]:
    """Post what has failed since the last time, and has not been told.

    Parameters
    ----------
    cursor : dict or None
        What the last call returned: ``after``, until when runs have been looked at (s since 1970), and ``told``, when
        each run and each failure was told. None at the first call, which tells nothing: what failed before is old.

    Returns
    -------
    dict, str
        The new cursor; and what was done, in words.
    """
    now = time.time()
    folders = folders_not_read(deployment)
    if cursor is None:
        return {"after": now, "told": {one.key: now for one in folders}}, "failures from now on are told"
    told = {key: at for key, at in cursor["told"].items() if at > now - MEMORY_S}
    records = _failed_runs(instance, max(cursor["after"], now - MEMORY_S), told)
    runs = [record.dagster_run for record in records if _is_to_be_told(record.dagster_run)]
    found = [*(failed for run in runs for failed in failures_of(instance, run, deployment)), *folders]
    new = {failed.key: failed for failed in found if failed.key not in told}
    try:
        if new:
            post(url, message(list(new.values())))
    except NotDeliveredError as error:
        return {"after": cursor["after"], "told": told}, f"not told, tried again at the next tick: {error}"
    until = max((record.update_timestamp.timestamp() for record in records), default=cursor["after"])
    told |= dict.fromkeys([*(record.dagster_run.run_id for record in records), *new], now)
    return {"after": until, "told": told}, f"{len(new)} failure(s) told" if new else "nothing new failed"


def _failed_runs(instance: dg.DagsterInstance, after: float, told: Mapping[str, float]) -> list[dg.RunRecord]:
    """Runs that failed after a time and that nobody has looked at, the oldest first."""
    since = datetime.fromtimestamp(after - OVERLAP_S, UTC)
    records = instance.get_run_records(
        RunsFilter(statuses=[DagsterRunStatus.FAILURE], updated_after=since),
        limit=MAX_RUNS + len(told),
        order_by="update_timestamp",
        ascending=True,
    )
    return [record for record in records if record.dagster_run.run_id not in told][:MAX_RUNS]


def _is_to_be_told(run: dg.DagsterRun) -> bool:
    """Not if it is about to be tried again, nor if a person sits before the command line that did it."""
    return run.tags.get(WILL_RETRY_TAG) != "true" and PID_TAG not in run.tags


def failures_of(instance: dg.DagsterInstance, run: dg.DagsterRun, deployment: Deployment) -> list[Failed]:
    """What failed in a run, as the ledger tells it; as Dagster tells it where the ledger has no line of this run."""
    record_lost_steps(instance, run, deployment)  # the sensor of that name may not have come to it yet
    store, (session, probe) = deployment.store(), partition_of(run.tags)
    entry = store.registry.find(session) if session else None
    lines = store.ledger.outcomes(entry.session_folder, entry.session) if entry else []
    found = [
        Failed(session, probe, line.stage, line.reason, run.run_id)
        for line in lines
        if line.outcome == "failed"
        and line.run_id == run.run_id
        and line.because_of is None
        and line.probe == probe
    ]
    return found or list(_as_dagster_tells(instance, run, session, probe))


def folders_not_read(deployment: Deployment) -> list[Failed]:
    """Folders in the data roots that could not be read; one in no known format is no failure."""
    lines = unreadable_folders(deployment.store())
    return [
        Failed(one.session, None, one.stage, one.reason, None) for one in lines if one.outcome == "failed"
    ]


def _as_dagster_tells(
    instance: dg.DagsterInstance, run: dg.DagsterRun, session: str | None, probe: str | None
) -> Iterator[Failed]:
    logs = instance.all_logs(
        run.run_id, of_type={DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE}
    )
    events = [log.dagster_event for log in logs if log.dagster_event]
    steps = [event for event in events if event.is_step_failure]
    for event in steps or events[-1:]:
        error = event.step_failure_data.error if event.is_step_failure else None
        cause = (error.cause or error) if error else None
        reason = cause.message if cause else event.message or "the run failed"
        yield Failed(session, probe, event.step_key, reason.strip(), run.run_id)


# --- words -------------------------------------------------------------------------------------------------------


def message(failures: list[Failed]) -> str:
    """All failures in one text."""
    parts = [_in_words(failed) for failed in failures[:MAX_NAMED]]
    if len(failures) > MAX_NAMED:
        parts.append(f"and {len(failures) - MAX_NAMED} more: spikepipe status")
    return "\n\n".join(parts)


def _in_words(failed: Failed) -> str:
    where = " / ".join(filter(None, (failed.session, failed.probe))) or "a run"
    at = f" at {failed.asset}" if failed.asset else ""
    reason = without_secrets(failed.reason)
    reason = reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON]}…"
    link = f"\n{run_url(failed.run_id)}" if failed.run_id else ""
    return f"spikepipe: {_escaped(where)} failed{_escaped(at)}\n{_escaped(reason)}{link}"


def _escaped(text: str) -> str:
    """Text in which Slack finds no commands: a file's name must not call everybody in a channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


SECRET_NAMES = re.compile(r"(TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIAL|_KEY|_URL)$")
"""Environment variables whose values do not belong in a message; the page that people open does."""

SECRET_FORMS = (
    (re.compile(r"(\w[\w+.-]*://)[^/\s@]+@"), r"\1***@"),  # user and password of a URL
    (re.compile(r"\bhf_[A-Za-z0-9]{8,}"), "***"),  # a Hugging Face token
    (re.compile(r"(?i)\b((?:password|passwd|token|secret|api_?key)\s*[=:]\s*)\S+"), r"\1***"),
    (re.compile(r"(?i)\b(authorization:?\s+(?:basic|bearer)\s+)\S+"), r"\1***"),
)

SHORTEST_SECRET = 6
"""Shorter values would blacken words by chance (ours)."""


def without_secrets(text: str) -> str:
    """A text without the passwords, tokens and addresses of this process' environment, or what looks like one."""
    values = {
        value
        for name, value in os.environ.items()
        if SECRET_NAMES.search(name.upper()) and name != "SPIKEPIPE_UI_URL" and len(value) >= SHORTEST_SECRET
    }
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "***")
    for form, instead in SECRET_FORMS:
        text = form.sub(instead, text)
    return text


# --- the way out -------------------------------------------------------------------------------------------------


def post(url: str, text: str) -> None:
    """Send a text to a webhook.

    Raises
    ------
    NotDeliveredError
        It was not taken; said without the address.
    """
    body = json.dumps({"text": text}).encode()
    try:
        if urlsplit(url).scheme not in ("http", "https"):
            raise NotDeliveredError(f"{URL_VARIABLE} is no address of http or https")
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE_S):
            pass
    except urllib.error.HTTPError as error:
        raise NotDeliveredError(f"the webhook answered {error.code}") from None
    except (ValueError, http.client.InvalidURL):
        raise NotDeliveredError(f"{URL_VARIABLE} is no address") from None
    except (OSError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", error)
        words = cause.strerror if isinstance(cause, OSError) and cause.strerror else type(cause).__name__
        raise NotDeliveredError(f"the webhook cannot be reached ({words})") from None
