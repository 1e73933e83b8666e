"""What happens by itself, as Dagster's daemon would see it: ticks of the sensors and of the NWB condition."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from spikepipe_assets.definitions import build_definitions
from spikepipe_assets.deployment import PINNED, Deployment, WatchSettings
from spikepipe_assets.lost_steps import record_lost_steps
from spikepipe_assets.partitions import PROBE, SESSION, pair, probe_key, register
from spikepipe_core.ingest import RecordingJob
from spikepipe_core.store import Outcome, SessionEntry
from spikepipe_core.watch import DISCOVERY

# --- new sessions --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    from spikepipe_core.demo import write_demo_session

    return write_demo_session(tmp_path_factory.mktemp("run") / "data", probes=2, seconds=1.0, channels=8)


class Daemon:
    """Plays the sensor daemon for `new_sessions`: keeps the cursor, adds partitions, launches by run key."""

    def __init__(self, instance: dg.DagsterInstance, deployment: Deployment):
        self.instance, self.defs = instance, build_definitions(deployment)
        self.sensor = self.defs.resolve_sensor_def("new_sessions")
        self.cursor: str | None = None
        self.runs: dict[str, dg.RunRequest] = {}

    def tick(self, die_before: str = "") -> list[str]:
        """One tick; the daemon may be killed "partitions" or "runs" and leaves everything else undone."""
        context = dg.build_sensor_context(self.instance, self.cursor, definitions=self.defs)
        data = self.sensor(context)
        if die_before == "partitions":
            return []
        for request in data.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
        if die_before == "runs":
            return []
        new = [request for request in data.run_requests or [] if request.run_key not in self.runs]
        self.runs |= {request.run_key: request for request in new}
        self.cursor = data.cursor
        return [request.run_key for request in new]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def watching(tmp_path) -> Deployment:
    (tmp_path / "raw").mkdir()
    watch = WatchSettings(roots=(str(tmp_path / "r*w"),), settle_s=0)
    return Deployment(results=tmp_path / "results", watch=watch)


def drop(deployment: Deployment, run_folder: Path, name: str) -> Path:
    root = Path(deployment.watch.roots[0].replace("*", "a"))
    return Path(shutil.copytree(run_folder, root / name))


def test_one_run_a_recording_job_is_asked_for_with_its_partitions(watching, instance, run_folder):
    drop(watching, run_folder, "mouse1")
    daemon = Daemon(instance, watching)
    assert daemon.tick() == ["mouse1/imec0", "mouse1/imec1"]
    request = daemon.runs["mouse1/imec0"]
    assert request.partition_key == probe_key("mouse1", "imec0")
    assert (request.tags["spikepipe/session"], request.tags["spikepipe/probe"]) == ("mouse1", "imec0")
    assert instance.get_dynamic_partitions(SESSION) == ["mouse1"]
    assert daemon.tick() == []
    assert instance.get_dynamic_partitions("session_probe") == ["mouse1/imec0", "mouse1/imec1"]


@pytest.mark.parametrize("die_before", ["partitions", "runs"])
def test_a_daemon_killed_in_a_tick_loses_and_repeats_nothing(watching, instance, run_folder, die_before):
    drop(watching, run_folder, "mouse1")
    daemon = Daemon(instance, watching)
    assert daemon.tick(die_before) == []
    assert daemon.tick() == ["mouse1/imec0", "mouse1/imec1"]
    assert daemon.tick() == []


def test_a_reset_cursor_or_a_second_tick_starts_nothing_twice(watching, instance, run_folder):
    drop(watching, run_folder, "mouse1")
    daemon = Daemon(instance, watching)
    daemon.tick()
    daemon.cursor = None
    assert daemon.tick() == []
    for _ in range(2):
        daemon.cursor = None
        assert daemon.tick() == []
    assert len(daemon.runs) == 2


def test_what_the_command_line_registered_is_left_to_it(watching, instance, run_folder):
    drop(watching, run_folder, "mouse1")
    instance.add_dynamic_partitions("session_probe", [pair("mouse1", "imec0"), pair("mouse1", "imec1")])
    assert Daemon(instance, watching).tick() == []


def test_a_broken_folder_is_told_and_the_others_go_on(watching, instance, run_folder):
    (Path(watching.results).parent / "raw" / "broken").mkdir()
    drop(watching, run_folder, "mouse1")
    assert Daemon(instance, watching).tick() == ["mouse1/imec0", "mouse1/imec1"]
    assert watching.store().ledger.read("broken", "broken", None, DISCOVERY).outcome == "skipped"


def test_with_a_long_queue_no_further_session_is_taken_in(watching, instance, run_folder, monkeypatch):
    drop(watching, run_folder, "mouse1")
    daemon = Daemon(instance, watching)
    with monkeypatch.context() as patch:
        patch.setattr(dg.DagsterInstance, "get_runs_count", lambda *_: 1_000_000)
        assert daemon.tick() == []
    assert len(daemon.tick()) == 2


def test_the_sensor_runs_only_where_there_is_a_data_root(tmp_path, watching):
    def status(deployment: Deployment) -> dg.DefaultSensorStatus:
        return build_definitions(deployment).resolve_sensor_def("new_sessions").default_status

    assert status(watching) is dg.DefaultSensorStatus.RUNNING
    assert status(Deployment(results=tmp_path)) is dg.DefaultSensorStatus.STOPPED


# --- settings from the environment ---------------------------------------------------------------------------


def test_the_environment_describes_a_standing_deployment(tmp_path, monkeypatch):
    params = tmp_path / "params.json"
    params.write_text('{"curation": {"query": "snr > 1"}}')
    for name, value in {
        "RESULTS_PATH": str(tmp_path / "results"), "SPIKEPIPE_PARAMS_FILE": str(params),
        "SPIKEPIPE_DATA_ROOTS": "/data/a:/data/b*", "SPIKEPIPE_SETTLE_SECONDS": "never",
        "SPIKEPIPE_COMPLETE_MARKER": "DONE", "SPIKEPIPE_LOOK_SECONDS": "7",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    for name in ("DAGSTER_HOME", "SPIKEPIPE_DEPLOYMENT", PINNED):
        monkeypatch.delenv(name, raising=False)
    found = Deployment.from_environment()
    assert found.watch == WatchSettings(
        roots=("/data/a", "/data/b*"), settle_s=None, marker="DONE", every_s=7
    )
    assert found.effective_params().curation.query == "snr > 1"
    params.write_text('{"curation": {"query": "snr > 2"}}')
    assert Deployment.from_environment().effective_params().curation.query == "snr > 2"

    found.pin()
    assert Deployment.from_environment() == found, "a run keeps the params it was started with"
    monkeypatch.setenv("RESULTS_PATH", str(tmp_path / "elsewhere"))
    assert Deployment.from_environment().results == tmp_path / "elsewhere"


# --- NWB by itself -------------------------------------------------------------------------------------------


class Site:
    """A deployment whose outcomes are written by hand: ledger line and Dagster event, as an asset would."""

    def __init__(self, tmp_path: Path, instance: dg.DagsterInstance, **params):
        self.deployment = Deployment(results=tmp_path / "results", params=params)
        self.store, self.instance = self.deployment.store(), instance
        self.defs = build_definitions(self.deployment)
        self.cursor = None

    def register(self, session: str, *probes: str) -> None:
        jobs = tuple(
            RecordingJob(
                session=session, session_folder=session, probe=probe, block="block0", segment=1,
                stream=f"{probe}.ap", recording_name=f"block0_{probe}", reader="spikeglx", source=(), files=(),
            )
            for probe in probes
        )  # fmt: skip
        entry = SessionEntry(session=session, session_folder=session, data=self.store.results.root, jobs=jobs)
        self.store.registry.add([entry])
        register(self.instance, [entry])

    def end(self, session: str, probe: str, outcome: str = "ok", stages=("lfp", "curated_units")) -> None:
        for stage in stages:
            self._write(session, probe, stage, outcome)
            partition = str(probe_key(session, probe))
            if outcome == "ok":
                self.instance.report_runless_asset_event(dg.AssetMaterialization(stage, partition=partition))
            elif outcome == "skipped":
                self.instance.report_runless_asset_event(dg.AssetObservation(stage, partition=partition))

    def write_nwb(self, session: str) -> None:
        self._write(session, None, "nwb", "ok")
        self.instance.report_runless_asset_event(dg.AssetMaterialization("nwb", partition=session))

    def _write(self, session: str, probe: str | None, stage: str, outcome: str) -> None:
        line = Outcome(
            session=session, probe=probe, stage=stage, outcome=outcome, reason="by hand", at=datetime.now(UTC),
            data_version="1" if outcome == "ok" else None,
        )  # fmt: skip
        self.store.ledger.write(session, line)

    def tick(self) -> list[str]:
        result = dg.evaluate_automation_conditions(
            defs=self.defs,
            instance=self.instance,
            cursor=self.cursor,
            asset_selection=dg.AssetSelection.assets("nwb"),
        )
        self.cursor = result.cursor
        return sorted(result.get_requested_partitions(dg.AssetKey("nwb")))

    def run(self, session: str, status: dg.DagsterRunStatus) -> None:
        """A run at the session's file that has got as far as this."""
        job = self.defs.resolve_job_def("session_nwb")
        run = self.instance.create_run_for_job(job, tags={"dagster/partition": session})
        if status is dg.DagsterRunStatus.FAILURE:
            self.instance.report_run_failed(run)


@pytest.fixture
def site(tmp_path, instance) -> Site:
    return Site(tmp_path, instance)


def test_nwb_is_written_when_every_probe_has_an_outcome(site):
    site.register("a", "imec0", "imec1")
    site.register("b", "imec0")
    assert site.tick() == []
    site.end("a", "imec0")
    assert site.tick() == []
    site.end("b", "imec0")
    assert site.tick() == ["b"], "not held up by a pair that no session has"
    site.end("a", "imec1", "skipped")
    assert site.tick() == ["a", "b"]


def test_what_was_complete_before_the_first_tick_is_seen(site):
    site.register("a", "imec0")
    site.end("a", "imec0")
    assert site.tick() == ["a"]


def test_one_input_is_not_enough(site):
    site.register("a", "imec0")
    site.end("a", "imec0", stages=("curated_units",))
    assert site.tick() == []


def test_nwb_is_written_again_when_a_curation_changes(site):
    site.register("a", "imec0")
    site.end("a", "imec0")
    site.write_nwb("a")
    assert site.tick() == []
    site.end("a", "imec0", stages=("curated_units",))
    assert site.tick() == ["a"]


def test_a_failed_probe_holds_back_its_own_session_only(site):
    site.register("a", "imec0", "imec1")
    site.register("b", "imec0", "imec1")
    for session, probe in (("a", "imec0"), ("b", "imec0"), ("b", "imec1")):
        site.end(session, probe)
    site.end("a", "imec1", "failed")
    assert site.tick() == ["b"]


def test_with_partial_files_allowed_a_failed_probe_holds_nothing_back(tmp_path, instance):
    site = Site(tmp_path, instance, nwb={"allow_partial": True})
    site.register("a", "imec0", "imec1")
    site.end("a", "imec0")
    assert site.tick() == [], "the other one may still come"
    site.end("a", "imec1", "failed")
    assert site.tick() == ["a"]


def test_a_file_that_a_run_waits_to_write_is_not_asked_for_again(site):
    """The daemon was killed between creating the run and noting what it makes."""
    site.register("a", "imec0")
    site.end("a", "imec0")
    waiting = site.instance.add_run(dg.DagsterRun("session_nwb", tags={"dagster/partition": "a"}))
    assert site.tick() == []
    site.instance.report_run_canceled(waiting)
    site.end("a", "imec0")
    assert site.tick() == ["a"]


def test_a_failed_file_is_not_tried_over_and_over(site):
    site.register("a", "imec0")
    site.end("a", "imec0")
    site.run("a", dg.DagsterRunStatus.FAILURE)
    assert site.tick() == []
    site.end("a", "imec0")
    assert site.tick() == ["a"], "other inputs may do better"


def test_the_command_line_writes_the_file_itself(site):
    site.register("a", "imec0")
    site.end("a", "imec0")
    claimed, done = threading.Event(), threading.Event()

    def command_line() -> None:
        with site.store.claim("a"):
            claimed.set()
            done.wait(30)

    thread = threading.Thread(target=command_line)
    thread.start()
    claimed.wait(30)
    assert site.tick() == []
    done.set()
    thread.join()
    assert site.tick() == ["a"], "it ended without having written it"


def test_a_late_probe_is_waited_for(site):
    site.register("a", "imec0")
    site.end("a", "imec0")
    site.write_nwb("a")
    site.register("a", "imec0", "imec1")
    assert site.tick() == []
    site.end("a", "imec1")
    assert site.tick() == ["a"]


# --- steps that could not tell how they ended ------------------------------------------------------------------


def test_a_step_whose_run_was_killed_gets_a_line(site):
    site.register("a", "imec0")
    job = site.defs.resolve_job_def("probe")
    tags = {
        "dagster/partition": str(probe_key("a", "imec0")),
        f"dagster/partition/{SESSION}": "a",
        f"dagster/partition/{PROBE}": "imec0",
    }
    run = site.instance.create_run_for_job(job, tags=tags)
    for kind in (dg.DagsterEventType.STEP_START,):
        event = dg.DagsterEvent(event_type_value=kind.value, job_name=job.name, step_key="recording")
        site.instance.report_dagster_event(event, run.run_id)
    site.instance.report_run_failed(run)
    assert record_lost_steps(site.instance, site.instance.get_run_by_id(run.run_id), site.deployment) == [
        "recording"
    ]
    line = site.store.ledger.read("a", "a", "imec0", "recording")
    assert (line.outcome, line.run_id) == ("failed", run.run_id)
    assert line.reason == "the process of its run was killed"
    assert site.store.ledger.read("a", "a", "imec0", "sorting").because_of == "recording"
    again = record_lost_steps(site.instance, site.instance.get_run_by_id(run.run_id), site.deployment)
    assert again == [], "a line that is newer than the attempt stays"
