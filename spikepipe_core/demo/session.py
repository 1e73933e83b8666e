"""A demo session: a SpikeGLX run folder with some simulated probes, and their ground truth beside it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from spikepipe_core.demo.ground_truth import write_ground_truth
from spikepipe_core.demo.simulation import ProbeSimulation
from spikepipe_core.demo.spikeglx import READOUT_CHANNELS, sample_shifts, write_probe
from spikepipe_core.errors import ParamsError
from spikepipe_core.ingest.naming import safe_key

__all__ = ["write_demo_session"]

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
    progress: Callable[[float, str], None] | None = None,
) -> Path:
    """Write a simulated session in the format of SpikeGLX.

    `out` then holds ``<name>_g0/`` (the run, as acquired) and ``ground_truth/<probe>/``, which readers of
    raw data pass over. The same arguments give the same bytes. It appears under its name when it is complete.

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
    progress : callable, optional
        Called with the fraction done and a sentence.

    Returns
    -------
    Path
        The run folder.

    Raises
    ------
    ParamsError
        A value is out of range, or `out` is not empty.
    """
    counts = [channels] if isinstance(channels, int) else list(channels)
    _check(Path(out), probes, seconds, counts, seed, name)
    out = Path(out).absolute()
    draft = out.with_name(f".{out.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    run_folder = draft / f"{name}_g0"
    for index in range(probes):
        _write_probe(run_folder, index, probes, counts[index % len(counts)], seconds, seed, name, progress)
    if out.exists():
        out.rmdir()
    draft.rename(out)
    return out / run_folder.name


def _write_probe(
    run_folder: Path,
    index: int,
    probes: int,
    channels: int,
    seconds: float,
    seed: int,
    name: str,
    progress: Callable[[float, str], None] | None,
) -> None:
    # Each probe is in tissue of its own: seeds far apart, so that neighbouring seeds share no probe.
    simulation = ProbeSimulation(channels, seconds, 1000 * seed + index, sample_shifts(channels))

    def tell(fraction: float) -> None:
        if progress is not None:
            progress((index + fraction) / probes, f"writing imec{index}: {channels} channels, {seconds:g} s")

    write_probe(simulation, run_folder, name, index, seed, tell)
    write_ground_truth(simulation, run_folder.parent, f"imec{index}", seed)


def _check(out: Path, probes: int, seconds: float, channels: list[int], seed: int, name: str) -> None:
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
    if not name or safe_key(name) != name:
        wrong.append(f"name = {name!r}; use letters, digits, '-' and '_'")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        wrong.append(f"{out} is there already and not empty; choose another folder, or remove it")
    if wrong:
        raise ParamsError("The demo session cannot be written: " + "; ".join(wrong) + ".")
