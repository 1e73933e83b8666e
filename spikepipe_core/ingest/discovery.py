"""Discovery: what a data folder holds, folder by folder, as recording jobs and as what is left aside.

The format is the one that the params ask for, or the first that the folder is recognised as. What a reader finds in
one folder never stops another: a session folder that cannot be read is reported as such.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spikepipe_core.errors import BadDataError, SpikepipeError
from spikepipe_core.ingest.base import Found
from spikepipe_core.ingest.files import outside_allowed, relative, undecodable_names
from spikepipe_core.ingest.hints import reader_hint
from spikepipe_core.ingest.jobs import (
    Discovery,
    IgnoredStream,
    UnreadableFolder,
    assign_sessions,
    build_jobs,
    set_twins_aside,
)
from spikepipe_core.ingest.levels import data_root
from spikepipe_core.ingest.registry import READERS, get_reader

if TYPE_CHECKING:
    from spikepipe_core.params import JobDispatchParams

__all__ = ["NotRecognisedError", "discover", "discover_session", "recognised", "session_members"]


def discover(data: Path, params: JobDispatchParams) -> Discovery:
    """Find every recording job of a data folder.

    Parameters
    ----------
    data : Path
        A run folder, its parent, a probe folder or, where the format is one file, that file.
    params : JobDispatchParams
        `input` left out means that the format is detected; with `multi_session` each sub-folder is a session.

    Returns
    -------
    Discovery
        Jobs that cannot be opened are in it, with their `problem`.

    Raises
    ------
    BadDataError
        The folder does not exist, or holds no recording that the readers know.
    NotAvailableError
        The params ask for a reader that this version does not have.
    """
    data = Path(data)
    if not data.exists():
        raise BadDataError(f"{data} does not exist. Give the folder with the raw data.")
    data = data.resolve()
    with outside_allowed(params.allow_paths_outside_data):
        return _discover(data, params)


def _discover(data: Path, params: JobDispatchParams) -> Discovery:
    wanted = _wanted_reader(params)
    if not params.multi_session or _lists_sessions(params):
        found = _discover_one(data, data_root(data), params, wanted, None)
    else:
        found = _discover_sessions(data if data.is_dir() else data.parent, params, wanted)
    return _without_twins(found, params)


def discover_session(path: Path, root: Path, params: JobDispatchParams) -> Discovery:
    """Find every recording job of one member of a folder of sessions, named after it. See `discover`.

    Parameters
    ----------
    path : Path
        One of `session_members(root)`.
    root : Path
        What the paths in the jobs are relative to.
    """
    if path.is_symlink() and not params.allow_paths_outside_data:
        raise BadDataError(
            f"{path} is a symbolic link. Put the data themselves below {root}, or set "
            "job_dispatch.allow_paths_outside_data."
        )
    wanted = _wanted_reader(params)
    with outside_allowed(params.allow_paths_outside_data):
        return _without_twins(_discover_one(path, root, params, wanted, _session_name(path)), params)


def _without_twins(found: Discovery, params: JobDispatchParams) -> Discovery:
    jobs, twins = set_twins_aside(found.jobs)
    if twins and not jobs:
        raise BadDataError("\n".join(one.reason for one in twins))
    if params.allow_paths_outside_data:
        jobs = tuple(job.model_copy(update={"outside_allowed": True}) for job in jobs)
    return found.model_copy(update={"jobs": jobs, "unreadable": (*found.unreadable, *twins)})


def _lists_sessions(params: JobDispatchParams) -> bool:
    """Whether the params themselves say which sessions there are, so that sub-folders are none."""
    info = params.spikeinterface_info
    return params.input == "spikeinterface" and info is not None and isinstance(info.reader_kwargs, list)


def _wanted_reader(params: JobDispatchParams) -> str | None:
    """The reader that the params ask for; None if the format is to be detected."""
    wanted = params.input if "input" in params.model_fields_set else None
    if wanted is not None:
        get_reader(wanted)
    return wanted


def _discover_one(
    data: Path, root: Path, params: JobDispatchParams, wanted: str | None, session_folder: str | None
) -> Discovery:
    """Discover the session or sessions of one folder, all of one format."""
    name, why = (wanted, "asked for by job_dispatch.input") if wanted else _detect(data)
    found = _find(name, data, root, params)
    found = Found(found.streams, (*found.ignored, *_unnameable(data)))
    if not found.streams:
        raise BadDataError(_nothing_found(name, data, wanted, found))
    jobs = build_jobs(
        name,
        found.streams,
        split_segments=params.split_segments,
        split_groups=params.split_groups,
        session_folder=session_folder,
    )
    ignored = (*found.ignored, *_other_formats(data, root, name, found))
    return Discovery(
        data_root=root,
        readers={name: why},
        jobs=tuple(jobs),
        ignored=assign_sessions(ignored, found.streams, root, session_folder),
    )


def _nothing_found(name: str, data: Path, wanted: str | None, found: Found) -> str:
    aside = "".join(f"\n  {stream.stream}: {stream.reason}" for stream in found.ignored)
    other = recognised(data) if wanted else None
    hint = "" if other is None or other[0] == name else f" It looks like {other[0]} ({other[1]})."
    return (
        f"{data} holds no recording that the {name} reader could process.{hint} Give the folder with the raw "
        f"data, or the right job_dispatch.input.{' Not processed:' if aside else ''}{aside}"
    )


def _other_formats(data: Path, root: Path, name: str, found: Found) -> list[IgnoredStream]:
    """Sub-folders that the reader found nothing in, and that are of another format."""
    files = [file for stream in found.streams for segment in stream.segments for file in segment.files]
    seen = {root / file for file in (*files, *(one.folder or one.stream for one in found.ignored))}
    touched = seen.union(*(path.parents for path in seen))
    ignored = []
    for path in session_members(data) if data.is_dir() else ():
        other = None if path in touched or path.is_symlink() else recognised(path)
        if other is not None and other[0] != name:
            reason = f"{other[0]} data ({other[1]}), while the folder was read as {name}: process this folder by itself"
            ignored.append(IgnoredStream(stream=relative(path, root), reason=reason))
    return ignored


def _unnameable(data: Path) -> list[IgnoredStream]:
    """Files and folders whose names are no text: readers do not see them."""
    return [
        IgnoredStream(stream=name, reason="its name is not text in UTF-8; rename it to have it looked at")
        for name in (undecodable_names(data) if data.is_dir() else ())
    ]


def _find(name: str, data: Path, root: Path, params: JobDispatchParams) -> Found:
    with _as_bad_data(data, name):
        return get_reader(name).find(data, root, params)


def _detect(data: Path) -> tuple[str, str]:
    found = recognised(data)
    if found is None and data.is_file() and (around := recognised(data.parent)):
        raise NotRecognisedError(f"{data} is one file of {around[0]} data. Give the folder that it lies in.")
    if found is None:
        raise NotRecognisedError(
            f"{data} is in none of the formats that this version recognises ({', '.join(READERS)}). Give the "
            f"folder with the raw data, or name its format in job_dispatch.input.{reader_hint(data)}"
        )
    return found


def recognised(data: Path) -> tuple[str, str] | None:
    """The first format that a folder is recognised as, and how; None if it is none."""
    for name in READERS:
        with _as_bad_data(data, name):
            why = get_reader(name).detect(data)
        if why is not None:
            return name, why
    return None


@contextmanager
def _as_bad_data(data: Path, reader: str) -> Iterator[None]:
    """Whatever goes wrong in the libraries below a reader is an error of the data, and said as such."""
    try:
        yield
    except (SpikepipeError, MemoryError):
        raise
    except PermissionError as error:
        raise BadDataError(f"{data} may not be read ({error}). Correct its permissions.") from error
    except OSError:
        raise
    except Exception as error:  # Neo, HDF5 and their like fail in many ways on what they do not know
        raise BadDataError(
            f"{data} cannot be read with the {reader} reader ({type(error).__name__}: {error}). Check that it is "
            "complete and as the acquisition wrote it."
        ) from error


class NotRecognisedError(BadDataError):
    """A folder that holds no recording, as far as can be seen."""


def _discover_sessions(root: Path, params: JobDispatchParams, wanted: str | None) -> Discovery:
    """Discover every sub-folder as a session of its own; one that cannot be read does not stop the others."""
    found: list[Discovery] = []
    ignored: list[IgnoredStream] = []
    unreadable: list[UnreadableFolder] = []
    for path in session_members(root):
        if path.is_symlink() and not params.allow_paths_outside_data:
            reason = "a symbolic link (followed only if job_dispatch.allow_paths_outside_data is set)"
            ignored.append(IgnoredStream(stream=path.name, reason=reason, folder=path.name))
            continue
        try:
            found.append(_discover_one(path, root, params, wanted, _session_name(path)))
        except NotRecognisedError:
            reason = f"in none of the formats that are recognised ({', '.join(READERS)}).{reader_hint(path)}"
            ignored.append(IgnoredStream(stream=path.name, reason=reason, folder=path.name))
        except (BadDataError, OSError) as error:
            unreadable.append(UnreadableFolder(folder=path.name, reason=str(error)))
    if not found:
        reasons = [f"{stream.stream}: {stream.reason}" for stream in ignored]
        reasons += [f"{one.folder}: {one.reason}" for one in unreadable]
        raise BadDataError(
            f"No sub-folder of {root} holds a recording (job_dispatch.multi_session)."
            + "".join(f"\n  {reason}" for reason in reasons)
        )
    return Discovery(
        data_root=root,
        readers={name: why for one in found for name, why in one.readers.items()},
        jobs=tuple(job for one in found for job in one.jobs),
        ignored=tuple(ignored) + tuple(stream for one in found for stream in one.ignored),
        unreadable=tuple(unreadable),
    )


def session_members(root: Path) -> list[Path]:
    """What may be a session in a folder of sessions, by name: sub-folders, and NWB files. None is looked into."""
    with os.scandir(root) as entries:
        names = [
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and (entry.name.endswith(".nwb") or _is_folder(entry))
        ]
    return [root / name for name in sorted(names)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False


def _session_name(path: Path) -> str:
    return path.stem if path.is_file() else path.name
