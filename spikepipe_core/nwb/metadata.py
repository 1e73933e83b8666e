"""What is known about a session: when it was, its subject, who recorded it. Nothing is made up.

Four kinds of sources, weakest first; a stronger one overrides single fields of a weaker one:

1. when Open Ephys began to record (``sync_messages.txt``, else ``settings.xml``);
2. JSON of aind-data-schema beside the data (``data_description.json``, ``session.json`` or ``acquisition.json``,
   ``subject.json``);
3. the raw files: ``fileCreateTime`` of SpikeGLX, all session and subject fields of an NWB file;
4. ``spikepipe_nwb_metadata.json`` beside the data, written by a person, in NeuroConv's layout::

       {
         "NWBFile": {"session_start_time": "2024-05-01T14:03:00+02:00", "experimenter": ["Doe, Jane"]},
         "Subject": {"subject_id": "M1", "species": "Mus musculus", "sex": "F", "age": "P90D"}
       }

   Fields are those of NeuroConv's base metadata schema; unknown ones are errors.

"Beside the data" is any folder from the one that holds all raw files of the session up to the data folder; of two
``spikepipe_nwb_metadata.json``, the nearer one wins field by field, so one in the data folder can name the lab.

Time zones: NWB's times have one, and SpikeGLX's ``fileCreateTime`` has none. A time without a zone is taken for local
time of the machine that writes the file (its ``TZ`` variable or system setting), as PyNWB does, but not in silence: the
file's `notes` and `SessionMetadata.remarks` say so. Give `session_start_time` with its zone to settle it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.files import inside, read_small
from spikepipe_core.nwb.metadata_sources import Source, aind_source, openephys_source, raw_source

__all__ = ["METADATA_FILE", "NWB_SUFFIXES", "SessionMetadata", "read_session_metadata", "stable_identifier"]

METADATA_FILE = "spikepipe_nwb_metadata.json"
NWB_SUFFIXES = {"zarr": ".nwb.zarr", "hdf5": ".nwb"}
SECTIONS = ("NWBFile", "Subject")
DATES = ("session_start_time", "timestamps_reference_time", "date_of_birth")


@dataclass(frozen=True)
class SessionMetadata:
    """What goes into the head of a session's NWB file.

    Attributes
    ----------
    session_start_time : datetime
        With its time zone.
    identifier : str
        The same for the same data, so that a file that is written again is recognised.
    session_id : str
    nwbfile : mapping
        Further arguments of `pynwb.NWBFile`.
    subject : mapping or None
        Arguments of `pynwb.file.Subject`; None if nothing is known.
    remarks : tuple of str
        Where it comes from, and what was assumed.
    """

    session_start_time: datetime
    identifier: str
    session_id: str
    nwbfile: Mapping[str, Any] = field(default_factory=dict)
    subject: Mapping[str, Any] | None = None
    remarks: tuple[str, ...] = ()


def stable_identifier(session: str, versions: Mapping[str, str] | Sequence[str]) -> str:
    """An identifier (UUID) that follows from the session's key and the data versions of its inputs.

    Examples
    --------
    >>> stable_identifier("mouse_g0", ["v1"]) == stable_identifier("mouse_g0", ["v1"])
    True
    """
    parts = sorted(versions.items()) if isinstance(versions, Mapping) else list(versions)
    return str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(["spikepipe", session, parts])))


def read_session_metadata(
    session: str, raw_files: Sequence[Path], root: Path, *, identifier: str
) -> SessionMetadata:
    """Find what is known about a session.

    Parameters
    ----------
    session : str
        Key of the session.
    raw_files : sequence of Path
        Raw files (or folders) of the session's recording jobs, below `root`.
    root : Path
        The data folder.
    identifier : str
        Used unless the metadata file gives one; see `stable_identifier`.

    Raises
    ------
    BadDataError
        The session's start is not known, or a metadata file is not valid.
    """
    folders = _folders_beside(raw_files, root)
    sources = [
        openephys_source(raw_files, root),
        aind_source(folders, root),
        raw_source(raw_files, root),
        *_user_sources(folders, root),
    ]
    merged: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    remarks: list[str] = []
    for source in sources:
        for section in SECTIONS:
            merged[section].update(source.fields.get(section, {}))
        remarks += [f"metadata from {name}" for name in source.files]
    nwb, subject = merged["NWBFile"], merged["Subject"]
    if "session_start_time" not in nwb:
        raise BadDataError(
            f"The start of session {session} is not known: neither the raw files nor the metadata beside them say "
            f"it, and an NWB file must. Write it into {folders[0] / METADATA_FILE}, for example "
            '{"NWBFile": {"session_start_time": "2024-05-01T14:03:00+02:00"}}.'
        )
    assumed = _parse_dates(nwb, session) + _parse_dates(subject, session)
    if assumed:
        nwb["notes"] = " ".join(filter(None, [nwb.get("notes"), *assumed]))
    nwb.setdefault("session_description", f"Extracellular electrophysiology, session {session}.")
    return SessionMetadata(
        session_start_time=nwb.pop("session_start_time"),
        identifier=nwb.pop("identifier", identifier),
        session_id=nwb.pop("session_id", session),
        nwbfile=nwb,
        subject=subject or None,
        remarks=(*remarks, *assumed),
    )


def _folders_beside(raw_files: Sequence[Path], root: Path) -> list[Path]:
    """Folders from the one that holds all raw files up to the data folder."""
    root = root.resolve()
    base = root if root.is_dir() else root.parent
    holders = [path.resolve() if path.is_dir() else path.resolve().parent for path in raw_files]
    shared = holders[0] if holders else base
    while any(shared != holder and shared not in holder.parents for holder in holders):
        shared = shared.parent
    return [folder for folder in (shared, *shared.parents) if folder == base or base in folder.parents] or [
        base
    ]


def _user_sources(folders: list[Path], root: Path) -> list[Source]:
    """What people wrote, the nearest file last."""
    base = root if root.is_dir() else root.parent
    paths = [folder / METADATA_FILE for folder in reversed(folders)]
    return [Source(_user_fields(inside(path, base)), (path.name,)) for path in paths if path.is_file()]


def _user_fields(path: Path) -> dict[str, Any]:
    """Read and check a metadata file.

    Raises
    ------
    BadDataError
        It is no JSON, has unknown fields, or values of the wrong type.
    """
    import jsonschema

    text = read_small(path)
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise BadDataError(f"{path} is no valid JSON: {error}.") from error
    if not isinstance(fields, dict) or set(fields) - set(SECTIONS):
        raise BadDataError(
            f'{path} must hold an object with the keys "NWBFile" and "Subject" (either may be left out), as '
            "NeuroConv's metadata do."
        )
    try:
        jsonschema.validate(fields, _schema(), format_checker=jsonschema.FormatChecker())
    except jsonschema.ValidationError as error:
        where = ".".join(str(part) for part in error.absolute_path)
        raise BadDataError(f"{path}, at {where or 'its top'}: {error.message}. Correct it.") from error
    return fields


def _schema() -> dict[str, Any]:
    """NeuroConv's schema, without its demand for a start time, which may come from another source."""
    import neuroconv

    path = Path(neuroconv.__file__).parent / "schemas" / "base_metadata_schema.json"
    schema = json.loads(path.read_text())
    del schema["required"], schema["properties"]["NWBFile"]["required"]
    return schema


def _parse_dates(fields: dict[str, Any], session: str) -> list[str]:
    """Turn texts into times with a zone, in place; say in words which zones were assumed."""
    assumed = []
    for name in DATES:
        if name not in fields:
            continue
        try:
            time = datetime.fromisoformat(fields[name])
        except (TypeError, ValueError) as error:
            raise BadDataError(
                f"{name} of session {session} is {fields[name]!r}, which is no ISO 8601 time such as "
                "2024-05-01T14:03:00+02:00. Correct it in the file that gives it, or override it in "
                f"{METADATA_FILE}."
            ) from error
        if time.tzinfo is None:
            time = time.astimezone()  # the machine's own zone, with the summer time of that day
            if name != "date_of_birth":
                assumed.append(
                    f"{name} was recorded without a time zone; it was taken for local time of the processing machine "
                    f"({time.tzname()}, UTC{time:%z})."
                )
        fields[name] = time
    return assumed
