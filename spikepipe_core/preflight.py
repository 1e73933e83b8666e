"""What a run will need, checked in seconds before anything long starts; all that is missing is said at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from spikepipe_core.errors import SpikepipeError
from spikepipe_core.ingest import RecordingJob
from spikepipe_core.params import Params
from spikepipe_core.stages.classifiers import find_classifier, load_classifier
from spikepipe_core.stages.sorters import find_sorter
from spikepipe_core.stages.sorting import sorter_name, sorter_params
from spikepipe_core.store import Store

BYTES_PER_SAMPLE = 2
"""int16, as every acquisition system in use writes."""

RESULTS_FRACTION = 0.15
"""Results for each byte of raw signal: LFP 1/24, analyzer and figures the rest (ours, from the demo sessions)."""


def missing(params: Params, jobs: Iterable[RecordingJob], store: Store) -> list[str]:
    """Everything that the run will need and that is not there, in words; empty if it can start.

    Parameters
    ----------
    params : Params
        The effective params.
    jobs : iterable of RecordingJob
        What is to be processed.
    store : Store
        Where outputs and scratch go.
    """
    classifiers = (params.curation.noise_neural_classifier, params.curation.sua_mua_classifier)
    checks: list[Callable[[], object]] = [partial(find_sorter, sorter_name(params))]
    checks += [partial(_classifier, name) for name in classifiers if name]
    problems = [problem for check in checks if (problem := _problem(check))]
    return problems + _gpu(params) + _room(list(jobs), store)


def _classifier(name: str) -> None:
    """Find and open a classifier: a model that is refused should be known before hours of sorting."""
    load_classifier(find_classifier(name))


def _problem(check: Callable[[], object]) -> str | None:
    try:
        check()
    except SpikepipeError as error:
        return str(error)
    return None


def _gpu(params: Params) -> list[str]:
    """Only a GPU that is asked for by name must be there; "auto" takes what there is."""
    device = sorter_params(params).sorter.get("torch_device")
    if not (isinstance(device, str) and device.startswith("cuda")):
        return []
    try:
        import torch

        if torch.cuda.is_available():
            return []
    except ImportError:
        pass
    return [
        f"spikesorting.{sorter_name(params)}.sorter.torch_device = {device!r}, but PyTorch sees no CUDA GPU here. "
        'Set it to "auto" or "cpu", or run where there is one.'
    ]


def _room(jobs: list[RecordingJob], store: Store) -> list[str]:
    raw = sum(_raw_bytes(job) for job in jobs)
    needs: dict[int, tuple[Path, float, list[str]]] = {}
    for what, root, size in (
        ("results", store.results.root, raw * RESULTS_FRACTION),
        ("scratch", store.scratch.root, raw),
    ):
        device = _existing(root).stat().st_dev
        path, total, names = needs.get(device, (root, 0.0, []))
        needs[device] = (path, total + size, [*names, what])
    problems = []
    for path, size, names in needs.values():
        free = shutil.disk_usage(_existing(path)).free
        if size > free:
            problems.append(
                f"{' and '.join(names)} need about {size / 1e9:.1f} GB at {path}, where {free / 1e9:.1f} GB are free. "
                "Make room, or choose another folder (--results, --scratch)."
            )
    return problems


def _raw_bytes(job: RecordingJob) -> float:
    if None in (job.num_channels, job.sampling_frequency, job.duration):
        return 0.0
    return BYTES_PER_SAMPLE * job.num_channels * job.sampling_frequency * job.duration  # type: ignore[operator]


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return path if path.exists() else _existing(path.parent)
