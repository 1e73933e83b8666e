"""Fault campaign: kill what can be killed at random moments, and see that nothing is lost, doubled or corrupt.

    python bench/faults.py OUT --rounds 30 --seed 0

Each round drops a new session into a watched folder and kills (SIGKILL) one of: the daemon, the process of a run, the
process of a step, or everything at once, as a power cut does. What was killed is started again as an institute would
have it: the daemon by its supervisor, runs and steps by Dagster's retries. In the end every session must be as if
nothing had happened. Stages are cheap stand-ins (`faults_graph.py`); sensors, runs, steps, locks, publishing and
the ledger are the real ones. Some sessions have probes that are left out by a rule, or fail for their data.

    python bench/faults.py OUT --each-asset [--stages sorting,nwb]

kills the real pipeline on a tiny session in the middle of each stage (`faults_each.py`).

Exits with 1 if anything is not as it should be.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import dagster as dg
import faults_graph
import psutil
import yaml
from dagster import DagsterEventType, DagsterRun, DagsterRunStatus, RunsFilter
from rich.console import Console

from spikepipe_assets.deployment import PINNED, Deployment, WatchSettings
from spikepipe_assets.instance import SETTINGS, set_pool_limits
from spikepipe_assets.launcher import find_process
from spikepipe_core.demo import write_demo_session
from spikepipe_core.graph import STAGES

MAX_UNFINISHED = 4
"""Sessions under way at a time."""

MAX_KILLS = 2
"""Of one recording job or session: Dagster's retries of a step and of a run are finite, on purpose."""

PATIENCE_S = 1800.0
KINDS = ("daemon", "run", "step", "power")

console = Console(highlight=False, soft_wrap=True)


class Campaign:
    """A deployment with a daemon, and somebody who kills."""

    def __init__(self, out: Path, seed: int):
        self.raw, self.home, self.log = out / "raw", out / "home", out / "made.log"
        self.dice, self.kills, self.hurt = random.Random(seed), Counter[str](), Counter[str]()
        watch = WatchSettings(roots=(str(self.raw),), settle_s=0, every_s=3)
        self.deployment = Deployment(results=out / "results", watch=watch, n_jobs=1)
        self.sessions: dict[str, list[str]] = {}
        self.environment = {
            **{key: value for key, value in os.environ.items() if key != PINNED},
            "DAGSTER_HOME": str(self.home),
            "SPIKEPIPE_DEPLOYMENT": str(self.home / "spikepipe.json"),
            faults_graph.LOG: str(self.log),
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
        }
        self.raw.mkdir(parents=True)
        faults_graph.leave_out_leaves()
        self.template = write_demo_session(out / "template", probes=2, seconds=1.0, channels=8)
        self._prepare_instance()
        self.daemon = self._start_daemon()

    def _prepare_instance(self) -> None:
        """The settings that are shipped, with shorter waits: a campaign is not to last a day."""
        self.home.mkdir()
        settings = yaml.safe_load(SETTINGS.read_text())
        settings["run_monitoring"] |= {"poll_interval_seconds": 5, "start_timeout_seconds": 180}
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(settings))
        graph = {"python_module": {"module_name": faults_graph.__name__, "location_name": "spikepipe"}}
        (self.home / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [graph]}))
        self.deployment.save(self.home)
        os.environ["DAGSTER_HOME"] = str(self.home)
        with dg.DagsterInstance.get() as instance:
            set_pool_limits(instance)

    def _start_daemon(self) -> subprocess.Popen:
        command = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(self.home / "workspace.yaml")]
        log = (self.home / "daemon.log").open("a")
        return subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)

    # --- work -----------------------------------------------------------------------------------------------

    def drop(self, number: int) -> None:
        """A new session: of every five one has a probe left out, and one a probe with bad data."""
        word = {3: faults_graph.SKIPPED[1], 4: faults_graph.FAILED[1]}.get(number % 5, "ok")
        name, probes = f"s{number:03d}_{word}", ["imec0", "imec1"][: self.dice.choice((1, 2))]
        draft = self.raw / f".{name}"
        for folder in self.template.iterdir():
            if folder.name.rsplit("_", 1)[1] in probes:
                shutil.copytree(folder, draft / folder.name, copy_function=os.link)
        draft.rename(self.raw / name)
        self.sessions[name] = probes

    def unfinished(self) -> list[str]:
        """Sessions whose outcomes are not all there yet."""
        return [name for name in self.sessions if self.missing(name)]

    def missing(self, session: str) -> list[str]:
        """Outcomes that are not as they should be, in words."""
        store, params = self.deployment.store(), self.deployment.effective_params()
        wanted = faults_graph.expected(session, self.sessions[session], params)
        found = []
        for (probe, stage), (outcome, _) in wanted.items():
            line = store.ledger.read(session, session, probe, stage)
            if line is None or line.outcome != outcome:
                was = "nothing" if line is None else f"{line.outcome} ({line.reason[:120]})"
                found.append(f"{session} {probe} {stage}: {was} instead of {outcome}")
        return found

    # --- kills ----------------------------------------------------------------------------------------------

    def round(self, number: int) -> str:
        """Drop a session, wait a random time, kill one thing."""
        self._wait(lambda: len(self.unfinished()) < MAX_UNFINISHED, "room for another session")
        self.drop(number)
        kind = KINDS[number % len(KINDS)]
        time.sleep(self.dice.uniform(0, 12))
        with dg.DagsterInstance.get() as instance:
            victim = self._wait(lambda: self._victim(instance, kind), f"a {kind} to kill")
        time.sleep(self.dice.uniform(0, 1))
        self.kills[kind] += 1
        self._kill(kind, victim)
        return f"{kind} {victim}"

    def _victim(self, instance: dg.DagsterInstance, kind: str) -> int | None:
        """The process to kill, of a run that was not hurt too often; None if there is none at the moment."""
        if kind == "daemon":
            return self.daemon.pid
        runs = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED]))
        self.dice.shuffle(runs)
        partitions = [run.tags["dagster/partition"] for run in runs]
        if kind == "power":
            if not runs or any(self.hurt[partition] >= MAX_KILLS for partition in partitions):
                return None
            self.hurt.update(partitions)
            return self.daemon.pid
        for run, partition in zip(runs, partitions, strict=True):
            pid = find_process(instance, run) if kind == "run" else _step_process(instance, run)
            if pid is not None and self.hurt[partition] < MAX_KILLS:
                self.hurt[partition] += 1
                return pid
        return None

    def _kill(self, kind: str, victim: int) -> None:
        if kind == "power":
            for process in self.processes():
                with _gone():
                    process.kill()
        else:
            with _gone():
                os.kill(victim, signal.SIGKILL)
        if kind in ("daemon", "power"):
            self.daemon.wait()
            time.sleep(self.dice.uniform(0, 3))
            self.daemon = self._start_daemon()

    def processes(self) -> list[psutil.Process]:
        """Every process of the campaign but this one."""
        found = []
        for process in psutil.process_iter():
            try:
                home = process.environ().get("DAGSTER_HOME")
            except psutil.Error:
                continue
            if home == str(self.home) and process.pid != os.getpid():
                found.append(process)
        return found

    # --- the end --------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Wait until every session has ended and no run is under way."""
        self._wait(lambda: not self.unfinished(), "all outcomes")
        self._wait(lambda: not self._going(), "the last runs")

    def _going(self) -> list[DagsterRun]:
        done = {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}
        with dg.DagsterInstance.get() as instance:
            return [run for run in instance.get_runs() if run.status not in done]

    def stop(self) -> list[str]:
        """Stop the daemon; what is left running of the campaign."""
        self.daemon.terminate()
        self.daemon.wait(60)
        _, alive = psutil.wait_procs(self.processes(), timeout=60)
        left = [" ".join(process.cmdline())[:120] for process in alive]
        for process in alive:
            with _gone():
                process.kill()
        return left

    def _wait(self, condition, what: str):
        deadline = time.monotonic() + PATIENCE_S
        while not (found := condition()):
            if time.monotonic() > deadline:
                for session in self.unfinished():
                    console.print("\n".join(self.missing(session)), markup=False)
                raise SystemExit(f"waited {PATIENCE_S:.0f} s in vain for {what}")
            time.sleep(0.5)
        return found

    def problems(self) -> list[str]:
        """All that is not as if nothing had happened."""
        found = [line for session in self.sessions for line in self.missing(session)]
        found += self._corrupt() + self._strays() + self._doubled()
        return found

    def _corrupt(self) -> list[str]:
        store, params = self.deployment.store(), self.deployment.effective_params()
        found = []
        for session, probes in self.sessions.items():
            entry = store.registry.find(session)
            if entry is None:
                found.append(f"{session} is not registered")
                continue
            for (probe, name), (_, digest) in faults_graph.expected(session, probes, params).items():
                ref = STAGES[name].ref(entry, entry.job(probe) if probe else None)
                if not digest:
                    found += (
                        [f"{store.results.path(ref)} is there"] if store.results.path(ref).exists() else []
                    )
                    continue
                manifest = store.results.read_manifest(ref)
                damage = (
                    "no manifest" if manifest is None else store.results.damage(ref, manifest, thorough=True)
                )
                if wrong := damage or faults_graph.verify(store.results.path(ref), digest):
                    found.append(f"{session} {probe} {name}: {wrong}")
        return found

    def _strays(self) -> list[str]:
        results = self.deployment.results
        return [
            f"left behind: {path.relative_to(results)}"
            for path in results.rglob("*")
            if path.name.startswith((".tmp-", ".old-")) or ".commit-" in path.name
        ]

    def _doubled(self) -> list[str]:
        """Outputs that were published twice, and recording jobs or sessions that were asked for twice."""
        published = Counter(tuple(line.split()[2:]) for line in self.noted("published"))
        found = [
            f"published {count} times: {' '.join(what)}" for what, count in published.items() if count > 1
        ]
        with dg.DagsterInstance.get() as instance:
            asked = Counter(
                run.tags["dagster/partition"] for run in instance.get_runs() if not run.parent_run_id
            )
        return found + [f"asked for {count} times: {what}" for what, count in asked.items() if count > 1]

    def noted(self, what: str) -> list[str]:
        """Lines of the log of attempts."""
        return [line for line in self.log.read_text().splitlines() if line.split()[1] == what]

    def numbers(self) -> dict[str, int]:
        """What happened, in numbers."""
        with dg.DagsterInstance.get() as instance:
            runs = instance.get_runs()
            retries = sum(
                len(instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_RESTARTED)) for run in runs
            )
        return {
            "sessions": len(self.sessions),
            "recording jobs": sum(map(len, self.sessions.values())),
            **{f"kills: {kind}": count for kind, count in self.kills.items()},
            "runs": len(runs),
            "runs started again": sum(run.parent_run_id is not None for run in runs),
            "steps started again": retries,
            "outputs begun": len(self.noted("begun")),
            "outputs published": len(self.noted("published")),
        }


class _gone:  # noqa: N801 - reads as a word
    """What is to be killed may have ended by itself."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind, error, trace) -> bool:
        return isinstance(error, ProcessLookupError | psutil.NoSuchProcess)


def _step_process(instance: dg.DagsterInstance, run: DagsterRun) -> int | None:
    """The process of a step that is under way."""
    started: dict[str, int] = {}
    for log in instance.all_logs(run.run_id):
        event = log.dagster_event
        if event is None or log.step_key is None:
            continue
        if event.event_type is DagsterEventType.STEP_WORKER_STARTED:
            started[log.step_key] = int(event.engine_event_data.metadata["pid"].value)
        elif event.event_type in (DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE):
            started.pop(log.step_key, None)
    alive = [pid for pid in started.values() if psutil.pid_exists(pid)]
    return alive[0] if alive else None


def run_campaign(out: Path, rounds: int, seed: int) -> int:
    """Run it; the number of things that are not as they should be."""
    began = time.monotonic()
    campaign = Campaign(out, seed)
    left: list[str] = []
    try:
        for number in range(rounds):
            console.print(f"round {number + 1} of {rounds}: killed {campaign.round(number)}")
        console.print("waiting for the end")
        campaign.settle()
    finally:
        left = campaign.stop()
    problems = campaign.problems() + [f"still running: {process}" for process in left]
    for name, number in {**campaign.numbers(), "minutes": round((time.monotonic() - began) / 60)}.items():
        console.print(f"{name:24} {number}")
    console.print(f"problems                 {len(problems)}")
    console.print("\n".join(problems), markup=False)
    return len(problems)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for data and results; must not exist")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each-asset", action="store_true")
    parser.add_argument("--stages", default=",".join(STAGES), help="with --each-asset: which")
    options = parser.parse_args()
    if options.out.exists():
        parser.error(f"{options.out} exists")
    out = options.out.absolute()
    if options.each_asset:
        from faults_each import kill_each

        return 1 if kill_each(out, options.stages.split(","), options.seed) else 0
    return 1 if run_campaign(out, options.rounds, options.seed) else 0


if __name__ == "__main__":
    raise SystemExit(main())
