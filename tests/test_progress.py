"""Progress in sentences: what is made of tqdm's bars, and how a terminal shows it."""

from __future__ import annotations

import io
import time

import dagster as dg
import pytest
from rich.console import Console
from tqdm.auto import tqdm, trange

from spikepipe_assets.progress import BAR_WIDTH, RunProgress
from spikepipe_core.params import JobKwargs
from spikepipe_core.progress import BARS_SHOWN, bars_said, sentence
from spikepipe_core.stages.stage import Work


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """A clock that stands still until a test moves it; tqdm and we go by it."""
    now = [1000.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def said_of(clock: list[float], steps: int, seconds_a_step: float, **options) -> list[str]:
    said: list[str] = []
    with bars_said(said.append):
        for _ in trange(steps, mininterval=0, miniters=1, **options):
            clock[0] += seconds_a_step
    return said


def test_a_long_bar_becomes_a_line_now_and_then(clock):
    said = said_of(clock, 100, 2.0, desc="detect peaks (workers: 2 processes fork)")
    assert said[0] == "detect peaks: 5 % after 10 s, 0.5 it/s, 3 min left"
    assert [line.split(" after")[0] for line in said[:4]] == [
        "detect peaks: 5 %", "detect peaks: 15 %", "detect peaks: 25 %", "detect peaks: 35 %",
    ]  # fmt: skip
    assert said[-1] == "detect peaks: done in 3 min"
    assert len(said) < 14


def test_a_bar_that_is_drawn_again_at_its_end_ends_once(clock):
    said: list[str] = []
    with bars_said(said.append):
        bar = tqdm(total=2, desc="Compute : templates (no parallelization)", mininterval=0, miniters=1)
        for _ in range(2):
            clock[0] += 20
            bar.update()
        bar.refresh()
        bar.close()
        bar.close()
    assert said == [
        "Compute: templates: 50 % after 20 s, 0.05 it/s, 20 s left",
        "Compute: templates: done in 40 s",
    ]


def test_a_bar_that_is_given_up_is_not_said_to_be_done(clock):
    said: list[str] = []
    with bars_said(said.append), pytest.raises(ZeroDivisionError):
        for _ in trange(10, mininterval=0, miniters=1):
            clock[0] += 20
            if len(said) == 2:
                raise ZeroDivisionError
    assert said and not any("done" in line for line in said)


def test_a_slow_bar_says_something_every_minute(clock):
    said = said_of(clock, 10_000, 1.0)[:5]
    assert [line.split(",")[0] for line in said[:3]] == [
        "working: 0 % after 10 s", "working: 1 % after 1 min", "working: 1 % after 2 min",
    ]  # fmt: skip


def test_what_takes_no_time_is_not_worth_a_line(clock):
    assert said_of(clock, 100, 0.05) == []


def test_bars_are_drawn_only_where_the_params_ask_for_it(clock, capsys):
    work = Work(None, None, None, None, {})
    for asked in (False, True):
        assert work.job_kwargs(JobKwargs(progress_bar=asked))["progress_bar"] is True
        said_of(clock, 3, 20.0, desc="filtering")
        assert ("filtering" in capsys.readouterr().err) == asked
    BARS_SHOWN.set(False)


def test_bars_are_tqdms_own_again_afterwards():
    before = (tqdm.display, tqdm.close)
    with pytest.raises(ZeroDivisionError), bars_said(print):
        raise ZeroDivisionError
    assert (tqdm.display, tqdm.close) == before


def test_without_a_total_the_number_done_is_said():
    state = {"n": 30, "total": None, "elapsed": 7200.0, "prefix": "", "unit": "chunk", "rate": 0.25}
    assert sentence(state) == "working: 30 chunk after 2.0 h, 0.25 chunk/s"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_shows_a_bar_and_a_file_the_line(terminal):
    line = sentence(
        {"n": 30, "total": 120, "elapsed": 60.0, "prefix": "detect peaks", "unit": "it", "rate": 0}
    )
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120)
    with dg.DagsterInstance.ephemeral() as instance:
        follower = RunProgress(instance, ("a", "b"), "mouse1 / imec0", console)
        follower._running["sorting"] = time.monotonic()
        follower._say("sorting", line)
        shown = console.render_str(follower._now()).plain
    assert ("━" * BAR_WIDTH in shown.replace(" ", "")) == terminal
    assert ("25 % after 1 min" in out.getvalue()) != terminal
