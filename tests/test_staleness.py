"""What is out of date and why, when a session's file is due, and what a skip removes."""

from pathlib import Path

import pytest
from test_produce import FOLDER, Bench, Killed, _raising

from spikepipe_core.errors import BadDataError, SkippedByRule
from spikepipe_core.produce import Context, record_lost
from spikepipe_core.staleness import is_due, why_stale


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "results")


def stale(bench: Bench, **more) -> dict[tuple[str, str | None], str]:
    found = {}
    for name, stage in bench.stages.items():
        for probe in bench.probes if stage.scope == "probe" else (None,):
            reason = why_stale(stage, bench.work(probe), **more)
            if reason:
                found[name, probe] = reason
    return found


def make_session(bench: Bench) -> None:
    for probe in bench.probes:
        bench.make_all(probe)
    bench.make("file", None)


# --- stale, and why --------------------------------------------------------------------------------------


def test_nothing_is_stale_when_all_is_made_or_nothing_is(bench):
    assert stale(bench) == {}
    make_session(bench)
    assert stale(bench, identity=True) == {}


def test_a_changed_param_is_named_with_both_values_just_where_it_reaches(bench):
    make_session(bench)
    bench.change(curation={"query": "snr > 5"})
    found = stale(bench)
    assert set(found) == {("labels", "imec0"), ("labels", "imec1")}
    assert found["labels", "imec0"].startswith("params changed: query: ")
    assert found["labels", "imec0"].endswith("-> snr > 5")


def test_an_output_made_again_makes_stale_what_was_made_from_it(bench):
    make_session(bench)
    bench.change(curation={"query": "snr > 5"})
    bench.make("labels", "imec0")
    assert set(stale(bench)) == {("labels", "imec1"), ("file", None)}
    assert stale(bench)["file", None] == "imec0/labels has been made again and is another one"


def test_new_code_and_new_raw_files_are_told_apart(bench):
    make_session(bench)
    bench.raw["imec1"] = "truncated"
    assert stale(bench) == {}
    assert stale(bench, identity=True) == {
        ("raw", "imec1"): "the raw files or the models it was made from have changed"
    }
    object.__setattr__(bench.stages["units"], "version", "2")
    assert stale(bench)["units", "imec0"] == "units was made by version 1 of its code, now it is 2"


def test_a_probe_left_out_or_come_late_makes_the_file_stale(bench):
    make_session(bench)
    bench.change(preprocessing={"denoising_strategy": "destripe"})
    bench.misbehave["filtered", "imec1"] = _raising(SkippedByRule("too noisy"))
    bench.make("filtered", "imec1")
    assert stale(bench)["file", None] == "imec1/labels is left out now"
    bench.make_all("imec0")
    bench.make("file", None)
    assert stale(bench) == {}
    bench.misbehave.clear()
    bench.make_all("imec1")
    assert stale(bench) == {("file", None): "imec1/labels was not there when it was made"}


# --- when the session's file is due ----------------------------------------------------------------------


def due(bench: Bench) -> bool:
    return is_due(bench.stages["file"], bench.work(None))


def test_the_file_is_due_once_all_probes_have_an_outcome_and_again_when_one_changes(bench):
    bench.make_all("imec0")
    assert not due(bench)
    bench.make_all("imec1")
    assert due(bench)
    bench.make("file", None)
    assert not due(bench)
    bench.make_all("imec0")
    assert not due(bench), "reused: the file is what it would be"
    bench.change(curation={"query": "snr > 5"})
    bench.make("labels", "imec1")
    assert due(bench)


def test_a_failed_probe_holds_the_file_back_unless_partial_files_are_allowed(bench):
    bench.make_all("imec0")
    bench.misbehave["units", "imec1"] = _raising(BadDataError("bad"))
    for name in ("raw", "side", "filtered"):
        bench.make(name, "imec1")
    with pytest.raises(BadDataError):
        bench.make("units", "imec1")
    assert not due(bench)
    bench.change(nwb={"allow_partial": True})
    assert due(bench)


def test_a_skipped_probe_does_not_hold_the_file_back(bench):
    bench.make_all("imec0")
    bench.misbehave["raw", "imec1"] = _raising(SkippedByRule("too short"))
    bench.make("raw", "imec1")
    assert due(bench)


def test_a_session_of_skipped_probes_gets_its_line_once(bench):
    for probe in bench.probes:
        bench.misbehave["raw", probe] = _raising(SkippedByRule("too short"))
        bench.make("raw", probe)
    assert due(bench)
    assert bench.make("file", None).outcome.outcome == "skipped"
    assert not due(bench)


# --- what a skip removes, and what is said of an attempt that was cut off --------------------------------


def test_a_probe_that_is_now_skipped_keeps_no_outputs_of_other_params(bench):
    make_session(bench)
    bench.change(preprocessing={"denoising_strategy": "destripe"})
    bench.misbehave["filtered", "imec1"] = _raising(SkippedByRule("too noisy"))
    bench.make("filtered", "imec1")
    home = bench.root / FOLDER
    left = {path.parent.name for path in home.glob("*/block0_imec1.ap_recording1")}
    assert left == {"raw", "side"}
    for name in ("filtered", "units", "labels"):
        assert bench.work("imec1").manifest(name) is None
        assert bench.line(name, "imec1").outcome == "skipped"
    assert bench.content("labels", "imec0") == "labels of imec0"
    assert bench.strays() == []


def test_a_failure_keeps_the_outputs_that_there_are(bench):
    make_session(bench)
    bench.change(preprocessing={"denoising_strategy": "destripe"})
    bench.misbehave["filtered", "imec1"] = _raising(BadDataError("bad"))
    with pytest.raises(BadDataError):
        bench.make("filtered", "imec1")
    assert bench.content("filtered", "imec1") == "filtered of imec1"


def test_an_interruption_is_told_as_one(bench):
    bench.misbehave["raw", "imec0"] = _raising(Killed())
    with pytest.raises(Killed):
        bench.make("raw")
    assert bench.line("raw").outcome == "failed"
    assert bench.line("raw").reason.startswith("interrupted: stopped before it was finished")


def test_an_attempt_whose_process_died_gets_its_line(bench):
    bench.make("raw")
    record_lost(bench.stages["filtered"], bench.work(), "its process was killed", Context("run7", "log"))
    assert (bench.line("filtered").outcome, bench.line("filtered").run_id) == ("failed", "run7")
    assert bench.line("units").reason == "filtered failed: its process was killed"
    assert bench.make("filtered").outcome.outcome == "ok"
