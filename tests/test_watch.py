"""Watching data roots: what counts as complete, what is handed out, and what happens to folders that cannot be read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from spikepipe_core import watch as watch_module
from spikepipe_core.ingest.signature import folder_signature
from spikepipe_core.params import JobDispatchParams
from spikepipe_core.store import Store
from spikepipe_core.watch import DISCOVERY, Look, Watch

SETTLE_S = 100.0


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """A SpikeGLX run folder with two probes, 1 s."""
    from spikepipe_core.demo import write_demo_session

    return write_demo_session(tmp_path_factory.mktemp("run") / "data", probes=2, seconds=1.0, channels=8)


class Site:
    """A data root, a store, a clock that a test sets, and somebody who takes what is handed out."""

    def __init__(self, tmp_path: Path, run_folder: Path):
        self.root, self.store = tmp_path / "raw", Store(tmp_path / "results")
        self.root.mkdir()
        self.run_folder, self.now = run_folder, 1000.0
        self.roots, self.marker = [self.root], None
        self.asked: set[str] = set()
        self.given: list[str] = []
        self.position = ""

    def drop(self, name: str, *probes: str, root: Path | None = None) -> Path:
        """Copy the run folder, or some probes of it, as a session of this name."""
        target = (root or self.root) / name
        for folder in self.run_folder.iterdir():
            if not probes or folder.name.rsplit("_", 1)[1] in probes:
                shutil.copytree(folder, target / folder.name)
        return target

    def look(self, accepted: bool = True, **more) -> Look:
        watch = Watch(
            self.roots,
            self.store,
            JobDispatchParams(),
            settle_s=SETTLE_S,
            marker=self.marker,
            clock=lambda: self.now,
        )
        found, self.position = watch.look(
            lambda session, probe: f"{session}/{probe}" in self.asked,
            accepted=self.given,
            position=self.position,
            **more,
        )
        if accepted:
            self.given = [wanted.key for wanted in found.wanted]
            self.asked |= set(self.given)
        return found

    def wait(self, seconds: float = SETTLE_S) -> None:
        self.now += seconds

    def keys(self, **more) -> list[str]:
        return [wanted.key for wanted in self.look(**more).wanted]

    def settled(self) -> list[str]:
        self.look()
        self.wait()
        return self.keys()

    def line(self, name: str):
        return self.store.ledger.read(name, name, None, DISCOVERY)


@pytest.fixture
def site(tmp_path, run_folder) -> Site:
    return Site(tmp_path, run_folder)


# --- when a session is complete ----------------------------------------------------------------------------


def test_a_folder_is_taken_once_it_has_not_changed_for_the_settle_time(site):
    folder = site.drop("mouse1")
    assert site.look().waiting == 1
    site.wait(SETTLE_S - 1)
    assert site.keys() == []
    with next(folder.rglob("*imec1.ap.bin")).open("ab") as file:
        file.write(b"more")
    site.wait(2)
    assert site.keys() == [], "it grew meanwhile, deep inside"
    site.wait()
    assert site.keys() == ["mouse1/imec0", "mouse1/imec1"]
    assert site.store.registry.find("mouse1").probes == ("imec0", "imec1")


def test_a_marker_file_makes_it_complete_at_once(site):
    site.marker = "COMPLETE"
    folder = site.drop("mouse1")
    assert site.keys() == []
    (folder / "COMPLETE").touch()
    assert site.keys() == ["mouse1/imec0", "mouse1/imec1"]


def test_a_clock_set_back_starts_the_wait_again_and_nothing_twice(site):
    site.drop("mouse1")
    site.look()
    site.now -= 10_000
    assert site.keys() == []
    site.wait()
    assert len(site.keys()) == 2
    site.now -= 10_000
    assert site.keys() == []


def test_files_and_hidden_folders_are_no_sessions(site):
    (site.root / "notes.txt").write_text("x")
    (site.root / ".partial").mkdir()
    assert site.look() == Look()


# --- what is handed out, once --------------------------------------------------------------------------------


def test_what_was_handed_out_and_accepted_is_not_handed_out_again(site):
    site.drop("mouse1")
    assert len(site.settled()) == 2
    assert site.keys() == []
    (site.store.results.root / ".spikepipe/watch.json").unlink()
    assert site.settled() == [], "its memory only saves work"
    site.drop("mouse2")
    assert site.settled() == ["mouse2/imec0", "mouse2/imec1"]


def test_what_nobody_accepted_is_handed_out_again(site):
    site.drop("mouse1")
    site.look()
    site.wait()
    assert len(site.keys(accepted=False)) == 2
    assert len(site.keys(accepted=False)) == 2
    assert len(site.keys()) == 2
    assert site.keys() == []


def test_late_probes_of_a_known_session_are_handed_out(site):
    site.drop("mouse1", "imec0")
    site.drop("mouse2")
    assert site.settled() == ["mouse1/imec0", "mouse2/imec0", "mouse2/imec1"]
    site.drop("mouse1", "imec1")
    site.look()
    assert site.settled() == ["mouse1/imec1"]
    assert site.store.registry.find("mouse1").probes == ("imec0", "imec1")


def test_a_probe_that_could_not_be_opened_is_handed_out_again_when_its_files_are_repaired(site):
    folder = site.drop("mouse1")
    binary = next(folder.rglob("*imec1.ap.bin"))
    whole = binary.read_bytes()
    os.truncate(binary, 12345)
    assert site.settled() == ["mouse1/imec0", "mouse1/imec1"]
    assert "12345" in site.store.registry.find("mouse1").job("imec1").problem
    binary.write_bytes(whole)
    site.look()
    (again,) = site.settled()
    assert again.startswith("mouse1/imec1|")
    assert site.store.registry.find("mouse1").job("imec1").problem is None
    assert site.keys() == []


def test_probes_whose_raw_files_were_archived_stay_registered(site):
    folder = site.drop("mouse1")
    site.settled()
    shutil.rmtree(folder / f"{site.run_folder.name}_imec1")
    site.look()
    assert site.settled() == []
    assert site.store.registry.find("mouse1").probes == ("imec0", "imec1")


def test_several_roots_and_one_that_is_not_there(site, tmp_path):
    second = tmp_path / "raw2"
    site.roots = [site.root, tmp_path / "unmounted", second]
    site.drop("mouse1", "imec0")
    site.drop("mouse2", "imec0", root=second)
    found = site.look()
    assert str(tmp_path / "unmounted") in found.unreadable
    site.wait()
    assert site.keys() == ["mouse1/imec0", "mouse2/imec0"]


def test_one_name_under_two_roots_is_refused_unless_the_first_was_moved(site, tmp_path):
    second = tmp_path / "raw2"
    site.drop("mouse1", "imec0")
    site.settled()
    site.roots = [site.root, second]
    twin = site.drop("mouse1", "imec0", root=second)
    site.settled()
    assert "Rename one of the two folders" in site.line("mouse1").reason
    shutil.rmtree(site.root / "mouse1")
    site.wait(3600)
    assert site.settled() == []
    assert site.line("mouse1") is None
    assert site.store.registry.find("mouse1").data == twin.parent


# --- what cannot be read -------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_read_gets_a_line_and_the_others_go_on(site):
    (site.root / "a_broken").mkdir()
    (site.root / "a_broken/readme.txt").write_text("no ephys")
    site.drop("mouse1", "imec0")
    assert site.settled() == ["mouse1/imec0"]
    line = site.line("a_broken")
    assert line.outcome == "skipped" and "none of the formats" in line.reason
    assert "Tried 1 time(s), again in 1 min" in line.reason


def test_it_is_tried_again_later_and_later(site, monkeypatch):
    (site.root / "broken").mkdir()
    tried = []
    real = watch_module.discover_session
    monkeypatch.setattr(watch_module, "discover_session", lambda *a: tried.append(site.now) or real(*a))
    for _ in range(100):
        site.look()
        site.wait(30)
    gaps = [int(later - earlier) for earlier, later in pairwise(tried)]
    assert gaps == [60, 120, 240, 480, 960]


def test_it_is_tried_again_when_its_files_change_and_the_line_goes(site):
    (site.root / "mouse1").mkdir()
    site.settled()
    assert site.line("mouse1") is not None
    site.drop("mouse1", "imec0")
    site.look()
    assert site.settled() == ["mouse1/imec0"]
    assert site.line("mouse1") is None


def test_the_line_goes_with_the_folder(site):
    (site.root / "mouse1").mkdir()
    site.settled()
    (site.root / "mouse1").rmdir()
    site.look()
    assert site.line("mouse1") is None


def test_a_reader_that_stumbles_does_not_stop_the_others(site, monkeypatch):
    site.drop("mouse1", "imec0")
    site.drop("mouse2", "imec0")
    real = watch_module.discover_session

    def stumble(path: Path, *more):
        if path.name == "mouse1":
            raise ZeroDivisionError("in a reader")
        return real(path, *more)

    monkeypatch.setattr(watch_module, "discover_session", stumble)
    assert site.settled() == ["mouse2/imec0"]
    assert "ZeroDivisionError: in a reader" in site.line("mouse1").reason


def test_a_look_that_was_cut_off_in_a_folder_counts_as_an_attempt_at_it(site, monkeypatch):
    site.drop("mouse1", "imec0")
    site.drop("mouse2", "imec0")

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    site.look()
    site.wait()
    with monkeypatch.context() as patch:
        patch.setattr(watch_module, "discover_session", die)
        with pytest.raises(Killed):
            site.look()
    assert site.keys() == ["mouse2/imec0"], "the next look begins with the others"
    assert "hung, or ended the process" in site.line("mouse1").reason
    site.wait(60)
    assert site.keys() == ["mouse1/imec0"]


# --- bounded work --------------------------------------------------------------------------------------------


def test_work_is_bounded_and_all_are_got_to_in_the_end(site):
    for number in range(7):
        site.drop(f"mouse{number}", "imec0")
    site.look()
    site.wait()
    taken = [site.keys(sessions=3) for _ in range(4)]
    assert [len(keys) for keys in taken] == [3, 3, 1, 0]
    assert site.look(sessions=0) == Look()


def test_known_sessions_are_not_read_again(site, monkeypatch):
    for number in range(3):
        site.drop(f"mouse{number}", "imec0")
    site.settled()
    site.look()  # learns that what was handed out was accepted
    monkeypatch.setattr(watch_module, "discover_session", _never)
    before = (site.store.results.root / ".spikepipe/watch.json").stat().st_mtime_ns
    for _ in range(3):
        assert site.look() == Look()
    assert (site.store.results.root / ".spikepipe/watch.json").stat().st_mtime_ns == before


def _never(*_: object) -> None:
    raise AssertionError("a known session was discovered again")


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: _append(folder / "a/data.bin"),
        lambda folder: (folder / "a/new.bin").touch(),
        lambda folder: (folder / "a/data.bin").unlink(),
        lambda folder: (folder / "traces.zarr/0/1").touch(),
    ],
)
def test_the_signature_sees_every_change(tmp_path, change: Callable[[Path], object]):
    folder = tmp_path / "session"
    (folder / "a").mkdir(parents=True)
    (folder / "traces.zarr/0").mkdir(parents=True)
    (folder / "a/data.bin").write_bytes(b"12")
    (folder / "traces.zarr/0/0").write_bytes(b"12")
    os.utime(folder / "traces.zarr/0", ns=(1, 1))
    before = folder_signature(folder)
    assert before == folder_signature(folder)
    change(folder)
    assert folder_signature(folder) != before


def test_memory_of_another_kind_is_put_aside(site):
    file = site.store.results.root / ".spikepipe/watch.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(["something", "else"]))
    site.drop("mouse1", "imec0")
    assert site.settled() == ["mouse1/imec0"]
