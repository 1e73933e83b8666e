"""Failures in a chat: what is posted, what is not, and that a dead webhook costs nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.storage.tags import WILL_RETRY_TAG
from quick_results import QuickResults

from spikepipe_assets.definitions import build_definitions
from spikepipe_assets.deployment import Deployment
from spikepipe_assets.instance import own_tags
from spikepipe_assets.jobs import PROBE_JOB
from spikepipe_assets.partitions import SESSION_PROBE, probe_key
from spikepipe_assets.webhook import (
    MAX_NAMED,
    MAX_REASON,
    URL_VARIABLE,
    Failed,
    NotDeliveredError,
    message,
    post,
    without_secrets,
)
from spikepipe_core.errors import BadDataError
from spikepipe_core.params import JobDispatchParams
from spikepipe_core.watch import Watch


class Chat:
    """A webhook on this machine: keeps what is posted, and answers with a status."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.status = 200
        chat = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.headers["Content-Type"] == "application/json" and set(body) == {"text"}
                if chat.status == 200:
                    chat.texts.append(body["text"])
                self.send_response(chat.status)
                self.end_headers()

            def log_message(self, *_) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/services/T0/hush-hush"


@pytest.fixture
def chat() -> Iterator[Chat]:
    made = Chat()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


class Site:
    """Runs of a deployment, and the sensor at its ticks."""

    def __init__(self, tmp_path: Path, instance: dg.DagsterInstance):
        self.quick, self.instance = QuickResults(tmp_path / "results"), instance
        self.defs = build_definitions(Deployment(results=self.quick.root))
        self.sensor = self.defs.resolve_sensor_def("failure_webhook")
        self.cursor: str | None = None

    def tick(self) -> str:
        context = dg.build_sensor_context(self.instance, self.cursor, definitions=self.defs)
        data = self.sensor(context)
        self.cursor = data.cursor
        return (
            data.skip_reason.skip_message if hasattr(data.skip_reason, "skip_message") else data.skip_reason
        )

    def fail(self, session: str, probe: str, stage: str, reason: str, **tags: str) -> str:
        """A run of a recording job that fails at a stage; returns its id."""
        if self.quick.store.registry.find(session) is None:
            self.quick.register(session, probe)
        partition = SESSION_PROBE.get_tags_for_partition_key(probe_key(session, probe))
        run = self.instance.create_run_for_job(
            self.defs.resolve_job_def(PROBE_JOB), tags={**partition, **tags}
        )
        self.quick.misbehave[session, probe, stage] = BadDataError(reason)
        self.quick.make(session, probe, run_id=run.run_id)
        self.instance.report_run_failed(run)
        return run.run_id


@pytest.fixture
def site(tmp_path, chat, monkeypatch) -> Iterator[Site]:
    monkeypatch.setenv(URL_VARIABLE, chat.url)
    monkeypatch.setenv("SPIKEPIPE_UI_URL", "https://dagster.example")
    with dg.DagsterInstance.ephemeral() as instance:
        site = Site(tmp_path, instance)
        site.tick()
        yield site


def test_a_failure_names_session_probe_asset_reason_and_run(site, chat):
    run_id = site.fail("mouse3", "imec0", "sorting", "no spikes in x.bin")
    assert site.tick() == "1 failure(s) told"
    (text,) = chat.texts
    assert text.splitlines() == [
        "spikepipe: mouse3 / imec0 failed at sorting",
        "no spikes in x.bin",
        f"https://dagster.example/runs/{run_id}",
    ], "what failed because of the sorting is not told apart"
    assert site.tick() == "nothing new failed" and len(chat.texts) == 1


def test_several_are_one_message(site, chat):
    for session in ("a", "b"):
        site.fail(session, "imec0", "recording", "truncated")
    assert site.tick() == "2 failure(s) told"
    (text,) = chat.texts
    assert text.count("failed at recording\ntruncated") == 2


def test_the_same_failure_of_another_run_is_told_once(site, chat):
    site.fail("mouse3", "imec0", "sorting", "no spikes")
    site.tick()
    site.fail("mouse3", "imec0", "sorting", "no spikes")
    assert site.tick() == "nothing new failed"
    site.fail("mouse3", "imec0", "sorting", "the disk is full")
    assert site.tick() == "1 failure(s) told" and "the disk is full" in chat.texts[-1]


def test_what_failed_before_the_first_tick_is_old(tmp_path, site, chat):
    site.fail("mouse3", "imec0", "sorting", "no spikes")
    site.cursor = None
    assert site.tick() == "failures from now on are told" and chat.texts == []


@pytest.mark.parametrize("tags", [{WILL_RETRY_TAG: "true"}, own_tags()], ids=["tried again", "command line"])
def test_runs_that_are_tried_again_or_watched_by_a_person_are_not_told(site, chat, tags):
    site.fail("mouse3", "imec0", "sorting", "no spikes", **tags)
    assert site.tick() == "nothing new failed" and chat.texts == []


def test_a_step_that_was_killed_is_told(site, chat):
    site.quick.register("mouse3", "imec0")
    partition = SESSION_PROBE.get_tags_for_partition_key(probe_key("mouse3", "imec0"))
    run = site.instance.create_run_for_job(site.defs.resolve_job_def(PROBE_JOB), tags=partition)
    event = dg.DagsterEvent(dg.DagsterEventType.STEP_START.value, PROBE_JOB, step_key="recording")
    site.instance.report_dagster_event(event, run.run_id)
    site.instance.report_run_failed(run)
    site.tick()
    assert "mouse3 / imec0 failed at recording\nthe process of its run was killed" in chat.texts[0]


def test_a_run_that_the_ledger_does_not_know_is_told_as_dagster_does(site, chat):
    run = site.instance.create_run_for_job(site.defs.resolve_job_def(PROBE_JOB))
    site.instance.report_run_failed(run, "the code server is gone")
    site.tick()
    assert chat.texts[0].splitlines()[:2] == ["spikepipe: a run failed", "the code server is gone"]


def test_a_folder_that_cannot_be_read_is_told_once(site, chat, tmp_path):
    def look() -> None:
        watch = Watch([raw], site.quick.store, JobDispatchParams(input="nwb"), settle_s=0, clock=lambda: now)
        watch.look(lambda *_: False)

    raw, now = tmp_path / "raw", 1000.0
    raw.mkdir()
    (raw / "broken.nwb").write_text("this is no HDF5 file")
    look()
    assert site.tick() == "1 failure(s) told"
    assert (
        chat.texts[0].startswith("spikepipe: broken failed at discovery\n") and "runs/" not in chat.texts[0]
    )
    now += 3600.0
    look()
    assert "Tried 2 time(s)" in site.quick.store.ledger.read("broken", "broken", None, "discovery").reason
    assert site.tick() == "nothing new failed"


def test_a_dead_webhook_fails_nothing_and_is_told_later(site, chat):
    run_id = site.fail("mouse3", "imec0", "sorting", "no spikes")
    chat.status = 503
    assert site.tick() == "not told, tried again at the next tick: the webhook answered 503"
    assert site.instance.get_run_by_id(run_id).status is DagsterRunStatus.FAILURE
    chat.status = 200
    assert site.tick() == "1 failure(s) told" and len(chat.texts) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/hush-hush",
        "file:///etc/hush-hush",
        "hush-hush",
        "http://[hush-hush",
        "https:// hush-hush",
    ],
)
def test_an_address_that_is_none_is_never_said(url):
    with pytest.raises(NotDeliveredError) as raised:
        post(url, "text")
    assert "hush" not in str(raised.value)


def test_without_an_address_the_sensor_is_off(tmp_path, site, monkeypatch):
    def status() -> dg.DefaultSensorStatus:
        defs = build_definitions(Deployment(results=tmp_path))
        return defs.resolve_sensor_def("failure_webhook").default_status

    assert status() is dg.DefaultSensorStatus.RUNNING
    monkeypatch.delenv(URL_VARIABLE)
    assert status() is dg.DefaultSensorStatus.STOPPED
    assert site.tick() == f"{URL_VARIABLE} is not set"


# --- words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "could not connect to postgresql+psycopg2://lab:s3cr3t-word@db/dagster",
        "403 for https://s3cr3t-word@hub/models",
        "the hub refused hf_s3cr3twordabcdef",
        "called with token=s3cr3t-word",
        "header Authorization: Bearer s3cr3t-word",
        "the value s3cr3t-of-the-environment is wrong",
    ],
)
def test_secrets_stay_inside(text, monkeypatch):
    monkeypatch.setenv("LAB_PASSWORD", "s3cr3t-of-the-environment")
    assert "s3cr3t" not in without_secrets(text) and "***" in without_secrets(text)


def test_a_flood_is_counted():
    text = message([Failed(f"s{number}", "imec0", "sorting", "bad", "1") for number in range(MAX_NAMED + 2)])
    assert text.count("failed at sorting") == MAX_NAMED and text.endswith("and 2 more: spikepipe status")


def test_a_reason_is_cut_and_calls_nobody():
    text = message([Failed("<!channel>", "imec0", "sorting", "x" * 10_000, "1")])
    assert "<!" not in text and "&lt;!channel&gt;" in text
    assert len(text) < MAX_REASON + 200 and "x…" in text
