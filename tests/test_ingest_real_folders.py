"""Folders as they lie on labs' disks, other than as the acquisition left them: the right jobs, or what to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from openephys_folders import write_session

from spikepipe_core.demo import write_demo_session
from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest import Discovery, RecordingJob, discover, load
from spikepipe_core.params import JobDispatchParams

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SETTINGS = SHARED / "acquisition_metadata" / "probeinterface" / "openephys"
THREE_PROBES = SETTINGS / "OE_1.0_Neuropix-PXI-multi-probe/settings.xml"
needs_shared = pytest.mark.skipif(not SETTINGS.exists(), reason=f"no acquisition metadata at {SHARED}")


def found(folder: Path, **params) -> Discovery:
    return discover(folder, JobDispatchParams(**params))


def keys(discovery: Discovery) -> list[str]:
    return [f"{job.session}/{job.probe}" for job in discovery.jobs]


def problems(discovery: Discovery) -> dict[str, str | None]:
    return {job.probe: job.problem for job in discovery.jobs}


def aside(discovery: Discovery) -> dict[str, str]:
    return {stream.stream: stream.reason for stream in discovery.ignored if stream.kind != "sync"}


# --- SpikeGLX -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def acquired(tmp_path_factory) -> Path:
    """A run folder as SpikeGLX leaves it: two probes, each in its folder. To be read only."""
    return write_demo_session(tmp_path_factory.mktemp("acquired"), probes=2, seconds=1, channels=8)


@pytest.fixture
def run(acquired, tmp_path) -> Path:
    return Path(shutil.copytree(acquired, tmp_path / "data" / acquired.name))


def files_of(folder: Path, pattern: str = "*.*") -> list[Path]:
    return sorted(path for path in folder.rglob(pattern) if path.is_file())


def rename(folder: Path, old: str, new: str, pattern: str = "*.*") -> None:
    for path in files_of(folder, pattern):
        path.rename(path.with_name(path.name.replace(old, new)))


def assert_loads(discovery: Discovery, lfp: bool = True) -> None:
    for job in discovery.jobs:
        assert job.problem is None and job.lfp_problem is None
        loaded = load(job, discovery.data_root)
        assert loaded.recording.get_num_channels() == 8
        assert (loaded.lfp is not None) == lfp


def test_all_files_in_one_folder(run):
    """Folders per probe are an option of SpikeGLX."""
    for path in files_of(run):
        path.rename(run / path.name)
    discovery = found(run)
    assert keys(discovery) == ["demo_g0/imec0", "demo_g0/imec1"]
    assert_loads(discovery)


def test_gates_and_triggers_of_a_run(run):
    for gate, triggers in ((1, "0"), (2, "01")):
        for path in files_of(run):
            for trigger in triggers:
                name = path.relative_to(run.parent).as_posix().replace("demo_g0", f"demo_g{gate}")
                copy = run.parent / name.replace("_t0.", f"_t{trigger}.")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
    sessions = ["demo_g0", "demo_g1", "demo_g2__block0_recording1", "demo_g2__block0_recording2"]
    discovery = found(run.parent)
    assert sorted(keys(discovery)) == [f"{one}/imec{probe}" for one in sessions for probe in (0, 1)]
    assert_loads(discovery)
    joined = found(run.parent, split_segments=False)
    assert keys(joined) == ["data/imec0", "data/imec1"]
    assert [job.duration for job in joined.jobs] == [4.0, 4.0]


def test_gates_in_one_folder(run):
    for path in files_of(run):
        shutil.copy(path, path.with_name(path.name.replace("demo_g0", "demo_g1")))
    assert sorted(keys(found(run))) == [
        f"demo_g0__block0_recording{number}/imec{probe}" for number in (1, 2) for probe in (0, 1)
    ]


def test_what_catgt_made_is_read_by_itself(run):
    rename(run, "_t0.", "_tcat.")
    run = run.rename(run.with_name("catgt_demo_g0"))
    discovery = found(run)
    assert keys(discovery) == ["catgt_demo_g0/imec0", "catgt_demo_g0/imec1"]
    assert_loads(discovery)


def test_what_catgt_made_is_passed_over_beside_the_original(run):
    shutil.copytree(run, run.with_name("catgt_demo_g0"))
    rename(run.with_name("catgt_demo_g0"), "_t0.", "_tcat.")
    discovery = found(run.parent)
    assert keys(discovery) == ["demo_g0/imec0", "demo_g0/imec1"]
    assert len(aside(discovery)) == 4
    assert all("copy made by CatGT" in reason for reason in aside(discovery).values())


def test_an_lf_band_of_catgt_belongs_to_the_original_ap_band(run):
    """As in https://github.com/NeuralEnsemble/python-neo/issues/1511."""
    plain = found(run)
    expected = [load(job, plain.data_root).lfp.get_traces() for job in plain.jobs]
    rename(run, "_t0.", "_tcat.", "*.lf.*")
    discovery = found(run)
    assert_loads(discovery)
    for job, traces in zip(discovery.jobs, expected, strict=True):
        assert np.array_equal(load(job, discovery.data_root).lfp.get_traces(), traces)


def test_an_lf_band_of_catgt_is_not_cut_into_triggers(run):
    for path in files_of(run, "*.ap.*"):
        shutil.copy(path, path.with_name(path.name.replace("_t0.", "_t1.")))
    rename(run, "_t0.", "_tcat.", "*.lf.*")
    discovery = found(run)
    assert len(discovery.jobs) == 4
    assert all("no LF file was saved beside" in job.lfp_problem for job in discovery.jobs)
    assert sum("tcat" in stream for stream in aside(discovery)) == 2


def test_no_lf_files(run):
    for path in files_of(run, "*.lf.*"):
        path.unlink()
    discovery = found(run)
    assert problems(discovery) == {"imec0": None, "imec1": None}
    assert all("no LF file was saved" in job.lfp_problem for job in discovery.jobs)


def without_meta(run: Path) -> None:
    next(run.rglob("*imec1.ap.meta")).unlink()


def with_meta_as_text(run: Path) -> None:
    """As some download sites name it: https://github.com/NeuralEnsemble/python-neo/issues/1144."""
    rename(run, ".meta", ".meta.txt", "*imec1.ap.meta")


def compressed(run: Path) -> None:
    rename(run, ".bin", ".cbin", "*imec1.ap.bin")


def cut_short(run: Path) -> None:
    path = next(run.rglob("*imec1.ap.bin"))
    os.truncate(path, path.stat().st_size // 2 + 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_meta, "imec1.ap.meta is missing"),
        (with_meta_as_text, "Rename it to demo_g0_t0.imec1.ap.meta"),
        (compressed, "Decompress demo_g0_t0.imec1.ap.cbin with mtscomp"),
        (cut_short, "cut it to whole frames"),
    ],
)
def test_what_one_probe_lacks_is_said_and_the_other_goes_on(run, change: Callable[[Path], None], said):
    change(run)
    reasons = problems(found(run))
    assert reasons.pop("imec0") is None
    assert said in reasons["imec1"]


def test_a_crash_of_the_acquisition_leaves_whole_samples(run):
    """SpikeGLX writes the size of a file when it closes it."""
    cut_short(run)
    meta = next(run.rglob("*imec1.ap.meta"))
    lines = [line for line in meta.read_text().splitlines() if not line.startswith("fileSizeBytes")]
    meta.write_text("\n".join(lines) + "\n")
    job: RecordingJob
    _, job = found(run).jobs
    assert job.problem is None and job.duration == pytest.approx(0.5, abs=1e-3)


def test_a_phase_3a_probe_has_no_number(run):
    for path in files_of(run, "*imec1*"):
        path.unlink()
    rename(run, "imec0", "imec")
    discovery = found(run)
    assert keys(discovery) == ["demo_g0/imec"]
    assert_loads(discovery)


def in_folders_named_after_probes(run: Path, root: Path) -> Path:
    """As the International Brain Laboratory keeps a run, whose files are compressed with mtscomp or not."""
    for probe in (0, 1):
        for path in files_of(run, f"*imec{probe}.*"):
            moved = (
                root / "raw_ephys_data" / f"probe0{probe}" / path.name.replace("demo", "_spikeglx_ephysData")
            )
            moved.parent.mkdir(parents=True, exist_ok=True)
            path.rename(moved)
    return root


def test_folders_named_after_probes(run):
    discovery = found(in_folders_named_after_probes(run, run.parent / "001"))
    assert keys(discovery) == ["_spikeglx_ephysData_g0/imec0", "_spikeglx_ephysData_g0/imec1"]
    assert_loads(discovery)


def test_sessions_in_folders_named_after_probes_are_told_apart(run, acquired):
    root = run.parent / "mouse"
    for number in ("001", "002"):
        shutil.copytree(acquired, run, dirs_exist_ok=True)
        in_folders_named_after_probes(run, root / number)
    assert len({job.session for job in found(root).jobs}) == 2
    assert keys(found(root, multi_session=True)) == ["001/imec0", "001/imec1", "002/imec0", "002/imec1"]


def on_two_drives(run: Path) -> Path:
    root = run.parent / "drives"
    for probe, drive in enumerate(("main", "second")):
        for path in files_of(run, f"*imec{probe}.*"):
            moved = root / drive / path.relative_to(run.parent)
            moved.parent.mkdir(parents=True, exist_ok=True)
            path.rename(moved)
    return root


def test_a_run_on_several_drives_is_one_session(run):
    discovery = found(on_two_drives(run))
    assert keys(discovery) == ["demo_g0/imec0", "demo_g0/imec1"]
    assert_loads(discovery)


def test_runs_of_one_name_from_different_days_stay_apart(run):
    root = on_two_drives(run)
    for meta in files_of(root, "*imec1*.meta"):
        meta.write_text(meta.read_text().replace("fileCreateTime=2", "fileCreateTime=1"))
    assert keys(found(root)) == ["main_demo_g0/imec0", "second_demo_g0/imec1"]


@pytest.mark.parametrize("multi_session", [False, True])
def test_a_board_alone_says_what_to_do(run, multi_session):
    for path in files_of(run, "*imec*"):
        path.unlink()
    (run / "demo_g0_t0.nidq.meta").write_text("typeThis=nidq\n")
    (run / "demo_g0_t0.nidq.bin").write_bytes(bytes(100))
    with pytest.raises(BadDataError, match=r"board \(nidq\).*no file of a probe.*probe_paths"):
        found(run.parent if multi_session else run, multi_session=multi_session)


def test_a_file_in_place_of_its_folder_says_so(run):
    path = next(run.rglob("*imec1.ap.bin"))
    with pytest.raises(BadDataError, match=r"imec1\.ap\.bin is one file of spikeglx data. Give the folder"):
        found(path)


# --- Open Ephys ---------------------------------------------------------------------------------------------------


@pytest.fixture
def node(tmp_path) -> Path:
    """The Record Node of a session with three probes on docks of their own."""
    return next(write_session(tmp_path / "session", THREE_PROBES).iterdir())


@needs_shared
@pytest.mark.parametrize("level", ["", "experiment1", "experiment1/recording1"])
def test_any_folder_from_the_node_to_the_recording_gives_the_same_jobs(node, level):
    discovery = found(node / level)
    assert keys(discovery) == [f"session/Probe{letter}" for letter in "ABC"]
    assert problems(discovery) == dict.fromkeys(("ProbeA", "ProbeB", "ProbeC"))


@needs_shared
@pytest.mark.parametrize("level", ["continuous", "continuous/Neuropix-PXI-100.ProbeA"])
def test_a_part_of_a_recording_says_which_folder_to_give(node, level):
    """As in https://github.com/SpikeInterface/spikeinterface/issues/4108."""
    with pytest.raises(BadDataError, match=r"part of a recording. Give the recording itself, .*/recording1,"):
        found(node / "experiment1/recording1" / level)


@needs_shared
def test_settings_that_were_not_saved_need_a_probe_file(node):
    """As in https://github.com/open-ephys/plugin-GUI/issues/658."""
    (node / "settings.xml").unlink()
    for reason in problems(found(node.parent)).values():
        assert "settings.xml is missing" in reason and "probe_paths" in reason


@needs_shared
def test_an_experiment_without_settings_does_not_stop_the_first(node):
    shutil.copytree(node / "experiment1", node / "experiment2")
    by_session: dict[str, set[bool]] = {}
    for job in found(node.parent).jobs:
        by_session.setdefault(job.session, set()).add("settings_2.xml is missing" in (job.problem or ""))
    assert by_session == {
        "session__experiment1_recording1": {False},
        "session__experiment2_recording1": {True},
    }


@needs_shared
def test_an_experiment_without_recording_is_listed(node):
    (node / "experiment2" / "recording1").mkdir(parents=True)
    discovery = found(node.parent)
    assert keys(discovery) == [f"session/Probe{letter}" for letter in "ABC"]
    assert "no recording in it" in aside(discovery)[f"{node.name}/experiment2"]


@needs_shared
def test_a_crash_before_the_structure_was_written_is_said_of_every_probe(node):
    (node / "experiment1/recording1/structure.oebin").unlink()
    reasons = problems(found(node.parent))
    assert len(reasons) == 3
    assert all("structure.oebin is missing" in reason for reason in reasons.values())


@needs_shared
def test_an_interrupted_stream_is_said_and_the_others_go_on(node):
    data = node / "experiment1/recording1/continuous/Neuropix-PXI-100.ProbeB/continuous.dat"
    os.truncate(data, data.stat().st_size - 1)
    reasons = problems(found(node.parent))
    assert "no whole frames of 768 bytes (384 channels)" in reasons.pop("ProbeB")
    assert reasons == {"ProbeA": None, "ProbeC": None}


@needs_shared
def test_the_analog_inputs_of_a_onebox_are_listed(tmp_path):
    settings = SETTINGS / "OE_OneBox-NP2014-binary/Record_Node_101/settings.xml"
    discovery = found(write_session(tmp_path / "session", settings))
    assert keys(discovery) == [f"session/ProbeA_group{shank}" for shank in range(4)]
    [(stream, reason)] = aside(discovery).items()
    assert stream.endswith("OneBox-ADC") and "adc" in reason


def test_the_format_before_binary_is_told_its_reader(tmp_path):
    (tmp_path / "100_CH1.continuous").write_bytes(b"header.format = 'Open Ephys Data Format'")
    with pytest.raises(BadDataError, match="reader_type to 'openephyslegacy'"):
        found(tmp_path)
