"""One GPU a step: where there are several, steps that run side by side must not all take the first."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from spikepipe_core.params import Params
from spikepipe_core.resources import visible_gpus
from spikepipe_core.stages.sorting import sorter_params

VISIBLE = "CUDA_VISIBLE_DEVICES"


@contextmanager
def one_gpu(params: Params) -> Iterator[str | None]:
    """Let this process see one GPU that no other step has, if there are several.

    The kernel drops the lock of a killed process, and with it the GPU is free. A sorter whose params name a device
    (``torch_device``) sees them all.

    Yields
    ------
    str or None
        The GPU; None where nothing is to be shared out, or all are taken.
    """
    gpus = visible_gpus()
    named = ":" in str(sorter_params(params).sorter.get("torch_device", ""))
    lock = None if len(gpus) < 2 or named else _take(gpus)
    if lock is None:
        yield None
        return
    before = os.environ.get(VISIBLE)
    gpu = os.environ[VISIBLE] = Path(lock.lock_file).stem
    try:
        yield gpu
    finally:
        lock.release()
        if before is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = before


def _take(gpus: list[str]) -> FileLock | None:
    """Lock the first GPU that is free."""
    folder = Path(tempfile.gettempdir(), f"spikepipe-gpus-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    for gpu in gpus:
        lock = FileLock(folder / f"{gpu}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return lock
    return None
