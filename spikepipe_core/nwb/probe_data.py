"""What the NWB file of a session takes from each of its probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from probeinterface import Probe
    from spikeinterface.core import BaseRecording, SortingAnalyzer


@dataclass(frozen=True, kw_only=True)
class ProbeData:
    """Outputs of one recording job that go into the session's NWB file.

    Attributes
    ----------
    key : str
        Partition key of the probe, such as ``imec0`` or ``ProbeA_group1``.
    recording_name : str
        The results' name of the recording job.
    probe : probeinterface.Probe
        One contact a recorded channel, in the order of the raw channels (`recording.get_probe()`).
    device : str, optional
        Name of the physical probe, if `key` is one of its shanks.
    channel_names : sequence of str, optional
        Name of each contact's channel; by default those of `recording`.
    channel_labels : sequence of str, optional
        Label of each contact's channel (``good``, ``dead``, ``noise``, ``out``).
    location : str, optional
        Brain area, only if a person or a metadata file says so.
    recording : BaseRecording or None
        Raw signal, lazily: the clock that the spikes are timed by, and what is written with `write_raw`.
    lfp : BaseRecording or None
    analyzer : SortingAnalyzer or None
        None, or without units: the probe gets no row in the units table.
    labels : DataFrame or None
        Curation labels by unit id, one column a label.
    """

    key: str
    recording_name: str
    probe: Probe
    device: str | None = None
    channel_names: Sequence[str] | None = None
    channel_labels: Sequence[str] | None = None
    location: str | None = None
    recording: BaseRecording | None = None
    lfp: BaseRecording | None = None
    analyzer: SortingAnalyzer | None = None
    labels: pd.DataFrame | None = None

    @property
    def device_name(self) -> str:
        """Name of the physical probe."""
        return self.device or self.key

    @property
    def num_units(self) -> int:
        """Units that go into the file."""
        return 0 if self.analyzer is None else len(self.analyzer.unit_ids)

    def names_of_channels(self) -> list[str]:
        """Name of each contact's channel; empty where it is not known."""
        if self.channel_names is not None:
            return [str(name) for name in self.channel_names]
        if self.recording is None:
            return [""] * self.probe.get_contact_count()
        names = self.recording.get_property("channel_name")
        return [str(name) for name in (self.recording.channel_ids if names is None else names)]

    def shanks(self) -> np.ndarray:
        """Shank of each contact (str), empty for a probe that has only one."""
        ids = self.probe.shank_ids
        return np.full(self.probe.get_contact_count(), "") if ids is None else np.asarray(ids, dtype=str)
