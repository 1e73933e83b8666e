"""``--<step>_args="..."``: any key of a step's params, and the flags that the AIND pipeline's users know.

The text of such an option is a command line of its own: ``--key VALUE``, with dots for nesting, ``-`` or ``_``, JSON
values, and switches without a value. What it says becomes a partial params dict: the layer "the command line",
which wins over every file. `spikepipe_assets.step_flags` knows what each flag means.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

__all__ = ["STEP_OPTIONS", "add_step_arguments", "join_step_arguments", "step_overrides"]

STEP_OPTIONS: dict[str, tuple[str, ...]] = {
    "job_dispatch": ("--job_dispatch_args", "--job-dispatch-args"),
    "preprocessing": ("--preprocessing_args", "--preprocessing-args"),
    "spikesorting": ("--spikesorting_args", "--spikesorting-args", "--spikesort_args", "--spikesort-args"),
    "postprocessing": ("--postprocessing_args", "--postprocessing-args"),
    "curation": ("--curation_args", "--curation-args"),
    "visualization": (
        "--visualization_args",
        "--visualization-args",
        "--visualization_kwargs",
        "--visualization-kwargs",
    ),
    "nwb_ecephys": ("--nwb_ecephys_args", "--nwb-ecephys-args"),
}
"""The options of each step: both spellings, and the AIND pipeline's other names for two of them."""

_EXAMPLES = {
    "job_dispatch": "--input spikeglx --debug --debug-duration 120",
    "preprocessing": "--motion compute --motion-preset dredge_fast --denoising destripe",
    "spikesorting": "--skip-motion-correction --sorter.Th_universal 8",
    "postprocessing": "--skip-extensions spike_locations,correlograms",
    "curation": "--query 'snr > 4' --sua-mua-classifier null",
    "visualization": "--drift.n_skip 10",
    "nwb_ecephys": "--backend hdf5 --skip-lfp",
}


def add_step_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--<step>_args`` of every step, in both spellings."""
    group = parser.add_argument_group(
        "arguments of single steps",
        "Each takes a text of arguments that name keys of the step's params: --key VALUE, with dots for nested keys,"
        " - or _, JSON values (null too); --key alone switches on, --no-key off. They win over the params file.",
    )
    for step, names in STEP_OPTIONS.items():
        group.add_argument(
            *names,
            dest=_destination(step),
            action="append",
            metavar='"ARGS"',
            help=f'e.g. {names[0]}="{_EXAMPLES[step]}"',
        )


def join_step_arguments(arguments: Sequence[str]) -> list[str]:
    """Write ``--<step>_args TEXT`` as ``--<step>_args=TEXT``: argparse takes no separate value that begins with --."""
    names = {name for names in STEP_OPTIONS.values() for name in names}
    joined: list[str] = []
    waiting = False
    for argument in arguments:
        if waiting:
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
        waiting = not waiting and argument in names
    return joined


def step_overrides(namespace: argparse.Namespace) -> dict[str, Any]:
    """Return what all ``--<step>_args`` say, as partial params of today's layout.

    Parameters
    ----------
    namespace : argparse.Namespace
        Parsed by a parser that `add_step_arguments` extended. An option may be given several times; the latest value
        of a key wins.

    Raises
    ------
    InvalidParamsError
        Everything that is wrong in any of them: the flag, its value, what is allowed, the closest known flag.
    """
    texts = [
        (step, names[0], text)
        for step, names in STEP_OPTIONS.items()
        for text in getattr(namespace, _destination(step), None) or ()
    ]
    if not texts:
        return {}
    # Only now: the models take a third of a second to import, which `spikepipe --help` need not wait for.
    from spikepipe_assets.step_flags import overrides_of

    return overrides_of(texts, _chosen_sorters(namespace))


def _chosen_sorters(namespace: argparse.Namespace) -> list[str]:
    """Return the sorters that other options name: a flag that every sorter has is meant for them too."""
    from spikepipe_core.params import read_params_file

    file = getattr(namespace, "params_file", None)
    section = read_params_file(file).get("spikesorting") if file else None
    names = (getattr(namespace, "sorter", None), section.get("sorter") if isinstance(section, dict) else None)
    return [name for name in names if isinstance(name, str)]


def _destination(step: str) -> str:
    return f"{step}_args"
