"""A corpus of broken sessions: each ends with a reason that names the file, and the sessions beside it go on.

One file of a good session is damaged at a time, in every way that copying, acquisition software or a stranger may
damage it, and the session is put beside a good one.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from spikepipe_assets.cli import main
from spikepipe_core.demo import write_demo_session
from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest import Discovery, discover, load_recording
from spikepipe_core.params import JobDispatchParams

PATIENCE_S = 120.0
"""Whatever waits as long as this waits for ever: a pipe, or a link that leads to itself."""


# --- damages ----------------------------------------------------------------------------------------------------


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def noise(path: Path) -> None:
    path.write_bytes(bytes(range(255, 0, -1)) * 3)


def cut_in_the_middle_of_a_frame(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 1)


def longer_than_any_metadata(path: Path) -> None:
    os.truncate(path, 64_000_000)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").touch()


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def a_link_out_of_the_data(path: Path) -> None:
    outside = path.parents[len(path.parts) - 1 - path.parts.index("root")] / "outside"
    outside.mkdir()
    shutil.move(path, outside / path.name)
    path.symlink_to(outside / path.name)


def missing(path: Path) -> None:
    path.unlink()


ALL = (emptied, noise, a_folder, a_pipe, a_link_to_itself, a_link_out_of_the_data)
TRACES = (*ALL, cut_in_the_middle_of_a_frame, missing)
METADATA = (*ALL, longer_than_any_metadata)

DECISIVE: dict[str, list[tuple[str, tuple[Callable[[Path], None], ...]]]] = {
    "spikeglx": [("*.ap.bin", TRACES), ("*.ap.meta", (*METADATA, missing))],
    "openephys": [
        ("*-AP/continuous.dat", TRACES),
        ("*-AP/sample_numbers.npy", (emptied, noise, a_folder, a_pipe, a_link_out_of_the_data)),
        ("structure.oebin", METADATA),
        ("settings.xml", METADATA),
    ],
    "nwb": [("*.nwb", (*ALL, cut_in_the_middle_of_a_frame))],
    "nwb-zarr": [
        ("*.nwb.zarr/.zattrs", (*METADATA, missing)),
        ("ElectricalSeriesAP*/data/.zarray", METADATA),
    ],
    "aind": [("*-AP.zarr/.zattrs", METADATA), ("*-AP.zarr/traces_seg0/.zarray", METADATA)],
    "spikeinterface": [
        ("*-AP/traces_cached_seg0.raw", TRACES),
        ("*-AP/binary.json", METADATA),
        ("*-AP/probegroup.json", METADATA),
        ("*-AP/properties/gain_to_uV.npy", ALL),
    ],
}
"""Files without which a session of a format cannot be processed."""

CORPUS = [
    pytest.param(format, pattern, damage, id=f"{format}-{pattern}-{damage.__name__}")
    for format, files in DECISIVE.items()
    for pattern, damages in files
    for damage in damages
]


@pytest.fixture(scope="module")
def sessions(tmp_path_factory) -> dict[str, Path]:
    """A session of one probe in every format. To be read only."""
    folder = tmp_path_factory.mktemp("sessions")
    return {
        name: write_demo_session(folder / name, probes=1, seconds=1, channels=8, format=name)
        for name in DECISIVE
    }


@pytest.fixture
def root(sessions, tmp_path) -> Path:
    """A data root with a good session."""
    shutil.copytree(sessions["spikeglx"], tmp_path / "root" / "good" / sessions["spikeglx"].name)
    return tmp_path / "root"


def put(session: Path, folder: Path) -> Path:
    """Copy a session, which is a folder or a file, into a folder."""
    folder.mkdir()
    copied = folder / session.name
    if session.is_dir():
        shutil.copytree(session, copied)
    else:
        shutil.copy(session, copied)
    return folder


def found_in_time(root: Path) -> Discovery:
    """What discovery finds, in a thread that a test can give up."""
    found: list[Discovery] = []
    thread = threading.Thread(
        target=lambda: found.append(discover(root, JobDispatchParams(multi_session=True))), daemon=True
    )
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "discovery hangs"
    return found[0]


def why_not(found: Discovery, session: str) -> str:
    """Why a session is not processed: it was not read, its job has a problem, or its signal cannot be opened."""
    for folder in found.unreadable:
        if folder.folder == session:
            return folder.reason
    (job,) = [job for job in found.jobs if job.session_folder == session]
    if job.problem:
        return job.problem
    with pytest.raises(BadDataError) as error:
        load_recording(job, found.data_root)
    return str(error.value)


@pytest.mark.parametrize(("format", "pattern", "damage"), CORPUS)
def test_a_damaged_file_is_named_and_the_other_session_goes_on(sessions, root, format, pattern, damage):
    broken = put(sessions[format], root / "broken")
    path = sorted(path for path in broken.rglob("*") if path.match(pattern) and path.is_file())[0]
    damage(path)
    found = found_in_time(root)
    (good,) = [job for job in found.jobs if job.session_folder == "good"]
    assert good.problem is None and load_recording(good, found.data_root).get_num_channels() == 8
    reason = why_not(found, "broken")
    names = [name for name in path.relative_to(broken).parts if name != "broken"]
    assert any(name in reason for name in names), reason


def test_a_scan_of_all_of_them_side_by_side_names_each(sessions, root, capsys):
    broken = {}
    for number, case in enumerate(CORPUS):
        format, pattern, damage = case.values
        folder = put(sessions[format], root / f"broken{number}")
        path = sorted(path for path in folder.rglob("*") if path.match(pattern) and path.is_file())[0]
        if damage is not a_link_out_of_the_data:  # it moves the file to one place for all
            damage(path)
            broken[folder.name] = path
    assert main(["scan", str(root), "--multi_session", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    told = {
        name: [row for row in found["streams"] if name in (row["stream"], row["session"])]
        for name in [*broken, "good"]
    }
    assert [name for name in broken if not any(row["status"] == "failed" for row in told[name])] == []
    assert [row["status"] for row in told["good"] if row["kind"] == "AP"] == ["processed"]


# --- what the metadata say ----------------------------------------------------------------------------------------


def without(key: str) -> Callable[[str], str]:
    return lambda text: "\n".join(line for line in text.splitlines() if not line.startswith(f"{key}=")) + "\n"


def saying(key: str, value: str) -> Callable[[str], str]:
    return lambda text: without(key)(text) + f"{key}={value}\n"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (without("nSavedChans"), "nSavedChans"),
        (without("imSampRate"), "imSampRate"),
        (without("snsApLfSy"), "snsApLfSy"),
        (saying("nSavedChans", "0"), "nSavedChans"),
        (saying("snsApLfSy", "0,0,1"), "0,0,1"),
        (saying("nSavedChans", "many"), "many"),
        (saying("imSampRate", "0"), "imSampRate"),
        (saying("imSampRate", "-30000"), "-30000"),
        (saying("imSampRate", "nan"), "nan"),
        (saying("imSampRate", "inf"), "inf"),
        (saying("fileSizeBytes", "7"), "7 bytes"),
    ],
)
def test_metadata_that_cannot_be_true_are_named(sessions, root, change, named):
    broken = put(sessions["spikeglx"], root / "broken")
    (meta,) = broken.rglob("*.ap.meta")
    meta.write_text(change(meta.read_text()))
    found = found_in_time(root)
    reason = why_not(found, "broken")
    assert meta.name in reason and named in reason, reason
    assert [job.problem for job in found.jobs if job.session_folder == "good"] == [None]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda stream: stream.pop("sample_rate"), "sample_rate"),
        (lambda stream: stream.update(sample_rate=0), "sample_rate"),
        (lambda stream: stream.update(sample_rate=-1), "-1"),
        (lambda stream: stream.update(sample_rate="fast"), "fast"),
        (lambda stream: stream.update(num_channels=0, channels=[]), "none of its channels"),
        (lambda stream: stream.pop("channels"), "channels"),
        (lambda stream: stream.update(folder_name="../../../../good"), "good"),
        (lambda stream: stream.pop("folder_name"), "folder_name"),
    ],
)
def test_a_structure_that_cannot_be_true_is_named(sessions, root, change, named):
    broken = put(sessions["openephys"], root / "broken")
    (path,) = broken.rglob("structure.oebin")
    content = json.loads(path.read_text())
    (stream,) = [one for one in content["continuous"] if one["folder_name"].endswith("-AP/")]
    change(stream)
    path.write_text(json.dumps(content))
    reason = why_not(found_in_time(root), "broken")
    assert named in reason and ("structure.oebin" in reason or "imec0-AP" in reason), reason


# --- folders ------------------------------------------------------------------------------------------------------


def test_ten_thousand_other_files_change_nothing(sessions, root):
    crowded = put(sessions["spikeglx"], root / "crowded")
    for number in range(10_000):
        (crowded / f"frame{number:05}.tif").touch()
    found = found_in_time(root)
    assert [(job.session_folder, job.problem) for job in found.jobs] == [("crowded", None), ("good", None)]


def test_a_folder_of_ten_thousand_files_that_are_no_recording_says_so(root):
    crowded = root / "video"
    crowded.mkdir()
    for number in range(10_000):
        (crowded / f"frame{number:05}.tif").touch()
    found = found_in_time(root)
    assert [job.session_folder for job in found.jobs] == ["good"]
    assert any(one.stream == "video" and "none of the formats" in one.reason for one in found.ignored)
    with pytest.raises(BadDataError, match="none of the formats"):
        discover(crowded, JobDispatchParams())


def test_links_that_lead_in_circles_are_not_followed(sessions, root):
    circle = put(sessions["spikeglx"], root / "circle")
    (circle / "again").symlink_to(circle)
    (circle / "up").symlink_to(root)
    found = found_in_time(root)
    assert sorted(job.session_folder for job in found.jobs) == ["circle", "good"]


@pytest.mark.parametrize("name", ["a\nb", "a..b", "-rf", "caf\u00e9 \u4f60", "x" * 200])
def test_odd_names_of_folders_give_keys_and_paths_that_stay_inside(sessions, root, name):
    put(sessions["spikeglx"], root / name)
    found = found_in_time(root)
    for job in found.jobs:
        assert not {"/", "\n", "|"} & set(job.session + job.probe)
        assert (root / "results" / job.session_folder).resolve().parent == (root / "results").resolve()
    told = {job.session_folder for job in found.jobs} | {one.folder for one in found.unreadable}
    assert len(found.jobs) == 2 or len(told) == 2, "it is processed, or why not is said"


def test_a_folder_whose_name_is_no_text_gets_a_key_that_is(sessions, root):
    odd = put(sessions["spikeglx"], root / "odd")
    odd.rename(root / os.fsdecode(b"caf\xe9"))
    found = found_in_time(root)
    first, second = found.jobs
    assert first.session_folder.isascii() and second.session_folder == "good"
    assert [load_recording(job, found.data_root).get_num_channels() for job in found.jobs] == [8, 8]
