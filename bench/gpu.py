"""Kilosort 4 on a GPU: how much faster than the recording lasts, and how much of the GPU's memory at most.

The recording is that of `bench/accuracy.py`. It is preprocessed and written to scratch first, and Kilosort alone is
timed, with spikepipe's default params.

    python bench/gpu.py OUT --channels 384 --seconds 600
    python bench/gpu.py OUT --device cpu --seconds 20 --channels 32     # the same code where there is no GPU

Exit status 2: there is no GPU, and `--device cpu` was not given.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import accuracy
import torch

from spikepipe_core.params import Params
from spikepipe_core.sorters import sorter_entry
from spikepipe_core.stages.sorters import device_of, sorter_arguments
from spikepipe_core.stages.sorting import sort, sorter_params
from spikepipe_core.stages.traces import cached_traces
from spikepipe_core.store.files import remove

SORTER = "kilosort4"
CHANNELS_PER_UNIT = 6


def main() -> int:
    options = _options()
    if options.device != "cpu" and not torch.cuda.is_available():
        print("PyTorch sees no GPU here. Run on a machine with one, or give --device cpu.", file=sys.stderr)
        return 2
    options.units = max(2, options.channels // CHANNELS_PER_UNIT)
    if not (options.out / "data").exists():
        accuracy.simulate(options.out / "data", options)
    recording = cached_traces(accuracy.preprocessed(SORTER, options))

    sorter, params = sorter_entry(SORTER), sorter_params(Params())
    arguments, _ = sorter_arguments(
        sorter,
        {**params.sorter, "torch_device": options.device},
        drift_correction=True,
        job_kwargs={"n_jobs": options.n_jobs},
    )
    remove(options.out / "sorter")
    started = time.monotonic()
    found = sort(recording, sorter, arguments, options.out / "sorter")
    seconds = time.monotonic() - started
    remove(options.out / "sorter")

    print(f"device:            {device_of(sorter, arguments)}")
    print(f"recording:         {recording.get_num_channels()} channels, {options.seconds:g} s")
    print(f"found:             {found.sorting.get_num_units()} units")
    print(f"seconds:           {seconds:.0f}")
    print(f"real-time factor:  {options.seconds / seconds:.2f} s of recording a second")
    print(f"peak GPU memory:   {_gpu_memory()}")
    return 0


def _gpu_memory() -> str:
    if not torch.cuda.is_available():
        return "none used"
    return f"{torch.cuda.max_memory_reserved() / 2**30:.2f} GiB"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--device", default="auto", help="as Kilosort's torch_device: auto, cpu, cuda, cuda:1"
    )
    parser.add_argument("--channels", type=int, default=384)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--n_jobs", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
