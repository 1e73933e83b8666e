"""Geometry of streams for which Open Ephys wrote none, from a probe file that the params name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spikepipe_core.errors import BadDataError, ParamsError
from spikepipe_core.ingest.openephys_files import Stream
from spikepipe_core.ingest.openephys_geometry import StreamGeometry
from spikepipe_core.ingest.probes import ProbeFile, ProbePaths, find_probe_file, read_probe_file

if TYPE_CHECKING:
    from probeinterface import Probe, ProbeGroup

    from spikepipe_core.params import JobDispatchParams

__all__ = ["file_geometry", "filling_gaps"]


def filling_gaps(
    described: Callable[[Stream], StreamGeometry], params: JobDispatchParams, root: Path
) -> Callable[[Stream], StreamGeometry]:
    """What finds the electrodes of a stream: first what the acquisition says, then the probe file of the params.

    Parameters
    ----------
    described : callable
        Finds what the acquisition says, or raises `BadDataError`.
    params : JobDispatchParams
        `spikeinterface_info.probe_paths`: one file for all streams without geometry, or one for each stream by its
        name: Neo's, that of its folder, its own, or without the band.

    Raises
    ------
    ParamsError
        `probe_paths` is a list, which is for several openings of SpikeInterface's readers.
    """
    info = params.spikeinterface_info
    paths = None if info is None else info.probe_paths
    if isinstance(paths, list):
        raise ParamsError(
            "job_dispatch.spikeinterface_info.probe_paths is a list, which only the spikeinterface reader takes. Give "
            "one file, or an object with a file for each stream's name."
        )

    def find(stream: Stream) -> StreamGeometry:
        try:
            return described(stream)
        except BadDataError:
            file = _file_of(stream, paths, root)
            if file is None:
                raise
        return file_geometry(stream, file, root)

    return find


def _file_of(stream: Stream, paths: ProbePaths, root: Path) -> ProbeFile | None:
    names = (stream.full_name, stream.folder_name, stream.name, stream.base_name)
    name = next((one for one in names if isinstance(paths, dict) and one in paths), stream.full_name)
    return find_probe_file(paths, name, root, root)


def file_geometry(stream: Stream, file: ProbeFile, root: Path) -> StreamGeometry:
    """Electrodes as a probe file wires them to the stream's electrode channels, which are counted from 0.

    Raises
    ------
    BadDataError
        The file has changed, or is no geometry of this stream.
    """
    group = read_probe_file(file, root)
    wiring = np.asarray(group.get_global_device_channel_indices()["device_channel_indices"], dtype=int)
    contacts = [int(contact) for contact in np.argsort(wiring, kind="stable") if wiring[contact] >= 0]
    last = int(wiring.max())
    if not contacts or last >= len(stream.electrodes):
        raise BadDataError(
            f"{stream.full_name} has {len(stream.electrodes)} electrode channels, counted from 0, but {file.path} "
            f"wires contacts to {f'channel {last}' if contacts else 'none'}. Correct device_channel_indices in it."
        )
    probe = _one_probe(group).get_slice(np.array(contacts))
    probe.set_device_channel_indices(np.arange(len(contacts)))
    wired = {int(channel) for channel in wiring}
    left_out = [index for place, index in enumerate(stream.electrodes) if place not in wired]
    return StreamGeometry(
        probe,
        channels=tuple(stream.electrodes[wiring[contact]] for contact in contacts),
        without_electrode=tuple(stream.channels[index].name for index in left_out),
        file=file,
    )


def _one_probe(group: ProbeGroup) -> Probe:
    """All probes of a file as one, each as a shank."""
    from probeinterface import combine_probes

    return group.probes[0] if len(group.probes) == 1 else combine_probes(group.probes)
