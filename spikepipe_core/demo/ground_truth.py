"""What is known about a simulated probe, written beside the raw data and read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from spikepipe_core.demo.simulation import NOISE_UV, ProbeSimulation
from spikepipe_core.errors import BadDataError

if TYPE_CHECKING:
    from spikeinterface.core import BaseSorting

__all__ = ["GroundTruth", "TrueUnit", "ground_truth_folder", "read_ground_truth", "write_ground_truth"]

FOLDER = "ground_truth"
_SORTING, _FACTS = "sorting.npz", "facts.json"


class TrueUnit(BaseModel):
    """One simulated neuron."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit_id: str
    x_um: float
    depth_um: float = Field(description="Along the probe, from its lowest contact row, in middle position.")
    amplitude_uV: float = Field(description="Peak of the template on the best channel.")  # noqa: N815
    snr: float = Field(description="That peak over the standard deviation of the noise.")
    best_channel: str
    num_spikes: int


class GroundTruth(BaseModel):
    """What a simulated probe's recording is made of.

    Attributes
    ----------
    drift_um : tuple of float
        Displacement of the deepest-moving tissue along the probe, one value every 1 / `drift_rate` s.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    probe: str
    seed: int
    seconds: float
    channels: int
    noise_uV: float  # noqa: N815
    units: tuple[TrueUnit, ...]
    dead_channels: tuple[str, ...]
    noisy_channels: tuple[str, ...]
    drift_rate: float = Field(description="Hz")
    drift_um: tuple[float, ...]

    def units_above(self, snr: float) -> list[str]:
        """Ids of the units with a higher SNR than this."""
        return [unit.unit_id for unit in self.units if unit.snr > snr]


def ground_truth_folder(out: Path, probe: str) -> Path:
    """Folder with the ground truth of a probe, such as ``imec0``, of a demo session in `out`."""
    return Path(out) / FOLDER / probe


def write_ground_truth(
    simulation: ProbeSimulation, out: Path, probe: str, seed: int, channel_id: Callable[[str, int], str]
) -> None:
    """Write spike trains and facts of one probe.

    Parameters
    ----------
    channel_id : callable
        Id of a channel, of a probe's name and the channel's index, as readers of the format give it.
    """
    import numpy as np
    from spikeinterface.core import NpzSortingExtractor

    folder = ground_truth_folder(out, probe)
    folder.mkdir(parents=True)
    NpzSortingExtractor.write_sorting(simulation.sorting, folder / _SORTING)
    positions = simulation.probe.contact_positions
    locations = simulation.locations_um
    nearest = np.argmin(np.linalg.norm(positions[np.newaxis] - locations[:, np.newaxis, :2], axis=2), axis=1)
    counts = simulation.sorting.count_num_spikes_per_unit()
    units = [
        TrueUnit(
            unit_id=str(unit_id),
            x_um=round(float(x), 2),
            depth_um=round(float(y), 2),
            amplitude_uV=round(float(amplitude), 2),
            snr=round(float(snr), 3),
            best_channel=channel_id(probe, int(channel)),
            num_spikes=int(counts[unit_id]),
        )
        for unit_id, (x, y, _), amplitude, snr, channel in zip(
            simulation.sorting.unit_ids,
            locations,
            simulation.amplitudes_uV,
            simulation.snr,
            nearest,
            strict=True,
        )
    ]
    dead, noisy = simulation.bad_channels
    _, vectors, _, rate, _ = simulation.displacement
    facts = GroundTruth(
        probe=probe,
        seed=seed,
        seconds=simulation.seconds,
        channels=simulation.channels,
        noise_uV=NOISE_UV,
        units=tuple(units),
        dead_channels=(channel_id(probe, dead),),
        noisy_channels=(channel_id(probe, noisy),),
        drift_rate=rate,
        drift_um=tuple(round(float(y), 3) for y in vectors[:, 1, 0]),
    )
    (folder / _FACTS).write_text(facts.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_ground_truth(folder: Path) -> tuple[BaseSorting, GroundTruth]:
    """Read the ground truth of one probe.

    Parameters
    ----------
    folder : Path
        As `ground_truth_folder` names it.

    Returns
    -------
    sorting : BaseSorting
        Spikes in samples of the AP band.
    facts : GroundTruth

    Raises
    ------
    BadDataError
        There is no ground truth in the folder.
    """
    from spikeinterface.core import NpzSortingExtractor

    folder = Path(folder)
    if not (folder / _FACTS).is_file() or not (folder / _SORTING).is_file():
        raise BadDataError(
            f"{folder} holds no ground truth. Only sessions made by `spikepipe demo-data` have one."
        )
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    return NpzSortingExtractor(folder / _SORTING), GroundTruth.model_validate(facts)
