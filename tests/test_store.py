"""The store's promises: all or nothing, one writer, found again after a move, damage noticed."""

import json
import multiprocessing
import os
import shutil
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from spikepipe_core.errors import DamagedOutputError, OutputBusyError
from spikepipe_core.store import Area, Ledger, Manifest, Outcome, OutputRef, data_version, digest
from spikepipe_core.store import publish as publish_module

REF = OutputRef("session", "sorting", "block0_imec0.ap_recording1", "spikesorted/block0_imec0.ap_recording1")


def manifest(version: str, ref: OutputRef = REF, **more) -> Manifest:
    return Manifest(
        stage=ref.stage, session="session", probe="imec0", name=ref.name, path=ref.path, data_version=version,
        code_version="1", settings={}, inputs={}, identity={}, versions={}, started=datetime.now(UTC),
        duration_s=0.0, **more,
    )  # fmt: skip


def publish(area: Area, version: str, ref: OutputRef = REF) -> Manifest:
    with area.lock(ref):
        draft = area.draft(ref)
        draft.path.mkdir()
        (draft.path / "spikes.npy").write_text(f"spikes of {version}")
        (draft.path / "nested").mkdir()
        (draft.path / "nested" / "info.json").write_text(version)
        return area.commit(draft, manifest(version, ref))


def strays(root: Path) -> list[str]:
    return [
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.name.startswith((".tmp-", ".old-")) or ".commit-" in path.name
    ]


def test_published_output_is_found_with_its_manifest(tmp_path):
    area = Area(tmp_path)
    publish(area, "v1")
    found = area.manifest(REF)
    assert found is not None and found.data_version == "v1"
    assert set(found.files) == {"spikes.npy", "nested/info.json"}
    assert (area.path(REF) / "spikes.npy").read_text() == "spikes of v1"
    assert strays(tmp_path) == []


def test_single_file_and_empty_outputs(tmp_path):
    area = Area(tmp_path)
    ref = OutputRef("session", "preprocessed_recording", "rec", "preprocessed/rec.json")
    draft = area.draft(ref)
    draft.path.write_text("{}")
    assert draft.path.suffix == ".json"
    area.commit(draft, manifest("v1", ref))
    assert area.manifest(ref) is not None

    area.commit(area.draft(ref), manifest("v2", ref, empty="the params ask for none"))
    assert area.manifest(ref).data_version == "v2"
    assert not area.path(ref).exists(), "an empty output leaves no file that could be taken for it"


@pytest.mark.parametrize("damage", ["truncated", "changed", "missing", "extra"])
def test_damage_is_noticed(tmp_path, damage):
    area = Area(tmp_path)
    publish(area, "v1")
    file = area.path(REF) / "spikes.npy"
    if damage == "truncated":
        file.write_text("spikes")
    elif damage == "changed":
        file.write_text("spikes of v2")  # same size
    elif damage == "missing":
        file.unlink()
    else:
        (area.path(REF) / "strange.npy").write_text("x")
    assert area.manifest(REF) is None
    assert str(area.path(REF)) in area.damage(REF, area.read_manifest(REF))


def test_a_moved_or_copied_results_folder_still_verifies(tmp_path):
    publish(Area(tmp_path / "a"), "v1")
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copyfile)  # new times
    shutil.move(tmp_path / "a", tmp_path / "c")
    for root in ("b", "c"):
        assert Area(tmp_path / root).manifest(REF).data_version == "v1"


class Killed(BaseException):
    """Stands for `kill -9`: nothing that handles exceptions may run its course."""


def _kill_at(monkeypatch, step: int) -> None:
    """Let the process "die" at the n-th change of the file system that publishing makes."""
    count = {"n": 0}

    def dying(function):
        def call(*args, **kwargs):
            if count["n"] == step:
                raise Killed
            count["n"] += 1
            return function(*args, **kwargs)

        return call

    for name in ("rename", "replace", "unlink"):
        monkeypatch.setattr(Path, name, dying(getattr(Path, name)))
    monkeypatch.setattr(publish_module, "remove", dying(publish_module.remove))
    monkeypatch.setattr(publish_module, "write_json", dying(publish_module.write_json))


@pytest.mark.parametrize("existing", [None, "v1"])
@pytest.mark.parametrize("step", range(12))
def test_killed_anywhere_leaves_the_old_output_or_the_new_one(tmp_path, monkeypatch, existing, step):
    area = Area(tmp_path)
    if existing:
        publish(area, existing)
    with monkeypatch.context() as patch:
        _kill_at(patch, step)
        try:
            publish(area, "v2")
            finished = True
        except Killed:
            finished = False
    with area.lock(REF):
        area.recover(REF)
    found = area.manifest(REF)
    assert (found and found.data_version) in ({"v2"} if finished else {existing, "v2"})
    if found:
        assert (area.path(REF) / "spikes.npy").read_text() == f"spikes of {found.data_version}"
    else:
        assert not area.path(REF).exists()
    assert strays(tmp_path) == []


def test_what_spikepipe_did_not_make_is_not_overwritten(tmp_path):
    area = Area(tmp_path)
    foreign = area.path(REF)
    foreign.mkdir(parents=True)
    (foreign / "precious.npy").write_text("precious")
    with pytest.raises(DamagedOutputError, match=r"not made by spikepipe.*move it away"):
        area.draft(REF)
    assert (foreign / "precious.npy").read_text() == "precious"


def test_links_are_refused_in_outputs(tmp_path):
    area = Area(tmp_path / "results")
    (tmp_path / "elsewhere").write_text("x")
    draft = area.draft(REF)
    draft.path.mkdir()
    (draft.path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="is a link"):
        area.commit(draft, manifest("v1"))


def _hold(root: Path, started) -> None:
    with Area(root).lock(REF):
        started.set()
        time.sleep(60)


def test_two_writers_one_waits_and_a_killed_one_frees_the_output(tmp_path):
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    other = context.Process(target=_hold, args=(tmp_path, started))
    other.start()
    assert started.wait(120)
    said = []
    with (
        pytest.raises(OutputBusyError, match="written by another run"),
        Area(tmp_path).lock(REF, timeout_s=0.2, waiting=said.append),
    ):
        pass
    assert "waiting" in said[0]
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    with Area(tmp_path).lock(REF, timeout_s=5):
        pass


def test_replacing_an_output_under_another_path_removes_the_old_file(tmp_path):
    area = Area(tmp_path)
    zarr = OutputRef("session", "nwb", "session", "nwb/session.nwb.zarr")
    hdf5 = OutputRef("session", "nwb", "session", "nwb/session.nwb")
    publish(area, "v1", zarr)
    draft = area.draft(hdf5)
    draft.path.write_text("hdf5")
    area.commit(draft, manifest("v2", hdf5))
    assert [path.name for path in (tmp_path / "session/nwb").iterdir()] == ["session.nwb"]


def test_data_version_depends_on_everything_that_decides():
    base = {"stage": "s", "code_version": "1", "settings": {"a": 1}, "inputs": {"i": "x"}, "identity": {}}
    version = data_version(**base)
    assert version == data_version(**base)
    for key, value in {
        "stage": "t", "code_version": "2", "settings": {"a": 2}, "inputs": {"i": "y"}, "identity": {"m": "z"},
    }.items():  # fmt: skip
        assert data_version(**{**base, key: value}) != version
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": [300]}) == digest({"a": [300.0]}) != digest({"a": [300.5]})


def test_ledger_keeps_the_latest_outcome_of_each_stage(tmp_path):
    ledger = Ledger(tmp_path)

    def outcome(stage, verdict, reason):
        return Outcome(
            session="s", probe="imec0", stage=stage, outcome=verdict, reason=reason, at=datetime.now(UTC)
        )

    ledger.write("folder", outcome("sorting", "failed", "no GPU"))
    ledger.write("folder", outcome("sorting", "ok", "27 units"))
    ledger.write("folder", outcome("motion", "skipped", "too short"))
    assert {(o.stage, o.outcome, o.reason) for o in ledger.outcomes("folder", "s")} == {
        ("sorting", "ok", "27 units"),
        ("motion", "skipped", "too short"),
    }
    files = list(tmp_path.rglob("*.json"))
    assert all(json.loads(file.read_text())["session"] == "s" for file in files)
