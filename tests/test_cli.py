"""Bad usage of the command line: status 2, a message with file, value and remedy, and nothing touched."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spikepipe_assets.cli import main


def run(capsys, *arguments: str) -> tuple[int, str]:
    try:
        code = main(["run", *arguments])
    except SystemExit as stop:
        code = int(stop.code)
    captured = capsys.readouterr()
    return code, " ".join((captured.out + captured.err).split())


@pytest.fixture
def data(demo_data: Path) -> Path:
    return demo_data


def params_file(folder: Path, content: dict) -> str:
    path = folder / "params.json"
    path.write_text(json.dumps(content))
    return str(path)


NO_MODELS = {"curation": {"noise_neural_classifier": None, "sua_mua_classifier": None}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"preprocesing": {}}, ["preprocesing", "preprocessing"]),
        ({"preprocessing": {"highpass_filter": {"freq_mn": 3}}}, ["freq_mn", "freq_min"]),
        ({"preprocessing": {"min_preprocessing_duration": "long"}}, ["min_preprocessing_duration", "long"]),
        ({"spikesorting": {"sorter": "kilosort5"}}, ["kilosort5", "kilosort4"]),
        ({"spikesorting": {"kilosort4": {"sorter": {"Th_universl": 9}}}}, ["Th_universl", "Th_universal"]),
    ],
)
def test_bad_params_are_told_before_anything_starts(capsys, tmp_path, data, content, words):
    results = tmp_path / "results"
    code, said = run(
        capsys,
        "--data",
        str(data),
        "--results",
        str(results),
        "--params_file",
        params_file(tmp_path, content),
    )
    assert code == 2
    assert all(word in said for word in words), said
    assert not results.exists()


def test_no_such_folder(capsys, tmp_path):
    code, said = run(capsys, "--data", str(tmp_path / "nowhere"), "--results", str(tmp_path / "results"))
    assert code == 2
    assert str(tmp_path / "nowhere") in said.replace(" ", "") or "nowhere" in said
    assert not (tmp_path / "results").exists()


def test_a_folder_without_recordings(capsys, tmp_path):
    (tmp_path / "data").mkdir()
    code, said = run(capsys, "--data", str(tmp_path / "data"), "--results", str(tmp_path / "results"))
    assert code == 2 and "spikeglx" in said
    assert not (tmp_path / "results").exists()


def test_data_and_results_are_asked_for(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("DATA_PATH", raising=False)
    monkeypatch.delenv("RESULTS_PATH", raising=False)
    assert run(capsys)[0] == 2
    code, said = run(capsys, "--data", str(tmp_path))
    assert code == 2 and "RESULTS_PATH" in said


def test_everything_that_is_missing_is_said_at_once(capsys, tmp_path, data, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    content = {
        "spikesorting": {"sorter": "kilosort25"},
        "curation": {"noise_neural_classifier": "nobody/nothing", "sua_mua_classifier": "no such folder"},
    }
    results = tmp_path / "results"
    code, said = run(
        capsys,
        "--data",
        str(data),
        "--results",
        str(results),
        "--params_file",
        params_file(tmp_path, content),
    )
    assert code == 2
    assert all(word in said for word in ("kilosort25", "nobody/nothing", "no such folder"))
    assert not results.exists()


def test_both_spellings_and_the_environment(capsys, monkeypatch, tmp_path, data):
    monkeypatch.setenv("DATA_PATH", str(data))
    monkeypatch.setenv("RESULTS_PATH", str(tmp_path / "results"))
    for flag in ("--params_file", "--params-file"):
        code, said = run(capsys, flag, str(tmp_path / "missing.json"), "--n-jobs", "2")
        assert code == 2 and "missing.json" in said


def test_ui_needs_a_run(capsys, tmp_path):
    code = main(["ui", "--results", str(tmp_path)])
    assert code == 2
    assert "spikepipe run" in " ".join(capsys.readouterr().err.split())


def test_the_command_is_installed():
    done = subprocess.run(
        [sys.executable, "-m", "spikepipe_assets.cli", "--help"], capture_output=True, text=True, check=True,
        env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip
    assert all(command in done.stdout for command in ("run", "ui", "demo-data", "demo"))
