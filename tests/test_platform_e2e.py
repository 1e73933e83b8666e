"""The platform as an institute runs it: `spikepipe ui --watch` with real daemon, web server and steps.

Two sessions and a broken one are dropped into the data root; nobody touches anything. What GraphQL tells is what the
UI shows. With ``SPIKEPIPE_SCREENSHOTS=<folder>`` the pages are photographed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spikepipe_assets.deployment import PINNED, Deployment
from spikepipe_core.graph import STAGES
from spikepipe_core.stages.stage import Work
from spikepipe_core.staleness import why_stale

pytestmark = pytest.mark.slow

PARAMS: dict[str, Any] = {
    # The cheapest that still goes all the way: 12 s, 16 channels, no motion, no LFP, few metrics.
    "preprocessing": {"min_preprocessing_duration": 5, "motion_correction": {"compute": False}},
    "spikesorting": {"sorter": "spykingcircus2"},
    "postprocessing": {
        "extensions": {"principal_components": None, "spike_locations": None, "template_metrics": None}
    },
    "curation": {"query": "snr > 1", "noise_neural_classifier": None, "sua_mua_classifier": None},
    "nwb": {"ecephys": {"write_lfp": False}},
}
GOOD, BROKEN = ("mouse1", "mouse2"), "mouse3"
PROBE = "imec0"
GOING = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
PATIENCE_S = 800.0
"""Far more than it takes: a busy machine must not fail the test."""


class Site:
    """A running `spikepipe ui --watch`."""

    def __init__(self, root: Path):
        self.raw, self.results, self.params = root / "raw", root / "results", root / "params.json"
        self.raw.mkdir()
        self.write_params(PARAMS)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        environment = {key: value for key, value in os.environ.items() if key != PINNED}
        self.log = root / "ui.log"
        command = [
            sys.executable, "-m", "spikepipe_assets.cli", "ui",
            "--results", str(self.results), "--port", str(self.port), "--watch", str(self.raw), "--settle", "2",
            "--params_file", str(self.params),
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command,
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
            env={**environment, "SPIKEPIPE_LOOK_SECONDS": "5"},
        )

    @property
    def deployment(self) -> Deployment:
        return Deployment(results=self.results, params=json.loads(self.params.read_text()))

    def write_params(self, params: dict[str, Any]) -> None:
        self.params.write_text(json.dumps(params))

    def drop(self, run_folder: Path, name: str) -> Path:
        """As a copy that others make: under a hidden name until it is whole, however slow the machine is."""
        draft = shutil.copytree(run_folder, self.raw / f".{name}")
        return draft.rename(self.raw / name)

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql",
            data=json.dumps({"query": query, "variables": variables}).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error
        assert "errors" not in answer, answer
        return answer["data"]

    def wait_for(self, what: str, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                found = condition()
            except OSError:
                found = None  # the web server is not up yet
            if found:
                return found
            time.sleep(1)
        raise AssertionError(f"waited in vain for: {what}\n{self.log.read_text()[-3000:]}")

    def outcome(self, session: str, probe: str | None, stage: str) -> Any:
        return self.deployment.store().ledger.read(session, session, probe, stage)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    from spikepipe_core.demo import write_demo_session

    root = tmp_path_factory.mktemp("platform")
    run_folder = write_demo_session(root / "session", probes=1, seconds=12.0, channels=16, seed=1)
    site = Site(root)
    try:
        broken = shutil.copytree(run_folder, root / "broken")
        os.truncate(next(broken.rglob("*.ap.bin")), 12345)
        site.drop(broken, BROKEN)
        for name in GOOD:
            site.drop(run_folder, name)
        yield site
    finally:
        site.stop()


def key(session: str) -> str:
    return f"{PROBE}|{session}"


NODE = """
query($asset: [String!]!, $partitions: [String!]) { assetNodeOrError(assetKey: {path: $asset}) { ... on AssetNode {
  staleStatusByPartition(partitions: $partitions)
  staleCausesByPartition(partitions: $partitions) { reason }
  latestMaterializationByPartition(partitions: $partitions) { runId }
  partitionStats { numMaterialized numFailed } } } }
"""

RUNS = """
query($tags: [ExecutionTag!]) { runsOrError(filter: {tags: $tags}) { ... on Runs { results { runId status } } } }
"""

CHECKS = """
query($asset: [String!]!) { assetNodeOrError(assetKey: {path: $asset}) { ... on AssetNode {
  assetChecksOrError { ... on AssetChecks { checks { name partitionDefinition { name } } } } } } }
"""

EXECUTIONS = """
query($asset: AssetKeyInput!, $check: String!, $partition: String) {
  assetCheckExecutions(assetKey: $asset, checkName: $check, limit: 10, partition: $partition) { status partition } }
"""

RELOAD = """
mutation { reloadRepositoryLocation(repositoryLocationName: "spikepipe") { __typename } }
"""

BACKFILL = """
mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""


def partition_of(stage: str, session: str) -> str:
    return key(session) if STAGES[stage].scope == "probe" else session


def node(site: Site, stage: str, sessions: tuple[str, ...] = GOOD) -> dict[str, Any]:
    """What the UI knows of an asset and some sessions' partitions of it."""
    partitions = [partition_of(stage, session) for session in sessions]
    return site.ask(NODE, asset=[stage], partitions=partitions)["assetNodeOrError"]


def stale_in_the_ui(site: Site) -> set[tuple[str, str]]:
    """(stage, session) of the partitions that the UI shows as stale."""
    return {
        (stage, session)
        for stage in STAGES
        for session, status in zip(GOOD, node(site, stage)["staleStatusByPartition"], strict=True)
        if status == "STALE"
    }


def stale_in_the_core(site: Site) -> set[tuple[str, str]]:
    store, found = site.deployment.store(), set()
    for session in GOOD:
        entry = store.registry.find(session)
        for stage in STAGES.values():
            job = entry.job(PROBE) if stage.scope == "probe" else None
            work = Work(store, entry, job, site.deployment.effective_params(entry), STAGES)
            if why_stale(stage, work):
                found.add((stage.name, session))
    return found


def runs_of(site: Site, **tags: str) -> list[dict[str, str]]:
    wanted = [{"key": name.replace("__", "/"), "value": value} for name, value in tags.items()]
    return site.ask(RUNS, tags=wanted)["runsOrError"]["results"]


def test_sessions_are_processed_to_nwb_by_sensors_alone(site):
    for session in GOOD:
        site.wait_for(f"NWB of {session}", lambda session=session: site.outcome(session, None, "nwb"))
        assert site.outcome(session, None, "nwb").outcome == "ok"
        assert (site.results / session / f"nwb/{session}.nwb.zarr").is_dir()
        for stage in STAGES.values():
            probe = PROBE if stage.scope == "probe" else None
            assert site.outcome(session, probe, stage.name).outcome in ("ok", "skipped"), stage.name
    site.wait_for("the end of all runs", lambda: not [run for run in runs_of(site) if run["status"] in GOING])
    for session in GOOD:
        of_probe = runs_of(site, spikepipe__session=session)
        assert [run["status"] for run in of_probe] == ["SUCCESS"], "one run a recording job, once"
        of_session = runs_of(site, dagster__partition=session)
        assert [run["status"] for run in of_session] == ["SUCCESS"], "one run of the session's file"
    for stage in STAGES:
        found = node(site, stage)
        assert all(found["latestMaterializationByPartition"]), stage
        assert found["partitionStats"]["numMaterialized"] == len(GOOD), stage


def test_a_broken_session_is_its_own_failure_only(site):
    line = site.wait_for("the broken session's line", lambda: site.outcome(BROKEN, PROBE, "recording"))
    assert line.outcome == "failed" and "12345" in line.reason
    failed = [run["status"] for run in runs_of(site, spikepipe__session=BROKEN)]
    assert failed == ["FAILURE"], "bad data are not tried again"
    assert runs_of(site, dagster__partition=BROKEN) == [], "no file is asked for"
    assert node(site, "recording")["partitionStats"]["numFailed"] == 1
    assert site.outcome(BROKEN, PROBE, "sorting").because_of == "recording"


def test_checks_are_those_of_a_partition(site):
    stage = STAGES["raw_quality_control"]
    checks = site.ask(CHECKS, asset=[stage.name])["assetNodeOrError"]["assetChecksOrError"]["checks"]
    assert {check["name"] for check in checks} == set(stage.checks)
    assert all(check["partitionDefinition"] for check in checks)
    for session in (*GOOD, BROKEN):
        executions = site.ask(
            EXECUTIONS, asset={"path": [stage.name]}, check="saturation", partition=key(session)
        )["assetCheckExecutions"]
        status = "EXECUTION_FAILED" if session == BROKEN else "SUCCEEDED"
        assert executions == [{"status": status, "partition": key(session)}]


def test_a_changed_params_file_is_stale_exactly_where_it_reaches_and_one_click_refreshes(site):
    causes = {stage: node(site, stage)["staleCausesByPartition"] for stage in STAGES}
    assert stale_in_the_ui(site) == stale_in_the_core(site) == set(), causes
    site.write_params({**PARAMS, "curation": {**PARAMS["curation"], "query": "snr > 2"}})
    assert site.ask(RELOAD)["reloadRepositoryLocation"]["__typename"] == "WorkspaceLocationEntry"
    expected = {("curated_units", session) for session in GOOD}
    site.wait_for("staleness in the UI", lambda: stale_in_the_ui(site) == expected)
    assert stale_in_the_core(site) == expected

    before = site.outcome(GOOD[0], None, "nwb").data_version
    launched = site.ask(
        BACKFILL,
        params={
            "assetSelection": [{"path": [name]} for name in ("curated_units", "figures", "quality_control")],
            "partitionNames": [key(GOOD[0])],
        },
    )["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    site.wait_for(
        "the file with the new curation", lambda: site.outcome(GOOD[0], None, "nwb").data_version != before
    )
    left = {("curated_units", GOOD[1])}
    site.wait_for("nothing else to be stale", lambda: stale_in_the_ui(site) == left)
    assert stale_in_the_core(site) == left


PAGES = {
    # name: (page, words that are there when it is)
    "asset-graph": (
        "assets/recording?view=lineage&lineageScope=downstream&lineageDepth=6",
        "quality_control",
    ),
    "partitions": ("assets/curated_units?view=partitions", "Missing"),
    "stale-partition": (
        f"assets/curated_units?view=partitions&partition={PROBE}%7C{GOOD[1]}",
        "Latest materialization",
    ),
    "figures": (f"assets/figures?view=partitions&partition={PROBE}%7C{GOOD[0]}", "[Show Markdown]"),
    "checks": ("assets/raw_quality_control?view=checks", "saturation"),
    "runs": ("runs", "Success"),
    "automation": ("automation", "session_outputs"),
    "failed": (f"assets/recording?view=partitions&partition={PROBE}%7C{BROKEN}", "Failed"),
    "ledger": ("assets/ledger?view=overview", "counts by reason"),
    "launchpad": ("locations/spikepipe/jobs/probe/playground", "Launch"),
}


@pytest.mark.skipif("SPIKEPIPE_SCREENSHOTS" not in os.environ, reason="no folder for screenshots is given")
def test_screenshots(site):
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    folder = Path(os.environ["SPIKEPIPE_SCREENSHOTS"])
    folder.mkdir(parents=True, exist_ok=True)
    options = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1600,1000"):
        options.add_argument(option)
    browser = webdriver.Chrome(options=options)
    try:
        for name, (page, words) in PAGES.items():
            browser.get(f"http://127.0.0.1:{site.port}/{page}")
            missing = []
            try:
                WebDriverWait(browser, 120).until(
                    lambda browser, words=words: words in browser.find_element(By.TAG_NAME, "body").text
                )
            except Exception:
                missing.append(words)
            time.sleep(5)  # what is drawn meanwhile
            if name == "figures":
                browser.find_elements(By.XPATH, "//*[text()='[Show Markdown]']")[0].click()
                time.sleep(3)
            browser.save_screenshot(str(folder / f"{name}.png"))
            assert not missing, f"{name}: no {missing}"
    finally:
        browser.quit()
