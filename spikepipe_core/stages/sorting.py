"""Spike sorting: run the chosen sorter on the preprocessed traces.

The sorter works in scratch. Its units are cleaned of what cannot be right (empty units, spikes beyond the
end of the recording) and saved as a SpikeInterface sorting folder, with the sorter's own log, parameters and motion.
A recording in which it finds nothing is left out from here on, with the reason in the ledger; the log of a sorter that
failed or found nothing is kept in the session's ``.spikepipe/sorter_logs``.

Settings that decide: the `spikesorting` section's entry of the chosen sorter; `preprocessing.motion_correction` if
motion is applied before sorting.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.core as si

from spikepipe_core.compiled import keep_compiled
from spikepipe_core.errors import SkippedByRule, StageFailedError
from spikepipe_core.params import Params, SorterParams, resolve_sorter
from spikepipe_core.sorters import Sorter
from spikepipe_core.stages.motion import motion_corrected
from spikepipe_core.stages.sorter_files import LOG, failure_log, keep_log, keep_motion, replace_failure_log
from spikepipe_core.stages.sorter_run import NothingFoundError, run
from spikepipe_core.stages.sorters import container_of, device_of, find_sorter, seed_of, sorter_arguments
from spikepipe_core.stages.stage import Built, Stage, Work
from spikepipe_core.stages.traces import cached_traces
from spikepipe_core.store.files import remove


@dataclass(frozen=True)
class Sorted:
    """Units as the sorter found them, cleaned of what cannot be right.

    Attributes
    ----------
    whole : BaseRecording
        What the sorter was given: one segment.
    """

    sorting: si.BaseSorting
    whole: si.BaseRecording
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
    NothingFoundError
        The sorter gave up because it found too few spikes.
    StageFailedError
        The sorter failed; the message ends with its last words.
    """
    from spikeinterface.curation import remove_excess_spikes

    keep_compiled()
    whole = recording if recording.get_num_segments() == 1 else si.concatenate_recordings([recording])
    sorting = run(whole, sorter, arguments, folder)
    spikes = sorting.count_total_num_spikes()
    sorting = remove_excess_spikes(sorting, whole)
    excess = spikes - sorting.count_total_num_spikes()
    units = sorting.get_num_units()
    sorting = sorting.remove_empty_units()
    if whole is not recording:
        sorting = si.split_sorting(sorting, [recording])
    return Sorted(sorting, whole, units - sorting.get_num_units(), excess)


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
    traces = cached_traces(work)
    applied = work.params.preprocessing.motion_correction.apply
    recording = motion_corrected(work, traces) if applied else traces
    allowed, drift = drift_correction_allowed(
        params, already_corrected=recording is not traces, channels=recording.get_num_channels()
    )
    arguments, changes = sorter_arguments(
        sorter, params.sorter, drift_correction=allowed, job_kwargs=work.job_kwargs(params.job_kwargs)
    )
    if getattr(params, "clear_cache", False):
        arguments["clear_cache"] = True
    device = device_of(sorter, arguments)
    for change in changes:
        work.say(change)
    work.say(f"{name} on {recording.get_num_channels()} channels, {device}; drift correction {drift}")
    with _working_folder(work, name, raise_if_fails=params.raise_if_fails) as folder:
        result = sort(recording, sorter, arguments, folder)
        if result.sorting.get_num_units() == 0:
            raise NothingFoundError
        _save(result.sorting, work.path)
        keep_log(folder, work.path)
        extent = keep_motion(folder, result.whole, work.path)
    if allowed:
        drift = "allowed, and the sorter made none" if extent is None else "by the sorter itself"
    summary = {
        **_counts(result),
        "drift_correction": drift,
        "sorter_motion_um": None if extent is None else round(extent, 2),
        "device": device,
        "seed": seed_of(arguments),
        "repeats": repeats(sorter, device),
    }
    return Built(
        reason=f"{summary['units']} units, {summary['spikes']} spikes",
        summary={"sorter": name, **summary},
        versions=_versions(sorter, work.path),
    )


@contextmanager
def _working_folder(work: Work, name: str, *, raise_if_fails: bool) -> Iterator[Path]:
    """A fresh folder in scratch for the sorter; of a run that gives no units, the log goes to the results.

    The folder of a run that failed stays until the next start, for whoever wants to look into it.
    """
    folder = work.scratch.path(work.scratch_ref("sorter"))
    kept = failure_log(work.entry.session_folder, work.recording_job.recording_name)
    log = work.store.results.root / kept
    remove(folder)
    try:
        yield folder
    except NothingFoundError as nothing:
        replace_failure_log(folder, log)
        remove(folder)
        said = f" ({nothing})" if str(nothing) else ""
        raise SkippedByRule(f"{name} found no units{said}. Its log is in the results, in {kept}") from nothing
    except StageFailedError as error:
        replace_failure_log(folder, log)
        told = f"{error}. Its log is in the results, in {kept}"
        if raise_if_fails:
            raise StageFailedError(told) from error
        raise SkippedByRule(f"raise_if_fails is false, and {told}") from error
    remove(folder)
    remove(log)


def _save(sorting: si.BaseSorting, path: Path) -> None:
    in_memory = si.NumpySorting.from_sorting(sorting, copy_spike_vector=True)
    for key in sorting.get_property_keys():
        values = sorting.get_property(key)
        if values.dtype.kind == "O" and all(isinstance(value, str) for value in values):
            values = values.astype(str)  # such as Kilosort's own labels
        if values.dtype.kind != "O":  # objects could only be pickled
            in_memory.set_property(key, values)
    in_memory.save(folder=path)


def _counts(result: Sorted) -> dict[str, Any]:
    counts = np.array(list(result.sorting.count_num_spikes_per_unit().values()))
    return {
        "units": len(counts),
        "spikes": int(counts.sum()),
        "median_firing_rate_hz": round(float(np.median(counts) / result.whole.get_total_duration()), 3),
        "empty_units_removed": result.empty_units,
        "excess_spikes_removed": result.excess_spikes,
    }


def repeats(sorter: Sorter, device: str) -> str:
    """Whether the same traces, params and versions give the same units again, in words."""
    if sorter.repeats == "always" or (sorter.repeats == "on a CPU" and device == "cpu"):
        return "yes"
    if sorter.repeats == "on a CPU":
        return "not on a GPU, where the order of sums is not fixed"
    return "not known of this sorter"


def _versions(sorter: Sorter, path: Path) -> dict[str, str]:
    """What decides a sorter's numbers: its own version and those of the packages it computes with."""
    found = {sorter.name: json.loads((path / LOG).read_text()).get("sorter_version", "unknown")}
    for package in ("torch", "numba"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {**found, **{f"{sorter.name} image": image for image in container_of(sorter).values()}}


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
