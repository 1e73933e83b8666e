"""What a step costs beside its work: process start and imports, and what Dagster and the store do around it.

    python bench/overhead.py OUT

Makes a tiny session, runs `spikepipe run` on it twice (the first run compiles what Numba keeps), and reads from
Dagster's event log of the second, for every step that had a process of its own:

- start: from the decision to start the step until its function runs (process, imports, resources);
- around: what else was not the stage's own work (lock, data version, checksums, manifest, events, ledger).

The first step of a run also waits for the fork server, which imports everything once; it is shown, and the limit
(1.5 s with 2 cores) is on the starts of the others. OUT must not exist.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
from rich.console import Console
from rich.table import Table

from spikepipe_assets.deployment import Deployment
from spikepipe_assets.instance import default_home
from spikepipe_core.demo import write_demo_session
from spikepipe_core.graph import STAGES
from spikepipe_core.store.files import write_json

LIMIT_S = 1.5

PARAMS = {
    "preprocessing": {"min_preprocessing_duration": 5},
    "spikesorting": {"sorter": "spykingcircus2"},
    "curation": {"noise_neural_classifier": None, "sua_mua_classifier": None},
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for data and results; must not exist")
    out = parser.parse_args().out
    out.mkdir(parents=True)
    write_demo_session(out / "data", probes=1, seconds=12.0, channels=16)
    write_json(out / "params.json", PARAMS)
    for name in ("warming", "measured"):
        seconds = run(out, name)
        print(f"spikepipe run ({name}): {seconds:.1f} s")
    rows = steps(out / "measured")
    table = Table("step", "start (s)", "work (s)", "around (s)")
    for step, start, work, around in rows:
        table.add_row(step, f"{start:.2f}", f"{work:.2f}", f"{around:.2f}")
    Console().print(table)
    (_, first, _, _), *others = rows
    slowest = max(start for _, start, _, _ in others)
    print(
        f"fork server: {first:.2f} s, once a run; slowest start after it: {slowest:.2f} s, limit {LIMIT_S} s"
    )
    return int(slowest > LIMIT_S)


def run(out: Path, name: str) -> float:
    """Process the session into a results folder of its own; seconds."""
    command = [
        sys.executable, "-m", "spikepipe_assets.cli", "run", "--data", str(out / "data"), "--results", str(out / name),
        "--params_file", str(out / "params.json"), "--n_jobs", "2",
    ]  # fmt: skip
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return time.perf_counter() - began


def steps(results: Path) -> list[tuple[str, float, float, float]]:
    """Name, start, work and around (s) of every step, in the order of their starts."""
    store = Deployment(results=results).store()
    (entry,) = store.registry.sessions()
    found = []
    with dg.DagsterInstance.from_config(str(default_home(results))) as instance:
        for run in instance.get_runs():
            for step, at in _times(instance, run.run_id).items():
                if "STEP_WORKER_STARTING" not in at:
                    continue
                stage = STAGES[step]
                manifest = store.results.read_manifest(
                    stage.ref(entry, entry.jobs[0] if stage.scope == "probe" else None)
                )
                assert manifest is not None, "the run ended well"
                asked, started, ended = (
                    at[name] for name in ("STEP_WORKER_STARTING", "STEP_START", "STEP_SUCCESS")
                )
                work = manifest.duration_s
                found.append((asked, step, started - asked, work, ended - started - work))
    return [row[1:] for row in sorted(found)]


def _times(instance: dg.DagsterInstance, run_id: str) -> dict[str, dict[str, float]]:
    """When each kind of event first came, by step."""
    found: dict[str, dict[str, float]] = {}
    for record in instance.all_logs(run_id):
        if record.dagster_event and record.step_key:
            found.setdefault(record.step_key, {}).setdefault(
                record.dagster_event.event_type_value, record.timestamp
            )
    return found


if __name__ == "__main__":
    sys.exit(main())
