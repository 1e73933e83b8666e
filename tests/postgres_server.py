"""A PostgreSQL server of its own for a test: made from the installed programs, on a free port, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "s3cret-of-the-test"


def find_programs() -> Path | None:
    """Where `initdb` and `pg_ctl` are: on the path, or where Linux distributions put them."""
    on_path = shutil.which("pg_ctl")
    found = [Path(on_path).parent] if on_path else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in found if (folder / "initdb").exists()), None)


@contextmanager
def postgres_server(programs: Path) -> Iterator[str]:
    """A server with an empty database; yields its URL."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    user = _owner(folder)
    (folder / "password").write_text(PASSWORD)

    def call(program: str, *arguments: str) -> None:
        # No pipe: the server inherits what it writes to, and would hold it open.
        log = (folder / f"{program}.log").open("w+")
        code = subprocess.call(
            [programs / program, "-D", folder / "data", *arguments],
            stdout=log,
            stderr=log,
            user=user,
            cwd=folder,
        )
        assert code == 0, (folder / f"{program}.log").read_text()

    try:
        call("initdb", "-U", "lab", "-A", "scram-sha-256", "--pwfile", str(folder / "password"), "--no-sync")
        port = _free_port()
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        call("pg_ctl", "start", "-w", "-l", str(folder / "server.log"), "-o", options)
        try:
            yield f"postgresql://lab:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder)


def _owner(folder: Path) -> int | None:
    """A user for the server, which refuses to run as root; the folder becomes theirs."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    user = known.get("postgres", known["nobody"])
    os.chown(folder, user, -1)
    return user


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
