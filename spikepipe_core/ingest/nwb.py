"""NWB files (HDF5): every wide-band ElectricalSeries in `acquisition` is a probe's signal.

An ElectricalSeries below 10 kHz is taken for an LFP band (the AIND pipeline's rule), and belongs to the
wide-band series of the same electrode groups. Geometry is what the electrodes table says (`rel_x`, `rel_y`);
a series without it is not processed, because positions are never invented.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.base import Found
from spikepipe_core.ingest.classification import MIN_SPIKE_HZ
from spikepipe_core.ingest.clock import StreamClock, clock_of_times
from spikepipe_core.ingest.files import inside, relative, walk_files
from spikepipe_core.ingest.jobs import FoundSegment, FoundStream, IgnoredStream, RecordingJob

if TYPE_CHECKING:
    import h5py
    from spikeinterface.core import BaseRecording

    from spikepipe_core.params import JobDispatchParams

__all__ = ["NwbReader"]

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_WHERE_GROUPS_ARE = "general/extracellular_ephys"


@dataclass(frozen=True)
class Series:
    """One ElectricalSeries.

    Attributes
    ----------
    path : str
        In the file, such as ``acquisition/ElectricalSeriesAP``.
    groups : dict of str to int
        Channels of each electrode group, by the group's name.
    device : str or None
        Name of the device, if all the groups are on one.
    """

    path: str
    sampling_frequency: float
    num_samples: int
    groups: dict[str, int]
    device: str | None
    problem: str | None

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def is_wideband(self) -> bool:
        """Fast enough for spikes."""
        return self.sampling_frequency >= MIN_SPIKE_HZ


class NwbReader:
    """Reader of NWB files, or of a folder with some."""

    name = "nwb"

    def detect(self, folder: Path) -> str | None:
        """Recognise a file by its ending and the signature of HDF5."""
        for path in _nwb_paths(folder):
            if path.is_file() and _is_hdf5(path):
                return f"NWB file {path.name}"
        return None

    def find(self, folder: Path, root: Path, params: JobDispatchParams) -> Found:
        """Find the wide-band series of every file; each file is a session."""
        streams: list[FoundStream] = []
        ignored: list[IgnoredStream] = []
        for path in _chosen(list(_nwb_paths(folder)), folder, params.nwb_files):
            try:
                found = _streams_of_file(path, root)
            except BadDataError as error:
                ignored.append(IgnoredStream(stream=path.name, reason=str(error)))
                continue
            streams += found.streams
            ignored += found.ignored
        return Found(tuple(streams), tuple(ignored))

    def recording(self, job: RecordingJob, root: Path) -> BaseRecording:
        """Open the wide-band series of a job."""
        return _open(job.source[0], "series", root)

    def lfp(self, job: RecordingJob, root: Path) -> BaseRecording | None:
        """Open the LFP series of a job, None if the file has none for its electrodes."""
        return _open(job.source[0], "lfp_series", root) if job.lfp_stream else None

    def clocks(self, job: RecordingJob, segment: int, root: Path) -> dict[str, StreamClock]:
        """The times of the samples, which are on one time line in all of a file."""
        clock = clock_of_times(self.recording(job, root), segment, "timestamps in the NWB file")
        return {} if clock is None else {job.stream: clock}


def _nwb_paths(folder: Path) -> Iterable[Path]:
    if folder.is_file():
        return [folder] if folder.suffix == ".nwb" else []
    return (path for path in walk_files(folder) if path.suffix == ".nwb")


def _chosen(paths: list[Path], folder: Path, wanted: str | list[str] | None) -> list[Path]:
    """The files that `job_dispatch.nwb_files` names, all if it names none."""
    if wanted is None:
        return paths
    names = wanted.split(",") if isinstance(wanted, str) else wanted
    base = folder if folder.is_dir() else folder.parent
    asked = {(base / name.strip()).resolve(): name for name in names}
    missing = [name for path, name in asked.items() if path not in paths]
    if missing:
        raise BadDataError(
            f"job_dispatch.nwb_files names {missing[0]!r}, which is not among the NWB files of {base}: "
            f"{[path.name for path in paths]}. Correct the name, relative to the data folder."
        )
    return [path for path in paths if path in asked]


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE


@contextmanager
def _opened(path: Path, root: Path):
    """Open a file for reading; whatever HDF5 says about a damaged one becomes a `BadDataError`."""
    import h5py

    inside(path, root)
    if path.is_dir():
        raise BadDataError(
            f"{path} is an NWB file in Zarr, which this version does not read yet. Convert it to HDF5."
        )
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError) as error:
        raise BadDataError(
            f"{path} cannot be read as NWB ({type(error).__name__}: {error}). Copy it again; check it with "
            "nwbinspector."
        ) from error


def _streams_of_file(path: Path, root: Path) -> Found:
    from spikeinterface.extractors.nwbextractors import NwbRecordingExtractor

    with _opened(path, root) as file:
        paths = NwbRecordingExtractor.fetch_available_electrical_series_paths(path)
        series = [_series(file, where, path) for where in sorted(paths)]
    wideband = [one for one in series if one.is_wideband and one.path.startswith("acquisition/")]
    lfps = {one.path: _companion(one, series) for one in wideband}
    keys = _probe_keys(wideband)
    used = {one.path for one in wideband} | {lfp.path for lfp in lfps.values() if lfp}
    ignored = [
        IgnoredStream(stream=f"{path.name}/{one.path}", reason=_why_not(one))
        for one in series
        if one.path not in used
    ]
    if not series:
        ignored = [IgnoredStream(stream=path.name, reason="it holds no ElectricalSeries")]
    streams = tuple(_stream(one, lfps[one.path], keys[one.path], path, root) for one in wideband)
    return Found(streams, tuple(ignored))


def _why_not(series: Series) -> str:
    if series.is_wideband:
        return "not in acquisition: a processed signal"
    return f"{series.sampling_frequency:g} Hz is too slow for spikes, and it is no other series' LFP band"


def _companion(wideband: Series, series: list[Series]) -> Series | None:
    """The LFP series of the same electrode groups; the raw one if there are several."""
    candidates = [
        one for one in series if not one.is_wideband and one.groups.keys() == wideband.groups.keys()
    ]
    candidates.sort(key=lambda one: (one.groups != wideband.groups, one.path))
    return candidates[0] if candidates else None


def _probe_keys(wideband: list[Series]) -> dict[str, str]:
    """The name of the device where it tells the series apart, else the name of the series."""
    devices = Counter(one.device for one in wideband)
    return {
        one.path: one.device if one.device is not None and devices[one.device] == 1 else one.name
        for one in wideband
    }


def _stream(series: Series, lfp: Series | None, probe: str, path: Path, root: Path) -> FoundStream:
    source = {"file": relative(path, root), "series": series.path}
    if lfp is not None:
        source["lfp_series"] = lfp.path
    segment = FoundSegment(
        number=1,
        source=source,
        files=(relative(path, root),),
        duration=series.num_samples / series.sampling_frequency,
        problem=series.problem,
    )
    return FoundStream(
        folder=path.with_suffix(""),
        block="block0",
        stream=series.path.replace("/", "-"),
        probe=probe,
        segments=(segment,),
        groups=series.groups,
        lfp_stream=None if lfp is None else lfp.path.replace("/", "-"),
        sampling_frequency=series.sampling_frequency,
    )


# --- what the file says of a series -------------------------------------------------------------------------


def _series(file: h5py.File, where: str, path: Path) -> Series:
    series = file[where]
    data = series["data"]
    electrodes = np.asarray(series["electrodes"][:])
    table = file[series["electrodes"].attrs["table"]]
    names = _column(table, "group_name", electrodes)
    groups = {
        str(name): int(count) for name, count in zip(*np.unique(names, return_counts=True), strict=True)
    }
    return Series(
        path=where,
        sampling_frequency=_rate(series, path, where),
        num_samples=int(data.shape[0]),
        groups=groups,
        device=_device(file, groups),
        problem=_leads_out(data, path, where) or _no_geometry(table, electrodes, names, path, where),
    )


def _column(table: Any, name: str, rows: np.ndarray) -> np.ndarray:
    values = table[name].asstr()[:] if table[name].dtype.kind == "O" else table[name][:]
    return np.asarray(values)[rows]


def _rate(series: Any, path: Path, where: str) -> float:
    """Sampling frequency in Hz: the rate, or the median of the first 1000 steps between timestamps."""
    if "starting_time" in series:
        rate = float(series["starting_time"].attrs["rate"])
    elif "timestamps" in series and series["timestamps"].shape[0] > 1:
        rate = float(1.0 / np.median(np.diff(series["timestamps"][:1000])))
    else:
        rate = float("nan")
    if not np.isfinite(rate) or rate <= 0:
        raise BadDataError(f"{path}: {where} has neither a rate nor usable timestamps. Write one of them.")
    return rate


def _device(file: h5py.File, groups: Iterable[str]) -> str | None:
    devices = set()
    for name in groups:
        link = file[f"{_WHERE_GROUPS_ARE}/{name}"].get("device", getlink=True)
        devices.add(str(getattr(link, "path", "")).rsplit("/", 1)[-1])
    return devices.pop() if len(devices) == 1 and devices != {""} else None


def _leads_out(data: h5py.Dataset, path: Path, where: str) -> str | None:
    """HDF5 can point to other files; from an untrusted one that is not followed."""
    if data.external or data.is_virtual or Path(data.file.filename).resolve() != path.resolve():
        return f"{path}: the data of {where} lie in another file. Export the series into one file."
    return None


def _no_geometry(
    table: Any, electrodes: np.ndarray, groups: np.ndarray, path: Path, where: str
) -> str | None:
    remedy = (
        "Add the columns rel_x and rel_y (um) to its electrodes table, or read the original files with the "
        "'spikeinterface' reader and probe_paths."
    )
    if "rel_x" not in table or "rel_y" not in table:
        return f"{path}: {where} has no electrode positions (rel_x, rel_y). {remedy}"
    x, y = _column(table, "rel_x", electrodes), _column(table, "rel_y", electrodes)
    if not np.all(np.isfinite([x, y])):
        return f"{path}: {where} has electrode positions that are no numbers. {remedy}"
    places = Counter(zip(groups, x.tolist(), y.tolist(), strict=True))
    (group, at_x, at_y), count = places.most_common(1)[0]
    if count > 1:
        place = f"({at_x}, {at_y})"
        return f"{path}: {where} has {count} electrodes of group {group!r} at one place {place}. {remedy}"
    return None


def _open(source: dict[str, Any], which: str, root: Path) -> BaseRecording:
    """Open one series lazily, with the times of its samples where the file has them."""
    from spikeinterface.extractors.nwbextractors import NwbRecordingExtractor

    path, where = root / str(source["file"]), str(source[which])
    with _opened(path, root) as file:
        if where not in file:
            raise BadDataError(f"{path} has no {where} any more. Run discovery again.")
        problem = _series(file, where, path).problem
    if problem:
        raise BadDataError(problem)
    return NwbRecordingExtractor(file_path=path, electrical_series_path=where, load_time_vector=True)
