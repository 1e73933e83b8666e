"""Recall of the sorters on a recording with known spikes: through spikepipe, and run by hand in SpikeInterface.

The recording is SpikeInterface's own simulation: a Neuropixels 1.0 probe, units that drift to and fro by 40 um at
most, noise that neighbours share. spikepipe reads, preprocesses and sorts it with its default params. By hand,
SpikeInterface's `run_sorter` sorts the same preprocessed traces with SpikeInterface's default parameters. A unit counts
as found if its accuracy (hits / (hits + misses + false positives)) is 0.8 or more.

What is made stays in OUT; a second call goes on from there.

    python bench/accuracy.py OUT --channels 384 --seconds 120 --units 60
    python bench/accuracy.py OUT --channels 32 --seconds 30 --units 8 --sorters spykingcircus2

Exit status 1: a sorter finds fewer units through spikepipe than by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import spikeinterface.core as si
from rich.console import Console
from rich.table import Table

from spikepipe_core.demo.simulation import neuropixels_subset
from spikepipe_core.graph import STAGES
from spikepipe_core.ingest import discover
from spikepipe_core.params import Params
from spikepipe_core.produce import produce
from spikepipe_core.sorters import sorter_entry
from spikepipe_core.stages.sorting import load_sorting
from spikepipe_core.stages.stage import Work
from spikepipe_core.stages.traces import cached_traces
from spikepipe_core.store import Store, session_entries
from spikepipe_core.store.files import remove

FOUND = 0.8
"""Accuracy from which a unit counts as found (Buccino et al. 2020, doi:10.7554/eLife.61834)."""

GAIN_UV = 0.2
DRIFT_UM = 20.0
SEED = 0


def main() -> int:
    options = _options()
    data = options.out / "data"
    if not data.exists():
        simulate(data, options)
    truth = si.load(data.with_name("truth"))
    scores = {}
    for sorter in options.sorters:
        ways = {"spikepipe": through_spikepipe, "by hand": by_hand}
        for way, run in ways.items():
            scores[sorter, way] = _kept(options.out / "scores", sorter, way, run, truth, options)
            _print(options, scores)
    return int(any(_below(scores, sorter) for sorter in options.sorters))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--channels", type=int, default=384)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--units", type=int, default=60)
    parser.add_argument("--sorters", nargs="+", default=["spykingcircus2", "lupin", "kilosort4"])
    parser.add_argument("--n_jobs", type=int, default=2)
    return parser.parse_args()


def simulate(data: Path, options: argparse.Namespace) -> None:
    """Write a drifting recording as int16, and beside it the true spikes."""
    from spikeinterface.generation import generate_drifting_recording
    from spikeinterface.preprocessing import scale

    motion = {
        "drift_mode": "zigzag",
        "non_rigid_gradient": None,
        "t_start_drift": options.seconds / 10,
        "t_end_drift": None,
        "period_s": options.seconds,
    }
    _, drifting, truth = generate_drifting_recording(
        num_units=options.units,
        duration=options.seconds,
        probe=neuropixels_subset(options.channels),
        generate_displacement_vector_kwargs={
            "displacement_sampling_frequency": 5.0,
            "drift_start_um": [0, DRIFT_UM],
            "drift_stop_um": [0, -DRIFT_UM],
            "drift_step_um": 1,
            "motion_list": [motion],
        },
        seed=SEED,
    )
    counts = scale(drifting, gain=1 / GAIN_UV, dtype="int16")
    counts.set_channel_gains(GAIN_UV)
    counts.set_channel_offsets(0.0)
    si.NumpySorting.from_sorting(truth).save(folder=data.with_name("truth"), overwrite=True)
    draft = data.with_name("data.partial")
    remove(draft)
    counts.save(folder=draft / "imec0", n_jobs=options.n_jobs, progress_bar=False)
    draft.rename(data)


# --- sorting ----------------------------------------------------------------------------------------------------------


def through_spikepipe(sorter: str, options: argparse.Namespace) -> si.BaseSorting:
    """The units that spikepipe finds with its default params."""
    work = preprocessed(sorter, options)
    produce(work.stages["sorting"], work)
    return load_sorting(work)


def by_hand(sorter: str, options: argparse.Namespace) -> si.BaseSorting:
    """The units that SpikeInterface finds with its default parameters on the same preprocessed traces."""
    from spikeinterface.sorters import run_sorter

    recording = cached_traces(preprocessed(sorter, options))
    si.set_global_job_kwargs(n_jobs=options.n_jobs)
    folder = options.out / "by_hand"
    remove(folder)
    found = run_sorter(sorter_entry(sorter).spikeinterface_name, recording, folder=folder, verbose=True)
    found = si.NumpySorting.from_sorting(found, copy_spike_vector=True)
    remove(folder)
    return found


def preprocessed(sorter: str, options: argparse.Namespace) -> Work:
    """The recording job, preprocessed."""
    params = Params.model_validate(
        {
            "job_dispatch": {
                "input": "spikeinterface",
                "spikeinterface_info": {"reader_type": "spikeinterface"},
            },
            "preprocessing": {"min_preprocessing_duration": 0},
            "spikesorting": {"sorter": sorter},
        }
    )
    found = discover(options.out / "data", params.job_dispatch)
    store = Store(options.out / "results", None)
    entry = session_entries(found.data_root, found.jobs)[0]
    store.registry.add([entry])
    work = Work(store, entry, entry.jobs[0], params, STAGES, n_jobs=options.n_jobs, say=print)
    for name in ("recording", "preprocessed_recording"):
        produce(work.stages[name], work)
    return work


# --- scores -----------------------------------------------------------------------------------------------------------


def _kept(
    folder: Path,
    sorter: str,
    way: str,
    run: Callable[[str, argparse.Namespace], si.BaseSorting],
    truth: si.BaseSorting,
    options: argparse.Namespace,
) -> dict[str, float]:
    file = folder / f"{sorter} {way}.json"
    if not file.is_file():
        started = time.monotonic()
        made = score(truth, run(sorter, options))
        folder.mkdir(exist_ok=True)
        file.write_text(json.dumps({**made, "seconds": time.monotonic() - started}))
    return json.loads(file.read_text())


def score(truth: si.BaseSorting, found: si.BaseSorting) -> dict[str, float]:
    """How many of the true units were found, and how well."""
    from spikeinterface.comparison import compare_sorter_to_ground_truth

    compared = compare_sorter_to_ground_truth(truth, found, exhaustive_gt=True)
    accuracy = np.asarray(compared.get_performance()["accuracy"], dtype=float)
    return {
        "true": len(accuracy),
        "found": int((accuracy >= FOUND).sum()),
        "mean_accuracy": float(accuracy.mean()),
        "units": found.get_num_units(),
        "false_positive": len(compared.get_false_positive_units()),
    }


def _below(scores: dict[tuple[str, str], dict[str, float]], sorter: str) -> bool:
    return scores[sorter, "spikepipe"]["found"] < scores[sorter, "by hand"]["found"]


def _print(options: argparse.Namespace, scores: dict[tuple[str, str], dict[str, float]]) -> None:
    title = f"{options.channels} channels, {options.seconds:g} s, {options.units} units"
    table = Table(
        "sorter",
        "way",
        f"recall at accuracy >= {FOUND}",
        "mean accuracy",
        "units",
        "false",
        "seconds",
        title=title,
    )
    for (sorter, way), made in scores.items():
        table.add_row(
            sorter,
            way,
            f"{made['found'] / made['true']:.2f} ({made['found']} of {made['true']})",
            f"{made['mean_accuracy']:.3f}",
            str(made["units"]),
            str(made["false_positive"]),
            f"{made['seconds']:.0f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    sys.exit(main())
