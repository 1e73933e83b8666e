"""How much memory a stage needs for a recording, and whether it can use a GPU: so that a pod fits its recording.

Stages work chunk by chunk, so most of what they hold depends on channels and workers, not on the duration. What grows
with the duration are spikes and what sorters keep of them. The numbers lie above what `bench/memory.py` measured, by
half as much again or more; a pod that is killed for memory all the same gets more at the next attempt.
"""

from __future__ import annotations

from dataclasses import dataclass

from spikepipe_core.ingest import RecordingJob
from spikepipe_core.params import Params, resolve_sorter

__all__ = ["Memory", "memory_gib", "uses_gpu"]

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


_STAGES = {
    "recording": Memory(1.0),
    "clock_report": Memory(1.0),
    "raw_figures": Memory(1.0, 0.1),
    "raw_quality_control": Memory(1.0, 0.2),
    "lfp": Memory(1.0, 0.4),
    "preprocessed_recording": Memory(1.0, 0.2),
    "motion": Memory(1.5, 0.4, 1.0),
    "processed_figures": Memory(1.5, 0.3, 0.5),
    "analyzer": Memory(1.5, 0.4, 1.0),
    "curated_units": Memory(1.5, 0.1, 0.3),
    "figures": Memory(1.5, 0.1, 0.3),
    "quality_control": Memory(1.5, 0.1, 0.3),
    "nwb": Memory(2.0, 0.1, 0.5),
}

_SORTERS = {
    "kilosort4": Memory(4.0, 0.0, 1.5),
    "kilosort25": Memory(6.0, 0.0, 1.5),
    "spykingcircus2": Memory(2.0, 0.7, 2.0),
    "lupin": Memory(2.0, 0.7, 2.0),
}
_OTHER_SORTER = Memory(4.0, 1.0, 3.0)

_GPU_SORTERS = {"kilosort4", "kilosort25"}


def uses_gpu(stage: str, params: Params) -> bool:
    """Whether a stage can use a GPU under these params: only sorting, and only some sorters."""
    return stage == "sorting" and resolve_sorter(params) in _GPU_SORTERS


def memory_gib(stage: str, job: RecordingJob | None, params: Params, n_jobs: int) -> float:
    """Memory in GiB that a stage needs for a recording.

    Parameters
    ----------
    stage : str
        Name of the stage.
    job : RecordingJob or None
        Its channels and duration count; what is not known is taken as `UNKNOWN_CHANNELS` and `UNKNOWN_DURATION_S`.
    params : Params
        The sorter counts.
    n_jobs : int
        Workers of the step.
    """
    need = _SORTERS.get(resolve_sorter(params), _OTHER_SORTER) if stage == "sorting" else _STAGES[stage]
    hundreds = ((job and job.num_channels) or UNKNOWN_CHANNELS) / 100
    hours = ((job and job.duration) or UNKNOWN_DURATION_S) / 3600
    return need.base + hundreds * (need.worker * n_jobs + need.hour * hours)
