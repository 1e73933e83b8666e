"""A code location for the tests of backfills: three assets with the partitions of ours, and a pair that is skipped."""

import dagster as dg

from spikepipe_assets.partitions import ALL_PROBES, SESSION_PROBE, SESSIONS

SKIPPED, FAILING = ("imec1|b", "imec1|s"), "imec1|c"


@dg.asset(partitions_def=SESSION_PROBE)
def recording(context: dg.AssetExecutionContext):
    if str(context.partition_key) == FAILING:
        raise dg.Failure("bad data", allow_retries=False)


@dg.asset(partitions_def=SESSION_PROBE, deps=[recording], output_required=False)
def curated_units(context: dg.AssetExecutionContext):
    partition = str(context.partition_key)
    if partition in SKIPPED:
        metadata = {"outcome": "skipped", "reason": "too short"}
        context.log_event(dg.AssetObservation("curated_units", partition=partition, metadata=metadata))
        return
    yield dg.Output(None)


@dg.asset(partitions_def=SESSIONS, deps=[dg.AssetDep(curated_units, partition_mapping=ALL_PROBES)])
def nwb():
    return None


defs = dg.Definitions(assets=[recording, curated_units, nwb], executor=dg.in_process_executor)
