"""Ends what is left of a step's processes once the step, or the run it belongs to, is gone.

``python guardian.py STEP RUN``: both are process ids; the step leads a process group of its own. Started by
`spikepipe_assets.step_process` in a session of its own, so that what kills the run does not kill it. It imports
nothing but the standard library, and lives as long as the step.
"""

import contextlib
import os
import select
import signal
import sys
import time

GRACE_S = 2.0
"""Seconds in which the helpers of a step that has ended may end by themselves (ours)."""

POLL_S = 0.5


def main(step: int, run: int) -> None:
    """Wait for the end of either; then end the step's group."""
    if wait_for_one(step, run) == step:
        time.sleep(GRACE_S)
    with contextlib.suppress(ProcessLookupError):  # nothing may be left
        os.killpg(step, signal.SIGKILL)


def wait_for_one(*processes: int) -> int:
    """The process that ends first."""
    if not hasattr(os, "pidfd_open"):
        return _poll(*processes)
    descriptors = {}
    for process in processes:
        try:
            descriptors[os.pidfd_open(process)] = process
        except ProcessLookupError:
            return process
    return descriptors[select.select(list(descriptors), [], [])[0][0]]


def _poll(*processes: int) -> int:
    while True:
        for process in processes:
            try:
                os.kill(process, 0)
            except ProcessLookupError:
                return process
        time.sleep(POLL_S)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
