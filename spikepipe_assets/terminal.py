"""What a person at a terminal sees: our own lines there, everything else in a log file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

from rich.console import Console

WIDTH_OF_A_FILE = 140
"""Columns where the output is no terminal: enough for the outcome table on one line a probe."""


def open_console(stream: TextIO | None = None) -> Console:
    """A console as wide as the terminal, or wide enough for tables where there is none."""
    width = None if sys.stdout.isatty() else WIDTH_OF_A_FILE
    return Console(file=stream, width=width, highlight=False)


def new_log(home: Path) -> Path:
    """A log file's path for this invocation, beside the Dagster instance."""
    folder = home / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"run-{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}.log"


@contextmanager
def only_our_lines(log: Path) -> Iterator[Console]:
    """Send what Dagster, sorters and libraries print to a file, in this process and all that it starts.

    Sorters and NumPy write thousands of lines past Python's own streams, so the redirection is that of the
    file descriptors.

    Yields
    ------
    Console
        Still prints to where the output went before.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with log.open("ab") as file, os.fdopen(os.dup(1), "w", encoding="utf-8") as ours:
        terminal = open_console(ours)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield terminal
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, target in zip(saved, (1, 2), strict=True):
                os.dup2(descriptor, target)
                os.close(descriptor)
