"""Make a sorter ready to run: is it here, with which parameters, on which device."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from spikepipe_core.errors import NotAvailableError
from spikepipe_core.sorters import Sorter, is_known, known_sorters, sorter_entry

SEED = 42
"""Seed of every sorter whose params say none: that of SpyKING CIRCUS 2, the only one to have a default."""

IMAGE_VARIABLE = "SPIKEPIPE_SORTER_IMAGE"
"""Environment variable: container image (or path of a .sif file) that replaces the one of the sorter's entry."""


def find_sorter(name: str) -> Sorter:
    """The entry of a sorter that can run on this machine.

    Raises
    ------
    NotAvailableError
        Nobody knows this sorter, or it cannot run on this machine.
    """
    import spikeinterface.sorters as ss

    if not is_known(name):
        raise NotAvailableError(
            f"spikesorting.sorter: {name!r} is no spike sorter that spikepipe, another package or SpikeInterface has. "
            f"Choose one of {', '.join(known_sorters())}."
        )
    sorter = sorter_entry(name)
    wrapper = _wrapper(sorter)
    if not wrapper.is_installed() and not container_of(sorter):
        install = sorter.install or " ".join(wrapper.installation_mesg.split())
        raise NotAvailableError(
            f"spikesorting.sorter: {name} cannot run on this machine. To make it run: {install}; "
            f"or choose one that can: {', '.join(ss.installed_sorters())}."
        )
    return sorter


def default_parameters(sorter: Sorter) -> dict[str, Any]:
    """The parameters that the installed SpikeInterface's wrapper of a sorter takes, with its own defaults.

    Empty where SpikeInterface learns them from the sorter's package and that is not installed (Kilosort 4).
    """
    return _wrapper(sorter).default_params()


def _wrapper(sorter: Sorter) -> Any:
    """SpikeInterface's class that runs a sorter; one of another package is made known to it first."""
    from spikeinterface.sorters import sorter_dict

    name = sorter.spikeinterface_name
    if name not in sorter_dict and sorter.wrapper is not None:
        sorter_dict[name] = sorter.wrapper()
    if name not in sorter_dict:
        raise NotAvailableError(
            f"spikesorting.sorter: the entry of {sorter.name} names {name!r}, which SpikeInterface does not have. "
            "Correct its spikeinterface_name, or give it a wrapper."
        )
    return sorter_dict[name]


def container_of(sorter: Sorter) -> dict[str, str]:
    """The argument that makes `run_sorter` use a container: only where the sorter itself is not installed.

    Returns
    -------
    dict
        Empty if the sorter is installed, has no image, or there is neither Singularity (Apptainer) nor Docker with the
        Python package that SpikeInterface drives it by.
    """
    from spikeinterface.sorters.utils.misc import has_docker, has_docker_python, has_singularity, has_spython

    image = os.environ.get(IMAGE_VARIABLE) or sorter.container
    if image is None or _wrapper(sorter).is_installed():
        return {}
    if has_singularity() and has_spython():
        return {"singularity_image": image}
    if has_docker() and has_docker_python():
        return {"docker_image": image}
    return {}


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
    defaults = default_parameters(sorter)
    arguments, changes = dict(chosen), []
    for key, value in chosen.items():
        # Older releases took null for "the default"; today's take a number.
        if value is None and defaults.get(key) is not None and key not in sorter.takes_null:
            arguments[key] = defaults[key]
            changes.append(f"{key}: null means {defaults[key]!r} in this version of {sorter.name}")
    if "seed" in defaults and arguments.get("seed") is None:
        arguments["seed"] = SEED
    if not drift_correction:
        arguments |= {k: v for k, v in sorter.without_drift_correction.items() if k in defaults}
    if "job_kwargs" in defaults:
        arguments["job_kwargs"] = {**job_kwargs, **(arguments.get("job_kwargs") or {})}
    else:
        arguments = {**{key: value for key, value in job_kwargs.items() if key in defaults}, **arguments}
    return arguments, changes


def seed_of(arguments: Mapping[str, Any]) -> int:
    """The seed that a sorter runs with: its own parameter, or ours where it has none."""
    seed = arguments.get("seed")
    return SEED if seed is None else int(seed)


def device_of(sorter: Sorter, arguments: Mapping[str, Any]) -> str:
    """The device that a sorter computes on, in words: "cpu", "cuda (NVIDIA H100)".

    Raises
    ------
    NotAvailableError
        `torch_device` asks for a GPU that is not there.
    """
    if not sorter.gpu:
        return "cpu"
    asked = arguments.get("torch_device")
    if asked is None:
        return "gpu, chosen by the sorter itself"
    import torch

    device = (
        torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if asked == "auto"
        else torch.device(asked)
    )
    if device.type != "cuda":
        return str(device)
    if not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count():
        raise NotAvailableError(
            f"spikesorting.{sorter.name}.sorter.torch_device = {asked!r}, but PyTorch sees no such GPU here. "
            'Set it to "auto" or "cpu", or run where there is one.'
        )
    return f"{device} ({torch.cuda.get_device_name(device)})"
