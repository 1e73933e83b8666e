"""What this process may use of the machine: processor cores and accelerators."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_DEVICES = Path("/dev")


def available_cores(cgroup: Path = _CGROUP) -> int:
    """Whole cores that this process may keep busy.

    The smaller of the scheduler's affinity mask and the control group's CPU quota, at least 1. A pod
    limited to 2 CPUs on a 64-core node has 2, whatever the node's core count says.

    Parameters
    ----------
    cgroup : Path
        Root of the control group file system (v2 ``cpu.max``, v1 ``cpu.cfs_quota_us``).
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    quota = _quota(cgroup)
    return max(1, cores if quota is None else min(cores, math.floor(quota)))


def _quota(cgroup: Path) -> float | None:
    """CPU quota in cores, None when there is no limit."""
    try:
        v2 = (cgroup / "cpu.max").read_text().split()
        return None if v2[0] == "max" else int(v2[0]) / int(v2[1])
    except (OSError, ValueError, IndexError):
        pass
    try:
        v1 = int((cgroup / "cpu/cpu.cfs_quota_us").read_text())
        return None if v1 <= 0 else v1 / int((cgroup / "cpu/cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None


def available_gpus(devices: Path = _DEVICES) -> int:
    """NVIDIA GPUs that this process may use, found without a driver call or an import of PyTorch.

    As many as ``CUDA_VISIBLE_DEVICES`` names, if it is set: none if it is empty or ``-1``. Otherwise as many as have
    a device file, which is all of them on a host and those handed in in a container.

    Parameters
    ----------
    devices : Path
        Folder of the device files.
    """
    return len(visible_gpus(devices))


def visible_gpus(devices: Path = _DEVICES) -> list[str]:
    """Names by which ``CUDA_VISIBLE_DEVICES`` can be set to one of the GPUs. See `available_gpus`."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        names = [name.strip() for name in named.split(",")]
        return [] if "-1" in names else [name for name in names if name]
    files = sorted(devices.glob("nvidia[0-9]*"), key=lambda path: int(path.name.removeprefix("nvidia")))
    return [str(number) for number in range(len(files))]
