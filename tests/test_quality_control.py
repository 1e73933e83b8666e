"""Quality control: what is wrong with a recording is found, named, and never written as NaN."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import spikeinterface.core as si
from scipy.ndimage import gaussian_filter1d
from spikeinterface.core.motion import Motion

from spikepipe_core.demo.simulation import COMMON_UV, NOISE_UV
from spikepipe_core.errors import BadDataError
from spikepipe_core.params import PreprocessingParams
from spikepipe_core.signal_statistics import measure_signal
from spikepipe_core.stages.preprocessing import read_channel_labels
from spikepipe_core.stages.quality_control import (
    RAW_STAGE,
    QualityReport,
    measure_raw,
    processed_quality,
    raw_quality,
)
from spikepipe_core.stages.quality_control.drawing import MAX_PICTURE_BYTES, raw_figure, small_picture
from spikepipe_core.stages.stage import Work

PARAMS = PreprocessingParams()
FS, CHANNELS, GAIN = 30_000.0, 16, 0.195
ONE_JOB: dict[str, Any] = {"n_jobs": 1, "progress_bar": False}


def _recording(traces_uv: np.ndarray, with_gains: bool = True) -> si.BaseRecording:
    stored = np.clip(np.round(traces_uv / GAIN), -32768, 32767).astype("int16")
    recording = si.NumpyRecording([stored], FS)
    if with_gains:
        recording.set_channel_gains(GAIN)
        recording.set_channel_offsets(0.0)
    depths = 20.0 * np.arange(stored.shape[1])
    recording.set_dummy_probe_from_locations(np.column_stack([np.zeros_like(depths), depths]))
    return recording


def _noise(rms_uv: float = 8.0, seconds: float = 6.0) -> np.ndarray:
    """Noise that neighbouring channels share in part, as in tissue, shape (n_samples, n_channels)."""
    rng = np.random.default_rng(0)
    samples = int(seconds * FS)
    common, own = rng.normal(size=(samples, 1)), rng.normal(size=(samples, CHANNELS))
    return rms_uv * (0.8 * common + 0.6 * own)


def _judge(recording: si.BaseRecording, **found: Any) -> QualityReport:
    return raw_quality(recording, measure_raw(recording, PARAMS, ONE_JOB), PARAMS, found or None)


def test_a_quiet_recording_passes_and_its_rms_is_right() -> None:
    report = _judge(_recording(_noise(8.0)))
    assert report["rms_median"].value == pytest.approx(8.0 * np.sqrt(1 - 300 / (FS / 2)), rel=0.02)
    assert report["rms_median"].status == "pass"
    assert report["saturated_fraction"].status == "pass"


def test_line_noise_is_told_apart() -> None:
    time = np.arange(int(6 * FS)) / FS
    report = _judge(_recording(_noise() + 20 * np.sin(2 * np.pi * 60 * time)[:, None]))
    assert report["line_noise_60_hz"].status == "warn"
    assert report["line_noise_50_hz"].status == "pass"


def test_loud_noise_fails_and_so_does_the_report() -> None:
    # without power near Nyquist, which would mark the channels as broken instead
    smooth = gaussian_filter1d(_noise(400.0), 3, axis=0)
    report = _judge(_recording(smooth))
    assert report["rms_median"].status == "fail"
    assert report.status == "fail"


def test_saturation_at_the_probes_own_range() -> None:
    recording = _recording(_noise())
    recording.annotate(saturation_threshold_uV=500.0)
    assert _judge(recording)["saturated_fraction"].value == 0
    traces = _noise()
    traces[int(2.5 * FS) : int(2.8 * FS)] = 499.0
    clipped = _recording(traces)
    clipped.annotate(saturation_threshold_uV=500.0)
    metric = _judge(clipped)["saturated_fraction"]
    assert metric.value == pytest.approx(0.3 / 6, rel=0.5)  # the chunks overlap there
    assert metric.status == "fail"


def test_channel_that_holds_one_value_is_counted() -> None:
    traces = _noise()
    traces[:, 5] = 0.0
    report = _judge(_recording(traces))
    assert report["constant_channels"].value == 1
    assert report["constant_channels"].status == "warn"


@pytest.mark.parametrize("with_gains", [True, False])
def test_a_very_short_recording_gets_a_report_without_nan(with_gains: bool) -> None:
    report = _judge(_recording(_noise(seconds=0.2), with_gains))
    text = report.model_dump_json()
    assert json.loads(text, parse_constant=pytest.fail)["metrics"]
    assert report["line_noise_50_hz"].status == "not evaluated"
    if not with_gains:
        assert report["rms_median"].status == "not evaluated"


@pytest.mark.parametrize("channels", [[3], list(range(CHANNELS))])
def test_channels_without_finite_values_are_drawn_and_told_without_nan(channels: list[int]) -> None:
    traces = _noise(seconds=0.5).astype("float32")
    traces[:, channels] = np.nan
    recording = si.NumpyRecording([traces], FS)
    signal = measure_raw(recording, PARAMS, ONE_JOB)
    report = raw_quality(recording, signal, PARAMS)
    assert json.loads(report.model_dump_json(), parse_constant=pytest.fail)
    assert report["nonfinite_channels"].value == len(channels)
    assert report["nonfinite_channels"].status in ("warn", "fail")
    assert 0 < len(small_picture(raw_figure(recording, signal))) <= MAX_PICTURE_BYTES


def test_one_channel_is_not_compared_with_its_neighbours() -> None:
    recording = _recording(_noise(seconds=1.0)[:, :1])
    metric = _judge(recording)["bad_channel_fraction"]
    assert metric.status == "not evaluated"
    assert "fewer than" in metric.rule


def test_bad_channels_are_those_that_preprocessing_takes_out(
    preprocessed_session: Work, tmp_path: Path
) -> None:
    work = preprocessed_session.at(tmp_path / "raw")
    built = RAW_STAGE.build(work)
    labels = list(read_channel_labels(work).values())
    assert built.summary["dead_channels"] == labels.count("dead") == 1
    assert built.summary["noisy_channels"] == labels.count("noise") == 1
    assert built.summary["rms_median"] == pytest.approx(np.hypot(NOISE_UV, COMMON_UV), rel=0.25)
    assert set(built.summary["checks"]) == set(RAW_STAGE.checks)
    written = json.loads((work.path / "quality_control.json").read_text(), parse_constant=pytest.fail)
    assert written["recording_name"] == work.recording_job.recording_name
    for figure in built.summary["figures"]:
        assert (work.path / figure["file"]).read_bytes().startswith(b"\x89PNG")
    assert all(len(png) <= MAX_PICTURE_BYTES for png in built.pictures.values())


def test_an_empty_recording_is_refused() -> None:
    with pytest.raises(BadDataError, match="no samples"):
        measure_raw(_recording(np.zeros((0, CHANNELS))), PARAMS)


def test_same_recording_same_report() -> None:
    recording = _recording(_noise())
    assert _judge(recording) == _judge(recording)


def test_every_metric_says_its_rule_and_meaning() -> None:
    report = _judge(_recording(_noise()), timestamps="regular", times_reset=False)
    for row in report.table():
        assert row["rule"]
        assert row["description"]
    assert report["timestamps"].status == "pass"


def _processed(labels: pd.DataFrame, metrics: pd.DataFrame, motion: Motion | None) -> QualityReport:
    recording = _recording(_noise(5.0))
    info = None if motion is None else {"motion": motion}
    return processed_quality(recording, measure_signal(recording), info, metrics, labels)


def test_units_yield_and_drift() -> None:
    labels = pd.DataFrame(
        {"default_qc": ["pass", "pass", "bad", "pass"], "decoder_label": ["sua", "mua", "noise", "noise"]},
        index=range(4),
    )
    metrics = pd.DataFrame({"snr": [4.0, 6.0, np.nan, 8.0], "firing_rate": [1.0, 2, 3, 4]}, index=range(4))
    motion = Motion(np.array([[0.0, 0], [10, 70], [0, 0]]), np.array([1.0, 2, 3]), np.array([50.0, 200]))
    report = _processed(labels, metrics, motion)
    assert report["drift_max"].value == 70
    assert report["drift_max"].status == "warn"
    assert report["passing_units"].value == 3
    assert report["passing_units_per_channel"].value == pytest.approx(3 / CHANNELS, rel=1e-3)
    assert report["noise_fraction"].value == 0.5
    assert report["snr_median"].value == 6.0


def test_no_units_and_no_motion_is_a_report_too() -> None:
    empty = pd.DataFrame({"default_qc": pd.Series(dtype=str)}, index=pd.Index([], name="unit_id"))
    report = _processed(empty, pd.DataFrame(index=empty.index), None)
    assert report["units"].status == "fail"
    assert report["drift_max"].status == "not evaluated"
    assert json.loads(report.model_dump_json(), parse_constant=pytest.fail)
