"""Peak memory of the motion estimate: of its matrices, by method, and of a whole estimate of a long recording.

Matrices over pairs of time bins are what grows fastest with duration. The first table measures what each method needs
for a pair (`spikepipe_core.stages.motion_arguments.BYTES_A_PAIR`) on random peaks. The second estimates the motion of a
long, thin recording, which is half a minute over and over and takes no disk. Depth windows are fractions of the probe,
so that a short probe has as many of them, and as large matrices, as a long one.

    python bench/motion_memory.py --hours 4 --presets dredge_fast nonrigid_accurate

Exit status 1: an estimate fails, takes more than 16 GiB, or a pair takes more than is reckoned with.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import spikeinterface.core as si
from peak_memory import GIB, peak_memory
from rich.console import Console
from rich.table import Table

from spikepipe_core.params import MotionCorrectionParams
from spikepipe_core.stages.motion import estimate_motion
from spikepipe_core.stages.motion_arguments import BYTES_A_PAIR

LIMIT_GIB = 16.0
LENGTH_UM = 380.0
STRETCH_S = 30.0
WINDOWS, RANDOM_PEAKS = 11, 200_000
PAIRS = {
    "full": {"method": "dredge_ap", "batching_mode": "full", "bin_s": 1.0},
    "online": {"method": "dredge_ap", "batching_mode": "online", "bin_s": 1.0},
    "decentralized": {"method": "decentralized", "bin_s": 1.0},
}
SEED = 0


def main() -> int:
    options = _options()
    console = Console(width=110)
    pairs, fits = _pairs(options)
    console.print(pairs)
    estimates, ends = _estimates(options)
    console.print(estimates)
    return int(not (fits and ends))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=4.0)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument(
        "--rate", type=float, default=25_000.0, help="samples a second; with fewer, spikes are slower"
    )
    parser.add_argument("--presets", nargs="*", default=["dredge_fast", "nonrigid_accurate"])
    parser.add_argument(
        "--rigid", action="store_true", help="one depth window: the pieces are longer instead"
    )
    parser.add_argument("--methods", nargs="*", default=list(BYTES_A_PAIR), help="of the first table")
    parser.add_argument("--bins", type=int, default=1000, help="time bins of the first table")
    parser.add_argument("--n_jobs", type=int, default=2)
    return parser.parse_args()


# --- bytes for a pair of time bins ------------------------------------------------------------------------------------


def _pairs(options: argparse.Namespace) -> tuple[Table, bool]:
    title = f"{options.bins} time bins, {WINDOWS} depth windows"
    table = Table("method", "bytes a pair", "reckoned with", "peak GiB", "seconds", title=title)
    fits = True
    for name in options.methods:
        reckoned = BYTES_A_PAIR[name]
        without, _ = peak_memory(follow_random_peaks, name, 50)
        started = time.monotonic()
        peak, problem = peak_memory(follow_random_peaks, name, options.bins)
        # The decentralized method works on one window after another.
        windows = 1 if name == "decentralized" else WINDOWS
        bytes_a_pair = (peak - without) / (windows * options.bins**2)
        fits &= not problem and bytes_a_pair <= reckoned
        seconds = time.monotonic() - started
        table.add_row(
            name,
            problem or f"{bytes_a_pair:.0f}",
            str(reckoned),
            f"{peak / GIB:.2f}",
            f"{seconds:.0f}",
        )
    return table, fits


def follow_random_peaks(name: str, bins: int) -> None:
    """Estimate motion from peaks at random times and depths, over so many time bins of a second."""
    from spikeinterface.core.base import base_peak_dtype
    from spikeinterface.sortingcomponents.motion import estimate_motion as follow

    recording = _thin(si.NumpyRecording([np.broadcast_to(np.zeros((1, 8), "int16"), (bins * 1000, 8))], 1000))
    random = np.random.default_rng(SEED)
    peaks = np.zeros(RANDOM_PEAKS, dtype=base_peak_dtype)
    peaks["sample_index"] = np.sort(random.integers(0, bins * 1000, RANDOM_PEAKS))
    peaks["amplitude"] = -random.uniform(50, 200, RANDOM_PEAKS)
    locations = np.zeros(RANDOM_PEAKS, dtype=[("x", "float64"), ("y", "float64")])
    locations["y"] = random.choice(np.linspace(0, LENGTH_UM, 20), RANDOM_PEAKS)
    locations["y"] += random.normal(0, 5, RANDOM_PEAKS)
    step = LENGTH_UM / WINDOWS
    arguments = dict(PAIRS[name])
    if name == "online":
        arguments["chunk_len_s"] = bins
    follow(
        recording,
        peaks,
        locations,
        rigid=False,
        win_step_um=step,
        win_scale_um=step,
        progress_bar=False,
        **arguments,
    )


# --- a whole estimate -------------------------------------------------------------------------------------------------


def _estimates(options: argparse.Namespace) -> tuple[Table, bool]:
    title = f"{options.hours:g} h, {options.channels} channels over {LENGTH_UM:g} um, n_jobs {options.n_jobs}"
    table = Table("preset", "peak GiB", "seconds", "result", title=title)
    ends = True
    for preset in options.presets:
        with tempfile.TemporaryDirectory() as folder:
            said = Path(folder) / "said"
            started = time.monotonic()
            peak, problem = peak_memory(estimate, preset, options, said)
            seconds = time.monotonic() - started
            result = problem or said.read_text()
        ends &= not problem and peak / GIB <= LIMIT_GIB
        table.add_row(preset, f"{peak / GIB:.2f}", f"{seconds:.0f}", result)
    return table, ends


def estimate(preset: str, options: argparse.Namespace, said: Path) -> None:
    """Estimate the motion of a long, thin recording; write down in a sentence what came of it."""
    params = MotionCorrectionParams(preset=preset)
    if options.rigid:
        params.estimate_motion_kwargs["rigid"] = True
    made = estimate_motion(
        _thin(_lasting(options)),
        params,
        said.with_name("peaks"),
        {"n_jobs": options.n_jobs, "progress_bar": False, "chunk_duration": "10s"},
    )
    if made.motion is None:
        sys.exit(f"{preset}: {made.failure or 'too few peaks'}")
    bins, windows = made.motion.displacement[0].shape
    words = [f"{len(made.peaks)} peaks, {bins} time bins, {windows} windows", *made.changes]
    said.write_text("; ".join(words))


def _lasting(options: argparse.Namespace) -> si.BaseRecording:
    """Half a minute of spikes, over and over."""
    short, _ = si.generate_ground_truth_recording(
        durations=[STRETCH_S], num_channels=options.channels, num_units=4 * options.channels, seed=SEED
    )
    traces = short.get_traces()
    stretch = si.NumpyRecording([traces], options.rate)
    stretch.set_probe(short.get_probe())
    times = max(1, round(options.hours * 3600 * options.rate / len(traces)))
    return si.concatenate_recordings([stretch] * times)


def _thin(recording: si.BaseRecording) -> si.BaseRecording:
    """The recording with its channels in one column."""
    channels = recording.get_num_channels()
    depths = np.linspace(0, LENGTH_UM, channels)
    recording.set_dummy_probe_from_locations(np.stack([np.zeros(channels), depths], axis=1))
    return recording


if __name__ == "__main__":
    sys.exit(main())
