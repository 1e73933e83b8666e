"""`spikepipe run`: from a data folder to results, through Dagster, with progress and an outcome table."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster import DagsterRunStatus
from dagster._core.events import RunFailureReason
from dagster._core.storage.tags import RUN_FAILURE_REASON_TAG
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from spikepipe_assets.assets.stage_asset import RECOMPUTE_TAG
from spikepipe_assets.deployment import Deployment
from spikepipe_assets.instance import (
    close_dead_runs,
    others_running,
    own_tags,
    prepare_home,
    set_pool_limits,
)
from spikepipe_assets.jobs import PROBE_JOB, SESSION_JOB
from spikepipe_assets.lost_steps import record_lost_steps
from spikepipe_assets.partitions import SESSION_PROBE, SESSIONS, probe_key, register
from spikepipe_assets.progress import RunProgress
from spikepipe_assets.terminal import new_log, only_our_lines
from spikepipe_core.errors import NotAvailableError, SpikepipeError
from spikepipe_core.graph import STAGES
from spikepipe_core.ingest import Discovery, UnreadableFolder, discover
from spikepipe_core.preflight import missing
from spikepipe_core.produce import is_current
from spikepipe_core.stages.stage import Work
from spikepipe_core.store import Outcome, SessionEntry, Store, session_entries
from spikepipe_core.store.files import remove

INVOCATION_TAG = "spikepipe/invocation"

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run config that leaves the events to `RunProgress` and the UI."""


@dataclass(frozen=True)
class Request:
    """What a person asked for."""

    data: Path
    deployment: Deployment
    home: Path
    recompute: bool = False
    keep_scratch: bool = False


@dataclass(frozen=True)
class Finished:
    """How it ended.

    Attributes
    ----------
    outcomes : dict
        (session, probe) to the outcomes of its stages by name; probe is None for the session's own.
    seconds : dict
        (session, probe) to the time its run took.
    unreadable : tuple
        Session folders that discovery could not read.
    """

    entries: list[SessionEntry]
    outcomes: dict[tuple[str, str | None], dict[str, Outcome]]
    seconds: dict[tuple[str, str | None], float]
    unreadable: tuple[UnreadableFolder, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether anything failed."""
        return bool(self.unreadable) or any(
            outcome.outcome == "failed" for stages in self.outcomes.values() for outcome in stages.values()
        )


def process(request: Request, console: Console) -> Finished:
    """Discover, check, register and materialize everything.

    Raises
    ------
    SpikepipeError
        Nothing was started: the data folder, the params or the machine do not allow it.
    """
    deployment, store = request.deployment, request.deployment.store()
    params = deployment.effective_params()
    for change in deployment.runmode_changes():
        console.print(change, markup=False)
    found = discover(request.data, params.job_dispatch)
    _say_found(found, console)
    if problems := missing(params, found.jobs, store):
        raise NotAvailableError("the run cannot start:\n" + "\n".join(f"- {problem}" for problem in problems))
    entries = session_entries(found.data_root, found.jobs, found.ignored)
    for entry in entries:
        deployment.effective_params(entry)  # a session's own params file must not fail halfway
    store.registry.add(entries)

    prepare_home(request.home)
    os.environ["SPIKEPIPE_DEPLOYMENT"] = str(deployment.save(request.home))
    deployment.pin()
    log = new_log(request.home)
    console.print(f"log: {log}", style="dim")
    with only_our_lines(log) as terminal, dg.DagsterInstance.get() as instance, ExitStack() as claims:
        for entry in entries:
            claims.enter_context(store.claim(entry.session_folder))
        if dead := close_dead_runs(instance):
            terminal.print(
                f"{len(dead)} interrupted run(s) closed; what they published is kept", style="yellow"
            )
        for run in dead:
            record_lost_steps(instance, run, deployment)
        set_pool_limits(instance)
        register(instance, entries)
        seconds = _materialize_all(request, store, entries, instance, terminal)
        outcomes = _outcomes(store, entries)
        keep = request.keep_scratch or deployment.storage.keep.traces == "always"
        if not keep and not others_running(instance):
            _clear_scratch(store, entries, outcomes)
    return Finished(entries, outcomes, seconds, found.unreadable)


def _say_found(found: Discovery, console: Console) -> None:
    for reader, why in found.readers.items():
        console.print(f"{found.data_root}: read as {reader} ({why})", markup=False)
    for job in found.jobs:
        console.print(f"  {job.session} / {job.probe}: {job.problem or job.recording_name}", markup=False)
    for stream in found.ignored:
        console.print(f"  not processed: {stream.stream} ({stream.reason})", style="dim", markup=False)
    for folder in found.unreadable:
        console.print(f"  cannot be read: {folder.folder}: {folder.reason}", style="red", markup=False)


def _materialize_all(
    request: Request,
    store: Store,
    entries: list[SessionEntry],
    instance: dg.DagsterInstance,
    console: Console,
) -> dict[tuple[str, str | None], float]:
    """Run the job of every probe, then of every session; a failure never holds up another."""
    seconds: dict[tuple[str, str | None], float] = {}
    for entry in entries:
        for probe in (*entry.probes, None):
            began = time.monotonic()
            materialize(request, store, entry, probe, instance, console)
            seconds[entry.session, probe] = time.monotonic() - began
    return seconds


def materialize(
    request: Request,
    store: Store,
    entry: SessionEntry,
    probe: str | None,
    instance: dg.DagsterInstance,
    console: Console,
    assets: Sequence[str] | None = None,
) -> None:
    """Make the outputs of a recording job (or of a session) in this process and its children, with progress.

    Parameters
    ----------
    assets : sequence of str, optional
        These outputs only.
    """
    partitions, key, job = (
        (SESSIONS, entry.session, SESSION_JOB)
        if probe is None
        else (SESSION_PROBE, probe_key(entry.session, probe), PROBE_JOB)
    )
    invocation = uuid.uuid4().hex
    tags = {
        **partitions.get_tags_for_partition_key(key),
        **own_tags(),
        INVOCATION_TAG: invocation,
        "spikepipe/session": entry.session,
        **({"spikepipe/probe": probe} if probe else {}),
        **({RECOMPUTE_TAG: "true"} if request.recompute else {}),
    }
    label = entry.session if probe is None else f"{entry.session} / {probe}"
    in_process = not request.recompute and _all_current(request.deployment, store, entry, probe, assets)
    with RunProgress(instance, (INVOCATION_TAG, invocation), label, console):
        if in_process:
            _job(job).execute_in_process(
                instance=instance,
                partition_key=key,
                tags=tags,
                run_config=QUIET,
                raise_on_error=False,
                asset_selection=_keys(assets),
            )
        else:
            _execute(job, tags, instance, request.deployment, assets)


def _keys(assets: Sequence[str] | None) -> list[dg.AssetKey] | None:
    return None if assets is None else [dg.AssetKey(name) for name in assets]


def _execute(
    job: str,
    tags: dict[str, str],
    instance: dg.DagsterInstance,
    deployment: Deployment,
    assets: Sequence[str] | None,
) -> None:
    """Run a job with a process for each step.

    Raises
    ------
    KeyboardInterrupt
        A person stopped it; the steps have been stopped too.
    """
    with dg.execute_job(
        dg.reconstructable(_JOBS[job]),
        instance=instance,
        tags=tags,
        run_config=QUIET,
        raise_on_error=False,
        asset_selection=_keys(assets),
    ) as result:
        run = instance.get_run_by_id(result.run_id)
    assert run is not None, "the run has just been executed"
    interrupted = run.tags.get(RUN_FAILURE_REASON_TAG) == RunFailureReason.UNEXPECTED_TERMINATION.value
    if interrupted or run.status is DagsterRunStatus.CANCELED:
        raise KeyboardInterrupt
    if not run.is_success:
        record_lost_steps(instance, run, deployment)


def _all_current(
    deployment: Deployment,
    store: Store,
    entry: SessionEntry,
    probe: str | None,
    assets: Sequence[str] | None,
) -> bool:
    """Whether there is nothing to make: then a process for each step would be waste."""
    work = Work(
        store=store,
        entry=entry,
        job=entry.job(probe) if probe else None,
        params=deployment.effective_params(entry),
        stages=STAGES,
    )
    wanted = [
        stage
        for stage in STAGES.values()
        if (stage.scope == "probe") == (probe is not None) and (assets is None or stage.name in assets)
    ]
    try:
        return all(is_current(stage, work) for stage in wanted)
    except (SpikepipeError, OSError):
        return False


def _job(name: str) -> dg.JobDefinition:
    from spikepipe_assets.definitions import defs

    return defs.resolve_job_def(name)


def probe_job() -> dg.JobDefinition:
    """For Dagster to find the job again in a step's process."""
    return _job(PROBE_JOB)


def session_job() -> dg.JobDefinition:
    """For Dagster to find the job again in a step's process."""
    return _job(SESSION_JOB)


_JOBS = {PROBE_JOB: probe_job, SESSION_JOB: session_job}


def _outcomes(store: Store, entries: list[SessionEntry]) -> dict[tuple[str, str | None], dict[str, Outcome]]:
    found: dict[tuple[str, str | None], dict[str, Outcome]] = {}
    for entry in entries:
        for probe in (*entry.probes, None):
            found[entry.session, probe] = {}
        for outcome in store.ledger.outcomes(entry.session_folder, entry.session):
            found.setdefault((outcome.session, outcome.probe), {})[outcome.stage] = outcome
    return found


def _clear_scratch(
    store: Store, entries: list[SessionEntry], outcomes: dict[tuple[str, str | None], dict[str, Outcome]]
) -> None:
    """Remove the traces of sessions that need them no more; a failed one is about to be tried again."""
    for entry in entries:
        stages = [stage for probe in entry.probes for stage in outcomes[entry.session, probe].values()]
        if all(stage.outcome != "failed" for stage in stages):
            for job in entry.jobs:
                remove(store.scratch.root / entry.session_folder / job.recording_name)


def outcome_table(finished: Finished, store: Store) -> Table:
    """One line a recording job: what it is, what came of it, and why."""
    table = Table(title="Outcome", title_justify="left")
    for column, justify in (
        ("session", "left"),
        ("probe", "left"),
        ("duration (s)", "right"),
        ("channels", "right"),
        ("units", "right"),
        ("passing", "right"),
        ("seconds", "right"),
        ("outcome", "left"),
    ):
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for entry in finished.entries:
        for job in entry.jobs:
            facts = summaries(store, entry, job.probe)
            table.add_row(
                entry.session,
                job.probe,
                _number(facts.get("recording", {}).get("duration_s")),
                _number(facts.get("recording", {}).get("channels")),
                _number(facts.get("analyzer", {}).get("units")),
                _number(facts.get("curated_units", {}).get("passing")),
                f"{finished.seconds[entry.session, job.probe]:.0f}",
                verdict(finished.outcomes[entry.session, job.probe]),
            )
        stages = finished.outcomes[entry.session, None]
        table.add_row(
            entry.session,
            "(nwb)",
            "",
            "",
            "",
            "",
            f"{finished.seconds[entry.session, None]:.0f}",
            verdict(stages),
        )
    for folder in finished.unreadable:
        table.add_row(escape(folder.folder), *[""] * 6, f"[red]not read[/]: {escape(folder.reason)}")
    return table


def summaries(store: Store, entry: SessionEntry, probe: str) -> dict[str, dict]:
    """Summaries of the outputs that a probe has now, by stage."""
    found = {}
    for outcome in store.ledger.outcomes(entry.session_folder, entry.session):
        if outcome.probe == probe and outcome.data_version is not None:
            manifest = store.results.read_manifest(STAGES[outcome.stage].ref(entry, entry.job(probe)))
            if manifest is not None and manifest.data_version == outcome.data_version:
                found[outcome.stage] = manifest.summary
    return found


def verdict(stages: dict[str, Outcome]) -> str:
    """How a recording job ended, in words: the first cause if not well."""
    for outcome, color in (("failed", "red"), ("skipped", "yellow")):
        causes = [
            stage
            for stage in stages.values()
            if stage.outcome == outcome
            and stage.because_of is None
            and (outcome == "failed" or not stage.data_version)
        ]
        if causes:
            first = min(causes, key=lambda stage: stage.at)
            return f"[{color}]{outcome}[/] at {first.stage}: {escape(first.reason)}"
    if not stages:
        return "[red]not run[/]"
    reused = sum(stage.reused for stage in stages.values())
    return "[green]ok[/]" + (f", {reused} of {len(stages)} outputs reused" if reused else "")


def _number(value: float | int | None) -> str:
    return "" if value is None else f"{value:g}"


def output_paths(finished: Finished, store: Store) -> list[tuple[str, Path]]:
    """What a person looks at first: NWB files and figures."""
    found = []
    for entry in finished.entries:
        for outcome in finished.outcomes[entry.session, None].values():
            if outcome.stage not in STAGES:
                continue  # a line of the discovery
            manifest = store.results.read_manifest(STAGES[outcome.stage].ref(entry, None))
            if manifest is not None and outcome.outcome == "ok":
                found.append(("NWB", store.results.root / entry.session_folder / manifest.path))
        figures = store.results.root / entry.session_folder / "visualization"
        if figures.is_dir():
            found.append(("figures", figures))
    return found
