"""A Dagster instance that knows that not every session has every probe, and that a skip is no failure.

``dagster.yaml`` names it as the class of the instance. It changes backfills, wherever they are asked for:

- Sessions and probes span a matrix in the UI, most of which may be empty. What is asked for of pairs that nobody has is
  left out before the backfill begins. It would start a run for each, wait for outputs that never come, and end badly.
- An output that a rule of the params left out is not waited for any more once its step has said so. The backfill goes
  on to what comes after it, and ends well if nothing else failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import dagster as dg
from dagster import AssetKey, AssetRecordsFilter, DagsterEventType
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.definitions.partitions.subset import DefaultPartitionsSubset, PartitionsSubset
from dagster._core.execution.asset_backfill import AssetBackfillData
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.instance.ref import InstanceRef
from dagster._serdes import ConfigurableClassData
from typing_extensions import override

from spikepipe_assets.partitions import SESSION_AND_PROBE, probe_key
from spikepipe_core.graph import STAGES

Left = Mapping[AssetKey, set[str]]
"""Partitions by asset."""

PER_PAIR = {AssetKey(name) for name, stage in STAGES.items() if stage.scope == "probe"}


class SparseInstance(dg.DagsterInstance):
    """See the module."""

    @classmethod
    def config_schema(cls) -> dict[str, dg.Field]:
        """Settings of its own in ``dagster.yaml``: none (Dagster asks)."""
        return {}

    @classmethod
    def config_defaults(cls, base_dir: str) -> Mapping[str, ConfigurableClassData | None]:
        """What holds where ``dagster.yaml`` says nothing: as in any instance (Dagster asks)."""
        return InstanceRef.config_defaults(base_dir)

    @override
    def add_backfill(self, partition_backfill: PartitionBackfill) -> None:
        """Add a backfill, without the pairs that nobody has.

        Raises
        ------
        DagsterInvalidInvocationError
            It asks for no others.
        """
        data = partition_backfill.asset_backfill_data
        if data is not None and (absent := _absent(self, data)):
            rest = _without(self, data, absent)
            if rest.target_subset.is_empty:
                one = sorted(next(iter(absent.values())))[0]
                raise dg.DagsterInvalidInvocationError(
                    f"none of the chosen pairs of session and probe exists, such as {one}: `spikepipe status` lists "
                    "those that do"
                )
            partition_backfill = partition_backfill._replace(asset_backfill_data=rest)
        super().add_backfill(partition_backfill)

    @override
    def update_backfill(self, partition_backfill: PartitionBackfill) -> None:
        """Keep how far a backfill is, without what was skipped in it."""
        super().update_backfill(_not_waiting_for_skipped(self, partition_backfill))


def _absent(instance: dg.DagsterInstance, data: AssetBackfillData) -> Left:
    """Partitions that a backfill asks for and no session has."""
    asked = {key: keys for key, keys in _partitions(instance, data.target_subset).items() if key in PER_PAIR}
    if not asked:
        return {}
    pairs = (pair.rsplit("/", 1) for pair in instance.get_dynamic_partitions(SESSION_AND_PROBE))
    registered = {str(probe_key(session, probe)) for session, probe in pairs}
    found = {key: keys - registered for key, keys in asked.items()}
    return {key: keys for key, keys in found.items() if keys}


def _not_waiting_for_skipped(instance: dg.DagsterInstance, backfill: PartitionBackfill) -> PartitionBackfill:
    """The same backfill without the partitions that were skipped since it began; what is then left goes on."""
    data = backfill.asset_backfill_data
    going = backfill.status is BulkActionStatus.REQUESTED
    if data is None or not (going or backfill.status is BulkActionStatus.COMPLETED_FAILED):
        return backfill
    before = instance.get_backfill(backfill.backfill_id)
    if not going and (before is None or before.asset_backfill_data is None):
        return backfill
    skipped = _skipped(instance, data)
    if not skipped:
        return backfill
    if not going:
        # It was given up because nothing came any more. Nothing has failed by that: let it look again.
        assert before is not None and before.asset_backfill_data is not None
        data = data.with_failed_and_downstream_subset(before.asset_backfill_data.failed_and_downstream_subset)
        backfill = backfill.with_status(BulkActionStatus.REQUESTED)._replace(backfill_end_timestamp=None)
    return backfill._replace(asset_backfill_data=_without(instance, data, skipped))


def _skipped(instance: dg.DagsterInstance, data: AssetBackfillData) -> Left:
    """Partitions that a backfill waits for, and whose step has said since that they are left out."""
    found = {}
    for key, partitions in _partitions(instance, data.target_subset - data.materialized_subset).items():
        told = instance.get_latest_storage_id_by_partition(key, DagsterEventType.ASSET_OBSERVATION)
        if candidates := partitions.intersection(told):
            found[key] = set(_told_as_skipped(instance, key, candidates, data.backfill_start_timestamp))
    return {key: keys for key, keys in found.items() if keys}


def _told_as_skipped(
    instance: dg.DagsterInstance, key: AssetKey, partitions: Iterable[str], since: float
) -> Iterable[str]:
    wanted = AssetRecordsFilter(key, asset_partitions=sorted(partitions), after_timestamp=since)
    cursor, more = None, True
    while more:
        page = instance.fetch_observations(wanted, limit=1000, cursor=cursor)
        cursor, more = page.cursor, page.has_more
        for record in page.records:
            observation = record.asset_observation
            if observation and observation.partition and _says_skipped(observation):
                yield str(observation.partition)


def _says_skipped(observation: dg.AssetObservation) -> bool:
    outcome = observation.metadata.get("outcome")
    return outcome is not None and outcome.value == "skipped"


def _partitions(instance: dg.DagsterInstance, subset: AssetGraphSubset) -> dict[AssetKey, set[str]]:
    """All partitions by asset; those of assets that have the same ones are listed once, which takes the time."""
    known: list[tuple[PartitionsSubset, set[str]]] = []

    def listed(partitions: PartitionsSubset) -> set[str]:
        for other, keys in known:
            if partitions == other:
                return keys
        known.append((partitions, {str(key) for key in partitions.get_partition_keys()}))
        return known[-1][1]

    with partition_loading_context(dynamic_partitions_store=instance):
        return {key: listed(partitions) for key, partitions in subset.partitions_subsets_by_asset_key.items()}


def _without(instance: dg.DagsterInstance, data: AssetBackfillData, left: Left) -> AssetBackfillData:
    """What is left to be made, or is waited for, without some partitions."""
    target, requested = (
        _less(instance, subset, left) for subset in (data.target_subset, data.requested_subset)
    )
    return data._replace(target_subset=target, requested_subset=requested)


def _less(instance: dg.DagsterInstance, subset: AssetGraphSubset, left: Left) -> AssetGraphSubset:
    found = dict(subset.partitions_subsets_by_asset_key)
    for key, keys in _partitions(instance, subset).items():
        if key in left:
            found[key] = DefaultPartitionsSubset(keys - left[key])
    some = {key: partitions for key, partitions in found.items() if not partitions.is_empty}
    return AssetGraphSubset(some, subset.non_partitioned_asset_keys)  # type: ignore[call-arg]
