"""What is known about a session comes from its files and from people, and nothing is made up."""

from __future__ import annotations

import json
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from spikepipe_core.errors import BadDataError
from spikepipe_core.nwb import METADATA_FILE, read_session_metadata, stable_identifier

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def berlin(monkeypatch):
    """The processing machine is in Berlin."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def run(tmp_path):
    """A SpikeGLX run folder of two probes below a data folder; only the metadata matter here."""
    files = []
    for probe, created in (("imec0", "2024-07-01T14:03:02"), ("imec1", "2024-07-01T14:03:01")):
        folder = tmp_path / "mouse_g0" / f"mouse_g0_{probe}"
        folder.mkdir(parents=True)
        meta = folder / f"mouse_g0_t0.{probe}.ap.meta"
        meta.write_text(f"nSavedChans=385\nfileCreateTime={created}\n")
        files += [meta, meta.with_suffix(".bin")]
    return files


def write(folder, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / METADATA_FILE).write_text(text)


def read(files, root):
    return read_session_metadata("mouse_g0", files, root, identifier="id")


def test_spikeglx_start_is_local_time_and_says_so(run, tmp_path, berlin):
    metadata = read(run, tmp_path)
    assert metadata.session_start_time == datetime(2024, 7, 1, 12, 3, 1, tzinfo=UTC)
    assert metadata.session_start_time.utcoffset() == timedelta(hours=2)
    assert "UTC+0200" in metadata.nwbfile["notes"]
    assert any("without a time zone" in remark for remark in metadata.remarks)
    assert (metadata.session_id, metadata.identifier, metadata.subject) == ("mouse_g0", "id", None)


def test_what_a_person_wrote_wins_nearest_first(run, tmp_path):
    write(tmp_path, {"NWBFile": {"lab": "Lab", "institution": "Everywhere"}})
    write(
        tmp_path / "mouse_g0",
        {
            "NWBFile": {
                "session_start_time": "2024-07-01T14:03:00+02:00",
                "institution": "Here",
                "experimenter": ["Doe, Jane"],
            },
            "Subject": {
                "subject_id": "M1",
                "sex": "F",
                "species": "Mus musculus",
                "date_of_birth": "2024-01-01",
            },
        },
    )
    metadata = read(run, tmp_path)
    assert metadata.session_start_time == datetime(2024, 7, 1, 12, 3, tzinfo=UTC)
    assert metadata.nwbfile["institution"] == "Here"
    assert metadata.nwbfile["lab"] == "Lab"
    assert metadata.subject["subject_id"] == "M1"
    assert "notes" not in metadata.nwbfile, "nothing was assumed"


def test_unknown_start_says_how_to_give_it(tmp_path):
    raw = tmp_path / "session" / "traces.bin"
    raw.parent.mkdir()
    raw.touch()
    with pytest.raises(BadDataError, match=rf"session/{METADATA_FILE}.*session_start_time"):
        read([raw], tmp_path)
    write(raw.parent, {"NWBFile": {"session_start_time": "2024-07-01T14:03:00Z"}})
    assert read([raw], tmp_path).session_start_time == datetime(2024, 7, 1, 14, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "no valid JSON"),
        ({"Session": {}}, '"NWBFile" and "Subject"'),
        ([], '"NWBFile" and "Subject"'),
        ({"NWBFile": {"instituton": "x"}}, "instituton"),
        ({"Subject": {"sex": "female"}}, "Subject.sex.*female"),
        ({"NWBFile": {"session_start_time": "yesterday"}}, "yesterday"),
    ],
)
def test_bad_metadata_file_is_named_with_what_is_wrong(run, tmp_path, content, words):
    write(tmp_path / "mouse_g0", content)
    with pytest.raises(BadDataError, match=words):
        read(run, tmp_path)


def test_metadata_file_outside_the_data_is_not_followed(run, tmp_path):
    outside = tmp_path / "elsewhere.json"
    outside.write_text("{}")
    (tmp_path / "mouse_g0" / METADATA_FILE).symlink_to(outside)
    with pytest.raises(BadDataError, match="leads out"):
        read(run, tmp_path / "mouse_g0")


def test_identifier_follows_from_session_and_data():
    one = stable_identifier("mouse_g0", {"imec0/lfp": "a", "imec1/lfp": "b"})
    assert one == stable_identifier("mouse_g0", {"imec1/lfp": "b", "imec0/lfp": "a"})
    assert one != stable_identifier("mouse_g0", {"imec0/lfp": "a", "imec1/lfp": "c"})
    assert one != stable_identifier("mouse_g1", {"imec0/lfp": "a", "imec1/lfp": "b"})


def test_nwb_source_hands_on_session_and_subject(tmp_path):
    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.file import Subject

    source = NWBFile(
        session_description="Running wheel.",
        identifier="source",
        session_start_time=datetime(2023, 5, 1, 10, tzinfo=UTC),
        experimenter=["Doe, Jane", "Roe, Richard"],
        lab="Lab",
        keywords=["wheel"],
        subject=Subject(
            subject_id="M2", species="Mus musculus", date_of_birth=datetime(2023, 1, 1, tzinfo=UTC)
        ),
    )
    path = tmp_path / "day1.nwb"
    with NWBHDF5IO(path, "w") as io:
        io.write(source)
    metadata = read([path], tmp_path)
    assert metadata.session_start_time == source.session_start_time
    assert metadata.identifier == "id"
    assert metadata.nwbfile["session_description"] == "Running wheel."
    assert list(metadata.nwbfile["experimenter"]) == ["Doe, Jane", "Roe, Richard"]
    assert metadata.nwbfile["keywords"] == ["wheel"]
    assert metadata.subject["subject_id"] == "M2"
    assert metadata.subject["date_of_birth"] == source.subject.date_of_birth


def test_aind_metadata_beside_the_data(tmp_path):
    aind = SHARED / "aind_metadata"
    if not aind.is_dir():
        pytest.skip("no example of aind-data-schema metadata in ../shared/data/aind_metadata")
    for name in ("session.json", "subject.json", "data_description.json"):
        shutil.copy(aind / name, tmp_path / name)
    raw = tmp_path / "ecephys" / "probe" / "traces.bin"
    raw.parent.mkdir(parents=True)
    raw.touch()
    metadata = read([raw], tmp_path)
    assert metadata.session_start_time == datetime(2023, 4, 25, 2, 35, tzinfo=UTC)
    assert metadata.nwbfile["institution"] == "Allen Institute for Neural Dynamics"
    assert metadata.subject["subject_id"] == "632269"
    assert metadata.subject["sex"] == "F"
    assert metadata.subject["species"] == "Mus musculus"


def test_json_of_that_name_that_is_not_aind_says_nothing(run, tmp_path):
    (tmp_path / "mouse_g0" / "session.json").write_text('{"session_start_time": "1999-01-01T00:00:00Z"}')
    assert read(run, tmp_path).session_start_time.year == 2024


def test_real_spikeglx_run(berlin):
    root = SHARED / "spikeglx_np2_4shank"
    if not root.is_dir():
        pytest.skip("no real SpikeGLX run in ../shared/data/spikeglx_np2_4shank")
    files = list(root.rglob("run-001*.bin"))
    assert read(files, root).session_start_time == datetime(2023, 4, 15, 13, 56, 51, tzinfo=UTC)
