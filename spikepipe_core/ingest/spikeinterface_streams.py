"""The streams behind an opening: what a Neo reader lists in its header, or the one signal of any other reader."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikepipe_core.errors import BadDataError, NotAvailableError
from spikepipe_core.ingest.classification import MIN_SPIKE_HZ, StreamFacts
from spikepipe_core.ingest.files import relative
from spikepipe_core.ingest.spikeinterface_openings import (
    UNIVERSAL,
    Opening,
    reader_class,
    reading_arguments,
)
from spikepipe_core.ingest.spikeinterface_saved import find_saved, identify, open_saved, saved_files

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording

__all__ = ["Stream", "open_stream", "saved_streams", "streams_of"]

_VOLTS = frozenset({"V", "Volt", "Volts", "mV", "uV"})  # what SpikeInterface has a factor for


@dataclass(frozen=True)
class Stream:
    """One stream of an opening, in one block.

    Attributes
    ----------
    name : str
        As Neo gives it; a reader without streams: its own name.
    reader_type, kwargs, paths
        As in `Opening`, with what selects the stream.
    files : tuple of str
        What decides its signal, relative to the data root.
    """

    name: str
    reader_type: str
    kwargs: dict[str, Any]
    paths: tuple[str, ...]
    session: Path
    files: tuple[str, ...]
    facts: StreamFacts
    block: str = "block0"
    remarks: tuple[str, ...] = ()

    def source(self) -> dict[str, Any]:
        """What `open_stream` needs, as JSON values."""
        return {"reader_type": self.reader_type, "kwargs": self.kwargs, "paths": list(self.paths)}

    def with_geometry(self, has_geometry: bool) -> StreamFacts:
        """What is known of it when it has been opened."""
        return replace(self.facts, has_geometry=has_geometry)

    @property
    def is_fast(self) -> bool:
        """Whether it is fast enough for spikes, or may be."""
        rate = self.facts.sampling_frequency
        return rate is None or rate >= MIN_SPIKE_HZ

    @property
    def is_in_volts(self) -> bool:
        """Whether its channels are voltages, or may be."""
        return not self.facts.units or bool(_VOLTS & set(self.facts.units))


def open_stream(source: dict[str, Any], root: Path) -> BaseRecording:
    """Open one stream lazily, with all its segments.

    Raises
    ------
    BadDataError
        Its files are gone, damaged, or lead out of the data folder.
    NotAvailableError
        The reader needs a package that is not installed.
    """
    reader_type, kwargs = str(source["reader_type"]), dict(source["kwargs"])
    arguments = reading_arguments(reader_type, kwargs, source["paths"], root)
    if reader_type == UNIVERSAL:
        path = Path(arguments["file_or_folder_or_dict"])
        saved = identify(path, root)
        if saved is None:
            raise BadDataError(f"{path} is no recording that SpikeInterface saved any more. Put it back.")
        base = arguments.get("base_folder")
        return open_saved(saved, root, None if base is None else Path(base))[0]
    if reader_type in ("nwb", "nwbtimeseries") and Path(arguments["file_path"]).is_dir():
        raise BadDataError(
            f"{arguments['file_path']} is NWB in Zarr, from which SpikeInterface would load pickles. Read it with "
            "job_dispatch.input = 'nwb'."
        )
    with _without_warnings():
        return _call(reader_type, arguments)


def _call(reader_type: str, arguments: dict[str, Any]) -> Any:
    try:
        return reader_class(reader_type)(**arguments)
    except ImportError as error:
        raise _missing_package(reader_type, error) from error
    except AssertionError as error:
        if "install" in str(error).lower():  # SpikeInterface asserts that optional packages are there
            raise _missing_package(reader_type, error) from error
        raise


def _missing_package(reader_type: str, error: Exception) -> NotAvailableError:
    return NotAvailableError(
        f"SpikeInterface's reader {reader_type!r} needs a package that is not installed: {str(error).strip()}"
    )


def _without_warnings() -> Any:
    """Neo warns of much that is decided here by other means."""
    context = warnings.catch_warnings()
    warnings.simplefilter("default")
    return context


# --- recordings that SpikeInterface saved -------------------------------------------------------------------


def saved_streams(opening: Opening, root: Path) -> tuple[list[Stream], list[tuple[Path, str]]]:
    """Every saved recording at the path of an opening, and what was passed over with the reason."""
    place = root / opening.kwargs["file_or_folder_or_dict"]
    base_name = opening.kwargs.get("base_folder")
    base = None if base_name is None else root / base_name
    found, passed_over = find_saved(place, root)
    streams = []
    for saved in found:
        try:
            recording, remarks = open_saved(saved, root, base)
            files = saved_files(saved, root, base)
        except (BadDataError, NotAvailableError) as error:
            if len(found) == 1:
                raise
            passed_over.append((saved.path, str(error)))
            continue
        kwargs = {**opening.kwargs, "file_or_folder_or_dict": relative(saved.path, root)}
        alone = saved.path == place or opening.session != place
        streams.append(
            Stream(
                name=saved.name,
                reader_type=UNIVERSAL,
                kwargs=kwargs,
                paths=opening.paths,
                session=opening.session if alone else saved.path.parent,
                files=files,
                facts=_facts(saved.name, recording),
                remarks=remarks,
            )
        )
    return streams, passed_over


def _facts(name: str, recording: BaseRecording) -> StreamFacts:
    return StreamFacts(
        name=name,
        channel_names=tuple(str(one) for one in recording.channel_ids),
        sampling_frequency=float(recording.get_sampling_frequency()),
    )


# --- other readers ------------------------------------------------------------------------------------------


def streams_of(opening: Opening, root: Path) -> list[Stream]:
    """Every stream of every block that the reader lists.

    Raises
    ------
    BadDataError
        There are none, or `reader_kwargs` select one that there is not.
    """
    reader = reader_class(opening.reader_type)
    if getattr(reader, "NeoRawIOClass", None) is None:
        return [_only_stream(opening, root)]
    arguments = reading_arguments(opening.reader_type, opening.kwargs, opening.paths, root)
    with _without_warnings():
        try:
            raw = _raw_reader(reader, arguments)
        except ImportError as error:
            raise _missing_package(opening.reader_type, error) from error
    streams = _listed(opening, raw, inspect.signature(reader).parameters)
    if not streams:
        asked = {key: opening.kwargs[key] for key in _SELECTING if key in opening.kwargs}
        raise BadDataError(
            f"{', '.join(opening.files[:1])} holds no stream{f' with {asked}' if asked else ''}. It has "
            f"{[str(one['name']) for one in raw.header['signal_streams']]}."
        )
    return streams


_SELECTING = ("stream_name", "stream_id", "block_index")


def _raw_reader(reader: Any, arguments: dict[str, Any]) -> Any:
    """Neo's reader with its header read."""
    taken = inspect.signature(reader.map_to_neo_kwargs).parameters
    mapped = reader.map_to_neo_kwargs(**{key: value for key, value in arguments.items() if key in taken})
    return reader.get_neo_io_reader(reader.NeoRawIOClass, **mapped)


def _listed(opening: Opening, raw: Any, known: Any) -> list[Stream]:
    channels = raw.header["signal_channels"]
    streams = []
    for block in range(raw.block_count()):
        for stream in raw.header["signal_streams"]:
            name, identity = str(stream["name"]), str(stream["id"])
            asked = {"stream_name": name, "stream_id": identity, "block_index": block}
            if any(str(opening.kwargs.get(key, value)) != str(value) for key, value in asked.items()):
                continue
            of_stream = channels[channels["stream_id"] == stream["id"]]
            kwargs = {key: value for key, value in opening.kwargs.items() if key not in _SELECTING}
            kwargs["stream_id"] = identity
            if "block_index" in known and raw.block_count() > 1:
                kwargs["block_index"] = block
            streams.append(
                Stream(
                    name=name,
                    reader_type=opening.reader_type,
                    kwargs=kwargs,
                    paths=opening.paths,
                    session=opening.session,
                    files=opening.files,
                    facts=StreamFacts(
                        name=name,
                        channel_names=tuple(str(one) for one in of_stream["name"]),
                        sampling_frequency=float(of_stream["sampling_rate"][0]) if len(of_stream) else None,
                        units=tuple(sorted({str(one) for one in of_stream["units"]})),
                    ),
                    block=f"block{block}",
                )
            )
    return streams


def _only_stream(opening: Opening, root: Path) -> Stream:
    """The signal of a reader without streams, under the reader's name."""
    stream = Stream(
        name=opening.reader_type,
        reader_type=opening.reader_type,
        kwargs=opening.kwargs,
        paths=opening.paths,
        session=opening.session,
        files=opening.files,
        facts=StreamFacts(name=opening.reader_type),
    )
    return replace(stream, facts=_facts(opening.reader_type, open_stream(stream.source(), root)))
