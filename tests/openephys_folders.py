"""Open Ephys folders for tests: written as the GUI writes them, with traces of random numbers."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass
class OpenEphysStream:
    """What one stream of a recording is to be."""

    name: str
    processor: str = "Neuropix-PXI"
    processor_id: int = 100
    rate: float = 30_000.0
    channels: Sequence[str] = ()
    history: str = ""
    electrode_index: Sequence[int] = ()
    first_sample: int = 1_000
    samples: int = 60
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def folder_name(self) -> str:
        return f"{self.processor.replace(' ', '_')}-{self.processor_id}.{self.name}"

    def entry(self) -> dict[str, Any]:
        channels: list[dict[str, Any]] = []
        for index, name in enumerate(self.channels):
            unit = 1.0 if "SYNC" in name else 0.195
            channel = {"channel_name": name, "bit_volts": unit, "units": "", "history": self.history}
            if index < len(self.electrode_index):
                fact = {"identifier": "neuropixels.electrode_index", "value": [self.electrode_index[index]]}
                channel["channel_metadata"] = [fact]
            channels.append(channel)
        return {
            "folder_name": self.folder_name + "/",
            "sample_rate": self.rate,
            "source_processor_name": self.processor,
            "source_processor_id": self.processor_id,
            "stream_name": self.name,
            "recorded_processor": "Record Node",
            "num_channels": len(channels),
            "channels": channels,
            **self.extra,
        }


def write_recording(
    node: Path, streams: Sequence[OpenEphysStream], experiment: int = 1, recording: int = 1
) -> Path:
    """Write the files of one recording, as GUI 0.6 and later do; returns its folder."""
    folder = node / f"experiment{experiment}" / f"recording{recording}"
    folder.mkdir(parents=True)
    node_id = re.search(r"\d+$", node.name)
    common = {"recorded_processor_id": int(node_id.group())} if node_id else {}
    oebin = {
        "GUI version": "0.6.7",
        "continuous": [stream.entry() | common for stream in streams],
        "events": [],
        "spikes": [],
    }
    (folder / "structure.oebin").write_text(json.dumps(oebin))
    for index, stream in enumerate(streams):
        data = folder / "continuous" / stream.folder_name
        data.mkdir(parents=True)
        rng = np.random.default_rng([index, experiment, recording])
        shape = (stream.samples, len(stream.channels))
        rng.integers(-200, 200, shape, dtype="int16").tofile(data / "continuous.dat")
        numbers = np.arange(stream.first_sample, stream.first_sample + stream.samples)
        np.save(data / "sample_numbers.npy", numbers)
        np.save(data / "timestamps.npy", 0.25 + numbers / stream.rate)
    return folder


def streams_of_settings(settings: Path) -> dict[str, list[OpenEphysStream]]:
    """Streams that each Record Node of the settings saves, by the node's name; ``Record Node 1`` if it has none."""
    root = ET.parse(settings).getroot()
    processors = list(root.iter("PROCESSOR"))
    sources = [
        (processor, stream)
        for processor in processors
        if str(processor.get("insertionPoint")) == "0"
        for stream in processor.findall("STREAM")
    ]
    by_node: dict[str, list[OpenEphysStream]] = {}
    for processor in processors:
        if processor.get("name") == "Record Node":
            states = {e.get("name"): e.get("recording_state") for e in processor.iter("STREAM")}
            kept = [stream.get("name") for stream in processor.findall("STREAM")]
            own = [
                (p, s) for p, s in sources if s.get("name") in kept and states.get(s.get("name")) != "NONE"
            ]
            by_node[f"Record Node {processor.get('nodeId')}"] = [
                _stream(p, s, root, states.get(s.get("name"))) for p, s in own
            ]
    return by_node or {"Record Node 1": [_stream(p, s, root, None) for p, s in sources]}


def _stream(
    processor: ET.Element, stream: ET.Element, root: ET.Element, state: str | None
) -> OpenEphysStream:
    name, source = str(stream.get("name")), str(processor.get("name"))
    count = int(str(stream.get("channel_count")))
    version = float(".".join(root.findtext("INFO/VERSION").split(".")[:2]))
    first = 0 if version >= 1 or source == "OneBox" else 1
    if source == "NI-DAQmx":
        channels = [f"AI{i}" for i in range(count)]
    elif "ADC" in name:
        channels = [f"ADC{i}" for i in range(count)]
    else:
        prefix = next((band for band in ("AP", "LFP") if name.endswith(f"-{band}")), "CH")
        channels = [f"{prefix}{i + first}" for i in range(count - count % 2)]
        channels += [f"{prefix}_SYNC"] * (count % 2)
    if state and set(state) <= {"0", "1"}:
        channels = [channel for channel, saved in zip(channels, state, strict=False) if saved == "1"]
    return OpenEphysStream(
        name, source, int(str(processor.get("nodeId"))), float(str(stream.get("sample_rate"))), channels
    )


def write_session(session: Path, settings: Path, experiment: int = 1) -> Path:
    """A session folder with the settings, and a recording of every stream in them; returns it."""
    for node, streams in streams_of_settings(settings).items():
        if streams:
            write_recording(session / node, streams, experiment)
            name = "settings.xml" if experiment == 1 else f"settings_{experiment}.xml"
            shutil.copy(settings, session / node / name)
            (session / node / name).chmod(0o644)
    return session
