"""Kill the real pipeline in the middle of each stage, let it complete, and compare: `faults.py --each-asset`.

One session is begun, killed in its first stage, begun again, killed in its second stage, and so on, and completed in
the end. Results are compared file by file with those of an undisturbed run. Files that differ between two undisturbed
runs (times and identifiers are in them) are left out, and listed in ``not-repeatable.txt``.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from spikepipe_assets.deployment import Deployment
from spikepipe_core.demo import write_demo_session
from spikepipe_core.graph import STAGES
from spikepipe_core.store import Manifest, OutputRef, SessionEntry
from spikepipe_core.store.files import write_json
from spikepipe_core.store.publish import STATE

console = Console(highlight=False, soft_wrap=True)

PARAMS = {
    "preprocessing": {"min_preprocessing_duration": 5},
    "spikesorting": {"sorter": "spykingcircus2"},
    "curation": {"noise_neural_classifier": None, "sua_mua_classifier": None},
}


def command(data: Path, results: Path, params: Path) -> list[str]:
    """A run of the pipeline."""
    return [
        sys.executable, "-m", "spikepipe_assets.cli", "run", "--data", str(data), "--results", str(results),
        "--params_file", str(params), "--n_jobs", "2",
    ]  # fmt: skip


def run(arguments: list[str]) -> None:
    """Run to the end.

    Raises
    ------
    RuntimeError
        The run failed; the message has what it printed.
    """
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"spikepipe run failed:\n{done.stdout}{done.stderr}")


def kill_in(stage: str, results: Path, arguments: list[str], delay: float) -> bool:
    """Run, and kill everything while a stage's output of the first probe is made.

    Parameters
    ----------
    delay : float
        How long (s) after the stage was begun.

    Returns
    -------
    bool
        The output was there already.
    """
    locks = f"*/{STATE}/locks/{stage}-*.lock"
    _withdraw(stage, results)
    for lock in results.glob(locks):
        lock.unlink()
    process = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while not any(results.glob(locks)):
        if process.poll() is not None:
            raise RuntimeError(f"spikepipe run ended without making {stage}")
        time.sleep(0.01)
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return _made(stage, results) is not None


def _withdraw(stage: str, results: Path) -> None:
    """Take an output away that was made beside another one, before that was killed: it is this one's turn."""
    if _made(stage, results):
        entry = _entry(results)
        Deployment(results=results).store().results.withdraw(_ref(stage, entry))


def _made(stage: str, results: Path) -> Manifest | None:
    """The manifest of a published output of the first probe."""
    store = Deployment(results=results).store()
    for entry in store.registry.sessions():
        return store.results.read_manifest(_ref(stage, entry))
    return None


def _ref(stage: str, entry: SessionEntry) -> OutputRef:
    return STAGES[stage].ref(entry, entry.jobs[0] if STAGES[stage].scope == "probe" else None)


def fingerprints(results: Path) -> dict[str, str]:
    """Checksum of every file of every published output, by path."""
    entry, store = _entry(results), Deployment(results=results).store()
    found = {}
    for stage in STAGES.values():
        for job in entry.jobs if stage.scope == "probe" else (None,):
            manifest = store.results.read_manifest(stage.ref(entry, job))
            if manifest is None:
                raise RuntimeError(f"{stage.name} is not there")
            found |= {f"{manifest.path}/{name}": record.sha256 for name, record in manifest.files.items()}
    return found


def _entry(results: Path) -> SessionEntry:
    (entry,) = Deployment(results=results).store().registry.sessions()
    return entry


def kill_each(out: Path, stages: list[str], seed: int) -> int:
    """Kill in each stage and compare; the number of things that are not as they should be."""
    data, params, dice = out / "data", out / "params.json", random.Random(seed)
    write_demo_session(data, probes=1, seconds=12.0, channels=16)
    write_json(params, PARAMS)
    for name in ("first", "second"):
        run(command(data, out / name, params))
    first, second = fingerprints(out / "first"), fingerprints(out / "second")
    repeatable = {name for name in first if first[name] == second.get(name)}
    (out / "not-repeatable.txt").write_text("\n".join(sorted((first.keys() | second.keys()) - repeatable)))
    console.print(f"{len(repeatable)} of {len(first)} files are the same in two undisturbed runs")
    killed = out / "killed"
    for stage in stages:
        made = _made(stage, out / "first")
        assert made is not None, "the undisturbed run ended well"
        delay, late = dice.uniform(0.05, 0.9) * made.duration_s, True
        while late:  # a machine that is less busy now is quicker
            late = kill_in(stage, killed, command(data, killed, params), delay)
            when = f"{delay:.2f} s into {stage}{', too late' if late else ''}"
            console.print(f"killed {when}; undisturbed it takes {made.duration_s:.2f} s", markup=False)
            delay /= 2
    run(command(data, killed, params))
    found = fingerprints(killed)
    wrong = [f"differs: {name}" for name in sorted(repeatable) if found.get(name) != first[name]]
    wrong += [f"not in an undisturbed run: {name}" for name in sorted(found.keys() - first.keys())]
    wrong += [f"left behind: {path.relative_to(killed)}" for path in strays(killed)]
    console.print("\n".join(wrong), markup=False)
    console.print(f"problems {len(wrong)}")
    return len(wrong)


def strays(results: Path) -> list[Path]:
    """Temporary files and pickles, in results and scratch."""
    return [
        path
        for path in results.rglob("*")
        if path.name.startswith((".tmp-", ".old-")) or ".commit-" in path.name or path.suffix == ".pkl"
    ]
