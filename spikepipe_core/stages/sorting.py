"""Spike sorting: run the chosen sorter on the preprocessed traces.

The sorter works in scratch. Its units are cleaned of what cannot be right (empty units, spikes beyond the
end of the recording) and saved as a SpikeInterface sorting folder, with the sorter's own log and parameters beside it.
A recording without any unit is left out from here on, with the reason in the ledger.

Settings that decide: the `spikesorting` section's entry of the chosen sorter; `preprocessing.motion_correction` if
motion is applied before sorting.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.core as si

from spikepipe_core.compiled import keep_compiled
from spikepipe_core.errors import SkippedByRule, StageFailedError
from spikepipe_core.params import Params, SorterParams, resolve_sorter
from spikepipe_core.stages.motion import motion_corrected
from spikepipe_core.stages.repeatable import limited_to, repeatable
from spikepipe_core.stages.sorters import Sorter, find_sorter, seed_of, sorter_arguments, workers_of
from spikepipe_core.stages.stage import Built, Stage, Work
from spikepipe_core.stages.traces import cached_traces
from spikepipe_core.store.files import remove, write_json

ARGUMENTS, LOG = "sorter_params.json", "sorter_log.json"


@dataclass(frozen=True)
class Sorted:
    """Units as the sorter found them, cleaned of what cannot be right."""

    sorting: si.BaseSorting
    empty_units: int
    excess_spikes: int


def sort(recording: si.BaseRecording, sorter: Sorter, arguments: dict[str, Any], folder: Path) -> Sorted:
    """Run a sorter; several segments are sorted as one and split back.

    Parameters
    ----------
    recording : BaseRecording
        Preprocessed traces with a probe.
    arguments : dict
        Parameters of the sorter, as the installed SpikeInterface takes them.
    folder : Path
        The sorter's working folder; must not exist.

    Raises
    ------
    StageFailedError
        The sorter failed; the message ends with the last line of its trace.
    """
    import spikeinterface.sorters as ss
    from spikeinterface.curation import remove_excess_spikes
    from spikeinterface.sorters.utils import SpikeSortingError

    keep_compiled()
    whole = recording if recording.get_num_segments() == 1 else si.concatenate_recordings([recording])
    try:
        with limited_to(workers_of(arguments)), repeatable(seed_of(arguments)):
            sorting = ss.run_sorter(
                sorter.spikeinterface_name, whole, folder=folder, verbose=True, raise_error=True, **arguments
            )
    except SpikeSortingError as error:
        lines = [line for line in str(error).strip().splitlines() if line.strip()]
        cause = next((line for line in reversed(lines) if "Error" in line), lines[-1])
        raise StageFailedError(
            f"{sorter.name} failed: {cause.strip()}. Its working folder with the log is {folder}."
        ) from error
    spikes = sorting.count_total_num_spikes()
    sorting = remove_excess_spikes(sorting, whole)
    excess = spikes - sorting.count_total_num_spikes()
    units = sorting.get_num_units()
    sorting = sorting.remove_empty_units()
    if whole is not recording:
        sorting = si.split_sorting(sorting, [recording])
    return Sorted(sorting, units - sorting.get_num_units(), excess)


def drift_correction_allowed(
    params: SorterParams, *, already_corrected: bool, channels: int
) -> tuple[bool, str]:
    """Whether the sorter may correct for drift itself, and why (not)."""
    if params.skip_motion_correction:
        return False, "switched off by skip_motion_correction"
    if already_corrected:
        return False, "switched off: motion is corrected before sorting"
    if channels < params.min_drift_channels:
        return (
            False,
            f"switched off: {channels} channels, fewer than min_drift_channels = {params.min_drift_channels}",
        )
    return True, "as the sorter's parameters say"


def build(work: Work) -> Built:
    """Sort a recording job."""
    name = sorter_name(work.params)
    sorter, params = find_sorter(name), sorter_params(work.params)
    recording = cached_traces(work)
    apply_motion = work.params.preprocessing.motion_correction.apply
    if apply_motion:
        recording = motion_corrected(work, recording)
    allowed, drift = drift_correction_allowed(
        params, already_corrected=apply_motion, channels=recording.get_num_channels()
    )
    arguments, changes = sorter_arguments(
        sorter, params.sorter, drift_correction=allowed, job_kwargs=work.job_kwargs(params.job_kwargs)
    )
    if getattr(params, "clear_cache", False):
        arguments["clear_cache"] = True
    for change in changes:
        work.say(change)
    work.say(f"{name} on {recording.get_num_channels()} channels; drift correction {drift}")

    folder = work.scratch.path(work.scratch_ref("sorter"))
    remove(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    result = _sort_or_skip(recording, sorter, arguments, folder, params)
    if result.sorting.get_num_units() == 0:
        remove(folder)
        raise SkippedByRule(f"{name} found no units")
    _save(result.sorting, work.path, folder)
    remove(folder)
    return _describe(result, sorter, drift)


def _sort_or_skip(
    recording: si.BaseRecording, sorter: Sorter, arguments: dict[str, Any], folder: Path, params: SorterParams
) -> Sorted:
    """Sort; with `raise_if_fails` false a failing sorter leaves the recording out instead of failing it."""
    try:
        return sort(recording, sorter, arguments, folder)
    except StageFailedError as error:
        if params.raise_if_fails:
            raise
        raise SkippedByRule(f"raise_if_fails is false, and {error}") from error


def _save(sorting: si.BaseSorting, path: Path, sorter_folder: Path) -> None:
    in_memory = si.NumpySorting.from_sorting(sorting, copy_spike_vector=True)
    for key in sorting.get_property_keys():
        values = sorting.get_property(key)
        if values.dtype.kind == "O" and all(isinstance(value, str) for value in values):
            values = values.astype(str)  # such as Kilosort's own labels
        if values.dtype.kind != "O":  # objects could only be pickled
            in_memory.set_property(key, values)
    in_memory.save(folder=path)
    for source, target in (("spikeinterface_params.json", ARGUMENTS), ("spikeinterface_log.json", LOG)):
        text = (sorter_folder / source).read_text().replace(str(sorter_folder), "<working folder>")
        content = json.loads(text, parse_constant=str)  # Kilosort's defaults have Infinity, which is not JSON
        content.pop("recording", None)  # a description with this machine's scratch paths
        write_json(path / target, content)


def _describe(result: Sorted, sorter: Sorter, drift: str) -> Built:
    sorting = result.sorting
    counts = np.array(list(sorting.count_num_spikes_per_unit().values()))
    return Built(
        reason=f"{len(counts)} units, {counts.sum()} spikes",
        summary={
            "sorter": sorter.name,
            "units": len(counts),
            "spikes": int(counts.sum()),
            "median_firing_rate_hz": round(float(np.median(counts) / sorting.get_total_duration()), 3)
            if sorting.has_recording()
            else None,
            "empty_units_removed": result.empty_units,
            "excess_spikes_removed": result.excess_spikes,
            "drift_correction": drift,
        },
        versions=_versions(sorter),
    )


def _versions(sorter: Sorter) -> dict[str, str]:
    """Version of a sorter that is a package of its own, and of what decides its numbers."""
    found = {}
    for package in (sorter.spikeinterface_name.removesuffix("4"), "torch", "numba"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def load_sorting(work: Work) -> si.BaseSorting:
    """The sorter's units of a job."""
    return si.load(work.input("sorting"))


def sorter_name(params: Params) -> str:
    """The sorter that the params choose."""
    return resolve_sorter(params)


def sorter_params(params: Params) -> SorterParams:
    """The chosen sorter's entry in the params."""
    return params.spikesorting.settings(resolve_sorter(params))


def _settings(params: Params) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "sorter": sorter_name(params),
        "params": sorter_params(params).model_dump(mode="json", exclude={"job_kwargs", "raise_if_fails"}),
    }
    motion = params.preprocessing.motion_correction
    if motion.apply:
        settings["interpolation"] = {
            "preset": motion.preset,
            "interpolate_motion_kwargs": motion.interpolate_motion_kwargs,
        }
    return settings


def _inputs(params: Params) -> tuple[str, ...]:
    applied = params.preprocessing.motion_correction.apply
    return ("preprocessed_recording", "motion") if applied else ("preprocessed_recording",)


STAGE = Stage(
    name="sorting",
    version="2",
    section="spikesorting",
    location="spikesorted/{name}",
    settings=_settings,
    inputs=_inputs,
    build=build,
)
