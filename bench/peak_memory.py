"""Peak memory of a function: the sum of the proportional set sizes of its process and of its workers.

Shared pages are counted once. Sampled ten times a second.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import psutil

GIB = 2**30


def peak_memory(target: Callable[..., None], *arguments: Any) -> tuple[int, str]:
    """Highest memory of a function in a process of its own, in bytes, and how it failed if it did."""
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    peak = 0
    while process.is_alive():
        peak = max(peak, _memory(psutil.Process(process.pid)))
        process.join(0.1)
    return peak, "" if process.exitcode == 0 else f"failed ({process.exitcode})"


def _memory(process: psutil.Process) -> int:
    total = 0
    try:
        for member in (process, *process.children(recursive=True)):
            total += member.memory_full_info().pss
    except psutil.Error:
        pass  # it ended while we looked
    return total
