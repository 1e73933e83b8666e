"""Peak memory of every stage, and what `spikepipe_core.sizing` estimates for it.

Each stage runs in a process of its own, as it does in a run.

    python bench/memory.py OUT --channels 384 --seconds 120 --sorter spykingcircus2 --n_jobs 2
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from peak_memory import GIB, peak_memory
from rich.console import Console
from rich.table import Table

from spikepipe_core.demo import write_demo_session
from spikepipe_core.graph import STAGES
from spikepipe_core.ingest import discover
from spikepipe_core.params import Params
from spikepipe_core.produce import produce
from spikepipe_core.stages.stage import Work
from spikepipe_core.store import SessionEntry, Store, session_entries


def main() -> None:
    options = _options()
    data, store = options.out / "data", Store(options.out / "results", None)
    if not data.exists():
        write_demo_session(data, probes=1, seconds=options.seconds, channels=options.channels)
    params = _params(options)
    found = discover(data, params.job_dispatch)
    entry = session_entries(found.data_root, found.jobs)[0]
    store.registry.add([entry])

    table = Table("stage", "peak GiB", "estimate GiB", "seconds", title=_title(options))
    for name in STAGES:
        started = time.monotonic()
        peak, problem = peak_memory(_produce, store, entry, params, name, options.n_jobs)
        table.add_row(
            name,
            f"{peak / GIB:.2f}",
            f"{_estimate(name, entry, params, options.n_jobs):.1f}",
            problem or f"{time.monotonic() - started:.0f}",
        )
    Console(width=110).print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--channels", type=int, default=384)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--sorter", default="spykingcircus2")
    parser.add_argument("--n_jobs", type=int, default=2)
    return parser.parse_args()


def _params(options: argparse.Namespace) -> Params:
    return Params.model_validate(
        {
            "spikesorting": {"sorter": options.sorter},
            "preprocessing": {"min_preprocessing_duration": 10},
            "curation": {"noise_neural_classifier": None, "sua_mua_classifier": None},
        }
    )


def _title(options: argparse.Namespace) -> str:
    return f"{options.channels} channels, {options.seconds:g} s, {options.sorter}, n_jobs {options.n_jobs}"


def _produce(store: Store, entry: SessionEntry, params: Params, name: str, n_jobs: int) -> None:
    stage = STAGES[name]
    job = entry.jobs[0] if stage.scope == "probe" else None
    work = Work(store=store, entry=entry, job=job, params=params, stages=STAGES, n_jobs=n_jobs)
    produce(stage, work, recompute=True)


def _estimate(name: str, entry: SessionEntry, params: Params, n_jobs: int) -> float:
    from spikepipe_core.sizing import memory_gib

    return memory_gib(name, entry.jobs[0], params, n_jobs)


if __name__ == "__main__":
    main()
