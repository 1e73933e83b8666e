"""Figures: every one is written and readable, whatever the recording and however many units."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import spikeinterface.core as si
import spikeinterface.preprocessing as spre
from PIL import Image
from spikeinterface.core.motion import Motion

from spikepipe_core.params import VisualizationParams
from spikepipe_core.signal_statistics import measure_signal
from spikepipe_core.stages.figures import drift, templates
from spikepipe_core.stages.figures.canvas import FigureInfo, thumbnail
from spikepipe_core.stages.figures.drift import (
    LocatedPeaks,
    drift_figure,
    find_peaks,
    unit_spikes_figure,
)
from spikepipe_core.stages.figures.layout import channel_layout
from spikepipe_core.stages.figures.motion import motion_figure
from spikepipe_core.stages.figures.probe import probe_figure
from spikepipe_core.stages.figures.snippets import (
    colour_scale,
    extreme_of_columns,
    full_traces,
    processed_traces,
    snippets_of,
)
from spikepipe_core.stages.figures.spectrum import spectrum_figure
from spikepipe_core.stages.figures.templates import template_pages
from spikepipe_core.stages.figures.units import colours_of, kinds_of, unit_table, units_figure

REAL_DATA = Path(__file__).parents[2] / "shared" / "data" / "spikeglx_np2_4shank" / "rawdata"
ONE_JOB: dict[str, Any] = {"n_jobs": 1, "progress_bar": False}
PARAMS = VisualizationParams.model_validate({"drift": {"n_skip": 1}})


@pytest.fixture(scope="module")
def recording_and_units() -> tuple[si.BaseRecording, si.BaseSorting]:
    recording, sorting = si.generate_ground_truth_recording(
        durations=[6.0], num_channels=24, num_units=6, seed=3
    )
    recording.set_channel_gains(1.0)
    recording.set_channel_offsets(0.0)
    return recording, sorting


@pytest.fixture(scope="module")
def recording(recording_and_units: tuple[si.BaseRecording, si.BaseSorting]) -> si.BaseRecording:
    return recording_and_units[0]


@pytest.fixture(scope="module")
def analyzer(recording_and_units: tuple[si.BaseRecording, si.BaseSorting]) -> si.SortingAnalyzer:
    recording, sorting = recording_and_units
    return _analyzer(sorting, recording)


def _analyzer(sorting: si.BaseSorting, recording: si.BaseRecording) -> si.SortingAnalyzer:
    analyzer = si.create_sorting_analyzer(sorting, recording, format="memory", sparse=False)
    names = ["random_spikes", "noise_levels", "templates"]
    if len(sorting.unit_ids):
        names += ["unit_locations", "spike_locations", "correlograms"]
    analyzer.compute(names, **ONE_JOB)
    if len(sorting.unit_ids):
        analyzer.compute("quality_metrics", metric_names=["firing_rate", "snr", "isi_violation"])
    return analyzer


def _assert_written(infos: list[FigureInfo], folder: Path) -> None:
    assert infos
    for info in infos:
        with Image.open(folder / info.name) as picture:
            assert min(picture.size) > 200
            low, high = picture.convert("L").getextrema()
            assert high > low, f"{info.name} is blank"
        assert info.title
        assert info.caption


def test_raw_figures_of_a_probe(recording: si.BaseRecording, tmp_path: Path) -> None:
    statistics = measure_signal(recording)
    figures = [
        *full_traces(recording, tmp_path, PARAMS),
        spectrum_figure(recording, statistics, tmp_path),
        probe_figure(recording, statistics, tmp_path),
    ]
    _assert_written(figures, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {figure.name for figure in figures}


def test_raw_figures_of_a_real_four_shank_probe(tmp_path: Path) -> None:
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real recording at {REAL_DATA}")
    from spikeinterface.extractors import read_spikeglx

    run = next(REAL_DATA.glob("*/*/*/run-001*"))
    real = read_spikeglx(run, stream_id="imec0.ap")
    statistics = measure_signal(real)
    assert np.median(statistics.rms_ap) == pytest.approx(25.5, abs=1)  # the filter gives 26 uV
    assert statistics.saturated_fraction is not None
    assert not statistics.saturated_fraction.any()
    figures = [
        *full_traces(real, tmp_path, PARAMS),
        spectrum_figure(real, statistics, tmp_path),
        probe_figure(real, statistics, tmp_path),
    ]
    _assert_written(figures, tmp_path)


def test_recording_without_gains_and_unsigned_and_few_channels(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(30_000, 34_000, size=(6000, 4)).astype("uint16")
    raw = si.NumpyRecording([samples, samples[:2000]], sampling_frequency=20_000.0)
    raw.set_dummy_probe_from_locations(np.array([[0.0, 0], [0, 20], [0, 40], [0, 60]]))
    figures = full_traces(raw, tmp_path, PARAMS)
    assert [figure.name for figure in figures] == ["traces_full_seg0.png", "traces_full_seg1.png"]
    _assert_written(figures, tmp_path)
    assert measure_signal(raw).unit == "raw"


def test_processed_traces_show_channels_that_were_taken_out(
    recording: si.BaseRecording, tmp_path: Path
) -> None:
    removed = recording.channel_ids[[3, 10]]
    processed = spre.common_reference(
        spre.highpass_filter(recording, freq_min=300.0).remove_channels(removed)
    )
    labels = {str(removed[0]): "dead", str(removed[1]): "noise"}
    _assert_written(processed_traces(recording, processed, tmp_path, PARAMS, labels), tmp_path)


def test_no_snippets_wanted_means_no_figure(recording: si.BaseRecording, tmp_path: Path) -> None:
    params = VisualizationParams.model_validate({"timeseries": {"n_snippets_per_segment": 0}})
    assert full_traces(recording, tmp_path, params) == []


def test_snippets_lie_inside_and_a_short_segment_is_shown_whole(recording: si.BaseRecording) -> None:
    params = VisualizationParams.model_validate({"timeseries": {"snippet_duration_s": 2.0}})
    for snippet in snippets_of(recording, params)[0]:
        assert 0 <= snippet.start < snippet.stop <= recording.get_num_samples(0)
    params = VisualizationParams.model_validate({"timeseries": {"snippet_duration_s": 60.0}})
    (whole,) = snippets_of(recording, params)[0]
    assert (whole.start, whole.stop) == (0, recording.get_num_samples(0))


def test_columns_of_an_image_keep_spikes_of_both_signs() -> None:
    traces = np.zeros((10_000, 2), dtype="float32")
    traces[1234, 0], traces[8765, 1] = -150.0, 90.0
    columns = extreme_of_columns(traces, 100)
    assert len(columns) <= 100
    assert columns[:, 0].min() == -150.0
    assert columns[:, 1].max() == 90.0


def test_drift_map_and_motion(recording: si.BaseRecording, tmp_path: Path) -> None:
    located = find_peaks(recording, PARAMS, ONE_JOB)
    assert len(located.peaks) == len(located.locations) > 50
    again = find_peaks(recording, PARAMS, ONE_JOB)
    np.testing.assert_array_equal(located.peaks, again.peaks)
    info = {
        "motion": Motion(np.array([[0.0, 1], [5, 6], [2, 1]]), np.array([1.0, 3, 5]), np.array([20.0, 80])),
        "peaks": located.peaks,
        "peak_locations": located.locations,
        "parameters": {"preset": "dredge_fast"},
    }
    figures = [
        drift_figure(recording, located, PARAMS, tmp_path),
        motion_figure(recording, info, PARAMS, tmp_path),
    ]
    _assert_written(figures, tmp_path)


def test_drift_map_and_motion_of_several_segments(recording: si.BaseRecording, tmp_path: Path) -> None:
    two = si.append_recordings([recording, recording.frame_slice(0, 60_000)])
    located = find_peaks(two, PARAMS, ONE_JOB)
    assert set(located.peaks["segment_index"]) == {0, 1}
    motion = Motion(
        [np.array([[0.0], [5], [2]]), np.array([[1.0], [0]])],
        [np.array([1.0, 3, 5]), np.array([0.5, 1.5])],
        np.array([50.0]),
    )
    info = {
        "motion": motion,
        "peaks": located.peaks,
        "peak_locations": located.locations,
        "parameters": {"preset": "rigid_fast"},
    }
    figures = [
        drift_figure(two, located, PARAMS, tmp_path),
        motion_figure(two, info, PARAMS, tmp_path),
    ]
    _assert_written(figures, tmp_path)


def test_of_a_long_recording_evenly_spaced_stretches_are_looked_at(
    recording: si.BaseRecording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = find_peaks(recording, PARAMS, ONE_JOB)
    assert whole.covered_s == pytest.approx(6.0)
    monkeypatch.setattr(drift, "MAX_STRETCHES", 3)
    part = find_peaks(recording, PARAMS, ONE_JOB)
    assert part.covered_s == pytest.approx(3.0)
    inside = np.isin(part.peaks["sample_index"], whole.peaks["sample_index"])
    assert 0 < inside.sum() < len(whole.peaks)
    second = (part.peaks["sample_index"] / recording.get_sampling_frequency()).astype(int)
    assert set(second) == {0, 2, 5}
    assert "3 s spread evenly over 6 s" in drift_figure(recording, part, PARAMS, tmp_path).caption


def test_only_peaks_that_are_drawn_are_located(recording: si.BaseRecording) -> None:
    params = VisualizationParams.model_validate({"drift": {"n_skip": 7}})
    located = find_peaks(recording, params, ONE_JOB)
    assert len(located.peaks) == len(located.locations) == -(-located.detected // 7)


def test_a_noisy_channel_does_not_stretch_the_colours() -> None:
    rng = np.random.default_rng(0)
    quiet = rng.normal(0, 10, (3000, 24)).astype("float32")
    noisy = quiet.copy()
    noisy[:, 5] *= 50
    scales = [_scale_of(traces) for traces in (quiet, noisy)]
    assert scales[1] < 1.2 * scales[0]


def _scale_of(traces: np.ndarray) -> float:
    recording = si.NumpyRecording([traces], sampling_frequency=30_000.0)
    recording.set_dummy_probe_from_locations(np.array([[0.0, 20.0 * i] for i in range(traces.shape[1])]))
    return colour_scale([traces], channel_layout(recording), recording, None)


def test_pages_are_capped_and_say_so(
    analyzer: si.SortingAnalyzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MAX_PAGES": 2, "ROWS": 1, "COLUMNS": 2}.items():
        monkeypatch.setattr(templates, name, value)
    pages = template_pages(analyzer, unit_table(analyzer), tmp_path)
    assert [page.name for page in pages] == ["templates_1.png", "templates_2.png"]
    assert "4 of 6 units" in pages[0].caption


def test_drift_map_without_peaks(recording: si.BaseRecording, tmp_path: Path) -> None:
    params = VisualizationParams.model_validate({"drift": {"detection": {"detect_threshold": 10_000}}})
    located = find_peaks(recording, params, ONE_JOB)
    assert isinstance(located, LocatedPeaks)
    assert len(located.peaks) == 0
    _assert_written([drift_figure(recording, located, params, tmp_path)], tmp_path)


def test_unit_figures(analyzer: si.SortingAnalyzer, tmp_path: Path) -> None:
    labels = pd.DataFrame(
        {
            "default_qc": ["pass", "bad"] * 3,
            "decoder_label": ["sua", "mua", "noise", "neural", "sua", "sua"],
        },
        index=[str(unit) for unit in analyzer.unit_ids],
    )
    table = unit_table(analyzer, labels)
    assert table["passing"].tolist() == [True, False] * 3
    assert table["amplitude"].gt(0).all()
    assert table["firing_rate"].gt(0).all()
    figures = [
        units_figure(analyzer, table, tmp_path),
        unit_spikes_figure(analyzer, tmp_path),
        *template_pages(analyzer, table, tmp_path),
    ]
    assert "6 units, 3 pass" in figures[0].caption
    _assert_written(figures, tmp_path)


def test_labels_read_from_csv_match_units_named_by_numbers(
    recording_and_units: tuple[si.BaseRecording, si.BaseSorting], tmp_path: Path
) -> None:
    recording, sorting = recording_and_units
    units = sorting.rename_units([str(number) for number in range(6)])
    analyzer = si.create_sorting_analyzer(units, recording, format="memory", sparse=False)
    labels = pd.DataFrame({"default_qc": ["pass"] * 5 + ["bad"]}, index=units.unit_ids)
    labels.to_csv(tmp_path / "labels.csv", index_label="unit_id")
    read = pd.read_csv(tmp_path / "labels.csv", index_col="unit_id")
    table = unit_table(analyzer, read)
    assert kinds_of(table) == ["passes"] * 5 + ["does not pass"]
    assert colours_of(table)[0] != colours_of(table)[5]


@pytest.mark.parametrize("number", [0, 1])
def test_hardly_any_units(
    recording_and_units: tuple[si.BaseRecording, si.BaseSorting], tmp_path: Path, number: int
) -> None:
    recording, sorting = recording_and_units
    few = _analyzer(sorting.select_units(sorting.unit_ids[:number]), recording)
    table = unit_table(few)
    figures = [units_figure(few, table, tmp_path), unit_spikes_figure(few, tmp_path)]
    _assert_written(figures, tmp_path)
    assert len(template_pages(few, table, tmp_path)) == number


def test_a_unit_located_off_the_probe_is_drawn_at_its_largest_channel(analyzer: si.SortingAnalyzer) -> None:
    extension = analyzer.get_extension("unit_locations")
    kept = extension.data["unit_locations"].copy()
    try:
        extension.data["unit_locations"][0, :2] = [np.nan, 1e6]
        y = unit_table(analyzer)["y"].iloc[0]
    finally:
        extension.data["unit_locations"] = kept
    assert y in analyzer.get_channel_locations()[:, 1]


def test_thumbnail_is_small(recording: si.BaseRecording, tmp_path: Path) -> None:
    (info,) = full_traces(recording, tmp_path, PARAMS)
    for limit in (60_000, 5_000):
        png = thumbnail(tmp_path / info.name, limit)
        assert len(png) <= limit
        with Image.open(io.BytesIO(png)) as picture:
            assert picture.format == "PNG"
    with pytest.raises(ValueError, match="max_bytes"):
        thumbnail(tmp_path / info.name, 10)
