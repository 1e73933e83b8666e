"""The assets' common pattern: a stage of `spikepipe_core` as a partitioned Dagster asset.

The asset finds the recording job of its partition, works out the params that apply, asks the core to produce the
output, and says what came of it in metadata that a person would look at.
"""

import traceback
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, cast

import dagster as dg

from spikepipe_assets.checks import check_results, check_specs
from spikepipe_assets.config import config_field, launchpad_overrides
from spikepipe_assets.deployment import Deployment
from spikepipe_assets.gpus import one_gpu
from spikepipe_assets.instance import GPU_POOL
from spikepipe_assets.jobs import PRIORITY_TAG
from spikepipe_assets.metadata import describe
from spikepipe_assets.nwb_condition import session_condition
from spikepipe_assets.partitions import ALL_PROBES, SESSION_PROBE, SESSIONS
from spikepipe_assets.resources import StoreResource
from spikepipe_assets.step_process import children_end_with_it
from spikepipe_core.errors import OutputBusyError, ParamsError, SpikepipeError, StageFailedError
from spikepipe_core.graph import STAGES
from spikepipe_core.params import Params
from spikepipe_core.produce import Context, Produced, below, descendants, produce, record_lost
from spikepipe_core.stages.stage import Stage, Work
from spikepipe_core.store import SessionEntry, Store, digest

OWNERS = ["team:spikepipe"]
RECOMPUTE_TAG = "spikepipe/recompute"
"""A run with this tag set to "true" makes its outputs again even if they are up to date."""

RETRY = dg.RetryPolicy(max_retries=2, delay=20, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For infrastructure only: what is wrong with the data or the params is raised as a `Failure` that forbids it."""


@dataclass(frozen=True)
class Look:
    """How an asset presents itself in the UI."""

    description: str
    group: str
    kinds: tuple[str, ...]
    pool: str | None = None


def stage_asset(stage: Stage, look: Look, deployment: Deployment) -> dg.AssetsDefinition:
    """The asset of a stage.

    Parameters
    ----------
    stage : Stage
        Decides name, inputs and params section.
    look : Look
    deployment : Deployment
        Its params give the launchpad's defaults, the edges of the graph and the code version.
    """
    params = deployment.effective_params()
    section = _section(params, stage.section)
    of_probe = stage.scope == "probe"
    partitions = SESSION_PROBE if of_probe else SESSIONS

    @dg.multi_asset(
        name=stage.name,
        specs=[
            dg.AssetSpec(
                stage.name,
                partitions_def=partitions,
                deps=[_dependency(name, of_probe) for name in stage.inputs(params)],
                description=look.description,
                group_name=look.group,
                kinds=set(look.kinds),
                owners=OWNERS,
                code_version=f"{stage.version}-{digest(stage.settings(params))[:8]}",
                automation_condition=None if of_probe else session_condition(stage, deployment),
                skippable=True,
            )
        ],
        check_specs=check_specs(stage, partitions),
        # Only so may a skipped recording leave out its checks too; there is one asset, and nothing to choose from.
        can_subset=True,
        config_schema=cast(dg.Shape, config_field(type(section), default=section).config_type).fields,
        retry_policy=RETRY,
        pool=look.pool,
        # The longer the way that is left, the sooner: sorting before motion, everything before figures.
        op_tags={PRIORITY_TAG: str(len(below(stage.name, STAGES, params)))},
        required_resource_keys={"store"},
    )
    def asset(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        yield from _materialize(context, stage, look)

    return asset


def _section(params: Any, dotted: str) -> Any:
    for name in dotted.split("."):
        params = getattr(params, name)
    return params


def _dependency(name: str, of_probe: bool) -> dg.AssetDep:
    return dg.AssetDep(name) if of_probe else dg.AssetDep(name, partition_mapping=ALL_PROBES)


def _materialize(
    context: dg.AssetExecutionContext, stage: Stage, look: Look
) -> Iterator[dg.MaterializeResult]:
    resource: StoreResource = context.resources.store
    deployment, store = resource.open()
    found = _find(context, stage, store)
    if found is None:
        return
    entry, probe = found
    try:
        work = _work(context, stage, deployment, store, entry, probe)
        with children_end_with_it(), one_gpu(work.params) if look.pool == GPU_POOL else nullcontext():
            produced = produce(stage, work, recompute=_recompute(context), context=_who(context))
        result = None if produced.manifest is None else _result(produced, stage, store, work)
    except OutputBusyError:
        raise  # worth another try
    except SpikepipeError as error:
        if isinstance(error, StageFailedError) and _is_infrastructure(error):
            raise  # a sorter that says that memory or disk ran out
        raise dg.Failure(
            str(error), metadata={"kind of failure": type(error).__name__}, allow_retries=False
        ) from error
    except Exception as error:
        if _is_infrastructure(error):
            raise
        raise dg.Failure(
            f"{type(error).__name__}: {error}",
            metadata={"traceback": dg.MetadataValue.md(f"```\n{traceback.format_exc()}\n```")},
            allow_retries=False,
        ) from error
    if result is None:
        context.log.warning(f"skipped: {produced.outcome.reason}")
        _observe_skip(context, produced, work)
        return
    yield result


def _work(
    context: dg.AssetExecutionContext,
    stage: Stage,
    deployment: Deployment,
    store: Store,
    entry: SessionEntry,
    probe: str | None,
) -> Work:
    """What is to be made, with the params that apply; where they are wrong, the ledger gets a line."""

    def with_params(params: Params) -> Work:
        return Work(
            store=store,
            entry=entry,
            job=entry.job(probe) if probe else None,
            params=params,
            stages=STAGES,
            n_jobs=deployment.processes,
            say=context.log.info,
        )

    try:
        return with_params(deployment.effective_params(entry, _typed(context, stage, deployment)))
    except ParamsError as error:
        record_lost(stage, with_params(deployment.usable_params(entry)), str(error), _who(context))
        raise


def _observe_skip(context: dg.AssetExecutionContext, produced: Produced, work: Work) -> None:
    """Show the skip on the asset, and on those below it, whose steps Dagster leaves out.

    Without a materialization it would otherwise be seen in the log of this run only.
    """
    stage, reason = produced.outcome.stage, produced.outcome.reason
    left_out = descendants(stage, work) if work.job else []
    for name in (stage, *left_out):
        because = reason if name == stage else f"{stage} was skipped: {reason}"
        metadata = {"outcome": "skipped", "reason": because}
        context.log_event(dg.AssetObservation(name, partition=str(context.partition_key), metadata=metadata))


def _find(
    context: dg.AssetExecutionContext, stage: Stage, store: Store
) -> tuple[SessionEntry, str | None] | None:
    """The registered session and probe of this partition; None, and a word about it, if there is none."""
    if stage.scope == "session":
        session, probe = context.partition_key, None
    else:
        keys = context.partition_key.keys_by_dimension  # type: ignore[attr-defined]
        session, probe = keys["session"], keys["probe"]
    entry = store.registry.find(session)
    if entry is None:
        context.log.warning(
            f"no session {session!r} is registered under {store.results.root}: run `spikepipe run` on its data"
        )
        return None
    if probe is not None and entry.job(probe) is None:
        context.log.warning(
            f"session {session!r} has no probe {probe!r}; it has {', '.join(entry.probes)}. Nothing is made."
        )
        return None
    return entry, probe


def _typed(context: dg.AssetExecutionContext, stage: Stage, deployment: Deployment) -> dict[str, Any]:
    """What a person typed into the launchpad for this asset, as a partial params file."""
    op = context.op_execution_context
    shown = _section(deployment.effective_params(), stage.section).model_dump(mode="json")
    values = launchpad_overrides(op.op_config, context.run.run_config, op.op_def.name, shown)
    for name in reversed(stage.section.split(".") if values else ()):
        values = {name: values}
    return values


def _recompute(context: dg.AssetExecutionContext) -> bool:
    return context.run.tags.get(RECOMPUTE_TAG) == "true"


def _who(context: dg.AssetExecutionContext) -> Context:
    return Context(
        run_id=context.run_id, log=f"run {context.run_id}, step {context.op_execution_context.op_def.name}"
    )


MACHINE = (OSError, MemoryError, BrokenExecutor)
"""What disks, networks and memory raise; the last is a pool of which a worker was killed."""

MACHINE_WORDS = ("out of memory", "no space left on device", "MemoryError", "BrokenProcessPool")
"""The same, in the text of a sorter that ran as a program of its own, or of PyTorch."""


def _is_infrastructure(error: BaseException) -> bool:
    """Whether the machine is to blame for an error, or for what caused it."""
    chain: BaseException | None = error
    while chain is not None:
        text = str(chain).lower()
        if isinstance(chain, MACHINE) or any(words.lower() in text for words in MACHINE_WORDS):
            return True
        chain = chain.__cause__
    return False


def _result(produced: Produced, stage: Stage, store: Store, work: Work) -> dg.MaterializeResult:
    manifest = produced.manifest
    assert manifest is not None, "a skipped output has no result"
    return dg.MaterializeResult(
        asset_key=stage.name,
        metadata=describe(produced, store.results.path(work.ref(stage.name))),
        data_version=dg.DataVersion(manifest.data_version),
        check_results=check_results(stage, manifest),
    )
