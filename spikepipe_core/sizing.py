"""How much memory a stage needs for a recording, and whether it can use a GPU: so that a pod fits its recording.

Stages work chunk by chunk, so most of what they hold depends on channels and workers, not on the duration. What grows with the
duration are spikes and the features that sorters keep of them. The numbers are upper lines through the measurements of
`bench/memory.py` with half as much again on top; a pod killed for memory all the same gets more at the next attempt.
"""

from __future__ import annotations

from dataclasses import dataclass

from spikepipe_core.ingest import RecordingJob
from spikepipe_core.params import Params

UNKNOWN_CHANNELS, UNKNOWN_DURATION_S = 384, 7200.0
"""What is taken for a recording of which discovery knows no more: a Neuropixels probe for two hours."""


@dataclass(frozen=True)
class Memory:
    """Memory of a stage in GiB.

    Attributes
    ----------
    base : float
        Whatever the recording: the libraries.
    worker : float
        For each worker and 100 channels: its chunk, filtered.
    hour : float
        For each hour of 100 channels: spikes and what is kept of them.
    """

    base: float
    worker: float = 0.0
    hour: float = 0.0


_STAGES = {"lfp": Memory(0.5)}

_SORTERS = {}

_GPU_SORTERS = {"kilosort4", "kilosort25"}


def uses_gpu(stage: str, params: Params) -> bool:
    return stage == "sorting" and (params.spikesorting.sorter or "kilosort4") in _GPU_SORTERS


def memory_gib(stage: str, job: RecordingJob | None, params: Params, n_jobs: int) -> float:
    need = _STAGES.get(stage, Memory(1.0, 0.2, 0.5))
    channels = ((job and job.num_channels) or UNKNOWN_CHANNELS) / 100
    hours = ((job and job.duration) or UNKNOWN_DURATION_S) / 3600
    return need.base + channels * (need.worker * n_jobs + need.hour * hours)
