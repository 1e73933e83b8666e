"""Event times: when something outside disturbed the recording, and which of its samples that were.

Times come from a table (.csv, .tsv), from an NWB file (TimeIntervals, EventsTable, the types of ndx-events,
IntervalSeries and other series with timestamps), or from the TTL lines that Open Ephys recorded beside the signal. A
path is looked for in the folder of the recording's raw files and in those above it, up to the data folder, and never
leads out of that; an absolute path is taken as it is, and only the deployment's params may hold one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.core as si
from numpy.typing import NDArray

from spikepipe_core.errors import BadDataError, ParamsError
from spikepipe_core.ingest import openephys_events
from spikepipe_core.ingest.files import inside, read_small
from spikepipe_core.ingest.fingerprint import fingerprint_files
from spikepipe_core.params.preprocessing import StimulationArtifactsParams
from spikepipe_core.stages.artifacts import Found, Windows
from spikepipe_core.stages.recording import read_job
from spikepipe_core.stages.stage import Work

KEY = "preprocessing.remove_stimulation_artifacts"
MISSING = "missing"
"""Stands for the digest of a file that is not there: building says so."""


@dataclass(frozen=True)
class Times:
    """Events as a file tells them.

    Attributes
    ----------
    starts, stops : array of float, shape (events,)
        In s; the same for events that are moments.
    source : str
        Where they come from, in words.
    """

    starts: NDArray[np.float64]
    stops: NDArray[np.float64]
    source: str


def load_windows(work: Work, recording: si.BaseRecording) -> Windows | None:
    """The stretches of a job's recording that its params want taken out; None if they want none.

    Parameters
    ----------
    recording : BaseRecording
        As the `recording` output describes it.

    Raises
    ------
    BadDataError
        The file is missing or cannot be read, leads out of the data folder, or none of its events lie in the recording.
    ParamsError
        It holds several kinds of events, or none of the name asked for.
    """
    params = work.params.preprocessing.remove_stimulation_artifacts
    if params is None:
        return None
    if params.events_file is None:
        starts, stops, outside, source = _open_ephys(work, recording, params)
    else:
        times = read_times(_find(work, params.events_file), params.events)
        offset = _start_of_clock(work, recording) if params.times_from == "start" else 0.0
        starts, stops, outside = to_samples(times, recording, offset)
        source = times.source
    inside_count = sum(map(len, starts))
    words = f"{inside_count} stimulation events from {source}"
    if outside:
        words += f"; {outside} more lie outside the recording"
    return Windows(
        starts,
        stops,
        params,
        Found(words, {"stimulation_events": inside_count, "stimulation_events_outside": outside}),
    )


def fingerprint(work: Work, params: StimulationArtifactsParams) -> str:
    """Digest of the events' file, or of the Open Ephys events beside the signal."""
    try:
        if params.events_file is None:
            folders = [str(folder.relative_to(work.data)) for folder in _event_folders(work)]
            return fingerprint_files(folders, work.data)
        path = _find(work, params.events_file)
        return fingerprint_files([path.name], path.parent)
    except BadDataError:
        return MISSING


def _find(work: Work, name: str) -> Path:
    """The file of a name in the folder of the raw files, or in one above it up to the data folder."""
    if Path(name).is_absolute():
        if not Path(name).exists():
            raise BadDataError(f"{KEY}.events_file: {name} does not exist. Correct the path.")
        return Path(name)
    root = work.data.resolve()
    files = work.recording_job.files
    folder = (root / files[0]).parent if files else root
    looked = []
    while folder == root or root in folder.parents:
        looked.append(folder)
        if (folder / name).exists():
            return inside(folder / name, root)
        folder = folder.parent
    raise BadDataError(
        f"{KEY}.events_file: there is no {name} in {looked[0]}"
        + (f" or in the folders above it up to {looked[-1]}" if len(looked) > 1 else "")
        + ". Put the file there, or correct the name."
    )


# --- from files to times ----------------------------------------------------------------------------------------------


def read_times(path: Path, events: str | None) -> Times:
    """The times of events in a file.

    Parameters
    ----------
    path : Path
        ``.csv``, ``.tsv``, ``.nwb`` or ``.zarr``.
    events : str or None
        The column or the object; None: the only one there is.

    Raises
    ------
    BadDataError
        The file cannot be read, or holds times that are no numbers.
    ParamsError
        There is no such column or object, or several could be meant.
    """
    if path.suffix in (".csv", ".tsv"):
        times = _read_table(path, events)
    elif path.suffix in (".nwb", ".zarr"):
        times = _read_nwb(path, events)
    else:
        raise ParamsError(
            f"{KEY}.events_file: {path.name} is none of .csv, .tsv, .nwb and .zarr. Give one of these; TTL events "
            "of Open Ephys are found without a file (null)."
        )
    wrong = np.flatnonzero(~np.isfinite(times.starts) | ~(times.stops >= times.starts))
    if len(wrong):
        row = int(wrong[0])
        raise BadDataError(
            f"{times.source}: event {row + 1} is from {times.starts[row]} to {times.stops[row]} s, which is no time. "
            "Correct it in the file."
        )
    return times


def _read_table(path: Path, events: str | None) -> Times:
    text = read_small(path).removeprefix("\ufeff")
    rows = list(csv.reader(io.StringIO(text), delimiter="\t" if path.suffix == ".tsv" else ","))
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if not rows:
        raise BadDataError(f"{path} is empty. Give a table with a header and one event a row.")
    header = [name.strip() for name in rows[0]]

    def column(name: str) -> NDArray[np.float64]:
        index = header.index(name)
        try:
            return np.array([float(row[index]) for row in rows[1:]])
        except (ValueError, IndexError) as error:
            raise BadDataError(
                f"{path}: column {name!r} does not hold one number (s) in each row ({error}). Correct the table."
            ) from error

    if any(_is_number(name) for name in header):
        raise BadDataError(f"{path} has no header: its first row is {rows[0]}. Add the names of the columns.")
    if events is None and {"start_time", "stop_time"} <= set(header):
        return Times(column("start_time"), column("stop_time"), f"{path.name}, start_time to stop_time")
    wanted = header[0] if events is None else events
    if wanted not in header:
        raise ParamsError(f"{KEY}.events = {wanted!r}: {path.name} has the columns {', '.join(header)}.")
    return Times(column(wanted), column(wanted), f"{path.name}, column {wanted}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_nwb(path: Path, events: str | None) -> Times:
    with _opened(path) as file:
        found: dict[str, Callable[[], tuple[NDArray[Any], NDArray[Any]]]] = {}

        def note(where: str, node: Any) -> None:
            read = _reader_of(node)
            if read is not None:
                found[where] = read

        file.visititems(note)
        names = [where for where in found if events in (None, where, where.rsplit("/", 1)[-1])]
        if len(names) != 1:
            told = f"{KEY}.events = {events!r}: {path.name} holds {len(names)} such objects with event times"
            raise ParamsError(f"{told}. It has: {', '.join(found) or 'none'}. Name one of them.")
        starts, stops = found[names[0]]()
        return Times(np.asarray(starts, float), np.asarray(stops, float), f"{path.name}, {names[0]}")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An NWB file as a tree of groups and arrays; links out of it are not followed."""
    import h5py
    import zarr

    try:
        if path.is_dir():
            yield zarr.open_group(str(path), mode="r")
        else:
            with h5py.File(path, "r") as file:
                yield file
    except (OSError, KeyError, RuntimeError, zarr.errors.GroupNotFoundError) as error:
        raise BadDataError(
            f"{path} cannot be read as NWB ({type(error).__name__}: {error}). Check it with nwbinspector."
        ) from error


def _reader_of(node: Any) -> Callable[[], tuple[NDArray[Any], NDArray[Any]]] | None:
    """What reads starts and stops of the events of an object; None for objects without.

    By the datasets that the NWB schema names: TimeIntervals have start_time and stop_time, an EventsTable timestamp
    and perhaps duration, Events of ndx-events and series timestamps. An IntervalSeries tells the beginning of an
    interval by a positive number.
    """
    if not hasattr(node, "keys"):
        return None
    kind, names = node.attrs.get("neurodata_type"), set(node.keys())
    if {"start_time", "stop_time"} <= names:
        return lambda: (_numbers(node, "start_time"), _numbers(node, "stop_time"))
    if "timestamp" in names:
        return lambda: _with_durations(node)
    if "timestamps" not in names or kind == "ElectricalSeries":
        return None
    if kind == "IntervalSeries":
        return lambda: _interval_series(node)
    return lambda: (_numbers(node, "timestamps"),) * 2


def _with_durations(node: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    starts = _numbers(node, "timestamp")
    durations = _numbers(node, "duration") if "duration" in node else np.zeros(len(starts))
    return starts, starts + np.nan_to_num(durations)


def _interval_series(node: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    times, opens = _numbers(node, "timestamps"), _numbers(node, "data") > 0
    starts, stops = times[opens], times[~opens]
    if len(starts) != len(stops) or np.any(starts > stops):
        raise BadDataError(f"{node.name}: its intervals do not begin and end in turn. Correct the series.")
    return starts, stops


def _numbers(node: Any, name: str) -> NDArray[Any]:
    """One array of an object, if it lies in the file itself and holds plain numbers."""
    array = node[name]
    linked = getattr(array, "external", None) or getattr(array, "is_virtual", False)
    coded = any(getattr(one, "codec_id", "") == "pickle" for one in getattr(array, "filters", None) or ())
    if linked or coded or array.dtype.kind not in "iuf" or array.ndim != 1:
        raise BadDataError(
            f"{node.name}/{name} is no plain list of numbers in the file itself. Export it into one file."
        )
    return np.asarray(array[:])


# --- from times to samples --------------------------------------------------------------------------------------------

Samples = tuple[NDArray[np.int64], ...]


def to_samples(
    times: Times, recording: si.BaseRecording, offset_s: float = 0.0
) -> tuple[Samples, Samples, int]:
    """The samples in which events begin and end, segment by segment.

    Parameters
    ----------
    offset_s : float
        Added to the times, in s, to come to the recording's clock.

    Returns
    -------
    starts, stops : tuple of int arrays
        One a segment; an interval that begins before a segment or ends after it is cut.
    outside : int
        Events that lie in no segment.

    Raises
    ------
    BadDataError
        No event lies in the recording, or its segments overlap in time.
    """
    spans = [_span(recording, segment) for segment in range(recording.get_num_segments())]
    _refuse_overlap(spans)
    begin, end = times.starts + offset_s, times.stops + offset_s
    starts, stops, placed = [], [], np.zeros(len(begin), dtype=bool)
    for segment, (first, last) in enumerate(spans):
        mine = (begin <= last) & (end >= first)
        placed |= mine
        starts.append(_samples(recording, np.clip(begin[mine], first, last), segment))
        stops.append(_samples(recording, np.clip(end[mine], first, last), segment))
    if len(begin) and not placed.any():
        raise BadDataError(
            f"{times.source}: none of the {len(begin)} events, from {begin.min():.3f} to {end.max():.3f} s, lies in "
            f"the recording, which is from {spans[0][0]:.3f} to {spans[-1][1]:.3f} s on its clock. If times count from "
            f"the first sample, set {KEY}.times_from to 'start'."
        )
    return tuple(starts), tuple(stops), int((~placed).sum())


def _span(recording: si.BaseRecording, segment: int) -> tuple[float, float]:
    """Time of a segment's first and last sample, in s."""
    ends = np.array([0, recording.get_num_samples(segment) - 1])
    first, last = recording.sample_index_to_time(ends, segment_index=segment)
    return float(first), float(last)


def _refuse_overlap(spans: list[tuple[float, float]]) -> None:
    if any(earlier[1] >= later[0] for earlier, later in pairwise(spans)):
        raise BadDataError(
            f"{KEY}: the recording's segments overlap in time, so that events cannot be told apart. Process them one "
            "by one (job_dispatch.split_segments)."
        )


def _samples(recording: si.BaseRecording, times: NDArray[np.float64], segment: int) -> NDArray[np.int64]:
    found = recording.time_to_sample_index(times, segment_index=segment) if len(times) else np.zeros(0)
    return np.asarray(found, dtype=np.int64)


def _start_of_clock(work: Work, recording: si.BaseRecording) -> float:
    """Time of the raw recording's first sample: that of the clipped one, less what was clipped."""
    first = float(recording.sample_index_to_time(0, segment_index=0))
    return first - (work.params.preprocessing.t_start or 0.0)


# --- Open Ephys -------------------------------------------------------------------------------------------------------


def _event_folders(work: Work) -> list[Path]:
    job = work.recording_job
    if job.reader != "openephys":
        raise BadDataError(
            f"{KEY}.events_file is null, which stands for the TTL events that Open Ephys records, but {job.stream} was "
            f"read with the {job.reader} reader. Give a file."
        )
    root = work.data.resolve()
    streams = [inside(root / str(segment["stream"]), root) for segment in job.source]
    return [folder for folder in (stream.parents[1] / "events" for stream in streams) if folder.is_dir()]


def _open_ephys(
    work: Work, recording: si.BaseRecording, params: StimulationArtifactsParams
) -> tuple[Samples, Samples, int, str]:
    """Edges of a TTL line as samples of the recording, segment by segment."""
    _event_folders(work)
    samples, outside, sources = [], 0, []
    for segment in range(recording.get_num_segments()):
        line = _line(openephys_events.event_times(work.recording_job, work.data, segment), params)
        if line is None:
            samples.append(np.zeros(0, dtype=np.int64))
            continue
        found, missed = _edges(work, recording, segment, line, params)
        samples.append(found)
        outside += missed
        sources.append(f"TTL line {line.line} of {line.stream}")
    if not sources:
        raise BadDataError(f"{KEY}: Open Ephys recorded no TTL events beside {work.recording_job.stream}.")
    return tuple(samples), tuple(samples), outside, sources[0]


def _line(
    lines: list[openephys_events.TTLLine], params: StimulationArtifactsParams
) -> openephys_events.TTLLine | None:
    names = {f"{line.stream}/{line.line}": line for line in lines}
    chosen = [
        line for name, line in names.items() if params.events in (None, name, str(line.line), line.stream)
    ]
    if len(chosen) > 1 or (names and not chosen):
        raise ParamsError(
            f"{KEY}.events = {params.events!r} stands for {len(chosen)} TTL lines. Name one of {', '.join(names)}."
        )
    return chosen[0] if chosen else None


def _edges(
    work: Work,
    recording: si.BaseRecording,
    segment: int,
    line: openephys_events.TTLLine,
    params: StimulationArtifactsParams,
) -> tuple[NDArray[np.int64], int]:
    """Samples of a line's edges in one segment, and how many edges lie outside it."""
    job = work.recording_job
    of_stream = Path(str(job.source[segment]["stream"])).name == line.stream
    first = openephys_events.first_sample(job, work.data, segment) if of_stream else None
    if first is not None:
        clipped = round((work.params.preprocessing.t_start or 0.0) * recording.get_sampling_frequency())
        samples = _both(line.rising_samples, line.falling_samples, params.edge) - first - clipped
    elif not line.synchronized or read_job(work)["times_reset"]:
        raise BadDataError(
            f"{KEY}: TTL line {line.line} of {line.stream} runs on another clock than {job.stream}, and Open Ephys did "
            "not synchronize them. Choose a line of the probe's own stream, or give a table of times."
        )
    else:
        times = _both(line.rising_s, line.falling_s, params.edge)
        span = _span(recording, segment)
        kept = times[(times >= span[0]) & (times <= span[1])]
        return _samples(recording, kept, segment), len(times) - len(kept)
    kept = samples[(samples >= 0) & (samples < recording.get_num_samples(segment))]
    return kept.astype(np.int64), len(samples) - len(kept)


def _both(rising: NDArray[Any], falling: NDArray[Any], edge: str) -> NDArray[Any]:
    if edge == "both":
        return np.sort(np.concatenate([rising, falling]))
    return np.asarray(rising if edge == "rising" else falling)
