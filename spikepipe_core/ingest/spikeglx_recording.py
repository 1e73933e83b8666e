"""SpikeGLX: from the pairs of files that discovery found to SpikeInterface recordings."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.neuropixels import annotate
from spikepipe_core.ingest.spikeglx_files import (
    BinaryLayout,
    FileName,
    FilePair,
    binary_layout,
    parse_name,
    read_meta,
)
from spikepipe_core.ingest.spikeglx_probe import (
    microvolts_per_bit,
    read_lfp_probe,
    read_probe,
    refuse_mismatch,
    was_shifted_by_catgt,
)

if TYPE_CHECKING:
    from probeinterface import Probe
    from spikeinterface.core import BaseRecording

__all__ = ["band_probe", "open_band", "pair_of"]


def open_band(source: tuple[dict[str, Any], ...], band: str, stream: str, root: Path) -> BaseRecording:
    """Open one band of all segments of a job as one recording."""
    import spikeinterface.core as si

    pairs = [pair_of(root / str(segment[band])) for segment in source if band in segment]
    if len(pairs) != len(source):
        raise BadDataError(
            f"The {band} band of {stream} is missing for some segments: "
            f"{[s['ap'] for s in source if band not in s]}. Copy the missing files, or process the segments "
            "one by one (job_dispatch.split_segments)."
        )
    metas = [read_meta(pair.meta, root) for pair in pairs]
    layouts = [binary_layout(pair, meta, root) for pair, meta in zip(pairs, metas, strict=True)]
    probes = [band_probe(pair, segment, root) for pair, segment in zip(pairs, source, strict=True)]
    _refuse_different(pairs, layouts, probes)
    probe = probes[0]
    ids = _channel_ids(stream, band, metas[0], layouts[0])
    whole = si.BinaryRecordingExtractor(
        file_paths=[str(pair.binary) for pair in pairs],
        sampling_frequency=layouts[0].sampling_frequency,
        dtype="int16",
        num_channels=layouts[0].num_channels,
        channel_ids=ids,
        t_starts=[layout.first_sample / layout.sampling_frequency for layout in layouts],
        gain_to_uV=_padded(microvolts_per_bit(pairs[0], metas[0], band, probe), len(ids)),
        offset_to_uV=np.zeros(len(ids)),
    )
    recording = whole.select_channels(ids[: layouts[0].num_neural])
    recording.set_probe(deepcopy(probe), group_mode="auto" if probe.shank_ids is None else "by_shank")
    annotate(recording, probe, stream, is_shifted=was_shifted_by_catgt(metas[0]))
    return recording


def pair_of(binary: Path) -> FilePair:
    """The pair of a binary that discovery found; its name decides nothing any more but the band."""
    band = "lf" if binary.stem.endswith(".lf") else "ap"
    name = parse_name(binary.stem) or FileName(binary.stem, 0, -1, "imec", band, False)
    return FilePair(name, binary, binary.with_suffix(".meta"))


def band_probe(pair: FilePair, segment: dict[str, Any], root: Path) -> Probe:
    """Read the geometry of a band of a segment.

    Raises
    ------
    BadDataError
        If it is not that of the channels in the file.
    """
    ap = pair_of(root / str(segment["ap"]))
    probe = read_lfp_probe(pair, ap, root) if pair.name.band == "lf" else read_probe(ap, root)
    refuse_mismatch(pair, probe, binary_layout(pair, read_meta(pair.meta, root), root))
    return probe


def _refuse_different(pairs: list[FilePair], layouts: list[BinaryLayout], probes: list[Probe]) -> None:
    for pair, layout, probe in zip(pairs, layouts, probes, strict=True):
        same = (layout.num_channels, layout.sampling_frequency) == (
            layouts[0].num_channels,
            layouts[0].sampling_frequency,
        )
        if not same:
            raise BadDataError(
                f"{pair.binary} ({layout.num_channels} channels at {layout.sampling_frequency} Hz) cannot "
                f"be joined to {pairs[0].binary} ({layouts[0].num_channels} at "
                f"{layouts[0].sampling_frequency}). Set job_dispatch.split_segments to true."
            )
        if not np.array_equal(probe.contact_positions, probes[0].contact_positions):
            raise BadDataError(
                f"{pair.binary} was recorded from other electrodes of the probe than {pairs[0].binary}: they cannot be "
                "joined. Set job_dispatch.split_segments to true."
            )


def _channel_ids(stream: str, band: str, meta: dict[str, str], layout: BinaryLayout) -> list[str]:
    """Channel ids as Neo makes them, ``imec0.ap#AP12``, from the names in snsChanMap."""
    names = [entry.split(";")[0] for entry in meta.get("snsChanMap", "")[1:-1].split(")(")[1:]]
    if len(names) < layout.num_channels or len(set(names)) != len(names):
        names = [f"{band.upper()}{channel}" for channel in range(layout.num_channels)]
    return [f"{stream}#{name}" for name in names[: layout.num_channels]]


def _padded(gains: np.ndarray, length: int) -> np.ndarray:
    """Gains for all channels of the file; SYNC, which is no voltage, gets 1."""
    return np.concatenate([gains, np.ones(length - len(gains))])
