"""Kill the real pipeline in the middle of each stage, let it complete, and compare: `faults.py --each-asset`.

Results are compared file by file with those of an undisturbed run. Files that differ between two undisturbed runs
(times and identifiers are in them) are named and left out.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from spikepipe_assets.deployment import Deployment
from spikepipe_core.demo import write_demo_session
from spikepipe_core.graph import STAGES
from spikepipe_core.store import SessionEntry
from spikepipe_core.store.files import write_json
from spikepipe_core.store.publish import STATE

console = Console(highlight=False, soft_wrap=True)

PARAMS = {
    "preprocessing": {"min_preprocessing_duration": 5},
    "spikesorting": {"sorter": "spykingcircus2"},
    "curation": {"noise_neural_classifier": None, "sua_mua_classifier": None},
}


class Pipeline:
    """The real pipeline on a tiny session, run by `spikepipe run`."""

    def __init__(self, out: Path, seconds: float = 12.0, channels: int = 16):
        self.out, self.data, self.params = out, out / "data", out / "params.json"
        write_demo_session(self.data, probes=1, seconds=seconds, channels=channels)
        write_json(self.params, PARAMS)

    def command(self, results: Path) -> list[str]:
        """A run with these results."""
        return [
            sys.executable, "-m", "spikepipe_assets.cli", "run", "--data", str(self.data), "--results", str(results),
            "--params_file", str(self.params), "--n_jobs", "2",
        ]  # fmt: skip

    def run(self, results: Path) -> None:
        """Run to the end.

        Raises
        ------
        RuntimeError
            The run failed; the message has what it printed.
        """
        done = subprocess.run(self.command(results), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"spikepipe run failed:\n{done.stdout}{done.stderr}")

    def kill_in(self, stage: str, results: Path, dice: random.Random) -> str:
        """Take a stage's output away, run, and kill everything in the middle of making it again."""
        entry = _entry(results)
        ref = STAGES[stage].ref(entry, entry.jobs[0] if STAGES[stage].scope == "probe" else None)
        area = Deployment(results=results).store().results
        usual = area.read_manifest(ref).duration_s
        area.withdraw(ref)
        shutil.rmtree(results / entry.session_folder / STATE / "locks")
        process = subprocess.Popen(
            self.command(results),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        lock = results / entry.session_folder / STATE / "locks" / f"{stage}-{ref.name}.lock"
        while not lock.exists():
            if process.poll() is not None:
                raise RuntimeError(f"spikepipe run ended without making {stage}")
            time.sleep(0.001)
        delay = dice.uniform(0.05, 0.9) * usual
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        made = area.read_manifest(ref) is not None
        return f"{delay:.2f} s into {stage} (usually {usual:.2f} s)" + (", too late" if made else "")


def fingerprints(results: Path) -> dict[str, str]:
    """Checksum of every file of every published output, by path."""
    entry, store = _entry(results), Deployment(results=results).store()
    found = {}
    for stage in STAGES.values():
        ref = stage.ref(entry, entry.jobs[0] if stage.scope == "probe" else None)
        manifest = store.results.read_manifest(ref)
        if manifest is None:
            raise RuntimeError(f"{stage.name} is not there")
        found |= {f"{manifest.path}/{name}": record.sha256 for name, record in manifest.files.items()}
    return found


def _entry(results: Path) -> SessionEntry:
    (entry,) = Deployment(results=results).store().registry.sessions()
    return entry


def kill_each(out: Path, stages: list[str], seed: int) -> int:
    """Kill in each stage and compare; the number of things that are not as they should be."""
    out.mkdir(parents=True)
    pipeline, dice, problems = Pipeline(out), random.Random(seed), []
    for name in ("first", "second"):
        pipeline.run(out / name)
    first, second = fingerprints(out / "first"), fingerprints(out / "second")
    repeatable = {name for name in first if first[name] == second.get(name)}
    console.print(f"{len(repeatable)} of {len(first)} files are the same in two undisturbed runs; not:")
    for name in sorted(first.keys() ^ second.keys() | (first.keys() - repeatable)):
        console.print(f"  {name}", markup=False)
    for stage in stages:
        results = Path(shutil.copytree(out / "first", out / f"killed-{stage}", symlinks=True))
        words = pipeline.kill_in(stage, results, dice)
        pipeline.run(results)
        found = fingerprints(results)
        wrong = [f"differs: {name}" for name in sorted(repeatable) if found.get(name) != first[name]]
        wrong += [f"not in an undisturbed run: {name}" for name in sorted(found.keys() - first.keys())]
        wrong += [f"left behind: {path.relative_to(results)}" for path in strays(results)]
        console.print(f"{stage:22} killed {words}: {wrong or 'ok'}", markup=False)
        problems += wrong
        shutil.rmtree(results)
    console.print(f"problems {len(problems)}")
    return len(problems)


def strays(results: Path) -> list[Path]:
    """Temporary files and pickles, in results and scratch."""
    return [
        path
        for path in results.rglob("*")
        if path.name.startswith((".tmp-", ".old-")) or ".commit-" in path.name or path.suffix == ".pkl"
    ]
