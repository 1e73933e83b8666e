"""What readers say about a probe's channels besides positions: shanks as groups, sampling offsets, saturation."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from probeinterface import Probe
    from spikeinterface.core import BaseRecording

__all__ = ["annotate", "channel_groups", "shank_groups"]


def shank_groups(probe: Probe) -> dict[str, int]:
    """SpikeInterface's number of the group (0, 1, ... in order of shank ids) of each shank."""
    if probe.shank_ids is None:
        return {}
    return {str(shank): group for group, shank in enumerate(np.unique(probe.shank_ids))}


def channel_groups(probe: Probe) -> dict[str, int]:
    """Channels of each shank, under SpikeInterface's numbers for groups."""
    if probe.shank_ids is None:
        return {"0": probe.get_contact_count()}
    _, counts = np.unique(probe.shank_ids, return_counts=True)
    return {str(group): int(count) for group, count in enumerate(counts)}


def annotate(recording: BaseRecording, probe: Probe, stream: str, *, is_shifted: bool = False) -> None:
    """Add what SpikeInterface's own readers add: sampling offsets of the converters, and saturation.

    Parameters
    ----------
    stream : str
        Name of the stream; whether it says ``lf`` decides which band's gain the saturation is worked out from.
    is_shifted : bool
        The sampling offsets have been undone already.
    """
    from spikeinterface.extractors.neuropixels_utils import (
        compute_saturation_threshold_from_probe,
        get_neuropixels_sample_shifts_from_probe,
    )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they say that an optional value is not known
        shifts = get_neuropixels_sample_shifts_from_probe(probe)
        saturation = compute_saturation_threshold_from_probe(probe, stream)
    if shifts is not None and not is_shifted:
        recording.set_property("inter_sample_shift", shifts)
    if saturation is not None:
        recording.annotate(saturation_threshold_uV=saturation)
