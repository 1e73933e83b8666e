"""What the commands that look after results share: which deployment, and which params apply to a session of it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from spikepipe_core.errors import NotAvailableError, ParamsError, SpikepipeError

if TYPE_CHECKING:
    from spikepipe_assets.deployment import Deployment
    from spikepipe_core.params import Params
    from spikepipe_core.summary import SessionSummary

UI_VARIABLE = "SPIKEPIPE_UI_URL"
"""Where people reach Dagster's web server, for links to runs."""


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which results."""
    parser.add_argument(
        "--results",
        type=Path,
        default=os.environ.get("RESULTS_PATH"),
        help="results folder (RESULTS_PATH)",
    )
    parser.add_argument(
        "--dagster-home",
        "--dagster_home",
        type=Path,
        metavar="DIR",
        help="Dagster instance (DAGSTER_HOME); <results>/.dagster",
    )


def find_home(options: argparse.Namespace) -> Path | None:
    """The Dagster instance's folder: as given, of the environment, or beside the results; it need not exist."""
    if options.dagster_home:
        return options.dagster_home.absolute()
    if options.results and (Path(options.results) / ".dagster").is_dir():
        return (Path(options.results) / ".dagster").absolute()
    home = os.environ.get("DAGSTER_HOME")
    return Path(home).absolute() if home else None


def open_deployment(options: argparse.Namespace) -> Deployment:
    """The deployment of the results that a person named, or that the environment describes.

    Raises
    ------
    ParamsError
        Nobody said which results.
    NotAvailableError
        There are none.
    """
    from spikepipe_assets.deployment import FILE_NAME, Deployment

    home = find_home(options)
    if home is not None and (home / FILE_NAME).is_file():
        os.environ["SPIKEPIPE_DEPLOYMENT"] = str(home / FILE_NAME)
    elif options.results is None and "SPIKEPIPE_DEPLOYMENT" not in os.environ:
        raise ParamsError("say which results: --results DIR (or RESULTS_PATH in the environment)")
    deployment = Deployment.from_environment()
    if options.results is not None:
        # Results that were moved are where the person says, whatever the deployment remembers.
        deployment = deployment.model_copy(update={"results": Path(options.results).absolute()})
    if not deployment.results.is_dir():
        raise NotAvailableError(f"there is no {deployment.results}: give the --results of a run")
    return deployment


def run_url(run_id: str) -> str:
    """Where a run is seen in Dagster's UI."""
    return f"{os.environ.get(UI_VARIABLE, 'http://127.0.0.1:3000').rstrip('/')}/runs/{run_id}"


class SessionParams:
    """The params that apply to each session; those without a params file of their own share one object.

    Attributes
    ----------
    problems : dict of str to str
        Sessions whose own params file is wrong, with what is: the deployment's params are taken for them.
    """

    def __init__(self, deployment: Deployment):
        self._deployment = deployment
        self._common = deployment.effective_params()
        self._known: dict[bytes, Params] = {}
        self._there: dict[str, bool] = {}
        self.problems: dict[str, str] = {}

    def __call__(self, session: SessionSummary) -> Params:
        """The params of a session."""
        file = self._file(session)
        if file is None:
            return self._common
        try:
            content = Path(file).read_bytes()
            if content not in self._known:
                self._known[content] = self._deployment.effective_params(session)
            return self._known[content]
        except (SpikepipeError, OSError) as error:
            self.problems[session.session] = str(error)
            return self._common

    def _file(self, session: SessionSummary) -> str | None:
        """As `find_session_params`, but a folder that sessions share is looked at once."""
        from spikepipe_assets.deployment import SESSION_PARAMS

        for folder in session.folders:
            path = f"{session.data}/{folder}/{SESSION_PARAMS}"
            if path not in self._there:
                self._there[path] = os.path.isfile(path)  # noqa: PTH113 - tens of thousands of times
            if self._there[path]:
                return path
        return None
