"""TTL events that Open Ephys recorded beside a probe, such as the pulses that switch a laser.

https://open-ephys.github.io/gui-docs/User-Manual/Data-formats/Binary-format.html#events
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.files import inside, read_json_object, regular_file
from spikepipe_core.ingest.jobs import RecordingJob
from spikepipe_core.ingest.openephys_files import OEBIN
from spikepipe_core.ingest.openephys_layout import load_vector

__all__ = ["TTLLine", "event_times", "first_sample"]


@dataclass(frozen=True)
class TTLLine:
    """Edges of one TTL line.

    Attributes
    ----------
    stream : str
        Folder of the stream that the line belongs to, such as ``NI-DAQmx-103.PXIe-6341``.
    line : int
        Counted from 1, as Open Ephys does.
    rising_s, falling_s : array of float
        When the line went up and down, in s: on the time line that Open Ephys synchronized all streams to (GUI 0.6 and
        later), else on the stream's own, sample number / rate.
    rising_samples, falling_samples : array of int
        The same as sample numbers of the stream, counted from the start of the acquisition.
    synchronized : bool
        Whether the times are on the time line of all streams.
    """

    stream: str
    line: int
    rising_s: np.ndarray
    falling_s: np.ndarray
    rising_samples: np.ndarray
    falling_samples: np.ndarray
    synchronized: bool


def event_times(job: RecordingJob, root: Path, segment: int = 0) -> list[TTLLine]:
    """All TTL lines with events in one recording of a job that the reader ``openephys`` found.

    Times are on the clock of the recording as it was acquired: if its timestamps were reset (see `check_timestamps`),
    use sample numbers, of which the recording's first is in `sample_numbers.npy` (`timestamps.npy` before GUI 0.6).

    Raises
    ------
    BadDataError
        Files of events are damaged.
    """
    recording = inside(root / str(job.source[segment]["stream"]), root).parents[1]
    entries = read_json_object(recording / OEBIN, root).get("events") or []
    lines: list[TTLLine] = []
    for entry in entries:
        folder = inside(recording / "events" / str(entry.get("folder_name", "")), root)
        if (folder / "states.npy").is_file() or (folder / "channel_states.npy").is_file():
            lines += _lines(folder, float(entry["sample_rate"]), root)
    return lines


def first_sample(job: RecordingJob, root: Path, segment: int = 0) -> int | None:
    """Number of a recording's first sample, on the count of `TTLLine.rising_samples` of its own stream.

    None if nothing says it, or if samples are missing between, so that numbers do not tell positions.
    """
    folder = inside(root / str(job.source[segment]["stream"]), root)
    for name in ("sample_numbers.npy", "timestamps.npy"):
        if (folder / name).is_file():
            numbers = load_vector(inside(folder / name, root))
            if numbers.dtype.kind in "iu" and len(numbers):
                skips = int(numbers[-1]) - int(numbers[0]) + 1 != len(numbers)
                return None if skips else int(numbers[0])
    return None


def _lines(folder: Path, rate: float, root: Path) -> list[TTLLine]:
    states = _vector(folder, ("states", "channel_states"), root)
    stamps = _vector(folder, ("timestamps",), root)
    is_seconds = stamps.dtype.kind == "f"
    numbers = _vector(folder, ("sample_numbers",), root) if is_seconds else stamps
    seconds = stamps if is_seconds else numbers / rate
    if not len(states) == len(numbers) == len(seconds):
        raise BadDataError(
            f"{folder}: {len(states)} states, {len(numbers)} sample numbers and {len(seconds)} times do not belong "
            "together. Copy it again from the acquisition."
        )
    return [
        TTLLine(
            stream=folder.parent.name,
            line=int(line),
            rising_s=seconds[states == line],
            falling_s=seconds[states == -line],
            rising_samples=numbers[states == line],
            falling_samples=numbers[states == -line],
            synchronized=is_seconds,
        )
        for line in np.unique(np.abs(states))
        if line > 0
    ]


def _vector(folder: Path, names: tuple[str, ...], root: Path) -> np.ndarray:
    """The vector in the first of some files that is there."""
    paths = [folder / f"{name}.npy" for name in names]
    path = regular_file(next((path for path in paths if path.exists()), paths[0]), root)
    try:
        return np.asarray(load_vector(path))
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise BadDataError(
            f"{path} cannot be read as a NumPy file ({error}). Copy it again from the acquisition."
        ) from error
