"""What a sorter leaves behind that is kept: its parameters, its log, what it printed, and the motion it estimated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.core as si
from spikeinterface.core.motion import Motion

from spikepipe_core.stages.sorter_run import PRINTED, working_folder
from spikepipe_core.store.files import remove, write_json
from spikepipe_core.store.publish import STATE

ARGUMENTS, LOG, TEXT, MOTION = "sorter_params.json", "sorter_log.json", "sorter_log.txt", "motion"

KILOSORT25_MOTION = "motion_kilosort25.npy"
"""Kilosort 2.5's own array, um, batches x blocks: it saves neither the batches' times nor the blocks' depths."""


def keep_log(folder: Path, target: Path) -> None:
    """Copy the parameters, the log and what was printed out of a sorter's working folder; what is missing is left out.

    Paths of this machine become ``<working folder>``, so that the files can go anywhere.

    Parameters
    ----------
    folder : Path
        The sorter's working folder.
    target : Path
        Made if it is not there.
    """
    target.mkdir(parents=True, exist_ok=True)
    run = working_folder(folder)
    for source, name in (("spikeinterface_params.json", ARGUMENTS), ("spikeinterface_log.json", LOG)):
        if (run / source).is_file():
            # Kilosort's defaults have Infinity, which is not JSON
            content = json.loads(_portable(run / source, folder), parse_constant=str)
            content.pop("recording", None)  # a description with this machine's scratch paths
            write_json(target / name, content)
    texts = [folder / PRINTED, *sorted((run / "sorter_output").glob("*.log"))]
    printed = [f"== {file.name}\n{_portable(file, folder)}" for file in texts if file.is_file()]
    (target / TEXT).write_text("\n".join(printed), encoding="utf-8")


def _portable(file: Path, folder: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace").replace(str(folder), "<working folder>")


def failure_log(session_folder: str, recording_name: str) -> Path:
    """Where the log of a sorter that gave no units is kept, relative to the results folder."""
    return Path(session_folder) / STATE / "sorter_logs" / recording_name


def replace_failure_log(folder: Path, target: Path) -> None:
    """Keep the log of a sorter that gave no units, in place of an earlier one."""
    remove(target)
    keep_log(folder, target)


def keep_motion(folder: Path, recording: si.BaseRecording, target: Path) -> float | None:
    """Save the motion that a sorter estimated itself, if it did.

    Parameters
    ----------
    folder : Path
        The sorter's working folder.
    recording : BaseRecording
        What it sorted: one segment, so times are from its start, in s.
    target : Path
        Folder of the sorting; the motion goes below it.

    Returns
    -------
    float or None
        Its extent in um, None if the sorter estimated none.
    """
    output = working_folder(folder) / "sorter_output"
    if (output / "motion.npy").is_file():
        shutil.copyfile(output / "motion.npy", target / KILOSORT25_MOTION)
        return float(np.ptp(np.load(output / "motion.npy")))
    motion = _motion(output, recording)
    if motion is None:
        return None
    motion.save(target / MOTION)
    return max(float(np.ptp(displacement)) for displacement in motion.displacement)


def _motion(output: Path, recording: si.BaseRecording) -> Motion | None:
    """The motion in the folder of a sorter that uses SpikeInterface's, or of Kilosort 4."""
    if (output / "motion" / "motion").is_dir():
        from spikeinterface.preprocessing import load_motion_info

        return load_motion_info(output / "motion")["motion"]
    if (output / "ops.npy").is_file() and _drift_in(output / "ops.npy"):
        from spikeinterface.sorters.external.kilosort4 import read_kilosort4_motion

        return read_kilosort4_motion(output, recording)
    return None


def _drift_in(file: Path) -> bool:
    """Whether Kilosort 4 corrected for drift; its own file, which only it could write, is a pickle."""
    ops: dict[str, Any] = np.load(file, allow_pickle=True).item()
    return ops.get("dshift") is not None and ops.get("yblk") is not None


def load_sorter_motion(sorting_folder: Path) -> Motion | None:
    """The motion that the sorter estimated itself, from the folder of its sorting; None if there is none."""
    return Motion.load(sorting_folder / MOTION) if (sorting_folder / MOTION).is_dir() else None
