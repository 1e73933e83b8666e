"""Writing the simulated session as Open Ephys does, with two streams a probe and the sync line as TTL events.

Files: https://open-ephys.github.io/gui-docs/User-Manual/Data-formats/Binary-format.html; `settings.xml` as of GUI 0.6
with the Neuropix-PXI plugin 0.6. What would name an instrument is left out, because there is none.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from spikepipe_core.demo.source import CHUNK_SAMPLES, DemoProbe
from spikepipe_core.demo.spikeglx import AP_GAIN, CREATED, LEFT_EDGE_UM, LF_GAIN, NOTE, READOUT_CHANNELS

__all__ = ["NODE", "channel_id", "write_openephys"]

NODE = "Record Node 101"
VERSION, PLUGIN_VERSION = "0.6.7", "0.6.6"
PROCESSOR, PROCESSOR_ID, NODE_ID = "Neuropix-PXI", 100, 101


def channel_id(probe: str, index: int) -> str:
    """Id of an AP channel as readers of Open Ephys give it: channels are counted from 1."""
    return f"AP{index + 1}"


def write_openephys(probes: list[DemoProbe], session: Path) -> None:
    """Write one experiment with one recording of all probes."""
    node = session / NODE
    recording = node / "experiment1" / "recording1"
    recording.mkdir(parents=True)
    _write_xml(_settings(probes), node / "settings.xml")
    streams = [(probe, band) for probe in probes for band in probe.bands]
    oebin = {
        "GUI version": VERSION,
        "continuous": [_continuous_entry(probe, band) for probe, band in streams],
        "events": [_event_entry(probe, band) for probe, band in streams] + [_message_entry(probes[0])],
        "spikes": [],
    }
    (recording / "structure.oebin").write_text(json.dumps(oebin, indent=4) + "\n", encoding="utf-8")
    for probe, band in streams:
        _write_traces(probe, band, recording / "continuous" / _folder(probe, band))
        _write_edges(probe, band, recording / "events" / _folder(probe, band) / "TTL")
    _write_message(recording / "events" / "MessageCenter")
    _write_sync_messages(streams, recording / "sync_messages.txt")


def _name(probe: DemoProbe, band: str) -> str:
    return f"{probe.name}-{band}"


def _folder(probe: DemoProbe, band: str) -> str:
    return f"{PROCESSOR}-{PROCESSOR_ID}.{_name(probe, band)}"


def _rate(probe: DemoProbe, band: str) -> float:
    return probe.bands[band].get_sampling_frequency()


# --- data ---------------------------------------------------------------------------------------------------


def _write_traces(probe: DemoProbe, band: str, folder: Path) -> None:
    """Traces, sample numbers and times."""
    folder.mkdir(parents=True)
    frames = probe.frames[band]
    with (folder / "continuous.dat").open("wb") as file:
        for start in range(0, len(frames), CHUNK_SAMPLES):
            file.write(frames[start : start + CHUNK_SAMPLES, :-1].tobytes())
    numbers = np.arange(len(frames), dtype="int64")
    np.save(folder / "sample_numbers.npy", numbers)
    np.save(folder / "timestamps.npy", numbers / _rate(probe, band))


def _write_edges(probe: DemoProbe, band: str, folder: Path) -> None:
    """Edges of the sync line as events of line 1."""
    folder.mkdir(parents=True)
    high = np.asarray(probe.frames[band][:, -1]) != 0
    numbers = np.flatnonzero(np.diff(high.astype("int8"))).astype("int64") + 1
    states = np.where(high[numbers], 1, -1).astype("int16")
    np.save(folder / "sample_numbers.npy", numbers)
    np.save(folder / "timestamps.npy", numbers / _rate(probe, band))
    np.save(folder / "states.npy", states)
    np.save(folder / "full_words.npy", (states > 0).astype("uint64"))


def _write_message(folder: Path) -> None:
    folder.mkdir(parents=True)
    np.save(folder / "text.npy", np.array([NOTE.encode()]))
    np.save(folder / "sample_numbers.npy", np.zeros(1, dtype="int64"))
    np.save(folder / "timestamps.npy", np.zeros(1))


def _write_sync_messages(streams: list[tuple[DemoProbe, str]], path: Path) -> None:
    milliseconds = round(datetime.fromisoformat(CREATED).replace(tzinfo=UTC).timestamp() * 1000)
    lines = [f"Software Time (milliseconds since midnight Jan 1st 1970 UTC): {milliseconds}"]
    lines += [
        f"Start Time for {PROCESSOR} ({PROCESSOR_ID}) - {_name(probe, band)} @ {_rate(probe, band):g} Hz: 0"
        for probe, band in streams
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


# --- structure.oebin ----------------------------------------------------------------------------------------


def _continuous_entry(probe: DemoProbe, band: str) -> dict[str, Any]:
    gains = probe.bands[band].get_channel_gains()
    history = f"{PROCESSOR} -> Record Node"
    channels: list[dict[str, Any]] = [
        {
            "channel_name": f"{band}{index + 1}",
            "description": "Neuropixels electrode",
            "identifier": "",
            "history": history,
            "bit_volts": float(gain),
            "units": "",
            "channel_metadata": [
                {
                    "name": "electrode_index",
                    "description": "Electrode index for this channel",
                    "identifier": "neuropixels.electrode_index",
                    "type": "uint16",
                    "length": 1,
                    "value": [index],
                }
            ],
        }
        for index, gain in enumerate(gains)
    ]
    return {
        "folder_name": _folder(probe, band) + "/",
        "sample_rate": _rate(probe, band),
        "source_processor_name": PROCESSOR,
        "source_processor_id": PROCESSOR_ID,
        "stream_name": _name(probe, band),
        "recorded_processor": "Record Node",
        "recorded_processor_id": NODE_ID,
        "num_channels": len(channels),
        "channels": channels,
    }


def _event_entry(probe: DemoProbe, band: str) -> dict[str, Any]:
    return {
        "folder_name": _folder(probe, band) + "/TTL/",
        "channel_name": "Neuropixels PXI Sync",
        "description": "Status of SMA sync line on PXI card",
        "identifier": "neuropixels.sync",
        "sample_rate": _rate(probe, band),
        "type": "int16",
        "source_processor": PROCESSOR,
        "stream_name": _name(probe, band),
        "initial_state": 1,
    }


def _message_entry(probe: DemoProbe) -> dict[str, Any]:
    return {
        "folder_name": "MessageCenter/",
        "channel_name": "Messages",
        "description": "Broadcasts messages from the MessageCenter",
        "identifier": "messagecenter.events",
        "sample_rate": _rate(probe, "AP"),
        "type": "string",
        "source_processor": "Message Center",
        "stream_name": _name(probe, "AP"),
    }


# --- settings.xml -------------------------------------------------------------------------------------------


def _write_xml(root: ET.Element, path: Path) -> None:
    ET.indent(root)
    path.write_bytes(ET.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n")


def _settings(probes: list[DemoProbe]) -> ET.Element:
    root = ET.Element("SETTINGS")
    root.append(ET.Comment(f" {NOTE} "))
    info = ET.SubElement(root, "INFO")
    ET.SubElement(info, "VERSION").text = VERSION
    ET.SubElement(info, "DATE").text = datetime.fromisoformat(CREATED).strftime("%-d %b %Y %H:%M:%S")
    chain = ET.SubElement(root, "SIGNALCHAIN")
    source = _processor(chain, PROCESSOR, PROCESSOR_ID, 0, probes)
    source.set("libraryVersion", PLUGIN_VERSION)
    editor = ET.SubElement(source, "EDITOR", displayName=PROCESSOR)
    for probe in probes:
        _describe_probe(editor, probe)
    node = _processor(chain, "Record Node", NODE_ID, 1, probes)
    states = ET.SubElement(node, "CUSTOM_PARAMETERS")
    for probe in probes:
        for band in probe.bands:
            ET.SubElement(states, "STREAM", _saved(probe, band))
    return root


def _processor(chain: ET.Element, name: str, node_id: int, place: int, probes: list[DemoProbe]) -> ET.Element:
    processor = ET.SubElement(
        chain, "PROCESSOR", name=name, insertionPoint=str(place), pluginName=name, nodeId=str(node_id)
    )
    for probe in probes:
        for band in probe.bands:
            ET.SubElement(processor, "STREAM", _stream(probe, band))
    return processor


def _stream(probe: DemoProbe, band: str) -> dict[str, str]:
    rate = str(_rate(probe, band))
    return {"name": _name(probe, band), "sample_rate": rate, "channel_count": str(READOUT_CHANNELS)}


def _saved(probe: DemoProbe, band: str) -> dict[str, str]:
    """Which channels the Record Node saves: the first ones."""
    saved = probe.bands[band].get_num_channels()
    some = "1" * saved + "0" * (READOUT_CHANNELS - saved)
    state = "ALL" if saved == READOUT_CHANNELS else some
    return {**_stream(probe, band), "source_node_id": str(PROCESSOR_ID), "recording_state": state}


def _describe_probe(editor: ET.Element, probe: DemoProbe) -> None:
    """Bank 0 of a Neuropixels 1.0 probe: all its readout channels, saved or not."""
    from spikepipe_core.demo.simulation import neuropixels_subset

    element = ET.SubElement(
        editor,
        "NP_PROBE",
        slot=str(2 + probe.index // 4),
        port=str(probe.index % 4 + 1),
        dock="1",
        probe_part_number="NP1000",
        probe_name="Neuropixels 1.0",
        custom_probe_name=probe.name,
        apGainValue=f"{AP_GAIN}x",
        lfpGainValue=f"{LF_GAIN}x",
        isEnabled="1",
    )
    positions = neuropixels_subset(READOUT_CHANNELS).contact_positions
    names = [f"CH{channel}" for channel in range(READOUT_CHANNELS)]
    ET.SubElement(element, "CHANNELS", dict.fromkeys(names, "0"))
    xs = [f"{x + LEFT_EDGE_UM:g}" for x in positions[:, 0]]
    ys = [f"{y:g}" for y in positions[:, 1]]
    ET.SubElement(element, "ELECTRODE_XPOS", dict(zip(names, xs, strict=True)))
    ET.SubElement(element, "ELECTRODE_YPOS", dict(zip(names, ys, strict=True)))
