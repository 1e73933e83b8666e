"""`spikepipe demo`: a session with known ground truth, processed, and what of the truth was found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from spikepipe_assets.deployment import Deployment
from spikepipe_assets.run import Finished, summaries, verdict
from spikepipe_core.demo import DEFAULT_CHANNELS, ground_truth_folder, read_ground_truth, write_demo_session
from spikepipe_core.params import SorterName
from spikepipe_core.store import Store

ACCURACY = 0.8
"""A unit counts as recovered from this accuracy on, as in SpikeForest (Magland et al. 2020)."""

CLEAR_SNR = 5.0
"""Units below it are expected to be missed now and then."""

PARAMS = {
    # No network: the demo uses no hub model. The rest is as by default.
    "curation": {"noise_neural_classifier": None, "sua_mua_classifier": None},
    # The defaults are for recordings of hours with many more spikes than a demo of minutes has.
    "visualization": {"drift": {"n_skip": 1, "alpha": 0.6}},
}


@dataclass(frozen=True)
class Recovered:
    """How much of a probe's ground truth was found.

    Attributes
    ----------
    units, recovered : int
        All true units, and those found with an accuracy of at least `ACCURACY`.
    clear, clear_recovered : int
        The same for those with an SNR above `CLEAR_SNR`.
    """

    units: int
    recovered: int
    clear: int
    clear_recovered: int


def generate(
    out: Path,
    console: Console,
    *,
    probes: int,
    seconds: float,
    channels: int | None,
    seed: int,
    format: str = "spikeglx",
) -> Path:
    """Write a demo session with a bar that shows how far it is.

    Returns
    -------
    Path
        The session's folder or file.
    """
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), console=console
    ) as bar:
        task = bar.add_task("simulating", total=1.0)
        return write_demo_session(
            out,
            probes=probes,
            seconds=seconds,
            seed=seed,
            channels=channels or DEFAULT_CHANNELS,
            format=format,
            progress=lambda done, words: bar.update(task, completed=done, description=words),
        )


def demo_deployment(out: Path, *, sorter: SorterName, n_jobs: int | None) -> Deployment:
    """Where the demo's results go, and the params it is processed with."""
    return Deployment(results=out / "results", data=out / "data", params=PARAMS, sorter=sorter, n_jobs=n_jobs)


def compare(finished: Finished, store: Store, data: Path) -> dict[str, Recovered]:
    """Compare the curated units of every probe with its ground truth."""
    import spikeinterface.core as si
    from spikeinterface.comparison import compare_sorter_to_ground_truth

    found: dict[str, Recovered] = {}
    for entry in finished.entries:
        for job in entry.jobs:
            truth, facts = read_ground_truth(ground_truth_folder(data, job.probe))
            sorting = store.results.root / entry.session_folder / "curated" / job.recording_name
            accuracy = {}
            if sorting.exists():
                comparison = compare_sorter_to_ground_truth(truth, si.load(sorting), exhaustive_gt=True)
                accuracy = comparison.get_performance()["accuracy"].astype(float).to_dict()
            good = {unit for unit, value in accuracy.items() if value >= ACCURACY}
            clear = {unit.unit_id for unit in facts.units if unit.snr > CLEAR_SNR}
            found[job.probe] = Recovered(len(facts.units), len(good), len(clear), len(good & clear))
    return found


def demo_table(finished: Finished, store: Store, recovered: dict[str, Recovered]) -> Table:
    """One line a probe: what went in, what came out, and how much of the truth that is."""
    table = Table(title="Demo", title_justify="left")
    clear = f"recovered, SNR > {CLEAR_SNR:g}"
    numbers = ("duration (s)", "channels", "units", "true units recovered", clear, "passing", "seconds")
    for column in ("probe", *numbers, "outcome"):
        table.add_column(column, justify="right" if column in numbers else "left")
    for entry in finished.entries:
        for job in entry.jobs:
            facts, truth = summaries(store, entry, job.probe), recovered[job.probe]
            table.add_row(
                job.probe,
                f"{facts['recording']['duration_s']:g}" if "recording" in facts else "",
                str(facts.get("recording", {}).get("channels", "")),
                str(facts.get("analyzer", {}).get("units", "")),
                f"{truth.recovered} of {truth.units}",
                f"{truth.clear_recovered} of {truth.clear}",
                str(facts.get("curated_units", {}).get("passing", "")),
                f"{finished.seconds[entry.session, job.probe]:.0f}",
                verdict(finished.outcomes[entry.session, job.probe]),
            )
    return table
