"""The assets' common pattern: a stage of `spikepipe_core` as a partitioned Dagster asset.

The asset finds the recording job of its partition, works out the params that apply, asks the core to produce the
output, and says what came of it in metadata that a person would look at.
"""

import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import dagster as dg

from spikepipe_assets.config import config_field, launchpad_overrides
from spikepipe_assets.deployment import Deployment
from spikepipe_assets.metadata import describe
from spikepipe_assets.partitions import ALL_PROBES, SESSION_PROBE, SESSIONS
from spikepipe_assets.resources import StoreResource
from spikepipe_core.errors import OutputBusyError, SpikepipeError
from spikepipe_core.graph import STAGES
from spikepipe_core.produce import Context, Produced, produce
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
                skippable=True,
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(name=check, asset=stage.name, description=meaning, partitions_def=partitions)
            for check, meaning in stage.checks.items()
        ],
        # Only so may a skipped recording leave out its checks too; there is one asset, and nothing to choose from.
        can_subset=True,
        config_schema=cast(dg.Shape, config_field(type(section), default=section).config_type).fields,
        retry_policy=RETRY,
        pool=look.pool,
        required_resource_keys={"store"},
    )
    def asset(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        yield from _materialize(context, stage)

    return asset


def _section(params: Any, dotted: str) -> Any:
    for name in dotted.split("."):
        params = getattr(params, name)
    return params


def _dependency(name: str, of_probe: bool) -> dg.AssetDep:
    return dg.AssetDep(name) if of_probe else dg.AssetDep(name, partition_mapping=ALL_PROBES)


def _materialize(context: dg.AssetExecutionContext, stage: Stage) -> Iterator[dg.MaterializeResult]:
    resource: StoreResource = context.resources.store
    deployment, store = resource.open()
    found = _find(context, stage, store)
    if found is None:
        return
    entry, probe = found
    try:
        work = Work(
            store=store,
            entry=entry,
            job=entry.job(probe) if probe else None,
            params=deployment.effective_params(entry, _typed(context, stage, deployment)),
            stages=STAGES,
            n_jobs=deployment.processes,
            say=context.log.info,
        )
        produced = produce(stage, work, recompute=_recompute(context), context=_who(context))
        result = None if produced.manifest is None else _result(produced, stage, store, work)
    except OutputBusyError:
        raise  # worth another try
    except SpikepipeError as error:
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
        return
    yield result


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


def _is_infrastructure(error: BaseException) -> bool:
    """Whether the machine is to blame: disks, networks, memory (that of a GPU too)."""
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, OSError | MemoryError) or "out of memory" in str(chain).lower():
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
        check_results=[
            dg.AssetCheckResult(
                check_name=name,
                passed=check["passed"],
                severity=dg.AssetCheckSeverity.WARN,
                description=check["description"],
                metadata=_numbers(check.get("numbers", {})),
            )
            for name, check in _checks(manifest.summary, stage).items()
        ],
    )


def _checks(summary: Mapping[str, Any], stage: Stage) -> dict[str, Any]:
    """Results of the stage's checks; one that was not evaluated passes and says so."""
    made = summary.get("checks", {})
    return {
        name: made.get(name, {"passed": True, "description": "not evaluated: nothing was made"})
        for name in stage.checks
    }


def _numbers(numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in numbers.items() if value is not None}
