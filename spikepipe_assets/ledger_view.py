"""The ledger as an asset: counts by reason, and the lines that somebody should look at, on one page of the UI.

`ledger` has no step: the sensor of the same name reads the sessions' summaries when one of them has changed, and
reports what it finds as a materialization, without a run. Its numbers are plotted over time by Dagster.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from spikepipe_assets.deployment import Deployment
from spikepipe_assets.opened import run_url
from spikepipe_core.graph import STAGES
from spikepipe_core.overview import Line, counts_by_reason, lines
from spikepipe_core.summary import last_change, read_sessions
from spikepipe_core.watch import unreadable_folders

LEDGER = "ledger"

EVERY_S = 60
"""Seconds between two looks for a change (ours)."""

SHARE = 0.05
"""Share of time that reading the ledger may take: with ten thousand sessions it is read less often (ours)."""

MAX_LINES, MAX_REASONS, MAX_WORDS = 40, 20, 200
"""Lines, reasons and characters of a reason that are shown: Dagster keeps every version of the page (ours)."""

ORDER = {"failed": 0, "unfinished": 1, "skipped": 2, "ok": 3}


def ledger_asset() -> dg.AssetSpec:
    """The page that `ledger_sensor` writes."""
    return dg.AssetSpec(
        LEDGER,
        description="How all recording jobs stand: counts by reason, failures first. `spikepipe status` has all lines.",
        group_name="overview",
        kinds={"markdown"},
        owners=["team:spikepipe"],
    )


def ledger_sensor(deployment: Deployment) -> dg.SensorDefinition:
    """Brings the asset `ledger` up to date when a line has changed."""

    @dg.sensor(
        name=LEDGER,
        minimum_interval_seconds=EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Brings the page `ledger` up to date: how all recording jobs stand, and why.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor = json.loads(context.cursor or "{}")
        began, store = time.time(), deployment.store()
        changed = list(last_change(store))
        if changed == cursor.get("changed"):
            return dg.SensorResult(skip_reason="nothing has changed", cursor=context.cursor)
        if 0 <= began - cursor.get("at", 0) < cursor.get("pause", 0):
            return dg.SensorResult(skip_reason="read a short while ago", cursor=context.cursor)
        told = lines(read_sessions(store), STAGES, unreadable_folders(store))
        shown = dg.AssetMaterialization(LEDGER, metadata=as_metadata(told))
        pause = (time.time() - began) / SHARE
        cursor = {"changed": changed, "at": began, "pause": pause}
        return dg.SensorResult(asset_events=[shown], cursor=json.dumps(cursor))

    return sensor


def as_metadata(told: Sequence[Line]) -> dict[str, Any]:
    """What the page shows."""
    outcomes = Counter(line.outcome for line in told if line.probe)
    return {
        "recording jobs": sum(outcomes.values()),
        **{name: outcomes.get(name, 0) for name in ("ok", "failed", "skipped", "unfinished")},
        "sessions": len({line.session for line in told if line.stages}),
        "folders not read": sum(not line.stages for line in told),
        "counts by reason": dg.MetadataValue.md(_counts(told)),
        "lines": dg.MetadataValue.md(_lines(told)),
    }


def _counts(told: Iterable[Line]) -> str:
    rows = counts_by_reason(told)
    shown = [
        (str(n), outcome, _plain(stage), _plain(reason)) for outcome, stage, reason, n in rows[:MAX_REASONS]
    ]
    return _table(("count", "outcome", "stage", "reason"), shown, len(rows), "reasons")


def _lines(told: Sequence[Line]) -> str:
    """One line a recording job: failures first, the newest of them before older ones."""
    never = datetime.min.replace(tzinfo=UTC)
    by_need = sorted(
        sorted(told, key=lambda line: line.at or never, reverse=True), key=lambda line: ORDER[line.outcome]
    )
    return _table(
        ("session", "probe", "outcome", "stage", "when (UTC)", "run", "reason"),
        [_row(line) for line in by_need[:MAX_LINES]],
        len(told),
        "lines",
    )


def _row(line: Line) -> tuple[str, ...]:
    return (
        _plain(line.session),
        _plain(line.probe or ("(session)" if line.stages else "(folder)")),
        line.outcome,
        _plain(line.stage),
        line.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if line.at else "",
        f"[{line.run_id[:8]}]({run_url(line.run_id)})" if line.run_id else "",
        _plain(line.reason),
    )


def _plain(text: str) -> str:
    """Text that is not taken for a table's border, a link, HTML or emphasis: names come from folders."""
    text = " ".join(text.split())
    text = text if len(text) <= MAX_WORDS else f"{text[:MAX_WORDS]}…"
    return re.sub(r"([\\|`*_<>\[\]])", r"\\\1", text)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], of: int, what: str) -> str:
    """A Markdown table, and how many rows it leaves out."""
    made = [header, ["---"] * len(header), *rows]
    text = "\n".join(f"| {' | '.join(row)} |" for row in made)
    return text if len(rows) == of else f"{text}\n\n{of - len(rows)} more {what}: `spikepipe status`"
