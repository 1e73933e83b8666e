"""Which streams of an Open Ephys folder are probes' signals, and which of several copies is taken."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.classification import Classification, StreamFacts, StreamKind, classify
from spikepipe_core.ingest.openephys_files import (
    CONTINUOUS,
    RecordingFolder,
    Stream,
    read_streams,
    split_stream_folder,
)
from spikepipe_core.ingest.openephys_geometry import StreamGeometry
from spikepipe_core.ingest.openephys_layout import read_layout

__all__ = ["BOARDS", "Aside", "Signal", "choose_nodes", "describe_streams", "find_signals"]

BOARDS: frozenset[StreamKind] = frozenset({"sync", "analog", "digital"})
# Processors that pass a signal on as it is.
_PASSING_ON = frozenset(
    {"Merger", "Splitter", "Record Node", "Record Control", "Audio Monitor", "LFP Viewer"}
)


@dataclass(frozen=True)
class Signal:
    """A stream of one recording that spikes are sorted from, or would be if nothing were wrong with it.

    Attributes
    ----------
    geometry : StreamGeometry or None
        None if `problem` says why there is none.
    lfp : Signal or None
        The LFP band of the same probe.
    boards : tuple of Stream
        What was recorded at the same time and is no probe's.
    """

    stream: Stream
    found: Classification
    geometry: StreamGeometry | None
    problem: str | None
    lfp: Signal | None = None
    boards: tuple[Stream, ...] = ()


@dataclass(frozen=True)
class Aside:
    """A folder, or some channels of a stream, that are not processed, and why.

    Attributes
    ----------
    suffix : str
        What Neo adds to the stream's name for such channels.
    """

    folder: Path
    recording: RecordingFolder
    kind: StreamKind
    reason: str
    suffix: str = ""


def find_signals(
    recordings: Sequence[RecordingFolder], geometry_of: Callable[[Stream], StreamGeometry], root: Path
) -> tuple[list[Signal], list[Aside]]:
    """All probes' signals of some recordings, one for each probe, and everything else; see `describe_streams`."""
    moments: dict[tuple[Path, int, int], list[RecordingFolder]] = defaultdict(list)
    for recording in recordings:
        moments[(recording.session, recording.experiment, recording.recording)].append(recording)
    signals, asides = [], []
    for nodes in moments.values():
        found, aside = _signals_of_moment(nodes, geometry_of, root)
        signals += found
        asides += aside
    return signals, asides


def _signals_of_moment(
    nodes: list[RecordingFolder], geometry_of: Callable[[Stream], StreamGeometry], root: Path
) -> tuple[list[Signal], list[Aside]]:
    """Signals of the recordings that all Record Nodes made at the same time."""
    streams: list[Stream] = []
    signals: list[Signal] = []
    asides: list[Aside] = []
    for recording in nodes:
        try:
            streams += read_streams(recording, root)
        except BadDataError as error:
            undescribed, aside = _undescribed(recording, str(error))
            signals += undescribed
            asides += aside
    described, aside = describe_streams(streams, geometry_of)
    chosen, doubles = choose_nodes(signals + described)
    asides += aside + doubles
    for signal in list(chosen):
        asides += _inner_streams(signal)
        if signal.problem is None and _is_empty(signal.stream, root):
            asides.append(_aside(signal.stream, signal.found.kind, "it holds no samples"))
            chosen.remove(signal)
    return chosen, asides


# --- what a stream is ---------------------------------------------------------------------------------------


def describe_streams(
    streams: Sequence[Stream], geometry_of: Callable[[Stream], StreamGeometry]
) -> tuple[list[Signal], list[Aside]]:
    """Tell the probes' signals of one moment from what was recorded beside them, and pair them with LFP.

    Parameters
    ----------
    geometry_of : callable
        Finds the electrodes of a stream, or raises `BadDataError`.
    """
    signals: list[Signal] = []
    lfps: list[Signal] = []
    asides: list[Aside] = []
    boards: list[Stream] = []
    for stream in streams:
        signal = _describe(stream, geometry_of)
        if signal.found.kind == "LFP":
            lfps.append(signal)
        elif signal.found.is_sortable:
            signals.append(signal)
        else:
            asides.append(_aside(stream, signal.found.kind, signal.found.reason))
            boards += [stream] if signal.found.kind in BOARDS and stream.folder.is_dir() else []
    paired = [replace(s, lfp=_companion(s.stream, lfps), boards=tuple(boards)) for s in signals]
    for lfp in lfps:
        if not any(_is_companion(signal.stream, lfp.stream) for signal in paired):
            reason = f"an LFP band ({lfp.found.reason}) without the band that spikes are sorted from"
            asides.append(_aside(lfp.stream, "LFP", reason))
    return paired, asides


def _describe(stream: Stream, geometry_of: Callable[[Stream], StreamGeometry]) -> Signal:
    electrodes = [stream.channels[index] for index in stream.electrodes]
    facts = StreamFacts(
        name=stream.full_name,
        # One of every kind of name: CH1 says what CH2 says.
        channel_names=list(
            {channel.name.rstrip("0123456789"): channel.name for channel in electrodes}.values()
        ),
        sampling_frequency=stream.sampling_frequency or None,
        units={channel.unit or "uV" for channel in electrodes},
    )
    found = classify(facts)
    if found.kind in BOARDS:
        return Signal(stream, found, None, None)
    if not stream.electrodes:
        return Signal(stream, Classification("unknown", "none of its channels is an electrode"), None, None)
    try:
        geometry = geometry_of(stream)
    except BadDataError as error:
        return Signal(stream, found, None, str(error))
    one_band = geometry.probe.annotations.get("lf_sample_frequency_hz") == 0
    known = classify(replace(facts, has_geometry=True, keeps_low_frequencies=one_band))
    return Signal(stream, known, geometry, None)


def _companion(stream: Stream, lfps: Iterable[Signal]) -> Signal | None:
    """The LFP band of the same probe whose files are there, rather by the same Record Node."""
    own = [lfp for lfp in lfps if _is_companion(stream, lfp.stream) and lfp.stream.folder.is_dir()]
    return min(own, key=lambda lfp: lfp.stream.recording.node != stream.recording.node, default=None)


def _is_companion(stream: Stream, lfp: Stream) -> bool:
    if lfp.processor_id != stream.processor_id:
        return False
    follows = stream.number is not None and lfp.number == stream.number + 1
    return follows or lfp.base_name == stream.base_name


def _undescribed(recording: RecordingFolder, problem: str) -> tuple[list[Signal], list[Aside]]:
    """What the names of folders say, where `structure.oebin` cannot be read."""
    continuous = recording.path / CONTINUOUS
    names = sorted(path.name for path in continuous.iterdir() if path.is_dir()) if continuous.is_dir() else []
    signals, asides = [], []
    for name in names:
        processor, processor_id, own = split_stream_folder(name)
        stream = Stream(recording, name, own, processor, processor_id, 0.0, ())
        found = classify(StreamFacts(stream.full_name))
        if found.is_sortable:
            signals.append(Signal(stream, found, None, problem))
        else:
            asides.append(_aside(stream, found.kind, found.reason))
    if not signals:
        asides.append(Aside(recording.path, recording, "unknown", problem))
    return signals, asides


def _is_empty(stream: Stream, root: Path) -> bool:
    try:
        return read_layout(stream, root).num_samples == 0
    except BadDataError:
        return False


def _inner_streams(signal: Signal) -> list[Aside]:
    """Channels that lie among the electrodes and are none, under the names that Neo gives them."""
    stream = signal.stream
    names = [channel.name for channel in stream.channels if not channel.is_electrode]
    sync = [name for name in names if "SYNC" in name]
    analog = [name for name in names if "SYNC" not in name]
    unconnected = list(signal.geometry.without_electrode) if signal.geometry else []
    kinds: list[tuple[str, StreamKind, list[str], str]] = [
        ("SYNC", "sync", sync, "the sync line, recorded with the electrodes"),
        ("_ADC", "analog", analog, "inputs that share the stream with the electrodes"),
        ("", "unknown", unconnected, "connected to no electrode, as a reference is"),
    ]
    return [
        replace(_aside(stream, kind, f"{', '.join(found)}: {reason}"), suffix=suffix)
        for suffix, kind, found, reason in kinds
        if found
    ]


def _aside(stream: Stream, kind: StreamKind, reason: str) -> Aside:
    return Aside(stream.folder, stream.recording, kind, reason)


# --- several Record Nodes -----------------------------------------------------------------------------------


def choose_nodes(signals: list[Signal]) -> tuple[list[Signal], list[Aside]]:
    """Of a probe that several Record Nodes wrote, the signal that went through the fewest processors."""
    written: dict[tuple[int | None, str], list[Signal]] = defaultdict(list)
    for signal in signals:
        written[(signal.stream.processor_id, signal.stream.base_name)].append(signal)
    chosen, asides = [], []
    for same in written.values():
        first, *others = sorted(same, key=_distance)
        chosen.append(first)
        reason = (
            f"the same probe as {first.stream.full_name}, written by another Record Node; the one is taken that the "
            "signal reached through the fewest processors"
        )
        for other in others:
            asides.append(_aside(other.stream, other.found.kind, reason))
            if other.lfp is not None and other.lfp != first.lfp:
                asides.append(_aside(other.lfp.stream, "LFP", reason))
    return chosen, asides


def _distance(signal: Signal) -> tuple[bool, int, bool, str]:
    """How far a signal is from its source; one without a problem comes first, and one with LFP before one without."""
    processors = [name for name in signal.stream.history if name not in _PASSING_ON]
    steps = max(len(processors), 1)  # unknown: as if it came straight from the source
    return signal.problem is not None, steps, signal.lfp is None, signal.stream.recording.node_name
