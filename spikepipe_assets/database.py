"""Where an instance keeps its runs and events: SQLite in its folder, or a PostgreSQL server.

``dagster.yaml`` decides. Where ``SPIKEPIPE_POSTGRES_URL`` is set when that file is first written, it names the
variable, never what is in it: no password comes to lie beside the results.

dagster-postgres brings the driver psycopg2, which SQLAlchemy 2.1 no longer takes by itself: an address must name it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from spikepipe_core.errors import NotAvailableError, ParamsError

URL_VARIABLE = "SPIKEPIPE_POSTGRES_URL"

BLOCK = f"""\
# Runs, events and schedules lie in the database that this variable names; without this block, in SQLite in this folder.
storage:
  postgres:
    postgres_url:
      env: {URL_VARIABLE}
"""

PATIENCE_S = 10
"""Seconds in which a server must answer (ours)."""

DRIVER = "postgresql+psycopg2"

EXAMPLE = f"{DRIVER}://user:password@host:5432/database"


def storage_block() -> str:
    """What a new ``dagster.yaml`` says of the database; empty for SQLite."""
    return f"\n{BLOCK}" if os.environ.get(URL_VARIABLE) else ""


def name_driver() -> None:
    """Name the driver in the environment's URL if it names none, for this process and all that it starts."""
    scheme, separator, rest = os.environ.get(URL_VARIABLE, "").partition("://")
    if scheme in ("postgresql", "postgres"):
        os.environ[URL_VARIABLE] = f"{DRIVER}{separator}{rest}"


def require_database(settings: Path) -> None:
    """Refuse an instance whose database is not the one that is asked for, or does not answer.

    Parameters
    ----------
    settings : Path
        The instance's ``dagster.yaml``.

    Raises
    ------
    ParamsError
        The instance has its runs in SQLite and the environment names a server; or the variable is not set, or is no
        URL.
    NotAvailableError
        The library is not installed, or the server does not answer or lets nobody in.
    """
    storage = (yaml.safe_load(settings.read_text()) or {}).get("storage") or {}
    if os.environ.get(URL_VARIABLE) and not storage:
        raise ParamsError(
            f"{URL_VARIABLE} is set, but the instance of {settings} keeps its runs in SQLite. Unset the variable, or "
            f"let the instance begin anew in PostgreSQL (results and ledger stay, the list of past runs does not) "
            f"with these lines in that file:\n{BLOCK}"
        )
    if "postgres" in storage and "auth_provider" not in storage["postgres"]:
        _connect(storage["postgres"], settings)


def _connect(config: Mapping[str, Any], settings: Path) -> None:
    """Ask the server once. No message may hold the password."""
    import sqlalchemy
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    url = _url(config, settings)
    try:
        shown = sqlalchemy.make_url(url).render_as_string(hide_password=True)
        engine = sqlalchemy.create_engine(url, connect_args={"connect_timeout": PATIENCE_S})
    except (SQLAlchemyError, ValueError):
        raise ParamsError(f"the database's URL, as {settings} says, is not like {EXAMPLE}") from None
    except ImportError as error:
        raise ParamsError(
            f"the driver for {shown}, as {settings} says, is not installed ({error}). Name the one that is: a URL like "
            f"{EXAMPLE}, or `scheme: {DRIVER}` in postgres_db"
        ) from None
    try:
        engine.connect().close()
    except DBAPIError as error:
        raise NotAvailableError(
            f"the database {shown} of {settings} cannot be used: {str(error.orig).strip()}. Start it, or correct "
            f"the address, which {URL_VARIABLE} or that file gives."
        ) from None
    finally:
        engine.dispose()


def _url(config: Mapping[str, Any], settings: Path) -> str:
    """The server's URL with the values of the environment in it, as Dagster will read it."""
    try:
        from dagster_postgres.utils import pg_config, pg_url_from_config
    except ImportError as error:
        raise NotAvailableError(
            f"{settings} names a PostgreSQL server, and dagster-postgres is not installed: "
            "pip install 'spikepipe[postgres]'"
        ) from error
    from dagster._config import process_config

    resolved = process_config(pg_config(), config)
    if not resolved.success or resolved.value is None:
        problems = "; ".join(problem.message for problem in resolved.errors or ())
        raise ParamsError(f"{settings}: storage.postgres: {problems}")
    return pg_url_from_config(resolved.value)
