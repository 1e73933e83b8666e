"""A deployment: where data and results lie, and which params apply to every session.

`spikepipe run` writes it beside the Dagster instance, so that the UI opened on that instance makes the same outputs as
the command did. A cluster gives it by environment variables.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from spikepipe_core.params import (
    BUILT_IN,
    JobDispatchParams,
    Params,
    SorterName,
    apply_runmode,
    merge,
    read_params_file,
    resolve_sorter,
)
from spikepipe_core.resources import available_cores
from spikepipe_core.store import SessionEntry, Store
from spikepipe_core.store.files import write_json

FILE_NAME = "spikepipe.json"
INPUT = "job_dispatch.input"
SESSION_PARAMS = "spikepipe_params.json"
"""A params file of this name beside a session's data overrides the deployment's for that session."""


class Deployment(BaseModel):
    """Where things lie, and which params apply."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    results: Path = Field(description="Results root.")
    data: Path | None = Field(
        default=None, description="Data root of the latest run; for the person who reads this."
    )
    scratch: Path | None = Field(default=None, description="Scratch root; <results>/.scratch if not given.")
    params_file: Path | None = Field(default=None, description="Where `params` was read from.")
    params: dict[str, Any] = Field(
        default_factory=dict, description="Content of the deployment's params file."
    )
    overrides: dict[str, Any] = Field(default_factory=dict, description="Values given on the command line.")
    sorter: SorterName | None = Field(
        default=None, description="--sorter: taken where no params file names one."
    )
    runmode: Literal["full", "fast"] = "full"
    n_jobs: int | None = Field(
        default=None, ge=1, description="Processes a step may use; all cores if not given."
    )

    @classmethod
    def from_environment(cls) -> Deployment:
        """The deployment that the environment describes.

        ``SPIKEPIPE_DEPLOYMENT`` names a file; without it, ``spikepipe.json`` in ``DAGSTER_HOME``; without that,
        ``RESULTS_PATH``, ``DATA_PATH``, ``SPIKEPIPE_SCRATCH`` and ``SPIKEPIPE_PARAMS_FILE``.
        """
        home = os.environ.get("DAGSTER_HOME")
        candidates = [os.environ.get("SPIKEPIPE_DEPLOYMENT"), home and f"{home}/{FILE_NAME}"]
        for candidate in filter(None, candidates):
            if Path(candidate).is_file():
                return cls.model_validate_json(Path(candidate).read_bytes())
        params_file = os.environ.get("SPIKEPIPE_PARAMS_FILE")
        return cls(
            results=Path(os.environ.get("RESULTS_PATH", "results")).absolute(),
            data=_path("DATA_PATH"),
            scratch=_path("SPIKEPIPE_SCRATCH"),
            params_file=Path(params_file) if params_file else None,
            params=read_params_file(Path(params_file)) if params_file else {},
        )

    def save(self, home: Path) -> Path:
        """Write the deployment beside a Dagster instance."""
        path = home / FILE_NAME
        write_json(path, self.model_dump(mode="json"))
        return path

    def store(self) -> Store:
        """The store of this deployment."""
        return Store(self.results, self.scratch)

    @property
    def processes(self) -> int:
        """Processes that a step may use."""
        return self.n_jobs or available_cores()

    def effective_params(
        self, entry: SessionEntry | None = None, typed: dict[str, Any] | None = None
    ) -> Params:
        """The params that apply: defaults, deployment's file, session's file, command line, launchpad.

        Parameters
        ----------
        entry : SessionEntry, optional
            Whose own params file to take into account.
        typed : dict, optional
            What a person typed into the launchpad, as a partial params file.

        Raises
        ------
        ParamsError
            All that is wrong in any of them.
        """
        params, origins = self._merged(entry)
        params = apply_runmode(params, self.runmode)[0]
        input_asked = origins[INPUT] != BUILT_IN
        if typed:
            params, origins = merge(("the run's params", params.to_dict()), ("the launchpad", typed))
            input_asked |= origins[INPUT] == "the launchpad"
        return params if input_asked else _without_input(params)

    def runmode_changes(self) -> list[str]:
        """What the run mode changes in the params, in words."""
        return apply_runmode(self._merged()[0], self.runmode)[1]

    def layers(self, entry: SessionEntry | None = None) -> list[tuple[str, dict[str, Any]]]:
        """The partial params that are merged over the built-in defaults, weakest first, each with its name."""
        layers = [(str(self.params_file or "the deployment's params"), self.params)]
        session_file = None if entry is None else find_session_params(entry)
        if session_file is not None:
            layers.append((str(session_file), read_params_file(session_file)))
        return [*layers, ("the command line", self.overrides)]

    def _merged(self, entry: SessionEntry | None = None) -> tuple[Params, dict[str, str]]:
        """The params of all files and the command line, and where each came from."""
        params, origins = merge(*self.layers(entry))
        chosen = params.spikesorting.model_copy(update={"sorter": resolve_sorter(params, self.sorter)})
        return params.model_copy(update={"spikesorting": chosen}), origins


def _without_input(params: Params) -> Params:
    """The same params with the format unset, because nobody asked for one: then it is detected."""
    dispatch = JobDispatchParams(**params.job_dispatch.model_dump(exclude={"input"}))
    return params.model_copy(update={"job_dispatch": dispatch})


def find_session_params(entry: SessionEntry) -> Path | None:
    """The session's own params file: in the folder of its raw files or above, up to the data root."""
    for job in entry.jobs:
        folder = (entry.data / job.files[0]).parent if job.files else entry.data
        while folder == entry.data or entry.data in folder.parents:
            if (folder / SESSION_PARAMS).is_file():
                return folder / SESSION_PARAMS
            folder = folder.parent
    return None


def _path(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value).absolute() if value else None
