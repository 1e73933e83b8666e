"""`spikepipe ui`: Dagster's webserver and daemon on the instance of a run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg

from spikepipe_assets.deployment import FILE_NAME, PINNED, Deployment, WatchSettings
from spikepipe_assets.instance import prepare_home, set_pool_limits
from spikepipe_assets.opened import UI_VARIABLE
from spikepipe_core.errors import NotAvailableError
from spikepipe_core.params import read_params_file

WORKSPACE = """\
load_from:
  - python_module:
      module_name: spikepipe_assets.definitions
      location_name: spikepipe
"""


def describe_deployment(
    results: Path, home: Path, params_file: Path | None, watch: dict[str, Any]
) -> Deployment:
    """The deployment to serve: the one of an earlier run, with what is asked for now.

    Parameters
    ----------
    results, home : Path
    params_file : Path, optional
        It is read again whenever the code location is reloaded.
    watch : dict
        What is to change in the `WatchSettings`.

    Raises
    ------
    NotAvailableError
        No run was made there, and nothing is asked for that would make one.
    ParamsError
        All that is wrong in the params file.
    """
    file = home / FILE_NAME
    if file.exists():
        known = Deployment.model_validate_json(file.read_bytes())
    elif watch.get("roots") or params_file or os.environ.get("SPIKEPIPE_DATA_ROOTS"):
        known = Deployment(results=results)
    else:
        raise NotAvailableError(
            f"{home} holds no spikepipe deployment. Run `spikepipe run --results ...` first, give the --results (or "
            "--dagster-home) of that run, or let new sessions be processed with --watch."
        )
    if params_file is not None:
        changes = {"params_file": params_file.absolute(), "params": read_params_file(params_file)}
        known = known.model_copy(update=changes)
    roots = watch.get("roots")
    if roots is not None:
        watch = {**watch, "roots": tuple(os.path.abspath(root) for root in roots)}  # noqa: PTH100 - may be a pattern
    described = known.model_copy(
        update={"watch": WatchSettings.model_validate({**known.watch.model_dump(), **watch})}
    )
    described.effective_params()
    return described


def serve(home: Path, host: str, port: int, deployment: Deployment) -> int:
    """Serve until interrupted.

    Parameters
    ----------
    home : Path
        Where the Dagster instance is, or is made.
    host, port : str, int
        Where to listen.
    deployment : Deployment

    Raises
    ------
    NotAvailableError
        The port is taken.
    """
    _require_free(host, port)
    prepare_home(home)
    os.environ["SPIKEPIPE_DEPLOYMENT"] = str(deployment.save(home))
    os.environ.pop(PINNED, None)
    if deployment.params_file is not None and deployment.params_file.is_file():
        os.environ["SPIKEPIPE_PARAMS_FILE"] = str(deployment.params_file)
    os.environ.setdefault(UI_VARIABLE, f"http://{_name_of(host)}:{port}")
    with dg.DagsterInstance.get() as instance:
        set_pool_limits(instance)
    workspace = home / "workspace.yaml"
    workspace.write_text(WORKSPACE)
    commands = [
        [sys.executable, "-m", "dagster_webserver", "-w", str(workspace), "-h", host, "-p", str(port)],
        [sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace)],
    ]
    processes = [subprocess.Popen(command) for command in commands]
    print(f"Dagster UI: http://{host}:{port}   (Ctrl-C to stop)", flush=True)
    for root in deployment.watch.roots:
        print(f"watching {root} for new sessions", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        return _wait(processes)
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(processes)


def _name_of(host: str) -> str:
    """How others reach what listens there."""
    return socket.gethostname() if host in ("0.0.0.0", "::") else host


def _require_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise NotAvailableError(
                f"cannot listen on {host}:{port}: {error.strerror}. Choose another --port or --host."
            ) from error


def _wait(processes: list[subprocess.Popen]) -> int:
    """Until one of them ends, which neither should by itself."""
    while True:
        for process in processes:
            if process.poll() is not None:
                return process.returncode or 1
        time.sleep(0.5)


def _stop(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
    for process in processes:
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
