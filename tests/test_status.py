"""One line a recording job, true at any moment; and exactly the outputs that are out of date."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from quick_results import QuickResults

from spikepipe_assets.cli import main
from spikepipe_assets.deployment import Deployment
from spikepipe_assets.instance import default_home
from spikepipe_core.errors import BadDataError, SkippedByRule
from spikepipe_core.graph import STAGES
from spikepipe_core.overview import Line, counts_by_reason, lines, stale_outputs
from spikepipe_core.params import JobDispatchParams
from spikepipe_core.stages.stage import Built
from spikepipe_core.staleness import why_stale
from spikepipe_core.summary import FILE, read_sessions
from spikepipe_core.watch import Watch


@pytest.fixture
def quick(tmp_path: Path) -> QuickResults:
    results = QuickResults(tmp_path / "results")
    results.register("mouse1", "imec0", "imec1")
    return results


def line(quick: QuickResults, session: str, probe: str | None) -> Line:
    (found,) = [
        one
        for one in lines(read_sessions(quick.store), quick.stages)
        if (one.session, one.probe) == (session, probe)
    ]
    return found


def stale(quick: QuickResults) -> dict[tuple[str, str | None, str], str]:
    sessions = read_sessions(quick.store)
    found = stale_outputs(sessions, quick.stages, quick.store, lambda _: quick.params)
    return {(one.session, one.probe, one.stage): one.reason for one in found}


def stale_by_manifests(quick: QuickResults) -> dict[tuple[str, str | None, str], str]:
    found = {}
    for entry in quick.store.registry.sessions():
        for probe in (*entry.probes, None):
            for name, stage in quick.stages.items():
                if (stage.scope == "session") == (probe is None):
                    reason = why_stale(stage, quick.work(entry.session, probe))
                    if reason:
                        found[entry.session, probe, name] = reason
    return found


# --- how a recording job stands ----------------------------------------------------------------------------------


def test_a_job_stands_where_its_first_failure_or_skip_put_it(quick):
    quick.misbehave["mouse1", "imec0", "sorting"] = BadDataError("no spikes in file x.bin")
    quick.misbehave["mouse1", "imec1", "preprocessed_recording"] = SkippedByRule("10.0 s < 20.0 s")
    quick.make_session("mouse1")
    failed, skipped = line(quick, "mouse1", "imec0"), line(quick, "mouse1", "imec1")
    assert (failed.outcome, failed.stage, failed.reason) == ("failed", "sorting", "no spikes in file x.bin")
    assert (failed.run_id, failed.log) == ("run-1", "run run-1")
    assert (skipped.outcome, skipped.stage) == ("skipped", "preprocessed_recording")
    assert line(quick, "mouse1", None).outcome == "failed"


def test_a_job_is_ok_when_every_stage_is_and_unfinished_before(quick):
    assert (line(quick, "mouse1", "imec0").outcome, line(quick, "mouse1", "imec0").reason) == (
        "unfinished",
        "not run yet",
    )
    quick.make("mouse1", "imec0", "recording", "lfp")
    half = line(quick, "mouse1", "imec0")
    assert (half.outcome, half.stage, half.made) == ("unfinished", "clock_report", 2)
    quick.misbehave["mouse1", "imec0", "motion"] = Built("the params ask for none", empty=True)
    quick.make_session("mouse1")
    assert line(quick, "mouse1", "imec0").outcome == "ok"
    assert line(quick, "mouse1", "imec0").made == line(quick, "mouse1", "imec0").stages
    assert line(quick, "mouse1", None).outcome == "ok"


def test_a_success_takes_the_failure_back(quick):
    quick.misbehave["mouse1", "imec0", "sorting"] = BadDataError("bad")
    quick.make_session("mouse1")
    quick.misbehave.clear()
    quick.make_session("mouse1")
    assert [one.outcome for one in lines(read_sessions(quick.store), quick.stages)] == ["ok"] * 3


def test_reasons_that_differ_in_names_and_numbers_count_as_one():
    told = [
        replace(
            _line(),
            session=f"s{n}",
            probe="imec0",
            reason=f"s{n}/imec0.bin has {n * 1.5} bytes, 100 expected",
        )
        for n in range(5)
    ]
    other = replace(_line(), reason="no geometry")
    well = replace(_line(), outcome="ok", stage="quality_control", reason="pass")
    assert counts_by_reason([well, other, *told, well]) == [
        ("failed", "recording", "…/….bin has … bytes, … expected", 5),
        ("failed", "recording", "no geometry", 1),
        ("ok", "", "", 2),
    ]


def _line() -> Line:
    return Line("a", "b", "recording", "failed", "", None, 0.0, 0, 12, None, None)


# --- the summaries are true --------------------------------------------------------------------------------------


def summary_file(quick: QuickResults) -> Path:
    return quick.root / "mouse1/.spikepipe" / FILE


def test_the_summary_is_written_with_every_outcome_and_says_the_same_as_the_ledger(quick):
    quick.misbehave["mouse1", "imec1", "analyzer"] = BadDataError("bad")
    quick.make_session("mouse1")
    kept = summary_file(quick).read_bytes()
    told: list[str] = []
    as_kept = read_sessions(quick.store, say=told.append)
    assert told == [], "nothing had to be read anew"
    summary_file(quick).unlink()
    assert read_sessions(quick.store, say=told.append) == as_kept
    assert len(told) == 1
    assert summary_file(quick).read_bytes() == kept


@pytest.mark.parametrize(
    "happens",
    [
        lambda state: (state / "ledger/mouse1/imec0/sorting.json").unlink(),
        lambda state: shutil.rmtree(state / "ledger/mouse1"),
        lambda state: (state / "manifests/sorting/block0_imec0.ap_recording1.json").unlink(),
        lambda state: (state / "summary.json").write_text('{"format": 1'),
        lambda state: (state / "summary.json").write_text("{}"),
    ],
)
def test_what_happens_behind_its_back_is_noticed(quick, happens):
    quick.make_session("mouse1")
    happens(summary_file(quick).parent)
    now = read_sessions(quick.store)
    summary_file(quick).unlink()
    assert now == read_sessions(quick.store)


def test_a_late_probe_and_a_new_session_are_there_at_once(quick):
    quick.make_session("mouse1")
    read_sessions(quick.store)
    quick.register("mouse1", "imec0", "imec1", "imec2")
    quick.register("mouse0", "imec0")
    assert line(quick, "mouse1", "imec2").outcome == "unfinished"
    assert [one.session for one in read_sessions(quick.store)] == ["mouse0", "mouse1"]
    assert [one.session for one in read_sessions(quick.store, "mouse0")] == ["mouse0"]
    assert read_sessions(quick.store, "mouse7") == []


# --- out of date -------------------------------------------------------------------------------------------------


def test_exactly_the_outputs_that_a_param_reaches_are_stale(quick):
    quick.register("mouse2", "imec0")
    quick.make_session("mouse1")
    quick.make_session("mouse2")
    assert stale(quick) == {}
    quick.change(curation={"query": "snr > 5"})
    found = stale(quick)
    assert set(found) == {
        ("mouse1", "imec0", "curated_units"),
        ("mouse1", "imec1", "curated_units"),
        ("mouse2", "imec0", "curated_units"),
    }
    assert all("query: " in reason and "-> snr > 5" in reason for reason in found.values())


def remade_input(quick: QuickResults) -> None:
    quick.change(curation={"query": "snr > 5"})
    quick.make("mouse1", "imec0", "curated_units")


def newer_code(quick: QuickResults) -> None:
    quick.stages["analyzer"] = replace(quick.stages["analyzer"], version="99")


def probe_left_out(quick: QuickResults) -> None:
    quick.change(preprocessing={"denoising_strategy": "destripe"})
    quick.misbehave["mouse1", "imec1", "preprocessed_recording"] = SkippedByRule("too noisy")
    quick.make("mouse1", "imec1")


def late_probe(quick: QuickResults) -> None:
    quick.register("mouse1", "imec0", "imec1", "imec2")
    quick.make("mouse1", "imec2")


def motion_applied(quick: QuickResults) -> None:
    motion = quick.params.preprocessing.motion_correction.model_dump() | {"apply": True}
    quick.change(preprocessing={"motion_correction": motion})


@pytest.mark.parametrize("happens", [remade_input, newer_code, probe_left_out, late_probe, motion_applied])
def test_summaries_and_manifests_agree_on_what_is_stale_and_why(quick, happens):
    quick.make_session("mouse1")
    happens(quick)
    assert stale(quick) == stale_by_manifests(quick) != {}


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def processed(quick) -> QuickResults:
    quick.misbehave["mouse1", "imec1", "sorting"] = BadDataError("[red]bad[/] file")
    quick.make_session("mouse1")
    home = default_home(quick.root)
    home.mkdir(parents=True)
    Deployment(results=quick.root).save(home)
    return quick


def status(capsys, *arguments: str) -> tuple[int, str]:
    code = main(["status", *arguments])
    return code, capsys.readouterr().out


def test_status_prints_one_line_a_job(processed, capsys, monkeypatch):
    monkeypatch.setenv("SPIKEPIPE_UI_URL", "https://dagster.example/")
    code, said = status(capsys, "--results", str(processed.root))
    assert code == 1
    rows = said.splitlines()
    assert [row.split()[:3] for row in rows[1:4]] == [
        ["mouse1", "imec0", "ok"], ["mouse1", "imec1", "failed"], ["mouse1", "(session)", "failed"],
    ]  # fmt: skip
    assert "sorting" in rows[2] and rows[2].endswith("[red]bad[/] file")
    assert "2 recording job(s) of 1 session(s): 1 ok, 1 failed" in said

    code, said = status(capsys, "--results", str(processed.root), "--json", "--session", "mouse1")
    content = json.loads(said)
    assert [job["outcome"] for job in content["jobs"]] == ["ok", "failed", "failed"]
    assert content["jobs"][1]["run"] == "https://dagster.example/runs/run-1"
    assert content["counts"][0]["count"] == 1


def test_status_stale_follows_the_deployment_and_the_sessions_own_params(processed, capsys):
    arguments = ("--results", str(processed.root), "--stale")
    assert status(capsys, *arguments) == (0, "\nnothing is out of date\n")
    data = processed.root.parent / "data/mouse1/mouse1_imec1"
    data.mkdir(parents=True)
    (data / "spikepipe_params.json").write_text(
        '{"visualization": {"timeseries": {"n_snippets_per_segment": 7}}}'
    )
    code, said = status(capsys, *arguments)
    assert code == 1
    assert {tuple(row.split()[:3]) for row in said.splitlines()[1:-2]} >= {("mouse1", "imec0", "raw_figures")}
    assert "n_snippets_per_segment" in said

    (data / "spikepipe_params.json").write_text('{"visualisation": {}}')
    code, said = status(capsys, *arguments)
    assert (code, said) == (0, "\nnothing is out of date\n"), (
        "the deployment's params count, and a word on stderr"
    )
    Deployment(results=processed.root, params={"nwb": {"ecephys": {"backend": "hdf5"}}}).save(
        default_home(processed.root)
    )
    assert status(capsys, *arguments)[0] == 0, "there is no NWB file that could be out of date"


def test_a_folder_that_cannot_be_read_has_its_line(processed, tmp_path, capsys):
    raw = tmp_path / "raw"
    (raw / "broken").mkdir(parents=True)
    Watch([raw], processed.store, JobDispatchParams(), settle_s=0).look(lambda *_: False)
    said = status(capsys, "--results", str(processed.root))[1]
    row = next(row for row in said.splitlines() if row.startswith("broken"))
    assert row.split()[1:4] == ["(folder)", "skipped", "discovery"]
    assert "of 1 session(s): 1 ok, 1 failed; 1 folder(s) could not be read" in said
    (raw / "broken").rmdir()
    Watch([raw], processed.store, JobDispatchParams(), settle_s=0).look(lambda *_: False)
    assert "broken" not in status(capsys, "--results", str(processed.root))[1]


def test_status_of_moved_results(processed, capsys, tmp_path):
    processed.root.rename(tmp_path / "archive")
    code, said = status(capsys, "--results", str(tmp_path / "archive"))
    assert code == 1 and "mouse1" in said


def test_status_says_what_is_missing(capsys, tmp_path):
    assert status(capsys, "--results", str(tmp_path / "none"))[0] == 2
    (tmp_path / "empty").mkdir()
    assert status(capsys, "--results", str(tmp_path / "empty"))[0] == 2


def test_quick_results_are_of_the_real_graph(quick):
    assert list(quick.stages) == list(STAGES)
