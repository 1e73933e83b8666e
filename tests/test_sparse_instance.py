"""Backfills over the matrix of sessions and probes, by Dagster's own daemon: absent and skipped pairs do no harm."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import sparse_graph
import yaml
from dagster import AssetKey
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.utils import make_new_backfill_id
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import PythonFileTarget
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._time import get_current_timestamp
from quick_results import entry

from spikepipe_assets.instance import SETTINGS
from spikepipe_assets.partitions import register
from spikepipe_assets.sparse_instance import SparseInstance

HERE = Path(__file__).parent
ALL = ("recording", "curated_units", "nwb")


class Daemon:
    """Backfills as the web server asks for them and the daemon does them; runs are done at once, in this process."""

    def __init__(self, folder: Path):
        settings = yaml.safe_load(SETTINGS.read_text())
        settings["run_launcher"] = {
            "module": "dagster._core.launcher.sync_in_memory_run_launcher",
            "class": "SyncInMemoryRunLauncher",
        }
        settings["run_coordinator"] = {
            "module": "dagster._core.run_coordinator",
            "class": "DefaultRunCoordinator",
        }
        for name in ("concurrency", "run_monitoring", "run_retries"):
            settings.pop(name)
        (folder / "dagster.yaml").write_text(yaml.safe_dump(settings))
        self.instance = dg.DagsterInstance.from_config(str(folder))
        target = PythonFileTarget(str(HERE / "sparse_graph.py"), "defs", str(HERE), "sparse")
        self.workspace = WorkspaceProcessContext(self.instance, target)

    def register(self, **sessions: tuple[str, ...]) -> None:
        register(self.instance, [entry(Path("data"), name, probes) for name, probes in sessions.items()])

    def ask(self, *assets: str, partitions: list[str] | None = None) -> str:
        """As "launchPartitionBackfill" of the web server; all partitions unless some are named."""
        backfill = PartitionBackfill.from_asset_partitions(
            backfill_id=make_new_backfill_id(),
            asset_graph=sparse_graph.defs.resolve_asset_graph(),
            partition_names=partitions,
            asset_selection=[AssetKey(name) for name in assets],
            backfill_timestamp=get_current_timestamp(),
            tags={},
            dynamic_partitions_store=self.instance,
            all_partitions=partitions is None,
            title=None,
            description=None,
            run_config=None,
        )
        self.instance.add_backfill(backfill)
        return backfill.backfill_id

    def work(self, backfill_id: str) -> BulkActionStatus:
        """Until it has ended."""
        for _ in range(10):
            problems = list(execute_backfill_iteration(self.workspace, logging.getLogger("daemon")))
            assert not any(problems), problems
            status = self.instance.get_backfill(backfill_id).status
            if status is not BulkActionStatus.REQUESTED:
                return status
        raise AssertionError("the backfill does not end")

    def made(self, asset: str) -> set[str]:
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        return set(self.instance.get_latest_storage_id_by_partition(AssetKey(asset), kind))

    def runs(self, backfill_id: str) -> list[str]:
        of_it = dg.RunsFilter(tags={"dagster/backfill": backfill_id})
        return sorted(run.tags["dagster/partition"] for run in self.instance.get_runs(of_it))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory) -> Iterator[Daemon]:
    """One for all tests, each of which has sessions of its own."""
    daemon = Daemon(tmp_path_factory.mktemp("instance"))
    with daemon.workspace, daemon.instance:
        yield daemon


def matrix(*sessions: str) -> list[str]:
    """What a person selects in the UI: all probes of all sessions, whether they exist or not."""
    return [f"{probe}|{session}" for session in sessions for probe in ("imec0", "imec1")]


def test_a_backfill_of_a_matrix_makes_what_exists_and_ends_well(daemon):
    daemon.register(a=("imec0",), b=("imec0", "imec1"))
    backfill_id = daemon.ask(*ALL, partitions=matrix("a", "b"))
    assert daemon.work(backfill_id) is BulkActionStatus.COMPLETED_SUCCESS
    assert daemon.made("recording") >= {"imec0|a", "imec0|b", "imec1|b"}
    assert {"imec0|a", "imec0|b"} == daemon.made("curated_units").intersection(matrix("a", "b"))
    assert daemon.made("nwb") >= {"a", "b"}, "neither the absent pair nor the skipped one holds it back"
    assert daemon.runs(backfill_id) == ["a", "b", "imec0|a", "imec0|b", "imec1|b"]


def test_a_skip_alone_is_no_failure(daemon):
    daemon.register(s=("imec0", "imec1"))
    daemon.work(daemon.ask("recording", partitions=matrix("s")))
    backfill_id = daemon.ask("curated_units", partitions=["imec1|s"])
    assert daemon.work(backfill_id) is BulkActionStatus.COMPLETED_SUCCESS
    assert "imec1|s" not in daemon.made("curated_units")


def test_a_failure_stays_one_of_its_session(daemon):
    daemon.register(c=("imec0", "imec1"), d=("imec0",))
    backfill_id = daemon.ask(*ALL, partitions=matrix("c", "d"))
    assert daemon.work(backfill_id) is BulkActionStatus.COMPLETED_FAILED
    assert daemon.made("nwb").intersection("cd") == {"d"}
    assert daemon.made("curated_units").intersection(matrix("c", "d")) == {"imec0|c", "imec0|d"}


def test_none_but_absent_pairs_are_refused(daemon):
    daemon.register(e=("imec0",), f=("imec1",))
    before = len(daemon.instance.get_backfills())
    with pytest.raises(dg.DagsterInvalidInvocationError, match=r"imec1\|e"):
        daemon.ask("recording", partitions=["imec1|e"])
    assert len(daemon.instance.get_backfills()) == before


def test_all_partitions_are_those_that_exist(daemon):
    daemon.register(g=("imec0",), h=("imec1",))
    target = daemon.instance.get_backfill(daemon.ask(*ALL)).asset_backfill_data.target_subset
    keys = {
        key.to_user_string(): set(target.get_partitions_subset(key).get_partition_keys())
        for key in target.asset_keys
    }
    assert {"imec0|g", "imec1|h"} <= keys["recording"] == keys["curated_units"]
    assert keys["recording"].isdisjoint({"imec1|g", "imec0|h"}) and {"g", "h"} <= keys["nwb"]
    for one in daemon.instance.get_backfills():
        daemon.instance.update_backfill(one.with_status(BulkActionStatus.CANCELED))


def test_every_instance_of_ours_is_one(daemon):
    assert isinstance(daemon.instance, SparseInstance)
