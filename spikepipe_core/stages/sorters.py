"""The spike sorters spikepipe knows, one entry each; any other that SpikeInterface has works by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spikepipe_core.errors import NotAvailableError

SEED = 42
"""Seed of every sorter whose params say none: that of SpyKING CIRCUS 2, the only one to have a default."""


@dataclass(frozen=True)
class Sorter:
    """A spike sorter.

    Attributes
    ----------
    name : str
        As the params file spells it.
    spikeinterface_name : str
        As `spikeinterface.sorters.run_sorter` spells it.
    without_drift_correction : mapping
        Sorter parameters that switch its own drift correction off; empty if it has none.
    gpu : bool
        Uses a GPU when there is one.
    install : str
        How to make it runnable.
    """

    name: str
    spikeinterface_name: str
    without_drift_correction: Mapping[str, Any] = field(default_factory=dict)
    gpu: bool = False
    install: str = "install it as SpikeInterface's documentation describes"


SORTERS = {
    sorter.name: sorter
    for sorter in (
        Sorter(
            "kilosort4",
            "kilosort4",
            without_drift_correction={"do_correction": False, "nblocks": 0},
            gpu=True,
            install="pip install 'spikepipe[kilosort4]'",
        ),
        Sorter(
            "kilosort25",
            "kilosort2_5",
            without_drift_correction={"do_correction": False, "nblocks": 0},
            gpu=True,
            install="put the compiled Kilosort 2.5 on the PATH, or set KILOSORT2_5_PATH to its MATLAB folder",
        ),
        Sorter(
            "spykingcircus2", "spykingcircus2", without_drift_correction={"apply_motion_correction": False}
        ),
        Sorter("lupin", "lupin", without_drift_correction={"apply_motion_correction": False}),
    )
}


def find_sorter(name: str) -> Sorter:
    """The entry of a sorter; a generic one for those that only SpikeInterface knows.

    Raises
    ------
    NotAvailableError
        Nobody knows this sorter, or it cannot run on this machine.
    """
    import spikeinterface.sorters as ss

    sorter = SORTERS.get(name) or Sorter(name, name)
    if sorter.spikeinterface_name not in ss.available_sorters():
        raise NotAvailableError(
            f"spikesorting.sorter: {name!r} is no spike sorter that SpikeInterface knows. "
            f"Choose one of {', '.join(SORTERS)}."
        )
    if not ss.sorter_dict[sorter.spikeinterface_name].is_installed():
        raise NotAvailableError(
            f"spikesorting.sorter: {name} cannot run on this machine. To make it run: {sorter.install}; "
            f"or choose one that can: {', '.join(ss.installed_sorters())}."
        )
    return sorter


def sorter_arguments(
    sorter: Sorter, chosen: Mapping[str, Any], *, drift_correction: bool, job_kwargs: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The parameters to run a sorter with, under the installed SpikeInterface.

    Parameters
    ----------
    chosen : mapping
        The params file's `sorter` dictionary.
    drift_correction : bool
        Whether the sorter may correct for drift itself.
    job_kwargs : mapping
        Parallelism, as SpikeInterface's functions take it.

    Returns
    -------
    arguments : dict
    changes : list of str
        What was translated for the installed version, in words.
    """
    import spikeinterface.sorters as ss

    defaults = ss.get_default_sorter_params(sorter.spikeinterface_name)
    arguments, changes = dict(chosen), []
    for key, value in chosen.items():
        # Older releases took null for "the default"; today's take a number.
        if value is None and defaults.get(key) is not None:
            arguments[key] = defaults[key]
            changes.append(f"{key}: null means {defaults[key]!r} in this version of {sorter.name}")
    if "seed" in defaults and arguments.get("seed") is None:
        arguments["seed"] = SEED
    if not drift_correction:
        arguments |= {k: v for k, v in sorter.without_drift_correction.items() if k in defaults}
    if "job_kwargs" in defaults:
        arguments["job_kwargs"] = {**job_kwargs, **arguments.get("job_kwargs", {})}
    else:
        arguments = {**{key: value for key, value in job_kwargs.items() if key in defaults}, **arguments}
    return arguments, changes


def seed_of(arguments: Mapping[str, Any]) -> int:
    """The seed that a sorter runs with: its own parameter, or ours where it has none."""
    seed = arguments.get("seed")
    return SEED if seed is None else int(seed)


def workers_of(arguments: Mapping[str, Any]) -> int:
    """The number of workers that a sorter runs with."""
    return int({**arguments, **arguments.get("job_kwargs", {})}.get("n_jobs", 1))
