"""Progress of long steps, said in sentences: percent, rate and time left at sensible intervals.

SpikeInterface, Kilosort and NeuroConv show how far they are with tqdm's bars. Bars suit a terminal, not a log: here
each of them becomes a line now and then, wherever the step runs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import tqdm

FIRST_S = 10.0
"""What takes less long is not worth a line (ours)."""

EVERY_S = 60.0
"""At the latest then comes the next line (ours)."""

MORE_PERCENT = 10
"""A line comes sooner, but not within `FIRST_S` of the last, when this much more is done (ours)."""

BARS_SHOWN: ContextVar[bool] = ContextVar("bars_shown", default=False)
"""Whether the bars are drawn on the standard error stream too: `job_kwargs.progress_bar` of the params."""

_WORKERS = re.compile(r"\s*\((no parallelization|workers: [^)]*)\)")


@dataclass
class _Told:
    """What was last said of a bar, and when (seconds of the monotonic clock)."""

    at: float
    percent: int


@dataclass
class _Teller:
    say: Callable[[str], None]
    told: dict[int, _Told] = field(default_factory=dict)

    def tell(self, bar: Any) -> None:
        """Say how far a bar is, if it is time."""
        state = bar.format_dict
        percent = round(100 * state["n"] / state["total"]) if state["total"] else 0
        if state["elapsed"] < FIRST_S or percent == 100:  # the end is said when the bar ends
            return
        now, last = time.monotonic(), self.told.get(id(bar))
        if last is not None:
            waited = now - last.at
            if waited < FIRST_S or (waited < EVERY_S and percent - last.percent < MORE_PERCENT):
                return
        self.told[id(bar)] = _Told(now, percent)
        self.say(sentence(state))

    def end(self, bar: Any) -> None:
        """Say that a bar is done, if anything was said of it; its identity may be taken by another."""
        told, state = self.told.pop(id(bar), None), bar.format_dict
        if told is not None and (not state["total"] or state["n"] >= state["total"]):
            self.say(f"{_name(state)}: done in {_duration(state['elapsed'])}")


@contextmanager
def bars_said(say: Callable[[str], None]) -> Iterator[None]:
    """Turn every tqdm bar that is drawn inside into sentences.

    Parameters
    ----------
    say : callable
        Takes one sentence at a time.
    """
    teller, display, close = _Teller(say), tqdm.tqdm.display, tqdm.tqdm.close

    def said(bar: Any, *arguments: Any, **options: Any) -> Any:
        teller.tell(bar)
        return display(bar, *arguments, **options) if BARS_SHOWN.get() else True

    def ended(bar: Any) -> None:
        close(bar)  # draws it once more
        teller.end(bar)

    # `display` is what tqdm's documentation gives to be replaced by another front end.
    tqdm.tqdm.display, tqdm.tqdm.close = said, ended  # type: ignore[method-assign]
    try:
        yield
    finally:
        tqdm.tqdm.display, tqdm.tqdm.close = display, close  # type: ignore[method-assign]


def sentence(state: dict[str, Any]) -> str:
    """A bar's state (tqdm's `format_dict`) as a sentence.

    Examples
    --------
    >>> sentence({"n": 30, "total": 120, "elapsed": 60.0, "prefix": "detect peaks: ", "unit": "it", "rate": None})
    'detect peaks: 25 % after 1 min, 0.5 it/s, 3 min left'
    """
    rate = state["rate"] or state["n"] / state["elapsed"]
    done = f"{100 * state['n'] / state['total']:.0f} %" if state["total"] else f"{state['n']} {state['unit']}"
    words = f"{_name(state)}: {done} after {_duration(state['elapsed'])}"
    if rate:
        words += f", {rate:.3g} {state['unit']}/s"
        if state["total"]:
            words += f", {_duration((state['total'] - state['n']) / rate)} left"
    return words


def _name(state: dict[str, Any]) -> str:
    """What the bar is of, without how it is done in parallel."""
    return _WORKERS.sub("", state["prefix"] or "").replace(" :", ":").strip(" :") or "working"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
