"""Clocks of two streams: offset and drift are those that were put in, or the reason why they are not known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import spikeinterface.core as si

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.clock import (
    ClockDifference,
    Pulses,
    StreamClock,
    Times,
    clock_of_times,
    compare_clocks,
    period_of,
)
from spikepipe_core.ingest.spikeglx_sync import sync_clock

RATE = 30_000.0


def pulses(
    *,
    drift_ppm: float = 0.0,
    offset_ms: float = 0.0,
    seconds: float = 3_600.0,
    keep=slice(None),
    period: float = 1.0,
) -> StreamClock:
    """What a stream sees of pulses: its oscillator is fast by some ppm, and it was started early by some ms."""
    shared = np.arange(0.25, seconds, period)
    own = (shared + offset_ms / 1e3) * (1 + drift_ppm * 1e-6)
    return StreamClock(RATE, pulses=Pulses("SYNC", np.round(own[keep] * RATE) / RATE, period))


def times(*, drift_ppm: float, start: float = 100.0, seconds: float = 600.0) -> StreamClock:
    """A stream with synchronized timestamps."""
    own = np.linspace(0, seconds, 1_000)
    shared = start + own / (1 + drift_ppm * 1e-6)
    return StreamClock(RATE, start, times=Times("timestamps", own, shared))


@pytest.mark.parametrize(("drift", "offset"), [(0, 0), (20, 3.5), (-7.5, -120), (50, 400)])
def test_drift_and_offset_of_pulses(drift, offset):
    found = compare_clocks(pulses(drift_ppm=drift, offset_ms=offset), pulses())
    assert found.drift_ppm == pytest.approx(drift, abs=0.01)
    assert found.offset_ms == pytest.approx(offset, abs=0.05)
    assert found.drift_ms == pytest.approx(drift * 1e-6 * 3_599.25 * 1e3, abs=0.05)
    assert found.scatter_ms < 0.05
    assert not found.is_corrected


def test_missing_pulses_do_not_matter():
    rng = np.random.default_rng(0)
    mine = np.sort(rng.choice(3_600, 150, replace=False))
    theirs = np.sort(rng.choice(3_600, 200, replace=False))
    found = compare_clocks(pulses(drift_ppm=12, offset_ms=2, keep=mine), pulses(keep=theirs))
    assert found.drift_ppm == pytest.approx(12, abs=0.05)
    assert found.offset_ms == pytest.approx(2, abs=0.2)


def test_drift_of_more_than_a_period_is_followed():
    found = compare_clocks(pulses(drift_ppm=300, seconds=7_200), pulses(seconds=7_200))
    assert found.drift_ms == pytest.approx(300e-6 * 7_199.25e3, rel=1e-3)


def test_a_spurious_pulse_does_not_bend_the_line():
    disturbed = pulses(drift_ppm=5)
    disturbed.pulses.stream_s[1_000] += 0.2
    found = compare_clocks(disturbed, pulses())
    assert found.drift_ppm == pytest.approx(5, abs=0.01)
    assert found.scatter_ms < 0.05


def test_synchronized_timestamps():
    found = compare_clocks(times(drift_ppm=8), times(drift_ppm=-2))
    assert found.drift_ppm == pytest.approx(10, abs=0.01)
    assert found.is_corrected


def test_pulses_are_taken_where_timestamps_tell_nothing():
    own, other = pulses(drift_ppm=9), pulses()
    own, other = (replace(one, times=times(drift_ppm=0, start=0).times) for one in (own, other))
    found = compare_clocks(own, other)
    assert (found.source, found.is_corrected) == ("SYNC", False), (
        "times that do not drift were not synchronized"
    )
    assert found.drift_ppm == pytest.approx(9, abs=0.01)


@pytest.mark.parametrize(
    ("own", "other", "said"),
    [
        (times(drift_ppm=0), times(drift_ppm=0), "not synchronized"),
        (times(drift_ppm=1), pulses(), "one has only timestamps"),
        (pulses(), pulses(period=0.5), "every 1 s in one and every 0.5 s"),
        (times(drift_ppm=1), times(drift_ppm=2, start=5_000), "not recorded at the same time"),
        (pulses(keep=slice(0, 1)), pulses(), "less than two pulses"),
    ],
)
def test_what_cannot_be_compared_says_why(own, other, said):
    found = compare_clocks(own, other)
    assert isinstance(found, str) and said in found


def test_timestamps_that_fall_back_cannot_be_compared():
    broken = times(drift_ppm=1)
    broken.times.shared_s[500] -= 1
    assert "do not rise" in compare_clocks(broken, times(drift_ppm=3))


def test_period_of_pulses():
    regular = np.arange(100) * 0.5
    assert period_of(regular) == 0.5
    assert period_of(np.delete(regular, [3, 40, 41])) == pytest.approx(0.5)
    assert period_of(np.cumsum(np.random.default_rng(0).uniform(0.2, 2, 100))) is None
    assert period_of(regular[:2]) is None


def test_clock_of_a_recording_with_times():
    recording = si.generate_recording(num_channels=1, durations=[1.0])
    assert clock_of_times(recording, 0, "t") is None
    recording.set_times(7 + np.arange(30_000) * 1.00001 / RATE)
    clock = clock_of_times(recording, 0, "t")
    assert clock.start_s == 7.0
    assert clock.times.shared_s[-1] == recording.get_end_time()
    assert len(clock.times.stream_s) <= 1_000


# --- SpikeGLX -----------------------------------------------------------------------------------------------


def write_stream(
    folder, *, kind="imec", seconds=120, drift_ppm=0.0, offset_ms=0.0, bit=6, stop_s=None, extra=""
):
    """A file with one signal channel, and the sync line in the word after it."""
    samples = round(seconds * RATE)
    shared = np.arange(samples) / RATE / (1 + drift_ppm * 1e-6) - offset_ms / 1e3
    high = (shared % 1.0 >= 0.25) & (shared % 1.0 < 0.75)
    if stop_s is not None:
        high[round(stop_s * RATE) :] = False
    frames = np.zeros((samples, 2), "<i2")
    frames[:, 1] = np.where(high, np.array(1 << bit).astype("<u2").astype("<i2"), 0)
    stem = folder / f"run_g0_t0.{'nidq' if kind == 'nidq' else 'imec0.ap'}"
    frames.tofile(f"{stem}.bin")
    own = (
        "snsMnMaXaDw=0,0,1,1\nniSampRate=30000\nniAiRangeMax=5\nsyncNiThresh=1.1\n"
        if kind == "nidq"
        else "snsApLfSy=1,0,1\nimSampRate=30000\n"
    )
    meta = stem.with_name(stem.name + ".meta")
    meta.write_text(f"typeThis={kind}\nnSavedChans=2\nfirstSample=0\nsyncSourcePeriod=1\n{own}{extra}")
    return meta


def test_sync_word_of_a_probe_against_a_digital_line_of_a_board(tmp_path):
    probe = sync_clock(write_stream(tmp_path, drift_ppm=25, offset_ms=4), tmp_path)
    board = sync_clock(
        write_stream(tmp_path, kind="nidq", bit=3, extra="syncNiChanType=0\nsyncNiChan=3\n"), tmp_path
    )
    assert (probe.pulses.source, board.pulses.source) == ("bit 6 of the SYNC word", "digital line 3")
    found = compare_clocks(probe, board)
    assert isinstance(found, ClockDifference)
    assert found.drift_ppm == pytest.approx(25, abs=0.3)
    assert found.offset_ms == pytest.approx(4, abs=0.1)


def test_sync_on_an_analog_channel(tmp_path):
    meta = write_stream(tmp_path, kind="nidq", seconds=20, bit=14, extra="syncNiChanType=1\nsyncNiChan=1\n")
    meta.write_text(meta.read_text().replace("snsMnMaXaDw=0,0,1,1", "snsMnMaXaDw=0,0,2,0"))
    clock = sync_clock(meta, tmp_path)
    assert clock.pulses.source == "analog channel 1"
    assert clock.pulses.stream_s == pytest.approx(np.arange(20) + 0.25, abs=1e-4)


def test_first_sample_sets_the_start(tmp_path):
    meta = write_stream(tmp_path, seconds=10)
    meta.write_text(meta.read_text().replace("firstSample=0", "firstSample=60000"))
    assert sync_clock(meta, tmp_path).start_s == 2.0


@pytest.mark.parametrize("how", [{"bit": 5}, {"seconds": 1}, {"stop_s": 0.0}])
def test_without_pulses_there_is_no_clock(tmp_path, how):
    assert sync_clock(write_stream(tmp_path, **{"seconds": 10, **how}), tmp_path) is None


def test_a_line_that_goes_dead_is_used_up_to_there(tmp_path):
    clock = sync_clock(write_stream(tmp_path, stop_s=50), tmp_path)
    assert 45 < clock.pulses.stream_s[-1] < 50


def test_a_file_that_does_not_say_where_its_line_is(tmp_path):
    meta = write_stream(tmp_path, seconds=10)
    meta.write_text(meta.read_text().replace("snsApLfSy=1,0,1\n", ""))
    with pytest.raises(BadDataError, match="does not say where the sync line is"):
        sync_clock(meta, tmp_path)
