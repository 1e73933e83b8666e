"""A deployment: where data and results lie, and which params apply to every session.

`spikepipe run` writes it beside the Dagster instance, so that the UI opened on that instance makes the same outputs as
the command did. A cluster gives it by environment variables.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from spikepipe_core.errors import ParamsError
from spikepipe_core.params import (
    BUILT_IN,
    InvalidParamsError,
    JobDispatchParams,
    Params,
    Problem,
    SorterName,
    apply_runmode,
    check_sorter_name,
    merge,
    migrate,
    read_params_file,
    read_session_params,
    resolve_sorter,
)
from spikepipe_core.resources import available_cores
from spikepipe_core.store import SessionEntry, Store
from spikepipe_core.store.files import write_json

if TYPE_CHECKING:
    from spikepipe_core.summary import SessionSummary

FILE_NAME = "spikepipe.json"
PINNED = "SPIKEPIPE_PINNED"
"""Environment variable with the deployment that a run was started with, and where that holds."""

LONGEST_VARIABLE = 100_000
"""Linux refuses to start a process with a variable of 128 KiB (MAX_ARG_STRLEN)."""

NEVER = "never"
"""Value of ``SPIKEPIPE_SETTLE_SECONDS`` with which only the marker file makes a session complete."""

KEEP_VARIABLE = "SPIKEPIPE_KEEP"

INPUT = "job_dispatch.input"
SESSION_PARAMS = "spikepipe_params.json"
"""A params file of this name beside a session's data overrides the deployment's for that session."""

DISCOVERY = (
    "split_segments",
    "split_groups",
    "multi_session",
    "input",
    "spikeinterface_info",
    "nwb_files",
    "allow_paths_outside_data",
)
"""Keys of `job_dispatch` by which sessions and probes are found: they come too late once these are known."""


class WatchSettings(BaseModel):
    """Where new sessions come from, and when one is complete."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    roots: tuple[str, ...] = Field(
        default=(),
        description="Folders that hold one folder a session; patterns such as /data/*/ephys name several.",
    )
    settle_s: float | None = Field(
        default=300.0,
        ge=0,
        description="Seconds for which a folder must stay as it is to be complete; null: only the marker counts.",
    )
    marker: str | None = Field(
        default=None, description="File in a session's folder that says that it is complete."
    )
    every_s: int = Field(default=30, ge=1, description="Seconds between two looks.")


Keep = Literal["always", "while_needed"]
"""`while_needed`: until everything of the session is made and up to date; made again when something needs it."""


class KeepSettings(BaseModel):
    """How long large files are kept that can be made again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    traces: Keep = Field(default="while_needed", description="Preprocessed traces in scratch.")
    lfp: Keep = Field(default="always", description="LFP, which the NWB file holds too.")
    motion: Keep = Field(default="always", description="Motion with the peaks it was estimated from.")
    analyzer: Keep = Field(default="always", description="The SortingAnalyzer.")

    @property
    def released(self) -> frozenset[str]:
        """Names of the outputs whose files may go."""
        return frozenset(
            name for name in ("lfp", "motion", "analyzer") if getattr(self, name) == "while_needed"
        )


class StorageSettings(BaseModel):
    """What `spikepipe clean` may remove. No part of the params: nothing becomes another output by it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: KeepSettings = Field(default_factory=KeepSettings)


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
    watch: WatchSettings = Field(default_factory=WatchSettings, description="New sessions by themselves.")
    storage: StorageSettings = Field(
        default_factory=StorageSettings, description="How long large files are kept."
    )

    @classmethod
    def from_environment(cls) -> Deployment:
        """The deployment that the environment describes.

        ``SPIKEPIPE_DEPLOYMENT`` names a file; without it, ``spikepipe.json`` in ``DAGSTER_HOME``; without that,
        ``RESULTS_PATH``, ``DATA_PATH`` and ``SPIKEPIPE_SCRATCH``. On top of it come ``SPIKEPIPE_PARAMS_FILE``, read
        anew each time, and ``SPIKEPIPE_DATA_ROOTS``, ``SPIKEPIPE_SETTLE_SECONDS``, ``SPIKEPIPE_COMPLETE_MARKER`` and
        ``SPIKEPIPE_LOOK_SECONDS`` for new sessions, and ``SPIKEPIPE_KEEP`` (``lfp=while_needed,traces=always``) for
        what is kept. A process that was started by one that has pinned its
        deployment takes that.
        """
        pinned = json.loads(os.environ.get(PINNED, "{}"))
        if pinned.get("for") == _surroundings():
            return cls.model_validate(pinned["deployment"])
        described = cls._described()
        changes: dict[str, Any] = {"watch": _watch_from_environment(described.watch)}
        if params_file := os.environ.get("SPIKEPIPE_PARAMS_FILE"):
            changes |= {"params_file": Path(params_file), "params": read_params_file(Path(params_file))}
        if kept := os.environ.get(KEEP_VARIABLE):
            changes["storage"] = _storage_from_environment(kept, described.storage)
        return described.model_copy(update=changes)

    @classmethod
    def _described(cls) -> Deployment:
        home = os.environ.get("DAGSTER_HOME")
        candidates = [os.environ.get("SPIKEPIPE_DEPLOYMENT"), home and f"{home}/{FILE_NAME}"]
        for candidate in filter(None, candidates):
            if Path(candidate).is_file():
                return cls.model_validate_json(Path(candidate).read_bytes())
        return cls(
            results=Path(os.environ.get("RESULTS_PATH", "results")).absolute(),
            data=_path("DATA_PATH"),
            scratch=_path("SPIKEPIPE_SCRATCH"),
        )

    def pin(self) -> None:
        """Give this deployment to all processes that this one starts, as the params file is now.

        A params file that is edited during a run would otherwise reach the steps that have not begun yet.
        """
        pinned = json.dumps({"for": _surroundings(), "deployment": self.model_dump(mode="json")})
        if len(pinned) < LONGEST_VARIABLE:
            os.environ[PINNED] = pinned

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
        self, entry: SessionEntry | SessionSummary | None = None, typed: dict[str, Any] | None = None
    ) -> Params:
        """The params that apply: defaults, deployment's file, session's file, command line, launchpad.

        Parameters
        ----------
        entry : SessionEntry or SessionSummary, optional
            Whose own params file to take into account.
        typed : dict, optional
            What a person typed into the launchpad, as a partial params file.

        Raises
        ------
        ParamsError
            All that is wrong in any of them.
        """
        params, origins = self._merged(entry)
        if isinstance(entry, SessionEntry):
            self._refuse_discovery(entry, self._session_layer(entry))
        params = apply_runmode(params, self.runmode)[0]
        input_asked = origins[INPUT] != BUILT_IN
        if typed:
            if isinstance(entry, SessionEntry):
                self._refuse_discovery(entry, [("the launchpad", typed)])
            params, origins = merge(("the run's params", params.to_dict()), ("the launchpad", typed))
            input_asked |= origins[INPUT] == "the launchpad"
        return params if input_asked else _without_input(params)

    def usable_params(self, entry: SessionEntry | None) -> Params:
        """The params that apply; the deployment's where a session's own file is wrong.

        For what must go on without that session, whose own steps fail and tell why.
        """
        try:
            return self.effective_params(entry)
        except ParamsError:
            return self.effective_params()

    def runmode_changes(self) -> list[str]:
        """What the run mode changes in the params, in words."""
        return apply_runmode(self._merged()[0], self.runmode)[1]

    def layers(self, entry: SessionEntry | SessionSummary | None = None) -> list[tuple[str, dict[str, Any]]]:
        """The partial params that are merged over the built-in defaults, weakest first, each with its name."""
        return [
            (str(self.params_file or "the deployment's params"), self.params),
            *([] if entry is None else self._session_layer(entry)),
            ("the command line", self.overrides),
        ]

    @staticmethod
    def _session_layer(entry: SessionEntry | SessionSummary) -> list[tuple[str, dict[str, Any]]]:
        """The session's own params file, if it has one."""
        file = find_session_params(entry)
        return [] if file is None else [(str(file), read_session_params(file))]

    def _refuse_discovery(self, entry: SessionEntry, layers: list[tuple[str, dict[str, Any]]]) -> None:
        """Refuse a layer of one session that would have its probes found in another way."""
        for name, raw in layers:
            given = migrate(raw)[0].get("job_dispatch", {})
            wanted = merge((name, {"job_dispatch": given}))[0].job_dispatch
            usual = self._merged()[0].job_dispatch
            late = {
                key: getattr(wanted, key)
                for key in DISCOVERY
                if key in given
                and getattr(wanted, key) != getattr(usual, key)
                and not (key == "input" and wanted.input in (None, *(job.reader for job in entry.jobs)))
            }
            if late:
                raise InvalidParamsError(name, [_too_late(key, given) for key in late])

    def _merged(self, entry: SessionEntry | SessionSummary | None = None) -> tuple[Params, dict[str, str]]:
        """The params of all files and the command line, and where each came from."""
        if self.sorter is not None:
            check_sorter_name(self.sorter, "--sorter")
        params, origins = merge(*self.layers(entry))
        chosen = params.spikesorting.model_copy(update={"sorter": resolve_sorter(params, self.sorter)})
        return params.model_copy(update={"spikesorting": chosen}), origins


def _too_late(key: str, given: Mapping[str, Any]) -> Problem:
    return Problem(
        f"job_dispatch.{key}",
        given[key],
        "comes too late here: by it sessions and probes are found, before their own params are read",
        "give it in the deployment's params file or on the command line",
    )


def _without_input(params: Params) -> Params:
    """The same params with the format unset, because nobody asked for one: then it is detected."""
    dispatch = JobDispatchParams(**params.job_dispatch.model_dump(exclude={"input"}))
    return params.model_copy(update={"job_dispatch": dispatch})


def find_session_params(entry: SessionEntry | SessionSummary) -> Path | None:
    """The session's own params file: in the folder of its raw files or above, up to the data root."""
    candidates = (entry.data / folder / SESSION_PARAMS for folder in entry.folders)
    return next((file for file in candidates if file.is_file()), None)


def _storage_from_environment(text: str, before: StorageSettings) -> StorageSettings:
    try:
        asked = dict(part.strip().split("=", 1) for part in text.split(",") if part.strip())
        return StorageSettings(keep=KeepSettings.model_validate({**before.keep.model_dump(), **asked}))
    except ValueError as error:
        names = ", ".join(KeepSettings.model_fields)
        raise ParamsError(
            f"{KEEP_VARIABLE} = {text!r} is not understood. Give name=always or name=while_needed, with "
            f"commas; the names are {names}."
        ) from error


def stored_settings(home: Path) -> StorageSettings:
    """What a person wrote into the deployment's file about storage: a later run must not forget it."""
    try:
        content = json.loads((home / FILE_NAME).read_bytes())
        return StorageSettings.model_validate(content.get("storage", {}))
    except (FileNotFoundError, ValueError):
        return StorageSettings()


def _path(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value).absolute() if value else None


def _surroundings() -> list[str | None]:
    """What decides which deployment is meant: a pinned one is not taken elsewhere."""
    return [os.environ.get(name) for name in ("SPIKEPIPE_DEPLOYMENT", "DAGSTER_HOME", "RESULTS_PATH")]


def _watch_from_environment(settings: WatchSettings) -> WatchSettings:
    values: dict[str, Any] = settings.model_dump()
    if roots := os.environ.get("SPIKEPIPE_DATA_ROOTS"):
        values["roots"] = tuple(filter(None, roots.split(os.pathsep)))
    for name, variable in (
        ("settle_s", "SPIKEPIPE_SETTLE_SECONDS"),
        ("marker", "SPIKEPIPE_COMPLETE_MARKER"),
        ("every_s", "SPIKEPIPE_LOOK_SECONDS"),
    ):
        if value := os.environ.get(variable):
            values[name] = None if value == NEVER else value
    return WatchSettings.model_validate(values)
