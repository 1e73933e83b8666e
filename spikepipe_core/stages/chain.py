"""A lazy chain of preprocessing steps: what was applied with which parameters, written so that it loads again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.core as si

from spikepipe_core.errors import BadDataError, StageFailedError

COMPARED_S = 0.1
"""Stretch of a written chain that is compared with the chain in memory."""

TOLERANCE = 1e-4
"""Of the largest value there: matrices come back from JSON with more digits than they had in float32."""


@dataclass(frozen=True)
class Step:
    """One preprocessing step as it was applied.

    Attributes
    ----------
    parameters : dict
        Effective parameters, as JSON values.
    """

    name: str
    parameters: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """As SpikeInterface writes a step of a pipeline."""
        return {"name": self.name, "params": self.parameters}

    @property
    def words(self) -> str:
        """The parameters as one line; long lists by their length."""
        return ", ".join(f"{key} = {_brief(value)}" for key, value in self.parameters.items())


def _brief(value: Any) -> str:
    return f"{len(value)} values" if isinstance(value, list) and len(value) > 8 else json.dumps(value)


@dataclass
class Chain:
    """A recording, and the steps that made it."""

    recording: si.BaseRecording
    steps: list[Step] = field(default_factory=list)

    def apply(
        self, function: Callable[..., si.BaseRecording], *, name: str | None = None, **parameters: Any
    ) -> None:
        """Apply a step.

        Parameters
        ----------
        function : callable
            Takes a recording and the parameters, and returns a recording.
        name : str, optional
            The function's own if not given.
        **parameters
            Recorded with the step, as they are.
        """
        self.recording = function(self.recording, **parameters)
        self.note(name or function.__name__, **parameters)

    def note(self, name: str, **parameters: Any) -> None:
        """Record a step that leaves the traces as they are."""
        self.steps.append(Step(name, {key: _plain(value) for key, value in parameters.items()}))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def write_chain(recording: si.BaseRecording, path: Path, data: Path) -> None:
    """Write a lazy chain as JSON with paths relative to the data folder, and make sure that it loads.

    Raises
    ------
    BadDataError
        Its files do not all lie below the data folder.
    StageFailedError
        SpikeInterface cannot describe a step in JSON, or what it describes loads as something else.
    """
    step = type(recording).__name__.removesuffix("Recording")
    if not recording.check_serializability("json"):
        raise StageFailedError(
            f"the preprocessed recording cannot be written: SpikeInterface cannot describe {step} in a file. Leave "
            "the step out of preprocessing.custom_preprocessing_pipeline."
        )
    recording.dump_to_json(path, relative_to=data, include_properties=True)
    if not json.loads(path.read_text()).get("relative_paths", False):
        raise BadDataError(
            f"{recording}: its files do not all lie below the data folder {data}, so the results could not be "
            "moved. Choose the folder that holds them all as --data."
        )
    try:
        again = si.load(path, base_folder=data)
        same = _same(recording, again)
    except (TypeError, ValueError, KeyError, AssertionError, AttributeError) as error:
        raise StageFailedError(
            f"the preprocessed recording cannot be loaded again: {error}. SpikeInterface does not describe {step} "
            "completely; leave the step out of preprocessing.custom_preprocessing_pipeline."
        ) from error
    if not same:
        raise StageFailedError(
            f"the preprocessed recording loads as another one: {step} draws at random, or is not described "
            "completely. Give the step a seed, or leave it out of preprocessing.custom_preprocessing_pipeline."
        )


def _same(one: si.BaseRecording, other: si.BaseRecording) -> bool:
    """Whether two recordings have the same channels, and the same traces in the middle of each segment."""
    if list(one.channel_ids) != list(other.channel_ids) or one.get_dtype() != other.get_dtype():
        return False
    size = max(1, round(COMPARED_S * one.get_sampling_frequency()))
    for segment in range(one.get_num_segments()):
        start = max(0, one.get_num_samples(segment) // 2 - size // 2)
        stop = min(start + size, one.get_num_samples(segment))
        first, second = (
            recording.get_traces(segment_index=segment, start_frame=start, end_frame=stop)
            for recording in (one, other)
        )
        largest = float(np.nanmax(np.abs(first.astype("float64")), initial=0.0))
        if not np.allclose(first, second, rtol=0, atol=TOLERANCE * largest, equal_nan=True):
            return False
    return True
