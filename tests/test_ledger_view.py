"""The page `ledger`: counts by reason, and the lines that somebody should look at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from quick_results import QuickResults

from spikepipe_assets.definitions import build_definitions
from spikepipe_assets.deployment import Deployment
from spikepipe_assets.ledger_view import LEDGER, MAX_LINES, as_metadata
from spikepipe_core.errors import BadDataError, SkippedByRule
from spikepipe_core.overview import Line


class Page:
    """The sensor at its ticks, and what the page shows then."""

    def __init__(self, quick: QuickResults, instance: dg.DagsterInstance):
        self.quick, self.instance = quick, instance
        self.defs = build_definitions(Deployment(results=quick.root))
        self.cursor: str | None = None

    def tick(self) -> dict[str, dg.MetadataValue] | str:
        """The metadata of a new page, or why there is none."""
        context = dg.build_sensor_context(self.instance, self.cursor, definitions=self.defs)
        data = self.defs.resolve_sensor_def(LEDGER)(context)
        self.cursor = data.cursor
        if not data.asset_events:
            return data.skip_reason if isinstance(data.skip_reason, str) else data.skip_reason.skip_message
        (event,) = data.asset_events
        self.instance.report_runless_asset_event(event)
        return event.metadata

    def wait(self) -> None:
        """Longer than the sensor pauses."""
        self.cursor = json.dumps({**json.loads(self.cursor), "at": 0})


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    quick = QuickResults(tmp_path / "results")
    quick.register("mouse1", "imec0", "imec1")
    quick.misbehave["mouse1", "imec0", "sorting"] = BadDataError("no spikes in *a|b*.bin")
    quick.misbehave["mouse1", "imec1", "preprocessed_recording"] = SkippedByRule("10.0 s < 20.0 s")
    with dg.DagsterInstance.ephemeral() as instance:
        yield Page(quick, instance)


def test_counts_and_lines_are_on_the_page(page, monkeypatch):
    monkeypatch.setenv("SPIKEPIPE_UI_URL", "https://dagster.example")
    page.quick.make_session("mouse1")
    shown = page.tick()
    numbers = {name: shown[name].value for name in ("recording jobs", "ok", "failed", "skipped", "sessions")}
    assert numbers == {"recording jobs": 2, "ok": 0, "failed": 1, "skipped": 1, "sessions": 1}
    counts, rows = (shown[name].md_str.splitlines() for name in ("counts by reason", "lines"))
    assert "| 1 | failed | sorting | no spikes in \\*a\\|b\\*.bin |" in counts
    cells = [cell.strip() for cell in rows[3].split(" | ")]
    assert cells[:4] == ["| mouse1", "imec0", "failed", "sorting"] or cells[1] == "(session)"
    assert any("[run-1](https://dagster.example/runs/run-1)" in row for row in rows)
    assert [row.split(" | ")[2] for row in rows[2:]] == ["failed", "failed", "skipped"], "failures first"
    made = page.instance.get_latest_materialization_event(dg.AssetKey(LEDGER))
    assert made.asset_materialization.metadata["failed"].value == 1


def test_it_is_read_again_only_when_a_line_has_changed(page):
    page.quick.make("mouse1", "imec0", "recording")
    assert page.tick()["unfinished"].value == 2
    assert page.tick() == "nothing has changed"
    page.quick.make("mouse1", "imec1", "recording")
    page.cursor = json.dumps({**json.loads(page.cursor), "pause": 1e6})
    assert page.tick() == "read a short while ago"
    page.wait()
    page.quick.misbehave.clear()
    page.quick.make_session("mouse1")
    assert page.tick()["ok"].value == 2


def test_the_page_stays_small_however_many_lines_there_are():
    told = [
        Line(f"s{n}", "imec0", "sorting", "failed", f"bad {n} " + "x" * 1000, None, 1.0, 3, 12, "run", None)
        for n in range(5000)
    ]
    shown = as_metadata(told)
    assert shown["lines"].md_str.count("\n| s") == MAX_LINES
    assert shown["lines"].md_str.endswith(f"{5000 - MAX_LINES} more lines: `spikepipe status`")
    assert sum(len(shown[name].md_str) for name in ("lines", "counts by reason")) < 20_000


def test_nobody_asks_for_it_in_a_run(page):
    asset = page.defs.resolve_asset_graph().get(dg.AssetKey(LEDGER))
    assert not asset.is_executable and not asset.partitions_def
