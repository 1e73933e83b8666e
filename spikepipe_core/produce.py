"""Make one output, or find that it is there already: the same path for every stage and every caller.

`produce` works out the data version the output would have. If a published output carries it, that is
reused. If not, the stage writes a new one, which becomes visible all at once. Either way the ledger gets
a line.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version

from spikepipe_core.errors import MissingInputError, SkippedByRule, SpikepipeError
from spikepipe_core.params import Params
from spikepipe_core.progress import bars_said
from spikepipe_core.reports import write_session_reports
from spikepipe_core.stages.stage import Built, Stage, Work
from spikepipe_core.store import Manifest, Outcome, data_version
from spikepipe_core.store.files import remove
from spikepipe_core.store.ledger import Verdict

INTERRUPTED = "interrupted: stopped before it was finished. Run it again to go on from what is published."
"""Reason of an output whose run was terminated, by a person or by a shutdown."""


@dataclass(frozen=True)
class Produced:
    """What came of asking for an output.

    Attributes
    ----------
    outcome : Outcome
        The line in the ledger.
    manifest : Manifest or None
        None if the recording was skipped at this stage or above it.
    """

    outcome: Outcome
    manifest: Manifest | None


@dataclass(frozen=True)
class Context:
    """Who asks: goes into the ledger with the outcome."""

    run_id: str | None = None
    log: str | None = None


def produce(stage: Stage, work: Work, *, recompute: bool = False, context: Context | None = None) -> Produced:
    """Make one output of a recording job or session, or reuse the published one.

    Parameters
    ----------
    stage : Stage
    work : Work
        For one recording job, or for the session if the stage is of the session.
    recompute : bool
        Make it again even if the published one is up to date.

    Raises
    ------
    SpikepipeError
        The data or the params are bad; trying again will not help.
    Exception
        Whatever the infrastructure did; trying again may help.
    """
    attempt = _Attempt(stage, work, context or Context())
    try:
        with work.store.results.lock(work.ref(stage.name), waiting=work.say):
            return _make_or_reuse(attempt, recompute=recompute)
    except _InputSkipped as skip:
        return _skipped(attempt, skip.reason, skip.because_of)
    except SkippedByRule as skip:
        work.say(f"{stage.name}: skipped, {skip.reason}")
        return _skipped(attempt, skip.reason)
    except _InputFailedError as failure:
        attempt.record("failed", str(failure), failure.because_of)
        raise
    except SpikepipeError as error:
        attempt.record("failed", str(error))
        raise
    except Exception as error:
        attempt.record("failed", f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
        raise
    except BaseException:
        attempt.record("failed", INTERRUPTED)
        raise


def record_lost(stage: Stage, work: Work, reason: str, context: Context) -> None:
    """Record the failure of an attempt whose process died before it could do so itself."""
    _Attempt(stage, work, context).record("failed", reason)


@dataclass(frozen=True)
class _Attempt:
    """One attempt at an output, from which its line in the ledger comes."""

    stage: Stage
    work: Work
    context: Context
    started: float = field(default_factory=time.monotonic)

    def record(
        self,
        verdict: Verdict,
        reason: str,
        because_of: str | None = None,
        *,
        reused: bool = False,
        data_version: str | None = None,
    ) -> Outcome:
        work = self.work
        outcome = Outcome(
            session=work.entry.session,
            probe=work.job.probe if work.job else None,
            stage=self.stage.name,
            outcome=verdict,
            reason=reason,
            because_of=because_of,
            at=datetime.now(UTC),
            duration_s=round(time.monotonic() - self.started, 3),
            run_id=self.context.run_id,
            log=self.context.log,
            reused=reused,
            data_version=data_version,
        )
        work.store.ledger.write(work.entry.session_folder, outcome)
        if outcome.data_version is None:
            _pass_on(self.stage, work, outcome)
        else:
            _take_back(self.stage, work)
        write_session_reports(work.store, work.entry.session_folder)
        return outcome


def _make_or_reuse(attempt: _Attempt, *, recompute: bool) -> Produced:
    """Under the output's lock: the published output if it is up to date, else a new one."""
    stage, work = attempt.stage, attempt.work
    work.store.results.recover(work.ref(stage.name))
    inputs = input_versions(stage, work)
    expected = expected_version(stage, work, inputs)
    found = None if recompute else (work.manifest(stage.name) or released(stage.name, work))
    if found is not None and found.data_version == expected:
        gone = f"; its files were removed on {found.released:%Y-%m-%d} to save room" if found.released else ""
        work.say(f"{stage.name}: up to date, reused{gone}")
        verdict: Verdict = "skipped" if found.empty else "ok"
        reason = found.empty or found.summary.get("result", "reused")
        return Produced(attempt.record(verdict, reason, reused=True, data_version=expected), found)
    if _bring_back(attempt):
        inputs = input_versions(stage, work)
        expected = expected_version(stage, work, inputs)
    manifest, built = _build(stage, work, inputs, expected)
    verdict = "skipped" if built.empty else "ok"
    return Produced(attempt.record(verdict, built.reason, data_version=expected), manifest)


def released(name: str, work: Work) -> Manifest | None:
    """The manifest of an output whose files were removed to save room, else None."""
    manifest = work.store.results.read_manifest(work.ref(name))
    return manifest if manifest is not None and manifest.released else None


def _bring_back(attempt: _Attempt) -> bool:
    """Make again what was removed to save room, as far as this output may read it; whether there was anything.

    A stage may read any output above it, not just those it names as inputs.
    """
    stage, work = attempt.stage, attempt.work
    found = False
    for one in [work] if work.job else [work.of(job) for job in work.entry.jobs]:
        for name in ancestors(stage, one):
            if released(name, one):
                work.say(
                    f"{name}: its files were removed to save room; {stage.name} needs them, they are made again"
                )
                produce(one.stages[name], one, recompute=True, context=attempt.context)
                found = True
    return found


def ancestors(stage: Stage, work: Work) -> list[str]:
    """Names of the probe's stages above another one, in the order of the graph, under these params."""
    above = set(stage.inputs(work.params))
    for other in reversed(list(work.stages.values())):
        if other.name in above:
            above |= set(other.inputs(work.params))
    return [name for name, other in work.stages.items() if name in above and other.scope == "probe"]


def _skipped(attempt: _Attempt, reason: str, because_of: str | None = None) -> Produced:
    """Leave the recording out: what an earlier run published of it, under other params, goes.

    It would be taken for a result of the params as they are now.
    """
    stage, work = attempt.stage, attempt.work
    below = descendants(stage.name, work) if work.job else []
    for name in (stage.name, *below):
        ref = work.ref(name)
        with work.store.results.lock(ref, waiting=work.say):
            if work.store.results.withdraw(ref):
                work.say(f"{name}: the output of an earlier run is removed, {reason}")
    return Produced(attempt.record("skipped", reason, because_of), None)


def is_current(stage: Stage, work: Work) -> bool:
    """Whether `produce` would reuse the published output."""
    try:
        inputs = input_versions(stage, work)
    except (_InputSkipped, SkippedByRule, MissingInputError):
        return False
    found = work.manifest(stage.name) or released(stage.name, work)
    return found is not None and found.data_version == expected_version(stage, work, inputs)


def expected_version(stage: Stage, work: Work, inputs: dict[str, str]) -> str:
    """The data version that the output has if it is up to date with these inputs."""
    return data_version(stage.name, stage.version, stage.settings(work.params), inputs, stage.identity(work))


def input_versions(stage: Stage, work: Work) -> dict[str, str]:
    """Data versions of the published inputs of a stage.

    Raises
    ------
    MissingInputError
        An input was never made, or its last attempt failed.
    """
    names = stage.inputs(work.params)
    if stage.scope == "probe":
        return {name: _input_version(name, work) for name in names}
    return _session_inputs(stage, work, names)


def _input_version(name: str, work: Work) -> str:
    """Data version of one input of one recording job."""
    manifest = work.manifest(name) or released(name, work)
    probe = work.recording_job.probe
    last = work.store.ledger.read(work.entry.session_folder, work.entry.session, probe, name)
    if last is not None and last.outcome == "skipped" and last.data_version is None:
        raise _InputSkipped(_because(last), last.because_of or last.stage)
    if last is not None and last.outcome == "failed":
        raise _InputFailedError(
            f"{probe} of {work.entry.session}: {_because(last)}", last.because_of or last.stage
        )
    if manifest is None:
        raise MissingInputError(
            f"{probe} of {work.entry.session}: {name} has not been made, or no longer matches its manifest. "
            f"Materialize {name} first."
        )
    return manifest.data_version


def _session_inputs(stage: Stage, work: Work, names: Sequence[str]) -> dict[str, str]:
    """Data versions of the inputs of all probes: one skipped by rule takes no part, one failed is waited for."""
    versions: dict[str, str] = {}
    waiting: list[str] = []
    for job in work.entry.jobs:
        for name in names:
            try:
                versions[f"{job.probe}/{name}"] = _input_version(name, work.of(job))
            except _InputSkipped:
                versions[f"{job.probe}/{name}"] = "skipped"
            except MissingInputError as missing:
                versions[f"{job.probe}/{name}"] = "missing"
                if str(missing) not in waiting:
                    waiting.append(str(missing))
    if waiting and not work.params.nwb.allow_partial:
        raise _InputFailedError(
            f"{stage.name} of {work.entry.session} waits for: "
            + "; ".join(waiting)
            + ". Correct that, or set "
            "nwb.allow_partial to true to write the other probes.",
            because_of=None,
        )
    if all(value in ("skipped", "missing") for value in versions.values()):
        raise SkippedByRule(f"no probe of {work.entry.session} has any output to write")
    return versions


class _InputSkipped(Exception):  # noqa: N818 - an outcome, not an error
    def __init__(self, reason: str, because_of: str):
        super().__init__(reason)
        self.reason, self.because_of = reason, because_of


class _InputFailedError(MissingInputError):
    def __init__(self, message: str, because_of: str | None):
        super().__init__(message)
        self.because_of = because_of


def _because(outcome: Outcome) -> str:
    """An outcome as the reason of those below it; the first cause, however deep."""
    if outcome.because_of:
        return outcome.reason
    return f"{outcome.stage} {'was skipped' if outcome.outcome == 'skipped' else 'failed'}: {outcome.reason}"


def _pass_on(stage: Stage, work: Work, outcome: Outcome) -> None:
    """Give every stage of the probe that can no longer run the same outcome, with the cause."""
    if work.job is None:
        return
    for name in descendants(stage.name, work):
        passed = outcome.model_copy(
            update={
                "stage": name,
                "reason": _because(outcome),
                "because_of": outcome.because_of or outcome.stage,
                "duration_s": 0.0,
            }
        )
        work.store.ledger.write(work.entry.session_folder, passed)


def _take_back(stage: Stage, work: Work) -> None:
    """Forget what this stage's earlier failure or skip had meant for the stages below it."""
    if work.job is None:
        return
    entry = work.entry
    for name in descendants(stage.name, work):
        last = work.store.ledger.read(entry.session_folder, entry.session, work.job.probe, name)
        if last is not None and last.because_of == stage.name:
            work.store.ledger.forget(entry.session_folder, last)


def descendants(name: str, work: Work) -> list[str]:
    """Names of the probe's stages below another one, under these params."""
    found = below(name, work.stages, work.params)
    return [other for other in found if work.stages[other].scope == "probe"]


def below(name: str, stages: Mapping[str, Stage], params: Params) -> list[str]:
    """Names of all stages that work on a stage's output, directly or not, in the order of the graph."""
    reached = {name}
    for stage in stages.values():
        if reached.intersection(stage.inputs(params)):
            reached.add(stage.name)
    return [other for other in stages if other in reached and other != name]


def _build(stage: Stage, work: Work, inputs: dict[str, str], expected: str) -> tuple[Manifest, Built]:
    draft = work.store.results.draft(work.ref(stage.name))
    began, clock = datetime.now(UTC), time.monotonic()
    try:
        with bars_said(work.say):
            built = stage.build(work.at(draft.path))
    except BaseException:
        remove(draft.path)  # what was half written is of no use to anybody
        raise
    manifest = Manifest(
        stage=stage.name,
        session=work.entry.session,
        probe=work.job.probe if work.job else None,
        name=draft.ref.name,
        path=draft.ref.path,
        data_version=expected,
        code_version=stage.version,
        settings=stage.settings(work.params),
        inputs=inputs,
        identity=stage.identity(work),
        versions={**package_versions(), **built.versions},
        started=began,
        duration_s=round(time.monotonic() - clock, 3),
        empty=built.reason if built.empty else None,
        summary={"result": built.reason, **built.plain_summary()},
        pictures=built.encoded_pictures(),
    )
    return work.store.results.commit(draft, manifest), built


@cache
def package_versions() -> dict[str, str]:
    """Versions of the packages that every output depends on."""
    packages = ("spikepipe", "spikeinterface", "probeinterface", "neo", "numpy")
    return {package: version(package) for package in packages}
