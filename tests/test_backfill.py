"""A backfill asks for registered pairs only, for what failed or is out of date, and says so first."""

import time
from pathlib import Path

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat
from quick_results import QuickResults

from spikepipe_assets.backfill import matching, plan, request_backfill, select_assets
from spikepipe_assets.cli import main
from spikepipe_assets.deployment import Deployment
from spikepipe_assets.instance import default_home
from spikepipe_assets.partitions import SESSION, SESSION_AND_PROBE
from spikepipe_core.errors import BadDataError, ParamsError
from spikepipe_core.overview import stale_outputs
from spikepipe_core.params import Params
from spikepipe_core.summary import read_sessions

AFTER_SORTING = ("analyzer", "curated_units", "figures", "quality_control")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> QuickResults:
    """Sessions a1 (two probes, one fails at sorting) and b1 (one probe, all well). To be read only."""
    results = QuickResults(tmp_path_factory.mktemp("made") / "results")
    results.register("a1", "imec0", "imec1")
    results.register("b1", "imec0")
    results.misbehave["a1", "imec1", "sorting"] = BadDataError("bad")
    results.make_session("a1")
    results.make_session("b1")
    return results


@pytest.fixture
def quick(made: QuickResults, tmp_path: Path) -> QuickResults:
    return made.copied(tmp_path / "results")


def planned(quick: QuickResults, selection: str = "*", *patterns: str, stale_only: bool = False, **more):
    sessions = matching(read_sessions(quick.store), patterns)
    if stale_only:
        more["stale"] = list(stale_outputs(sessions, quick.stages, quick.store, lambda _: quick.params))
    assets = select_assets(selection, quick.stages, quick.params)
    return plan(sessions, assets, quick.stages, quick.params, **more)


# --- what is asked for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        ("analyzer", ["analyzer"]),
        ("analyzer+", [*AFTER_SORTING, "nwb"]),
        ("lfp, nwb", ["lfp", "nwb"]),
        ("+motion", ["recording", "preprocessed_recording", "motion"]),
    ],
)
def test_outputs_are_chosen_by_name_with_what_is_made_from_them_or_what_they_are_made_from(
    quick, selection, names
):
    assert select_assets(selection, quick.stages, Params()) == names


def test_all_outputs_and_unknown_ones(quick):
    assert select_assets("*", quick.stages, Params()) == list(quick.stages)
    with pytest.raises(ParamsError, match="'analyser'; there are: recording"):
        select_assets("analyser+", quick.stages, Params())


def test_registered_pairs_of_matching_sessions_only(quick):
    assert planned(quick, "analyzer,nwb", "a*").wanted == {
        ("a1", "imec0"): ("analyzer",),
        ("a1", "imec1"): ("analyzer",),
        ("a1", None): ("nwb",),
    }
    assert set(planned(quick, "lfp").wanted) == {("a1", "imec0"), ("a1", "imec1"), ("b1", "imec0")}


def test_failed_only_leaves_good_outputs_alone(quick):
    chosen = planned(quick, failed_only=True)
    assert chosen.wanted == {("a1", "imec1"): ("sorting", *AFTER_SORTING), ("a1", None): ("nwb",)}
    assert chosen.out_of_reach == {}


def test_what_would_fail_again_is_left_out_and_said(quick):
    chosen = planned(quick, "curated_units+", failed_only=True)
    assert chosen.wanted == {("a1", None): ("nwb",)}
    assert chosen.out_of_reach == {"sorting": 1}


def test_stale_only_takes_what_is_made_from_it_along(quick):
    quick.change(curation={"query": "snr > 5"})
    assert planned(quick, "*", "b1", stale_only=True).wanted == {
        ("b1", "imec0"): ("curated_units", "figures", "quality_control"),
        ("b1", None): ("nwb",),
    }
    assert planned(quick, "figures", "b1", stale_only=True).wanted == {}


# --- asked of Dagster --------------------------------------------------------------------------------------------


def test_dagster_is_asked_for_exactly_that(quick, tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        backfill_id = request_backfill(instance, planned(quick, "analyzer+", "a*"), "a title")
        asked = instance.get_backfill(backfill_id)
        target = asked.asset_backfill_data.target_subset
        keys = {
            key.to_user_string(): set(target.get_partitions_subset(key).get_partition_keys())
            for key in target.asset_keys
        }
        assert keys == {**{name: {"imec0|a1", "imec1|a1"} for name in AFTER_SORTING}, "nwb": {"a1"}}
        assert (asked.title, asked.tags) == ("a title", {"dagster/priority": "-1"})
        assert set(instance.get_dynamic_partitions(SESSION_AND_PROBE)) == {"a1/imec0", "a1/imec1"}
        assert instance.get_dynamic_partitions(SESSION) == ["a1"]


@pytest.fixture
def results(quick) -> str:
    home = default_home(quick.root)
    home.mkdir(parents=True)
    Deployment(results=quick.root).save(home)
    return str(quick.root)


def backfills(results: str) -> list[str]:
    home = default_home(Path(results))
    if not (home / "dagster.yaml").exists():
        return []
    with dg.DagsterInstance.from_config(str(home)) as instance:
        return [one.backfill_id for one in instance.get_backfills()]


def backfill(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(["backfill", *arguments])
    return code, *capsys.readouterr()


def test_the_plan_is_said_and_a_dry_run_asks_for_nothing(results, capsys):
    code, said, _ = backfill(capsys, "--results", results, "--failed-only", "--dry-run")
    assert code == 0 and backfills(results) == []
    assert said.splitlines() == [
        "sorting, analyzer, curated_units, figures, quality_control: 1 recording job(s): a1 / imec1",
        "nwb: 1 session(s): a1",
    ]


def test_without_a_daemon_it_is_requested_and_said_that_nobody_does_it(results, capsys):
    code, said, warned = backfill(capsys, "--results", results, "--assets", "lfp*", "--sessions", "b*")
    (asked,) = backfills(results)
    assert code == 0 and asked in said
    assert "no Dagster daemon runs" in warned and "--now" in warned
    with dg.DagsterInstance.from_config(str(default_home(Path(results)))) as instance:
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), "BACKFILL", "id", []))
    assert backfill(capsys, "--results", results, "--assets", "lfp")[2] == ""


def test_nothing_to_do_and_no_such_session(results, capsys):
    assert backfill(capsys, "--results", results, "--sessions", "b1", "--failed-only")[:2] == (
        0,
        "nothing to do\n",
    )
    assert backfills(results) == []
    code, _, warned = backfill(capsys, "--results", results, "--sessions", "zz*")
    assert code == 2 and "zz*" in warned


@pytest.mark.slow
def test_now_makes_the_chosen_output_here_and_nothing_else(demo_data, make_work, tmp_path, capfd):
    work = make_work(demo_data, tmp_path / "results")
    home = default_home(work.store.results.root)
    home.mkdir(parents=True)
    Deployment(results=work.store.results.root, n_jobs=1).save(home)
    arguments = ["backfill", "--results", str(work.store.results.root), "--assets", "recording", "--now"]
    assert main(arguments) == 0
    entry = work.entry
    outcomes = work.store.ledger.outcomes(entry.session_folder, entry.session)
    assert [(one.stage, one.outcome) for one in outcomes] == [("recording", "ok")]
    with dg.DagsterInstance.from_config(str(home)) as instance:
        (run,) = instance.get_runs()
        assert outcomes[0].run_id == run.run_id
        assert run.tags["dagster/partition/probe"] == entry.probes[0]
