"""Damage is found and made good; what is removed is what nobody needs, and comes back when somebody does."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from quick_results import QuickResults, entry

from spikepipe_assets.cli import main
from spikepipe_assets.definitions import build_definitions
from spikepipe_assets.deployment import Deployment, StorageSettings, stored_settings
from spikepipe_assets.instance import default_home
from spikepipe_assets.partitions import SESSION_PROBE, probe_key
from spikepipe_core.cleaning import Removable, find_removable, remove_all
from spikepipe_core.errors import BadDataError, ParamsError
from spikepipe_core.produce import is_current
from spikepipe_core.store import Manifest
from spikepipe_core.verification import check_outputs

NAME = "block0_imec0.ap_recording1"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> QuickResults:
    """One session with two probes, all made. To be read only."""
    results = QuickResults(tmp_path_factory.mktemp("made") / "results")
    results.register("m1", "imec0", "imec1")
    results.make_session("m1")
    return results


@pytest.fixture
def quick(made: QuickResults, tmp_path: Path) -> QuickResults:
    return made.copied(tmp_path / "results")


@pytest.fixture
def results(quick: QuickResults) -> str:
    save(quick)
    return str(quick.root)


def save(quick: QuickResults, **settings) -> None:
    home = default_home(quick.root)
    home.mkdir(parents=True, exist_ok=True)
    Deployment(results=quick.root, **settings).save(home)


def output(quick: QuickResults, stage: str, probe: str | None = "imec0") -> Path:
    return quick.store.results.path(quick.work("m1", probe).ref(stage))


def command(capsys, *arguments: str) -> tuple[int, str]:
    code = main([*arguments])
    return code, capsys.readouterr().out


# --- verify ------------------------------------------------------------------------------------------------------


def flip_a_byte(path: Path) -> None:
    """As a failing disk does: size and time stay."""
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=times)


@pytest.mark.parametrize(
    ("happens", "words"),
    [
        (flip_a_byte, "checksum differs"),
        (lambda path: path.write_text("cut"), "3 bytes where"),
        (lambda path: path.unlink(), "missing"),
    ],
)
def test_damage_is_told_with_output_and_file(quick, results, capsys, happens, words):
    assert command(capsys, "verify", "--results", results)[0] == 0
    happens(output(quick, "analyzer"))
    code, said = command(capsys, "verify", "--results", results)
    assert code == 1
    (line,) = [line for line in said.splitlines() if line.startswith("damaged")]
    assert line.startswith("damaged: m1 / imec0 analyzer: ") and words in line
    outputs = sum(2 if stage.scope == "probe" else 1 for stage in quick.stages.values())
    assert f"{outputs} outputs" in said and "1 damaged" in said


def test_quick_verification_reads_only_what_was_touched(quick, results, capsys):
    flip_a_byte(output(quick, "analyzer"))
    assert command(capsys, "verify", "--results", results, "--quick")[0] == 0
    os.utime(output(quick, "analyzer"))
    code, said = command(capsys, "verify", "--results", results, "--quick", "--json")
    assert code == 1
    assert [one["stage"] for one in json.loads(said)["damaged"]] == ["analyzer"]


def test_damaged_and_lost_manifests_are_told(quick):
    state = quick.root / "m1/.spikepipe/manifests"
    (state / f"lfp/{NAME}.json").write_text("{")
    (state / f"motion/{NAME}.json").unlink()
    found = {one.stage: one.problem for one in check_outputs(quick.store, quick.stages) if one.problem}
    assert set(found) == {"lfp", "motion"}
    assert "is no manifest" in found["lfp"]
    assert "the ledger says that it was made" in found["motion"]


def test_an_output_that_is_being_written_is_passed_over(quick):
    flip_a_byte(output(quick, "analyzer"))
    with quick.store.results.lock(quick.work("m1", "imec0").ref("analyzer")):
        (one,) = [one for one in check_outputs(quick.store, quick.stages) if one.busy]
    assert (one.stage, one.problem) == ("analyzer", None)


def test_redo_takes_damaged_outputs_away_and_asks_for_them_alone(quick, results, capsys):
    flip_a_byte(output(quick, "analyzer"))
    (quick.root / f"m1/.spikepipe/manifests/lfp/{NAME}.json").write_text("{")
    code, said = command(capsys, "verify", "--results", results, "--redo")
    assert code == 0, said
    assert not output(quick, "analyzer").exists() and not output(quick, "lfp").exists()
    with dg.DagsterInstance.from_config(str(default_home(quick.root))) as instance:
        (asked,) = instance.get_backfills()
        target = asked.asset_backfill_data.target_subset
        assert {key.to_user_string() for key in target.asset_keys} == {"analyzer", "lfp"}
    quick.make("m1", "imec0", "analyzer", "lfp")
    assert not any(one.problem for one in check_outputs(quick.store, quick.stages))
    assert is_current(quick.stages["nwb"], quick.work("m1", None)), "what was made from them is still true"


# --- clean: what goes --------------------------------------------------------------------------------------------


def removable(quick: QuickResults, *released: str, traces: bool = True) -> list[Removable]:
    return list(
        find_removable(quick.store, quick.stages, lambda _: quick.params, traces=traces, released=released)
    )


def write_traces(quick: QuickResults, probe: str = "imec0") -> Path:
    """As the steps do: traces under their manifest, and a sorter's folder beside them."""
    work = quick.work("m1", probe)
    area, ref = quick.store.scratch, work.scratch_ref("traces")
    manifest = quick.store.results.read_manifest(work.ref("preprocessed_recording"))
    with area.lock(ref):
        draft = area.draft(ref)
        draft.path.mkdir(parents=True)
        (draft.path / "traces.raw").write_bytes(b"0" * 1000)
        area.commit(draft, manifest.model_copy(update={"started": datetime.now(UTC)}))
    sorter = area.path(work.scratch_ref("sorter"))
    sorter.mkdir()
    (sorter / "log.json").write_text("{}")
    return sorter.parent


def test_traces_go_when_every_step_is_done_and_stay_while_one_failed(quick):
    place, other = write_traces(quick), write_traces(quick, "imec1")
    quick.misbehave["m1", "imec1", "analyzer"] = BadDataError("bad")
    quick.change(postprocessing={"duplicate_threshold": 0.5})
    quick.make("m1", "imec1", "analyzer")
    (one,) = removable(quick)
    assert (one.kind, one.path, one.size) == ("traces", place, 1002)
    assert remove_all([one]) == 1002
    assert not place.exists() and other.exists()
    assert quick.store.scratch.read_manifest(quick.work("m1", "imec0").scratch_ref("traces")) is None
    assert removable(quick) == []


def test_traces_of_runs_that_nobody_waits_for_go_by_themselves(quick):
    place, other = write_traces(quick), write_traces(quick, "imec1")
    quick.misbehave["m1", "imec1", "analyzer"] = BadDataError("bad")
    quick.change(postprocessing={"duplicate_threshold": 0.5})
    quick.make("m1", "imec1", "analyzer")

    def tick(**settings) -> str:
        defs = build_definitions(Deployment(results=quick.root, **settings))
        context = dg.build_sensor_context(instance, definitions=defs)
        return defs.resolve_sensor_def("tidy_scratch")(context).skip_message

    with dg.DagsterInstance.ephemeral() as instance:
        assert tick(storage={"keep": {"traces": "always"}}) == "storage.keep.traces is always"
        job = build_definitions(Deployment(results=quick.root)).resolve_job_def("probe")
        tags = SESSION_PROBE.get_tags_for_partition_key(probe_key("m1", "imec1"))
        run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
        assert tick() == "nothing to remove", "a run is at the session"
        instance.report_run_failed(run)
        assert tick() == "removed 1 kB" and not place.exists()
        assert other.exists(), "it failed: the next attempt needs them"
        assert tick() == "nothing to remove"


def test_traces_stay_while_a_step_is_at_work(quick):
    place = write_traces(quick)
    found = removable(quick)
    said: list[str] = []
    with quick.store.results.lock(quick.work("m1", "imec0").ref("motion")):
        assert remove_all(found, say=said.append) == 0
    assert place.exists() and "in use" in said[0]
    assert removable(quick, traces=False) == []


def test_leftovers_of_killed_runs_go_and_those_of_living_ones_stay(quick):
    final = output(quick, "analyzer")
    killed = final.with_name(f".tmp-0123abcd-{final.name}")
    killed.mkdir()
    (killed / "half").write_text("half")
    unknown = final.with_name(".old-0123abcd-somebody.zarr")
    unknown.write_text("x")
    (one,) = removable(quick)
    assert (one.kind, one.path) == ("leftover", killed), "of the other nobody knows yet whether it is in use"
    with quick.store.results.lock(quick.work("m1", "imec0").ref("analyzer")):
        assert remove_all([one]) == 0
    assert remove_all([one]) == 4 and not killed.exists() and final.exists()
    os.utime(unknown, (0, 0))
    remove_all(removable(quick))
    assert not unknown.exists()


def test_outputs_of_jobs_that_are_no_more_are_orphans(quick):
    quick.store.registry.add([entry(quick.root.parent / "data", "m1", ("imec0",))])
    gone = output_of_imec1 = quick.root / "m1/postprocessed/block0_imec1.ap_recording1.zarr"
    found = removable(quick)
    assert {one.kind for one in found} == {"orphan"} and output_of_imec1 in {one.path for one in found}
    remove_all(found)
    assert not gone.exists() and output(quick, "analyzer").exists()
    assert removable(quick) == []
    assert not any(one.problem for one in check_outputs(quick.store, quick.stages))


def test_what_is_not_ours_is_left_alone(quick):
    mine = quick.root / "m1/notes.txt"
    mine.write_text("my notes")
    (quick.root / "another").mkdir()
    assert removable(quick, "lfp", "motion", "analyzer") != [] and mine not in {
        one.path for one in removable(quick, "lfp", "motion", "analyzer")
    }


# --- clean: what comes back --------------------------------------------------------------------------------------


def release(quick: QuickResults, *names: str) -> None:
    found = removable(quick, *names)
    assert {one.kind for one in found} == {"output"}
    remove_all(found)


def test_outputs_are_released_only_when_all_of_their_session_is_up_to_date(quick):
    assert len(removable(quick, "lfp", "analyzer")) == 4
    quick.change(curation={"query": "snr > 5"})
    assert removable(quick, "lfp", "analyzer") == []


def test_a_released_output_counts_as_made_and_nothing_is_made_again(quick):
    release(quick, "analyzer", "lfp")
    assert not output(quick, "analyzer").exists()
    quick.make_session("m1")
    assert quick.made == [] and not output(quick, "analyzer").exists()
    assert removable(quick, "analyzer", "lfp") == []
    assert not any(one.problem for one in check_outputs(quick.store, quick.stages))


def test_a_released_output_comes_back_for_what_needs_it_and_for_that_alone(quick):
    release(quick, "analyzer", "lfp")
    quick.change(curation={"query": "snr > 5"})
    quick.make("m1", "imec0", "curated_units")
    assert quick.made == [("m1", "imec0", "analyzer"), ("m1", "imec0", "curated_units")]
    assert output(quick, "analyzer").exists() and not output(quick, "analyzer", "imec1").exists()
    quick.made.clear()
    quick.make("m1", None)
    assert set(quick.made) == {
        ("m1", "imec1", "analyzer"), ("m1", "imec0", "lfp"), ("m1", "imec1", "lfp"), ("m1", None, "nwb"),
    }  # fmt: skip


def test_released_with_other_params_it_is_made_anew(quick):
    release(quick, "analyzer")
    quick.change(postprocessing={"duplicate_threshold": 0.5})
    quick.make_session("m1")
    assert ("m1", "imec0", "analyzer") in quick.made and output(quick, "analyzer").exists()


def test_a_release_that_was_cut_off_is_finished_by_the_next(quick, monkeypatch):
    work = quick.work("m1", "imec0")
    area, ref = quick.store.results, work.ref("lfp")
    with monkeypatch.context() as patch:
        patch.setattr(type(area), "_put_aside", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt), area.lock(ref):
            area.release(ref)
    assert area.read_manifest(ref).released and area.path(ref).exists()
    quick.change(nwb={"allow_partial": True, "ecephys": {"backend": "hdf5"}})
    quick.make("m1", None)
    assert area.manifest(ref) is not None, "made again, over what had been left"


# --- the command and its settings --------------------------------------------------------------------------------


def test_clean_removes_nothing_without_yes(quick, results, capsys):
    place = write_traces(quick)
    code, said = command(capsys, "clean", "--results", results)
    assert code == 0 and place.exists()
    assert str(place) in said and "with --yes" in said
    code, said = command(capsys, "clean", "--results", results, "--yes", "--only", "leftover")
    assert place.exists() and "nothing to remove" in said
    code, said = command(capsys, "clean", "--results", results, "--yes")
    assert not place.exists() and "removed: 1 kB" in said


def test_policy_comes_from_the_deployment_and_the_environment(quick, capsys, monkeypatch):
    place = write_traces(quick)
    keep = {"keep": {"traces": "always", "lfp": "while_needed"}}
    save(quick, storage=StorageSettings.model_validate(keep))
    arguments = ("clean", "--results", str(quick.root), "--yes")
    command(capsys, *arguments)
    assert place.exists()
    monkeypatch.setenv("SPIKEPIPE_KEEP", "traces=while_needed")
    command(capsys, *arguments)
    assert not place.exists()
    assert stored_settings(default_home(quick.root)) == StorageSettings.model_validate(keep)
    monkeypatch.setenv("SPIKEPIPE_KEEP", "lpf=while_needed")
    with pytest.raises(ParamsError, match=r"lpf.*the names are traces, lfp, motion, analyzer"):
        Deployment.from_environment()


def test_policy_is_no_part_of_any_data_version(quick):
    manifest = quick.store.results.read_manifest(quick.work("m1", "imec0").ref("lfp"))
    assert isinstance(manifest, Manifest) and "storage" not in json.dumps(manifest.settings)
