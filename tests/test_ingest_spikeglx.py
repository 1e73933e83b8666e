"""SpikeGLX folders: the right jobs under the right names, or the reason why not."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import spikeinterface.core as si
import spikeinterface.extractors as se
import spikeinterface.preprocessing as spre

from spikepipe_core.demo import write_demo_session
from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest import (
    RecordingJob,
    clip,
    discover,
    fingerprint,
    identity,
    load,
    load_lfp,
    load_recording,
)
from spikepipe_core.params import JobDispatchParams

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
FOUR_SHANKS = SHARED / "spikeglx_np2_4shank"
needs_real_data = pytest.mark.skipif(not FOUR_SHANKS.exists(), reason=f"no real recordings at {SHARED}")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("session") / "out"
    write_demo_session(out, probes=2, seconds=2, channels=(16, 12))
    return out


@pytest.fixture
def copy(demo, tmp_path):
    """A run folder that a test may break."""
    return Path(shutil.copytree(demo / "demo_g0", tmp_path / "demo_g0"))


def _pair(run_folder: Path, probe: int = 0, band: str = "ap") -> tuple[Path, Path]:
    stem = run_folder / f"{run_folder.name}_imec{probe}" / f"demo_g0_t0.imec{probe}.{band}"
    return Path(f"{stem}.bin"), Path(f"{stem}.meta")


def _jobs(folder: Path, **params) -> dict[str, RecordingJob]:
    return {f"{job.session}/{job.probe}": job for job in discover(folder, JobDispatchParams(**params)).jobs}


def _assert_same_recording(ours: si.BaseRecording, theirs: si.BaseRecording) -> None:
    assert np.array_equal(ours.get_traces(), theirs.get_traces())
    assert list(ours.channel_ids) == list(theirs.channel_ids)
    assert np.allclose(ours.get_channel_gains(), theirs.get_channel_gains())
    assert np.array_equal(ours.get_channel_locations(), theirs.get_channel_locations())
    assert np.array_equal(ours.get_channel_groups(), theirs.get_channel_groups())
    assert np.array_equal(ours.get_times(), theirs.get_times())
    shifts = [recording.get_property("inter_sample_shift") for recording in (ours, theirs)]
    assert np.array_equal(*shifts)
    assert ours.get_annotation("saturation_threshold_uV") == theirs.get_annotation("saturation_threshold_uV")


# --- names and keys -----------------------------------------------------------------------------------------


def test_names_of_a_plain_session(demo):
    found = discover(demo, JobDispatchParams())
    assert found.readers == {"spikeglx": "SpikeGLX file demo_g0_t0.imec0.ap.bin"}
    assert [(job.session, job.session_folder, job.probe, job.recording_name) for job in found.jobs] == [
        ("demo_g0", "demo_g0", "imec0", "block0_imec0.ap_recording1"),
        ("demo_g0", "demo_g0", "imec1", "block0_imec1.ap_recording1"),
    ]
    first = found.jobs[0]
    assert (first.duration, first.sampling_frequency, first.num_channels) == (2.0, 30_000.0, 16)
    assert first.group is None
    assert RecordingJob.model_validate_json(first.model_dump_json()) == first
    assert all(not os.path.isabs(path) for path in first.files)  # noqa: PTH117


def test_triggers_are_segments_and_number_the_same_for_every_probe(copy):
    for probe in (0, 1):
        for band in ("ap", "lf"):
            for file in _pair(copy, probe, band):
                shutil.copy(file, file.with_name(file.name.replace("_t0.", "_t1.")))
    for file in (*_pair(copy, 0), *_pair(copy, 0, "lf")):
        file.unlink()  # imec0 was not recorded at the first trigger
    assert list(_jobs(copy)) == [
        "demo_g0__block0_recording2/imec0",
        "demo_g0__block0_recording1/imec1",
        "demo_g0__block0_recording2/imec1",
    ]
    joined = _jobs(copy, split_segments=False)
    assert list(joined) == ["demo_g0/imec0", "demo_g0/imec1"]
    job = joined["demo_g0/imec1"]
    assert job.recording_name == "block0_imec1.ap_recording"
    assert job.duration == 4.0
    loaded = load(job, copy)
    assert loaded.recording.get_num_segments() == loaded.lfp.get_num_segments() == 2


def test_ten_triggers_are_in_numerical_order(copy):
    for trigger in (2, 10):
        for file in (*_pair(copy, 0), *_pair(copy, 0, "lf")):
            shutil.copy(file, file.with_name(file.name.replace("_t0.", f"_t{trigger}.")))
    job = _jobs(copy, split_segments=False)["demo_g0/imec0"]
    assert [re.search(r"_t(\d+)", str(segment["ap"])).group(1) for segment in job.source] == ["0", "2", "10"]


def _second_gate(parent: Path) -> None:
    """Beside demo_g0, the same files as gate 1 of the run."""
    for file in sorted((parent / "demo_g0").rglob("*.*")):
        target = parent / str(file.relative_to(parent)).replace("demo_g0", "demo_g1")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)


def test_gates_are_sessions_and_can_be_joined(copy):
    _second_gate(copy.parent)
    assert [job.session for job in _jobs(copy.parent).values()] == ["demo_g0"] * 2 + ["demo_g1"] * 2
    joined = _jobs(copy.parent, split_segments=False)
    assert [job.session for job in joined.values()] == [copy.parent.name] * 2
    assert all(len(job.source) == 2 for job in joined.values())


def test_multi_session_takes_each_subfolder(copy, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(copy, root / "mouse|1" / "demo_g0")
    shutil.copytree(copy, root / "mouse2" / "demo_g0")
    (root / "notes").mkdir()
    (root / "notes" / "readme.txt").write_text("no recording")
    found = discover(root, JobDispatchParams(multi_session=True))
    plain, changed = sorted({job.session for job in found.jobs})
    assert plain == "mouse2"
    assert changed.startswith("mouse_1-")
    assert [stream.stream for stream in found.ignored if stream.kind != "sync"] == ["notes"]


def test_run_folders_of_one_name_are_told_apart_by_the_folder_above(copy, tmp_path):
    shutil.copytree(copy, tmp_path / "root" / "mouse1" / "demo_g0")
    shutil.copytree(copy, tmp_path / "root" / "mouse2" / "demo_g0")
    sessions = {job.session for job in _jobs(tmp_path / "root").values()}
    assert sessions == {"mouse1_demo_g0", "mouse2_demo_g0"}


def test_other_boards_and_catgt_copies_are_passed_over_with_a_reason(copy):
    ap, meta = _pair(copy, 0)
    (copy / "demo_g0_t0.nidq.meta").write_text("typeThis=nidq\n")
    (copy / "demo_g0_t0.nidq.bin").write_bytes(b"")
    shutil.copy(ap, ap.with_name(ap.name.replace("_t0.", "_tcat.")))
    shutil.copy(meta, meta.with_name(meta.name.replace("_t0.", "_tcat.")))
    found = discover(copy, JobDispatchParams())
    assert len(found.jobs) == 2
    reasons = {Path(stream.stream).name: stream.reason for stream in found.ignored}
    assert "NI-DAQ" in reasons["demo_g0_t0.nidq.bin"]
    assert {stream.kind for stream in found.ignored} == {"analog", "AP", "sync"}
    assert all("demo_g0_t0.nidq.bin" in job.board_files for job in found.jobs)
    assert "CatGT" in reasons["demo_g0_tcat.imec0.ap.bin"]


# --- signals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probe", ["imec0", "imec1"])
def test_signals_are_those_of_spikeinterface(demo, probe):
    job = _jobs(demo)[f"demo_g0/{probe}"]
    loaded = load(job, demo)
    _assert_same_recording(loaded.recording, se.read_spikeglx(demo / "demo_g0", stream_id=f"{probe}.ap"))
    _assert_same_recording(loaded.lfp, se.read_spikeglx(demo / "demo_g0", stream_id=f"{probe}.lf"))


def test_description_reloads_from_moved_data(demo, tmp_path):
    """The preprocessed chain is JSON with relative paths; data and results may both have moved."""
    recording = load_recording(_jobs(demo)["demo_g0/imec0"], demo)
    chain = spre.phase_shift(spre.highpass_filter(recording))
    for name, one in (("raw", recording), ("chain", chain)):
        one.dump_to_json(tmp_path / f"{name}.json", relative_to=demo, include_properties=True)
    assert str(demo) not in (tmp_path / "chain.json").read_text()
    moved = shutil.copytree(demo, tmp_path / "elsewhere")
    raw = si.load(tmp_path / "raw.json", base_folder=moved)
    _assert_same_recording(raw, recording)
    again = si.load(tmp_path / "chain.json", base_folder=moved)
    assert np.array_equal(again.get_traces(), chain.get_traces())


def test_a_probe_without_lf_band_has_no_lfp(copy):
    for file in _pair(copy, 0, "lf"):
        file.unlink()
    job = _jobs(copy)["demo_g0/imec0"]
    assert job.lfp_stream is None
    assert load_lfp(job, copy) is None


def test_start_of_the_recording_is_kept(copy):
    meta = _pair(copy, 0)[1]
    meta.write_text(meta.read_text().replace("firstSample=0", "firstSample=45000"))
    assert load_recording(_jobs(copy)["demo_g0/imec0"], copy).get_times()[0] == 1.5


def test_gains_of_a_channel_subset_are_those_of_the_saved_channels(copy):
    """Neo takes the first entries of the readout table, whichever channels were saved."""
    meta = _pair(copy, 0)[1]
    text = meta.read_text().replace("snsSaveChanSubset=0:15,768", "snsSaveChanSubset=100:115,768")
    meta.write_text(re.sub(r"\((1\d\d) 0 0 500 250 1\)", r"(\1 0 0 1000 250 1)", text))
    recording = load_recording(_jobs(copy)["demo_g0/imec0"], copy)
    assert np.allclose(recording.get_channel_gains(), 0.6 / 512 / 1000 * 1e6)
    assert recording.get_channel_locations()[:, 1].min() == 50 * 20


@needs_real_data
@pytest.mark.parametrize("split", [True, False])
def test_four_shank_probe_with_two_shanks_used(split):
    folder = FOUR_SHANKS / "rawdata/sub-001/ses-001/ephys/run-001_g0_imec0"
    jobs = _jobs(folder, split_groups=split)
    whole = se.read_spikeglx(folder, stream_id="imec0.ap")
    if not split:
        assert list(jobs) == ["run-001_g0/imec0"]
        _assert_same_recording(load_recording(jobs["run-001_g0/imec0"], folder), whole)
        return
    assert list(jobs) == ["run-001_g0/imec0_group0", "run-001_g0/imec0_group1"]
    for group, job in enumerate(jobs.values()):
        assert job.recording_name == f"block0_imec0.ap_recording1_group{group}"
        assert job.num_channels == 192
        part = load_recording(job, folder)
        _assert_same_recording(part, whole.split_by("group")[group])
        assert len(set(part.get_probe().shank_ids)) == 1
        assert load_lfp(job, folder) is None  # Neuropixels 2.0 has no LF band


@needs_real_data
def test_runs_in_one_folder_are_blocks():
    jobs = _jobs(FOUR_SHANKS, split_groups=False)
    assert list(jobs) == ["ephys__block0_recording1/imec0", "ephys__block1_recording1/imec0"]


@needs_real_data
def test_split_group_reloads_with_its_probe(tmp_path):
    job = list(_jobs(FOUR_SHANKS).values())[1]
    part = clip(load_recording(job, FOUR_SHANKS), 0.1)
    part.dump_to_json(tmp_path / "part.json", relative_to=FOUR_SHANKS, include_properties=True)
    _assert_same_recording(si.load(tmp_path / "part.json", base_folder=FOUR_SHANKS), part)


# --- what is wrong with a probe -----------------------------------------------------------------------------


def _truncate(copy):
    binary = _pair(copy)[0]
    os.truncate(binary, binary.stat().st_size // 2)


def _half_frame(copy):
    binary, meta = _pair(copy)
    os.truncate(binary, binary.stat().st_size - 2)
    size = binary.stat().st_size
    meta.write_text(re.sub(r"fileSizeBytes=\d+\n", f"fileSizeBytes={size}\n", meta.read_text()))


def _empty(copy):
    os.truncate(_pair(copy)[0], 0)


def _no_binary(copy):
    _pair(copy)[0].unlink()


def _no_meta(copy):
    _pair(copy)[1].unlink()


def _compressed(copy):
    binary = _pair(copy)[0]
    binary.rename(binary.with_suffix(".cbin"))


def _not_text(copy):
    _pair(copy)[1].write_bytes(b"\xff\xfe\x00garbage=\x80\x81")


def _no_keys(copy):
    _pair(copy)[1].write_text("hello\n")


def _no_count(copy):
    meta = _pair(copy)[1]
    meta.write_text(re.sub(r"nSavedChans=\d+\n", "", meta.read_text()))


def _count_is_no_number(copy):
    meta = _pair(copy)[1]
    meta.write_text(re.sub(r"nSavedChans=\d+", "nSavedChans=many", meta.read_text()))


def _no_geometry(copy):
    meta = _pair(copy)[1]
    meta.write_text(re.sub(r"~imroTbl=.*\n", "", meta.read_text()))


def _unknown_probe(copy):
    meta = _pair(copy)[1]
    meta.write_text(meta.read_text().replace("imDatPrb_pn=NP1000", "imDatPrb_pn=NP9999"))


def _contacts_do_not_match(copy):
    meta = _pair(copy)[1]
    meta.write_text(meta.read_text().replace("snsSaveChanSubset=0:15,768", "snsSaveChanSubset=0:13,768"))


def _huge_meta(copy):
    with _pair(copy)[1].open("ab") as file:
        file.truncate(17 * 2**20)


def _folder_for_a_file(copy):
    binary = _pair(copy)[0]
    binary.unlink()
    binary.mkdir()


def _twice(copy):
    again = copy / "copy of demo_g0_imec0"
    shutil.copytree(_pair(copy)[0].parent, again)


def _link_out(copy):
    binary = _pair(copy)[0]
    outside = copy.parent / "outside.bin"
    shutil.move(binary, outside)
    binary.symlink_to(outside)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_truncate, r"imec0\.ap\.bin has 1020000 bytes, but .*\.meta says 2040000 bytes.*Copy"),
        (_half_frame, r"frames of 34"),
        (_empty, r"has 0 bytes"),
        (_no_binary, r"imec0\.ap\.bin is missing"),
        (_no_meta, r"imec0\.ap\.meta is missing"),
        (_compressed, r"mtscomp"),
        (_not_text, r"not text in UTF-8"),
        (_no_keys, r"no 'key=value' line"),
        (_no_count, r"has no nSavedChans"),
        (_count_is_no_number, r"nSavedChans='many' is no number"),
        (_no_geometry, r"no probe geometry"),
        (_unknown_probe, r"no probe geometry.*NP9999"),
        (_contacts_do_not_match, r"14 electrodes, but 16 channels"),
        (_huge_meta, r"larger than 16777216 bytes"),
        (_folder_for_a_file, r"imec0\.ap\.bin is missing"),
        (_twice, r"are the same stream"),
        (_link_out, r"leads out of the data folder"),
    ],
)
def test_a_broken_probe_says_why_and_the_other_goes_on(copy, damage, said):
    damage(copy)
    jobs = _jobs(copy)
    broken, whole = jobs["demo_g0/imec0"], jobs["demo_g0/imec1"]
    assert re.search(said, broken.problem, re.DOTALL), broken.problem
    with pytest.raises(BadDataError):
        load(broken, copy)
    assert whole.problem is None
    assert load(whole, copy).recording.get_num_channels() == 12


def test_files_that_change_after_discovery_are_noticed(copy):
    job = _jobs(copy)["demo_g0/imec0"]
    _truncate(copy)
    with pytest.raises(BadDataError, match="has 1020000 bytes"):
        load_recording(job, copy)


def test_linked_folders_are_followed_only_if_the_params_say_so(copy, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "linked").symlink_to(copy)
    (data / "linked" / "again").symlink_to(data)  # a loop
    with pytest.raises(BadDataError, match="none of the formats"):
        discover(data, JobDispatchParams())
    found = discover(data, JobDispatchParams(allow_paths_outside_data=True))
    assert [job.probe for job in found.jobs] == ["imec0", "imec1"]
    assert load_recording(found.jobs[0], data).get_num_channels() == 16
    assert identity(found.jobs[0], data) is not None


def test_a_linked_file_is_opened_only_if_the_params_say_so(copy):
    _link_out(copy)
    (copy / "demo_g0_t0.imec7.ap.meta").symlink_to(copy / "demo_g0_t0.imec7.ap.meta")  # a link to itself
    job = _jobs(copy)["demo_g0/imec0"]
    assert "allow_paths_outside_data" in job.problem
    jobs = _jobs(copy, allow_paths_outside_data=True)
    assert load_recording(jobs["demo_g0/imec0"], copy).get_num_channels() == 16
    assert "leads back to itself" in jobs["demo_g0/imec7"].problem


def test_bad_folders(tmp_path, demo):
    with pytest.raises(BadDataError, match="does not exist"):
        discover(tmp_path / "nothing", JobDispatchParams())
    with pytest.raises(BadDataError, match="none of the formats"):
        discover(tmp_path, JobDispatchParams())
    with pytest.raises(BadDataError, match="spikeglx reader"):
        discover(tmp_path, JobDispatchParams(input="spikeglx"))
    with pytest.raises(BadDataError, match=r"spikeinterface reader could process.* It looks like spikeglx"):
        discover(demo, JobDispatchParams(input="spikeinterface"))


# --- identity -----------------------------------------------------------------------------------------------


def test_fingerprint_is_of_the_content_not_of_the_place(demo, copy):
    original = fingerprint(_jobs(demo)["demo_g0/imec0"], demo)
    os.utime(_pair(copy)[0], (0, 0))
    assert fingerprint(_jobs(copy)["demo_g0/imec0"], copy) == original
    assert fingerprint(_jobs(copy.parent)["demo_g0/imec0"], copy.parent) == original
    assert fingerprint(_jobs(demo)["demo_g0/imec1"], demo) != original


def test_identity_is_the_same_from_every_folder_level(copy):
    """Nothing is computed again because somebody gave the parent of the run folder, or the probe's own folder."""
    levels = (copy.parent, copy, copy / "demo_g0_imec0")
    found = [identity(_jobs(level)["demo_g0/imec0"], level) for level in levels]
    assert found[0] == found[1] == found[2]
    assert found[0] != identity(_jobs(copy)["demo_g0/imec1"], copy)
    assert found[0] != identity(_jobs(copy, debug=True, split_segments=False)["demo_g0/imec0"], copy)


@pytest.mark.parametrize("where", [0, 1_000_000, -1])
def test_fingerprint_sees_changes(copy, where):
    job = _jobs(copy)["demo_g0/imec0"]
    before = fingerprint(job, copy)
    content = bytearray(_pair(copy)[0].read_bytes())
    content[where] ^= 1
    _pair(copy)[0].write_bytes(content)
    assert fingerprint(job, copy) != before


def test_fingerprint_of_a_huge_file_is_quick(tmp_path):
    from spikepipe_core.ingest.fingerprint import fingerprint_files

    with (tmp_path / "huge.bin").open("wb") as file:
        file.truncate(100 * 10**9)  # sparse
    first = fingerprint_files(["huge.bin"], tmp_path)
    with (tmp_path / "huge.bin").open("r+b") as file:
        file.seek(-10, os.SEEK_END)
        file.write(b"x")
    assert fingerprint_files(["huge.bin"], tmp_path) != first
