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

from spikepipe_assets.deployment import FILE_NAME
from spikepipe_assets.instance import prepare_home
from spikepipe_core.errors import NotAvailableError

WORKSPACE = """\
load_from:
  - python_module:
      module_name: spikepipe_assets.definitions
      location_name: spikepipe
"""


def serve(home: Path, host: str, port: int) -> int:
    """Serve until interrupted.

    Parameters
    ----------
    home : Path
        A Dagster instance that `spikepipe run` made.
    host, port : str, int
        Where to listen.

    Raises
    ------
    NotAvailableError
        No run was made there, or the port is taken.
    """
    if not (home / FILE_NAME).exists():
        raise NotAvailableError(
            f"{home} holds no spikepipe deployment. Run `spikepipe run --results ...` first, or give the --results (or "
            "--dagster-home) of that run."
        )
    _require_free(host, port)
    prepare_home(home)
    os.environ["SPIKEPIPE_DEPLOYMENT"] = str(home / FILE_NAME)
    workspace = home / "workspace.yaml"
    workspace.write_text(WORKSPACE)
    commands = [
        [sys.executable, "-m", "dagster_webserver", "-w", str(workspace), "-h", host, "-p", str(port)],
        [sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace)],
    ]
    processes = [subprocess.Popen(command) for command in commands]
    print(f"Dagster UI: http://{host}:{port}   (Ctrl-C to stop)", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        return _wait(processes)
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(processes)


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
