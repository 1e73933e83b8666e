"""The simulated session, as other formats are written from it: each probe's bands, and the sync line beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording

__all__ = ["CHUNK_SAMPLES", "DemoProbe", "read_probes"]

CHUNK_SAMPLES = 30_000


@dataclass(frozen=True)
class DemoProbe:
    """One probe of the SpikeGLX session.

    Attributes
    ----------
    name : str
        ``imec<index>``, in every format.
    bands : dict of str to BaseRecording
        ``AP`` and ``LFP``, as raw int16.
    frames : dict of str to array, shape (samples, channels + 1)
        The same with the SYNC word as the last channel, as it lies in the file.
    """

    name: str
    index: int
    bands: dict[str, BaseRecording]
    frames: dict[str, np.ndarray]


def read_probes(run_folder: Path) -> list[DemoProbe]:
    """All probes of a SpikeGLX session that the demo has written."""
    from spikepipe_core.ingest import discover, load
    from spikepipe_core.params import JobDispatchParams

    found = discover(run_folder, JobDispatchParams(input="spikeglx"))
    probes = []
    for index, job in enumerate(found.jobs):
        loaded = load(job, found.data_root)
        assert loaded.lfp is not None  # the demo writes both bands
        bands = {"AP": loaded.recording, "LFP": loaded.lfp}
        source = job.source[0]
        frames = {
            band: _frames(found.data_root / str(source[key]), bands[band].get_num_channels() + 1)
            for band, key in (("AP", "ap"), ("LFP", "lf"))
        }
        probes.append(DemoProbe(job.probe, index, bands, frames))
    return probes


def _frames(path: Path, channels: int) -> np.ndarray:
    return np.memmap(path, dtype="<i2", mode="r").reshape(-1, channels)
