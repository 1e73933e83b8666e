"""LFP: band, times, values and channels that a user relies on, from both kinds of probes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import spikeinterface.core as si
from probeinterface import generate_linear_probe, generate_multi_shank

from spikepipe_core.errors import BadDataError, ParamsError
from spikepipe_core.params import NwbEcephysParams
from spikepipe_core.stages.lfp import (
    PROCESSING,
    check_surface_channels,
    compute_lfp,
    spatial_subset,
    surface_channel,
    write_lfp,
)

GAIN_UV = 0.5
START_S = 100.0


def make_recording(tones, fs, seconds, channels=8, dtype="int16", scale=None):
    """Sines of {Hz: amplitude in uV} on all channels of a linear probe (20 um pitch), times `scale` by channel."""
    times = np.arange(int(fs * seconds)) / fs
    signal = sum(amplitude * np.sin(2 * np.pi * hz * times) for hz, amplitude in tones.items())
    traces = signal[:, None] * (np.ones(channels) if scale is None else np.asarray(scale)) / GAIN_UV
    recording = si.NumpyRecording([traces.astype(dtype)], fs)
    recording.set_channel_gains(GAIN_UV)
    recording.set_channel_offsets(0)
    probe = generate_linear_probe(channels, ypitch=20)
    probe.set_device_channel_indices(np.arange(channels))
    recording.set_probe(probe)
    return recording


def amplitude_of(recording, hz):
    """Amplitude (uV) of a tone in the first channel, away from the ends."""
    traces = recording.get_traces(return_in_uV=True)[:, 0]
    times = recording.get_times()
    middle = slice(len(traces) // 4, -len(traces) // 4)
    wave = np.exp(-2j * np.pi * hz * times[middle])
    return 2 * abs(np.mean(traces[middle] * wave))


def params(**changes):
    return NwbEcephysParams(
        **{
            "lfp_highpass_freq_min": 1.0,
            "lfp": {"filter": {"freq_min": 1.0}, "sampling_rate": 2500},
            **changes,
        }
    )


def test_wide_band_is_limited_to_the_band_and_sampled_down():
    wide = make_recording({20: 100, 1500: 100, 2490: 100}, fs=30_000.0, seconds=8)
    wide.shift_times(START_S)
    lfp = compute_lfp(wide, None, params(), probe="imec0")
    assert lfp.get_sampling_frequency() == 1250
    assert lfp.get_start_time() == START_S
    assert lfp.get_dtype() == np.dtype("int16")
    assert lfp.get_channel_gains()[0] == GAIN_UV
    assert amplitude_of(lfp, 20) == pytest.approx(100, rel=0.02)
    assert amplitude_of(lfp, 250) < 1, "1500 Hz is folded to 250 Hz if it is not filtered out"
    assert amplitude_of(lfp, 10) < 1, "2490 Hz is folded to 10 Hz if it is not filtered out"
    assert "low-pass 500 Hz" in lfp.get_annotation(PROCESSING)


def test_lfp_band_is_used_and_decimated_without_aliasing():
    wide = make_recording({20: 100}, fs=30_000.0, seconds=1)
    band = make_recording({8: 60, 1240: 100}, fs=2500.0, seconds=8)
    lfp = compute_lfp(wide, band, params(), probe="imec0")
    assert lfp.get_total_duration() == pytest.approx(8)
    assert amplitude_of(lfp, 8) == pytest.approx(60, rel=0.02)
    assert amplitude_of(lfp, 10) < 1, "1240 Hz is folded to 10 Hz by slicing"


@pytest.mark.parametrize("factor", [0, 1])
def test_factors_of_0_and_1_keep_everything(factor):
    band = make_recording({8: 60}, fs=2500.0, seconds=2)
    lfp = compute_lfp(
        band,
        band,
        params(lfp_temporal_factor=factor, lfp_spatial_factor=factor, lfp_highpass_freq_min=0),
        probe="imec0",
    )
    np.testing.assert_array_equal(lfp.get_traces(), band.get_traces())
    assert lfp.get_annotation(PROCESSING) == "as acquired"


def test_channels_are_kept_by_depth_on_each_shank():
    recording = make_recording({8: 60}, fs=2500.0, seconds=0.1, channels=32)
    probe = generate_multi_shank(num_shank=2, num_columns=1, num_contact_per_column=16, shank_pitch=[150, 0])
    probe.set_device_channel_indices(np.random.default_rng(0).permutation(32))
    recording.set_probe(probe)
    kept = recording.select_channels(spatial_subset(recording, 4))
    locations = kept.get_channel_locations()
    for x in np.unique(recording.get_channel_locations()[:, 0]):
        every = np.sort(recording.get_channel_locations()[recording.get_channel_locations()[:, 0] == x, 1])
        np.testing.assert_array_equal(np.sort(locations[locations[:, 0] == x, 1]), every[::4])


def test_channels_numbered_by_depth_are_kept_as_every_nth():
    recording = make_recording({8: 60}, fs=2500.0, seconds=0.1, channels=10)
    assert spatial_subset(recording, 4) == list(recording.channel_ids[::4])


def test_time_vector_of_a_clipped_recording_is_kept():
    wide = make_recording({20: 100}, fs=30_000.0, seconds=3)
    wide.set_times(wide.get_times() * 1.001 + START_S)
    clipped = wide.frame_slice(15_000, 75_000)
    lfp = compute_lfp(clipped, None, params(), probe="imec0")
    np.testing.assert_allclose(lfp.get_times(), clipped.get_times()[::24], atol=1e-9)


def test_gap_in_the_time_vector_stays_in_the_times(tmp_path):
    wide = make_recording({20: 100}, fs=30_000.0, seconds=3)
    times = wide.get_times()
    times[45_000:] += 10
    wide.set_times(times)
    lfp = compute_lfp(
        wide, None, params(), probe="imec0", scratch=tmp_path / "s", job_kwargs={"progress_bar": False}
    )
    np.testing.assert_allclose(lfp.get_times(), times[::24], atol=1e-9)


def test_stub_is_the_beginning():
    band = make_recording({8: 60}, fs=2500.0, seconds=6)
    lfp = compute_lfp(band, band, params(stub=True, stub_seconds=2), probe="imec0")
    assert lfp.get_total_duration() == pytest.approx(2)


def test_median_above_the_tissue_is_subtracted():
    scale = np.array([3.0, 3.0, 3.0, 3.0, 1.0, 1.0, 1.0, 50.0])
    band = make_recording({8: 60}, fs=2500.0, seconds=4, scale=scale)
    agar = params(surface_channel_agar_probes_indices=json.dumps({"imec0": 3, "imec1": 2}))
    labels = dict(zip(band.channel_ids, ["good"] * 7 + ["noise"], strict=True))
    lfp = compute_lfp(band, band, agar, probe="imec0", bad_channel_labels=labels)
    assert amplitude_of(lfp, 8) == pytest.approx(120, rel=0.02)
    untouched = compute_lfp(band, band, agar, probe="imec2")
    assert amplitude_of(untouched, 8) == pytest.approx(180, rel=0.02)


def test_reference_of_a_wide_band_probe():
    wide = make_recording({20: 60}, fs=30_000.0, seconds=4, scale=[3, 3, 3, 3, 1, 1, 1, 1])
    agar = params(surface_channel_agar_probes_indices={"ProbeA": 3})
    lfp = compute_lfp(wide, None, agar, probe="ProbeA_group0", device="ProbeA")
    assert amplitude_of(lfp, 20) == pytest.approx(120, rel=0.02)


def test_bad_surface_channels_are_params_errors():
    band = make_recording({8: 60}, fs=2500.0, seconds=1)
    for index, words in ((8, "only 8 channels"), (7, "no usable channel lies above")):
        with pytest.raises(ParamsError, match=words):
            compute_lfp(
                band, band, params(surface_channel_agar_probes_indices={"imec0": index}), probe="imec0"
            )
    asked = params(surface_channel_agar_probes_indices='{"ProbeZ": 3}')
    with pytest.raises(ParamsError, match=r"ProbeZ.*imec0, imec1"):
        check_surface_channels(asked, ["imec1", "imec0"])
    check_surface_channels(asked, ["ProbeZ"])
    assert surface_channel(asked, "ProbeZ_group1", "ProbeZ") == 3
    not_checked = NwbEcephysParams.model_construct(surface_channel_agar_probes_indices="{ProbeA: 3}")
    with pytest.raises(ParamsError, match="no JSON object"):
        check_surface_channels(not_checked, ["ProbeA"])


def test_band_that_does_not_fit_is_a_params_error():
    wide = make_recording({20: 100}, fs=30_000.0, seconds=1)
    with pytest.raises(ParamsError, match=r"freq_max \(500 Hz\).*1000 Hz"):
        compute_lfp(wide, None, params(lfp={"sampling_rate": 1000}), probe="imec0")
    with pytest.raises(ParamsError, match="lfp_highpass_freq_min"):
        compute_lfp(wide, None, params(lfp_highpass_freq_min=700.0), probe="imec0")


def test_signal_without_gain_is_refused():
    recording = make_recording({8: 60}, fs=2500.0, seconds=1)
    recording.delete_property("gain_to_uV")
    with pytest.raises(BadDataError, match="no gain to uV"):
        compute_lfp(recording, recording, params(), probe="imec0")


def test_unsigned_and_float_signals_keep_their_volts():
    signed = make_recording({8: 60}, fs=2500.0, seconds=2)
    unsigned = si.NumpyRecording([(signed.get_traces().astype("int32") + 2**15).astype("uint16")], 2500.0)
    unsigned.set_probe(signed.get_probe())
    unsigned.set_channel_gains(GAIN_UV)
    unsigned.set_channel_offsets(-(2**15) * GAIN_UV)
    as_is = params(lfp_highpass_freq_min=0, lfp_temporal_factor=1)
    lfp = compute_lfp(unsigned, unsigned, as_is, probe="imec0")
    assert lfp.get_dtype() == np.dtype("int16")
    np.testing.assert_allclose(
        lfp.get_traces(return_in_uV=True)[:, 0], signed.get_traces(return_in_uV=True)[:, 0], atol=1e-3
    )
    floats = make_recording({8: 60}, fs=2500.0, seconds=2, dtype="float32")
    assert compute_lfp(floats, floats, params(), probe="imec0").get_dtype() == np.dtype("float32")


def test_written_lfp_is_the_same_in_chunks_and_after_a_move(tmp_path):
    rng = np.random.default_rng(0)
    band = make_recording({8: 60}, fs=500.0, seconds=150, channels=4)
    noisy = band.get_traces() + rng.normal(0, 200, band.get_traces().shape).cumsum(axis=0) / 20
    source = si.NumpyRecording([noisy.astype("int16")], 500.0)
    source.set_channel_gains(GAIN_UV)
    source.set_channel_offsets(0)
    source.set_probe(band.get_probe())
    source = source.save(folder=tmp_path / "raw", chunk_duration="60s", progress_bar=False)
    source.shift_times(START_S)
    lfp = compute_lfp(source, source, params(lfp_highpass_freq_min=0.1), probe="imec0")
    written = write_lfp(lfp, tmp_path / "here.zarr")
    assert not any(str(tmp_path) in path.read_text() for path in written.rglob(".z*"))
    moved = Path(shutil.move(written, tmp_path / "there.zarr"))
    loaded = si.load(moved)
    assert loaded.get_start_time() == START_S
    assert loaded.get_annotation(PROCESSING) == lfp.get_annotation(PROCESSING)
    assert loaded.get_channel_locations().tolist() == lfp.get_channel_locations().tolist()
    differences = np.abs(loaded.get_traces().astype(int) - lfp.get_traces().astype(int))
    assert differences.max() <= 0.01 * np.ptp(lfp.get_traces()), "chunk borders show"


def test_scratch_holds_what_would_be_computed_on_the_fly(tmp_path):
    wide = make_recording({20: 100, 700: 100}, fs=30_000.0, seconds=3)
    lazily = compute_lfp(wide, None, params(), probe="imec0")
    stored = compute_lfp(
        wide, None, params(), probe="imec0", scratch=tmp_path / "s", job_kwargs={"progress_bar": False}
    )
    assert (tmp_path / "s").is_dir()
    assert np.abs(stored.get_traces().astype(int) - lazily.get_traces()).max() <= 1
