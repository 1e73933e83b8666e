"""What became of all recording jobs, and which of their outputs are out of date: ten thousand sessions in seconds.

Works on the sessions' summaries (`spikepipe_core.summary`); `why_stale` says the same of one output from its manifest.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from spikepipe_core.params import Params
from spikepipe_core.stages.stage import Stage, Work
from spikepipe_core.staleness import why_stale
from spikepipe_core.store import Outcome, Store, digest
from spikepipe_core.summary import JobSummary, SessionSummary

ParamsOf = Callable[[SessionSummary], Params]
"""The params that apply to a session."""

Ending = Literal["ok", "skipped", "failed", "unfinished"]


@dataclass(frozen=True, slots=True)
class Line:
    """How one recording job, or the session's own stages (`probe` is None), stands.

    Attributes
    ----------
    stage : str
        The stage that decided; of an unfinished job the next one; empty if nothing was tried.
    outcome : {"ok", "skipped", "failed", "unfinished"}
    at : datetime or None
        When that was decided.
    seconds : float
        What making its outputs took.
    made, stages : int
        Outputs that are there, and stages that there are.
    """

    session: str
    probe: str | None
    stage: str
    outcome: Ending
    reason: str
    at: datetime | None
    seconds: float
    made: int
    stages: int
    run_id: str | None
    log: str | None


@dataclass(frozen=True, slots=True)
class Stale:
    """An output that is not what it would be if made now."""

    session: str
    probe: str | None
    stage: str
    reason: str


def lines(
    sessions: Iterable[SessionSummary], stages: Mapping[str, Stage], unreadable: Iterable[Outcome] = ()
) -> list[Line]:
    """One line a recording job, one for each session's own outputs, and one a folder that could not be read.

    Parameters
    ----------
    unreadable : iterable of Outcome
        Of folders (see `spikepipe_core.watch.unreadable_folders`); those of registered sessions have their line.
    """
    names = {
        scope: [name for name, stage in stages.items() if stage.scope == scope]
        for scope in ("probe", "session")
    }
    sessions = list(sessions)
    registered = {session.session for session in sessions}
    return [
        *(
            _line(job, names["probe" if job.probe else "session"])
            for session in sessions
            for job in session.all
        ),
        *(_line_of_folder(outcome) for outcome in unreadable if outcome.session not in registered),
    ]


def _line_of_folder(outcome: Outcome) -> Line:
    return Line(
        session=outcome.session,
        probe=None,
        stage=outcome.stage,
        outcome=outcome.outcome,
        reason=outcome.reason,
        at=outcome.at,
        seconds=0.0,
        made=0,
        stages=0,
        run_id=None,
        log=None,
    )


def _line(job: JobSummary, stages: list[str]) -> Line:
    told, waiting = job.told, [name for name in stages if name not in job.outcomes]
    outcome: Ending = "ok"
    if told is not None and not told.has_output:  # skipped with an output: the params ask for nothing there
        outcome = "failed" if told.outcome == "failed" else "skipped"
    stage, reason = (told.stage, told.reason) if told else ("", "")
    if outcome == "ok" and waiting:
        outcome, stage = "unfinished", waiting[0]
        reason = f"{len(stages) - len(waiting)} of {len(stages)} outputs so far" if told else "not run yet"
    return Line(
        session=job.session,
        probe=job.probe,
        stage=stage,
        outcome=outcome,
        reason=reason,
        at=datetime.fromisoformat(told.at) if told else None,
        seconds=job.seconds,
        made=len(job.made),
        stages=len(stages),
        run_id=told.run_id if told else None,
        log=told.log if told else None,
    )


def counts_by_reason(told: Iterable[Line]) -> list[tuple[str, str, str, int]]:
    """Outcome, stage, reason and how often, the most frequent first within failed, skipped, unfinished, ok.

    Reasons that differ only in their numbers and in the names of session and probe count as one: those parts are
    shown as an ellipsis.
    """
    order = ["failed", "skipped", "unfinished", "ok"]
    counted = Counter(
        (line.outcome, line.stage if line.outcome != "ok" else "", _alike(line)) for line in told
    )
    rows = [(outcome, stage, reason, n) for (outcome, stage, reason), n in counted.items()]
    return sorted(rows, key=lambda row: (order.index(row[0]), -row[3], row[1:3]))


def _alike(line: Line) -> str:
    if line.outcome == "ok":
        return ""
    names = sorted(filter(None, (line.session, line.probe)), key=len, reverse=True)
    reason = line.reason
    for name in names:
        reason = reason.replace(name, "…")
    return re.sub(r"\d+(\.\d+)?", "…", reason)


def stale_outputs(
    sessions: Iterable[SessionSummary], stages: Mapping[str, Stage], store: Store, params_of: ParamsOf
) -> Iterator[Stale]:
    """The outputs that are not what they would be if made now, as `why_stale` tells without a look at raw data.

    Parameters
    ----------
    params_of : callable
        Sessions with the same params should be given the same object.
    """
    checker = _Checker(stages, store)
    for session in sessions:
        params = params_of(session)
        there = {stage for job in session.jobs for stage in _there(job)}
        for job in session.all:
            found = set(job.made) if job.probe else there
            for name in job.made:
                reason = checker.reason(session, job, name, params, found)
                if reason:
                    yield Stale(session.session, job.probe, name, reason)


def _there(job: JobSummary) -> set[str]:
    """Stages of a probe that its session's stages can take, or know to be left out."""
    return {*job.made, *(stage for stage, ended in job.outcomes.items() if ended == "skipped")}


class _Checker:
    """Compares outputs with the params; equal cases are looked at once."""

    def __init__(self, stages: Mapping[str, Stage], store: Store):
        self._stages, self._store = stages, store
        self._params: dict[int, Params] = {}
        self._now: dict[tuple[int, str], tuple[str, tuple[str, ...]]] = {}
        self._words: dict[tuple[int, str, str, str], str | None] = {}

    def reason(
        self, session: SessionSummary, job: JobSummary, name: str, params: Params, there: set[str]
    ) -> str | None:
        stage, made = self._stages.get(name), job.made[name]
        if stage is None:
            return None
        settings, inputs = self._wanted(stage, params)
        if (made.code, made.settings) != (stage.version, settings):
            key = (id(params), name, made.code, made.settings)
            if key not in self._words:
                self._words[key] = self._in_words(session, job, stage, params)
            return self._words[key]
        for name_of_input in inputs:
            if name_of_input in made.changed:
                return made.changed[name_of_input]
            if name_of_input in there and name_of_input not in made.used:
                return f"{name_of_input} was not there when it was made"
        return None

    def _wanted(self, stage: Stage, params: Params) -> tuple[str, tuple[str, ...]]:
        """Digest of the settings, and the inputs, of a stage under these params."""
        self._params[id(params)] = params  # kept, so that no other object gets its id
        key = (id(params), stage.name)
        if key not in self._now:
            self._now[key] = digest(stage.settings(params)), stage.inputs(params)
        return self._now[key]

    def _in_words(self, session: SessionSummary, job: JobSummary, stage: Stage, params: Params) -> str | None:
        entry = self._store.registry.find(session.session)
        if entry is None:
            return None
        return why_stale(
            stage,
            Work(self._store, entry, entry.job(job.probe) if job.probe else None, params, self._stages),
        )
