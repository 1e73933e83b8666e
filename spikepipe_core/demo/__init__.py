"""A simulated session with known ground truth, in a real acquisition format."""

from __future__ import annotations

from spikepipe_core.demo.ground_truth import GroundTruth, ground_truth_folder, read_ground_truth
from spikepipe_core.demo.session import DEFAULT_CHANNELS, FORMATS, write_demo_session
from spikepipe_core.demo.spikeglx import ProbeClock

__all__ = [
    "DEFAULT_CHANNELS",
    "FORMATS",
    "GroundTruth",
    "ProbeClock",
    "ground_truth_folder",
    "read_ground_truth",
    "write_demo_session",
]
