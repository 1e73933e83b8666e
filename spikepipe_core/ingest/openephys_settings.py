"""Which probe of Open Ephys' `settings.xml` a stream belongs to, and how that probe was set.

A stream's probe is found by the processor's id and the order of its streams and probes: names are what users made
them, and one may be part of another.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.files import inside, read_small
from spikepipe_core.ingest.openephys_files import Stream

if TYPE_CHECKING:
    from pathlib import Path

    from probeinterface import Probe

__all__ = ["ProbeSettings", "probe_settings"]

# From GUI 0.9 (1.0 alpha) on, plugins keep their own settings one level deeper.
_DEEPER_FROM = (0, 9)
_VERSION = re.compile(r"\d+\.\d+\b")
_ONIX = re.compile(r"NEUROPIXELSV\d\w*")
# Addresses of ONIX's hubs: https://open-ephys.github.io/onix1-bonsai-docs/
_ONIX_PORTS = {1: "PortA", 2: "PortB"}
_ADC = re.compile(r"\bADC\b")
_NAMES_AND_STATES = ("custom_probe_name", "isEnabled", "shank")


@dataclass(frozen=True)
class ProbeSettings:
    """What the settings say of one stream's probe.

    Attributes
    ----------
    part_number : str
        The model.
    xml : bytes
        Settings with this probe alone, which probeinterface can read.
    readout_channels : tuple of int
        Number of the readout channel of every electrode, in probeinterface's order. Older plugins leave out channels
        that are connected to none (the reference of Neuropixels 1.0).
    saved_channels : frozenset of int or None
        Channels of the stream that its Record Node was set to save; None if it says nothing about single ones.
    """

    part_number: str
    xml: bytes
    readout_channels: tuple[int, ...]
    saved_channels: frozenset[int] | None


def probe_settings(stream: Stream, root: Path) -> ProbeSettings:
    """Find the probe of a stream in the settings of its experiment.

    Raises
    ------
    BadDataError
        The settings are missing or damaged, or describe no probe for the stream.
    """
    root_element = _parse(stream.recording.settings, root)
    version = _version(root_element)
    source = _source(root_element, stream)
    described = _described_probe(source, stream, version)
    return ProbeSettings(
        part_number=_part_number(described.element),
        xml=_settings_of_one(source, described, version),
        readout_channels=_readout_channels(described.element),
        saved_channels=_saved_channels(root_element, stream),
    )


# --- settings.xml -------------------------------------------------------------------------------------------


def _parse(path: Path, root: Path) -> ET.Element:
    if not inside(path, root).is_file():
        raise BadDataError(
            f"{path} is missing. Copy it from the acquisition (that of another experiment may differ)."
        )
    text = read_small(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise BadDataError(f"{path} defines entities, which Open Ephys never does.")
    try:
        return _element(text)
    except ET.ParseError as error:
        raise BadDataError(
            f"{path} is no valid XML ({error}). Copy it again from the acquisition."
        ) from error


@lru_cache(maxsize=4)
def _element(text: str) -> ET.Element:
    """Parsed once for all streams of an experiment; nobody changes it."""
    return ET.fromstring(text)


def _version(root_element: ET.Element) -> str:
    text = (root_element.findtext("INFO/VERSION") or "").strip()
    if _VERSION.match(text) is None:
        raise BadDataError(f"the settings give {text!r} as the version of Open Ephys.")
    return text


def _is_deeper(version: str) -> bool:
    return tuple(int(part) for part in version.split(".")[:2]) >= _DEEPER_FROM


def _processors(root_element: ET.Element) -> list[ET.Element]:
    return [one for chain in root_element.findall("SIGNALCHAIN") for one in chain.findall("PROCESSOR")]


def _node_id(processor: ET.Element) -> str | None:
    return processor.get("nodeId") or processor.get("NodeId")


def _source(root_element: ET.Element, stream: Stream) -> ET.Element:
    """The processor that acquired the stream."""
    found = [one for one in _processors(root_element) if stream.processor_id == int(_node_id(one) or -1)]
    if len(found) != 1:
        known = [f"{one.get('name')} ({_node_id(one)})" for one in _processors(root_element)]
        raise BadDataError(
            f"the settings know no processor {stream.processor} ({stream.processor_id}), only {known}."
        )
    return found[0]


# --- which probe --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Described:
    """The element that describes a probe, and whether it lies one level deeper (GUI 1.0)."""

    element: ET.Element
    deeper: bool


def _described_probe(source: ET.Element, stream: Stream, version: str) -> _Described:
    deeper = _is_deeper(version)
    place = source.find("EDITOR/CUSTOM_PARAMETERS" if deeper else "EDITOR")
    onix = [one for one in place if _ONIX.fullmatch(one.tag)] if place is not None else []
    if onix:
        return _Described(_onix_probe(onix, stream), deeper)
    probes = place.findall("NP_PROBE") if place is not None else []
    if not probes:
        if any(True for _ in source.iter("NP_PROBE")):
            raise BadDataError(
                f"the settings say that they are of version {version}, but describe their probes as another version "
                "does: they were put together from two."
            )
        raise BadDataError(f"the settings describe no probe (NP_PROBE) of {source.get('name')}.")
    enabled = [probe for probe in probes if probe.get("isEnabled", "1") != "0"]
    return _Described(_np_probe(enabled, source, stream), deeper)


def _np_probe(probes: list[ET.Element], source: ET.Element, stream: Stream) -> ET.Element:
    """The probe at the place that its streams have among the processor's; else the one of exactly that name."""
    if stream.number is not None:
        by_number = [probe for probe in probes for _ in range(_num_bands(probe))]
        if stream.number < len(by_number):
            return by_number[stream.number]
        raise BadDataError(f"the settings describe {len(probes)} probes, none for stream {stream.number}.")
    names = dict.fromkeys(_base(one.get("name", "")) for one in source.findall("STREAM"))
    bases = [name for name in names if not _ADC.search(name)]
    if len(bases) == len(probes) and stream.base_name in bases:
        return probes[bases.index(stream.base_name)]
    named = [probe for probe in probes if stream.base_name in _names(probe)]
    if len(named) == 1:
        return named[0]
    known = [_names(probe)[0] for probe in probes]
    raise BadDataError(
        f"the settings describe the probes {known} and the streams {bases}, and do not say which probe is "
        f"{stream.base_name!r}."
    )


def _base(stream_name: str) -> str:
    return re.sub(r"-(AP|LFP)$", "", stream_name)


def _names(probe: ET.Element) -> list[str]:
    """Names that a probe's stream may have: its custom name or serial number, with the shank of a quad-base probe."""
    own = [
        probe.get(key)
        for key in ("custom_probe_name", "probe_serial_number", "probeSerialNumber")
        if probe.get(key)
    ]
    shank = probe.get("shank")
    suffix = "" if shank is None else f"-{int(shank) + 1}"
    return [f"{name}{suffix}" for name in own] or ["without a name"]


def _num_bands(probe: ET.Element) -> int:
    """Streams of a probe: two if it has an LFP band."""
    catalogue = _catalogue_probe(probe)
    return 2 if catalogue.annotations.get("lf_sample_frequency_hz") else 1


def _catalogue_probe(probe: ET.Element) -> Probe:
    from probeinterface.neuropixels_tools import build_neuropixels_probe

    part = _part_number(probe)
    try:
        return build_neuropixels_probe(part)
    except Exception as error:  # unknown part numbers fail in several ways
        raise BadDataError(f"the settings name the probe model {part!r}, which is not known.") from error


def _part_number(probe: ET.Element) -> str:
    return probe.get("probe_part_number") or probe.get("probePartNumber") or ""


def _onix_probe(devices: list[ET.Element], stream: Stream) -> ET.Element:
    """The probe of an ONIX headstage: by its port, then by its number (2.0) or name (1.0)."""
    enabled = [device for device in devices if device.get("isEnabled", "1") != "0"]
    here = [device for device in enabled if stream.base_name.startswith(f"{_port(device)}-")]
    probes: dict[str, ET.Element] = {}
    for device in here:
        nested = {child.tag.capitalize(): child for child in device if re.fullmatch(r"PROBE\d+", child.tag)}
        probes |= nested or {device.get("name", "Probe"): device}
    found = [element for name, element in probes.items() if stream.base_name.endswith(f"-{name}")]
    if len(found) != 1:
        raise BadDataError(
            f"the settings describe the probes {sorted(probes)} at its port, and do not say which is its own."
        )
    return found[0]


def _port(device: ET.Element) -> str:
    return _ONIX_PORTS.get(int(device.get("idx", "0")) >> 8, "")


# --- how it was set -----------------------------------------------------------------------------------------


def _readout_channels(probe: ET.Element) -> tuple[int, ...]:
    selected, channels = probe.find("SELECTED_ELECTRODES"), probe.find("CHANNELS")
    try:
        if selected is not None:
            return tuple(int(key.removeprefix("CH")) for key in selected.attrib)
        keys = [] if channels is None else list(channels.attrib)
        return tuple(sorted(int(key.removeprefix("CH").split("_")[0]) for key in keys))
    except ValueError as error:
        raise BadDataError(
            f"the settings number the channels of a probe in an unknown way ({error})."
        ) from error


def _saved_channels(root_element: ET.Element, stream: Stream) -> frozenset[int] | None:
    nodes = [one for one in _processors(root_element) if str(one.get("name")).endswith("Record Node")]
    own = [one for one in nodes if _node_id(one) == str(stream.node_id)] or (nodes if len(nodes) == 1 else [])
    states = [
        entry.get("recording_state", "")
        for node in own
        for entry in node.findall("CUSTOM_PARAMETERS/STREAM")
        if entry.get("name") == stream.name
        and entry.get("source_node_id", str(stream.processor_id)) == str(stream.processor_id)
    ]
    if len(states) != 1 or not re.fullmatch("[01]+", states[0]):
        return None
    return frozenset(channel for channel, state in enumerate(states[0]) if state == "1")


@lru_cache(maxsize=8)
def _settings_of_one(source: ET.Element, described: _Described, version: str) -> bytes:
    """Settings with one processor, one stream and one probe; the same for both bands of it."""
    is_onix = described.element.tag != "NP_PROBE"
    root = ET.Element("SETTINGS")
    ET.SubElement(ET.SubElement(root, "INFO"), "VERSION").text = version
    processor = ET.SubElement(
        ET.SubElement(root, "SIGNALCHAIN"),
        "PROCESSOR",
        {**source.attrib, "name": "ONIX Source" if is_onix else source.get("name", "")},
    )
    ET.SubElement(processor, "STREAM", {"name": "Probe"})
    place = ET.SubElement(processor, "EDITOR")
    if described.deeper:
        place = ET.SubElement(place, "CUSTOM_PARAMETERS")
    # An element of its own: a probe of a 2.0 headstage is described like one of a 1.0 headstage.
    tag = "NEUROPIXELSV1E" if is_onix else "NP_PROBE"
    kept = {key: value for key, value in described.element.attrib.items() if key not in _NAMES_AND_STATES}
    element = ET.SubElement(place, tag, kept)
    element.extend(list(described.element))
    return ET.tostring(root)
