"""``spikepipe params``: defaults, schema, all errors at once, what applies and why, differences, migration."""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from spikepipe_assets.deployment import SESSION_PARAMS, Deployment
from spikepipe_assets.instance import default_home
from spikepipe_assets.params_command import add_params_command
from spikepipe_assets.params_report import differences, effective_values, outputs_changed
from spikepipe_core.errors import MissingInputError, NotAvailableError, ParamsError
from spikepipe_core.ingest import RecordingJob
from spikepipe_core.params import Params, default_params, json_schema, parse_params
from spikepipe_core.store import session_entries

SPEC = Path(__file__).resolve().parents[2] / "shared" / "spec"
OLD = {
    "pipeline_version": "1.3.1",
    "preprocessing": {"motion": {"preset": "dredge"}},
    "curation": {"qc_thresholds": {"snr": {"greater": 4}}},
}


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_params_command(parser.add_subparsers())
    options = parser.parse_args(["params", *map(str, arguments)])
    return options.command(options)


@pytest.fixture
def write(tmp_path):
    def write(name: str, content: object) -> Path:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_default_and_schema_are_printed_whole(capsys):
    assert run("default") == 0
    assert json.loads(capsys.readouterr().out) == default_params()
    assert run("schema") == 0
    assert json.loads(capsys.readouterr().out) == json_schema()


def test_output_files_are_not_replaced_unasked(tmp_path, capsys):
    path = tmp_path / "p.json"
    assert run("default", "-o", path) == 0
    assert parse_params(json.loads(path.read_text()), str(path)) == Params()
    with pytest.raises(ParamsError, match="--force"):
        run("schema", "-o", path)
    assert run("schema", "-o", path, "--force") == 0
    assert json.loads(path.read_text()) == json_schema()
    with pytest.raises(ParamsError, match="cannot be written"):
        run("schema", "-o", tmp_path / "nowhere" / "p.json")


def test_validate_tells_all_errors_at_once(write, capsys):
    bad = write(
        "bad.json",
        {
            "preprocessing": {"highpas_filter": {}, "filter_type": "bandpas", "max_bad_channel_fraction": 2},
            "nwb": {"ecephys": {"lfp": {"filter": {"freq_min": 600}}}},
            "n_jobs": 3,
        },
    )
    assert run("validate", bad) == 2
    out = " ".join(capsys.readouterr().out.split())
    for part in (
        "5 problems",
        'preprocessing.highpas_filter = {} unknown key; did you mean "highpass_filter"?',
        "preprocessing.filter_type = \"bandpas\" must be 'highpass' or 'bandpass'; did you mean \"bandpass\"?",
        "preprocessing.max_bad_channel_fraction = 2 must be less than or equal to 1",
        "freq_min (600 Hz) must be below freq_max (500 Hz)",
        "n_jobs = 3 unknown key; the number of jobs belongs to the machine",
    ):
        assert part in out, part


def test_validate_takes_several_files_and_fails_if_one_is_wrong(write, tmp_path, capsys):
    good, broken = write("good.json", {}), write("broken.json", "{,}")
    assert run("validate", good) == 0
    assert "everything has its built-in default" in capsys.readouterr().out
    assert run("validate", good, broken, tmp_path / "none.json") == 2
    out = capsys.readouterr().out
    assert "valid" in out
    assert "line 1, column 2" in out
    assert "there is no params file" in out


def test_validate_lists_what_a_file_changes_and_which_outputs(write, capsys):
    path = write("p.json", {"visualization": {"drift": {"n_skip": 3}}})
    assert run("validate", path) == 0
    out = capsys.readouterr().out
    assert "visualization.drift.n_skip: 30 -> 3" in out
    outputs = re.search(r"outputs that this changes: (.*)", out)[1].split(", ")
    assert outputs
    assert all("figures" in name for name in outputs)


def test_validate_accepts_the_1_3_1_file_and_lists_its_effects(capsys):
    path = SPEC / "aind-1.3.1-default_params.json"
    if not path.is_file():
        pytest.skip(f"the params file of version 1.3.1 is not at {path}")
    assert run("validate", path) == 0
    out = capsys.readouterr().out
    assert "valid" in out
    assert "default_preprocessing_pipeline.highpass_filter became preprocessing.highpass_filter" in out
    assert 'job_dispatch.input: "openephys" -> "aind"' in out
    assert '+"noise_cutoff"' in out


def test_validate_accepts_the_documents_own_blocks_as_one_file(write, capsys):
    document = SPEC / "parameters.txt"
    if not document.is_file():
        pytest.skip(f"the document of the params is not at {document}")
    text = document.read_text()
    sections: dict = {}
    for match in re.finditer(r"^Parameter file section \(`*([\w.]+)`*\):\n", text, re.MULTILINE):
        block = re.sub(r"//.*", "", text[match.end() :])
        content, _ = json.JSONDecoder().raw_decode(re.sub(r",(\s*[}\]])", r"\1", block))
        *parents, last = match.group(1).split(".")
        target = sections
        for key in parents:
            target = target.setdefault(key, {})
        target[last] = content
    sections["spikesorting"]["kilosort4"] = sections["spikesorting"].pop("{sorter_name}")
    assert set(sections) == {*default_params()}
    # its empty `sorter` object stands for the sorter's own defaults; all else is a default of ours
    path = write("document.json", sections)
    assert run("validate", path) == 0
    changed = re.findall(r"^    ([\w.]+): ", capsys.readouterr().out, re.MULTILINE)
    assert all(key.startswith("spikesorting.kilosort4.sorter") for key in changed)


def test_migrate_writes_todays_layout_and_lists_each_change(write, tmp_path, capsys):
    new = tmp_path / "new.json"
    assert run("migrate", write("old.json", OLD), "-o", new) == 0
    told = capsys.readouterr().err
    assert "3 changes" in told
    assert "preprocessing.motion became preprocessing.motion_correction" in told
    assert json.loads(new.read_text()) == {
        "preprocessing": {"motion_correction": {"preset": "dredge"}},
        "curation": {"query": "snr >= 4"},
    }
    assert run("migrate", new) == 0
    captured = capsys.readouterr()
    assert "today's layout already" in captured.err
    assert json.loads(captured.out) == json.loads(new.read_text())


def test_migrate_tells_what_is_left_to_correct(write, capsys):
    assert run("migrate", write("old.json", {**OLD, "visualisation": {}})) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["visualisation"] == {}
    assert 'did you mean "visualization"?' in captured.err


def test_diff_compares_what_applies(write, capsys):
    same = write("same.json", {"curation": {"query": Params().curation.query}})
    other = write("other.json", {"curation": {"query": None}, "preprocessing": {"motion": {"apply": True}}})
    assert run("diff", "default", same) == 0
    assert "no difference" in capsys.readouterr().out
    assert run("diff", same, other) == 1
    out = capsys.readouterr().out
    assert "preprocessing.motion_correction.apply: false -> true" in out
    assert "curation.query: " in out
    assert "sorting" in re.search(r"outputs that this changes: (.*)", out)[1]


def test_differences_name_a_cleared_object_once():
    before = {"a": {"x": 1, "y": 2}, "b": {}}
    after = {"a": {}, "b": {"z": 3}}
    assert [d.path for d in differences(before, after)] == ["a.x", "a.y", "b.z"]


def test_a_threshold_of_curation_changes_no_output_above_it():
    changed = outputs_changed(Params(), parse_params({"curation": {"query": None}}, "test"))
    assert "curated_units" in changed
    assert "nwb" in changed
    assert not {"recording", "preprocessed_recording", "motion", "sorting", "analyzer", "lfp"} & {*changed}


# --- what applies to a run ---


@pytest.fixture
def deployment(tmp_path) -> Deployment:
    """A run with every layer, saved as `spikepipe run` saves it."""
    data = tmp_path / "data"
    (data / "mouse1").mkdir(parents=True)
    (data / "mouse1" / SESSION_PARAMS).write_text('{"preprocessing": {"highpass_filter": {"freq_min": 400}}}')
    made = Deployment(
        results=tmp_path / "results",
        data=data,
        params_file=tmp_path / "lab.json",
        params={
            "preprocessing": {
                "filter_type": "bandpass",
                "highpass_filter": {"freq_min": 200, "margin_ms": 9},
            },
            "nwb": {"ecephys": {"write_lfp": True}},
        },
        overrides={"curation": {"query": None}},
        sorter="spykingcircus2",
        runmode="fast",
    )
    job = RecordingJob(
        session="mouse1",
        session_folder="mouse1",
        probe="imec0",
        block="block0",
        segment=1,
        stream="imec0.ap",
        group=None,
        recording_name="block0_imec0.ap_recording1",
        reader="spikeglx",
        source=(),
        files=("mouse1/run_g0/a.bin",),
    )
    made.store().registry.add(session_entries(data, (job,)))
    home = default_home(made.results)
    home.mkdir(parents=True, exist_ok=True)
    made.save(home)
    return made


def test_every_effective_value_says_where_it_came_from(deployment, tmp_path):
    shown = {value.path: value for value in effective_values(deployment)}
    origins = {path: value.origin for path, value in shown.items()}
    lab = str(tmp_path / "lab.json")
    assert origins["preprocessing.filter_type"] == lab
    assert origins["preprocessing.highpass_filter.freq_min"] == lab
    assert origins["preprocessing.denoising_strategy"] == "built-in defaults"
    assert origins["curation.query"] == "the command line"
    assert origins["spikesorting.sorter"] == "--sorter"
    assert origins["nwb.ecephys.write_lfp"] == "--runmode fast"
    assert origins["postprocessing.extensions.principal_components"] == "--runmode fast"
    assert shown["job_dispatch.input"].detected
    nested = {path: value.value for path, value in shown.items()}
    applied = deployment.effective_params()
    assert nested["nwb.ecephys.write_lfp"] is applied.nwb.ecephys.write_lfp is False
    assert nested["spikesorting.sorter"] == applied.spikesorting.sorter


def test_a_sessions_own_file_is_shown_for_that_session(deployment):
    shown = {value.path: value for value in effective_values(deployment, "mouse1")}
    assert shown["preprocessing.highpass_filter.freq_min"].value == 400
    assert shown["preprocessing.highpass_filter.freq_min"].origin.endswith(f"mouse1/{SESSION_PARAMS}")
    assert shown["preprocessing.highpass_filter.margin_ms"].value == 9
    with pytest.raises(MissingInputError, match="mouse1"):
        effective_values(deployment, "mouse2")


def test_show_prints_them(deployment, capsys, monkeypatch):
    assert run("show", "--results", deployment.results, "--changed") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(re.match(r"curation\.query +null +# the command line$", line) for line in lines)
    assert not any("built-in defaults" in line for line in lines)
    monkeypatch.setenv("RESULTS_PATH", str(deployment.results))
    assert run("show", "--json", "--session", "mouse1") == 0
    params = json.loads(capsys.readouterr().out)
    assert params["preprocessing"]["highpass_filter"] == {"freq_min": 400, "margin_ms": 9}
    assert "input" not in params["job_dispatch"]
    parse_params(params, "shown")


def test_show_needs_a_run(tmp_path, monkeypatch):
    monkeypatch.delenv("RESULTS_PATH", raising=False)
    with pytest.raises(ParamsError, match="--results"):
        run("show")
    with pytest.raises(NotAvailableError, match=r"spikepipe\.json"):
        run("show", "--results", tmp_path)


def test_edit_says_when_its_port_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(NotAvailableError, match="give another port"):
            run("edit", str(taken.getsockname()[1]), "--no-browser")


def test_looking_at_the_help_imports_no_models():
    code = (
        "import argparse, sys; from spikepipe_assets.params_command import add_params_command;"
        "from spikepipe_assets.step_arguments import add_step_arguments;"
        "p = argparse.ArgumentParser(); add_step_arguments(p); add_params_command(p.add_subparsers());"
        "print([m for m in ('pydantic', 'dagster', 'spikeinterface') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
    assert done.stdout.strip() == "[]", done.stderr
