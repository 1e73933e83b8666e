"""A step's process and all that it starts (sorters, pool workers): they end together, however that comes about.

- The step is stopped, by a person or a shutdown: its children are killed at once. Python's process pools would
  otherwise finish the work they have before they let the step go, and a sorter would go on for hours.
- The step is killed, or the kernel runs out of memory: pool workers do not notice and would wait for ever.
- The process of the whole run is killed: nobody would look after the step any more, and its run is shown as failed.

The last two are seen to by a small process beside the step, `guardian`, because a killed process can do nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import psutil

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
GUARDIAN = Path(__file__).with_name("guardian.py")


@contextmanager
def children_end_with_it() -> Iterator[None]:
    """Hold what is done inside, and all processes it starts, together.

    Does nothing where a step has no process of its own (in tests, or when everything is up to date), and leaves
    a pod to its container, which ends all that is in it. A signal that the process ignores stays ignored.
    """
    run = multiprocessing.parent_process()
    if run is None or run.pid is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    guardian = _lead_a_group(run.pid)
    found = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    before = {number: handler for number, handler in found.items() if handler is not signal.SIG_IGN}

    def stop(number: int, frame: FrameType | None) -> None:
        kill_children(besides=guardian)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)
        else:
            raise KeyboardInterrupt

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def kill_children(besides: int) -> None:
    """Kill every process that this one has started, and those that they have."""
    for child in psutil.Process().children(recursive=True):
        if child.pid != besides:
            with suppress(psutil.NoSuchProcess):
                child.kill()


def _lead_a_group(run: int) -> int:
    """Put this process at the head of a process group and have that watched over; the watcher's process id."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    command = [sys.executable, "-I", "-S", str(GUARDIAN), str(os.getpid()), str(run)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True).pid
