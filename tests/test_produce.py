"""What a user is promised of every output: made once, reused while true, and an honest line about it."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from spikepipe_core.errors import BadDataError, MissingInputError, SkippedByRule
from spikepipe_core.ingest import RecordingJob
from spikepipe_core.params import Params
from spikepipe_core.produce import Context, Produced, is_current, produce
from spikepipe_core.stages.stage import Built, Stage, Work
from spikepipe_core.store import Outcome, SessionEntry, Store

FOLDER = SESSION = "mouse1"


class Killed(BaseException):
    """Stands for a killed process, as far as one process can play that."""


@dataclass
class Bench:
    """A store and a small graph: raw -> filtered -> units -> labels -> file (of the session); raw -> side."""

    root: Path
    probes: tuple[str, ...] = ("imec0", "imec1")
    params: Params = field(default_factory=Params)
    raw: dict[str, str] = field(default_factory=dict)
    misbehave: dict[tuple[str, str], Callable[[Work], Built | None]] = field(default_factory=dict)
    made: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self):
        self.store = Store(self.root)
        self.entry = SessionEntry(
            session=SESSION, session_folder=FOLDER, data=self.root, jobs=tuple(map(_job, self.probes))
        )
        self.stages = {
            stage.name: stage
            for stage in (
                self._stage("raw", "job_dispatch", (), identity=lambda work: {"raw": self._raw(work)}),
                self._stage("side", "visualization", ("raw",)),
                self._stage("filtered", "preprocessing", ("raw",)),
                self._stage("units", "postprocessing", ("filtered",)),
                self._stage("labels", "curation", ("units",)),
                self._stage("file", "nwb", ("labels", "side"), scope="session"),
            )
        }

    def _stage(self, name: str, section: str, inputs: tuple[str, ...], **more: Any) -> Stage:
        return Stage(
            name=name,
            version="1",
            section=section,
            location=f"{name}/{{name}}",
            settings=lambda params: getattr(params, section).model_dump(mode="json"),
            inputs=lambda _: inputs,
            build=lambda work: self._build(name, work),
            **more,
        )

    def _raw(self, work: Work) -> str:
        return self.raw.get(work.recording_job.probe, "as recorded")

    def _build(self, name: str, work: Work) -> Built:
        who = work.job.probe if work.job else "session"
        self.made.append((name, who))
        work.path.mkdir()
        (work.path / "half.txt").write_text("half")
        odd = self.misbehave.get((name, who))
        built = odd(work) if odd else None
        if built and built.empty:
            shutil.rmtree(work.path)
            return built
        (work.path / "content.txt").write_text(f"{name} of {who}")
        return built or Built(reason=f"{name} is there", summary={"answer": 42})

    def work(self, probe: str | None = "imec0") -> Work:
        job = self.entry.job(probe) if probe else None
        return Work(self.store, self.entry, job, self.params, self.stages)

    def make(self, name: str, probe: str | None = "imec0", **more: Any) -> Produced:
        return produce(self.stages[name], self.work(probe), **more)

    def make_all(self, probe: str = "imec0") -> None:
        for name, stage in self.stages.items():
            if stage.scope == "probe":
                self.make(name, probe)

    def line(self, name: str, probe: str | None = "imec0") -> Outcome | None:
        return self.store.ledger.read(FOLDER, SESSION, probe, name)

    def content(self, name: str, probe: str | None = "imec0") -> str:
        work = self.work(probe)
        return (work.input(name) / "content.txt").read_text()

    def change(self, **sections: dict[str, Any]) -> None:
        whole = self.params.to_dict()
        for section, values in sections.items():
            whole[section] |= values
        self.params = Params.model_validate(whole)

    def strays(self) -> list[Path]:
        return [
            p for p in self.root.rglob("*") if p.name.startswith((".tmp-", ".old-")) or ".commit-" in p.name
        ]


def _job(probe: str) -> RecordingJob:
    return RecordingJob(
        session=SESSION, session_folder=FOLDER, probe=probe, block="block0", segment=1, stream=f"{probe}.ap",
        recording_name=f"block0_{probe}.ap_recording1", reader="spikeglx", source=(), files=(),
    )  # fmt: skip


def _raising(error: BaseException) -> Callable[[Work], Built | None]:
    def build(work: Work) -> Built | None:
        raise error

    return build


def _empty(reason: str) -> Callable[[Work], Built | None]:
    return lambda work: Built(reason=reason, empty=True)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "results")


# --- made once, reused while true ------------------------------------------------------------------------


def test_an_output_is_made_once_and_then_reused(bench):
    said: list[str] = []
    first = bench.make("raw")
    assert (first.outcome.outcome, first.outcome.reason, first.outcome.reused) == (
        "ok",
        "raw is there",
        False,
    )
    again = produce(bench.stages["raw"], replace(bench.work(), say=said.append))
    assert again.outcome.reused and again.outcome.reason == "raw is there"
    assert again.manifest == first.manifest
    assert bench.made == [("raw", "imec0")]
    assert any("up to date, reused" in text for text in said)


def test_recompute_makes_it_again(bench):
    bench.make("raw")
    again = bench.make("raw", recompute=True)
    assert not again.outcome.reused
    assert bench.made == [("raw", "imec0")] * 2


def test_damage_is_repaired(bench):
    bench.make("raw")
    (bench.work().input("raw") / "content.txt").write_text("other")
    assert not bench.make("raw").outcome.reused
    assert bench.content("raw") == "raw of imec0"


def test_a_change_redoes_exactly_what_it_reaches(bench):
    bench.make_all()
    bench.made.clear()
    bench.change(curation={"query": "snr > 5"})
    bench.make_all()
    assert [name for name, _ in bench.made] == ["labels"]

    bench.made.clear()
    bench.change(preprocessing={"denoising_strategy": "destripe"})
    bench.make_all()
    assert [name for name, _ in bench.made] == ["filtered", "units", "labels"]

    bench.made.clear()
    bench.raw["imec0"] = "truncated"
    bench.make_all()
    assert [name for name, _ in bench.made] == ["raw", "side", "filtered", "units", "labels"]


def test_parallelism_does_not_change_the_version_of_the_documented_stages(probe_stages, tiny_params):
    more = {"chunk_duration": "2s", "progress_bar": True}
    plain = tiny_params()
    other = tiny_params(
        preprocessing={"job_kwargs": more},
        spikesorting={"spykingcircus2": {"job_kwargs": more}},
        postprocessing={"job_kwargs": more},
        curation={"job_kwargs": more},
    )
    assert plain != other
    for stage in probe_stages.values():
        assert stage.settings(plain) == stage.settings(other), stage.name


@pytest.mark.parametrize(
    ("sections", "reached"),
    [
        ({"curation": {"query": "snr > 5"}}, {"curated_units"}),
        ({"postprocessing": {"duplicate_threshold": 0.8}}, {"analyzer"}),
        ({"spikesorting": {"spykingcircus2": {"min_drift_channels": 8}}}, {"sorting"}),
        ({"spikesorting": {"kilosort4": {"clear_cache": True}}}, set()),
        ({"preprocessing": {"motion_correction": {"preset": "rigid_fast"}}}, {"motion"}),
        ({"preprocessing": {"motion_correction": {"compute": False}}}, {"motion"}),
        ({"preprocessing": {"bandpass_filter": {"freq_min": 400.0}}}, set()),
        ({"preprocessing": {"highpass_filter": {"freq_min": 400.0}}}, {"preprocessed_recording"}),
        ({"preprocessing": {"highpass_spatial_filter": {"n_channel_pad": 10}}}, set()),
        ({"visualization": {"drift": {"alpha": 0.5}}}, set()),
        ({"nwb": {"allow_partial": True}}, set()),
        ({"job_dispatch": {"debug_duration": 5}}, set()),
        ({"job_dispatch": {"debug": True}}, {"recording", "preprocessed_recording"}),
    ],
)
def test_params_reach_the_stages_they_are_for(probe_stages, tiny_params, sections, reached):
    before, after = tiny_params(), tiny_params(**sections)
    assert before != after
    changed = {n for n, stage in probe_stages.items() if stage.settings(before) != stage.settings(after)}
    assert changed == reached


def test_is_current_says_what_produce_would_do(bench):
    assert not is_current(bench.stages["filtered"], bench.work())
    bench.make("raw")
    bench.make("filtered")
    assert is_current(bench.stages["filtered"], bench.work())
    bench.raw["imec0"] = "changed"
    bench.make("raw")
    assert not is_current(bench.stages["filtered"], bench.work())


# --- skips, failures, and what they mean for those below -------------------------------------------------


def test_a_skip_is_passed_on_with_its_cause_and_taken_back(bench):
    bench.make("raw")
    bench.misbehave["filtered", "imec0"] = _raising(SkippedByRule("lasts 10 s, less than 120 s"))
    skipped = bench.make("filtered")
    assert skipped.manifest is None
    assert (skipped.outcome.outcome, skipped.outcome.because_of) == ("skipped", None)
    for name in ("units", "labels"):
        line = bench.line(name)
        assert (line.outcome, line.because_of) == ("skipped", "filtered")
        assert line.reason == "filtered was skipped: lasts 10 s, less than 120 s"
    assert bench.line("side") is None, "side does not hang from what was skipped"

    asked = bench.make("labels")
    assert (asked.manifest, asked.outcome.outcome, asked.outcome.because_of) == (None, "skipped", "filtered")
    assert asked.outcome.reason == "filtered was skipped: lasts 10 s, less than 120 s"
    assert ("labels", "imec0") not in bench.made
    assert not list((bench.root / FOLDER).glob("filtered/*")), "no placeholder files"

    bench.misbehave.clear()
    bench.make("filtered")
    assert bench.line("filtered").outcome == "ok"
    assert bench.line("units") is None and bench.line("labels") is None
    assert bench.make("units").outcome.outcome == "ok"


def test_a_failure_is_passed_on_with_the_first_cause(bench):
    bench.make("raw")
    bench.misbehave["filtered", "imec0"] = _raising(BadDataError("no probe geometry"))
    with pytest.raises(BadDataError, match="no probe geometry"):
        bench.make("filtered", context=Context(run_id="run7", log="/logs/run7"))
    line = bench.line("filtered")
    assert (line.outcome, line.reason) == ("failed", "no probe geometry")
    assert (line.run_id, line.log) == ("run7", "/logs/run7")
    for name in ("units", "labels"):
        assert bench.line(name).outcome == "failed"
        assert bench.line(name).reason == "filtered failed: no probe geometry"
    with pytest.raises(MissingInputError, match=r"imec0 of mouse1: filtered failed: no probe geometry"):
        bench.make("labels")
    assert bench.line("labels").because_of == "filtered", "the first cause, not the nearest"

    bench.misbehave.clear()
    bench.make_all()
    assert {bench.line(name).outcome for name in ("filtered", "units", "labels")} == {"ok"}


def test_a_failed_update_makes_the_outputs_below_wait_for_it(bench):
    """Labels of units that should be redone are not written out as if nothing had happened."""
    bench.make_all()
    bench.change(postprocessing={"duplicate_threshold": 0.5})
    bench.misbehave["units", "imec0"] = _raising(BadDataError("too hard"))
    with pytest.raises(BadDataError):
        bench.make("units")
    with pytest.raises(MissingInputError, match="units failed: too hard"):
        bench.make("labels")
    bench.change(postprocessing={"duplicate_threshold": 0.9})
    assert bench.make("units").outcome.reused, "the old output is still there and true again"
    assert bench.make("labels").outcome.reused


def test_other_probes_go_on(bench):
    bench.misbehave["raw", "imec0"] = _raising(BadDataError("truncated"))
    with pytest.raises(BadDataError):
        bench.make("raw")
    bench.make_all("imec1")
    assert bench.line("labels", "imec1").outcome == "ok"
    assert bench.line("labels", "imec0").outcome == "failed"


def test_a_missing_input_is_named(bench):
    with pytest.raises(MissingInputError, match=r"filtered has not been made.*Materialize filtered first"):
        bench.make("units")
    assert bench.line("units").outcome == "failed"
    assert bench.made == []
    bench.make_all()
    assert bench.line("units").outcome == "ok"


def test_an_empty_output_lets_those_below_go_on(bench):
    bench.misbehave["filtered", "imec0"] = _empty("params ask for none")
    bench.make("raw")
    made = bench.make("filtered")
    assert made.manifest.empty == "params ask for none"
    assert (made.outcome.outcome, made.outcome.reason) == ("skipped", "params ask for none")
    assert not bench.work().input("filtered").exists()
    assert bench.make("units").outcome.outcome == "ok"
    again = bench.make("filtered")
    assert again.outcome.reused and (again.outcome.outcome, again.outcome.reason) == (
        "skipped",
        "params ask for none",
    )
    assert bench.make("units").outcome.reused


# --- interruptions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Killed(), OSError("disk full"), BadDataError("bad")])
def test_an_interrupted_build_leaves_nothing_and_is_redone(bench, error):
    bench.misbehave["raw", "imec0"] = _raising(error)
    with pytest.raises(type(error)):
        bench.make("raw")
    assert bench.strays() == []
    assert not bench.work().input("raw").exists()
    assert bench.work().manifest("raw") is None
    bench.misbehave.clear()
    assert bench.make("raw").outcome.outcome == "ok"
    assert bench.content("raw") == "raw of imec0"


def test_an_interrupted_update_keeps_the_old_output(bench):
    bench.make("raw")
    bench.misbehave["raw", "imec0"] = _raising(Killed())
    with pytest.raises(Killed):
        bench.make("raw", recompute=True)
    assert bench.content("raw") == "raw of imec0"
    assert bench.make("raw").outcome.reused


def _make_slowly(root: Path, log: Path, ready: Any) -> None:
    def slow(work: Work) -> None:
        with log.open("a") as file:
            file.write("made\n")
        time.sleep(1.0)

    bench = Bench(root)
    bench.misbehave["raw", "imec0"] = slow
    ready.wait()
    with log.open("a") as file:
        outcome = bench.make("raw").outcome
        file.write(f"{outcome.outcome} {'reused' if outcome.reused else 'new'}\n")


def test_two_processes_at_one_output_make_it_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    log, ready = tmp_path / "log.txt", context.Barrier(2)
    both = [context.Process(target=_make_slowly, args=(tmp_path / "results", log, ready)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    assert sorted(log.read_text().split("\n")) == ["", "made", "ok new", "ok reused"]


# --- the session's stage -----------------------------------------------------------------------------------


def test_the_session_takes_all_its_probes(bench):
    bench.make_all("imec0")
    bench.make_all("imec1")
    made = bench.make("file", None)
    assert set(made.manifest.inputs) == {f"{p}/{n}" for p in bench.probes for n in ("labels", "side")}
    assert made.manifest.probe is None and bench.line("file", None).outcome == "ok"
    bench.change(curation={"query": "snr > 5"})
    bench.make("labels", "imec1")
    assert not bench.make("file", None).outcome.reused


def test_the_session_waits_for_a_failed_probe_unless_told_not_to(bench):
    bench.make_all("imec0")
    bench.misbehave["filtered", "imec1"] = _raising(BadDataError("truncated"))
    bench.make("raw", "imec1")
    bench.make("side", "imec1")
    with pytest.raises(BadDataError):
        bench.make("filtered", "imec1")
    with pytest.raises(MissingInputError) as waiting:
        bench.make("file", None)
    for words in (
        "file of mouse1 waits for",
        "imec1 of mouse1",
        "filtered failed",
        "truncated",
        "nwb.allow_partial",
    ):
        assert words in str(waiting.value)
    assert bench.line("file", None).outcome == "failed"
    assert "imec1" in bench.line("file", None).reason

    bench.change(nwb={"allow_partial": True})
    partial = bench.make("file", None)
    assert partial.outcome.outcome == "ok"
    assert partial.manifest.inputs["imec1/labels"] == "missing"

    bench.misbehave.clear()
    bench.make_all("imec1")
    assert not bench.make("file", None).outcome.reused, "the probe that has come takes part"


def test_the_session_waits_for_a_probe_that_nobody_has_begun(bench):
    bench.make_all("imec0")
    with pytest.raises(MissingInputError, match="imec1 of mouse1: labels has not been made"):
        bench.make("file", None)


def test_a_probe_skipped_by_rule_does_not_hold_up_the_session(bench):
    bench.make_all("imec0")
    bench.misbehave["filtered", "imec1"] = _raising(SkippedByRule("too short"))
    for name in ("raw", "side", "filtered"):
        bench.make(name, "imec1")
    made = bench.make("file", None)
    assert made.outcome.outcome == "ok"
    assert made.manifest.inputs["imec1/labels"] == "skipped"
    assert made.manifest.inputs["imec1/side"] not in ("skipped", "missing")


def test_a_session_of_skipped_probes_only_is_skipped(tmp_path):
    bench = Bench(tmp_path, probes=("imec0",))
    bench.misbehave["raw", "imec0"] = _raising(SkippedByRule("too short"))
    bench.make("raw")
    made = bench.make("file", None)
    assert made.manifest is None
    assert made.outcome.outcome == "skipped"
    assert "no probe of mouse1" in made.outcome.reason


# --- what the results say of themselves ----------------------------------------------------------------------


def _steps(bench: Bench) -> dict[tuple[str, str | None], dict[str, Any]]:
    report = json.loads((bench.root / FOLDER / "processing.json").read_text())
    return {(step["name"], step["probe"]): step for step in report["data_processes"]}


def test_processing_json_tells_what_was_applied_and_what_became_of_it(bench):
    bench.change(preprocessing={"denoising_strategy": "destripe"})
    bench.make("raw")
    bench.make("filtered")
    bench.misbehave["units", "imec0"] = _raising(BadDataError("bad"))
    with pytest.raises(BadDataError):
        bench.make("units")
    bench.misbehave["side", "imec0"] = _raising(SkippedByRule("no light"))
    bench.make("side")
    steps = _steps(bench)
    filtered = steps["filtered", "imec0"]
    assert filtered["outcome"] == "ok"
    assert filtered["parameters"]["denoising_strategy"] == "destripe"
    assert (
        filtered["versions"]["spikeinterface"] and filtered["start_date_time"] and filtered["duration_s"] >= 0
    )
    assert (bench.root / FOLDER / filtered["output"] / "content.txt").exists()
    assert steps["raw", "imec0"]["models"] == {"raw": "as recorded"}
    for name, verdict, reason in (
        ("units", "failed", "bad"),
        ("labels", "failed", "units failed: bad"),
        ("side", "skipped", "no light"),
    ):
        step = steps[name, "imec0"]
        assert (step["outcome"], step["reason"]) == (verdict, reason)
        assert "output" not in step and "parameters" not in step


def test_processing_json_does_not_give_a_failed_attempt_the_old_output(bench):
    bench.make("raw")
    bench.raw["imec0"] = "other"
    bench.misbehave["raw", "imec0"] = _raising(BadDataError("bad"))
    with pytest.raises(BadDataError):
        bench.make("raw")
    step = _steps(bench)["raw", "imec0"]
    assert step["outcome"] == "failed" and "output" not in step
    assert step["start_date_time"] and step["duration_s"] >= 0


def test_visualization_output_json_lists_figures_that_are_there(bench):
    def draw(work: Work) -> Built:
        (work.path / "traces.png").write_bytes(b"png")
        return Built(reason="1 figure", summary={"figures": [{"title": "traces", "file": "traces.png"}]})

    bench.misbehave["side", "imec1"] = draw
    bench.make("raw", "imec1")
    bench.make("side", "imec1")
    figures = json.loads((bench.root / FOLDER / "visualization_output.json").read_text())
    assert figures == {"block0_imec1.ap_recording1": {"traces": "side/block0_imec1.ap_recording1/traces.png"}}
    assert (bench.root / FOLDER / figures["block0_imec1.ap_recording1"]["traces"]).read_bytes() == b"png"
