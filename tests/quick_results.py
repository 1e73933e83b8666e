"""Results of the real graph in milliseconds: stages that write one line, and misbehave where a test asks them to."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spikepipe_core.errors import SpikepipeError
from spikepipe_core.graph import STAGES
from spikepipe_core.ingest import RecordingJob
from spikepipe_core.params import Params
from spikepipe_core.produce import Context, produce
from spikepipe_core.stages.stage import Built, Stage, Work
from spikepipe_core.store import SessionEntry, Store


def job(session: str, probe: str) -> RecordingJob:
    return RecordingJob(
        session=session, session_folder=session, probe=probe, block="block0", segment=1, stream=f"{probe}.ap",
        recording_name=f"block0_{probe}.ap_recording1", reader="spikeglx", source=(),
        files=(f"{session}/{session}_{probe}/raw.bin",),
    )  # fmt: skip


def entry(data: Path, session: str, probes: tuple[str, ...]) -> SessionEntry:
    return SessionEntry(
        session=session,
        session_folder=session,
        data=data,
        jobs=tuple(job(session, probe) for probe in probes),
    )


@dataclass
class QuickResults:
    """A results folder with sessions; `misbehave` maps (session, probe, stage) to what happens instead."""

    root: Path
    params: Params = field(default_factory=Params)
    misbehave: dict[tuple[str, str | None, str], BaseException | Built] = field(default_factory=dict)
    made: list[tuple[str, str | None, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store(self.root)
        self.stages: dict[str, Stage] = {
            name: replace(stage, identity=lambda _: {}, build=self._building(name))
            for name, stage in STAGES.items()
        }

    def _building(self, name: str) -> Callable[[Work], Built]:
        def build(work: Work) -> Built:
            who = (work.entry.session, work.job.probe if work.job else None, name)
            self.made.append(who)
            odd = self.misbehave.get(who)
            if isinstance(odd, BaseException):
                raise odd
            if odd is None:
                work.path.write_text(f"{name} of {who[0]} {who[1]}")
            return odd or Built(f"{name} is there")

        return build

    def register(self, session: str, *probes: str) -> SessionEntry:
        found = entry(self.root.parent / "data", session, probes)
        self.store.registry.add([found])
        return found

    def work(self, session: str, probe: str | None, **more: Any) -> Work:
        found = self.store.registry.find(session)
        assert found is not None
        return Work(self.store, found, found.job(probe) if probe else None, self.params, self.stages, **more)

    def make(self, session: str, probe: str | None, *names: str, run_id: str = "run-1") -> None:
        """Make outputs of a recording job or session: all of them unless names are given; failures are kept."""
        for name, stage in self.stages.items():
            if (stage.scope == "session") == (probe is None) and (not names or name in names):
                try:
                    produce(stage, self.work(session, probe), context=Context(run_id, f"run {run_id}"))
                except SpikepipeError:
                    continue

    def make_session(self, session: str) -> None:
        found = self.store.registry.find(session)
        assert found is not None
        for probe in (*found.probes, None):
            self.make(session, probe)

    def copied(self, root: Path) -> QuickResults:
        """The same results in another folder: quicker than making them again."""
        shutil.copytree(self.root, root)
        return QuickResults(root, self.params, dict(self.misbehave))

    def change(self, **sections: dict[str, Any]) -> None:
        whole = self.params.to_dict()
        for section, values in sections.items():
            whole[section] |= values
        self.params = Params.model_validate(whole)
