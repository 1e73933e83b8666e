"""What raw files and the JSON beside them say about a session, in NeuroConv's layout."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.files import inside, read_small, walk_files
from spikepipe_core.ingest.spikeglx_files import read_meta

# Text fields of an NWB file that describe the session: https://nwb-schema.readthedocs.io, group /general.
NWB_TEXTS = (
    "experiment_description",
    "institution",
    "lab",
    "notes",
    "pharmacology",
    "protocol",
    "session_id",
    "surgery",
    "virus",
    "slices",
    "data_collection",
    "stimulus",
)
NWB_LISTS = ("experimenter", "keywords", "related_publications")
NWB_SUBJECT = (
    "age",
    "date_of_birth",
    "description",
    "genotype",
    "sex",
    "species",
    "strain",
    "subject_id",
    "weight",
)
# What pynwb calls a field that is stored under another name.
RENAMED = {"stimulus": "stimulus_notes"}
# Of Open Ephys' dates, such as 3 May 2022 10:52:24, whatever the locale here.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE = "%Y %m %d %H:%M:%S"
# aind-data-schema writes sexes out; NWB wants a letter.
SEX = {"Female": "F", "Male": "M"}


@dataclass(frozen=True)
class Source:
    """Fields that were found, and the names of the files they are from."""

    fields: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: tuple[str, ...] = ()


def raw_source(raw_files: Sequence[Path], root: Path) -> Source:
    """What the raw files themselves say.

    Parameters
    ----------
    raw_files : sequence of Path
        Files, or folders that are searched.
    root : Path
        The data folder, which no file may lead out of.
    """
    base = root if root.is_dir() else root.parent
    files = [found for path in raw_files for found in (walk_files(path) if path.is_dir() else [path])]
    files = [inside(path, base) for path in files]
    nwb = next((path for path in files if path.suffix == ".nwb" and path.is_file()), None)
    if nwb is not None:
        return Source(_nwb_fields(nwb), (nwb.name,))
    return _spikeglx(
        sorted({path.with_suffix(".meta") for path in files if path.suffix in (".meta", ".bin")}), base
    )


def _spikeglx(metas: list[Path], root: Path) -> Source:
    """The earliest ``fileCreateTime``: bands and probes of a run are opened within the same second or two."""
    created = [(read_meta(path, root).get("fileCreateTime"), path.name) for path in metas if path.is_file()]
    times = sorted((time, name) for time, name in created if time)
    if not times:
        return Source()
    return Source({"NWBFile": {"session_start_time": times[0][0]}}, (times[0][1],))


def openephys_source(raw_files: Sequence[Path], root: Path) -> Source:
    """When Open Ephys began to record: the earliest of its computer's times in ``sync_messages.txt`` (GUI 0.6 and
    later, UTC), else of the dates in ``settings.xml`` (local time).
    """
    base = root if root.is_dir() else root.parent
    files = [inside(path, base) for path in raw_files if path.is_file()]
    starts = [(_software_time(path), path.name) for path in files if path.name == "sync_messages.txt"]
    if not any(time for time, _ in starts):
        settings = [path for path in files if re.fullmatch(r"settings(_\d+)?\.xml", path.name)]
        starts = [(_settings_date(path), path.name) for path in settings]
    known = sorted((time, name) for time, name in starts if time)
    if not known:
        return Source()
    return Source({"NWBFile": {"session_start_time": known[0][0]}}, (known[0][1],))


def _software_time(path: Path) -> str | None:
    stated = re.search(r"since midnight Jan 1st 1970 UTC\): (\d{1,15})\b", read_small(path))
    return datetime.fromtimestamp(int(stated[1]) / 1000, UTC).isoformat() if stated else None


def _settings_date(path: Path) -> str | None:
    stated = re.search(r"<DATE>\s*(\d{1,2}) (\w{3}) (\d{4}) (\d{1,2}:\d\d:\d\d)\s*</DATE>", read_small(path))
    if stated is None or stated[2] not in _MONTHS:
        return None
    time = datetime.strptime(f"{stated[3]} {_MONTHS.index(stated[2]) + 1} {stated[1]} {stated[4]}", _DATE)
    return time.isoformat()


def _nwb_fields(path: Path) -> dict[str, dict[str, Any]]:
    """Fields of an NWB file (HDF5), read without building its objects: the file is untrusted."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            nwb = _texts(file, ("session_start_time", "timestamps_reference_time", "session_description"))
            general = file.get("general", {})
            nwb |= _texts(general, NWB_TEXTS)
            nwb |= {name: _list(general[name]) for name in NWB_LISTS if name in general}
            return {"NWBFile": nwb, "Subject": _texts(general.get("subject", {}), NWB_SUBJECT)}
    except OSError as error:
        raise BadDataError(f"{path} cannot be read as an HDF5 file: {error}. Copy it again.") from error


def _texts(group: Any, names: Sequence[str]) -> dict[str, Any]:
    found = {name: group[name] for name in names if name in group}
    texts = {RENAMED.get(n, n): _decoded(d[()]) for n, d in found.items() if getattr(d, "shape", None) == ()}
    return {name: text for name, text in texts.items() if text}


def _list(dataset: Any) -> list[str]:
    values = dataset[()]
    return [_decoded(value) for value in (values if dataset.shape else [values])]


def _decoded(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def aind_source(folders: Sequence[Path], root: Path) -> Source:
    """What ``data_description.json``, ``session.json`` (``acquisition.json`` from version 2) and ``subject.json`` say.

    They are files of aind-data-schema.

    Parameters
    ----------
    folders : sequence of Path
        Where to look; of each file the first that is found counts.
    """
    base = root if root.is_dir() else root.parent
    found: dict[str, dict[str, Any]] = {}
    files: list[str] = []
    for name in ("data_description", "acquisition", "session", "subject"):
        path = next(
            (folder / f"{name}.json" for folder in folders if (folder / f"{name}.json").is_file()), None
        )
        content = {} if path is None else _read_aind(inside(path, base))
        found[name] = content
        files += [path.name] if path is not None and content else []
    nwb = {
        **_from_data_description(found["data_description"]),
        **_from_acquisition(found["acquisition"]),
        **_from_session(found["session"]),
    }
    subject = _from_subject(found["subject"])
    stated = (found[name].get("subject_id") for name in ("session", "acquisition", "data_description"))
    identity = next((one for one in stated if one), None)
    if not subject and identity:
        subject = {"subject_id": str(identity)}
    return Source({"NWBFile": nwb, "Subject": subject}, tuple(files))


def _read_aind(path: Path) -> dict[str, Any]:
    """Content of a file of aind-data-schema; a file of that name that is something else says nothing."""
    text = read_small(path)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise BadDataError(f"{path} is no valid JSON: {error}. Correct it or take it away.") from error
    is_aind = isinstance(content, dict) and "aind" in str(content.get("describedBy", ""))
    return content if is_aind else {}


def _from_data_description(content: dict[str, Any]) -> dict[str, Any]:
    # `creation_time` is when the data set was packed, so it is no start of the session.
    return _known(institution=(content.get("institution") or {}).get("name"), session_id=content.get("name"))


def _from_acquisition(content: dict[str, Any]) -> dict[str, Any]:
    # Before version 2 this file described light-sheet microscopy, under other keys.
    return _known(
        session_start_time=content.get("acquisition_start_time"),
        experimenter=content.get("experimenters"),
        session_description=content.get("acquisition_type"),
    )


def _from_session(content: dict[str, Any]) -> dict[str, Any]:
    return _known(
        session_start_time=content.get("session_start_time"),
        experimenter=content.get("experimenter_full_name"),
        session_description=content.get("session_type"),
        protocol=content.get("iacuc_protocol"),
    )


def _from_subject(content: dict[str, Any]) -> dict[str, Any]:
    details = content.get("subject_details")  # from version 2 on
    details = details if isinstance(details, dict) else content
    sex, species = details.get("sex"), details.get("species")
    return _known(
        subject_id=content.get("subject_id"),
        sex=SEX.get(sex, "U") if sex else None,
        species=species.get("name") if isinstance(species, dict) else species,
        genotype=details.get("genotype"),
        date_of_birth=details.get("date_of_birth"),
    )


def _known(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}
