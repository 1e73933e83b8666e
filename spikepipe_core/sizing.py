"""How much memory a stage needs for a recording, and whether it can use a GPU: so that a pod fits its recording.

Stages work chunk by chunk, so most of what they hold depends on channels and workers, not on the duration. What grows
with the duration are spikes and what sorters keep of them. The numbers lie above what `bench/memory.py` measured, by
half as much again or more; a pod that is killed for memory all the same gets more at the next attempt.
"""

from __future__ import annotations

from spikepipe_core.ingest import RecordingJob
from spikepipe_core.params import Params, resolve_sorter
from spikepipe_core.sorters import Memory, sorter_entry

__all__ = ["Memory", "memory_gib", "uses_gpu"]

UNKNOWN_CHANNELS, UNKNOWN_DURATION_S = 384, 7200.0
"""What is taken for a recording of which discovery knows no more: a Neuropixels probe for two hours."""


_STAGES = {
    "recording": Memory(1.0),
    "clock_report": Memory(1.0),
    "raw_figures": Memory(1.0, 0.1),
    "raw_quality_control": Memory(1.0, 0.2),
    "lfp": Memory(1.0, 0.4),
    "preprocessed_recording": Memory(1.0, 0.2),
    "motion": Memory(1.5, 0.4, 0.3, bins=1.0),
    "processed_figures": Memory(1.5, 0.3, 0.5),
    "analyzer": Memory(1.5, 0.4, 1.0),
    "curated_units": Memory(1.5, 0.1, 0.3),
    "figures": Memory(1.5, 0.1, 0.3),
    "quality_control": Memory(1.5, 0.1, 0.3),
    "nwb": Memory(2.0, 0.1, 0.5),
}


def uses_gpu(stage: str, params: Params) -> bool:
    """Whether a stage can use a GPU under these params: only sorting, only some sorters, and not if told "cpu"."""
    name = resolve_sorter(params)
    if stage != "sorting" or not sorter_entry(name).gpu:
        return False
    return params.spikesorting.settings(name).sorter.get("torch_device") != "cpu"


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
    need = sorter_entry(resolve_sorter(params)).memory if stage == "sorting" else _STAGES[stage]
    hundreds = ((job and job.num_channels) or UNKNOWN_CHANNELS) / 100
    hours = ((job and job.duration) or UNKNOWN_DURATION_S) / 3600
    return need.base + hundreds * (need.worker * n_jobs + need.hour * hours) + need.bins * hours
