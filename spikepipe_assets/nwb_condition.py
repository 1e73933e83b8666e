"""When the output of a session is made by itself: once all its probes have an outcome, and when one gets another.

The condition looks at how things are, not at what has just happened: it is right at its first tick on an old
instance, after the daemon was down, and when a probe is made again while the file is being written.

A tick takes two queries an input, whatever the number of sessions. Only sessions of which an input is newer than the
file are looked at more closely, in the ledger and the manifests; `spikepipe_core.staleness` decides.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import dagster as dg
from dagster import AutomationCondition, DagsterEventType, RunsFilter
from dagster._core.storage.tags import PARTITION_NAME_TAG
from dagster._record import record

from spikepipe_assets.deployment import Deployment
from spikepipe_assets.partitions import SESSION_AND_PROBE, probe_key
from spikepipe_core.graph import STAGES
from spikepipe_core.stages.stage import Stage, Work
from spikepipe_core.staleness import is_due, settled_at
from spikepipe_core.store import Store

BUDGET_S = 20.0
"""Seconds of a tick in which sessions are looked at more closely; the rest waits for the next tick (ours)."""


@record
class AllProbesSettled(AutomationCondition):
    """Sessions of which every registered probe has an outcome, and whose file is not what these make."""

    stage: str
    deployment: str

    @property
    def name(self) -> str:
        """Shown in the UI."""
        return "all_probes_settled"

    @property
    def description(self) -> str:
        """Shown in the UI."""
        return "Every registered probe has an outcome (ok or skipped), and one of them is newer than the file"

    @property
    def requires_cursor(self) -> bool:
        """The cursor holds sessions whose newest input changes nothing, so that they are not looked at again."""
        return True

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """Which sessions are to be made."""
        view = context.asset_graph_view
        deployment = Deployment.model_validate_json(self.deployment)
        judge = _Judge(view.instance, deployment, STAGES[self.stage])
        asked = context.candidate_subset.expensively_compute_partition_keys()
        unneeded: dict[str, int] = json.loads(context.cursor or "{}")
        due, unneeded = judge.due(asked, unneeded)
        assert context.partitions_def is not None, "an output of the session has one partition a session"
        subset = view.get_subset_from_partition_keys(context.key, context.partitions_def, due)
        return dg.AutomationResult(context, subset, cursor=json.dumps(unneeded))


class _Judge:
    """Which sessions are due, by the instance's events first and the store then."""

    def __init__(self, instance: dg.DagsterInstance, deployment: Deployment, stage: Stage):
        self._instance, self._deployment, self._stage = instance, deployment, stage
        self._store: Store = deployment.store()
        params = deployment.effective_params()
        self._inputs = stage.inputs(params)
        self._partial = params.nwb.allow_partial

    def due(self, asked: Iterable[str], unneeded: Mapping[str, int]) -> tuple[set[str], dict[str, int]]:
        """Sessions to be made, and those to leave alone until an input newer than the one given appears."""
        asked, due, remembered = set(asked), set(), {}
        deadline = time.monotonic() + BUDGET_S
        for session, newest in self._with_news():
            if session not in asked:
                continue
            if unneeded.get(session) == newest:
                remembered[session] = newest
            elif time.monotonic() < deadline:
                work = self._work(session)
                if work is None or self._store.is_claimed(work.entry.session_folder):
                    continue
                if not is_due(self._stage, work):
                    remembered |= {session: newest} if settled_at(self._stage, work) else {}
                elif not self._is_seen_to(work):
                    due.add(session)
        return due, remembered

    def _with_news(self) -> Iterator[tuple[str, int]]:
        """Sessions of which all probes have an outcome, one of them newer than the file's; with the newest."""
        own, inputs = self._latest(self._stage.name), [self._latest(name) for name in self._inputs]
        for session, probes in self._pairs().items():
            newest = self._newest(session, probes, inputs)
            if newest is not None and newest > own.get(session, -1):
                yield session, newest

    def _newest(self, session: str, probes: Iterable[str], inputs: list[dict[str, int]]) -> int | None:
        """Number of the newest outcome of a session's probes; None as long as one of them has none."""
        newest = None
        for key in (probe_key(session, probe) for probe in probes):
            for latest in inputs:
                number = latest.get(key)
                if number is not None:
                    newest = max(number, newest or 0)
                elif not self._partial:
                    return None
        return newest

    def _latest(self, asset: str) -> dict[str, int]:
        """Number of the latest outcome of each partition: a materialization, or an observation where skipped."""
        latest: dict[str, int] = {}
        for kind in (DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_OBSERVATION):
            numbers = self._instance.get_latest_storage_id_by_partition(dg.AssetKey(asset), kind)
            for partition, number in numbers.items():
                latest[partition] = max(number, latest.get(partition, -1))
        return latest

    def _pairs(self) -> dict[str, list[str]]:
        """The registered probes, by session."""
        pairs: dict[str, list[str]] = defaultdict(list)
        for name in self._instance.get_dynamic_partitions(SESSION_AND_PROBE):
            session, probe = name.rsplit("/", 1)
            pairs[session].append(probe)
        return pairs

    def _work(self, session: str) -> Work | None:
        entry = self._store.registry.find(session)
        if entry is None:
            return None
        return Work(self._store, entry, None, self._deployment.usable_params(entry), STAGES)

    def _is_seen_to(self, work: Work) -> bool:
        """Whether a run for it waits or is under way, or one that knew these inputs has failed and would fail again.

        Dagster's `in_progress` misses a run of which it has not noted yet what it makes; if the daemon is killed just
        after it has created the run, that is until the run starts.
        """
        records = self._instance.get_run_records(
            RunsFilter(tags={PARTITION_NAME_TAG: work.entry.session}), limit=1
        )
        if not records:
            return False
        if not records[0].dagster_run.is_finished:
            return True
        settled = settled_at(self._stage, work)
        failed = not records[0].dagster_run.is_success
        return failed and settled is not None and records[0].create_timestamp > settled


def session_condition(stage: Stage, deployment: Deployment) -> AutomationCondition:
    """The condition of a session's output; nothing is asked for while a run is at it or at its inputs."""
    settled = AllProbesSettled(stage=stage.name, deployment=deployment.model_dump_json())
    busy = AutomationCondition.in_progress() | AutomationCondition.any_deps_in_progress()
    return (settled & ~busy).with_label(f"{stage.name}_is_due")
