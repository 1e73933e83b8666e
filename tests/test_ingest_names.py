"""Names from raw folders are safe wherever they go, and never run into each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.files import inside, walk_files
from spikepipe_core.ingest.jobs import FoundSegment, FoundStream, build_jobs, set_twins_aside
from spikepipe_core.ingest.naming import safe_key, safe_name
from spikepipe_core.ingest.spikeglx_files import parse_name


@given(st.text(max_size=300))
def test_any_text_becomes_a_safe_name(text):
    for name in (safe_name(text), safe_key(text)):
        assert name
        assert len(name.encode()) < 200
        assert Path(name).name == name
        assert not set(name) & set('|/\\:*?"<>,[]')
        assert ".." not in name
        assert name.isprintable()
        assert safe_name(name) == name


@given(st.text(max_size=50), st.text(max_size=50))
def test_two_names_never_become_one(one, other):
    assert (safe_name(one) == safe_name(other)) == (one == other)


@pytest.mark.parametrize(
    "name",
    ["experiment1_Record Node 101#Neuropix-PXI-100.ProbeB_recording1", "block0_imec0.ap_recording1", "größe"],
)
def test_names_of_acquisition_software_stay_as_they_are(name):
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("stem", "stream", "gate", "trigger"),
    [
        ("mouse_g0_t0.imec0.ap", "imec0.ap", 0, 0),
        ("mouse_g12_t3.imec10.lf", "imec10.lf", 12, 3),
        ("a_g1_b_g2_t3.imec0.ap", "imec0.ap", 2, 3),
        ("1119617_LSE1_g0_t0.exported.imec0.ap", "imec0.ap", 0, 0),
        ("mouse_g0_tcat.imec0.ap", "imec0.ap", 0, -1),
        ("mouse_g0_t0.imec.ap", "imec.ap", 0, 0),
        ("renamed.imec2.ap", "imec2.ap", 0, -1),
        ("mouse_g0_t0.nidq", "nidq", 0, 0),
        ("mouse_g0_t0.obx0.obx", "obx0", 0, 0),
    ],
)
def test_spikeglx_file_names(stem, stream, gate, trigger):
    name = parse_name(stem)
    assert (name.stream, name.gate, name.trigger) == (stream, gate, trigger)


@pytest.mark.parametrize("stem", ["notes", "imec0.ap", "mouse_g0_t0", "photo.imec"])
def test_other_file_names(stem):
    name = parse_name(stem)
    assert name is None or not name.band


def _stream(probe: str, numbers: tuple[int, ...], **more) -> FoundStream:
    segments = tuple(FoundSegment(n, {"n": n}, (f"{probe}_{n}",), 10.0) for n in numbers)
    return FoundStream(Path("/data/session"), "block0", f"{probe}.ap", probe, segments, **more)


def _build(*streams: FoundStream, segments: bool = True, groups: bool = True, **more):
    return build_jobs("test", streams, split_segments=segments, split_groups=groups, **more)


def test_recording1_is_not_recording10():
    jobs = _build(_stream("imec0", tuple(range(1, 11))))
    assert len({job.recording_name for job in jobs}) == len({job.session for job in jobs}) == 10
    assert [job.session for job in jobs][:2] == ["session__block0_recording1", "session__block0_recording2"]


def test_groups_and_segments_multiply():
    stream = _stream("imec0", (1, 2), groups={"0": 4, "1": 6})
    assert len(_build(stream)) == 4
    assert [job.probe for job in _build(stream, segments=False)] == ["imec0_group0", "imec0_group1"]
    (whole,) = _build(stream, segments=False, groups=False)
    assert (whole.num_channels, whole.duration, whole.group, whole.segment) == (10, 20.0, None, None)


def test_one_group_is_no_split():
    (job,) = _build(_stream("imec0", (1,), groups={"0": 4}))
    assert (job.probe, job.group) == ("imec0", None)


def test_a_broken_segment_breaks_the_joined_job_only():
    good, bad = FoundSegment(1, {}, ("a",), 1.0), FoundSegment(2, {}, ("b",), None, "b is broken.")
    stream = FoundStream(Path("/data/session"), "block0", "imec0.ap", "imec0", (good, bad))
    assert [job.problem for job in _build(stream)] == [None, "b is broken."]
    (joined,) = _build(stream, segments=False)
    assert joined.problem == "b is broken."
    assert joined.duration is None


def test_twins_are_set_aside_and_the_others_go_on():
    jobs, aside = set_twins_aside(
        [*_build(_stream("imec0", (1,))), *_build(_stream("imec0", (1,))), *_build(_stream("imec1", (1,)))]
    )
    assert [job.probe for job in jobs] == ["imec1"]
    (one,) = aside
    assert "several signals for probe 'imec0': imec0.ap (imec0_1) and imec0.ap (imec0_1)" in one.reason


def test_paths_out_of_the_data_folder_are_refused(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "link").symlink_to(tmp_path)
    assert inside(data / "new", data) == data / "new"
    for way_out in (data / ".." / "x", data / "link", data / "link" / "x", tmp_path / "data2"):
        with pytest.raises(BadDataError, match="leads out of the data folder"):
            inside(way_out, data)


def test_walk_passes_over_hidden_linked_and_deep_folders(tmp_path):
    wanted = tmp_path / "a" / "b" / "file"
    hidden = tmp_path / ".dagster" / "file"
    deep = tmp_path.joinpath(*"0123456789") / "file"
    store = tmp_path / "x.zarr" / "file"
    for path in (wanted, hidden, deep, store):
        path.parent.mkdir(parents=True)
        path.touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    assert list(walk_files(tmp_path)) == [tmp_path / "x.zarr", wanted]


@pytest.mark.parametrize("module", ["classification", "naming", "spikeglx_files"])
def test_examples_in_the_docstrings_run(module):
    import doctest
    import importlib

    result = doctest.testmod(importlib.import_module(f"spikepipe_core.ingest.{module}"))
    assert result.attempted and not result.failed
