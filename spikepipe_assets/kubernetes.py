"""Pods of the steps on a cluster: sized for each recording, a GPU for sorting, more memory after a kill for it.

Dagster takes a step's pod from tags that are the same for every partition. `SizedStepHandler` adds to them what this
recording and this attempt need, wherever the run was launched from: the UI, a sensor or a backfill.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.executor_definition import multiple_process_executor_requirements
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.init import InitExecutorContext
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepDelegatingExecutor,
    StepHandlerContext,
)
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.executor import K8sStepHandler
from dagster_k8s.job import UserDefinedDagsterK8sConfig
from kubernetes.config.incluster_config import SERVICE_TOKEN_FILENAME
from pydantic import BaseModel, ConfigDict, Field

from spikepipe_assets.deployment import Deployment
from spikepipe_assets.partitions import partition_of
from spikepipe_core.ingest import RecordingJob
from spikepipe_core.params import Params
from spikepipe_core.sizing import memory_gib, uses_gpu

SETTINGS_VARIABLE = "SPIKEPIPE_CLUSTER"
"""Names the file with the `Cluster`; where it is set, steps run as pods."""

NO_TOKEN = Path(__file__).with_name("no_token.kubeconfig")


class Gpu(BaseModel):
    """How a pod asks for a GPU."""

    model_config = ConfigDict(extra="forbid")

    resource: str = Field("nvidia.com/gpu", description="Name of the extended resource.")
    node_selector: dict[str, str] = Field({}, description="Labels of the nodes that have one.")
    tolerations: list[dict[str, Any]] = Field([], description="Taints of those nodes that the pod tolerates.")


class Secret(BaseModel):
    """A key of a secret that exists in the cluster."""

    model_config = ConfigDict(extra="forbid")

    name: str
    key: str


class Cluster(BaseModel):
    """What a cluster offers to steps."""

    model_config = ConfigDict(extra="forbid")

    cores: int = Field(4, ge=1, description="Cores of a step's pod; also its number of workers.")
    max_memory_gi: float = Field(128, gt=0, description="No pod asks for more GiB than this.")
    max_runtime_s: int = Field(172_800, ge=1, description="A pod that runs for longer is ended.")
    gpu: Gpu | None = Field(None, description="None: the cluster has no GPUs, sorting runs on the CPU.")
    priority_class: str | None = Field(None, description="Priority class of sorting pods.")
    service_account: str | None = Field(None, description="Service account of the steps' pods.")
    model_token: Secret | None = Field(
        None, description="Hugging Face token, for the step that loads models."
    )
    volumes: list[dict[str, Any]] = Field([], description="Volumes of the steps' pods beyond the run's own.")
    volume_mounts: list[dict[str, Any]] = Field([], description="Where they are mounted.")
    overrides: dict[str, dict[str, Any]] = Field(
        {}, description="By step, raw `dagster-k8s/config`, merged over all the rest."
    )

    @classmethod
    def from_environment(cls) -> Cluster | None:
        """The cluster that this process is part of; None on a machine of its own."""
        path = os.environ.get(SETTINGS_VARIABLE)
        return cls.model_validate_json(Path(path).read_bytes()) if path else None


class RunLauncher(K8sRunLauncher):
    """Dagster's launcher, which can be made in pods without a token for the cluster's API too.

    Dagster makes the launcher wherever it opens an instance whose runs can be resumed: in steps and in the code server
    too, which launch nothing and are better off without a token.
    """

    def __init__(
        self, *, load_incluster_config: bool = True, kubeconfig_file: str | None = None, **settings: Any
    ):
        if load_incluster_config and not Path(SERVICE_TOKEN_FILENAME).exists():
            load_incluster_config, kubeconfig_file = False, str(NO_TOKEN)
        super().__init__(
            load_incluster_config=load_incluster_config, kubeconfig_file=kubeconfig_file, **settings
        )


def pod(
    stage: str, job: RecordingJob | None, params: Params, cluster: Cluster, *, growth: int = 0
) -> dict[str, Any]:
    """What a step's pod asks for, as Dagster's tag ``dagster-k8s/config`` takes it.

    Parameters
    ----------
    stage : str
    job : RecordingJob or None
        None for a stage of the whole session, or if the pair is not registered.
    params : Params
    cluster : Cluster
    growth : int
        How often a pod of this step was killed for its memory; the next one gets twice as much each time.
    """
    memory = min(memory_gib(stage, job, params, cluster.cores) * 2**growth, cluster.max_memory_gi)
    resources = {
        "requests": {"cpu": str(cluster.cores), "memory": _mebibytes(memory)},
        "limits": {"cpu": str(cluster.cores), "memory": _mebibytes(memory)},
    }
    container: dict[str, Any] = {"resources": resources, "volume_mounts": cluster.volume_mounts}
    spec: dict[str, Any] = {"volumes": cluster.volumes, "automount_service_account_token": False}
    if cluster.service_account:
        spec["service_account_name"] = cluster.service_account
    if cluster.gpu and uses_gpu(stage, params):
        resources["limits"][cluster.gpu.resource] = "1"
        spec |= {"node_selector": cluster.gpu.node_selector, "tolerations": cluster.gpu.tolerations}
    if stage == "sorting" and cluster.priority_class:
        spec["priority_class_name"] = cluster.priority_class
    if stage == "curated_units" and cluster.model_token:
        token = {"name": cluster.model_token.name, "key": cluster.model_token.key}
        container["env"] = [{"name": "HF_TOKEN", "value_from": {"secret_key_ref": token}}]
    return {
        "container_config": container,
        "pod_spec_config": spec,
        "pod_template_spec_metadata": {"labels": {"app.kubernetes.io/component": "step"}},
        "job_spec_config": {"active_deadline_seconds": cluster.max_runtime_s},
    }


def _mebibytes(gib: float) -> str:
    return f"{round(gib * 1024)}Mi"


class SizedStepHandler(K8sStepHandler):
    """Launches a step in a pod that fits its recording; after an out-of-memory kill, in one with twice the memory."""

    def __init__(self, cluster: Cluster, **keywords: Any):
        super().__init__(**keywords)
        self._cluster = cluster
        self._killed_for_memory: dict[str, set[str]] = defaultdict(set)

    def _get_container_context(self, step_handler_context: StepHandlerContext) -> K8sContainerContext:
        step = self._get_step_key(step_handler_context)
        killed = len(self._killed_for_memory[step] - {self._get_k8s_step_job_name(step_handler_context)})
        size = _pod_of_run(step, step_handler_context.dagster_run, self._cluster, killed)
        context = super()._get_container_context(step_handler_context)
        for config in (size, self._cluster.overrides.get(step, {})):
            made = UserDefinedDagsterK8sConfig.from_dict(config)
            context = context.merge(K8sContainerContext(run_k8s_config=made))
        return context

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """As Dagster does, and tell a pod that was killed for its memory from one that failed otherwise."""
        health = super().check_step_health(step_handler_context)
        if health.is_healthy:
            return health
        job = self._get_k8s_step_job_name(step_handler_context)
        namespace = super()._get_container_context(step_handler_context).namespace
        if not any(_killed_for_memory(p) for p in self._api_client.get_pods_in_job(job, namespace)):
            return health
        self._killed_for_memory[self._get_step_key(step_handler_context)].add(job)
        return CheckStepHealthResult.unhealthy(
            f"{health.unhealthy_reason} Its pod was killed for using more memory than its limit; "
            "another attempt gets twice as much, up to the cluster's bound (steps.maxMemoryGi)."
        )


def _killed_for_memory(pod: Any) -> bool:
    """Whether a container of a `kubernetes.client.V1Pod` ended as OOMKilled."""
    return any(
        status.state.terminated and status.state.terminated.reason == "OOMKilled"
        for status in pod.status.container_statuses or []
    )


def _pod_of_run(step: str, run: dg.DagsterRun, cluster: Cluster, growth: int) -> dict[str, Any]:
    """The pod of a step of a run: the run's tags say whose recording it is."""
    deployment = Deployment.from_environment()
    session, probe = partition_of(run.tags)
    entry = deployment.store().registry.find(session) if session else None
    job = entry.job(probe) if entry and probe else None
    return pod(step, job, deployment.usable_params(entry), cluster, growth=growth)


def step_pods(cluster: Cluster) -> dg.ExecutorDefinition:
    """The executor that runs each step as a Kubernetes job."""

    @dg.executor(name="step_pods", requirements=multiple_process_executor_requirements(), config_schema={})
    def executor(context: InitExecutorContext) -> StepDelegatingExecutor:
        launcher = context.instance.run_launcher
        assert isinstance(launcher, K8sRunLauncher), (
            f"{SETTINGS_VARIABLE} is set, but runs are launched by {launcher}"
        )
        return StepDelegatingExecutor(
            SizedStepHandler(
                cluster,
                image=None,
                container_context=K8sContainerContext(),
                load_incluster_config=launcher.load_incluster_config,
                kubeconfig_file=launcher.kubeconfig_file,
            ),
            retries=RetryMode.ENABLED,
            should_verify_step=True,
        )

    return executor
