"""Progress of a run for a person at a terminal: what has just happened, and what is going on."""

from __future__ import annotations

import re
import threading
import time
from types import TracebackType
from typing import Self

import dagster as dg
from dagster import DagsterEventType, EventLogEntry, RunsFilter
from rich.console import Console
from rich.markup import escape

POLL_S = 0.5

PERCENT = re.compile(r": (\d+) % after ")
"""How `spikepipe_core.progress` says how far a step is."""

BAR_WIDTH = 20

MARKS = {"made": "[green]✓[/]", "reused": "[cyan]=[/]", "skipped": "[yellow]-[/]", "failed": "[red]✗[/]"}


class RunProgress:
    """Follows a run's events while it lasts and prints a line for each that matters.

    Parameters
    ----------
    instance : DagsterInstance
    tag : tuple of str
        Key and value of a tag by which the run is found.
    label : str
        In front of every line: session and probe.
    console : Console
        Where to print; on a terminal, steps under way are shown with their time.
    """

    def __init__(self, instance: dg.DagsterInstance, tag: tuple[str, str], label: str, console: Console):
        self._instance, self._tag, self._label, self._console = instance, dict([tag]), label, console
        self._cursor: str | None = None
        self._run_id: str | None = None
        self._stopping = False
        self._running: dict[str, float] = {}
        self._doing: dict[str, str] = {}
        self._bars: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _follow(self) -> None:
        with self._console.status(f"{self._label}: starting") as status:
            while True:
                last = self._stop.is_set()
                for entry in self._new_events():
                    self._show(entry)
                status.update(self._now())
                if last:
                    return
                self._stop.wait(POLL_S)

    def _new_events(self) -> list[EventLogEntry]:
        if self._run_id is None:
            runs = self._instance.get_runs(RunsFilter(tags=self._tag), limit=1)
            if not runs:
                return []
            self._run_id = runs[0].run_id
        connection = self._instance.get_records_for_run(self._run_id, cursor=self._cursor)
        self._cursor = connection.cursor
        return [record.event_log_entry for record in connection.records]

    def _show(self, entry: EventLogEntry) -> None:
        step, event = entry.step_key, entry.dagster_event
        if step is None:
            data = event.event_specific_data if event else None
            self._stopping |= "steps_interrupted" in getattr(data, "metadata", {})
            return
        if event is None:
            self._say(step, entry.user_message)
        elif event.event_type is DagsterEventType.STEP_START:
            self._running[step] = time.monotonic()
        elif event.event_type is DagsterEventType.ASSET_MATERIALIZATION:
            metadata = event.step_materialization_data.materialization.metadata
            reused = bool(metadata["reused"].value)
            self._end(step, "reused" if reused else "made", str(metadata["result"].value))
        elif event.event_type is DagsterEventType.STEP_SUCCESS and step in self._running:
            self._end(step, "skipped", self._doing.get(step, ""))
        elif event.event_type is DagsterEventType.STEP_UP_FOR_RETRY:
            words = "stopped" if self._stopping else f"failed, tried again: {escape(event.message or '')}"
            self._print(f"  {step}: {words}")
        elif event.event_type is DagsterEventType.STEP_FAILURE:
            failure = event.step_failure_data
            description = failure.user_failure_data.description if failure.user_failure_data else None
            self._end(step, "failed", description or (failure.error.message if failure.error else "failed"))

    def _say(self, step: str, words: str) -> None:
        """A step's own words; how far it is, is a bar where there is a terminal."""
        percent = PERCENT.search(words)
        if percent and self._console.is_terminal:
            self._bars[step] = f"{words.split(':', 1)[0]} {_bar(int(percent[1]))}"
            return
        self._doing[step] = words
        self._bars.pop(step, None)
        if step in self._running and not words.startswith(f"{step}: "):
            self._print(f"  [dim]{step}: {escape(words)}[/]")

    def _end(self, step: str, how: str, words: str) -> None:
        began = self._running.pop(step, None)
        self._bars.pop(step, None)
        took = "" if began is None or how == "reused" else f" [dim]({time.monotonic() - began:.0f} s)[/]"
        self._print(f"{MARKS[how]} {self._label} [bold]{step}[/]: {escape(words.strip())}{took}")

    def _now(self) -> str:
        going = [
            f"{step} {time.monotonic() - began:.0f} s {self._bars.get(step, '')}".rstrip()
            for step, began in self._running.items()
        ]
        return f"{self._label}: {', '.join(going) or 'waiting'}"

    def _print(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)


def _bar(percent: int) -> str:
    """A bar for the status line."""
    full = round(BAR_WIDTH * percent / 100)
    return f"[cyan]{'━' * full}[/][dim]{'━' * (BAR_WIDTH - full)}[/] {percent} %"
