"""NWB files, HDF5 and Zarr: every wide-band ElectricalSeries in `acquisition` is a probe's signal.

An ElectricalSeries below 10 kHz is taken for an LFP band (the AIND pipeline's rule), and belongs to the
wide-band series of the same electrode groups. Geometry is what the electrodes table says (`rel_x`, `rel_y`), the probe
is the device of its electrode groups, the shanks are those groups. A series without positions is not processed, because
positions are never invented.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.base import Found
from spikepipe_core.ingest.classification import SORTABLE
from spikepipe_core.ingest.clock import StreamClock, clock_of_times
from spikepipe_core.ingest.files import relative, walk_files
from spikepipe_core.ingest.jobs import FoundSegment, FoundStream, IgnoredStream, RecordingJob
from spikepipe_core.ingest.nwb_files import NwbFile, is_nwb, opened_nwb
from spikepipe_core.ingest.nwb_series import Series, is_slow, open_series, read_series

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording

    from spikepipe_core.params import JobDispatchParams

__all__ = ["NwbReader"]


class NwbReader:
    """Reader of NWB files, or of a folder with some."""

    name = "nwb"

    def detect(self, folder: Path) -> str | None:
        """Recognise a file by its ending and the signature of HDF5, a folder by what Zarr says of it.

        What is NWB by its name only is damaged, and recognised so that `find` can say how.
        """
        named = None
        for path in _nwb_paths(folder):
            if is_nwb(path):
                return f"NWB file {path.name}"
            named = named or path
        return None if named is None else f"NWB by its name, {named.name}"

    def find(self, folder: Path, root: Path, params: JobDispatchParams) -> Found:
        """Find the wide-band series of every file; each file is a session."""
        streams: list[FoundStream] = []
        ignored: list[IgnoredStream] = []
        for path in _chosen(list(_nwb_paths(folder)), folder, params.nwb_files):
            try:
                found = _streams_of_file(path, root, split_groups=params.split_groups)
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
    """Files, and folders of Zarr, that are NWB by name; and by content, where the name says Zarr only."""
    paths = [folder] if folder.is_file() or _may_be_zarr(folder) else walk_files(folder)
    return (
        path
        for path in paths
        if path.suffixes[-2:] == [".nwb", ".zarr"]
        or path.suffix == ".nwb"
        or (path.suffix == ".zarr" and is_nwb(path))
    )


def _may_be_zarr(folder: Path) -> bool:
    return folder.suffix in (".zarr", ".nwb") and (folder / ".zgroup").exists()


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


# --- from files to streams ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Signal:
    """The channels of a series that are on one device.

    Attributes
    ----------
    groups : dict of str to int
        Channels of each electrode group.
    """

    series: Series
    device: str | None
    groups: dict[str, int] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str | None]:
        """What tells it from other signals of the file."""
        return self.series.path, self.device


def _streams_of_file(path: Path, root: Path, *, split_groups: bool) -> Found:
    read: list[Series] = []
    broken: list[FoundStream] = []
    ignored: list[IgnoredStream] = []
    with opened_nwb(path, root) as nwb:
        for where in nwb.of_type("ElectricalSeries"):
            try:
                read.append(read_series(nwb, where))
            except BadDataError as error:
                if where.startswith("acquisition/") and not is_slow(nwb, where):
                    broken.append(_broken(where, str(error), path, root))
                else:
                    ignored.append(IgnoredStream(stream=f"{path.name}/{where}", reason=str(error)))
        if not (read or broken or ignored):
            ignored.append(IgnoredStream(stream=path.name, reason=_why_empty(nwb)))
    signals = [signal for series in read for signal in _signals(series)]
    wideband = [one for one in signals if _is_probe_signal(one.series)]
    lfps = {one.key: _companion(one, signals) for one in wideband}
    keys = _probe_keys(wideband)
    used = {one.key for one in wideband} | {lfp.key for lfp in lfps.values() if lfp}
    ignored += [
        IgnoredStream(
            stream=f"{path.name}/{one.series.path}", reason=_why_not(one.series), kind=one.series.found.kind
        )
        for one in signals
        if one.key not in used
    ]
    streams = tuple(
        _stream(one, lfps[one.key], keys[one.key], path, root, split_groups=split_groups) for one in wideband
    )
    return Found((*streams, *broken), tuple(ignored))


def _broken(where: str, problem: str, path: Path, root: Path) -> FoundStream:
    """A series that cannot be read, under its own name."""
    file = relative(path, root)
    return FoundStream(
        folder=_session_folder(path),
        block="block0",
        stream=where.replace("/", "-"),
        probe=where.rsplit("/", 1)[-1],
        segments=(FoundSegment(1, {"file": file, "series": where}, (file,), problem=problem),),
        kind="unknown",
    )


def _session_folder(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".zarr").removesuffix(".nwb"))


def _why_empty(nwb: NwbFile) -> str:
    return "it holds no ElectricalSeries" if nwb.has("acquisition") else "it holds no NWB acquisition"


def _signals(series: Series) -> list[_Signal]:
    found = []
    for device in series.device_names:
        names, counts = np.unique(series.groups[series.channels_on(device)], return_counts=True)
        groups = {str(name): int(count) for name, count in zip(names, counts, strict=True)}
        found.append(_Signal(series, device, groups))
    return found


def _is_probe_signal(series: Series) -> bool:
    return series.found.kind in SORTABLE and series.path.startswith("acquisition/")


def _why_not(series: Series) -> str:
    if series.found.kind in SORTABLE:
        return "not in acquisition: a processed signal"
    if series.found.kind == "LFP":
        return f"{series.found.reason}, and it is no other series' LFP band"
    return series.found.reason


def _companion(wideband: _Signal, signals: list[_Signal]) -> _Signal | None:
    """The LFP series of the same electrode groups; the one with all the channels if there are several."""
    candidates = [
        one
        for one in signals
        if one.series.found.kind == "LFP"
        and one.device == wideband.device
        and one.groups.keys() == wideband.groups.keys()
    ]
    candidates.sort(
        key=lambda one: (one.series.problem is not None, one.groups != wideband.groups, one.series.path)
    )
    return candidates[0] if candidates else None


def _probe_keys(wideband: list[_Signal]) -> dict[tuple[str, str | None], str]:
    """The name of the device where it tells the signals apart, else that of the series, else both."""
    devices = Counter(one.device for one in wideband)
    of_series = Counter(one.series.path for one in wideband)
    keys = {}
    for one in wideband:
        if one.device is not None and devices[one.device] == 1:
            keys[one.key] = one.device
        elif of_series[one.series.path] == 1:
            keys[one.key] = one.series.name
        else:
            keys[one.key] = f"{one.series.name}_{one.device or 'unknown'}"
    return keys


def _stream(
    signal: _Signal, lfp: _Signal | None, probe: str, path: Path, root: Path, *, split_groups: bool
) -> FoundStream:
    series = signal.series
    source: dict[str, Any] = {"file": relative(path, root), "series": series.path}
    if signal.device is not None:
        source["device"] = signal.device
    lfp_problem = None if lfp is None else lfp.series.problem
    if lfp is not None and lfp_problem is None:
        source["lfp_series"] = lfp.series.path
    segment = FoundSegment(
        number=1,
        source=source,
        files=(relative(path, root),),
        duration=series.num_samples / series.sampling_frequency,
        problem=series.problem or (None if split_groups else _no_common_frame(signal, path)),
        lfp_problem=lfp_problem,
    )
    name = series.path.replace("/", "-")
    shared = len(series.device_names) > 1
    model = [
        device.model for group, device in series.devices.items() if group in signal.groups and device.model
    ]
    return FoundStream(
        folder=_session_folder(path),
        block="block0",
        stream=f"{name}-{signal.device}" if shared else name,
        probe=probe,
        segments=(segment,),
        groups=signal.groups,
        lfp_stream=None if lfp is None else lfp.series.path.replace("/", "-"),
        sampling_frequency=series.sampling_frequency,
        kind=series.found.kind,
        kind_reason=series.found.reason,
        probe_model=model[0] if model else None,
    )


def _no_common_frame(signal: _Signal, path: Path) -> str | None:
    """Positions that are counted in each group by itself cannot be put together."""
    series = signal.series
    positions = None if series.positions is None else series.positions[series.channels_on(signal.device)]
    if positions is None or len(np.unique(positions, axis=0)) == len(positions):
        return None
    return (
        f"{path}: the electrode groups of {series.path} have positions relative to each group, so it is not known how "
        "the groups lie to each other. Process them apart (job_dispatch.split_groups true)."
    )


def _open(source: dict[str, Any], which: str, root: Path) -> BaseRecording:
    """Open one series lazily, with the times of its samples where the file has them."""
    path, where = root / str(source["file"]), str(source[which])
    with opened_nwb(path, root) as nwb:
        if not nwb.has(where):
            raise BadDataError(f"{path} has no {where} any more. Run discovery again.")
        return open_series(nwb, read_series(nwb, where), source.get("device"))
