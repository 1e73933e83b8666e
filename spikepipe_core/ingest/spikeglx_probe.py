"""What SpikeGLX metadata say of the probe: geometry, gains, and what was done to the signal before it was saved.

Geometry is what probeinterface reads from `imDatPrb_pn`, `imroTbl` and `snsSaveChanSubset`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.files import inside
from spikepipe_core.ingest.spikeglx_files import BinaryLayout, FilePair, read_meta

if TYPE_CHECKING:
    from probeinterface import Probe

__all__ = [
    "keeps_low_frequencies",
    "microvolts_per_bit",
    "read_probe",
    "refuse_mismatch",
    "was_shifted_by_catgt",
]

# Where .meta files do not say it (before 2020): the positive range of the 10-bit converters of Neuropixels
# 1.0 and of the 14-bit ones of 2.0; https://billkarsh.github.io/SpikeGLX/Sgl_help/Metadata_30.html
# (imMaxInt).
_DEFAULT_MAX_INT = {10: 512, 14: 8192}

# Keys that change from file to file and say nothing of the probe.
# The channels of four Quad-base probes, which is more than one file holds.
_MAX_CHANNELS = 8192
_NOT_OF_PROBE = ("file", "firstSample", "imErrFlags", "userNotes")


def read_probe(pair: FilePair, root: Path) -> Probe:
    """The geometry of an AP band, its contacts in the order of the channels in the file; not to be changed.

    Raises
    ------
    BadDataError
        The metadata do not describe a probe that is known.
    """
    meta = read_meta(pair.meta, root)
    _saved_channels(pair, meta)
    kept = frozenset((key, value) for key, value in meta.items() if not key.startswith(_NOT_OF_PROBE))
    try:
        return _parsed_probe(_ProbeMeta(kept, inside(pair.meta, root)))
    except Exception as error:  # the parser fails in many ways on what it does not know
        raise BadDataError(
            f"{pair.meta} gives no probe geometry ({type(error).__name__}: {error}). Check imDatPrb_pn, "
            "imroTbl and snsSaveChanSubset in it; without them the positions of the electrodes are not known."
        ) from error


def read_lfp_probe(lf: FilePair, ap: FilePair, root: Path) -> Probe:
    """The geometry of an LF band, of which fewer channels may have been saved than of the AP band.

    Raises
    ------
    BadDataError
        Channels were saved that were not of the AP band, so that their positions are not known.
    """
    probe = read_probe(ap, root)
    of_ap, of_lf = (_saved_electrodes(pair, read_meta(pair.meta, root)) for pair in (ap, lf))
    if of_ap == of_lf:
        return probe
    place = {electrode: index for index, electrode in enumerate(of_ap)}
    unknown = [electrode for electrode in of_lf if electrode not in place]
    if unknown or len(of_ap) != probe.get_contact_count():
        raise BadDataError(
            f"{lf.meta}: channels such as {unknown[:1]} were saved of the LF band (snsSaveChanSubset), but not of "
            f"the AP band in {ap.meta.name}, so their positions are not known."
        )
    part = probe.get_slice(np.array([place[electrode] for electrode in of_lf], dtype=int))
    part.set_device_channel_indices(np.arange(len(of_lf)))
    return part


def _saved_electrodes(pair: FilePair, meta: dict[str, str]) -> list[int]:
    """Numbers of the electrodes' channels of the file's band, counted within the band."""
    try:
        ap, lf, _sync = (int(part) for part in meta["acqApLfSy"].split(","))
    except (KeyError, ValueError):
        raise BadDataError(
            f"{pair.meta}: acqApLfSy={meta.get('acqApLfSy')!r} should be three numbers. Copy the file again."
        ) from None
    first, count = (ap, lf) if pair.name.band == "lf" else (0, ap)
    saved = _saved_channels(pair, meta)
    return list(range(count)) if saved is None else [c - first for c in saved if first <= c < first + count]


def _saved_channels(pair: FilePair, meta: dict[str, str]) -> list[int] | None:
    """Numbers of the channels in `snsSaveChanSubset`, such as ``0:150,768``; None for all."""
    text = meta.get("snsSaveChanSubset", "")
    if text == "all":
        return None
    channels: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition(":")
            start, stop = int(first), int(last or first) + 1
            if not 0 <= start < stop <= _MAX_CHANNELS:
                raise ValueError
            channels += range(start, stop)
    except ValueError:
        raise BadDataError(
            f"{pair.meta}: snsSaveChanSubset={text[:80]!r} is no list of channels. Without it the positions of the "
            "electrodes are not known. Copy the file again."
        ) from None
    return channels


@dataclass(frozen=True)
class _ProbeMeta:
    """What a metadata file says of the probe; files that say the same are equal, wherever they lie."""

    described: frozenset[tuple[str, str]]
    path: Path = field(compare=False)


@lru_cache(maxsize=256)
def _parsed_probe(meta: _ProbeMeta) -> Probe:
    """Parsing takes most of the time of a scan, and labs record hundreds of sessions with the same settings."""
    import probeinterface

    probe = probeinterface.read_spikeglx(meta.path)
    option = dict(meta.described).get("imProbeOpt")
    if option is not None:
        # It had no part numbers; probeinterface takes a later model with the same sites.
        probe.model_name = f"Phase3A option {option}"
        probe.annotate(description="Neuropixels phase 3A probe", part_number=None)
    return probe


def refuse_mismatch(pair: FilePair, probe: Probe, layout: BinaryLayout) -> None:
    """Make sure that a file has a channel for each electrode.

    Raises
    ------
    BadDataError
        It has not.
    """
    if probe.get_contact_count() != layout.num_neural:
        raise BadDataError(
            f"{pair.meta} describes {probe.get_contact_count()} electrodes, but {layout.num_neural} "
            "channels were saved. Check imroTbl, snsSaveChanSubset and snsApLfSy in it."
        )


def microvolts_per_bit(pair: FilePair, meta: dict[str, str], band: str, probe: Probe) -> np.ndarray:
    """Microvolts per bit of each electrode: input range / positive steps / amplifier gain.

    https://billkarsh.github.io/SpikeGLX/Sgl_help/Metadata_30.html, section "Volts". The amplifier gain is
    per channel where the probe lets one set it (Neuropixels 1.0), else one for the probe. (Neo 0.14 takes
    the gains of the first n channels when n channels were saved, whichever those are.)
    """
    of_contacts = probe.contact_annotations.get(f"{band}_gains")
    amplifier = probe.annotations.get(f"{band}_gain") if of_contacts is None else of_contacts
    fixed = meta.get(f"imChan0{band}Gain")
    try:
        volts = float(meta["imAiRangeMax"])
        bits = probe.annotations.get("adc_bit_depth")
        steps = float(meta["imMaxInt"]) if "imMaxInt" in meta else _DEFAULT_MAX_INT[bits]
        gains = np.asarray(fixed if fixed is not None else amplifier, dtype=float)
    except (KeyError, TypeError, ValueError):
        gains = np.array(np.nan)
        volts = steps = np.nan
    microvolts = np.broadcast_to(1e6 * volts / steps / gains, probe.get_contact_count())
    if not np.all(np.isfinite(microvolts)) or np.any(microvolts <= 0):
        raise BadDataError(
            f"{pair.meta} does not say how many volts a step is (imAiRangeMax={meta.get('imAiRangeMax')}, "
            f"imMaxInt={meta.get('imMaxInt')}, {band} gain={amplifier}). Correct these keys."
        )
    return microvolts


def keeps_low_frequencies(meta: dict[str, str], probe: Probe) -> bool | None:
    """Whether the AP band is not high-passed; None if the metadata do not say.

    So it is where the probe acquires no LF band beside it (Neuropixels 2.0), or the filter is switched off.
    """
    filters = probe.contact_annotations.get("ap_hp_filters")
    if filters is not None and len(filters) and not np.any(np.asarray(filters, dtype=int)):
        return True
    counts = meta.get("acqApLfSy", "").split(",")
    return counts[1].strip() == "0" if len(counts) == 3 else None


def was_shifted_by_catgt(meta: dict[str, str]) -> bool:
    """Whether CatGT has undone the sampling offsets already, which it does unless told not to.

    https://billkarsh.github.io/SpikeGLX/help/catgt_tshift/catgt_tshift.html
    """
    commands = [value for key, value in meta.items() if key.startswith("catGTCmdline")]
    return any("-no_tshift" not in command for command in commands)
