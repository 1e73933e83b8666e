"""No process outlives its step: stopped, killed, or with the process of its run killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from spikepipe_assets.gpus import VISIBLE, one_gpu
from spikepipe_assets.launcher import HOST_TAG, PID_TAG, find_process
from spikepipe_assets.step_process import children_end_with_it
from spikepipe_core.params import Params
from spikepipe_core.resources import visible_gpus

SPAWN = multiprocessing.get_context("spawn")

DEAF = "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (2, 15)]; time.sleep(600)"
"""A sorter that heeds no signal."""


def _step(folder: Path, ending: str) -> None:
    """A step with a child of its own, which has one again, as a sorter in a pool worker has."""
    with children_end_with_it():
        shell = ["sh", "-c", f"{sys.executable} -c '{DEAF}' & wait"]
        child = subprocess.Popen(shell)
        while len(psutil.Process(child.pid).children()) < 1:
            time.sleep(0.05)
        pids = [os.getpid(), child.pid, *(p.pid for p in psutil.Process(child.pid).children())]
        (folder / "pids.tmp").write_text(" ".join(map(str, pids)))
        (folder / "pids.tmp").rename(folder / "pids")
        if ending == "ends":
            return
        time.sleep(600)


def _run(folder: Path) -> None:
    step = SPAWN.Process(target=_step, args=(folder, "waits"))
    step.start()
    step.join()


def _started(folder: Path) -> list[psutil.Process]:
    """The processes of the step: itself, its child, the child's child."""
    deadline = time.monotonic() + 60
    while not (folder / "pids").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return [psutil.Process(int(pid)) for pid in (folder / "pids").read_text().split()]


def _assert_all_end(processes: list[psutil.Process], process: multiprocessing.process.BaseProcess) -> None:
    process.join(30)
    deadline = time.monotonic() + 30
    while alive := [one for one in processes if _lives(one)]:
        assert time.monotonic() < deadline, [one.cmdline() for one in alive]
        time.sleep(0.05)


def _lives(process: psutil.Process) -> bool:
    """Whether a process still runs; where no init buries orphans, as in many containers, they stay as zombies."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_children_of_a_step_end_with_it(tmp_path, how):
    step = SPAWN.Process(target=_step, args=(tmp_path, "waits"))
    step.start()
    processes = _started(tmp_path)
    os.kill(step.pid, how)
    _assert_all_end(processes, step)


def test_what_a_step_leaves_behind_ends(tmp_path):
    step = SPAWN.Process(target=_step, args=(tmp_path, "ends"))
    step.start()
    _assert_all_end(_started(tmp_path), step)
    assert step.exitcode == 0


def test_a_step_ends_when_the_process_of_its_run_is_killed(tmp_path):
    run = SPAWN.Process(target=_run, args=(tmp_path,))
    run.start()
    processes = _started(tmp_path)
    os.kill(run.pid, signal.SIGKILL)
    _assert_all_end(processes, run)


def test_in_a_process_that_is_no_step_nothing_changes():
    before = (os.getpgrp(), signal.getsignal(signal.SIGINT))
    with children_end_with_it():
        assert (os.getpgrp(), signal.getsignal(signal.SIGINT)) == before


# --- GPUs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "found"),
    [(None, ["0", "1", "2"]), ("", []), ("-1", []), ("2,GPU-ab", ["2", "GPU-ab"])],
)
def test_gpus_are_those_with_a_device_file_or_those_named(tmp_path, monkeypatch, named, found):
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    monkeypatch.delenv(VISIBLE, raising=False)
    if named is not None:
        monkeypatch.setenv(VISIBLE, named)
    assert visible_gpus(tmp_path) == found


def test_steps_side_by_side_get_a_gpu_each(monkeypatch):
    monkeypatch.setenv(VISIBLE, "7,8")
    with one_gpu(Params()) as first:
        assert os.environ[VISIBLE] == first
        monkeypatch.setenv(VISIBLE, "7,8")  # as another process sees it
        with one_gpu(Params()) as second:
            assert {first, second} == {"7", "8"}
            monkeypatch.setenv(VISIBLE, "7,8")
            with one_gpu(Params()) as third:
                assert third is None
    with one_gpu(Params()) as again:
        assert again == "7"
    assert os.environ[VISIBLE] == "7,8"


def test_a_sorter_told_which_gpu_to_take_sees_all(monkeypatch):
    monkeypatch.setenv(VISIBLE, "7,8")
    params = Params.model_validate(
        {"spikesorting": {"sorter": "kilosort4", "kilosort4": {"sorter": {"torch_device": "cuda:1"}}}}
    )
    with one_gpu(params) as gpu:
        assert gpu is None and os.environ[VISIBLE] == "7,8"


# --- whether a run lives -----------------------------------------------------------------------------------


def test_a_run_is_found_dead_by_its_process():
    import dagster as dg

    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with dg.DagsterInstance.ephemeral() as instance:
        job = dg.job(name="any")(lambda: None)
        run = instance.create_run_for_job(job, tags={HOST_TAG: "here", PID_TAG: str(process.pid)})
        assert find_process(instance, run) == process.pid
        process.communicate(b"\n")
        assert find_process(instance, run) is None
