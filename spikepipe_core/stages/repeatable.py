"""Make a sorter find the same units again: no random draw without a seed, nothing that hangs on which worker was first.

SpikeInterface hands a sorter's ``seed`` to most of its steps. What it leaves out (release 0.105.3) makes two runs of
SpyKING CIRCUS 2 or Lupin differ by some spikes, or by a unit:

- unseeded draws: of the chunks that set the thresholds of matched filtering (`MatchedFilteringPeakDetector`) and the
  noise in motion correction, of the spikes that decide the last merges
  (`create_sorting_analyzer_with_existing_templates`), and, in Lupin, of the peaks to cluster (`select_peaks`);
- with several workers, a detection that stops "after n peaks" counts those of each worker apart, so that the chunks it
  looks at depend on how fast each worker is (`run_node_pipeline`);
- with several workers, average waveforms are summed in single precision, each worker its own chunks, so that their
  last digits depend on who took which (`estimate_templates_with_accumulator`).

`repeatable` sees to these while a sorter runs, in this process and the workers forked from it, and puts everything
back. What is found does not depend on the number of workers either.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

CHUNKS_AT_ONCE = 16
"""Chunks after which the detected peaks are counted, whatever the number of workers; more workers than this idle."""

PARTS = 16
"""Parts of the spikes whose average waveforms are made side by side; fixed, so that the sums are always the same."""


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Seed every random draw that has no seed of its own, and fix the order of sums and counts over workers.

    Parameters
    ----------
    seed : int
        Every generator that is made without a seed gets this one; so do the global generators of
        Python, NumPy and PyTorch, which get their own state back afterwards.
    """
    with ExitStack() as stack:
        stack.enter_context(_seeded(seed))
        stack.enter_context(_seeded_torch(seed))
        stack.enter_context(_in_order())
        yield


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    original, own_seed = np.random.default_rng, seed
    numpy_state, python_state = np.random.get_state(), random.getstate()

    def default_rng(seed: Any = None) -> np.random.Generator:
        return original(own_seed if seed is None else seed)

    np.random.seed(own_seed)
    random.seed(own_seed)
    np.random.default_rng = default_rng
    try:
        yield
    finally:
        np.random.default_rng = original
        np.random.set_state(numpy_state)
        random.setstate(python_state)


@contextmanager
def _seeded_torch(seed: int) -> Iterator[None]:
    if find_spec("torch") is None:
        yield
        return
    import torch

    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


@contextmanager
def _in_order() -> Iterator[None]:
    from spikeinterface.core.node_pipeline import run_node_pipeline
    from spikeinterface.core.waveform_tools import estimate_templates_with_accumulator

    with (
        _replaced(run_node_pipeline, _counting_in_order(run_node_pipeline)),
        _replaced(
            estimate_templates_with_accumulator, _summing_in_order(estimate_templates_with_accumulator)
        ),
    ):
        yield


@contextmanager
def _replaced(function: Callable[..., Any], by: Callable[..., Any]) -> Iterator[None]:
    """Replace a function of SpikeInterface in every module that has imported it, or does so meanwhile."""
    name = function.__name__
    _swap(name, function, by)
    try:
        yield
    finally:
        _swap(name, by, function)


def _swap(name: str, old: Callable[..., Any], new: Callable[..., Any]) -> None:
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("spikeinterface") and vars(module).get(name) is old:
            setattr(module, name, new)


def _counting_in_order(run: Callable[..., Any]) -> Callable[..., Any]:
    """`run_node_pipeline` that looks at the same chunks each time when it stops after a number of peaks."""

    def run_node_pipeline(
        time_series: Any,
        nodes: Any,
        job_kwargs: Mapping[str, Any],
        *args: Any,
        skip_after_n_peaks: int | None = None,
        slices: Any = None,
        squeeze_output: bool = True,
        **more: Any,
    ) -> Any:
        if skip_after_n_peaks is None or slices is None or more.get("gather_mode", "memory") != "memory":
            # all chunks are looked at, or it is the single worker that counts
            alone = {} if skip_after_n_peaks is None else {"n_jobs": 1}
            return run(
                time_series,
                nodes,
                {**job_kwargs, **alone},
                *args,
                skip_after_n_peaks=skip_after_n_peaks,
                slices=slices,
                squeeze_output=squeeze_output,
                **more,
            )
        found: list[tuple[Any, ...]] = []
        for first in range(0, len(slices), CHUNKS_AT_ONCE):
            some = slices[first : first + CHUNKS_AT_ONCE]
            found.append(
                run(time_series, nodes, job_kwargs, *args, slices=some, squeeze_output=False, **more)
            )
            if sum(len(outputs[0]) for outputs in found) > skip_after_n_peaks:
                break
        whole = tuple(np.concatenate(parts) for parts in zip(*found, strict=True))
        return whole[0] if squeeze_output and len(whole) == 1 else whole

    return run_node_pipeline


def _summing_in_order(average: Callable[..., Any]) -> Callable[..., Any]:
    """`estimate_templates_with_accumulator` whose sums have the same order each time."""

    def estimate_templates_with_accumulator(
        recording: Any,
        spikes: np.ndarray,
        unit_ids: Any,
        *args: Any,
        n_jobs: int = 1,
        return_std: bool = False,
        **more: Any,
    ) -> Any:
        if return_std or len(spikes) == 0:
            return average(recording, spikes, unit_ids, *args, n_jobs=1, return_std=return_std, **more)
        parts = np.array_split(spikes, min(PARTS, len(spikes)))
        with ThreadPoolExecutor(n_jobs) as pool:
            means = list(
                pool.map(lambda part: average(recording, part, unit_ids, *args, n_jobs=1, **more), parts)
            )
        counts = [np.bincount(part["unit_index"], minlength=len(unit_ids))[:, None, None] for part in parts]
        total = sum(mean.astype("float64") * count for mean, count in zip(means, counts, strict=True))
        return (total / np.maximum(sum(counts), 1)).astype("float32")

    return estimate_templates_with_accumulator


@contextmanager
def limited_to(n_jobs: int) -> Iterator[None]:
    """Let the numerical libraries use as many threads as a step may use processes, not one for each core.

    PyTorch and BLAS count the machine's cores, where a pod may have few of them: their threads then wait for each
    other. A number that is always the same also keeps the order of their sums.

    Parameters
    ----------
    n_jobs : int
        Threads of BLAS, OpenMP and PyTorch's operations on the CPU.
    """
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(n_jobs))
        stack.enter_context(_torch_threads(n_jobs))
        yield


@contextmanager
def _torch_threads(n_jobs: int) -> Iterator[None]:
    if find_spec("torch") is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n_jobs)
    try:
        yield
    finally:
        torch.set_num_threads(before)
