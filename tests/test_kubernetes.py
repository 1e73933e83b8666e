"""Steps as pods: what they ask for, and a whole run on a stand-in for the cluster's API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

pytest.importorskip("dagster_k8s")

from kubernetes_stand_in import Cluster as StandIn
from kubernetes_stand_in import serve

from spikepipe_assets.kubernetes import Cluster, pod
from spikepipe_core.graph import STAGES
from spikepipe_core.ingest import RecordingJob
from spikepipe_core.params import Params

CLUSTER = Cluster.model_validate(
    {
        "cores": 4,
        "max_memory_gi": 64,
        "gpu": {"node_selector": {"accelerator": "a100"}, "tolerations": [{"operator": "Exists"}]},
        "model_token": {"name": "hub", "key": "token"},
        "priority_class": "sorting",
        "service_account": "steps",
    }
)


def job(channels: int | None, hours: float | None) -> RecordingJob:
    return RecordingJob.model_validate(
        {
            "session": "a", "session_folder": "a", "probe": "imec0", "block": "block0", "segment": 1,
            "stream": "imec0.ap", "recording_name": "block0_imec0.ap_recording1", "reader": "spikeglx", "source": [],
            "files": [], "num_channels": channels, "duration": hours and hours * 3600, "sampling_frequency": 30000.0,
        }
    )  # fmt: skip


def memory(config: dict) -> int:
    value = config["container_config"]["resources"]["limits"]["memory"]
    assert value.endswith("Mi")
    return int(value.removesuffix("Mi"))


def test_a_larger_recording_gets_a_larger_pod():
    sizes = [
        memory(pod("sorting", job(*shape), Params(), CLUSTER)) for shape in ((64, 0.1), (384, 0.1), (384, 4))
    ]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_every_stage_has_a_size():
    for stage in STAGES:
        assert 1024 <= memory(pod(stage, job(384, 1), Params(), CLUSTER)) <= 64 * 1024


def test_an_unknown_recording_gets_the_pod_of_a_long_one():
    assert memory(pod("analyzer", job(None, None), Params(), CLUSTER)) == memory(
        pod("analyzer", job(384, 2), Params(), CLUSTER)
    )


def test_memory_grows_after_a_kill_up_to_the_clusters_bound():
    first, second = (memory(pod("motion", job(384, 1), Params(), CLUSTER, growth=g)) for g in (0, 1))
    assert abs(second - 2 * first) <= 1
    assert memory(pod("motion", job(384, 1), Params(), CLUSTER, growth=9)) == 64 * 1024


def test_only_sorting_asks_for_a_gpu():
    for stage in ("recording", "motion", "analyzer", "curated_units", "nwb"):
        assert "nvidia.com/gpu" not in json.dumps(pod(stage, job(384, 1), Params(), CLUSTER))
    sorting = pod("sorting", job(384, 1), Params(), CLUSTER)
    assert sorting["container_config"]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert sorting["pod_spec_config"]["node_selector"] == {"accelerator": "a100"}
    assert sorting["pod_spec_config"]["priority_class_name"] == "sorting"


def test_a_sorter_of_the_cpu_asks_for_no_gpu():
    params = Params.model_validate({"spikesorting": {"sorter": "lupin"}})
    assert "nvidia.com/gpu" not in json.dumps(pod("sorting", job(384, 1), params, CLUSTER))


def test_the_hubs_token_reaches_the_curation_only():
    with_token = [
        s
        for s in ("sorting", "analyzer", "curated_units")
        if "HF_TOKEN" in str(pod(s, None, Params(), CLUSTER))
    ]
    assert with_token == ["curated_units"]


@pytest.fixture
def cluster(tmp_path):
    paths = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "DAGSTER_HOME": str(tmp_path / "home"),
        "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
        "PYTHONWARNINGS": "ignore",
    }
    stand_in = StandIn(tmp_path, paths, killed_once={"lfp"})
    server, kubeconfig = serve(stand_in)
    yield stand_in, kubeconfig
    stand_in.close()
    server.shutdown()


INSTANCE = """
run_launcher:
  module: spikepipe_assets.kubernetes
  class: RunLauncher
  config:
    load_incluster_config: false
    kubeconfig_file: {kubeconfig}
    job_namespace: neuro
    job_image: none
    service_account_name: spikepipe
    instance_config_map: unused
    dagster_home: {home}
    run_k8s_config:
      container_config:
        env:
          - {{name: SPIKEPIPE_DEPLOYMENT, value: {deployment}}}
          - {{name: SPIKEPIPE_CLUSTER, value: {settings}}}
run_coordinator: {{module: dagster.core.run_coordinator, class: DefaultRunCoordinator}}
telemetry: {{enabled: false}}
"""

# A smaller job than those we ship, so that the test starts three pods and not fifteen.
TWO_STEPS = """
import dagster as dg
from spikepipe_assets import definitions
from spikepipe_assets.partitions import SESSION_PROBE

two = dg.define_asset_job("two", selection=["recording", "lfp"], partitions_def=SESSION_PROBE)
defs = dg.Definitions.merge(definitions.defs, dg.Definitions(jobs=[two]))
"""


@pytest.mark.slow
def test_a_run_and_its_steps_are_pods_and_one_killed_for_memory_gets_more(
    cluster, demo_data, make_work, tmp_path, monkeypatch
):
    from spikepipe_assets.deployment import Deployment
    from spikepipe_assets.partitions import SESSION_PROBE, probe_key, register

    stand_in, kubeconfig = cluster
    work = make_work(demo_data, tmp_path / "results")
    home = tmp_path / "home"
    home.mkdir()
    deployment = Deployment(
        results=tmp_path / "results", params={"preprocessing": {"min_preprocessing_duration": 0}}
    )
    settings = tmp_path / "cluster.json"
    settings.write_text(CLUSTER.model_dump_json())
    (tmp_path / "two_steps.py").write_text(TWO_STEPS)
    (home / "dagster.yaml").write_text(
        INSTANCE.format(kubeconfig=kubeconfig, home=home, deployment=deployment.save(home), settings=settings)
    )
    stand_in.environment["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = {**os.environ, **stand_in.environment, "SPIKEPIPE_CLUSTER": str(settings)}
    key = probe_key(work.entry.session, work.recording_job.probe)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        register(instance, [work.entry])
        launch = [sys.executable, "-m", "dagster", "job", "launch", "-m", "two_steps", "-j", "two",
                  "--tags", json.dumps(SESSION_PROBE.get_tags_for_partition_key(key))]  # fmt: skip
        done = subprocess.run(
            launch, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        run = wait_for_run(instance, timeout=180)
    logs = "".join(log.read_text() for log in tmp_path.glob("dagster-*.log"))
    assert run.status == dg.DagsterRunStatus.SUCCESS, logs
    assert work.store.results.manifest(work.stages["recording"].ref(work.entry, work.job)) is not None

    pods = {name: one for name, one in stand_in.pods.items() if "dagster/op" in one["metadata"]["labels"]}
    lfp = sorted((n for n, one in pods.items() if one["metadata"]["labels"]["dagster/op"] == "lfp"), key=len)
    first, second = (container_of(pods[name])["resources"]["limits"]["memory"] for name in lfp)
    assert int(second.removesuffix("Mi")) == 2 * int(first.removesuffix("Mi"))
    for one in pods.values():
        assert one["spec"]["serviceAccountName"] == "steps"
        assert one["spec"]["automountServiceAccountToken"] is False


def container_of(pod: dict) -> dict:
    return pod["spec"]["containers"][0]


def wait_for_run(instance: dg.DagsterInstance, timeout: float) -> dg.DagsterRun:
    """The one run of the instance, when it has ended."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        (run,) = instance.get_runs()
        if run.is_finished:
            return run
        time.sleep(1)
    raise AssertionError(f"still {run.status}")
