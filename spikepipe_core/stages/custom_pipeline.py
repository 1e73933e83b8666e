"""A preprocessing pipeline of the user's own, in SpikeInterface's dictionary form.

Any step that SpikeInterface's pipeline knows may be in it. Steps that draw at random get a seed if the user gives
none, so that two runs agree. Three steps are not described by SpikeInterface 0.105 in a form that loads again
(`silence_periods`, `detect_and_remove_artifacts`, and `remove_artifacts` with a mean artifact): they are made so here.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import spikeinterface.core as si
from spikeinterface.preprocessing.silence_periods import SilencedPeriodsRecording

from spikepipe_core.errors import ParamsError
from spikepipe_core.stages.bad_channels import Labels
from spikepipe_core.stages.chain import Chain
from spikepipe_core.stages.reloadable import SilencedRecording

SEED = 0
"""Given to steps that draw at random and to which the user gives none."""

_HAND_ON_TO_RANDOM_CHUNKS = "random_chunk_kwargs"
_DETECTION = ("detect_and_remove_bad_channels", "detect_and_interpolate_bad_channels")


def apply_custom(
    chain: Chain, pipeline: Mapping[str, Mapping[str, Any]], job_kwargs: dict[str, Any]
) -> Labels:
    """Apply a pipeline to a chain, step by step.

    Parameters
    ----------
    pipeline : mapping
        Step name to arguments, in order.
    job_kwargs : dict
        Parallelism of steps that read the traces.

    Returns
    -------
    dict
        Channel labels, if a step looked for bad channels.

    Raises
    ------
    ParamsError
        SpikeInterface has no step of that name.
    """
    from spikeinterface.preprocessing.pipeline import pp_names_to_functions

    labels: Labels = {}
    made = {"raw": chain.recording}
    with _global_job_kwargs(job_kwargs):
        for name, given in pipeline.items():
            if name not in pp_names_to_functions:
                raise ParamsError(
                    f"preprocessing.custom_preprocessing_pipeline: SpikeInterface has no step {name!r}. It has "
                    f"{', '.join(pp_names_to_functions)}."
                )
            arguments = _seeded(name, pp_names_to_functions[name], copy.deepcopy(dict(given)))
            before = chain.recording
            try:
                chain.apply(_step(pp_names_to_functions[name], made), name=name, **arguments)
            except TypeError as error:
                raise ParamsError(f"preprocessing.custom_preprocessing_pipeline.{name}: {error}") from error
            made[name] = chain.recording
            if name in _DETECTION:
                labels = _labels(before, chain.recording)
    return labels


def _seeded(name: str, function: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments, with a seed if the step takes one."""
    takes = inspect.signature(inspect.unwrap(function)).parameters
    draws = "seed" in takes or _HAND_ON_TO_RANDOM_CHUNKS in takes or name in _DETECTION
    if draws and arguments.get("seed") is None:  # null draws anew at every load, as no seed does
        arguments["seed"] = SEED
    if name == "remove_artifacts" and arguments.get("mode") in ("median", "average"):
        # Labels must be texts, or the description in JSON finds no artifact under them.
        triggers = arguments.get("list_triggers") or []
        triggers = triggers if all(isinstance(one, list) for one in triggers) else [triggers]
        arguments.setdefault("list_labels", [["artifact"] * len(times) for times in triggers])
    return arguments


def _step(function: Any, made: Mapping[str, si.BaseRecording]) -> Any:
    """A step whose result can be described in JSON.

    Parameters
    ----------
    made : mapping
        Recordings by the step that made them: an argument ``pipeline[<step>]`` stands for one, ``pipeline[raw]`` for
        what the pipeline began with, as in SpikeInterface.
    """

    def apply(recording: si.BaseRecording, **arguments: Any) -> si.BaseRecording:
        given = {key: _referred(value, made) for key, value in arguments.items()}
        result = function(recording, **given)
        if isinstance(result, SilencedPeriodsRecording) and not result.check_serializability("json"):
            return SilencedRecording.from_spikeinterface(result)
        return result

    return apply


def _referred(value: Any, made: Mapping[str, si.BaseRecording]) -> Any:
    if not (isinstance(value, str) and value.startswith("pipeline[") and value.endswith("]")):
        return value
    name = value.removeprefix("pipeline[").removesuffix("]")
    if name not in made:
        raise ParamsError(
            f"preprocessing.custom_preprocessing_pipeline: {value!r} names no step before it: {', '.join(made)}."
        )
    return made[name]


def _labels(before: si.BaseRecording, after: si.BaseRecording) -> Labels:
    """What a detecting step found, as SpikeInterface leaves it among the step's arguments."""
    found = after._kwargs.get("channel_labels")
    if found is None:
        bad = {str(channel) for channel in after._kwargs.get("bad_channel_ids", ())}
        found = ["noise" if str(channel) in bad else "good" for channel in before.channel_ids]
    return {
        str(channel): str(label) for channel, label in zip(before.channel_ids, np.asarray(found), strict=True)
    }


@contextmanager
def _global_job_kwargs(job_kwargs: dict[str, Any]) -> Iterator[None]:
    """SpikeInterface's global parallelism: given as an argument, a step would record it as its own."""
    before = si.get_global_job_kwargs()
    si.set_global_job_kwargs(**{key: value for key, value in job_kwargs.items() if value is not None})
    try:
        yield
    finally:
        si.reset_global_job_kwargs()
        si.set_global_job_kwargs(**before)
