"""Runs and events in a real PostgreSQL server: what is made, asked for and out of date is seen there as in SQLite."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster import AssetKey, DagsterEventType
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from postgres_server import PASSWORD, find_programs, postgres_server
from test_automation import Daemon, Site, drop

from spikepipe_assets.cli import main
from spikepipe_assets.database import URL_VARIABLE
from spikepipe_assets.definitions import build_definitions
from spikepipe_assets.deployment import PINNED, Deployment, WatchSettings
from spikepipe_assets.instance import default_home, prepare_home, set_pool_limits
from spikepipe_assets.partitions import probe_key
from spikepipe_core.errors import NotAvailableError, ParamsError

ASSETS = ("recording", "raw_quality_control")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (pg_ctl, initdb)")
    with postgres_server(programs) as url:
        yield url


@pytest.fixture(autouse=True)
def environment(monkeypatch) -> None:
    """Commands point the process to their instance: not beyond the test."""
    for name in ("DAGSTER_HOME", "SPIKEPIPE_DEPLOYMENT", PINNED, URL_VARIABLE):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def database(server, monkeypatch) -> str:
    """The server with nothing in it."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(server.replace("://", "+psycopg2://"))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    engine.dispose()
    monkeypatch.setenv(URL_VARIABLE, server)
    return server


@pytest.fixture
def instance(database, tmp_path) -> Iterator[dg.DagsterInstance]:
    prepare_home(tmp_path / "home")
    with dg.DagsterInstance.get() as opened:
        yield opened


@pytest.mark.slow
def test_outputs_are_made_asked_for_and_out_of_date(
    database, demo_data, make_work, tmp_path, capfd, monkeypatch
):
    work = make_work(demo_data, tmp_path / "results")
    home = default_home(work.store.results.root)
    home.mkdir(parents=True)
    Deployment(results=work.store.results.root, n_jobs=1).save(home)
    results = ["--results", str(work.store.results.root)]
    # in a process of its own: the fork server of this one may already serve another test
    command = [sys.executable, "-m", "spikepipe_assets.cli", "backfill", *results]
    done = subprocess.run([*command, "--assets", ",".join(ASSETS), "--now"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    prepare_home(home)
    key = str(probe_key(work.entry.session, work.entry.probes[0]))
    with dg.DagsterInstance.get() as instance:
        assert type(instance.event_log_storage).__name__ == "PostgresEventLogStorage"
        (run,) = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.SUCCESS
        for asset in ASSETS:
            made = instance.get_latest_storage_id_by_partition(
                AssetKey(asset), DagsterEventType.ASSET_MATERIALIZATION
            )
            assert set(made) == {key}
        (check, *_) = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(AssetKey("raw_quality_control"), "saturation"), limit=10
        )
        assert (check.status.value, check.partition) == ("SUCCEEDED", key)
        assert stale(instance, Deployment.from_environment(), key) == {asset: "FRESH" for asset in ASSETS}

        main(["status", *results, "--stale"])
        assert "nothing is out of date" in capfd.readouterr().out
        params = tmp_path / "params.json"
        params.write_text('{"job_dispatch": {"debug": true, "debug_duration": 5}}')
        monkeypatch.setenv("SPIKEPIPE_PARAMS_FILE", str(params))
        assert main(["status", *results, "--stale"]) == 1
        assert "debug" in capfd.readouterr().out
        assert stale(instance, Deployment.from_environment(), key)["recording"] == "STALE"

        assert main(["backfill", *results, "--stale-only"]) == 0
        (backfill,) = instance.get_backfills()
        assert AssetKey("recording") in backfill.asset_backfill_data.target_subset.asset_keys
    assert "no Dagster daemon runs" in capfd.readouterr().err
    assert not list(home.rglob("*.db")), "nothing lies in SQLite"
    for file in filter(Path.is_file, home.rglob("*")):
        assert PASSWORD.encode() not in file.read_bytes(), file


def stale(instance: dg.DagsterInstance, deployment: Deployment, key: str) -> dict[str, str]:
    """What the UI shows of one partition of each asset."""
    graph = build_definitions(deployment).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    return {asset: StaleStatus(resolver.get_status(AssetKey(asset), key)).name for asset in ASSETS}


def test_sessions_are_found_once_and_their_files_asked_for(instance, tmp_path):
    from spikepipe_core.demo import write_demo_session

    (tmp_path / "raw").mkdir()
    watch = WatchSettings(roots=(str(tmp_path / "r*w"),), settle_s=0)
    daemon = Daemon(instance, Deployment(results=tmp_path / "results", watch=watch))
    run_folder = write_demo_session(tmp_path / "data", probes=2, seconds=1.0, channels=8)
    drop(Deployment(results=tmp_path, watch=watch), run_folder, "mouse1")
    assert daemon.tick() == ["mouse1/imec0", "mouse1/imec1"]
    daemon.cursor = None
    assert daemon.tick() == []

    site = Site(tmp_path / "site", instance)
    site.register("a", "imec0", "imec1")
    site.register("b", "imec0")
    site.end("b", "imec0")
    site.end("a", "imec0")
    assert site.tick() == ["b"]
    site.end("a", "imec1", "skipped")
    site.write_nwb("b")
    assert site.tick() == ["a"]


def test_pools_have_their_limits(instance):
    set_pool_limits(instance)
    limits = {limit.name: limit.limit for limit in instance.event_log_storage.get_pool_limits()}
    assert limits["gpu"] >= 1 and limits["disk"] == 2


# --- the settings ------------------------------------------------------------------------------------------------


def test_the_url_is_named_not_written(tmp_path, database):
    prepare_home(tmp_path)
    text = (tmp_path / "dagster.yaml").read_text()
    assert yaml.safe_load(text)["storage"] == {"postgres": {"postgres_url": {"env": URL_VARIABLE}}}
    assert PASSWORD not in text


def test_sqlite_is_kept_without_it(tmp_path):
    prepare_home(tmp_path)
    assert "storage" not in yaml.safe_load((tmp_path / "dagster.yaml").read_text())


def test_an_instance_in_sqlite_is_not_left_behind_in_silence(tmp_path, monkeypatch):
    prepare_home(tmp_path)
    monkeypatch.setenv(URL_VARIABLE, "postgresql://lab:hidden@127.0.0.1:1/postgres")
    with pytest.raises(ParamsError, match=r"SQLite(.|\n)*postgres_url"):
        prepare_home(tmp_path)


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        (
            "postgresql://lab:hidden@127.0.0.1:1/postgres",
            NotAvailableError,
            "lab:\\*\\*\\*@127.0.0.1:1.*refused",
        ),
        ("not a url with hidden", ParamsError, r"postgresql\+psycopg2://user:password@host:5432/database"),
        ("mongodb://lab:hidden@127.0.0.1/x", ParamsError, r"postgresql\+psycopg2://"),
        ("postgresql+psycopg://lab:hidden@127.0.0.1/x", ParamsError, "psycopg'.*scheme: postgresql"),
        (None, ParamsError, URL_VARIABLE),
    ],
)
def test_a_database_that_cannot_be_used_is_said_without_its_password(
    tmp_path, monkeypatch, url, error, words
):
    settings = tmp_path / "dagster.yaml"
    settings.write_text(yaml.safe_dump({"storage": {"postgres": {"postgres_url": {"env": URL_VARIABLE}}}}))
    if url:
        monkeypatch.setenv(URL_VARIABLE, url)
    with pytest.raises(error, match=words) as raised:
        prepare_home(tmp_path)
    assert "hidden" not in str(raised.value)


def test_a_wrong_password_is_said(tmp_path, database, monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, database.replace(PASSWORD, "hidden"))
    with pytest.raises(NotAvailableError, match="password authentication failed") as raised:
        prepare_home(tmp_path)
    assert "hidden" not in str(raised.value)


def test_the_parts_of_the_address_may_stand_in_the_file(tmp_path, database, monkeypatch):
    import sqlalchemy

    url = sqlalchemy.make_url(database)
    monkeypatch.delenv(URL_VARIABLE)
    monkeypatch.setenv("THE_PASSWORD", PASSWORD)
    parts = {
        "scheme": "postgresql+psycopg2",
        "hostname": url.host,
        "port": url.port,
        "db_name": url.database,
        "username": url.username,
    }
    (tmp_path / "dagster.yaml").write_text(
        yaml.safe_dump(
            {"storage": {"postgres": {"postgres_db": {**parts, "password": {"env": "THE_PASSWORD"}}}}}
        )
    )
    prepare_home(tmp_path)
    assert os.environ["DAGSTER_HOME"] == str(tmp_path)
    with dg.DagsterInstance.get() as instance:
        assert instance.get_runs() == []
