"""A demo session: some simulated probes in one of the formats that are read, and their ground truth beside it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spikepipe_core.demo import aind, nwb, openephys, saved, spikeglx
from spikepipe_core.demo.ground_truth import write_ground_truth
from spikepipe_core.demo.simulation import ProbeSimulation
from spikepipe_core.demo.source import DemoProbe, read_probes
from spikepipe_core.demo.spikeglx import READOUT_CHANNELS, ProbeClock, sample_shifts, write_probe
from spikepipe_core.errors import ParamsError
from spikepipe_core.ingest.naming import safe_key

__all__ = ["DEFAULT_CHANNELS", "FORMATS", "write_demo_session"]


@dataclass(frozen=True)
class Format:
    """How the session is written.

    Attributes
    ----------
    channel_id : callable
        Id of a channel, of a probe's name and the channel's index, as readers of the format give it.
    suffix : str
        What the session's file or folder has after its name.
    write : callable or None
        Writes probes to that file or folder; None for SpikeGLX, which is what is simulated.
    """

    channel_id: Callable[[str, int], str]
    suffix: str = ""
    write: Callable[[list[DemoProbe], Path], None] | None = None


FORMATS: dict[str, Format] = {
    "spikeglx": Format(spikeglx.channel_id),
    "openephys": Format(openephys.channel_id, write=openephys.write_openephys),
    "nwb": Format(nwb.channel_id, ".nwb", nwb.write_nwb),
    "nwb-zarr": Format(nwb.channel_id, ".nwb.zarr", nwb.write_nwb_zarr),
    "aind": Format(aind.channel_id, write=aind.write_aind),
    "spikeinterface": Format(spikeglx.channel_id, write=saved.write_spikeinterface),
}
"""By the name that `spikepipe demo-data --format` takes."""

DEFAULT_CHANNELS = (64, 48)
MIN_CHANNELS = 8
MAX_PROBES = 16


def write_demo_session(
    out: Path,
    *,
    probes: int = 2,
    seconds: float = 180.0,
    channels: int | Sequence[int] = DEFAULT_CHANNELS,
    seed: int = 0,
    name: str = "demo",
    format: str = "spikeglx",
    clocks: Sequence[ProbeClock] = (ProbeClock(),),
    progress: Callable[[float, str], None] | None = None,
) -> Path:
    """Write a simulated session.

    `out` then holds the session under the name ``<name>_g0`` and ``ground_truth/<probe>/``, which readers of raw data
    pass over. The same session has the same traces, geometry, names of probes and ground truth in every format. In
    SpikeGLX and Open Ephys the same arguments give the same bytes. It appears under its name when it is complete.

    Parameters
    ----------
    out : Path
        New or empty folder.
    probes : int
        1 to 16.
    seconds : float
        1 or more.
    channels : int or sequence of int
        Channels saved of each probe, 8 to 384; probes beyond the sequence's end start it again.
    seed : int
        0 or more.
    name : str
        Name of the run.
    format : str
        One of `FORMATS`.
    clocks : sequence of ProbeClock
        Of the probes, which show in the sync line; probes beyond the sequence's end start it again.
    progress : callable, optional
        Called with the fraction done and a sentence.

    Returns
    -------
    Path
        The session's folder or file.

    Raises
    ------
    ParamsError
        A value is out of range, or `out` is not empty.
    """
    counts = [channels] if isinstance(channels, int) else list(channels)
    _check(Path(out), probes, seconds, counts, seed, name, format)
    out = Path(out).absolute()
    draft = out.with_name(f".{out.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    chosen = FORMATS[format]
    run_folder = draft / f"{name}_g0" if chosen.write is None else draft / "spikeglx" / f"{name}_g0"
    for index in range(probes):
        channels_of_probe = counts[index % len(counts)]
        simulation = _simulation(channels_of_probe, seconds, seed, index)
        tell = _tell(progress, index, probes, simulation)
        write_probe(simulation, run_folder, name, index, seed, tell, clocks[index % len(clocks)])
        write_ground_truth(simulation, draft, f"imec{index}", seed, chosen.channel_id)
    session = draft / f"{name}_g0{chosen.suffix}"
    if chosen.write is not None:
        chosen.write(read_probes(run_folder), session)
        shutil.rmtree(run_folder.parent)
    if out.exists():
        out.rmdir()
    draft.rename(out)
    return out / session.name


def _simulation(channels: int, seconds: float, seed: int, index: int) -> ProbeSimulation:
    # Each probe is in tissue of its own: seeds far apart, so that neighbouring seeds share no probe.
    return ProbeSimulation(channels, seconds, 1000 * seed + index, sample_shifts(channels))


def _tell(
    progress: Callable[[float, str], None] | None, index: int, probes: int, simulation: ProbeSimulation
) -> Callable[[float], None]:
    def tell(fraction: float) -> None:
        if progress is not None:
            what = f"writing imec{index}: {simulation.channels} channels, {simulation.seconds:g} s"
            progress((index + fraction) / probes, what)

    return tell


def _check(
    out: Path, probes: int, seconds: float, channels: list[int], seed: int, name: str, format: str
) -> None:
    """Refuse what cannot be written, with all that is wrong about it."""
    wrong = []
    if not 1 <= probes <= MAX_PROBES:
        wrong.append(f"probes = {probes}; allowed are 1 to {MAX_PROBES}")
    if not seconds >= 1:
        wrong.append(f"seconds = {seconds}; at least 1 is needed")
    if not channels or not all(MIN_CHANNELS <= count <= READOUT_CHANNELS for count in channels):
        allowed = f"{MIN_CHANNELS} to {READOUT_CHANNELS} for each probe"
        wrong.append(f"channels = {channels}; allowed are {allowed}")
    if seed < 0:
        wrong.append(f"seed = {seed}; it must not be negative")
    if format not in FORMATS:
        wrong.append(f"format = {format!r}; use one of {', '.join(FORMATS)}")
    if not name or safe_key(name) != name:
        wrong.append(f"name = {name!r}; use letters, digits, '-' and '_'")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        wrong.append(f"{out} is there already and not empty; choose another folder, or remove it")
    if wrong:
        raise ParamsError("The demo session cannot be written: " + "; ".join(wrong) + ".")
