"""How long `spikepipe scan` takes on a folder of many sessions, and on one with very many files.

    python bench/scan.py OUT --sessions 1000 --probes 2 [--format openephys]

OUT gets the folders (a few MB: recordings are hard links to one) and keeps them; run again to measure again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from spikepipe_core.demo import FORMATS, write_demo_session

OTHER_FILES = 10_000


def main() -> None:
    options = _options()
    table = Table("folder", "command", "seconds", "exit status")
    same, different = options.out / "same_probes", options.out / "different_probes"
    if not options.out.exists():
        _generate(options, same, different)
    folders = [(same, ["--multi_session"]), (same, []), (options.out / "many_files", [])]
    if options.format == "spikeglx":
        folders.append((different, ["--multi_session"]))
    for folder, arguments in folders:
        began = time.monotonic()
        command = [sys.executable, "-m", "spikepipe_assets.cli", "scan", str(folder), *arguments, "--json"]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        seconds = f"{time.monotonic() - began:.1f}"
        table.add_row(folder.name, " ".join(["scan", *arguments]), seconds, str(done.returncode))
    Console().print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--probes", type=int, default=2)
    parser.add_argument("--format", choices=FORMATS, default="spikeglx")
    return parser.parse_args()


def _generate(options: argparse.Namespace, same: Path, different: Path) -> None:
    """Session folders whose probes are set up alike, or each in its own way, and one among many other files."""
    run = write_demo_session(
        options.out / "one", probes=options.probes, seconds=1, channels=64, format=options.format
    )
    files = [path for path in (run.rglob("*") if run.is_dir() else [run]) if path.is_file()]
    for number in range(options.sessions):
        for parent in (same, different) if options.format == "spikeglx" else (same,):
            for file in files:
                copy = parent / f"session{number:04d}" / run.name / file.relative_to(run)
                copy.parent.mkdir(parents=True, exist_ok=True)
                if parent == different and file.suffix == ".meta":
                    copy.write_text(file.read_text() + f"imDatPrb_sn={number}\n")
                else:
                    os.link(file, copy)
    crowded = options.out / "many_files"
    (crowded / "video").mkdir(parents=True)
    for number in range(OTHER_FILES):
        (crowded / "video" / f"frame{number:05d}.png").touch()
    for file in files:
        copy = crowded / run.name / file.relative_to(run)
        copy.parent.mkdir(parents=True, exist_ok=True)
        os.link(file, copy)


if __name__ == "__main__":
    main()
