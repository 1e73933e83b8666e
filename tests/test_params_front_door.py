"""`spikepipe run` as a person types it: the params that then apply, whole, and how the global flags are spelled."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from spikepipe_assets import cli
from spikepipe_assets.params_report import differences
from spikepipe_assets.run import Request
from spikepipe_core.params import default_params

SPEC = Path(__file__).resolve().parents[2] / "shared" / "spec" / "parameters.txt"


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What `spikepipe run` is about to process, without doing it."""
    monkeypatch.setenv("DATA_PATH", str(tmp_path / "data"))
    monkeypatch.setenv("RESULTS_PATH", str(tmp_path / "results"))
    monkeypatch.delenv("SPIKEPIPE_PARAMS_FILE", raising=False)
    requests: list[Request] = []
    monkeypatch.setattr(cli, "_process", lambda request: requests.append(request) or 0)

    def ask(*arguments: str) -> Request:
        assert cli.main(["run", *arguments]) == 0
        return requests[-1]

    return ask


def applied(request: Request) -> dict[str, Any]:
    """Every value that applies and is not the built-in default."""
    found = differences(default_params(), request.deployment.effective_params().to_dict())
    return {each.path: each.after for each in found if each.path != "$schema"}


FULL_EXAMPLE = {
    "job_dispatch.input": "spikeglx",
    "job_dispatch.debug": True,
    "job_dispatch.debug_duration": 120,
    "preprocessing.motion_correction.preset": "nonrigid_fast_and_accurate",
    "nwb.ecephys.write_lfp": False,
    "spikesorting.sorter": "kilosort4",
}


def full_example() -> list[str]:
    if not SPEC.is_file():
        pytest.skip(f"the document of the params is not at {SPEC}")
    command = re.search(r"run main_multi_backend\.nf \\\n((?:--.*\n)+)", SPEC.read_text())
    assert command is not None
    return shlex.split(command[1].replace("\\\n", " "))


def test_the_documents_full_example_letter_for_letter_applies_what_it_says_and_nothing_else(asked, tmp_path):
    defaults = default_params()
    request = asked(*full_example())
    expected = {key: value for key, value in FULL_EXAMPLE.items() if at(defaults, key) != value}
    assert applied(request) == expected
    effective = request.deployment.effective_params().to_dict()
    assert {key: at(effective, key) for key in FULL_EXAMPLE} == FULL_EXAMPLE
    assert (at(effective, "preprocessing.motion_correction.compute"), request.deployment.processes) == (
        True,
        16,
    )
    assert at(effective, "preprocessing.motion_correction.apply") is False
    assert (request.data, request.deployment.results) == (tmp_path / "data", tmp_path / "results")


def at(params: dict[str, Any], path: str) -> Any:
    for key in path.split("."):
        params = params[key]
    return params


@pytest.mark.parametrize("joint", ["_", "-"])
@pytest.mark.parametrize("equals", [True, False])
def test_flags_with_either_line_and_either_joint(joint, equals, asked, tmp_path):
    file = tmp_path / "params.json"
    file.write_text(json.dumps({"curation": {"query": "snr > 4"}}))
    given = {
        f"--n{joint}jobs": "3",
        f"--params{joint}file": str(file),
        f"--curation{joint}args": "--query 'snr > 5'",
    }
    pairs = [[f"{k}={v}"] if equals else [k, v] for k, v in given.items()]
    request = asked(*(word for pair in pairs for word in pair))
    assert request.deployment.n_jobs == 3
    assert request.deployment.params == {"curation": {"query": "snr > 4"}}
    assert applied(request)["curation.query"] == "snr > 5"


@pytest.mark.parametrize(
    ("in_file", "flag", "expected"),
    [
        (None, None, "kilosort4"),
        (None, "spykingcircus2", "spykingcircus2"),
        ("lupin", "spykingcircus2", "lupin"),
        ("lupin", None, "lupin"),
    ],
)
def test_the_files_sorter_wins_and_null_leaves_it_to_the_flag(in_file, flag, expected, asked, tmp_path):
    file = tmp_path / "params.json"
    file.write_text(json.dumps({"spikesorting": {"sorter": in_file}}))
    request = asked("--params_file", str(file), *(["--sorter", flag] if flag else []))
    assert request.deployment.effective_params().spikesorting.sorter == expected


def test_the_params_file_of_the_environment_and_runmode_fast(asked, tmp_path, monkeypatch):
    file = tmp_path / "params.json"
    file.write_text(
        json.dumps({"postprocessing": {"duplicate_threshold": 0.7}, "curation": {"query": "snr > 5"}})
    )
    monkeypatch.setenv("SPIKEPIPE_PARAMS_FILE", str(file))
    request = asked("--runmode", "fast", "--nwb_ecephys_args=--backend hdf5")
    effective = applied(request)
    assert effective["postprocessing.duplicate_threshold"] == 0.7
    assert effective["curation.query"] == "snr > 5"
    assert effective["nwb.ecephys.backend"] == "hdf5"
    assert effective["nwb.ecephys.write_lfp"] is False
    assert effective["preprocessing.motion_correction.compute"] is False
    said = "\n".join(request.deployment.runmode_changes())
    for key in (
        "preprocessing.motion_correction.compute = false (was true)",
        "postprocessing.extensions.spike_locations = null",
        "postprocessing.extensions.principal_components = null",
        "nwb.ecephys.write_lfp = false (was true)",
        "isolation_distance",
        "drift",
    ):
        assert key in said
    assert "duplicate_threshold" not in said and "query" not in said
