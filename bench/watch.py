"""How long a tick of the sensor `new_sessions` takes at a data root of ten thousand session folders.

    python bench/watch.py OUT --sessions 10000 --probes 4

OUT gets the folders (recordings are hard links to one session's files) and the results. All sessions are taken in
first, fifty a tick as the sensor does; then nothing is new, then one session is. Exit status 1: a tick takes 2 s or
more once all are known.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import dagster as dg
from rich.console import Console
from rich.progress import track
from rich.table import Table

from spikepipe_assets.definitions import build_definitions
from spikepipe_assets.deployment import Deployment, WatchSettings
from spikepipe_core.demo import write_demo_session

LIMIT_S = 2.0
REPEATS = 5


class Ticks:
    """Plays the sensor daemon: keeps the cursor and adds partitions; runs are counted, not started."""

    def __init__(self, results: Path, root: Path, instance: dg.DagsterInstance):
        watch = WatchSettings(roots=(str(root),), settle_s=0)
        self.defs, self.instance = build_definitions(Deployment(results=results, watch=watch)), instance
        self.sensor, self.cursor = self.defs.resolve_sensor_def("new_sessions"), None

    def tick(self) -> tuple[float, int]:
        """Seconds that a tick took, and the runs that it asked for."""
        context = dg.build_sensor_context(self.instance, self.cursor, definitions=self.defs)
        began = time.monotonic()
        found = self.sensor(context)
        seconds = time.monotonic() - began
        for request in found.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
        self.cursor = found.cursor
        return seconds, len(found.run_requests or [])


def main() -> int:
    options = _options()
    root, home = options.out / "raw", options.out / "dagster"
    if not root.exists():
        files = _session(options.out / "one", options.probes)
        for number in range(options.sessions):
            _link(files, root / f"session{number:05d}")
    home.mkdir(exist_ok=True)
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        ticks = Ticks(options.out / "results", root, instance)
        intake = [ticks.tick() for _ in track(range(options.sessions // 50 + 2), "taking them in")]
        idle = [ticks.tick()[0] for _ in range(REPEATS)]
        _link(_session(options.out / "one", options.probes), root / f"session{time.time_ns()}")
        new = [ticks.tick() for _ in range(2)]
    table = Table("tick", "seconds", "runs asked for")
    table.add_row(
        "the slowest while all are taken in", f"{max(intake)[0]:.2f}", str(sum(n for _, n in intake))
    )
    table.add_row(f"nothing new, the slowest of {REPEATS}", f"{max(idle):.2f}", "0")
    table.add_row("one new session", f"{max(new)[0]:.2f}", str(sum(n for _, n in new)))
    Console().print(table)
    return int(max(*idle, max(new)[0]) >= LIMIT_S)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--probes", type=int, default=4)
    return parser.parse_args()


def _session(folder: Path, probes: int) -> dict[Path, Path]:
    """Files of a session, by their path in it."""
    if not folder.exists():
        write_demo_session(folder, probes=probes, seconds=1, channels=8)
    return {path.relative_to(folder): path for path in folder.rglob("*_imec*/*") if path.is_file()}


def _link(files: dict[Path, Path], session: Path) -> None:
    for name, file in files.items():
        (session / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(file, session / name)


if __name__ == "__main__":
    sys.exit(main())
