"""The platform with few and cheap stages: what the daemon loads in the fault campaign of `faults.py`.

Sensors, runs, steps, locks, publishing and the ledger are the real ones. Only what a stage computes is replaced: a few
files whose content follows from the inputs, so that one can tell afterwards what should be there. Figures and reports,
which nothing is made from, are left out: a step more of the same kind shows nothing new.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from spikepipe_core.errors import BadDataError, SkippedByRule
from spikepipe_core.graph import STAGES
from spikepipe_core.params import Params
from spikepipe_core.stages.stage import Built, Stage, Work
from spikepipe_core.store import Area

LOG = "FAULTS_LOG"
"""Environment variable: a file to which an output adds a line when it is begun and when it is published."""

DIGEST = "digest.txt"
BLOBS = 4
SKIPPED, FAILED = ("sorting", "skip"), ("analyzer", "bad")
"""The stage at which a probe of a session named so is left out, or fails for its data."""


def content(stage: str, session: str, probe: str | None, inputs: Mapping[str, str]) -> str:
    """What an output consists of, in one digest: its inputs' digests decide."""
    text = "|".join([stage, session, probe or "", *(f"{name}={inputs[name]}" for name in sorted(inputs))])
    return hashlib.sha256(text.encode()).hexdigest()


def ends_here(stage: str, session: str) -> bool:
    """Whether the session's probes go no further than this stage."""
    return any(stage == where and session.endswith(word) for where, word in (SKIPPED, FAILED))


def build(stage: Stage, work: Work) -> Built:
    """Write files that follow from the inputs, slowly enough to be killed in the middle."""
    session, probe = work.entry.session, work.job.probe if work.job else None
    note("begun", stage.name, session, probe)
    if ends_here(stage.name, session):
        if session.endswith(SKIPPED[1]):
            raise SkippedByRule("no units, as the campaign wants it")
        raise BadDataError("bad data, as the campaign wants it")
    digest = content(stage.name, session, probe, _inputs(stage, work))
    dice = random.Random(digest)
    work.path.mkdir(parents=True)
    for number in range(BLOBS):
        (work.path / f"{number}.bin").write_bytes(dice.randbytes(dice.randrange(200_000)))
        time.sleep(dice.random() * 0.25)
    (work.path / DIGEST).write_text(digest)
    return Built(reason=digest[:8])


def _inputs(stage: Stage, work: Work) -> dict[str, str]:
    if stage.scope == "probe":
        return {name: _digest(work, name) for name in stage.inputs(work.params)}
    jobs = [work.of(job) for job in work.entry.jobs]
    return {
        f"{of_job.recording_job.probe}/{name}": _digest(of_job, name)
        for of_job in jobs
        for name in stage.inputs(work.params)
        if of_job.manifest(name) is not None
    }


def _digest(work: Work, name: str) -> str:
    return (work.input(name) / DIGEST).read_text()


def note(what: str, stage: str, session: str, probe: str | None) -> None:
    """Add a line to the log, whole: several processes write it."""
    line = f"{time.time():.3f} {what} {stage} {session} {probe}\n"
    descriptor = os.open(os.environ[LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def expected(
    session: str, probes: list[str], params: Params
) -> dict[tuple[str | None, str], tuple[str, str]]:
    """(probe, stage) to the outcome and the digest ("" if there is no output) of a session of the campaign."""
    found: dict[tuple[str | None, str], tuple[str, str]] = {}
    for probe in probes:
        for stage in (stage for stage in STAGES.values() if stage.scope == "probe"):
            above = {name: found[probe, name] for name in stage.inputs(params)}
            ended = next((outcome for outcome, _ in above.values() if outcome != "ok"), None)
            if ends_here(stage.name, session):
                ended = "skipped" if session.endswith(SKIPPED[1]) else "failed"
            digests = {name: digest for name, (_, digest) in above.items()}
            made = "" if ended else content(stage.name, session, probe, digests)
            found[probe, stage.name] = (ended or "ok", made)
    for stage in (stage for stage in STAGES.values() if stage.scope == "session"):
        above = {f"{p}/{n}": found[p, n] for p in probes for n in stage.inputs(params)}
        if all(outcome != "failed" for outcome, _ in above.values()):
            digests = {name: digest for name, (outcome, digest) in above.items() if outcome == "ok"}
            found[None, stage.name] = ("ok", content(stage.name, session, None, digests))
    return found


def leave_out_leaves() -> None:
    """Take the stages away that nothing of the probe is made from, in this process."""
    params = Params()
    used = {name for stage in STAGES.values() for name in stage.inputs(params)}
    for name, stage in list(STAGES.items()):
        if stage.scope == "probe" and name not in used:
            del STAGES[name]


def replace_stages() -> None:
    """Put the cheap stages in the place of the real ones, in this process."""
    leave_out_leaves()
    for name, stage in list(STAGES.items()):
        STAGES[name] = replace(
            stage, build=lambda work, stage=stage: build(stage, work), identity=lambda _: {}, checks={}
        )


def note_what_is_published() -> None:
    """Add a line to the log for every output that becomes visible."""
    commit = Area.commit

    def noting(self: Area, draft: Any, manifest: Any) -> Any:
        made = commit(self, draft, manifest)
        note("published", made.stage, made.session, made.probe)
        return made

    Area.commit = noting  # type: ignore[method-assign]


def fork_steps_from_here() -> None:
    """Fork steps from a server that has this module, with the cheap stages, and not what real ones import."""
    import spikepipe_assets.jobs

    spikepipe_assets.jobs.STEP_PROCESSES = dg.multiprocess_executor.configured(
        {"max_concurrent": 2, "start_method": {"forkserver": {"preload_modules": [__name__]}}}
    )


def verify(path: Path, digest: str) -> str | None:
    """What is wrong with an output, in words; None if it is what it should be."""
    if not (path / DIGEST).is_file():
        return f"{path} is not there"
    if (path / DIGEST).read_text() != digest:
        return f"{path} was made from other inputs than it should have been"
    dice = random.Random(digest)
    for number in range(BLOBS):
        if (path / f"{number}.bin").read_bytes() != dice.randbytes(dice.randrange(200_000)):
            return f"{path}/{number}.bin is corrupt"
        dice.random()
    return None


if os.environ.get(LOG):
    replace_stages()
    note_what_is_published()
    fork_steps_from_here()
    from spikepipe_assets.definitions import defs  # noqa: F401 - what Dagster looks for

    with dg.DagsterInstance.get():
        pass  # its imports are most of a step's start
