"""Descriptions of recordings that SpikeInterface wrote (JSON), made safe before anything of them is opened.

Such a description names Python classes and what they are called with, so loading one runs whatever it names. Only
classes that read or reshape a recording are let through, only paths inside the data folder, and no addresses on a
network. Folders that SpikeInterface saved are read here too, because it would load pickles from them: they become
descriptions of the binary files in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.files import check_tree, inside, read_json_object, regular_file
from spikepipe_core.ingest.hdf5_files import refuse_links_out
from spikepipe_core.ingest.zarr_stores import check_codecs, refuse_links

__all__ = [
    "binary_folder",
    "check_binary_files",
    "check_openable",
    "description_paths",
    "is_description",
    "safe_description",
]

# Modules whose import runs nothing but SpikeInterface and this package.
_MODULES = re.compile(r"(spikeinterface|spikepipe_core\.ingest)(\.\w+)+")
_CORE = frozenset(
    {"BinaryRecordingExtractor", "BinaryFolderRecording", "ZarrRecordingExtractor", "ChannelSliceRecording"}
    | {
        "ChannelsAggregationRecording",
        "FrameSliceRecording",
        "AppendSegmentRecording",
        "SelectSegmentRecording",
    }
    | {"ConcatenateSegmentRecording", "ClippedRecording", "RegularTimesRecording", "TimedBinaryRecording"}
)
# Not DeepInterpolatedRecording: it loads a model, which is code.
_PREPROCESSING = frozenset(
    {
        "AstypeRecording",
        "AverageAcrossDirectionRecording",
        "BandpassFilterRecording",
        "BlankSaturationRecording",
    }
    | {
        "CenterRecording",
        "ClipRecording",
        "CommonReferenceRecording",
        "DecimateRecording",
        "DepthOrderRecording",
    }
    | {
        "DirectionalDerivativeRecording",
        "FilterRecording",
        "GaussianFilterRecording",
        "HighpassFilterRecording",
    }
    | {"HighpassSpatialFilterRecording", "InterpolateBadChannelsRecording", "NormalizeByQuantileRecording"}
    | {"NotchFilterRecording", "PhaseShiftRecording", "RectifyRecording", "RemoveArtifactsRecording"}
    | {"ResampleRecording", "ScaleRecording", "ScaleToPhysicalUnits", "SilencedPeriodsRecording"}
    | {"UnsignedToSignedRecording", "WhitenRecording", "ZScoreRecording", "ZeroChannelPaddedRecording"}
)
_EXTRACTORS = frozenset(
    {
        "AlphaOmega",
        "Axon",
        "Axona",
        "Biocam",
        "Blackrock",
        "Ced",
        "EDF",
        "Intan",
        "IntanSplitFiles",
        "MCSRaw",
        "Mda",
    }
    | {"Maxwell", "MCSH5", "Neuralynx", "NeuroExplorer", "NeuroNexus", "NeuroScope", "Nix", "Nwb"}
    | {"OpenEphysBinary", "OpenEphysLegacy", "Plexon", "Plexon2", "SinapsResearchPlatformH5", "Spike2"}
    | {"SpikeGLX", "SpikeGadgets", "Tdt", "WhiteMatter"}
)
_CLASSES = _CORE | _PREPROCESSING | {f"{name}RecordingExtractor" for name in _EXTRACTORS}
_CLASSES |= {"CompressedBinaryIblExtractor", "ScaleToPhysicalUnitsRecording"}

_NO_PATHS = ("electrical_series_path", "timeseries_path")  # of what is inside a file
# Keyword arguments that make an extractor fetch something over a network.
_REMOTE = ("storage_options", "stream_mode", "stream_cache_path", "file")
# Four Neuropixels 2.0 Quad-base probes have 6144 channels, the largest chips 26,400.
MAX_CHANNELS = 100_000


def is_description(content: dict[str, Any]) -> bool:
    """Whether a JSON object is what SpikeInterface writes of a recording."""
    return all(key in content for key in ("class", "kwargs", "version", "annotations"))


def safe_description(content: dict[str, Any], base: Path, root: Path, origin: Path) -> dict[str, Any]:
    """A description with absolute paths that can be handed to SpikeInterface.

    Parameters
    ----------
    content : dict
        As read from JSON.
    base : Path
        What relative paths in it are relative to.
    root : Path
        The data root.
    origin : Path
        The file that it was read from, for messages.

    Raises
    ------
    BadDataError
        It names a class that is not let through, a path that leads out of the data folder, or a network address.
    """
    relative = bool(content.get("relative_paths"))
    try:
        return _safe(content, base if relative else None, root, origin)
    except RecursionError as error:
        raise BadDataError(f"{origin} is nested too deeply. Write it again.") from error


def description_paths(content: Any) -> Iterator[str]:
    """All paths in a safe description."""
    if isinstance(content, list):
        for item in content:
            yield from description_paths(item)
    elif isinstance(content, dict):
        for key, value in content.items():
            if "path" in key and key not in _NO_PATHS and isinstance(value, str | list):
                yield from [value] if isinstance(value, str) else [v for v in value if isinstance(v, str)]
            else:
                yield from description_paths(value)


def check_openable(path: Path, root: Path) -> Path:
    """Return the path of a file or folder if a library may open it.

    Raises
    ------
    BadDataError
        It is missing, leads out of the data folder, or holds what does: links, HDF5 files that point to others; or it
        holds pipes or devices.
    """
    inside(path, root)
    if path.is_dir():
        check_tree(path, root)
    else:
        refuse_links_out(regular_file(path, root), root)
    return path


# --- descriptions -------------------------------------------------------------------------------------------


def _safe(content: dict[str, Any], base: Path | None, root: Path, origin: Path) -> dict[str, Any]:
    name = _known_class(content, origin)
    kwargs = content.get("kwargs")
    if not isinstance(kwargs, dict):
        raise BadDataError(f"{origin} holds a description without keyword arguments. Write it again.")
    checked = {key: _safe_value(key, value, base, root, origin) for key, value in kwargs.items()}
    if name == "BinaryFolderRecording":
        return binary_folder(Path(checked["folder_path"]), root)[0]
    if name == "ZarrRecordingExtractor":
        store = Path(checked["folder_path"])
        refuse_links(store)
        check_codecs(store, root)
    if name in ("BinaryRecordingExtractor", "TimedBinaryRecording"):
        check_binary_files(checked, root, origin)
    if name.endswith("RecordingExtractor") and name not in _CORE:
        for path in description_paths(checked):
            check_openable(Path(path), root)
    if name == "MaxwellRecordingExtractor":
        checked["install_maxwell_plugin"] = False  # would be fetched over the network
    return {
        **content,
        "kwargs": checked,
        "annotations": content.get("annotations") or {},
        "properties": content.get("properties") or {},
        "relative_paths": False,
    }


def _known_class(content: dict[str, Any], origin: Path) -> str:
    described = str(content.get("class"))
    module, _, name = described.rpartition(".")
    if name not in _CLASSES or not _MODULES.fullmatch(module):
        raise BadDataError(
            f"{origin} describes a {described!r}, which is not opened from data folders: it could run what the file "
            "says. Save the recording itself (recording.save(format='zarr')) and give that."
        )
    return name


def _safe_value(key: str, value: Any, base: Path | None, root: Path, origin: Path) -> Any:
    if key in _REMOTE and value:
        raise BadDataError(f"{origin} asks for {key}={value!r}: data on a network are not read. Copy them.")
    if key in ("num_channels", "num_chan") and value is not None:
        _check_channels(value, origin)
    if isinstance(value, list):
        return [_safe_value(key, item, base, root, origin) for item in value]
    if isinstance(value, dict):
        if "class" in value and "kwargs" in value:
            return _safe(value, base, root, origin)
        return {name: _safe_value(name, item, base, root, origin) for name, item in value.items()}
    if isinstance(value, str):
        return _safe_text(key, value, base, root, origin)
    return value


def _safe_text(key: str, text: str, base: Path | None, root: Path, origin: Path) -> str:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text):
        raise BadDataError(f"{origin} points to {text!r}: data on a network are not read. Copy them.")
    if "path" not in key or key in _NO_PATHS:
        if ".." in Path(text).parts:  # names of files beside others, such as `raw_fname`
            raise BadDataError(f"{origin}: {key}={text!r} leads out of its folder. Correct it.")
        if Path(text).is_absolute():
            inside(Path(text), root)
        return text
    if base is None and not Path(text).is_absolute():
        raise BadDataError(
            f"{origin}: the path {text!r} says not what it is relative to. Write the description with "
            "recording.dump_to_json(file, relative_to=folder of the file)."
        )
    path = Path(text) if base is None else base / text
    return str(inside(path, root))


def _check_channels(value: Any, origin: Path) -> None:
    if not isinstance(value, int) or not 0 < value <= MAX_CHANNELS:
        raise BadDataError(f"{origin}: {value!r} is no number of channels. Correct it.")


# --- folders that SpikeInterface saved ----------------------------------------------------------------------


def binary_folder(folder: Path, root: Path) -> tuple[dict[str, Any], list[str]]:
    """Description of the binary files in a folder that ``recording.save(folder=...)`` wrote.

    SpikeInterface writes properties that are no numbers or plain text as pickles. They are never loaded: such
    properties are left out.

    Returns
    -------
    description : dict
    left_out : list of str
        Names of properties that are pickles.

    Raises
    ------
    BadDataError
        A file is missing, damaged, or leads out of the data folder.
    """
    file = folder / "binary.json"
    content = read_json_object(file, root)
    if str(content.get("class")).rpartition(".")[2] not in (
        "BinaryRecordingExtractor",
        "BinDatRecordingExtractor",
    ) or not content.get("relative_paths"):
        raise BadDataError(f"{file} does not describe binary files beside it. Save the recording again.")
    given = content.get("kwargs")
    if not isinstance(given, dict):
        raise BadDataError(f"{file} describes no files. Save the recording again.")
    kwargs = {key: _safe_value(key, value, folder, root, file) for key, value in given.items()}
    if "num_chan" in kwargs:  # before SpikeInterface 0.98
        kwargs["num_channels"] = kwargs.pop("num_chan")
    check_binary_files(kwargs, root, file)
    properties, left_out = _properties(folder / "properties", root, kwargs["num_channels"])
    probe, annotations = _probe_and_annotations(folder, root)
    described = {
        **_as_timed(kwargs, folder, root),
        "version": content.get("version", ""),
        "module": "spikeinterface",
        "annotations": annotations,
        "properties": properties,
        "relative_paths": False,
    }
    return ({**described, "probegroup": probe} if probe else described), left_out


def check_binary_files(kwargs: dict[str, Any], root: Path, origin: Path) -> None:
    """Make sure that binary files hold whole frames, and as many times as samples.

    Raises
    ------
    BadDataError
        They do not, or the description does not say how the files are laid out.
    """
    try:
        channels, dtype = kwargs["num_channels"], np.dtype(kwargs["dtype"])
        _check_channels(channels, origin)
        rate, offset = float(kwargs["sampling_frequency"]), int(kwargs.get("file_offset") or 0)
        files = kwargs["file_paths"]
    except (KeyError, TypeError, ValueError) as error:
        raise BadDataError(f"{origin} does not say how the samples lie ({error!r}). Correct it.") from error
    if dtype.kind not in "iuf" or not np.isfinite(rate) or rate <= 0 or offset < 0:
        raise BadDataError(f"{origin}: dtype={dtype}, sampling_frequency={rate:g} cannot be. Correct it.")
    frame = channels * dtype.itemsize
    ids = kwargs.get("channel_ids")
    if ids is not None and len(ids) != channels:
        raise BadDataError(f"{origin} names {len(ids)} channels of {channels}. Correct channel_ids.")
    times = kwargs.get("file_timestamps_paths")
    files = [files] if isinstance(files, str) else files
    times = [times] if isinstance(times, str) else times or [None] * len(files)
    for name, time_file in zip(files, times, strict=True):
        size = regular_file(Path(name), root).stat().st_size - offset
        if size <= 0 or size % frame:
            raise BadDataError(
                f"{name} has {size} bytes of samples, which are no whole frames of {frame} bytes ({channels} channels "
                f"of {dtype}). Copy it again, or correct the number of channels and the type."
            )
        if time_file is not None and regular_file(Path(time_file), root).stat().st_size < 8 * (size // frame):
            raise BadDataError(f"{time_file} holds fewer times than {name} has samples. Copy it again.")


def _properties(folder: Path, root: Path, channels: int) -> tuple[dict[str, np.ndarray], list[str]]:
    found, left_out = {}, []
    for file in sorted(folder.glob("*.npy")) if folder.is_dir() else ():
        if file.stem == "contact_vector":
            continue
        try:
            values = np.lib.format.open_memmap(regular_file(file, root), mode="r")
        except ValueError as error:
            if "Array can't be memory-mapped" in str(error):  # holds Python objects
                left_out.append(file.stem)
                continue
            raise BadDataError(f"{file} is no NumPy file ({error}). Copy it again.") from error
        if len(values) != channels:
            raise BadDataError(f"{file} has {len(values)} values for {channels} channels. Copy it again.")
        found[file.stem] = np.array(values)
    return found, left_out


def _probe_and_annotations(folder: Path, root: Path) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    older = folder / "si_folder.json"  # annotations lay there before SpikeInterface 0.105
    said = read_json_object(older, root) if older.exists() else {}
    annotations = said.get("annotations") or {}
    if (folder / "annotations.json").exists():
        annotations = read_json_object(folder / "annotations.json", root)
    infos = annotations.pop("probes_info", [])
    if (folder / "probegroup.json").exists():
        return read_json_object(folder / "probegroup.json", root), annotations
    if not (folder / "probe.json").exists():
        return None, annotations
    return _older_probe(read_json_object(folder / "probe.json", root), infos, folder), annotations


def _older_probe(content: dict[str, Any], infos: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Contacts in the order of the channels, which before SpikeInterface 0.105 was kept elsewhere."""
    from probeinterface import ProbeGroup

    try:
        group = ProbeGroup.from_dict(content)
        wired = group.get_global_device_channel_indices()["device_channel_indices"]
        ordered = group.get_slice(np.argsort(wired))
        for probe, info in zip(ordered.probes, infos, strict=False):
            probe.annotations.update(info)
    except Exception as error:  # the parser fails in many ways on what it does not know
        raise BadDataError(
            f"{folder / 'probe.json'} is no geometry of ProbeInterface ({error}). Copy it again."
        ) from error
    return ordered.to_dict(array_as_list=True)


def _as_timed(kwargs: dict[str, Any], folder: Path, root: Path) -> dict[str, Any]:
    """The class that reads the files, with times in `.npy` files if there are any (before SpikeInterface 0.105)."""
    times = [folder / f"times_cached_seg{index}.npy" for index in range(len(kwargs["file_paths"]))]
    if not all(path.exists() for path in times):
        return {
            "class": "spikeinterface.core.binaryrecordingextractor.BinaryRecordingExtractor",
            "kwargs": kwargs,
        }
    binary = {key: value for key, value in kwargs.items() if key != "file_timestamps_paths"}
    return {
        "class": "spikepipe_core.ingest.openephys_recording.TimedBinaryRecording",
        "kwargs": {**binary, "time_paths": [str(regular_file(path, root)) for path in times]},
    }
