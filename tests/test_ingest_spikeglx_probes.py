"""SpikeGLX: every kind of probe that there is real metadata of yields the right job, with true positions."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from probeinterface import read_spikeglx

from spikepipe_core.demo import write_demo_session
from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest import RecordingJob, discover, load, load_lfp, load_recording
from spikepipe_core.params import JobDispatchParams

METADATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "acquisition_metadata"
METAS = {str(path.relative_to(METADATA)): path for path in sorted(METADATA.rglob("*.meta"))}
FRAMES = 60

NP1_OTHER = "PRB_1_2_0480_2 (Neuropixels 1.0 probe)"
NP1, NP1_CAP = "PRB_1_4_0480_1 (Neuropixels 1.0 probe)", "PRB_1_4_0480_1_C (Neuropixels 1.0 probe with cap)"
NP2 = "PRB2_1_2_0640_0 (Neuropixels 2.0 phase 1 single shank)"
QUAD = "NP2021 (Neuropixels 2.0 multi shank probe quad base with cap (Ph 2C))"
ULTRA, ULTRA_ACTIVE = "NP1100 (Npix 1.0 UHD1 passive)", "NP1110 (Npix 1.0 UHD2 active)"
NP2013, NP2014 = (
    "NP2013 (Neuropixels 2.0 multishank probe)",
    "NP2014 (Neuropixels 2.0 multishank probe with cap)",
)
NP2010 = "NP2010"
QUAD_BARE = "NP2020 (Neuropixels 2.0 multi shank probe quad base (Ph 2C))"
NHP_SHORT = "NP1015 (Neuropixels 1.0 NHP short linear probe with cap)"
NHP_LONG = "NP1030 (Npix 1.0 NHP LONG SOI90)"
PHASE3A = "Phase3A option {} (Neuropixels phase 3A probe)"
AP, WIDE = "AP", "wide-band"
FOUR = [96] * 4
PI = "probeinterface/spikeglx"
SPLIT, EPHYS = "ibl-neuropixel/np2split", "_spikeglx_ephysData_g0_t0.imec0.ap.meta"

# Probe key, model, kind, sampling rate (Hz), channels of each shank.
EXPECTED: dict[str, tuple[str, str, str, float, list[int]]] = {
    f"{SPLIT}/NP1_meta/{EPHYS}": ("imec0", NP1, AP, 29999.757983, [384]),
    f"{SPLIT}/NP21_meta/{EPHYS}": ("imec0", NP2, WIDE, 30000, [384]),
    f"{SPLIT}/NP24_meta/{EPHYS}": ("imec0", "NP2010", WIDE, 29999.757983, FOUR),
    f"{SPLIT}/NP2QB_meta/{EPHYS}": ("imec0", QUAD, WIDE, 30000, [384] * 4),
    f"{SPLIT}/NP2QB_single_shank_meta/{EPHYS}": ("imec0", QUAD, WIDE, 30000, [384]),
    f"{SPLIT}/{EPHYS}": ("imec0", "NP2010", WIDE, 29999.757983, FOUR),
    "ibl-neuropixel/sample3A_376_channels.ap.meta": ("imec", PHASE3A.format(4), AP, 30000, [276]),
    "ibl-neuropixel/sample3A_g0_t0.imec.ap.meta": ("imec", PHASE3A.format(3), AP, 30000, [384]),
    "ibl-neuropixel/sample3A_short_g0_t0.imec.ap.meta": ("imec", PHASE3A.format(3), AP, 30000, [384]),
    "ibl-neuropixel/sample3B2_exported.imec0.ap.meta": ("imec0", NP1_OTHER, AP, 29999.83625, [301]),
    "ibl-neuropixel/sample3B_catgt.ap.meta": ("imec0", NP1_CAP, AP, 30000.37095, [384]),
    "ibl-neuropixel/sample3B_g0_t0.imec1.ap.meta": ("imec1", NP1, AP, 30000.390639481, [384]),
    "ibl-neuropixel/sample3B_version202304.ap.meta": ("imec1", NP1_CAP, AP, 30000, [384]),
    "ibl-neuropixel/sampleNHPlong_prototype.ap.meta": ("imec1", NHP_LONG, AP, 30000, [384]),
    "ibl-neuropixel/sampleNP2.1_g0_t0.imec.ap.meta": ("imec", NP2, WIDE, 30000, [384]),
    "ibl-neuropixel/sampleNP2.4_1shank_g0_t0.imec.ap.meta": ("imec", "NP2010", WIDE, 30000, [384]),
    "ibl-neuropixel/sampleNP2.4_4shanks_appVersion20230905.ap.meta": ("imec1", NP2014, WIDE, 30000, FOUR),
    "ibl-neuropixel/sampleNP2.4_4shanks_g0_t0.imec.ap.meta": ("imec", "NP2010", WIDE, 29999.757983, FOUR),
    "ibl-neuropixel/sampleNP2.4_4shanks_while_acquiring_incomplete.ap.meta": ("imec1", "NP2010", WIDE, 30000, FOUR),
    "ibl-neuropixel/sampleNP2QB.imec.ap.meta": ("imec", QUAD, WIDE, 30000, [384] * 4),
    "ibl-neuropixel/sampleNPultra_g0_t0.imec0.ap.meta": ("imec0", ULTRA, AP, 30000, [384]),
    "probeinterface/spikeglx/NP-Ultra.meta": ("imec0", ULTRA, AP, 30000, [384]),
    "probeinterface/spikeglx/NP1110_2x192_bank4_g0_t0.imec0.ap.meta": ("imec0", ULTRA_ACTIVE, AP, 30000, [384]),
    "probeinterface/spikeglx/NP1110_bank0_g0_t0.imec0.ap.meta": ("imec0", ULTRA_ACTIVE, AP, 30000, [384]),
    "probeinterface/spikeglx/NP1110_botrow80_g0_t0.imec0.ap.meta": ("imec0", ULTRA_ACTIVE, AP, 30000, [384]),
    "probeinterface/spikeglx/NP1110_vstripe_g0_t0.imec0.ap.meta": ("imec0", ULTRA_ACTIVE, AP, 30000, [384]),
    "probeinterface/spikeglx/NP1_saved_only_subset_of_channels.meta": ("imec1", NP1_CAP, AP, 30000, [151]),
    "probeinterface/spikeglx/NP2020_sample_g0_t0.imec0.ap.meta": ("imec0", QUAD_BARE, WIDE, 30000, [384] * 4),
    "probeinterface/spikeglx/NP2_2013_all_channels.imec0.ap.meta": ("imec0", NP2013, WIDE, 30000, [72, 120, 72, 120]),
    "probeinterface/spikeglx/NP2_2013_subset_channels.imec0.ap.meta": ("imec0", NP2013, WIDE, 30000, [36, 24, 36, 24]),
    "probeinterface/spikeglx/NP2_4_shanks.imec0.ap.meta": ("imec0", "NP2010", WIDE, 30000, FOUR),
    f"{PI}/NP2_4_shanks_save_different_electrodes.imec0.ap.meta": ("imec0", NP2010, WIDE, 30000, FOUR),
    "probeinterface/spikeglx/Noise_g0_t0.imec0.ap.meta": ("imec0", NP1, AP, 30000, [384]),
    "probeinterface/spikeglx/allan-longcol_g0_t0.imec0.ap.meta": ("imec0", NP1_CAP, AP, 29999.941586, [384]),
    "probeinterface/spikeglx/catgt.meta": ("imec0", NP1_CAP, AP, 30000.149579831934, [384]),
    "probeinterface/spikeglx/doppio-checkerboard_t0.imec0.ap.meta": ("imec0", NP1_CAP, AP, 30000.030168, [384]),
    "probeinterface/spikeglx/non_human_primate_long_staggered.imec0.ap.meta": ("imec0", NHP_LONG, AP, 30000, [384]),
    "probeinterface/spikeglx/non_human_primate_short_linear_probe_type_0.meta": ("imec0", NHP_SHORT, AP, 30000, [384]),
    "probeinterface/spikeglx/p2_g0_t0.imec0.ap.meta": ("imec0", NP2, WIDE, 30000, [384]),
    "probeinterface/spikeglx/phase3a.imec.ap.meta": ("imec", PHASE3A.format(3), AP, 30000, [384]),
}  # fmt: skip
NO_JOB = {
    "ibl-neuropixel/sample3A_g0_t0.imec.lf.meta": "an LF band without the AP band",
    "ibl-neuropixel/sample3B_g0_t0.imec1.lf.meta": "an LF band without the AP band",
    "ibl-neuropixel/sample3B_g0_t0.nidq.meta": "an NI-DAQ board, not a probe",
}


def write_traces(meta: Path, folder: Path, name: str | None = None) -> np.ndarray:
    """Put metadata into a folder, with traces of the size that they should state beside them."""
    text = meta.read_text()
    channels = int(re.search(r"nSavedChans=(\d+)", text).group(1))
    frames = np.random.default_rng(0).integers(-100, 100, (FRAMES, channels), dtype="int16")
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / (name or meta.stem)
    frames.tofile(f"{stem}.bin")
    Path(f"{stem}.meta").write_text(re.sub(r"fileSizeBytes=\d+", f"fileSizeBytes={frames.nbytes}", text))
    return frames


def test_the_table_is_complete():
    if not METAS:
        pytest.skip(f"no acquisition metadata at {METADATA}")
    assert set(METAS) == set(EXPECTED) | set(NO_JOB)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_real_metadata(name, tmp_path):
    if name not in METAS:
        pytest.skip(f"no acquisition metadata at {METADATA}")
    probe, model, kind, rate, shanks = EXPECTED[name]
    frames = write_traces(METAS[name], tmp_path / "run_g0")
    found = discover(tmp_path, JobDispatchParams(split_groups=False))
    (job,) = found.jobs
    assert (job.session, job.probe, job.probe_model, job.kind) == ("run_g0", probe, model, kind)
    assert (job.num_channels, job.sampling_frequency) == (sum(shanks), rate)
    assert job.duration == pytest.approx(FRAMES / rate)
    unfinished = "fileSizeBytes" not in METAS[name].read_text()
    assert ("was not finished" in " ".join(job.remarks)) == unfinished

    recording = load_recording(job, found.data_root)
    assert np.array_equal(recording.get_traces(), frames[:, : sum(shanks)])
    assert len(np.unique(recording.get_channel_locations(), axis=0)) == sum(shanks)
    assert np.all((recording.get_channel_gains() > 0.5) & (recording.get_channel_gains() < 10))
    assert np.unique(recording.get_channel_groups(), return_counts=True)[1].tolist() == shanks
    _assert_positions(recording, METAS[name].read_text())

    split = discover(tmp_path, JobDispatchParams()).jobs
    keys = [probe] if len(shanks) == 1 else [f"{probe}_group{shank}" for shank in range(len(shanks))]
    assert [(part.probe, part.num_channels) for part in split] == list(zip(keys, shanks, strict=True))


def _assert_positions(recording, text: str) -> None:
    """Depths and shanks are those that SpikeGLX itself worked out, where it wrote them down (snsGeomMap)."""
    mapped = re.search(r"snsGeomMap=\([^)]*\)(.*)", text)
    if mapped is None:
        return
    entries = [
        [float(value) for value in entry.split(":")]
        for entry in re.findall(r"\(([\d.:]+)\)", mapped.group(1))
    ]
    shanks, across, depths = (np.array(column) for column in list(zip(*entries, strict=True))[:3])
    x, y = recording.get_channel_locations().T
    assert np.array_equal(y - y.min(), depths - depths.min())
    assert np.array_equal(recording.get_channel_groups(), np.unique(shanks, return_inverse=True)[1])
    for shank in np.unique(shanks):
        on = shanks == shank
        assert np.array_equal(x[on] - x[on].min(), across[on] - across[on].min())


@pytest.mark.parametrize(("name", "reason"), NO_JOB.items())
def test_metadata_of_what_is_no_probes_signal(name, reason, tmp_path):
    if name not in METAS:
        pytest.skip(f"no acquisition metadata at {METADATA}")
    write_traces(METAS[name], tmp_path / "run_g0")
    with pytest.raises(BadDataError, match=reason):
        discover(tmp_path, JobDispatchParams(input="spikeglx"))


# --- made from demo metadata --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("session") / "out"
    write_demo_session(out, probes=1, seconds=2, channels=(16,))
    return out / "demo_g0"


@pytest.fixture
def run(demo, tmp_path) -> Path:
    return Path(shutil.copytree(demo, tmp_path / "demo_g0"))


def _files(run: Path, band: str) -> tuple[Path, Path]:
    stem = f"{run}/{run.name}_imec0/demo_g0_t0.imec0.{band}"
    return Path(f"{stem}.bin"), Path(f"{stem}.meta")


def _change(meta: Path, pattern: str, value: str) -> None:
    text, count = re.subn(pattern, value, meta.read_text())
    assert count
    meta.write_text(text)


def _job(folder: Path, **params) -> RecordingJob:
    (job,) = discover(folder, JobDispatchParams(**params)).jobs
    return job


def test_onebox_and_docks(run):
    """A OneBox's analog inputs are no probe; probes of two docks of a headstage are two."""
    for band in ("ap", "lf"):
        for file in _files(run, band):
            shutil.copy(file, file.with_name(file.name.replace("imec0", "imec12")))
    binary, meta = _files(run, "ap")
    for name in ("demo_g0_t0.obx0.obx", "demo_g0_t0.obx1"):
        shutil.copy(binary, run / f"{name}.bin")
        shutil.copy(meta, run / f"{name}.meta")
    found = discover(run, JobDispatchParams())
    assert [job.probe for job in found.jobs] == ["imec0", "imec12"]
    boards = [one for one in found.ignored if one.kind != "sync"]
    assert [(one.kind, "OneBox" in one.reason) for one in boards] == [("analog", True)] * 2


def test_an_opto_probe_is_read_as_the_probe_that_it_is(run):
    """Neuropixels Opto: part number and type of its own, a table of channels like that of Neuropixels 1.0."""
    for band in ("ap", "lf"):
        _, meta = _files(run, band)
        _change(meta, r"imDatPrb_pn=.*", "imDatPrb_pn=NP1300")
        _change(meta, r"imDatPrb_type=.*", "imDatPrb_type=1300")
        _change(meta, r"imroTbl=\(0,", "imroTbl=(1300,")
        _change(meta, r"snsGeomMap=\(NP1000,", "snsGeomMap=(NP1300,")
    job = _job(run)
    assert (job.probe_model.split()[0], job.kind, job.problem) == ("NP1300", "AP", None)
    recording = load_recording(job, run)
    expected = read_spikeglx(_files(run, "ap")[1]).contact_positions[:16]
    assert np.array_equal(recording.get_channel_locations(), expected)
    assert recording.get_property("inter_sample_shift") is not None


def test_a_part_of_the_lf_channels_keeps_their_positions(run):
    binary, meta = _files(run, "lf")
    frames = np.fromfile(binary, dtype="int16").reshape(-1, 17)
    kept = [2, 3, 10, 16]
    frames[:, kept].tofile(binary)
    _change(meta, r"snsSaveChanSubset=.*", "snsSaveChanSubset=386,387,394,768")
    _change(meta, r"snsApLfSy=.*", "snsApLfSy=0,3,1")
    _change(meta, r"nSavedChans=.*", "nSavedChans=4")
    _change(meta, r"fileSizeBytes=.*", f"fileSizeBytes={binary.stat().st_size}")
    loaded = load(_job(run), run)
    assert np.array_equal(loaded.lfp.get_traces(), frames[:, kept[:3]])
    expected = loaded.recording.get_channel_locations()[kept[:3]]
    assert np.array_equal(loaded.lfp.get_channel_locations(), expected)

    _change(meta, r"snsSaveChanSubset=.*", "snsSaveChanSubset=386,387,500,768")
    job = _job(run)
    assert "saved of the LF band (snsSaveChanSubset), but not of the AP band" in job.lfp_problem


def _twice(folder: Path) -> None:
    again = Path(shutil.copytree(folder, folder.with_name(f"copy of {folder.name}")))
    for file in again.glob("*.ap.*"):
        file.unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda binary, meta: os.truncate(binary, 100), r"imec0\.lf\.bin has 100 bytes"),
        (lambda binary, meta: binary.unlink(), r"imec0\.lf\.bin is missing"),
        (lambda binary, meta: meta.unlink(), r"imec0\.lf\.meta is missing"),
        (lambda binary, meta: meta.write_bytes(b"\xff\xfe"), r"not text in UTF-8"),
        (lambda binary, meta: _change(meta, r"acqApLfSy=.*\n", ""), r"acqApLfSy=None"),
        (lambda binary, meta: binary.unlink() or meta.unlink(), r"no LF file was saved beside demo_g0_t0\.imec0\.ap"),
        (lambda binary, meta: _twice(binary.parent), r"are the same stream"),
    ],
)  # fmt: skip
def test_a_damaged_lf_band_costs_the_lfp_and_nothing_else(run, damage, said):
    damage(*_files(run, "lf"))
    job = _job(run)
    assert job.problem is None
    assert re.search(said, job.lfp_problem), job.lfp_problem
    assert job.remarks == (f"no LFP: {job.lfp_problem}",)
    assert load_recording(job, run).get_num_channels() == 16
    assert load_lfp(job, run) is None
    assert not any(".lf." in file for file in job.files)


def test_an_ap_band_without_its_high_pass_is_wide_band(run):
    for file in _files(run, "lf"):
        file.unlink()
    _change(_files(run, "ap")[1], r"\((\d+) (\d+) (\d+) (\d+) (\d+) 1\)", r"(\1 \2 \3 \4 \5 0)")
    job = _job(run)
    assert (job.kind, job.lfp_problem) == ("wide-band", None)


def test_a_segment_without_lf_costs_the_lfp_of_joined_segments(run):
    for band in ("ap", "lf"):
        for file in _files(run, band):
            shutil.copy(file, file.with_name(file.name.replace("_t0.", "_t1.")))
    for file in _files(run, "lf"):
        file.unlink()
    job = _job(run, split_segments=False)
    assert load_lfp(job, run) is None
    assert load_recording(job, run).get_num_segments() == 2
    first, second = discover(run, JobDispatchParams()).jobs
    assert (first.lfp_stream, second.lfp_stream) == (None, "imec0.lf")


def test_segments_from_other_electrodes_are_not_joined(run):
    binary, meta = _files(run, "ap")
    shutil.copy(binary, binary.with_name(binary.name.replace("_t0.", "_t1.")))
    other = meta.with_name(meta.name.replace("_t0.", "_t1."))
    shutil.copy(meta, other)
    _change(other, r"\((\d+) 0 0 500 250 1\)", r"(\1 1 0 500 250 1)")
    with pytest.raises(BadDataError, match=r"other electrodes of the probe.*split_segments"):
        load_recording(_job(run, split_segments=False), run)
    assert len(discover(run, JobDispatchParams()).jobs) == 2


@pytest.mark.parametrize(
    ("pattern", "value", "said"),
    [
        (r"imSampRate=.*", "imSampRate=nan", r"imSampRate=nan is no sampling rate"),
        (r"imSampRate=.*", "imSampRate=-1", r"imSampRate=-1\.0 is no sampling rate"),
        (r"snsSaveChanSubset=.*", "snsSaveChanSubset=0:999999999999", r"is no list of channels"),
        (r"snsSaveChanSubset=.*", "snsSaveChanSubset=0,,5", r"is no list of channels"),
        (r"nSavedChans=.*", "nSavedChans=999999999999", r"says \d+ bytes in frames of 1999999999998"),
        (r"snsApLfSy=.*", "snsApLfSy=0,0,1", r"leave no ap channel"),
        (r"imAiRangeMax=.*", "imAiRangeMax=0", r"does not say how many volts a step is"),
    ],
)
def test_metadata_that_cannot_be(run, pattern, value, said):
    _change(_files(run, "ap")[1], pattern, value)
    job = _job(run)
    with pytest.raises(BadDataError, match=said):
        load_recording(job, run)


def test_a_file_that_was_not_finished_gives_its_whole_samples(run):
    binary, meta = _files(run, "ap")
    _change(meta, r"fileSizeBytes=\d+\n", "")
    os.truncate(binary, 1000 * 34 + 5)
    job = _job(run)
    assert job.duration == pytest.approx(1000 / 30_000)
    assert "was not finished by SpikeGLX" in job.remarks[0]
    assert load_recording(job, run).get_num_samples() == 1000


def test_the_outputs_say_that_there_is_no_lfp_and_why(run, make_work, tmp_path):
    from spikepipe_core.produce import produce
    from spikepipe_core.stages import lfp, recording

    os.truncate(_files(run, "lf")[0], 100)
    stages = {module.STAGE.name: module.STAGE for module in (recording, lfp)}
    work = make_work(run, tmp_path / "results", stages=stages)
    made = [produce(stage, work).outcome for stage in stages.values()]
    assert [outcome.outcome for outcome in made] == ["ok", "skipped"]
    assert made[0].reason.startswith("16 channels, 2.0 s at 30000 Hz; no LFP: ")
    assert "imec0.lf.bin has 100 bytes" in made[1].reason
    assert not work.store.results.path(work.ref("lfp")).exists()
