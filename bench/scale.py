# ruff: noqa: PTH103, PTH116, PTH123
# A million files are written: Path would take as long again.
"""How long an institute waits: sessions by the ten thousand, with synthetic results, in an instance of their own.

    python bench/scale.py --out /tmp/scale [--sessions 10000] [--probes 4]

Writes registry, ledger, manifests and summaries as `spikepipe run` does (their outputs are empty), registers every
recording job with Dagster, puts a materialization of every output into its event log, starts web server and daemon,
and times what people do: ``spikepipe status``, ``--stale``, the queries that Dagster's pages make, a backfill request.
What was written is used again the next time. Everything that is timed runs in a process of its own, three times: the
table has the first time (nothing is cached in the web server), the best of three, and the processor time of that one,
which tells on a busy machine how long it would take on a quiet one. With ``--browser`` the pages are also opened in
Chromium, and the slowest of the queries that each of them really makes is shown.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

FIRST = "s00000"
LIMIT_S = 5.0
REPEATS = 3

PARTITIONS_PAGE = """
query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionKeysByDimension { name type partitionKeys }
  assetPartitionStatuses { ... on MultiPartitionStatuses { primaryDimensionName ranges {
    primaryDimStartKey primaryDimEndKey secondaryDim { ... on DefaultPartitionStatuses {
      materializedPartitions materializingPartitions failedPartitions } } } } } } } }
"""
GRAPH_PAGE = """
query { assetNodes { id assetKey { path } opNames partitionStats { numMaterialized numMaterializing numPartitions
  numFailed } assetMaterializations(limit: 1) { timestamp runId } } }
"""
OVERVIEW_PAGE = """
query($key: AssetKeyInput!, $partition: String!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  description groupName configField { name configType { key } } partitionStats { numMaterialized numPartitions }
  staleStatus(partition: $partition) staleCauses(partition: $partition) { reason category }
  assetMaterializations(limit: 10) { partition timestamp metadataEntries { label } } } } }
"""
LAUNCH = """
mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""


def main() -> None:
    options = _options()
    results = options.out / "results"
    from spikepipe_core.graph import STAGES

    if not (options.out / "complete").exists():
        shutil.rmtree(options.out, ignore_errors=True)
        _timed("writing results", lambda: write_results(results, options.sessions, options.probes))
        _timed(
            "registering and materializing", lambda: fill_instance(results, options.sessions, options.probes)
        )
        (options.out / "complete").touch()
    print(f"{options.sessions} sessions x {options.probes} probes, {len(STAGES)} assets")
    rows = list(commands(results)) + list(served(results, options.browser))
    print(f"\n{'what':58}{'first':>9}{'best':>9}{'CPU':>9}")
    for row in rows:
        print(row)
    print(f"load average now: {os.getloadavg()[0]:.1f}")


@dataclass(frozen=True)
class Timed:
    """What was timed: (wall s, processor s) of each time."""

    what: str
    times: list[tuple[float, float]]

    def __str__(self) -> str:
        wall, processor = min(self.times)
        late = "  LATE" if wall > LIMIT_S else ""
        return f"{self.what:58}{self.times[0][0]:8.2f}s{wall:8.2f}s{processor:8.2f}s{late}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of its own; about 4 GB for 10,000 sessions"
    )
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--probes", type=int, default=4)
    parser.add_argument(
        "--browser",
        action="store_true",
        help="also open the pages in Chromium (with Selenium and chromedriver)",
    )
    return parser.parse_args()


def _timed(what: str, action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    took = time.perf_counter() - began
    print(f"{what}: {took:.1f} s", flush=True)
    return took


# --- results -----------------------------------------------------------------------------------------------------


def session_names(count: int) -> list[str]:
    return [f"s{number:05}" for number in range(count)]


def write_results(results: Path, sessions: int, probes: int) -> None:
    """One session by the library, the others by its pattern: a million small files."""
    write_first_session(results, probes)
    state = results / FIRST / ".spikepipe"
    pattern = {
        file.relative_to(state).as_posix().replace(FIRST, "{S}"): file.read_text()
        for file in sorted(state.rglob("*.json"))
    }
    folders = [folder.relative_to(state).as_posix() for folder in sorted(state.rglob("*")) if folder.is_dir()]
    for name in session_names(sessions)[1:]:
        _write_session(f"{results}/{name}/.spikepipe", name, folders, pattern)


def _write_session(state: str, name: str, folders: list[str], pattern: dict[str, str]) -> None:
    for folder in folders:
        os.makedirs(f"{state}/{folder.replace(FIRST, name)}", exist_ok=True)
    for file, text in pattern.items():
        if file != "summary.json":
            _write(f"{state}/{file.replace('{S}', name)}", text.replace(FIRST, name))
    summary = json.loads(pattern["summary.json"].replace(FIRST, name))
    summary["seen"] = {folder: os.stat(f"{state}/{folder}").st_mtime_ns for folder in summary["seen"]}
    _write(f"{state}/summary.json", json.dumps(summary, separators=(",", ":")))


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def write_first_session(results: Path, probes: int) -> None:
    """A session as the library itself records it, of stages that make nothing."""
    from dataclasses import replace

    from spikepipe_core.graph import STAGES
    from spikepipe_core.ingest import RecordingJob
    from spikepipe_core.params import Params
    from spikepipe_core.produce import produce
    from spikepipe_core.stages.stage import Built, Work
    from spikepipe_core.store import SessionEntry, Store

    jobs = tuple(
        RecordingJob(
            session=FIRST, session_folder=FIRST, probe=f"imec{number}", block="block0", segment=1,
            stream=f"imec{number}.ap", recording_name=f"block0_imec{number}.ap_recording1", reader="spikeglx",
            source=(), files=(f"{FIRST}/{FIRST}_imec{number}/{FIRST}_t0.imec{number}.ap.bin",),
        )
        for number in range(probes)
    )  # fmt: skip
    store = Store(results)
    entry = SessionEntry(session=FIRST, session_folder=FIRST, data=results.parent / "data", jobs=jobs)
    store.registry.add([entry])
    stages = {
        name: replace(
            stage, build=lambda _: Built("nothing, for the bench", empty=True), identity=lambda _: {}
        )
        for name, stage in STAGES.items()
    }
    for job in (*jobs, None):
        for stage in stages.values():
            if (stage.scope == "session") == (job is None):
                produce(stage, Work(store, entry, job, Params(), stages))


# --- Dagster's instance --------------------------------------------------------------------------------------------


def fill_instance(results: Path, sessions: int, probes: int) -> None:
    """Register every recording job, and put a materialization of every output into the event log."""
    import dagster as dg

    from spikepipe_assets.definitions import build_definitions
    from spikepipe_assets.deployment import Deployment
    from spikepipe_assets.instance import default_home, prepare_home
    from spikepipe_assets.partitions import PROBE, SESSION, SESSION_AND_PROBE, pair, probe_key

    home = default_home(results)
    prepare_home(home)
    # The daemon may start what is asked for: no classifier is to be looked for.
    deployment = Deployment(
        results=results, params={"curation": {"noise_neural_classifier": None, "sua_mua_classifier": None}}
    )
    deployment.save(home)
    names, keys = session_names(sessions), [f"imec{number}" for number in range(probes)]
    graph = build_definitions(deployment).get_repository_def().asset_graph
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(
            SESSION_AND_PROBE, [pair(name, key) for name in names for key in keys]
        )
        instance.add_dynamic_partitions(PROBE, keys)
        instance.add_dynamic_partitions(SESSION, names)
        for node in graph.asset_nodes:
            if not node.is_partitioned:
                continue
            of_probe = isinstance(node.partitions_def, dg.MultiPartitionsDefinition)
            partitions = [probe_key(name, key) for name in names for key in keys] if of_probe else names
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    node.key,
                    partition=partitions[0],
                    tags={
                        "dagster/data_version": "0123456789abcdef",
                        "dagster/code_version": node.code_version or "",
                    },
                )
            )
            _copy_event(instance, node.key, list(map(str, partitions)))


def _copy_event(instance: Any, key: Any, partitions: list[str]) -> None:
    """Insert the event of the first partition for the others too: by the API it would take half an hour."""
    storage = instance.event_log_storage
    with storage.index_connection() as connection:
        raw = connection.connection.driver_connection
        row = raw.execute(
            "select run_id, event, dagster_event_type, timestamp, asset_key from event_logs"
            " where asset_key = ? and dagster_event_type = 'ASSET_MATERIALIZATION' order by id desc limit 1",
            [key.to_string()],
        ).fetchone()
        first = json.dumps(partitions[0])
        raw.executemany(
            "insert into event_logs (run_id, event, dagster_event_type, timestamp, asset_key, partition)"
            " values (?, ?, ?, ?, ?, ?)",
            (
                (row[0], row[1].replace(first, json.dumps(partition)), *row[2:], partition)
                for partition in partitions[1:]
            ),
        )
        raw.commit()


# --- what is timed -------------------------------------------------------------------------------------------------


def commands(results: Path) -> Iterator[Timed]:
    """The command line."""
    for arguments in (
        ["status"],
        ["status", "--session", FIRST],
        ["status", "--stale"],
        ["backfill", "--assets", "analyzer+", "--dry-run"],
        ["backfill", "--assets", "analyzer+", "--sessions", "s000*"],
        ["backfill", "--assets", "analyzer+"],
    ):
        yield Timed("spikepipe " + " ".join(arguments), [_run(arguments, results) for _ in range(REPEATS)])
        cancel_backfills(results)


def _run(arguments: list[str], results: Path) -> tuple[float, float]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "spikepipe_assets.cli", *arguments, "--results", str(results)]
    done = subprocess.run(command, capture_output=True, text=True)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cancel_backfills(results: Path) -> None:
    """Take back what was asked for, so that no daemon begins with it."""
    import dagster as dg
    from dagster._core.execution.backfill import BulkActionStatus

    from spikepipe_assets.instance import default_home

    os.environ["DAGSTER_HOME"] = str(default_home(results))
    with dg.DagsterInstance.get() as instance:
        for backfill in instance.get_backfills():
            if backfill.status is BulkActionStatus.REQUESTED:
                instance.update_backfill(backfill.with_status(BulkActionStatus.CANCELED))


def served(results: Path, in_browser: bool) -> Iterator[Timed]:
    """Dagster's pages, and the memory of what serves them."""
    port = _free_port()
    command = [
        sys.executable, "-m", "spikepipe_assets.cli", "ui", "--results", str(results), "--port", str(port),
    ]  # fmt: skip
    log = (results.parent / "ui.log").open("w")
    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process)
        analyzer, nwb = {"path": ["analyzer"]}, {"path": ["nwb"]}
        for what, query, variables in (
            ("asset graph: counts of every asset", GRAPH_PAGE, {}),
            ("partitions of analyzer", PARTITIONS_PAGE, {"key": analyzer}),
            ("analyzer: overview and staleness of a partition", OVERVIEW_PAGE,
             {"key": analyzer, "partition": f"imec0|{FIRST}"}),
            ("nwb: overview and staleness of a partition", OVERVIEW_PAGE, {"key": nwb, "partition": FIRST}),
            ("backfill of 500 partitions of analyzer from the UI", LAUNCH, {"params": _backfill(500)}),
        ):  # fmt: skip
            yield Timed(what, [_ask(url, query, variables, process) for _ in range(REPEATS)])
        cancel_backfills(results)
        if in_browser:
            from scale_browser import slowest_queries

            for line in slowest_queries(url, FIRST):
                print(line, flush=True)
        time.sleep(60)  # the daemon has gone through its loop
        print("memory (MB), resident / proportional")
        for what, resident, proportional in _memory(process):
            print(f"  {what}: {resident:.0f} / {proportional:.0f}")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _backfill(count: int) -> dict[str, Any]:
    return {
        "assetSelection": [{"path": ["analyzer"]}],
        "partitionNames": [f"imec0|{name}" for name in session_names(count)],
    }


def _ask(
    url: str, query: str, variables: dict[str, Any], server: subprocess.Popen[bytes]
) -> tuple[float, float]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    before, began = _processor_time(server), time.perf_counter()
    with urllib.request.urlopen(request, timeout=300) as response:
        answer = json.load(response)
    took = time.perf_counter() - began
    if answer.get("errors") or "PythonError" in json.dumps(answer)[:200]:
        raise SystemExit(json.dumps(answer)[:2000])
    return took, _processor_time(server) - before


def _processor_time(server: subprocess.Popen[bytes]) -> float:
    """What the web server has used, and the code server that it asks."""
    for child in psutil.Process(server.pid).children():
        if "dagster_webserver" in child.cmdline():
            times = [one.cpu_times() for one in (child, *child.children(recursive=True))]
            return sum(time.user + time.system for time in times)
    return 0.0


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit("spikepipe ui ended; see ui.log")
        try:
            _ask(url, "query { version }", {}, process)
            return
        except OSError:
            time.sleep(1)
    raise SystemExit("spikepipe ui did not answer")


def _memory(process: subprocess.Popen[bytes]) -> Iterator[tuple[str, float, float]]:
    for child in psutil.Process(process.pid).children(recursive=True):
        words = " ".join(child.cmdline())
        what = next(
            (name for mark, name in (("dagster_webserver", "web server"), ("_daemon run", "daemon"),
             ("api grpc", "code server"), ("code-server", "code server")) if mark in words),
            words[:50],
        )  # fmt: skip
        memory = child.memory_full_info()
        yield what, memory.rss / 1e6, memory.pss / 1e6


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


if __name__ == "__main__":
    print(datetime.now(UTC).isoformat(timespec="seconds"))
    main()
