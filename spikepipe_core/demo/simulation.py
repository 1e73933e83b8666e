"""What one simulated probe sees: drifting units, slow potentials, noise, and two bad channels.

The building blocks are SpikeInterface's (`spikeinterface.generation`: unit positions, templates that move
with the tissue, spike trains); slow potentials and noise are added here. All is a function of seed and time,
made piece by piece, so that memory does not grow with duration.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from probeinterface import Probe
    from spikeinterface.core import BaseSorting

__all__ = ["AP_RATE", "LF_RATE", "ProbeSimulation", "neuropixels_subset"]

AP_RATE = 30_000.0
LF_RATE = 2_500.0
AP_HIGHPASS_HZ = 300.0  # of the Neuropixels 1.0 AP band; https://www.neuropixels.org/probe

CHANNELS_PER_UNIT = 2.9
WEAK_FRACTION = 0.2  # of the units; no sorter gets most of them
WEAK_SNR = (1.5, 3.5)
STRONG_SNR = (5.2, 22.0)
AMPLITUDE_STD = 0.1  # from spike to spike, as a fraction
FIRING_RATES_HZ = (1.5, 12.0)
REFRACTORY_MS = 4.0
MS_BEFORE, MS_AFTER = 1.5, 3.0

# Per channel; Neuropixels 1.0 in the brain has 5 to 8 (Jun et al. 2017, doi:10.1038/nature24636).
NOISE_UV = 7.0
NOISE_DECAY_UM = 25.0
COMMON_UV = 3.0  # the same on all channels, such as movement and mains electronics
DEAD_UV = 2.0
NOISY_UV = 70.0

DRIFT_UM = 15.0  # peak to peak, along the probe
DRIFT_PERIOD_S = 100.0
DRIFT_RATE_HZ = 5.0

LFP_UV = 250.0
LFP_HZ = (0.5, 90.0)
LFP_WAVES = 24
LFP_SOURCES = 3


def neuropixels_subset(channels: int) -> Probe:
    """Geometry of the first channels of a Neuropixels 1.0 probe, bank 0, as its readout numbers them."""
    from probeinterface.neuropixels_tools import build_neuropixels_probe

    probe = build_neuropixels_probe("NP1000").get_slice(np.arange(channels))
    probe.set_device_channel_indices(np.arange(channels))
    return probe


@dataclass(frozen=True)
class ProbeSimulation:
    """One probe's simulated signal.

    Attributes
    ----------
    channels : int
    seconds : float
    seed : int
        Decides everything.
    sample_shifts : ndarray, shape (channels,)
        How much later than channel 0 each one is sampled, in samples: the converters are multiplexed. Spikes
        are written as sampled so; noise and slow potentials, for which it makes no difference, are not.
    """

    channels: int
    seconds: float
    seed: int
    sample_shifts: np.ndarray

    @cached_property
    def probe(self) -> Probe:
        """Geometry."""
        return neuropixels_subset(self.channels)

    @property
    def num_samples(self) -> int:
        """Samples of the AP band: whole seconds' worth of LF samples fit in."""
        ratio = round(AP_RATE / LF_RATE)
        return int(self.seconds * AP_RATE) // ratio * ratio

    @cached_property
    def bad_channels(self) -> tuple[int, int]:
        """Indices of the dead and of the noisy channel."""
        dead, noisy = self._rng("bad channels").choice(np.arange(2, self.channels - 2), 2, replace=False)
        return int(dead), int(noisy)

    @cached_property
    def locations_um(self) -> np.ndarray:
        """Unit positions when the tissue is in its middle position, shape (units, 3), um."""
        from spikeinterface.core.generate import generate_unit_locations

        return generate_unit_locations(
            max(2, round(self.channels / CHANNELS_PER_UNIT)),
            self.probe.contact_positions,
            margin_um=-5.0,
            minimum_z=5.0,
            maximum_z=35.0,
            minimum_distance=18.0,
            max_iteration=500,
            seed=self.seed,
        )

    @cached_property
    def snr(self) -> np.ndarray:
        """Peak amplitude of each unit over the noise of a channel, shape (units,)."""
        rng = self._rng("amplitudes")
        num_units = len(self.locations_um)
        weak = round(num_units * WEAK_FRACTION)
        strong = np.geomspace(*STRONG_SNR, num_units - weak)
        return rng.permutation(np.concatenate([np.linspace(*WEAK_SNR, weak), strong]))

    @property
    def amplitudes_uV(self) -> np.ndarray:  # noqa: N802 - the field's unit
        """Peak of each unit's template on its best channel, tissue in middle position, shape (units,), uV."""
        return self.snr * NOISE_UV

    @cached_property
    def displacement(self) -> tuple[Any, ...]:
        """Drift, as `spikeinterface.generation.generate_displacement_vector` gives it."""
        from spikeinterface.generation import generate_displacement_vector

        return generate_displacement_vector(
            self.seconds + 2 / DRIFT_RATE_HZ,
            self.locations_um[:, :2],
            displacement_sampling_frequency=DRIFT_RATE_HZ,
            drift_start_um=[0, DRIFT_UM / 2],
            drift_stop_um=[0, -DRIFT_UM / 2],
            drift_step_um=1,
            motion_list=[
                {
                    "drift_mode": "zigzag",
                    "amplitude_factor": 1.0,
                    "non_rigid_gradient": 0.8,
                    "period_s": min(DRIFT_PERIOD_S, self.seconds),
                }
            ],
            seed=self.seed,
        )

    @cached_property
    def sorting(self) -> BaseSorting:
        """When each unit fires."""
        from spikeinterface.core.generate import generate_sorting

        sorting = generate_sorting(
            num_units=len(self.locations_um),
            sampling_frequency=AP_RATE,
            durations=[self.num_samples / AP_RATE],
            firing_rates=FIRING_RATES_HZ,
            refractory_period_ms=REFRACTORY_MS,
            seed=self.seed,
        )
        return sorting.rename_units([f"gt{unit}" for unit in range(len(self.locations_um))])

    def ap_uV(self, start: int, stop: int) -> np.ndarray:  # noqa: N802 - the field's unit
        """AP band of samples `start` to `stop`, shape (samples, channels), uV."""
        traces = self.spikes_uV(start, stop) + self._noise(start, stop)
        traces += self._slow(np.arange(start, stop) / AP_RATE, AP_HIGHPASS_HZ)
        return self._break_channels(traces, start)

    def spikes_uV(self, start: int, stop: int) -> np.ndarray:  # noqa: N802 - the field's unit
        """The units' spikes alone in samples `start` to `stop`, shape (samples, channels), uV."""
        return self._spikes.get_traces(start_frame=start, end_frame=stop).astype("float32")

    def lf_uV(self, ap_uV: np.ndarray, start: int) -> np.ndarray:  # noqa: N802 - the field's unit
        """LF band of a piece of the AP band, shape (samples / 12, channels), uV.

        The AP band averaged over the LF samples' intervals (with its slow part, which the AP filter takes
        away), and the slow potentials: what one electrode sees, through the other filter.
        """
        ratio = round(AP_RATE / LF_RATE)
        fast = ap_uV.reshape(-1, ratio, self.channels).mean(axis=1)
        times = (start + ratio / 2) / AP_RATE + np.arange(len(fast)) / LF_RATE
        slow = self._slow(times, None) - self._slow(times, AP_HIGHPASS_HZ)
        slow[:, self.bad_channels[0]] = 0
        return fast + slow

    # --- parts ---------------------------------------------------------------------------------------------

    def _rng(self, what: str, index: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, index, *what.encode()])

    @cached_property
    def _spikes(self) -> Any:
        """Spikes alone, as a lazy recording."""
        from spikeinterface.core import Templates
        from spikeinterface.generation import DriftingTemplates, InjectDriftingTemplatesRecording

        _, vectors, unit_factor, rate, steps = self.displacement
        resting = self._templates_at(np.zeros(2))
        templates = Templates(
            templates_array=resting,
            sampling_frequency=AP_RATE,
            nbefore=round(MS_BEFORE * AP_RATE / 1000),
            probe=self.probe,
            is_in_uV=True,
        )
        drifting = DriftingTemplates.from_static_templates(templates)
        drifting.templates_array_moved = np.stack([self._templates_at(step) for step in steps])
        drifting.displacements = steps
        spikes = self.sorting.to_spike_vector().size
        return InjectDriftingTemplatesRecording(
            sorting=self.sorting,
            drifting_templates=drifting,
            displacement_vectors=[vectors],
            displacement_sampling_frequency=rate,
            displacement_unit_factor=unit_factor,
            num_samples=[self.num_samples],
            amplitude_factor=self._rng("spikes").normal(1, AMPLITUDE_STD, spikes).astype("float32"),
        )

    def _templates_at(self, shift_um: np.ndarray) -> np.ndarray:
        """Templates of all units shifted by so much, as sampled, shape (units, samples, channels), uV."""
        templates = self._raw_templates(self.locations_um, shift_um) * self._scale
        return _delayed(templates, -self.sample_shifts)

    @cached_property
    def _scale(self) -> np.ndarray:
        """What makes each resting template as large as it should be, shape (units, 1, 1)."""
        resting = self._raw_templates(self.locations_um, np.zeros(2))
        return (self.amplitudes_uV / np.abs(resting).max(axis=(1, 2)))[:, np.newaxis, np.newaxis]

    def _raw_templates(self, locations: np.ndarray, shift_um: np.ndarray) -> np.ndarray:
        from spikeinterface.core.generate import generate_templates

        moved = locations.copy()
        moved[:, :2] += shift_um
        return generate_templates(
            self.probe.contact_positions,
            moved,
            AP_RATE,
            ms_before=MS_BEFORE,
            ms_after=MS_AFTER,
            seed=self.seed,
            mode="ellipsoid",
            unit_params={"alpha": 100.0, "spatial_decay": (15.0, 40.0), "ellipse_shrink": (0.5, 1.0)},
        )

    @cached_property
    def _mixing(self) -> np.ndarray:
        """Turns independent noise into noise that neighbours share, shape (channels, channels), uV."""
        positions = self.probe.contact_positions
        distances = np.linalg.norm(positions[:, np.newaxis] - positions[np.newaxis], axis=2)
        covariance = NOISE_UV**2 * np.exp(-distances / NOISE_DECAY_UM)
        return np.linalg.cholesky(covariance).T.astype("float32")

    def _noise(self, start: int, stop: int) -> np.ndarray:
        rng = self._rng("noise", start)
        shared = COMMON_UV * rng.standard_normal((stop - start, 1), dtype="float32")
        return rng.standard_normal((stop - start, self.channels), dtype="float32") @ self._mixing + shared

    @cached_property
    def _waves(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Slow potentials: frequencies (waves,), amplitudes and phases (waves, sources), profiles (sources,
        channels).

        Amplitudes fall as 1 / frequency, as those of field potentials do (Buzsaki et al. 2012,
        doi:10.1038/nrn3241); each source is a sink with a return current beside it, somewhere along the
        probe.
        """
        rng = self._rng("slow potentials")
        frequencies = np.exp(rng.uniform(np.log(LFP_HZ[0]), np.log(LFP_HZ[1]), LFP_WAVES))
        amplitudes = rng.uniform(0.5, 1.5, (LFP_WAVES, LFP_SOURCES)) / frequencies[:, np.newaxis]
        amplitudes *= LFP_UV / np.sqrt(np.sum(amplitudes**2) / 2)
        phases = rng.uniform(0, 2 * np.pi, (LFP_WAVES, LFP_SOURCES))
        depths = self.probe.contact_positions[:, 1]
        span = max(float(np.ptp(depths)), 1.0)
        centres = depths.min() + rng.uniform(0, span, LFP_SOURCES)
        where = (depths - centres[:, np.newaxis]) / (span / 3)
        return frequencies, amplitudes, phases, 0.4 + (1 - where**2) * np.exp(-(where**2) / 2)

    def _slow(self, times: np.ndarray, highpass_hz: float | None) -> np.ndarray:
        """Slow potentials at some times (s), through a first-order high-pass or none, shape (times, channels)."""
        frequencies, amplitudes, phases, profiles = self._waves
        response = np.ones(len(frequencies), dtype=complex)
        if highpass_hz is not None:
            response = 1j * frequencies / (1j * frequencies + highpass_hz)
        angles = 2 * np.pi * times[:, np.newaxis] * frequencies
        weights = amplitudes * np.exp(1j * phases) * response[:, np.newaxis]
        sources = np.sin(angles) @ weights.real + np.cos(angles) @ weights.imag
        return (sources @ profiles).astype("float32")

    def _break_channels(self, traces: np.ndarray, start: int) -> np.ndarray:
        rng = self._rng("bad channels", start + 1)
        dead, noisy = self.bad_channels
        traces[:, dead] = DEAD_UV * rng.standard_normal(len(traces), dtype="float32")
        traces[:, noisy] += NOISY_UV * rng.standard_normal(len(traces), dtype="float32")
        return traces


def _delayed(templates: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Templates moved later by fractions of a sample on each channel, exactly (by the phase of their spectra)."""
    num_samples = templates.shape[1]
    cycles = np.fft.rfftfreq(num_samples)[:, np.newaxis] * shifts
    spectra = np.fft.rfft(templates, axis=1) * np.exp(-2j * np.pi * cycles)
    return np.fft.irfft(spectra, n=num_samples, axis=1).astype("float32")
