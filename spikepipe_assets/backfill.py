"""Which outputs a backfill asks for, and how it is asked: by Dagster's daemon, or here and now.

Only registered pairs of session and probe are ever asked for. Dagster's own "all partitions" would also ask for
the pairs that nobody has.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.utils import make_new_backfill_id

from spikepipe_assets.jobs import BACKFILL_PRIORITY, PRIORITY_TAG
from spikepipe_assets.partitions import (
    PROBE,
    SESSION,
    SESSION_AND_PROBE,
    SESSION_PROBE,
    SESSIONS,
    pair,
    probe_key,
)
from spikepipe_core.errors import ParamsError
from spikepipe_core.overview import Stale
from spikepipe_core.params import Params
from spikepipe_core.stages.stage import Stage
from spikepipe_core.summary import JobSummary, SessionSummary

Job = tuple[str, str | None]
"""Session and probe; None for the outputs of the whole session."""

LIVING_S = 120.0
"""A daemon that gave no sign for longer is taken to be gone: it gives one at least every 30 s (Dagster)."""


@dataclass(frozen=True)
class Plan:
    """What is to be made.

    Attributes
    ----------
    wanted : dict of (str, str or None) to tuple of str
        Recording job (or session) to the outputs, in the order of the graph.
    out_of_reach : dict of str to int
        With `failed_only`: stages that were not selected, and how many jobs failed at them, and would again.
    """

    wanted: Mapping[Job, tuple[str, ...]]
    out_of_reach: Mapping[str, int]

    def by_outputs(self) -> dict[tuple[str, ...], list[Job]]:
        """The same jobs by what is to be made of them."""
        found: dict[tuple[str, ...], list[Job]] = {}
        for job, outputs in self.wanted.items():
            found.setdefault(outputs, []).append(job)
        return found


def select_assets(selection: str, stages: Mapping[str, Stage], params: Params) -> list[str]:
    """Names of the outputs that a selection stands for, in the order of the graph.

    Parameters
    ----------
    selection : str
        Names with commas between them: ``analyzer``, ``analyzer+`` (with all that is made from it), ``+analyzer`` (with
        all that it is made from), ``*``.

    Raises
    ------
    ParamsError
        A name that no output has.
    """
    chosen: set[str] = set()
    for term in filter(None, (part.strip() for part in selection.split(","))):
        name = term.strip("+*") or "*"
        if name == "*":
            chosen |= stages.keys()
            continue
        if name not in stages:
            raise ParamsError(f"there is no output {name!r}; there are: {', '.join(stages)}")
        chosen.add(name)
        if term.endswith(("+", "*")):
            chosen |= below(name, stages, params)
        if term.startswith(("+", "*")):
            chosen |= {other for other in stages if name in below(other, stages, params)}
    return [name for name in stages if name in chosen]


def below(name: str, stages: Mapping[str, Stage], params: Params) -> set[str]:
    """Names of all stages that are made from another one's output, directly or not."""
    found = {name}
    for stage in stages.values():  # in order: inputs first
        if found.intersection(stage.inputs(params)):
            found.add(stage.name)
    return found - {name}


def matching(sessions: Iterable[SessionSummary], patterns: Sequence[str]) -> list[SessionSummary]:
    """The sessions whose key matches any of the patterns (``*`` and ``?``); all if there are none."""
    return [
        session
        for session in sessions
        if not patterns or any(fnmatchcase(session.session, pattern) for pattern in patterns)
    ]


def plan(
    sessions: Iterable[SessionSummary],
    assets: Collection[str],
    stages: Mapping[str, Stage],
    params: Params,
    *,
    failed_only: bool = False,
    stale: Collection[Stale] | None = None,
) -> Plan:
    """What a backfill makes.

    Parameters
    ----------
    assets : collection of str
        The selected outputs.
    failed_only : bool
        Only outputs whose last attempt failed; what is good stays.
    stale : collection of Stale, optional
        Only these outputs, and those selected that are made from them.
    """
    out_of_date: dict[Job, set[str]] = {}
    for one in stale or ():
        out_of_date.setdefault((one.session, one.probe), set()).add(one.stage)
    under = {name: below(name, stages, params) for name in stages}
    of_scope = {
        scope: [name for name, stage in stages.items() if name in assets and stage.scope == scope]
        for scope in ("probe", "session")
    }
    wanted: dict[Job, tuple[str, ...]] = {}
    out_of_reach: dict[str, int] = {}
    for session in sessions:
        remade: set[str] = set()
        for job in session.all:
            names = of_scope["probe" if job.probe else "session"]
            if failed_only or stale is not None:
                chosen = {name for name in names if failed_only and job.outcomes.get(name) == "failed"}
                chosen |= out_of_date.get((job.session, job.probe), set()).intersection(names)
                if failed_only and (blocker := _blocker(job, assets)):
                    out_of_reach[blocker] = out_of_reach.get(blocker, 0) + 1
                    chosen -= under[blocker]
                chosen |= {name for cause in (chosen if job.probe else remade) for name in under[cause]}
                names = [name for name in names if name in chosen]
            if names:
                wanted[job.session, job.probe] = tuple(names)
                remade.update(names)
    return Plan(wanted, out_of_reach)


def _blocker(job: JobSummary, assets: Collection[str]) -> str | None:
    """The stage at which a job failed, if it is not among those to be made again."""
    told = job.told
    if job.probe is None or told is None or told.outcome != "failed" or told.stage in assets:
        return None
    return told.stage


# --- asked of Dagster --------------------------------------------------------------------------------------------


def request_backfill(instance: dg.DagsterInstance, chosen: Plan, title: str) -> str:
    """Ask the daemon for a backfill of exactly what was planned.

    Returns
    -------
    str
        The backfill's id.
    """
    register_missing(instance, chosen.wanted)
    keys: dict[str, set[str]] = {}
    of_session: set[str] = set()
    for (session, probe), outputs in chosen.wanted.items():
        partition = str(probe_key(session, probe)) if probe else session
        for output in outputs:
            keys.setdefault(output, set()).add(partition)
        of_session.update(() if probe else outputs)
    subsets = {
        dg.AssetKey(output): (SESSIONS if output in of_session else SESSION_PROBE)
        .empty_subset()
        .with_partition_keys(partitions)
        for output, partitions in keys.items()
    }
    backfill = PartitionBackfill.from_asset_graph_subset(
        backfill_id=make_new_backfill_id(),
        backfill_timestamp=time.time(),
        tags={PRIORITY_TAG: str(BACKFILL_PRIORITY)},
        dynamic_partitions_store=instance,
        asset_graph_subset=AssetGraphSubset(subsets, set()),  # type: ignore[call-arg]
        title=re.sub(r'[%*"]', "…", title),  # which Dagster refuses in a title
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    return backfill.backfill_id


def register_missing(instance: dg.DagsterInstance, jobs: Iterable[Job]) -> None:
    """Add partitions of registered jobs that this instance does not know yet, as after results were moved to it."""
    jobs = list(jobs)
    for name, keys in (
        (SESSION_AND_PROBE, {pair(session, probe) for session, probe in jobs if probe}),
        (PROBE, {probe for _, probe in jobs if probe}),
        (SESSION, {session for session, _ in jobs}),
    ):
        if new := sorted(keys.difference(instance.get_dynamic_partitions(name))):
            instance.add_dynamic_partitions(name, new)


def daemon_lives(instance: dg.DagsterInstance) -> bool:
    """Whether a daemon that does backfills gave a sign of life lately."""
    heartbeats = instance.get_daemon_heartbeats()
    return any(
        kind == "BACKFILL" and time.time() - heartbeat.timestamp < LIVING_S
        for kind, heartbeat in heartbeats.items()
    )
