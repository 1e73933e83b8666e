"""Runs: which ones are tried again as a whole, what goes first, and what waits for a GPU or the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.events import RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run

from spikepipe_assets.definitions import build_definitions
from spikepipe_assets.deployment import Deployment
from spikepipe_assets.instance import DISK_POOL, GPU_POOL, own_tags, prepare_home
from spikepipe_assets.jobs import (
    BACKFILL_PRIORITY,
    NEW_SESSION_PRIORITY,
    PRIORITY_TAG,
    PROBE_JOB,
    SESSION_PRIORITY,
)


@pytest.fixture
def defs(tmp_path: Path) -> dg.Definitions:
    return build_definitions(Deployment(results=tmp_path / "results"))


@pytest.fixture
def instance(tmp_path: Path, monkeypatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.delenv("SPIKEPIPE_POSTGRES_URL", raising=False)
    prepare_home(tmp_path / "home")
    with dg.DagsterInstance.get() as opened:
        yield opened


@pytest.mark.parametrize(
    ("reason", "tags", "again"),
    [
        (RunFailureReason.STEP_FAILURE, {}, False),
        (RunFailureReason.UNKNOWN, {}, True),
        (RunFailureReason.RUN_EXCEPTION, {}, True),
        (RunFailureReason.UNKNOWN, own_tags(), False),
    ],
    ids=["bad data", "its process was killed", "its process failed", "of a command line"],
)
def test_a_run_is_tried_again_only_when_its_process_was_lost(instance, defs, reason, tags, again):
    job = defs.resolve_job_def(PROBE_JOB)
    run = instance.create_run_for_job(job, tags=tags, status=DagsterRunStatus.FAILURE)
    assert auto_reexecution_should_retry_run(instance, run, reason) is again


def test_dead_runs_are_looked_for(instance):
    assert instance.run_monitoring_enabled
    assert instance.run_launcher.supports_check_run_worker_health


def test_the_longest_way_goes_first(defs):
    priority = {
        asset.key.to_user_string(): int(asset.op.tags[PRIORITY_TAG])
        for asset in defs.assets
        if isinstance(asset, dg.AssetsDefinition)
    }
    way = ["recording", "preprocessed_recording", "sorting", "analyzer", "curated_units", "figures"]
    ranks = [priority[name] for name in way]
    assert ranks == sorted(ranks, reverse=True) and len(set(ranks)) == len(ranks)
    assert priority["sorting"] > priority["motion"]


def test_sessions_are_finished_before_new_ones_and_those_before_backfills():
    assert SESSION_PRIORITY > NEW_SESSION_PRIORITY > BACKFILL_PRIORITY


def test_steps_that_share_a_gpu_or_the_disk_wait_for_each_other(defs):
    pools = {
        asset.key.to_user_string(): asset.op.pool
        for asset in defs.assets
        if isinstance(asset, dg.AssetsDefinition) and asset.op.pool
    }
    assert pools == {"sorting": GPU_POOL, "lfp": DISK_POOL, "nwb": DISK_POOL}
