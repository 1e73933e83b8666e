"""What a stream is: the signal of a probe or something recorded beside it, and from what that was concluded.

Readers say what they know of a stream (`StreamFacts`); the rules here are the same for all formats. Words in names
are compared whole, never as parts of other words, so that a probe called ``Caption`` is no AP band.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

__all__ = ["MIN_SPIKE_HZ", "SORTABLE", "Classification", "StreamFacts", "StreamKind", "classify"]

StreamKind = Literal["AP", "wide-band", "LFP", "sync", "analog", "digital", "unknown"]

SORTABLE: frozenset[StreamKind] = frozenset({"AP", "wide-band"})
"""Streams that spikes are sorted from; an `LFP` stream is the companion of one of them."""

MIN_SPIKE_HZ = 10_000.0
"""Slower streams are taken for LFP: https://github.com/AllenNeuralDynamics/aind-ephys-job-dispatch."""

# Words of Neo's stream names for SpikeGLX, Open Ephys, ONIX, Intan, Plexon, Blackrock and Neuralynx.
_BOARD_WORDS: tuple[tuple[StreamKind, frozenset[str]], ...] = (
    ("sync", frozenset({"sync", "apsync", "lfsync", "lfpsync"})),
    ("digital", frozenset({"digital", "dig", "din", "dout", "ttl", "event", "events", "messagecenter"})),
    (
        "analog",
        frozenset(
            {"nidq", "daqmx", "adc", "aux", "auxiliary", "analog", "ai", "ainp", "obx", "dac", "supply"}
            | {"temperature", "accelerometer", "imu", "bno"}
        ),
    ),
)
_LFP_WORDS = frozenset({"lf", "lfp", "fp"})
_AP_WORDS = frozenset({"ap", "spkc"})
_WIDE_WORDS = frozenset({"wideband", "broadband", "wb", "amplifier"})
_PROBE_WORDS = frozenset({"imec", "probe", "neuropix", "neuropixels", "headstage", "tetrode", "rhythm", "ch"})
_VOLTS = frozenset({"v", "mv", "uv", "µv", "μv", "volt", "volts", "microvolts"})


@dataclass(frozen=True)
class StreamFacts:
    """What a reader knows of a stream without reading its signal; what it does not know stays None or empty.

    Attributes
    ----------
    name : str
        As Neo gives it, such as ``Record Node 101#Neuropix-PXI-100.ProbeA-AP`` or ``imec0.lf``.
    channel_names : collection of str
    sampling_frequency : float or None
        Hz.
    units : collection of str
        Of the channels, such as ``uV``.
    has_geometry : bool or None
        Whether the positions of its electrodes are known.
    keeps_low_frequencies : bool or None
        Whether an AP band is not high-passed, as that of a probe that writes one band only.
    """

    name: str
    channel_names: Collection[str] = ()
    sampling_frequency: float | None = None
    units: Collection[str] = ()
    has_geometry: bool | None = None
    keeps_low_frequencies: bool | None = None


@dataclass(frozen=True)
class Classification:
    """What a stream is, and why, in words."""

    kind: StreamKind
    reason: str

    @property
    def is_sortable(self) -> bool:
        """Whether spikes are sorted from it."""
        return self.kind in SORTABLE


def classify(facts: StreamFacts) -> Classification:
    """Tell from names, rate, units and geometry what a stream is.

    Known positions of electrodes make a stream a probe's, whatever its name. Without them its own name and those of
    its channels may say that it is another board's, and channels that are not in volts are no electrodes.

    Examples
    --------
    >>> classify(StreamFacts("imec0.lf", sampling_frequency=2500.0))
    Classification(kind='LFP', reason="its name says 'lf'")
    >>> classify(StreamFacts("NI-DAQmx-103.PXIe-6341", sampling_frequency=30000.0)).kind
    'analog'
    """
    words = _words(facts.name)
    if not facts.has_geometry:
        other = _other_board(words, facts)
        if other is not None:
            return other
    return _band(words, facts)


def _other_board(words: set[str], facts: StreamFacts) -> Classification | None:
    """What says that a stream without known electrodes is not a probe's; None if nothing does."""
    of_channels = [_words(name) for name in facts.channel_names]
    for kind, vocabulary in _BOARD_WORDS:
        if found := words & vocabulary:
            return Classification(kind, f"its name says {min(found)!r}")
        if of_channels and all(one & vocabulary for one in of_channels):
            return Classification(kind, f"all its channels are named like {min(facts.channel_names)!r}")
    units = {unit.strip().casefold() for unit in facts.units}
    if units and not units & _VOLTS:
        named = ", ".join(sorted(repr(unit) for unit in facts.units))
        return Classification("unknown", f"its channels are in {named}, not in volts")
    return None


def _band(words: set[str], facts: StreamFacts) -> Classification:
    rate = facts.sampling_frequency
    slow = rate is not None and rate < MIN_SPIKE_HZ
    of_probe = "the positions of its electrodes are known" if facts.has_geometry else None
    if found := words & _PROBE_WORDS:
        of_probe = of_probe or f"its name says {min(found)!r}"
    elif facts.channel_names and all(_words(name) & _PROBE_WORDS for name in facts.channel_names):
        of_probe = of_probe or f"all its channels are named like {min(facts.channel_names)!r}"
    if found := words & _LFP_WORDS:
        return Classification("LFP", f"its name says {min(found)!r}")
    if found := words & (_AP_WORDS | _WIDE_WORDS):
        of_probe = f"its name says {min(found)!r}"
    if of_probe is None:
        said = "an unknown rate" if rate is None else f"{rate:g} Hz"
        return Classification(
            "unknown", f"its name does not say what it is ({said}), and it has no electrode positions"
        )
    if slow:
        return Classification("LFP", f"{of_probe}, and {rate:g} Hz is too slow for spikes")
    if words & _AP_WORDS and not facts.keeps_low_frequencies:
        return Classification("AP", of_probe)
    if facts.keeps_low_frequencies:
        return Classification("wide-band", f"{of_probe}, and its only band keeps the low frequencies")
    return Classification("wide-band", of_probe)


def _words(name: str) -> set[str]:
    """Words of a name in lower case: as separated by signs and digits, and as capitals separate them.

    What comes before ``#`` is the recording software's own (``Record Node 101#``).
    """
    own = name.rsplit("#", 1)[-1]
    plain = re.findall(r"[^\W\d_]+", own)
    by_capitals = [part for word in plain for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\WA-Z]+", word)]
    return {word.casefold() for word in (*plain, *by_capitals)}
