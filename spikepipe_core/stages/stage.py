"""What a stage is, and what it is handed: the one pattern that every output follows."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spikepipe_core.ingest import RecordingJob
from spikepipe_core.params import JobKwargs, Params
from spikepipe_core.progress import BARS_SHOWN
from spikepipe_core.store import Area, Manifest, OutputRef, SessionEntry, Store


@dataclass(frozen=True)
class Built:
    """What a stage says about the output it has just written.

    Attributes
    ----------
    reason : str
        The result in words, for the ledger: "27 units".
    summary : dict
        Numbers, texts and tables (lists of flat dicts) that people look at.
    pictures : dict of str to bytes
        Title to a small PNG.
    versions : dict of str to str
        Versions of tools that only this stage uses.
    empty : bool
        Nothing was written, because the params ask for nothing or there is nothing; `reason` says which.
        Stages below go on.
    """

    reason: str
    summary: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    empty: bool = False

    def plain_summary(self) -> dict[str, Any]:
        """The summary in JSON's own types: NumPy's numbers become Python's, what is not finite becomes null."""
        return {name: _plain(value) for name, value in self.summary.items()}

    def encoded_pictures(self) -> dict[str, str]:
        """The pictures as base64 text."""
        return {title: base64.b64encode(png).decode() for title, png in self.pictures.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline: how its output is named, what decides it, and how it is made.

    Attributes
    ----------
    name : str
        Name of the output, of the asset, and of the folder of its manifests.
    version : str
        Raised whenever the stage would make something else from the same inputs and params.
    section : str
        The params section, as a dotted path, that the launchpad shows for this stage.
    location : str
        Path in the session's results, with ``{name}`` for the recording name or session key.
    settings : callable
        The part of the params that reaches the output, as JSON values.
    build : callable
        Writes the output to ``work.path``; raises `SkippedByRule` to leave the recording out.
    inputs : callable
        Names of the stages whose outputs it works on, which may depend on the params.
    identity : callable
        Digests of what else decides the output: raw files, models.
    scope : {"probe", "session"}
        One output a recording job, or one a session.
    checks : mapping
        Name to meaning of what the stage judges; results go into the summary under ``checks``.
    """

    name: str
    version: str
    section: str
    location: str | Callable[[Params], str]
    settings: Callable[[Params], dict[str, Any]]
    build: Callable[[Work], Built]
    inputs: Callable[[Params], tuple[str, ...]] = lambda _: ()
    identity: Callable[[Work], dict[str, Any]] = lambda _: {}
    scope: Literal["probe", "session"] = "probe"
    checks: Mapping[str, str] = field(default_factory=dict)

    def ref(self, entry: SessionEntry, job: RecordingJob | None, params: Params | None = None) -> OutputRef:
        """Where this stage's output of a recording job (or of the session) lies.

        The params matter for its path only, not for where its manifest is found.
        """
        name = entry.session if job is None else job.recording_name
        location = self.location if isinstance(self.location, str) else self.location(params or Params())
        return OutputRef(entry.session_folder, self.name, name, location.format(name=name))


@dataclass(frozen=True)
class Work:
    """What a stage is handed for one recording job (or one session).

    Attributes
    ----------
    job : RecordingJob or None
        None for a stage of the whole session.
    stages : mapping
        All stages by name, to find inputs by.
    path : Path
        Where to write the output; a temporary name that has the final ending.
    n_jobs : int
        Processes to use at most.
    say : callable
        Tells a person what is going on, one sentence at a time.
    """

    store: Store
    entry: SessionEntry
    job: RecordingJob | None
    params: Params
    stages: Mapping[str, Stage]
    n_jobs: int = 1
    say: Callable[[str], None] = lambda _: None
    path: Path = Path()

    @property
    def data(self) -> Path:
        """The data root of the session's raw files."""
        return self.entry.data

    @property
    def recording_job(self) -> RecordingJob:
        """The recording job; only for stages of a probe."""
        assert self.job is not None, "a stage of the whole session has no recording job"
        return self.job

    def job_kwargs(self, section: JobKwargs) -> dict[str, Any]:
        """Parallelism, as SpikeInterface's functions take it: a section's, with an explicit number of processes.

        Progress bars are always asked for, because lines are made of them (`spikepipe_core.progress`).
        """
        BARS_SHOWN.set(section.progress_bar)
        return {"n_jobs": self.n_jobs, **section.model_dump(exclude_none=True), "progress_bar": True}

    def at(self, path: Path) -> Work:
        """The same work, written to another path."""
        return replace(self, path=path)

    def of(self, job: RecordingJob) -> Work:
        """The same work for one of the session's recording jobs."""
        return replace(self, job=job)

    def ref(self, stage: str) -> OutputRef:
        """Where another stage's output of this job (or session) lies."""
        wanted = self.stages[stage]
        job = self.job if wanted.scope == "probe" else None
        return wanted.ref(self.entry, job, self.params)

    def input(self, stage: str) -> Path:
        """Path of an input, which `produce` has found to be there."""
        return self.store.results.path(self.ref(stage))

    def manifest(self, stage: str) -> Manifest | None:
        """Manifest of another output of this job, None if it is not there."""
        return self.store.results.manifest(self.ref(stage))

    def scratch_ref(self, what: str) -> OutputRef:
        """A name in the scratch area for large files of this job that can be made again."""
        name = self.recording_job.recording_name
        return OutputRef(self.entry.session_folder, what, name, f"{name}/{what}")

    @property
    def scratch(self) -> Area:
        """The scratch area."""
        return self.store.scratch
