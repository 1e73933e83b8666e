"""Open Ephys folders: the right jobs with true positions and times, or the reason why not."""

from __future__ import annotations

import json
import os
import re
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import spikeinterface.core as si
import spikeinterface.extractors as se
from openephys_folders import OpenEphysStream, streams_of_settings, write_recording, write_session

from spikepipe_core.errors import BadDataError, ParamsError
from spikepipe_core.ingest import (
    RecordingJob,
    check_timestamps,
    discover,
    fingerprint,
    load,
    load_lfp,
    load_recording,
)
from spikepipe_core.ingest.openephys import OpenEphysReader
from spikepipe_core.ingest.openephys_events import event_times
from spikepipe_core.params import JobDispatchParams

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SETTINGS = SHARED / "acquisition_metadata" / "probeinterface" / "openephys"
MULTI = SHARED / "openephys_multi_experiment"
needs_shared = pytest.mark.skipif(not SETTINGS.exists(), reason=f"no acquisition metadata at {SHARED}")

ENABLED = "OE_6.7_enabled_disabled_Neuropix-PXI/settings_enabled-enabled.xml"
FOUR_SHANKS = "OE_Neuropix-PXI-NP2-multishank-binary/Record_Node_109"
CHANNEL_MAP = "OE_OneBox-NP2014-binary/Record_Node_101"


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


# --- real sessions ------------------------------------------------------------------------------------------


@needs_shared
def test_real_session_with_several_experiments():
    folder = MULTI / "v0.6.x_neuropixels_multiexp_multistream"
    found = discover(folder, JobDispatchParams())
    assert found.readers == {
        "openephys": "Open Ephys file Record Node 101/experiment1/recording1/structure.oebin"
    }
    assert [(job.session, job.probe, job.recording_name) for job in found.jobs] == [
        (
            f"{folder.name}__experiment{experiment}_recording1",
            probe,
            f"experiment{experiment}_Record Node 101#Neuropix-PXI-100.{probe}_recording1",
        )
        for experiment in (1, 3, 6)
        for probe in ("ProbeB", "ProbeC")
    ]
    for job in found.jobs:
        assert (job.problem, job.num_channels, job.sampling_frequency, job.group) == (
            None,
            384,
            30_000.0,
            None,
        )
        assert job.duration == pytest.approx(100 / 30_000)
        assert job.probe_model.startswith("NP2000")
        assert job.kind == "wide-band"
        assert job.lfp_stream is None
        block_index = ["experiment1", "experiment3", "experiment6"].index(job.block)
        theirs = se.read_openephys(
            folder, stream_name=job.stream, block_index=block_index, load_sync_timestamps=True
        )
        _assert_same_recording(load_recording(job, folder), theirs)
    assert {(stream.kind, stream.reason) for stream in found.ignored} == {("analog", "its name says 'daqmx'")}
    assert len(found.ignored) == 3


@needs_shared
@pytest.mark.parametrize("name", ["v1.1.0_neuropixels_aligned", "v1.1.0_neuropixels_not_aligned"])
def test_settings_of_another_version_give_no_geometry(name):
    jobs = _jobs(MULTI / name)
    assert len(jobs) == 6
    for job in jobs.values():
        assert re.search(
            r"(ProbeB|ProbeC) has no geometry in settings.*1\.1\.0-preview.*put together.*probe_paths",
            job.problem,
        ), job.problem
        with pytest.raises(BadDataError, match="no geometry"):
            load(job, MULTI / name)


@needs_shared
def test_bonsai_data_of_onix_are_no_open_ephys_folder():
    with pytest.raises(BadDataError, match="none of the formats"):
        discover(MULTI / "chronic-test-data", JobDispatchParams())


@needs_shared
@pytest.mark.parametrize(
    ("level", "session"),
    [
        (".", "v0.6.x_neuropixels_multiexp_multistream__experiment3_recording1"),
        ("Record Node 101", "v0.6.x_neuropixels_multiexp_multistream__experiment3_recording1"),
        ("Record Node 101/experiment3", "v0.6.x_neuropixels_multiexp_multistream"),
        ("Record Node 101/experiment3/recording1", "v0.6.x_neuropixels_multiexp_multistream"),
    ],
)
def test_any_level_of_a_session_can_be_given(level, session):
    folder = MULTI / "v0.6.x_neuropixels_multiexp_multistream"
    found = discover(folder / level, JobDispatchParams())
    job = next(job for job in found.jobs if job.block == "experiment3")
    assert (job.session, job.probe) == (session, "ProbeB")
    assert load_recording(job, found.data_root).get_num_channels() == 384
    assert all((found.data_root / file).is_file() for file in job.files)
    assert fingerprint(job, found.data_root)


@needs_shared
def test_the_parent_of_sessions_can_be_given():
    jobs = discover(MULTI, JobDispatchParams()).jobs
    assert {job.session_folder for job in jobs} == {
        "v0.6.x_neuropixels_multiexp_multistream",
        "v1.1.0_neuropixels_aligned",
        "v1.1.0_neuropixels_not_aligned",
    }
    assert sum(job.problem is None for job in jobs) == 6


# --- every kind of probe that there are settings of ---------------------------------------------------------

NP1, NP2, NP2_4, ULTRA = "Neuropixels 1.0", "NP2000", "NP2010", "NP1110"
# Settings file: {probe: (model, channels, channels of each shank, has an LFP band)}, or what is wrong with it.
EXPECTED: dict[str, dict[str, tuple[str, int, list[int], bool] | str]] = {
    "OE_1.0_Neuropix-PXI-multi-probe/settings.xml": {
        f"Probe{letter}": ("NP2000", 384, [384], False) for letter in "ABC"
    },
    "OE_6.7_enabled_disabled_Neuropix-PXI/settings_enabled-disabled.xml": {
        "ProbeA": ("PRB_1_4_0480_1_C", 384, [384], True),
    },
    ENABLED: {
        "ProbeA": ("PRB_1_4_0480_1_C", 384, [384], True),
        "ProbeB": ("NP2014", 384, [96] * 4, False),
    },
    "OE_Neuropix-PXI/settings.xml": {"ProbeA": ("NP2000", 384, [384], False)},
    "OE_Neuropix-PXI-NP-Ultra/settings.xml": {
        "ProbeA": "model 'NP1100'.*no positions.*probe_paths",
        "ProbeB": "model 'NP1100'.*no positions.*probe_paths",
        "ProbeF": "model 'NP1100'.*no positions.*probe_paths",
        "ProbeD": ("NP1121", 384, [384], True),
    },
    "OE_Neuropix-PXI-NP1-binary/Record_Node_101/settings.xml": {"ProbeA": ("NP2014", 384, [384], False)},
    "OE_Neuropix-PXI-NP2-4shank/settings.xml": {"ProbeA": ("NP2010", 384, [186, 198], False)},
    "OE_Neuropix-PXI-NP2-4shank-binary/Record_Node_101/settings.xml": {
        "ProbeA": ("NP1032", 384, [384], True)
    },
    "OE_Neuropix-PXI-NP2-multishank-binary/Record_Node_109/settings.xml": {
        "ProbeA": ("NP2013", 384, [66, 126, 96, 96], False)
    },
    "OE_Neuropix-PXI-QuadBase/settings.xml": {
        "ProbeA": ("PRB_1_2_0480_2", 384, [384], True),
        "ProbeB": ("NP1016", 384, [384], True),
        **{f"ProbeC-{shank}": ("NP2020", 384, [384], False) for shank in (1, 2, 3, 4)},
    },
    "OE_Neuropix-PXI-QuadBase/settings_custom_names.xml": {
        **{name: ("NP2004", 384, [384], False) for name in ("50210", "50197", "46101", "50720", "46810")},
        **{f"50213-{shank}": ("NP2020", 384, [384], False) for shank in (1, 2, 3, 4)},
        **{f"46811-{shank}": ("NP2021", 384, [384], False) for shank in (1, 2, 3, 4)},
    },
    "OE_Neuropix-PXI-QuadBase/settings_custom_names_w_shank.xml": {
        **{f"23207205101-{shank}": ("NP2020", 384, [384], False) for shank in (1, 2, 3, 4)},
        **{name: ("NP2000", 384, [384], False) for name in ("46100", "46110", "46113")},
        **{name: ("NP2004", 384, [384], False) for name in ("46116", "46122", "50209")},
    },
    "OE_Neuropix-PXI-multi-probe/settings.xml": {
        "ProbeA": ("PRB_1_4_0480_1", 383, [383], True),
        "ProbeB": ("NP2000", 384, [384], False),
        "ProbeC": ("NP2000", 384, [384], False),
        "ProbeD": ("NP1110", 384, [384], True),
    },
    "OE_Neuropix-PXI-multi-probe/settings_2.xml": {
        "ProbeA": ("NP2010", 384, [384], False),
        "ProbeB": ("NP2010", 384, [384], False),
    },
    "OE_Neuropix-PXI-multiple-signalchains/settings.xml": {"ProbeA": ("PRB_1_4_0480_1_C", 384, [384], True)},
    "OE_Neuropix-PXI-opto-with-sync/settings.xml": {"ProbeA": ("NP1300", 384, [384], True)},
    "OE_Neuropix-PXI-subset/settings.xml": {"ProbeA": ("PRB_1_4_0480_1_C", 200, [200], True)},
    **{
        f"OE_ONIX-NP/settings_NP2{variant}.xml": {
            "PortA-Neuropixels2.0eHeadstage-Neuropixels2.0-Probe0": ("NP2004", 384, [384], False),
            "PortA-Neuropixels2.0eHeadstage-Neuropixels2.0-Probe1": ("NP2013", 384, shanks, False),
        }
        for variant, shanks in {"": [96] * 4, "_1": [384], "_2": [384], "_3": [384], "_4": [96] * 4}.items()
    },
    **{
        f"OE_ONIX-NP/settings_{bank}.xml": {
            "PortB-Neuropixels1.0eHeadstage-Probe": ("PRB_1_4_0480_1_C", 384, [384], True)
        }
        for bank in ("bankA", "bankB", "bankC", "tetrodes")
    },
    "OE_OneBox-NP-Ultra/settings.xml": {"ProbeA": ("NP1110", 384, [384], True)},
    "OE_OneBox-NP2014-binary/Record_Node_101/settings.xml": {"ProbeA": ("NP2014", 384, [96] * 4, False)},
}


@needs_shared
def test_no_settings_are_left_out():
    files = {path.relative_to(SETTINGS).as_posix() for path in SETTINGS.rglob("settings*.xml")}
    assert files == {*EXPECTED, "OE_5_Neuropix-PXI-multi-probe/settings.xml"}  # which has a test of its own


@needs_shared
@pytest.mark.parametrize("name", EXPECTED)
def test_real_settings(name, tmp_path):
    session = write_session(tmp_path / "session", SETTINGS / name)
    found = discover(session, JobDispatchParams(split_groups=False))
    jobs = {job.probe: job for job in found.jobs}
    assert set(jobs) == set(EXPECTED[name])
    assert {job.session for job in jobs.values()} == {"session"}
    for probe, expected in EXPECTED[name].items():
        job = jobs[probe]
        if isinstance(expected, str):
            assert re.search(expected, job.problem), job.problem
            assert job.stream in job.problem
            continue
        model, channels, shanks, has_lfp = expected
        assert job.problem is None
        assert (job.num_channels, job.sampling_frequency) == (channels, 30_000.0)
        assert job.probe_model.startswith(model)
        loaded = load(job, found.data_root)
        groups = loaded.recording.get_channel_groups()
        assert np.unique(groups, return_counts=True)[1].tolist() == shanks
        positions = loaded.recording.get_channel_locations()
        assert len(np.unique(positions, axis=0)) == channels
        assert (loaded.lfp is not None) == has_lfp
        if has_lfp:
            assert loaded.lfp.get_sampling_frequency() == 2_500.0
            assert np.array_equal(loaded.lfp.get_channel_locations(), positions)
    split = [job for job in discover(session, JobDispatchParams()).jobs if not job.problem]
    readable = [expected for expected in EXPECTED[name].values() if not isinstance(expected, str)]
    assert len(split) == sum(len(shanks) for _, _, shanks, _ in readable)
    asides = [stream for stream in found.ignored if "NI-DAQmx" in stream.stream or "ADC" in stream.stream]
    assert all(stream.kind == "analog" for stream in asides)


@needs_shared
@pytest.mark.parametrize("name", [ENABLED, "OE_Neuropix-PXI-subset/settings.xml"])
def test_recordings_are_those_of_spikeinterface(name, tmp_path):
    session = write_session(tmp_path / "session", SETTINGS / name)
    for job in discover(session, JobDispatchParams(split_groups=False)).jobs:
        loaded = load(job, session)
        streams = [(job.stream, loaded.recording)]
        streams += [(job.lfp_stream, loaded.lfp)] if loaded.lfp is not None else []
        for stream, ours in streams:
            _assert_same_recording(
                ours, se.read_openephys(session, stream_name=stream, load_sync_timestamps=True)
            )


# --- which channel is which electrode -----------------------------------------------------------------------

OEBINS = (
    "OE_Neuropix-PXI-NP1-binary/Record_Node_101/experiment1/recording1",
    "OE_Neuropix-PXI-NP2-4shank-binary/Record_Node_101/experiment4/recording2",
    f"{FOUR_SHANKS}/experiment1/recording1",
    f"{CHANNEL_MAP}/experiment1/recording1",
)


def _write_traces(recording: Path) -> None:
    """Traces and times for every stream of a structure.oebin."""
    for entry in json.loads((recording / "structure.oebin").read_text())["continuous"]:
        folder = recording / "continuous" / entry["folder_name"]
        folder.mkdir(parents=True)
        channel = np.arange(entry["num_channels"], dtype="int16")
        np.tile(channel, (50, 1)).tofile(folder / "continuous.dat")
        np.save(folder / "sample_numbers.npy", np.arange(50))
        np.save(folder / "timestamps.npy", np.arange(50) / entry["sample_rate"])


def _copy_real(name: str, tmp_path: Path) -> Path:
    """A real Record Node with its structure.oebin and settings.xml, and traces that are the channel's place."""
    recording = SETTINGS / name
    session = tmp_path / "session"
    target = session / Path(*recording.relative_to(recording.parents[2]).parts)
    shutil.copytree(recording, target)
    number = re.search(r"\d+", target.parent.name).group()
    settings = "settings.xml" if number == "1" else f"settings_{number}.xml"
    shutil.copy(recording.parents[1] / "settings.xml", target.parents[1] / settings)
    for path in (target, *target.iterdir(), target.parents[1] / settings):
        path.chmod(0o755)
    _write_traces(target)
    return session


@needs_shared
@pytest.mark.parametrize("name", OEBINS)
def test_every_channel_has_the_place_of_the_electrode_that_the_acquisition_names(name, tmp_path):
    from probeinterface.neuropixels_tools import build_neuropixels_probe

    session = _copy_real(name, tmp_path)
    [job] = discover(session, JobDispatchParams(split_groups=False)).jobs
    assert (job.block, job.segment) == tuple(
        convert(re.search(pattern, name).group())
        for pattern, convert in ((r"experiment\d+", str), (r"(?<=recording)\d+", int))
    )
    recording = load_recording(job, session)
    oebin = json.loads(next(session.rglob("structure.oebin")).read_text())
    channels = [c for c in oebin["continuous"][0]["channels"] if "channel_metadata" in c]
    catalogue = build_neuropixels_probe(recording.get_probe().annotations["part_number"])
    electrodes = [c["channel_metadata"][0]["value"][0] for c in channels]
    assert list(recording.channel_ids) == [c["channel_name"] for c in channels]
    assert np.array_equal(recording.get_channel_locations(), catalogue.contact_positions[electrodes])
    assert recording.get_traces()[0].tolist() == list(range(len(channels)))


@needs_shared
def test_shanks_of_a_channel_map_are_split_with_their_own_traces(tmp_path):
    session = _copy_real(OEBINS[3], tmp_path)
    jobs = discover(session, JobDispatchParams()).jobs
    assert [job.probe for job in jobs] == [f"ProbeA_group{group}" for group in range(4)]
    for job in jobs:
        part = load_recording(job, session)
        assert part.get_num_channels() == 96
        assert len(set(part.get_probe().shank_ids)) == 1
    seen = np.concatenate([load_recording(job, session).get_traces()[0] for job in jobs])
    assert sorted(seen) == list(range(384))


def _stream_of(tmp_path, name: str = ENABLED, probe: str = "ProbeB") -> tuple[Path, OpenEphysStream]:
    """The settings of a real session, and one of its probes' streams."""
    [(node, streams)] = streams_of_settings(SETTINGS / name).items()
    folder = tmp_path / "session" / node
    folder.mkdir(parents=True)
    shutil.copy(SETTINGS / name, folder / "settings.xml")
    (folder / "settings.xml").chmod(0o644)
    return folder, next(stream for stream in streams if stream.name == probe)


@needs_shared
def test_a_scrambled_multi_shank_map_gets_true_positions(tmp_path):
    node, plain = _stream_of(tmp_path)
    write_recording(node, [plain])
    [job] = discover(node.parent, JobDispatchParams(split_groups=False)).jobs
    straight = load_recording(job, node.parent)
    places = dict(zip(straight.channel_ids, straight.get_channel_locations().tolist(), strict=True))
    shifts = dict(zip(straight.channel_ids, straight.get_property("inter_sample_shift"), strict=True))

    order = np.random.default_rng(0).permutation(384)
    electrodes = np.array(plain.channels[:384])
    mixed = replace(plain, channels=[*electrodes[order], plain.channels[384]])
    write_recording(node, [mixed], recording=2)
    scrambled = discover(node.parent, JobDispatchParams(split_groups=False)).jobs[1]
    recording = load_recording(scrambled, node.parent)
    assert list(recording.channel_ids) == list(electrodes[order])
    assert recording.get_channel_locations().tolist() == [
        places[channel] for channel in recording.channel_ids
    ]
    assert recording.get_property("inter_sample_shift").tolist() == [
        shifts[channel] for channel in recording.channel_ids
    ]
    shanks = [load_recording(job, node.parent) for job in discover(node.parent, JobDispatchParams()).jobs[4:]]
    assert [len(set(shank.get_channel_locations()[:, 0])) for shank in shanks] == [2] * 4


@needs_shared
def test_some_saved_channels_keep_their_places(tmp_path):
    node, plain = _stream_of(tmp_path)
    kept = [5, 6, 100, 200, 201, 383]
    write_recording(node, [plain])
    whole = load_recording(discover(node.parent, JobDispatchParams(split_groups=False)).jobs[0], node.parent)
    some = replace(plain, channels=[plain.channels[index] for index in kept])
    write_recording(node, [some], experiment=1, recording=2)
    part = load_recording(discover(node.parent, JobDispatchParams(split_groups=False)).jobs[1], node.parent)
    assert np.array_equal(part.get_channel_locations(), whole.get_channel_locations()[kept])


@needs_shared
@pytest.mark.parametrize(
    ("decides", "expected"), [("selection", True), ("electrodes", True), ("nothing", False)]
)
def test_channels_that_may_be_counted_from_0_or_1(tmp_path, decides, expected):
    """Channels CH11 to CH20 are readout channels 10 to 19 or 11 to 19 and 20: something must decide."""
    node, plain = _stream_of(tmp_path)
    some = replace(plain, channels=[f"CH{number}" for number in range(11, 21)])
    if decides == "selection":
        tree = ET.parse(node / "settings.xml")
        state = "".join("1" if 10 <= channel < 20 else "0" for channel in range(385))
        for entry in tree.iter("STREAM"):
            if entry.get("name") == "ProbeB" and entry.get("recording_state"):
                entry.set("recording_state", state)
        tree.write(node / "settings.xml")
    if decides == "electrodes":
        whole = load_recording(_written(node, plain), node.parent)
        ids = [re.fullmatch(r"s(\d)e(\d+)", one).groups() for one in whole.get_probe().contact_ids[10:20]]
        some = replace(some, electrode_index=[int(shank) * 1280 + int(own) for shank, own in ids])
    write_recording(node, [some], recording=2)
    job = discover(node.parent, JobDispatchParams(split_groups=False)).jobs[-1]
    if not expected:
        assert re.search(r"numbered 11 to 20.*not clear which is which.*probe_paths", job.problem)
        return
    whole = load_recording(_written(node, plain, 3), node.parent)
    part = load_recording(job, node.parent)
    assert np.array_equal(part.get_channel_locations(), whole.get_channel_locations()[10:20])


def _written(node: Path, stream: OpenEphysStream, recording: int = 1) -> RecordingJob:
    write_recording(node, [stream], recording=recording)
    jobs = discover(node.parent, JobDispatchParams(split_groups=False)).jobs
    return next(job for job in jobs if job.segment == recording)


@needs_shared
def test_settings_and_structure_that_contradict_each_other_stop(tmp_path):
    session = _copy_real(OEBINS[2], tmp_path)
    path = next(session.rglob("structure.oebin"))
    oebin = json.loads(path.read_text())
    oebin["continuous"][0]["channels"][7]["channel_metadata"][0]["value"] = [3]
    path.write_text(json.dumps(oebin))
    [job] = discover(session, JobDispatchParams(split_groups=False)).jobs
    assert re.search(r"channel CH8 to electrode s3e199, structure\.oebin to electrode 3", job.problem)


@needs_shared
def test_a_reference_channel_is_left_out_and_no_other_moves(tmp_path):
    """Older plugins connect readout channel 191 of Neuropixels 1.0 to no electrode."""
    session = write_session(tmp_path / "session", SETTINGS / "OE_Neuropix-PXI-multi-probe/settings.xml")
    found = discover(session, JobDispatchParams())
    job = next(job for job in found.jobs if job.probe == "ProbeA")
    recording = load_recording(job, session)
    assert "AP192" not in recording.channel_ids
    assert [stream.reason for stream in found.ignored if "AP192" in stream.reason]
    root = ET.parse(SETTINGS / "OE_Neuropix-PXI-multi-probe/settings.xml").getroot()
    element = next(root.iter("NP_PROBE")).find("ELECTRODE_YPOS")
    depths = [float(element.get(f"CH{int(channel[2:]) - 1}")) for channel in recording.channel_ids]
    assert recording.get_channel_locations()[:, 1].tolist() == depths
    shifts = recording.get_property("inter_sample_shift")
    # 12 channels share a converter and are sampled in 13 steps; pairs of channels at the same time.
    expected = [(int(channel[2:]) - 1) % 24 // 2 / 13 for channel in recording.channel_ids]
    assert np.allclose(shifts, expected)


# --- names of probes ----------------------------------------------------------------------------------------


def _rename(settings: Path, names: dict[str, str]) -> None:
    text = settings.read_text()
    for old, new in names.items():
        text = re.sub(rf'name="{old}((?:-AP|-LFP)?)"', rf'name="{new}\1"', text)
    settings.write_text(text)


@needs_shared
def test_no_probe_is_found_by_a_part_of_a_name(tmp_path):
    """`Probe` is part of `Probe2`, and another model."""
    node, _ = _stream_of(tmp_path)
    _rename(node / "settings.xml", {"ProbeA": "Probe", "ProbeB": "Probe2"})
    [streams] = streams_of_settings(node / "settings.xml").values()
    write_recording(node, streams)
    jobs = _jobs(node.parent, split_groups=False)
    assert {key: job.probe_model.split()[0] for key, job in jobs.items()} == {
        "session/Probe": "PRB_1_4_0480_1_C",
        "session/Probe2": "NP2014",
    }
    assert jobs["session/Probe"].lfp_stream.endswith("Probe-LFP")


@needs_shared
def test_recording_1_is_not_recording_10(tmp_path):
    node, stream = _stream_of(tmp_path)
    for recording in (1, 2, 10):
        write_recording(node, [replace(stream, samples=60 + recording)], recording=recording)
    write_recording(node, [stream], experiment=10)
    shutil.copy(node / "settings.xml", node / "settings_10.xml")
    jobs = discover(node.parent, JobDispatchParams(split_groups=False)).jobs
    assert [(job.session, round(job.duration * 30_000)) for job in jobs] == [
        ("session__experiment1_recording1", 61),
        ("session__experiment1_recording2", 62),
        ("session__experiment1_recording10", 70),
        ("session__experiment10_recording1", 60),
    ]
    joined = _jobs(node.parent, split_groups=False, split_segments=False)
    assert list(joined) == ["session__experiment1/ProbeB", "session__experiment10/ProbeB"]
    recording = load_recording(joined["session__experiment1/ProbeB"], node.parent)
    assert [recording.get_num_samples(segment) for segment in range(3)] == [61, 62, 70]
    assert recording.get_times(segment_index=0)[0] == pytest.approx(0.25 + 1_000 / 30_000)


@needs_shared
def test_probes_of_the_same_name_at_two_processors_keep_apart(tmp_path):
    """Two signal chains, each with its own Neuropix-PXI and a ProbeA."""
    node, stream = _stream_of(tmp_path, probe="ProbeA-AP")
    tree = ET.parse(node / "settings.xml")
    chain = tree.getroot().find("SIGNALCHAIN")
    other = ET.fromstring(ET.tostring(chain))
    source = other.find("PROCESSOR")
    source.set("nodeId", "120")
    first, _ = source.findall("EDITOR/NP_PROBE")
    first.set("isEnabled", "0")  # so that its ProbeA is the multi-shank one
    for entry in source.findall("STREAM"):
        if entry.get("name") != "ProbeB":
            source.remove(entry)
        else:
            entry.set("name", "ProbeA")
    tree.getroot().append(other)
    tree.write(node / "settings.xml")
    twin = OpenEphysStream("ProbeA", processor_id=120, channels=[f"CH{i}" for i in range(1, 385)])
    write_recording(node, [stream, twin])
    jobs = _jobs(node.parent, split_groups=False)
    assert {key: job.probe_model.split()[0] for key, job in jobs.items()} == {
        "session/Neuropix-PXI-110.ProbeA": "PRB_1_4_0480_1_C",
        "session/Neuropix-PXI-120.ProbeA": "NP2014",
    }


@needs_shared
def test_a_probe_that_two_record_nodes_wrote_is_taken_once(tmp_path):
    node, stream = _stream_of(tmp_path)
    lfp_node = node.with_name("Record Node 112")
    ap = replace(stream, name="ProbeA-AP", channels=[f"AP{i}" for i in range(1, 385)])
    lfp = replace(ap, name="ProbeA-LFP", rate=2_500.0, channels=[f"LFP{i}" for i in range(1, 385)])
    filtered = replace(ap, history="Neuropix-PXI -> Bandpass Filter -> Record Node")
    write_recording(node, [filtered])
    write_recording(lfp_node, [replace(ap, history="Neuropix-PXI -> Record Node"), lfp])
    shutil.copy(node / "settings.xml", lfp_node / "settings.xml")
    found = discover(node.parent, JobDispatchParams())
    [job] = found.jobs
    assert job.stream == "Record Node 112#Neuropix-PXI-110.ProbeA-AP"
    assert load_lfp(job, node.parent).get_num_channels() == 384
    [double] = found.ignored
    assert double.stream.startswith("Record Node 111/")
    assert "Record Node 112#" in double.reason

    (lfp_node / "experiment1/recording1/continuous/Neuropix-PXI-110.ProbeA-AP/continuous.dat").unlink()
    shutil.rmtree(node / "experiment1")
    [job] = discover(node.parent, JobDispatchParams()).jobs
    assert "continuous.dat is missing" in job.problem


# --- geometry from a probe file -----------------------------------------------------------------------------


def _probe_file(path: Path, wiring: list[int], shanks: int = 2) -> str:
    """A file with contacts 25 um apart on a line for each shank, in the order of the wiring."""
    from probeinterface import generate_multi_shank, write_probeinterface

    probe = generate_multi_shank(
        num_shank=shanks, num_columns=1, num_contact_per_column=len(wiring) // shanks, ypitch=25
    )
    probe.set_device_channel_indices(wiring)
    write_probeinterface(path, probe)
    return path.name


def _with_file(paths) -> JobDispatchParams:
    return JobDispatchParams(
        spikeinterface_info={"reader_type": "openephysbinary", "probe_paths": paths}, split_groups=False
    )


@needs_shared
def test_a_probe_file_fills_the_gap_of_one_stream(tmp_path):
    folder = Path(shutil.copytree(MULTI / "v1.1.0_neuropixels_aligned", tmp_path / "session"))
    folder.chmod(0o755)
    wiring = [*range(383, 191, -1), *range(192)]
    name = _probe_file(folder / "my probe.json", wiring)
    jobs = discover(folder, _with_file({"Record Node 101#Neuropix-PXI-100.ProbeB": name})).jobs
    assert {job.probe for job in jobs if job.problem is None} == {"ProbeB"}
    job = next(job for job in jobs if job.probe == "ProbeB")
    assert job.num_channels == 384
    recording = load_recording(job, folder)
    depths = dict(zip(recording.channel_ids, recording.get_channel_locations()[:, 1], strict=True))
    assert (depths["CH384"], depths["CH383"], depths["CH1"], depths["CH2"]) == (0, 25, 0, 25)
    assert np.unique(recording.get_channel_groups(), return_counts=True)[1].tolist() == [192, 192]

    short = discover(folder, _with_file({"ProbeB": name})).jobs
    assert next(job for job in short if job.probe == "ProbeB").source == job.source
    _probe_file(folder / "my probe.json", wiring[::-1])
    with pytest.raises(BadDataError, match="has changed since it was discovered"):
        load_recording(job, folder)


def test_one_probe_file_for_both_bands_of_a_board(tmp_path):
    session = tmp_path / "session"
    names = [*(f"CH{i}" for i in range(1, 9)), "ADC1"]
    bands = [
        OpenEphysStream(f"Tetrodes-{band}", "Acquisition_Board", 100, rate=rate, channels=names)
        for band, rate in (("AP", 30_000.0), ("LFP", 2_500.0))
    ]
    write_recording(session / "Record Node 101", bands)
    name = _probe_file(session / "tetrodes.json", [6, 7, 4, 5, 2, 3], shanks=1)
    found = discover(session, _with_file({"Tetrodes-AP": name}))
    [job] = found.jobs
    loaded = load(job, found.data_root)
    assert list(loaded.recording.channel_ids) == ["CH3", "CH4", "CH5", "CH6", "CH7", "CH8"]
    assert loaded.recording.get_channel_locations()[:, 1].tolist() == [100, 125, 50, 75, 0, 25]
    assert np.array_equal(loaded.lfp.get_channel_locations(), loaded.recording.get_channel_locations())
    assert any("CH1, CH2" in stream.reason for stream in found.ignored)

    _probe_file(session / "tetrodes.json", list(range(9)), shanks=1)
    [job] = discover(session, _with_file("tetrodes.json")).jobs
    assert re.search(
        r"has 8 electrode channels, counted from 0, but tetrodes\.json wires .* channel 8", job.problem
    )
    [job] = discover(session, _with_file("nothing.json")).jobs
    assert re.search(r"probe_paths.*nothing\.json is missing", job.problem)
    with pytest.raises(ParamsError, match="probe_paths is a list"):
        discover(session, _with_file(["tetrodes.json"]))


@needs_shared
def test_a_probe_file_leaves_known_geometry_alone(tmp_path):
    session = write_session(tmp_path / "session", SETTINGS / ENABLED)
    before = [load_recording(job, session) for job in discover(session, _with_file(None)).jobs]
    name = _probe_file(session / "other.json", list(range(384)))
    after = [load_recording(job, session) for job in discover(session, _with_file(name)).jobs]
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one.get_channel_locations(), other.get_channel_locations())


# --- shanks of the two bands --------------------------------------------------------------------------------


@needs_shared
def test_lfp_of_a_shank_that_was_saved_in_one_band_only(tmp_path):
    """The LFP band holds two of the four shanks of the AP band, under the same group numbers."""
    node, stream = _stream_of(tmp_path)
    names = [f"{{}}{i}" for i in range(1, 385)]
    ap = replace(stream, name="ProbeB-AP", channels=[name.format("AP") for name in names])
    write_recording(node, [ap])
    jobs = discover(node.parent, JobDispatchParams()).jobs
    on_shank = {job.group: [int(c[2:]) for c in load_recording(job, node.parent).channel_ids] for job in jobs}
    saved = sorted(on_shank["1"] + on_shank["3"])
    indices = _electrode_indices(load_recording(jobs[0], node.parent).get_probe())
    assert indices
    lfp = replace(ap, name="ProbeB-LFP", rate=2_500.0, channels=[f"LFP{number}" for number in saved])
    shutil.rmtree(node / "experiment1")
    write_recording(node, [ap, lfp])
    lfps = {job.group: load_lfp(job, node.parent) for job in discover(node.parent, JobDispatchParams()).jobs}
    assert lfps["0"] is None
    assert lfps["2"] is None
    for group in ("1", "3"):
        assert [int(channel[3:]) for channel in lfps[group].channel_ids] == on_shank[group]


def _electrode_indices(probe) -> list[str]:
    return list(probe.contact_ids)


@needs_shared
def test_lfp_without_its_probe_is_listed(tmp_path):
    node, stream = _stream_of(tmp_path, probe="ProbeA-LFP")
    _, other = _stream_of(tmp_path / "other")
    write_recording(node, [stream, other])
    found = discover(node.parent, JobDispatchParams(split_groups=False))
    assert [job.probe for job in found.jobs] == ["ProbeB"]
    assert [(one.kind, "without the band" in one.reason) for one in found.ignored if "LFP" in one.stream] == [
        ("LFP", True)
    ]


# --- times --------------------------------------------------------------------------------------------------


def _data(node: Path, stream: OpenEphysStream) -> Path:
    return node / "experiment1/recording1/continuous" / stream.folder_name


@needs_shared
def test_synchronized_times_survive_a_description_in_json(tmp_path):
    node, stream = _stream_of(tmp_path)
    job = _written(node, stream)
    seconds = np.load(_data(node, stream) / "timestamps.npy") * (1 + 1e-5)
    np.save(_data(node, stream) / "timestamps.npy", seconds)
    recording = load_recording(job, node.parent)
    assert np.array_equal(recording.get_times(), seconds)
    recording.dump_to_json(tmp_path / "it.json", relative_to=node.parent, include_properties=True)
    assert str(node.parent) not in (tmp_path / "it.json").read_text()
    moved = Path(shutil.move(node.parent, tmp_path / "moved"))
    again = si.load(tmp_path / "it.json", base_folder=moved)
    assert np.array_equal(again.get_times(), seconds)
    assert np.array_equal(again.get_channel_locations(), recording.get_channel_locations())
    assert again.get_property("inter_sample_shift") is not None


@needs_shared
@pytest.mark.parametrize(
    ("present", "first_s", "is_explicit"),
    [
        (("sample_numbers", "timestamps"), 0.25 + 1_000 / 30_000, True),
        (("timestamps",), 0.25 + 1_000 / 30_000, True),
        (("sample_numbers",), 1_000 / 30_000, False),
        ((), 0.0, False),
    ],
)
def test_files_of_times_that_are_not_there(tmp_path, present, first_s, is_explicit):
    node, stream = _stream_of(tmp_path)
    job = _written(node, stream)
    for name in {"sample_numbers", "timestamps"} - set(present):
        (_data(node, stream) / f"{name}.npy").unlink()
    recording = load_recording(job, node.parent)
    assert recording.get_times()[0] == pytest.approx(first_s)
    assert recording.has_time_vector() == is_explicit
    assert np.allclose(np.diff(recording.get_times()), 1 / 30_000)


@needs_shared
def test_joined_recordings_of_which_one_has_times(tmp_path):
    node, stream = _stream_of(tmp_path)
    write_recording(node, [stream])
    second = write_recording(node, [stream], recording=2)
    (second.parent / "recording1/continuous" / stream.folder_name / "timestamps.npy").unlink()
    [job] = discover(node.parent, JobDispatchParams(split_groups=False, split_segments=False)).jobs
    recording = load_recording(job, node.parent)
    assert [recording.has_time_vector(segment) for segment in (0, 1)] == [False, True]
    assert recording.get_times(segment_index=1)[0] == pytest.approx(0.25 + 1_000 / 30_000)
    again = si.load(recording.to_dict(recursive=True))
    assert np.array_equal(again.get_times(segment_index=1), recording.get_times(segment_index=1))


@needs_shared
@pytest.mark.parametrize("synchronized", [True, False])
def test_before_0_6_timestamps_are_sample_numbers(tmp_path, synchronized):
    node, stream = _stream_of(tmp_path)
    job = _written(node, stream)
    folder = _data(node, stream)
    seconds = np.load(folder / "timestamps.npy")
    (folder / "sample_numbers.npy").replace(folder / "timestamps.npy")
    if synchronized:
        np.save(folder / "synchronized_timestamps.npy", seconds)
    times = load_recording(job, node.parent).get_times()
    assert np.allclose(times, seconds if synchronized else np.arange(1_000, 1_060) / 30_000)


@needs_shared
def test_sample_numbers_that_skip_show_as_a_gap(tmp_path):
    node, stream = _stream_of(tmp_path)
    job = _written(node, stream)
    folder = _data(node, stream)
    (folder / "timestamps.npy").unlink()
    numbers = np.load(folder / "sample_numbers.npy")
    numbers[40:] += 3_000
    np.save(folder / "sample_numbers.npy", numbers)
    recording = load_recording(job, node.parent)
    assert np.array_equal(recording.get_times(), numbers / 30_000)
    verdict = check_timestamps(recording)
    assert not verdict.ok
    assert [(gap.sample, round(gap.length_ms, 3)) for gap in verdict.gaps] == [(39, 100.033)]


@needs_shared
def test_streams_that_were_not_synchronized_fail_the_check(tmp_path):
    """Open Ephys writes -1 s for samples before streams are synchronized."""
    node, stream = _stream_of(tmp_path)
    job = _written(node, stream)
    np.save(_data(node, stream) / "timestamps.npy", np.full(60, -1.0))
    assert "are zero" in check_timestamps(load_recording(job, node.parent)).reason


@needs_shared
def test_clocks_of_a_session_are_its_synchronized_times():
    folder = MULTI / "v0.6.x_neuropixels_multiexp_multistream"
    job = discover(folder, JobDispatchParams()).jobs[0]
    clocks = OpenEphysReader().clocks(job, 0, folder)
    assert set(clocks) == {job.stream, "Record Node 101#NI-DAQmx-103.PXIe-6341"}
    assert clocks[job.stream].start_s == clocks[job.stream].times.shared_s[0] == pytest.approx(62.1066)
    assert clocks[job.stream].pulses.source == "TTL line 1"


# --- GUI 0.4 and 0.5 ----------------------------------------------------------------------------------------


def _legacy(stream: str, first: int = 1, count: int = 384, rate: float = 30_000.0) -> OpenEphysStream:
    channels = [f"CH{i}" for i in range(first, first + count)]
    extra = {"source_processor_sub_idx": int(stream)} if stream.isdigit() else {}
    return OpenEphysStream(stream, channels=channels, rate=rate, extra={**extra, "stream_name": ""})


@needs_shared
def test_streams_without_names_are_found_by_their_number(tmp_path):
    node = tmp_path / "session" / "Record Node 102"
    write_recording(node, [_legacy("0"), _legacy("1")])
    shutil.copy(SETTINGS / "OE_5_Neuropix-PXI-multi-probe/settings.xml", node)
    jobs = _jobs(node.parent, split_groups=False)
    assert list(jobs) == ["session/Neuropix-PXI-100.0", "session/Neuropix-PXI-100.1"]
    serial_numbers = []
    for job in jobs.values():
        recording = load_recording(job, node.parent)
        assert job.probe_model.startswith("NP2010")
        serial_numbers.append(recording.get_probe().serial_number)
    assert serial_numbers == ["19122505073", "19122509943"]  # one on each dock of a port


@needs_shared
def test_legacy_streams_of_two_bands(tmp_path):
    """Before 0.6, AP and LFP of Neuropixels 1.0 are streams 0 and 1, of the next probe 2 and so on."""
    session = tmp_path / "session"
    root = ET.parse(SETTINGS / "OE_Neuropix-PXI-multi-probe/settings.xml").getroot()
    root.find("INFO/VERSION").text = "0.5.5.4"
    source = next(root.iter("PROCESSOR"))
    for entry in source.findall("STREAM"):
        source.remove(entry)
    session.mkdir()
    (session / "settings.xml").write_bytes(ET.tostring(root))
    rates = [30_000.0, 2_500.0, 30_000.0, 30_000.0, 30_000.0, 2_500.0]
    write_recording(session, [_legacy(str(number), rate=rate) for number, rate in enumerate(rates)])
    jobs = _jobs(session, split_groups=False)
    assert {key: (job.probe_model.split()[0], job.lfp_stream) for key, job in jobs.items()} == {
        "session/Neuropix-PXI-100.0": ("PRB_1_4_0480_1", "Neuropix-PXI-100.1"),
        "session/Neuropix-PXI-100.2": ("NP2000", None),
        "session/Neuropix-PXI-100.3": ("NP2000", None),
        "session/Neuropix-PXI-100.4": ("NP1110", "Neuropix-PXI-100.5"),
    }
    assert load_lfp(jobs["session/Neuropix-PXI-100.4"], session).get_sampling_frequency() == 2_500.0


def test_an_acquisition_board_needs_a_probe_file(tmp_path):
    """GUI 0.4: no Record Node folder, electrodes and analog inputs in one stream, no geometry."""
    session = tmp_path / "session"
    names = [*(f"CH{i}" for i in range(1, 33)), "AUX1", "AUX2", "AUX3", "ADC1"]
    board = OpenEphysStream("0", "Rhythm_FPGA", 100, channels=names, extra={"stream_name": ""})
    write_recording(session, [board])
    (session / "settings.xml").write_text(
        '<SETTINGS><INFO><VERSION>0.4.4</VERSION></INFO><SIGNALCHAIN><PROCESSOR name="Sources/Rhythm FPGA" '
        'NodeId="100"><EDITOR/></PROCESSOR></SIGNALCHAIN></SETTINGS>'
    )
    found = discover(session, JobDispatchParams())
    [job] = found.jobs
    assert (job.session, job.probe, job.kind) == ("session", "Rhythm_FPGA-100.0", "wide-band")
    assert re.search(
        r"Rhythm_FPGA-100\.0 has no geometry in settings\.xml: .*no probe.*probe_paths", job.problem
    )
    assert [(one.kind, one.stream[-4:]) for one in found.ignored] == [("analog", "_ADC")]


# --- what is wrong with a probe -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_probes(tmp_path_factory):
    """A session with a Neuropixels 1.0 and a 2.0 probe and an NI-DAQ board."""
    if not SETTINGS.exists():
        pytest.skip(f"no acquisition metadata at {SHARED}")
    return write_session(tmp_path_factory.mktemp("two") / "session", SETTINGS / ENABLED)


@pytest.fixture
def copy(two_probes, tmp_path):
    return Path(shutil.copytree(two_probes, tmp_path / "session"))


def _probe_a(copy: Path, band: str = "AP") -> Path:
    return copy / "Record Node 111/experiment1/recording1/continuous" / f"Neuropix-PXI-110.ProbeA-{band}"


def _half_frame(copy):
    path = _probe_a(copy) / "continuous.dat"
    os.truncate(path, path.stat().st_size - 2)


def _truncated(copy):
    path = _probe_a(copy) / "continuous.dat"
    os.truncate(path, path.stat().st_size // 2)


def _no_dat(copy):
    (_probe_a(copy) / "continuous.dat").unlink()


def _folder_for_a_file(copy):
    _no_dat(copy)
    (_probe_a(copy) / "continuous.dat").mkdir()


def _no_folder(copy):
    shutil.rmtree(_probe_a(copy))


def _times_are_a_pipe(copy):
    (_probe_a(copy) / "timestamps.npy").unlink()
    os.mkfifo(_probe_a(copy) / "timestamps.npy")


def _times_are_no_numpy(copy):
    (_probe_a(copy) / "timestamps.npy").write_bytes(b"hello")


def _times_are_pickled(copy):
    np.save(_probe_a(copy) / "timestamps.npy", np.array([{"a": 1}] * 60, dtype=object))


def _times_in_two_dimensions(copy):
    np.save(_probe_a(copy) / "timestamps.npy", np.zeros((60, 2)))


def _broken_lfp(copy):
    os.truncate(_probe_a(copy, "LFP") / "continuous.dat", 100)


def _link_out(copy):
    outside = copy.parent / "outside.dat"
    shutil.move(_probe_a(copy) / "continuous.dat", outside)
    (_probe_a(copy) / "continuous.dat").symlink_to(outside)


def _unknown_model(copy):
    settings = copy / "Record Node 111/settings.xml"
    settings.write_text(settings.read_text().replace("PRB_1_4_0480_1_C", "NP9999"))


def _no_positions(copy):
    settings = copy / "Record Node 111/settings.xml"
    settings.write_text(re.sub(r"<ELECTRODE_YPOS.*?/>", "", settings.read_text(), count=1, flags=re.DOTALL))


def _no_gain(copy):
    _edited(copy, lambda oebin: oebin["continuous"][0]["channels"][2].update(units="furlong"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_half_frame, r"continuous\.dat has 46198 bytes.*frames of 770 bytes \(385 channels\).*whole frames"),
        (
            _truncated,
            r"continuous\.dat has 30 samples, but sample_numbers\.npy beside it 60\..*take the \.npy",
        ),
        (_no_dat, r"continuous\.dat is missing"),
        (_folder_for_a_file, r"continuous\.dat is a folder"),
        (_times_are_a_pipe, r"timestamps\.npy is a pipe"),
        (_no_folder, r"continuous\.dat is missing"),
        (_times_are_no_numpy, r"timestamps\.npy cannot be read as a NumPy file"),
        (_times_are_pickled, r"timestamps\.npy cannot be read.*allow_pickle=False"),
        (_times_in_two_dimensions, r"timestamps\.npy holds float64 of shape \(60, 2\)"),
        (_link_out, r"leads out of the data folder"),
        (_unknown_model, r"model 'NP9999'.*probe_paths"),
        (_no_positions, r"gives no positions.*probe_paths"),
        (_no_gain, r"bit_volts and units='furlong' of AP3 .*Correct them"),
    ],
)
def test_a_broken_probe_says_why_and_the_other_goes_on(copy, damage, said):
    damage(copy)
    jobs = _jobs(copy, split_groups=False)
    broken, whole = jobs["session/ProbeA"], jobs["session/ProbeB"]
    assert re.search(said, broken.problem, re.DOTALL), broken.problem
    with pytest.raises(BadDataError):
        load(broken, copy)
    assert whole.problem is None
    assert load(whole, copy).recording.get_num_channels() == 384


def test_a_broken_lfp_band_costs_the_lfp_and_nothing_else(copy):
    _broken_lfp(copy)
    job = _jobs(copy, split_groups=False)["session/ProbeA"]
    assert job.problem is None
    assert re.search(r"ProbeA-LFP/continuous\.dat has 100 bytes", job.lfp_problem)
    assert load(job, copy).lfp is None


def _oebin(copy: Path) -> Path:
    return copy / "Record Node 111/experiment1/recording1/structure.oebin"


def _edited(copy: Path, change) -> None:
    content = json.loads(_oebin(copy).read_text())
    change(content)
    _oebin(copy).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda c: _oebin(c).unlink(), r"structure\.oebin is missing"),
        (lambda c: _oebin(c).write_text("{"), r"structure\.oebin is no valid JSON"),
        (lambda c: _oebin(c).write_text("[" * 100_000), r"structure\.oebin is no valid JSON"),
        (lambda c: _oebin(c).write_text("[]"), r"no JSON object"),
        (lambda c: _oebin(c).write_bytes(b"\xff\xfe"), r"not text in UTF-8"),
        (lambda c: _edited(c, lambda o: o.pop("continuous")), r"KeyError: 'continuous'"),
        (
            lambda c: _edited(c, lambda o: o["continuous"][0].update(sample_rate=0)),
            r"sample_rate=0 .* no rate in Hz",
        ),
        (
            lambda c: _edited(c, lambda o: o["continuous"][0].update(folder_name="../../../secret/")),
            r"not the name of one",
        ),
        (lambda c: (c / "Record Node 111/settings.xml").unlink(), r"settings\.xml is missing.*probe_paths"),
        (lambda c: (c / "Record Node 111/settings.xml").write_text("<SET"), r"no valid XML.*probe_paths"),
        (
            lambda c: (c / "Record Node 111/settings.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><a/>'),
            r"defines entities",
        ),
        (
            lambda c: (c / "Record Node 111/settings.xml").write_text("<SETTINGS/>"),
            r"'' as the version of Open Ephys",
        ),
    ],
)
def test_metadata_that_cannot_be_read_are_a_problem_of_every_probe(copy, damage, said):
    damage(copy)
    jobs = _jobs(copy, split_groups=False)
    assert set(jobs) == {"session/ProbeA", "session/ProbeB"}
    for job in jobs.values():
        assert re.search(said, job.problem, re.DOTALL), job.problem


def test_other_experiments_go_on(copy):
    shutil.copytree(copy / "Record Node 111/experiment1", copy / "Record Node 111/experiment2")
    jobs = _jobs(copy, split_groups=False)
    assert re.search(r"settings_2\.xml is missing", jobs["session__experiment2_recording1/ProbeA"].problem)
    assert jobs["session__experiment1_recording1/ProbeA"].problem is None


def test_recordings_without_samples_and_odd_folders_are_listed(copy):
    node = copy / "Record Node 111"
    for stream in (node / "experiment1/recording1/continuous").iterdir():
        target = node / "experiment1/recording2/continuous" / stream.name
        target.mkdir(parents=True)
        (target / "continuous.dat").touch()
        for name in ("sample_numbers", "timestamps"):
            np.save(target / f"{name}.npy", np.zeros(0))
    shutil.copy(_oebin(copy), node / "experiment1/recording2")
    shutil.copytree(node / "experiment1", node / "experiment1 (copy)")
    found = discover(copy, JobDispatchParams(split_groups=False))
    assert {job.session for job in found.jobs} == {"session"}
    reasons = {one.stream: one.reason for one in found.ignored}
    assert reasons["Record Node 111/experiment1/recording2/continuous/Neuropix-PXI-110.ProbeB"] == (
        "it holds no samples"
    )
    assert "names its folders" in reasons["Record Node 111/experiment1 (copy)/recording1"]


def test_a_stream_that_is_gone_after_discovery_is_noticed(copy):
    job = _jobs(copy, split_groups=False)["session/ProbeB"]
    _edited(copy, lambda oebin: oebin["continuous"].pop(2))
    with pytest.raises(BadDataError, match="no longer lists the stream"):
        load_recording(job, copy)


# --- events -------------------------------------------------------------------------------------------------


@needs_shared
def test_event_times_of_a_real_session():
    folder = MULTI / "v0.6.x_neuropixels_multiexp_multistream"
    job = discover(folder, JobDispatchParams()).jobs[0]
    lines = {(one.stream, one.line): one for one in event_times(job, folder)}
    assert {stream for stream, _ in lines} == {
        "Neuropix-PXI-100.ProbeB",
        "Neuropix-PXI-100.ProbeC",
        "NI-DAQmx-103.PXIe-6341",
    }
    sync = lines[("Neuropix-PXI-100.ProbeB", 1)]
    assert len(sync.rising_s) == len(sync.falling_s) == 837
    assert sync.falling_s[0] == pytest.approx(62.22706667)
    assert sync.falling_samples[0] == 1_866_812
    assert np.allclose(np.diff(sync.rising_s), 1.0, atol=2e-4)  # a sync line of 1 Hz


def test_event_times_before_0_6(copy):
    events = copy / "Record Node 111/experiment1/recording1/events/Neuropix-PXI-110.0/TTL_1"
    events.mkdir(parents=True)
    np.save(events / "channel_states.npy", np.array([2, -2, 2], dtype="int16"))
    np.save(events / "timestamps.npy", np.array([300, 600, 900]))
    _edited(
        copy,
        lambda oebin: oebin.update(
            events=[{"folder_name": "Neuropix-PXI-110.0/TTL_1/", "sample_rate": 30_000}]
        ),
    )
    job = _jobs(copy, split_groups=False)["session/ProbeB"]
    [line] = event_times(job, copy)
    assert (line.line, line.rising_s.tolist(), line.falling_s.tolist()) == (2, [0.01, 0.03], [0.02])
    np.save(events / "timestamps.npy", np.array([300]))
    with pytest.raises(BadDataError, match="do not belong together"):
        event_times(job, copy)
