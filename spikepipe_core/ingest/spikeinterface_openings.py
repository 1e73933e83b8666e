"""What `spikeinterface_info` asks SpikeInterface to open, one opening a session, with its paths in the data folder.

`reader_kwargs` are checked before anything is opened: the names of arguments against those of the installed reader, the
paths against the rules for untrusted folders.
"""

from __future__ import annotations

import difflib
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from spikepipe_core.errors import BadDataError, NotAvailableError, ParamsError
from spikepipe_core.ingest.files import STORES, inside, relative
from spikepipe_core.ingest.naming import safe_key
from spikepipe_core.ingest.probes import ProbePaths
from spikepipe_core.ingest.spikeinterface_description import check_binary_files, check_openable
from spikepipe_core.params.job_dispatch import SpikeInterfaceInfo

__all__ = ["UNIVERSAL", "Opening", "openings", "reader_class", "reading_arguments"]

UNIVERSAL = "spikeinterface"
"""The `reader_type` of whatever SpikeInterface itself saved."""

_INFO = "job_dispatch.spikeinterface_info"
_ALIASES = {"openephys": "openephysbinary", "cbin_ibl": "compressedbinaryibl"}
_ALIASES |= dict.fromkeys(("binaryfolder", "binary_folder", "zarr"), UNIVERSAL)
# What a person may call the one path of a reader; parameters.txt of the AIND pipeline shows `folder`.
_PATH_ALIASES = ("path", "file", "folder", "file_path", "folder_path", "file_or_folder_or_dict")
_NO_PATHS = ("electrical_series_path", "timeseries_path")
_REFUSED = {
    "numpy": "holds its traces in memory",
    "ibl": "fetches its data over a network",
    "sinapsresearchplatform": "runs what its metadata file says as a program",
    "shybrid": "runs its probe file as a program",
}


@dataclass(frozen=True)
class Opening:
    """One call of a reader, before it is known which streams there are.

    Attributes
    ----------
    kwargs : dict
        JSON values; paths are relative to the data root.
    paths : tuple of str
        Keys of `kwargs` that hold a path, or a list of them.
    session : Path
        The session's folder; its name counts.
    probes : str, dict or None
        `probe_paths` of this session.
    base : Path
        What relative paths in the params were relative to.
    files : tuple of str
        Files and folders that decide what is found, relative to the data root.
    """

    reader_type: str
    kwargs: dict[str, Any]
    paths: tuple[str, ...]
    session: Path
    base: Path
    probes: ProbePaths = None
    files: tuple[str, ...] = ()


def openings(
    info: SpikeInterfaceInfo, folder: Path, root: Path
) -> tuple[list[Opening], list[tuple[str, str]]]:
    """One opening for each of `reader_kwargs`, and which of several cannot be, with the reason.

    Raises
    ------
    ParamsError
        The params name an unknown reader or argument, or lists of them do not fit together.
    BadDataError
        The only path does not exist or leads out of the data folder.
    NotAvailableError
        The reader is not used on data folders.
    """
    reader_type = _known_reader(info.reader_type)
    given = info.reader_kwargs if isinstance(info.reader_kwargs, list) else [info.reader_kwargs]
    names = [info.session_names] if isinstance(info.session_names, str) else info.session_names
    probes = info.probe_paths if isinstance(info.probe_paths, list) else [info.probe_paths] * len(given)
    for key, values in (("session_names", names), ("probe_paths", probes)):
        if values is not None and len(values) != len(given):
            raise ParamsError(
                f"{_INFO}.{key} has {len(values)} entries for {len(given)} of reader_kwargs. Give one for each."
            )
    opened: list[Opening] = []
    failed: list[tuple[str, str]] = []
    for index, (kwargs, probe) in enumerate(zip(given, probes, strict=True)):
        try:
            opening = _opening(reader_type, kwargs, probe, folder, root)
        except BadDataError as error:
            if len(given) == 1:
                raise
            failed.append((names[index] if names else f"reader_kwargs[{index}]", str(error)))
            continue
        session = root / safe_key(names[index]) if names else opening.session
        if names is None and len(given) == 1:
            session = _bare(folder)
        opened.append(replace(opening, session=session))
    return _told_apart(opened, root), failed


def _opening(
    reader_type: str, given: dict[str, Any] | None, probes: ProbePaths, folder: Path, root: Path
) -> Opening:
    base = folder if folder.is_dir() else folder.parent
    kwargs, paths = _located(reader_type, given, folder, base, root)
    first = next(iter(paths.values()))[0]
    return Opening(
        reader_type=reader_type,
        kwargs=kwargs,
        paths=tuple(paths),
        session=_bare(first),
        base=base,
        probes=probes,
        files=tuple(dict.fromkeys(file for values in paths.values() for file in _deciding(values, root))),
    )


def _bare(path: Path) -> Path:
    """A file or store without its ending; a folder as it is."""
    return path.with_suffix("") if path.is_file() or path.suffix in STORES else path


def _told_apart(opened: list[Opening], root: Path) -> list[Opening]:
    """Sessions whose files have the same name are numbered, as the AIND pipeline does."""
    counts = Counter(opening.session.name for opening in opened)
    return [
        opening if counts[opening.session.name] == 1 else replace(opening, session=root / f"session{index}")
        for index, opening in enumerate(opened)
    ]


def reading_arguments(
    reader_type: str, kwargs: Mapping[str, Any], paths: Iterable[str], root: Path
) -> dict[str, Any]:
    """Keyword arguments as the reader takes them, with absolute paths that have been checked again."""
    absolute = dict(kwargs)
    for key in paths:
        values = kwargs[key] if isinstance(kwargs[key], list) else [kwargs[key]]
        checked = [str(_checked(root / value, root, reader_type)) for value in values]
        absolute[key] = checked if isinstance(kwargs[key], list) else checked[0]
    return absolute


# --- readers ------------------------------------------------------------------------------------------------


@cache
def _readers() -> dict[str, Callable[..., Any]]:
    from spikeinterface.extractors.extractor_classes import recording_extractor_full_dict

    return dict(recording_extractor_full_dict)


def reader_class(reader_type: str) -> Callable[..., Any]:
    """SpikeInterface's class (or function) for a reader's name."""
    return _readers()[reader_type]


def _known_reader(asked: str) -> str:
    reader_type = _ALIASES.get(asked.lower(), asked.lower())
    if reader_type in _REFUSED:
        raise NotAvailableError(
            f"{_INFO}.reader_type = {asked!r}: this reader {_REFUSED[reader_type]}, which is not done with data "
            "folders. Save the recording with SpikeInterface (recording.save(format='zarr')) and give that."
        )
    if reader_type != UNIVERSAL and reader_type not in _readers():
        known = sorted({UNIVERSAL, *_readers()} - _REFUSED.keys())
        similar = difflib.get_close_matches(reader_type, known, 1)
        hint = f"Did you mean {similar[0]!r}?" if similar else f"There are {', '.join(known)}."
        raise ParamsError(f"{_INFO}.reader_type = {asked!r} is no reader of SpikeInterface. {hint}")
    return reader_type


def _signature(reader_type: str) -> Mapping[str, inspect.Parameter]:
    if reader_type == UNIVERSAL:
        kind = inspect.Parameter.KEYWORD_ONLY
        return {name: inspect.Parameter(name, kind) for name in ("file_or_folder_or_dict", "base_folder")}
    return inspect.signature(reader_class(reader_type)).parameters


def _path_arguments(reader_type: str) -> list[str]:
    return [name for name in _signature(reader_type) if _is_path(name)]


def _is_path(name: str) -> bool:
    named = name in ("base_folder", "file_or_folder_or_dict")
    return named or ("path" in name and name not in _NO_PATHS and "cache" not in name)


# --- arguments ----------------------------------------------------------------------------------------------


def _located(
    reader_type: str, given: dict[str, Any] | None, folder: Path, base: Path, root: Path
) -> tuple[dict[str, Any], dict[str, list[Path]]]:
    """Arguments with paths relative to the data root, and those paths."""
    kwargs = _named(reader_type, given or {})
    main = _path_arguments(reader_type)[0]
    if main not in kwargs:
        kwargs[main] = str(_default_path(reader_type, main, folder))
    paths: dict[str, list[Path]] = {}
    for name in [name for name in kwargs if _is_path(name)]:
        values = kwargs[name] if isinstance(kwargs[name], list) else [kwargs[name]]
        paths[name] = [_checked(base / _text(name, value), root, reader_type) for value in values]
        found = [relative(path, root) for path in paths[name]]
        kwargs[name] = found if isinstance(kwargs[name], list) else found[0]
    if reader_type == "binary":
        check_binary_files(reading_arguments(reader_type, kwargs, paths, root), root, base)
    if "install_maxwell_plugin" in _signature(reader_type):
        kwargs.setdefault("install_maxwell_plugin", False)  # would be fetched over a network
    return kwargs, paths


def _named(reader_type: str, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments under the names that the reader has for them."""
    known = _signature(reader_type)
    open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values())
    main = _path_arguments(reader_type)[0]
    kwargs = {}
    for name, value in given.items():
        if name not in known and name in _PATH_ALIASES and main not in given:
            name = main
        if name not in known and not open_ended:
            similar = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {similar[0]!r}?" if similar else f"it takes {', '.join(known)}."
            raise ParamsError(
                f"{_INFO}.reader_kwargs: the reader {reader_type!r} has no argument {name!r}; {hint}"
            )
        if name in ("storage_options", "stream_mode") and value:
            raise ParamsError(
                f"{_INFO}.reader_kwargs: {name} reads over a network; only data folders are read."
            )
        kwargs[name] = value
    return kwargs


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or "://" in value or "\0" in value:
        raise ParamsError(
            f"{_INFO}.reader_kwargs.{name} = {value!r} is no path. Give one, relative to the data folder."
        )
    return value


def _checked(path: Path, root: Path, reader_type: str) -> Path:
    """A path that may be opened. What SpikeInterface saved is looked at file by file when it is opened."""
    if reader_type == UNIVERSAL and path.is_dir():
        return inside(path, root)
    return check_openable(path, root)


def _default_path(reader_type: str, argument: str, folder: Path) -> Path:
    """The data folder, or the one file in it that the reader reads."""
    if folder.is_file() or "file_path" not in argument:
        return folder
    endings = _endings(reader_type)
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix.lower() in endings]
    if len(files) == 1:
        return files[0]
    found = f"{len(files)} files ({', '.join(path.name for path in files[:3])}, ...)" if files else "no file"
    raise BadDataError(
        f"The reader {reader_type!r} reads a file, and {folder} holds {found} of its format"
        f"{f' ({chr(44).join(sorted(endings))})' if endings else ''}. Name it in {_INFO}.reader_kwargs.{argument}; "
        "a list of reader_kwargs makes each file a session."
    )


def _endings(reader_type: str) -> set[str]:
    """File name endings of a reader's format, as Neo lists them."""
    import neo.rawio

    raw = getattr(neo.rawio, str(getattr(reader_class(reader_type), "NeoRawIOClass", None)), None)
    return {f".{ending.lower()}" for ending in getattr(raw, "extensions", ())}


# --- files -----------------------------------------------------------------------------------------------


def _deciding(paths: list[Path], root: Path) -> list[str]:
    """Files that decide what a reader finds at some paths: formats of several files have them side by side."""
    files: list[Path] = []
    for path in paths:
        files.append(path)
        if path.is_file():
            beside = sorted(other for other in path.parent.iterdir() if other.is_file() and other != path)
            files += [other for other in beside if other.stem == path.stem]
            if path.stem == "info":  # Intan's formats of one file a channel, or a signal type
                files += [other for other in beside if other.suffix == ".dat"]
    return [relative(path, root) for path in files]
