"""`spikepipe scan`: what would be processed and what not, with reasons, before anything is written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from spikepipe_assets.cli import main
from spikepipe_core.demo import write_demo_session
from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest import discover
from spikepipe_core.params import JobDispatchParams


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A SpikeGLX run with two probes. To be read only."""
    return write_demo_session(tmp_path_factory.mktemp("scan") / "out", probes=2, seconds=1, channels=(12, 8))


@pytest.fixture
def root(session, tmp_path):
    """A folder of sessions: two good ones, one with a broken probe, one that holds no recording."""
    for name in ("monday", "tuesday", "wednesday"):
        shutil.copytree(session, tmp_path / "root" / name / session.name)
    os.truncate(next((tmp_path / "root" / "tuesday").rglob("*imec0.ap.bin")), 100)
    (tmp_path / "root" / "notes").mkdir()
    return tmp_path / "root"


def scan_json(capsys, *arguments) -> tuple[int, dict]:
    status = main(["scan", *map(str, arguments), "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_everything_is_fine(session, capsys):
    assert main(["scan", str(session)]) == 0
    out = capsys.readouterr().out
    assert "read as spikeglx (SpikeGLX file demo_g0_t0.imec0.ap.bin)" in out
    assert "2 recording job(s) of 1 session(s)" in out and "NP1000" in out and "imec1.lf" in out
    assert "2 processed" in out


def test_as_json(session, capsys):
    status, found = scan_json(capsys, session)
    assert (status, found["sessions"], found["counts"]) == (0, 1, {"processed": 2, "not processed": 2})
    assert [(row["stream"], row["kind"]) for row in found["streams"][2:]] == [
        ("imec0.ap-SYNC", "sync"),
        ("imec1.ap-SYNC", "sync"),
    ]
    first = found["streams"][0]
    assert (first["session"], first["probe"], first["stream"]) == ("demo_g0", "imec0", "imec0.ap")
    assert (first["kind"], first["reason"]) == ("AP", "its name says 'ap'")
    assert (first["channels"], first["sampling_frequency_hz"], first["duration_s"]) == (12, 30_000, 1)
    assert first["lfp_stream"] == "imec0.lf" and first["probe_model"].startswith("NP1000")


def test_a_broken_probe_and_a_folder_of_something_else_do_not_stop_the_rest(root, capsys):
    status, found = scan_json(capsys, root, "--multi_session")
    assert status == 1
    assert found["counts"] == {"processed": 5, "failed": 1, "not processed": 7}
    (failed,) = [row for row in found["streams"] if row["status"] == "failed"]
    assert (failed["session"], failed["probe"]) == ("tuesday", "imec0")
    assert "has 100 bytes" in failed["reason"]
    (other,) = [row for row in found["streams"] if row["status"] == "not processed" and row["kind"] != "sync"]
    assert other["stream"] == "notes" and "none of the formats" in other["reason"]


def test_a_session_that_cannot_be_read_is_told_apart_from_one_that_holds_nothing(root, capsys):
    for file in (root / "monday").rglob("*.ap.*"):
        file.unlink()
    status, found = scan_json(capsys, root, "--multi_session")
    (failed,) = [row for row in found["streams"] if row["stream"] == "monday"]
    assert (status, failed["status"]) == (1, "failed")
    assert "holds no recording that the spikeglx reader could process" in failed["reason"]
    assert {row["session"] for row in found["streams"] if row["status"] == "processed"} == {
        "tuesday",
        "wednesday",
    }
    assert main(["scan", str(root), "--multi_session"]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "failed" in out and str(root) + "/monday" not in out, "paths are relative to the data folder"


def test_what_the_params_skip_is_said(session, capsys):
    status, found = scan_json(capsys, session, "--job_dispatch_args=--min-recording-duration 60")
    assert (status, found["counts"]) == (2, {"skipped": 2, "not processed": 2})
    assert "1.0 s is less than job_dispatch.min_recording_duration = 60 s" in found["streams"][0]["reason"]


def test_nothing_to_process(tmp_path, capsys):
    status, found = scan_json(capsys, tmp_path)
    assert status == 2 and "none of the formats" in found["error"]
    assert main(["scan", str(tmp_path / "missing")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_nothing_is_written(root, capsys):
    def state():
        return {path: path.stat().st_mtime_ns for path in sorted(root.rglob("*"))}

    before = state()
    main(["scan", str(root), "--multi_session"])
    assert state() == before


def test_folders_of_another_format_are_named(session, tmp_path):
    shutil.copytree(session, tmp_path / session.name)
    (tmp_path / "converted").mkdir()
    (tmp_path / "converted" / "old.nwb").write_bytes(b"\x89HDF\r\n\x1a\n")
    (aside,) = [one for one in discover(tmp_path, JobDispatchParams()).ignored if one.kind != "sync"]
    assert aside.stream == "converted" and "nwb data (NWB file old.nwb)" in aside.reason


def test_the_wrong_input_says_what_the_folder_looks_like(session):
    with pytest.raises(BadDataError, match=r"nwb reader.*It looks like spikeglx \(SpikeGLX file"):
        discover(session, JobDispatchParams(input="nwb"))


@pytest.mark.parametrize("level", ["probe folder", "run folder", "its parent"])
def test_any_level_of_the_session_gives_the_same_jobs(session, level):
    probe_folder = next(session.iterdir())
    folder = {"probe folder": probe_folder, "run folder": session, "its parent": session.parent}[level]
    jobs = discover(Path(folder), JobDispatchParams()).jobs
    assert (jobs[0].session, jobs[0].probe) == ("demo_g0", probe_folder.name.rsplit("_", 1)[-1])


@pytest.mark.parametrize(("name", "reader"), [("a.rhd", "intan"), ("a.rec", "spikegadgets"), ("a.dat", None)])
def test_a_format_that_needs_a_reader_of_spikeinterface_says_which(tmp_path, capsys, name, reader):
    (tmp_path / name).write_bytes(b"?")
    assert main(["scan", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "none of the formats" in said
    assert (f"spikeinterface_info.reader_type to {reader!r}" in said) == (reader is not None)
