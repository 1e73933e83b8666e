"""What is out of date, and why; and whether a session's own output should be made now.

Both look at manifests and the ledger only. They read no raw data and verify no files, so that thousands of
recording jobs can be asked about in seconds; `produce` verifies before it reuses anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from spikepipe_core.produce import is_current
from spikepipe_core.stages.stage import Stage, Work
from spikepipe_core.store import Manifest, Outcome, digest
from spikepipe_core.summary import changed_input

MAX_NAMED = 3
"""Changed params named in a reason; the rest is counted (ours: a reason is one line of a table)."""


def why_stale(stage: Stage, work: Work, *, identity: bool = False) -> str | None:
    """Why a published output is no longer what it would be if made now; None if it is, or there is none.

    What an input would become is not asked: change a preprocessing param, and only the preprocessed recording is
    stale, until it is made again and is another one. Dagster shows the same.

    Parameters
    ----------
    stage : Stage
    work : Work
        For one recording job, or for the session if the stage is of the session; its params are those that
        apply now.
    identity : bool
        Also compare raw files and models with those that were used, which reads some of each.

    Returns
    -------
    str or None
        The first reason in words: the stage's code, params, inputs, raw files or models.
    """
    made = published(stage.name, work)
    if made is None:
        return None
    if made.code_version != stage.version:
        return f"{stage.name} was made by version {made.code_version} of its code, now it is {stage.version}"
    settings = stage.settings(work.params)
    if digest(settings) != digest(made.settings):
        return "params changed: " + "; ".join(_changes(made.settings, settings))
    for name, version in _inputs_now(stage, work).items():
        if made.inputs.get(name) != version:
            return changed_input(name, made.inputs.get(name), version)
    if identity and stage.identity(work) != made.identity:
        return "the raw files or the models it was made from have changed"
    return None


def published(stage: str, work: Work) -> Manifest | None:
    """The manifest of a published output, without a look at its files."""
    return work.store.results.read_manifest(work.ref(stage))


def settled_at(stage: Stage, work: Work) -> datetime | None:
    """When the inputs of a session's output got their latest outcome; None while one of them has none.

    Every registered recording job must have ended well or been skipped at each input; with
    `nwb.allow_partial` it may have failed too.
    """
    outcomes = _input_outcomes(stage, work)
    if not outcomes or any(outcome is None for outcome in outcomes):
        return None
    ended = [outcome for outcome in outcomes if outcome is not None]
    if any(outcome.outcome == "failed" for outcome in ended) and not work.params.nwb.allow_partial:
        return None
    return max(outcome.at for outcome in ended)


def is_due(stage: Stage, work: Work) -> bool:
    """Whether an output of the session should be made now: its inputs are settled, and make something else of it."""
    if settled_at(stage, work) is None:
        return False
    if not any(outcome and _verdict(outcome) == "ok" for outcome in _input_outcomes(stage, work)):
        last = _outcome(stage.name, work)
        return last is None or last.outcome != "skipped"
    return not is_current(stage, work)


def _input_outcomes(stage: Stage, work: Work) -> list[Outcome | None]:
    return [_outcome(name, work.of(job)) for job in work.entry.jobs for name in stage.inputs(work.params)]


def _outcome(stage: str, work: Work) -> Outcome | None:
    entry, probe = work.entry, work.job.probe if work.job else None
    return work.store.ledger.read(entry.session_folder, entry.session, probe, stage)


def _verdict(outcome: Outcome) -> str:
    """Ok also for an output that is empty because the params ask for nothing: those below go on."""
    return "ok" if outcome.outcome == "skipped" and outcome.data_version else outcome.outcome


def _inputs_now(stage: Stage, work: Work) -> dict[str, str | None]:
    """Data versions of the inputs as they are published now; None where a probe is left out.

    An input that is gone or whose last attempt failed is passed over: the output is still what it was made from.
    """
    names = stage.inputs(work.params)
    if stage.scope == "probe":
        versions = {name: _version(name, work) for name in names}
        return {name: version for name, version in versions.items() if version is not None}
    found: dict[str, str | None] = {}
    for job in work.entry.jobs:
        for name in names:
            of_job = work.of(job)
            version, outcome = _version(name, of_job), _outcome(name, of_job)
            if version is not None:
                found[f"{job.probe}/{name}"] = version
            elif outcome is not None and _verdict(outcome) == "skipped":
                found[f"{job.probe}/{name}"] = "skipped"
    return found


def _version(name: str, work: Work) -> str | None:
    manifest = published(name, work)
    return None if manifest is None else manifest.data_version


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Changed params as ``path: before -> now``, the first few."""
    flat_before, flat_now = dict(_leaves(before)), dict(_leaves(now))
    changed = [
        path
        for path in sorted({*flat_before, *flat_now})
        if digest(flat_before.get(path, "(unset)")) != digest(flat_now.get(path, "(unset)"))
    ]
    for path in changed[:MAX_NAMED]:
        yield f"{path}: {flat_before.get(path, '(unset)')} -> {flat_now.get(path, '(unset)')}"
    if len(changed) > MAX_NAMED:
        yield f"and {len(changed) - MAX_NAMED} more"


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        path = f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, path)
        else:
            yield path, value
