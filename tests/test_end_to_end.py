"""The main job as a user runs it: `spikepipe run` in a process of its own, on a SpikeGLX session with ground truth."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from spikepipe_core.graph import STAGES

pytestmark = pytest.mark.slow

SESSION = "demo_g0"
PARAMS = {
    "preprocessing": {"min_preprocessing_duration": 20},
    "spikesorting": {"sorter": "spykingcircus2"},
    "curation": {"noise_neural_classifier": None, "sua_mua_classifier": None},
}
ONLY_CURATION = {"curated_units", "figures", "quality_control", "nwb"}


@dataclass(frozen=True)
class Run:
    """A finished `spikepipe run`."""

    code: int
    output: str


def command(data: Path, results: Path, params: dict | None = None, *more: str) -> list[str]:
    file = results.with_name(f"{results.name}-params.json")
    file.write_text(json.dumps(params or PARAMS))
    return [
        sys.executable, "-m", "spikepipe_assets.cli", "run", "--data", str(data), "--results", str(results),
        "--params_file", str(file), "--n_jobs", "2", *more,
    ]  # fmt: skip


def spikepipe_run(data: Path, results: Path, params: dict | None = None, *more: str) -> Run:
    done = subprocess.run(
        command(data, results, params, *more), capture_output=True, text=True, timeout=900, check=False
    )
    return Run(done.returncode, done.stdout + done.stderr)


def outcomes(results: Path) -> dict[tuple[str, str], dict]:
    """(probe, stage) to the ledger's line."""
    files = (results / SESSION / ".spikepipe/ledger" / SESSION).glob("*/*.json")
    return {(file.parent.name, file.stem): json.loads(file.read_text()) for file in files}


def made_again(results: Path) -> set[tuple[str, str]]:
    return {key for key, outcome in outcomes(results).items() if not outcome["reused"]}


def in_fresh_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def strays(results: Path) -> list[Path]:
    return [
        path
        for path in results.rglob("*")
        if path.name.startswith((".tmp-", ".old-")) or ".commit-" in path.name or path.suffix == ".pkl"
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    from spikepipe_core.demo import write_demo_session

    out = tmp_path_factory.mktemp("session") / "data"
    write_demo_session(out, seconds=60.0, channels=(32, 24), seed=3)
    return out


@pytest.fixture(scope="module")
def first(data, tmp_path_factory) -> tuple[Run, Path]:
    """The session processed once; never changed by a test."""
    results = tmp_path_factory.mktemp("first") / "results"
    return spikepipe_run(data, results), results


@pytest.fixture
def results(first, tmp_path) -> Path:
    """A copy of the first run's results, to do things to."""
    run, made = first
    assert run.code == 0, run.output
    return Path(shutil.copytree(made, tmp_path / "results"))


def test_a_session_is_processed_whole(first, data):
    run, results = first
    assert run.code == 0, run.output
    found = outcomes(results)
    probes = {"imec0", "imec1"}
    of_probe = {name for name, stage in STAGES.items() if stage.scope == "probe"}
    assert set(found) == {(p, s) for p in probes for s in of_probe} | {("_session", "nwb")}
    assert all(outcome["outcome"] == "ok" for outcome in found.values())
    for name in ("block0_imec0.ap_recording1", "block0_imec1.ap_recording1"):
        for output in (
            f"preprocessed/{name}.json", f"preprocessed/motion/{name}", f"spikesorted/{name}",
            f"postprocessed/{name}.zarr", f"curated/{name}/curation.json", f"visualization/{name}",
            f"quality_control/{name}",
        ):  # fmt: skip
            assert (results / SESSION / output).exists(), output
    steps = json.loads((results / SESSION / "processing.json").read_text())["data_processes"]
    assert {step["outcome"] for step in steps} == {"ok"}
    assert all({"parameters", "versions", "start_date_time", "duration_s"} <= set(step) for step in steps)
    figures = json.loads((results / SESSION / "visualization_output.json").read_text())
    assert all((results / SESSION / path).is_file() for probe in figures.values() for path in probe.values())
    assert strays(results) == []
    assert not (results / ".scratch" / SESSION / "block0_imec0.ap_recording1").exists()


def test_no_output_names_this_machine(first, data):
    _, results = first
    for file in (results / SESSION).rglob("*"):
        if file.is_file() and ".spikepipe" not in file.parts:
            content = file.read_bytes()
            assert str(results).encode() not in content, file
            assert str(data).encode() not in content, file


def test_ground_truth_is_recovered(first, data):
    import spikeinterface.core as si
    from spikeinterface.comparison import compare_sorter_to_ground_truth

    from spikepipe_core.demo import ground_truth_folder, read_ground_truth

    _, results = first
    for probe in ("imec0", "imec1"):
        truth, facts = read_ground_truth(ground_truth_folder(data, probe))
        units = si.load(results / SESSION / f"curated/block0_{probe}.ap_recording1")
        accuracy = compare_sorter_to_ground_truth(truth, units, exhaustive_gt=True).get_performance()[
            "accuracy"
        ]
        clear = [unit.unit_id for unit in facts.units if unit.snr > 5]
        assert (accuracy[clear].astype(float) >= 0.8).mean() >= 0.8


def test_the_second_run_reuses_everything(results, data):
    run = spikepipe_run(data, results)
    assert run.code == 0, run.output
    assert made_again(results) == set()
    assert f"{len(STAGES) - 1} of {len(STAGES) - 1} outputs reused" in run.output


def test_a_curation_threshold_touches_only_what_depends_on_it(results, data):
    changed = {**PARAMS, "curation": {**PARAMS["curation"], "query": "isi_violations_ratio < 0.4"}}
    run = spikepipe_run(data, results, changed)
    assert run.code == 0, run.output
    assert {stage for _, stage in made_again(results)} == ONLY_CURATION


def test_moved_results_load_in_a_fresh_process(results, data, tmp_path):
    moved = tmp_path / "elsewhere" / "archive"
    moved.parent.mkdir()
    results.rename(moved)
    home = moved / SESSION
    name = "block0_imec0.ap_recording1"
    printed = in_fresh_process(
        f"""
import spikeinterface as si, pynwb
recording = si.load({str(home / f"preprocessed/{name}.json")!r}, base_folder={str(data)!r})
print(recording.get_traces(end_frame=3000).std() > 0, recording.get_probe() is not None)
analyzer = si.load({str(home / f"postprocessed/{name}.zarr")!r})
analyzer.set_temporary_recording(recording)
print(len(analyzer.unit_ids) > 3, len(analyzer.get_extension("quality_metrics").get_data()) == len(analyzer.unit_ids))
nwb = pynwb.read_nwb({str(home / f"nwb/{SESSION}.nwb.zarr")!r})
print(sorted(set(nwb.units["probe"][:])), sorted(nwb.processing["ecephys"]["LFP"].electrical_series))
"""
    )
    assert printed.split("\n")[:3] == [
        "True True", "True True",
        "['imec0', 'imec1'] ['ElectricalSeriesimec0-LFP', 'ElectricalSeriesimec1-LFP']",
    ]  # fmt: skip


def test_the_analyzer_has_its_recording_where_data_and_results_are(first, data):
    _, results = first
    analyzer = results / SESSION / "postprocessed/block0_imec0.ap_recording1.zarr"
    printed = in_fresh_process(
        f"import spikeinterface as si; a = si.load({str(analyzer)!r}); "
        "print(a.has_recording(), a.recording.get_traces(end_frame=100).shape[1] == len(a.channel_ids))"
    )
    assert printed.strip() == "True True"


def _without_probe(results: Path, probe: str) -> None:
    """Take a probe out of the results, as if it had never been processed."""
    for path in sorted((results / SESSION).rglob(f"*{probe}*"), reverse=True):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    shutil.rmtree(results / SESSION / "nwb")
    (results / SESSION / ".spikepipe/manifests/nwb" / f"{SESSION}.json").unlink()


def _shorten(data: Path, probe: str, seconds: float) -> None:
    """Cut a probe's files, and what their meta say of them."""
    for meta in data.rglob(f"*{probe}.*.meta"):
        fields = dict(line.split("=", 1) for line in meta.read_text().splitlines())
        rate = float(fields["imSampRate"])
        size = int(seconds * rate) * int(fields["nSavedChans"]) * 2
        os.truncate(meta.with_suffix(".bin"), size)
        fields |= {"fileSizeBytes": str(size), "fileTimeSecs": f"{seconds}"}
        meta.write_text("".join(f"{key}={value}\n" for key, value in fields.items()))


def test_a_short_probe_is_skipped_by_rule(results, data, tmp_path):
    short = Path(shutil.copytree(data, tmp_path / "data"))
    _shorten(short, "imec1", 10.0)
    _without_probe(results, "imec1")
    run = spikepipe_run(short, results)
    assert run.code == 0, run.output
    name = "block0_imec1.ap_recording1"
    for output in (
        f"preprocessed/{name}.json",
        f"spikesorted/{name}",
        f"postprocessed/{name}.zarr",
        f"curated/{name}",
    ):
        assert not (results / SESSION / output).exists(), output
    assert (results / SESSION / f"quality_control/{name}/raw").is_dir()
    assert (results / SESSION / f"visualization/{name}/raw").is_dir()
    line = outcomes(results)["imec1", "preprocessed_recording"]
    assert line["outcome"] == "skipped"
    assert "10.0 s" in line["reason"] and "min_preprocessing_duration = 20" in line["reason"]
    assert outcomes(results)["imec1", "curated_units"]["outcome"] == "skipped"
    assert outcomes(results)["_session", "nwb"]["outcome"] == "ok"


def test_garbage_in_one_probe_fails_it_and_nothing_else(results, data, tmp_path):
    bad = Path(shutil.copytree(data, tmp_path / "data"))
    binary = next(bad.rglob("*imec1.ap.bin"))
    os.truncate(binary, 12345)
    _without_probe(results, "imec1")
    run = spikepipe_run(bad, results)
    assert run.code == 1, run.output
    found = outcomes(results)
    assert found["imec1", "recording"]["outcome"] == "failed"
    assert (
        binary.name in found["imec1", "recording"]["reason"]
        and "12345" in found["imec1", "recording"]["reason"]
    )
    assert found["imec0", "quality_control"]["outcome"] == "ok"
    assert found["_session", "nwb"]["outcome"] == "failed" and "imec1" in found["_session", "nwb"]["reason"]
    assert not list((results / SESSION / "nwb").glob("*.nwb*"))

    partial = spikepipe_run(bad, results, {**PARAMS, "nwb": {"allow_partial": True}})
    assert partial.code == 1, "the probe still failed"
    assert outcomes(results)["_session", "nwb"]["outcome"] == "ok"
    path = results / SESSION / f"nwb/{SESSION}.nwb.zarr"
    printed = in_fresh_process(f"import pynwb; print(set(pynwb.read_nwb({str(path)!r}).units['probe'][:]))")
    assert printed.strip() == "{'imec0'}"


def test_killed_in_the_middle_it_goes_on_to_the_same_results(results, data, first):
    name = "block0_imec0.ap_recording1"
    state = results / SESSION / ".spikepipe/manifests"
    for stage in ("analyzer", "curated_units"):
        (state / stage / f"{name}.json").unlink()
    for output in (f"postprocessed/{name}.zarr", f"curated/{name}"):
        shutil.rmtree(results / SESSION / output)
    process = subprocess.Popen(
        command(data, results), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while not list((results / SESSION / "postprocessed").glob(".tmp-*")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert strays(results), "it was killed in the middle of writing"

    run = spikepipe_run(data, results)
    assert run.code == 0, run.output
    assert "interrupted run" in run.output
    assert strays(results) == []
    _, undisturbed = first
    assert _metrics(results, name) == _metrics(undisturbed, name)


def _metrics(results: Path, name: str) -> str:
    path = results / SESSION / f"postprocessed/{name}.zarr"
    return in_fresh_process(
        f"import spikeinterface as si; a = si.load({str(path)!r}); "
        "print(a.sorting.count_num_spikes_per_unit()); "
        "print(a.get_extension('quality_metrics').get_data().to_csv())"
    )
