"""Writing a simulated probe as the pairs of `.bin` and `.meta` files that SpikeGLX writes.

Keys: https://billkarsh.github.io/SpikeGLX/Sgl_help/Metadata_30.html. Those that would name an instrument
(serial numbers, firmware) are left out, because there is none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikepipe_core.demo.simulation import AP_RATE, LF_RATE, ProbeSimulation, neuropixels_subset

__all__ = ["ProbeClock", "channel_id", "sample_shifts", "write_probe"]

READOUT_CHANNELS = 384
AP_GAIN, LF_GAIN = 500, 250  # SpikeGLX's defaults
RANGE_V, STEPS = 0.6, 512  # input range and positive steps of the 10-bit converters
SYNC_BIT = 1 << 6  # of the SYNC word
SYNC_PERIOD_S = 1.0
CHUNK_S = 1.0
# Fixed, so that a seed gives the same bytes; it is no time at which anything happened, and userNotes say so.
CREATED = "2024-01-01T12:00:00"
NOTE = "Simulated by spikepipe demo-data: no animal, no instrument. The time is made up."
# From the shank's left edge to the x of probeinterface's leftmost column.
LEFT_EDGE_UM = 11.0


def channel_id(probe: str, index: int) -> str:
    """Id of an AP channel as readers of SpikeGLX give it."""
    return f"{probe}.ap#AP{index}"


def sample_shifts(channels: int) -> np.ndarray:
    """Sampling delay of each channel of a Neuropixels 1.0 probe in samples, shape (channels,).

    12 channels share a converter that takes 13 steps a sample (the 13th for the LF band).
    https://github.com/billkarsh/ProbeTable/issues/3
    """
    from probeinterface.neuropixels_tools import build_neuropixels_probe

    table = str(build_neuropixels_probe("NP1000").annotations["adc_sampling_table"])
    _, *slots = table.strip("()").split(")(")  # the channels that are sampled at the same time, slot by slot
    delays = np.zeros(READOUT_CHANNELS)
    for order, slot in enumerate(slots):
        delays[[int(channel) for channel in slot.split()]] = order / (len(slots) + 1)
    return delays[:channels]


@dataclass(frozen=True)
class ProbeClock:
    """The oscillator of a probe.

    Attributes
    ----------
    drift_ppm : float
        By how much it is fast.
    offset_ms : float
        How long before the sync line's clock it was started.
    """

    drift_ppm: float = 0.0
    offset_ms: float = 0.0

    def shared_s(self, own_s: np.ndarray) -> np.ndarray:
        """Times on the sync line's clock, in s, of times on the probe's."""
        return own_s / (1 + self.drift_ppm * 1e-6) - self.offset_ms / 1e3


def write_probe(
    simulation: ProbeSimulation,
    folder: Path,
    run: str,
    index: int,
    seed: int,
    progress: Callable[[float], None],
    clock: ProbeClock,
) -> None:
    """Write the AP and LF pairs of probe `index` into its folder, in pieces.

    Parameters
    ----------
    folder : Path
        Folder of the run, ``<run>_g0``.
    progress : callable
        Called with the fraction done.
    clock : ProbeClock
        Of the probe, as against that which makes the pulses on the sync line.
    """
    probe_folder = folder / f"{folder.name}_imec{index}"
    probe_folder.mkdir(parents=True)
    stem = f"{run}_g0_t0.imec{index}"
    ap, lf = probe_folder / f"{stem}.ap.bin", probe_folder / f"{stem}.lf.bin"
    hashes = {ap: hashlib.sha1(usedforsecurity=False), lf: hashlib.sha1(usedforsecurity=False)}
    chunk = round(CHUNK_S * AP_RATE)
    with ap.open("wb") as ap_file, lf.open("wb") as lf_file:
        for start in range(0, simulation.num_samples, chunk):
            stop = min(start + chunk, simulation.num_samples)
            ap_uV = simulation.ap_uV(start, stop)
            lf_uV = simulation.lf_uV(ap_uV, start)
            ratio = round(AP_RATE / LF_RATE)
            pieces = (
                (ap, ap_file, _frames(ap_uV, AP_GAIN, clock.shared_s(np.arange(start, stop) / AP_RATE))),
                (
                    lf,
                    lf_file,
                    _frames(
                        lf_uV, LF_GAIN, clock.shared_s(np.arange(start // ratio, stop // ratio) / LF_RATE)
                    ),
                ),
            )
            for path, file, frames in pieces:
                content = frames.tobytes()
                hashes[path].update(content)
                file.write(content)
            progress(stop / simulation.num_samples)
    for path, rate in ((ap, AP_RATE), (lf, LF_RATE)):
        text = _meta(path, folder.name, rate, simulation.channels, index, seed, hashes[path].hexdigest())
        path.with_suffix(".meta").write_text(text, encoding="utf-8")


def _frames(microvolts: np.ndarray, gain: int, times: np.ndarray) -> np.ndarray:
    """Samples as the file holds them: int16 steps, and the SYNC word last; shape (samples, channels + 1)."""
    step_uV = 1e6 * RANGE_V / STEPS / gain
    frames = np.empty((len(microvolts), microvolts.shape[1] + 1), dtype="<i2")
    frames[:, :-1] = np.clip(np.rint(microvolts / step_uV), -STEPS, STEPS - 1)
    # The half sample keeps rounding out of the comparison.
    high = (times + 0.5 / AP_RATE) % SYNC_PERIOD_S < SYNC_PERIOD_S / 2
    frames[:, -1] = np.where(high, SYNC_BIT, 0)
    return frames


def _meta(path: Path, run_folder: str, rate: float, channels: int, index: int, seed: int, sha1: str) -> str:
    is_ap = path.stem.endswith(".ap")
    size = path.stat().st_size
    first = 0 if is_ap else READOUT_CHANNELS
    values = {
        "acqApLfSy": f"{READOUT_CHANNELS},{READOUT_CHANNELS},1",
        "appVersion": "20230905",
        "fileCreateTime": CREATED,
        "fileName": f"{run_folder}/{path.parent.name}/{path.name}",
        "fileSHA1": sha1.upper(),
        "fileSizeBytes": size,
        "fileTimeSecs": size / (2 * (channels + 1)) / rate,
        "firstSample": 0,
        "gateMode": "Immediate",
        "imAiRangeMax": RANGE_V,
        "imAiRangeMin": -RANGE_V,
        "imDatPrb_dock": 1,
        "imDatPrb_pn": "NP1000",
        "imDatPrb_port": index % 4 + 1,
        "imDatPrb_slot": 2 + index // 4,
        "imDatPrb_type": 0,
        "imIsSvyRun": "false",
        "imMaxInt": STEPS,
        "imSampRate": f"{rate:g}",
        "nDataDirs": 1,
        "nSavedChans": channels + 1,
        "snsApLfSy": f"{channels},0,1" if is_ap else f"0,{channels},1",
        "snsSaveChanSubset": f"{first}:{first + channels - 1},{2 * READOUT_CHANNELS}",
        "syncSourceIdx": 1,  # from outside
        "syncSourcePeriod": f"{SYNC_PERIOD_S:g}",
        "trigMode": "Immediate",
        "typeThis": "imec",
        "userNotes": f"Simulated by spikepipe demo-data (seed {seed}): no animal, no instrument. The time "
        "is made up.",
        "~imroTbl": _imro(),
        "~snsChanMap": _channel_map("AP" if is_ap else "LF", first, channels),
        "~snsGeomMap": _geometry_map(channels),
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())


def _imro() -> str:
    """Readout: channel, bank, reference, AP gain, LF gain, AP filter on, for all channels of the probe."""
    entries = (f"({channel} 0 0 {AP_GAIN} {LF_GAIN} 1)" for channel in range(READOUT_CHANNELS))
    return f"(0,{READOUT_CHANNELS})" + "".join(entries)


def _channel_map(band: str, first: int, channels: int) -> str:
    """Names of the saved channels, their numbers in the acquired stream, and their order on the screen."""
    entries = (f"({band}{channel};{first + channel}:{channel})" for channel in range(channels))
    header = f"({READOUT_CHANNELS},{READOUT_CHANNELS},1)"
    return header + "".join(entries) + f"(SY0;{2 * READOUT_CHANNELS}:{READOUT_CHANNELS})"


def _geometry_map(channels: int) -> str:
    """Shank, x from its left edge, y from the lowest row, and whether used, for the saved channels."""
    positions = neuropixels_subset(channels).contact_positions
    entries = (f"(0:{x + LEFT_EDGE_UM:g}:{y:g}:1)" for x, y in positions)
    return "(NP1000,1,0,70)" + "".join(entries)
