"""Write the NWB file of a session: all probes in one file, in Zarr or HDF5."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numcodecs
from hdmf_zarr.backend import ZarrIO
from pynwb import NWBHDF5IO, NWBFile, get_manager
from pynwb.file import Subject

from spikepipe_core.errors import BadDataError
from spikepipe_core.nwb.electrodes import add_electrodes
from spikepipe_core.nwb.metadata import NWB_SUFFIXES, SessionMetadata
from spikepipe_core.nwb.probe_data import ProbeData
from spikepipe_core.nwb.series import add_lfp, add_raw
from spikepipe_core.nwb.units import add_units
from spikepipe_core.params import NwbEcephysParams

# Level 4 of 9, as gzip's and hdf5's users know it: above it files hardly shrink and writing takes twice as long.
GZIP_LEVEL = 4
# Blosc with Zstandard is what SpikeInterface writes its Zarr recordings with; every Zarr reader has it.
BLOSC = {"cname": "zstd", "clevel": 5, "shuffle": numcodecs.Blosc.BITSHUFFLE}


def write_session_nwb(
    path: Path, *, session: SessionMetadata, probes: list[ProbeData], params: NwbEcephysParams
) -> Path:
    """Write all probes of a session into one NWB file, which is complete and closed on return.

    Memory is bounded: traces are copied chunk by chunk. What is held at once are the spike times of all units
    (8 bytes a spike) and their mean waveforms.

    Parameters
    ----------
    path : Path
        Does not exist yet; ends in `NWB_SUFFIXES[params.backend]`.
    probes : list of ProbeData
        In the order of the electrodes and units tables.
    params : NwbEcephysParams
        `backend`, `write_lfp`, `write_raw`, `stub`, `stub_seconds`. A stub shortens the series; units are whole.

    Raises
    ------
    BadDataError
        A probe's outputs do not belong together, or lack what NWB requires.
    """
    _check(path, probes, params)
    nwbfile = build_nwbfile(session, probes, params)
    _configure(nwbfile, params.backend)
    with _io(path, params.backend) as io:
        io.write(nwbfile)
    return path


def build_nwbfile(session: SessionMetadata, probes: list[ProbeData], params: NwbEcephysParams) -> NWBFile:
    """The session as an NWB file in memory, its traces not read yet."""
    nwbfile = NWBFile(
        session_start_time=session.session_start_time,
        identifier=session.identifier,
        session_id=session.session_id,
        was_generated_by=[[name, version(name)] for name in ("spikepipe", "spikeinterface")],
        **session.nwbfile,
    )
    if session.subject:
        nwbfile.subject = Subject(**session.subject)
    rows = add_electrodes(nwbfile, probes)
    for probe in probes:
        if params.write_raw:
            add_raw(nwbfile, probe, rows[probe.key], params)
        if params.write_lfp and probe.lfp is not None:
            add_lfp(nwbfile, probe, rows[probe.key], params)
    add_units(nwbfile, probes, rows)
    return nwbfile


def _check(path: Path, probes: list[ProbeData], params: NwbEcephysParams) -> None:
    if not path.name.endswith(NWB_SUFFIXES[params.backend]):
        raise ValueError(
            f"{path.name} must end in {NWB_SUFFIXES[params.backend]} for the {params.backend} backend"
        )
    if path.exists():
        raise FileExistsError(f"{path} exists; an NWB file is written whole, under a new name")
    keys = [probe.key for probe in probes]
    if not keys or len(set(keys)) < len(keys):
        raise BadDataError(f"An NWB file needs probes with different keys, and these were given: {keys}.")


def _configure(nwbfile: NWBFile, backend: str) -> None:
    """Chunks and compression of every dataset: NeuroConv's chunk shapes, with a quick compressor."""
    from neuroconv.tools.nwb_helpers import configure_backend, get_default_backend_configuration

    configuration = get_default_backend_configuration(nwbfile, backend=backend)
    for dataset in configuration.dataset_configurations.values():
        dataset.compressors = ["blosc"] if backend == "zarr" else ["gzip"]
        dataset.compressor_options = [dict(BLOSC)] if backend == "zarr" else [{"level": GZIP_LEVEL}]
    configure_backend(nwbfile, configuration)


def _io(path: Path, backend: str) -> Any:
    """The writer.

    For Zarr it is hdmf-zarr's general one, with object references as JSON: by default they are pickles, and
    `NWBZarrIO` (0.13) does not hand on the codec it is given.
    """
    if backend == "hdf5":
        return NWBHDF5IO(str(path), mode="w")
    return ZarrIO(str(path), manager=get_manager(), mode="w", object_codec_class=numcodecs.JSON)
