"""Every key of the params file does something: a row a key, with what SpikeInterface is asked for or what is made.

A row is either another value with the function that shows its effect (the effect of the default must differ from that
of the other value, all else equal), or the name of the test that shows it. A key without a row fails, and so does a row
without a key.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import spikeinterface.core as si
from probeinterface import generate_multi_columns_probe

from spikepipe_core.errors import SkippedByRule, SpikepipeError, StageFailedError
from spikepipe_core.graph import STAGES
from spikepipe_core.params import Params, default_params, migrate
from spikepipe_core.params.structure import all_paths, field_at
from spikepipe_core.stages.stage import Work

TESTS = Path(__file__).parent
ONE = {"n_jobs": 1}


@dataclass(frozen=True)
class Changed:
    """Another value of a key, how to see its effect, and the other params under which it has one."""

    effect: str
    value: Any
    given: dict[str, Any] = field(default_factory=dict)


# --- what is asked of SpikeInterface, by part of the pipeline ------------------------------------------------------


@pytest.fixture(scope="module")
def recording() -> si.BaseRecording:
    """Noise with spikes on 32 channels of 384 um, half a second, sampled in turn as Neuropixels do."""
    rng = np.random.default_rng(0)
    traces = rng.normal(0, 20, (15_000, 32))
    traces[500::1000, ::3] -= 300
    made = si.NumpyRecording([traces.round().astype("int16")], sampling_frequency=30_000.0)
    probe = generate_multi_columns_probe(num_columns=2, num_contact_per_column=16, xpitch=32, ypitch=24)
    probe.set_device_channel_indices(np.arange(32))
    made.set_probe(probe, in_place=True)
    made.set_channel_gains(1.0)
    made.set_channel_offsets(0.0)
    made.set_property("inter_sample_shift", np.arange(32) % 12 / 12)
    return made


@pytest.fixture
def effects(recording, monkeypatch) -> dict[str, Callable[[Params], Any]]:
    return {
        name: lambda params, function=function: plain(function(params, recording, monkeypatch))
        for name, function in EFFECTS.items()
    }


def plain(value: Any) -> str:
    """Whatever it is as text that can be compared; lists of numbers whole."""

    def readable(one: Any) -> Any:
        if isinstance(one, np.ndarray):
            return one.tolist()
        return sorted(one) if isinstance(one, set) else repr(one)

    return json.dumps(value, default=readable, sort_keys=True)


def chain(recording: si.BaseRecording) -> list[Any]:
    """The lazy steps of a recording, each with its arguments."""
    steps = []
    one: Any = recording
    while one is not None:
        arguments = {k: v for k, v in one._kwargs.items() if not isinstance(v, si.BaseRecording)}
        steps.append((type(one).__name__, {k: v for k, v in arguments.items() if not k.endswith("_list")}))
        one = one.get_parent()
    return steps


def preprocessing(params: Params, recording: si.BaseRecording, monkeypatch: pytest.MonkeyPatch) -> Any:
    from spikepipe_core.stages import preprocessing as stage

    labels = np.array(["good"] * 29 + ["dead", "noise", "out"])
    calls = []

    def detect(given: si.BaseRecording, **arguments: Any) -> tuple[Any, Any]:
        calls.append(arguments)
        return given.channel_ids[labels != "good"], labels

    monkeypatch.setattr(stage.spre, "detect_bad_channels", detect)
    stimulated = params.preprocessing.remove_stimulation_artifacts
    events = None
    if stimulated is not None:
        at = (np.array([5000, 9000]),)
        events = stage.artifacts.Windows(at, at, stimulated, stage.artifacts.Found("", {}))
    try:
        made = stage.preprocess(recording, params.preprocessing, dict(ONE), stimulation=events)
    except (SkippedByRule, SpikepipeError) as refusal:
        return str(refusal)
    return calls, chain(made.recording), made.steps


def motion(params: Params, recording: si.BaseRecording, monkeypatch: pytest.MonkeyPatch) -> Any:
    from spikepipe_core.stages import motion as stage

    calls: list[Any] = []

    def find(_: Any, steps: dict, folder: Path, arguments: dict) -> tuple[Any, Any]:
        calls.append((steps, arguments))
        peaks = peaks_of(recording)
        return peaks, located(peaks)

    def follow(*_: Any, **arguments: Any) -> Any:
        calls.append(arguments)
        raise ValueError("asked")

    monkeypatch.setattr(stage, "find_peaks", find)
    monkeypatch.setattr("spikeinterface.sortingcomponents.motion.estimate_motion", follow)
    section = params.preprocessing
    stage.estimate_motion(recording, section.motion_correction, Path(), job_kwargs(section.job_kwargs))
    assert len(calls) == 2
    return calls


def interpolation(params: Params, recording: si.BaseRecording, monkeypatch: pytest.MonkeyPatch) -> Any:
    from spikeinterface.core.motion import Motion

    from spikepipe_core.stages.motion import interpolate

    still = Motion(np.zeros((3, 1)), np.array([0.1, 0.2, 0.3]), np.array([100.0]))
    return chain(interpolate(recording, still, params.preprocessing.motion_correction))


def inputs(params: Params, *_: Any) -> Any:
    return {name: stage.inputs(params) for name, stage in STAGES.items()}


def job_kwargs(section: Any) -> dict[str, Any]:
    return Work(store=None, entry=None, job=None, params=Params(), stages={}).job_kwargs(section)  # type: ignore[arg-type]


def sorter(params: Params, recording: si.BaseRecording, *_: Any) -> Any:
    from spikepipe_core.sorters import BUILT_IN as SORTERS
    from spikepipe_core.stages.sorters import sorter_arguments
    from spikepipe_core.stages.sorting import drift_correction_allowed, sorter_name, sorter_params

    chosen = sorter_params(params)
    allowed, _why = drift_correction_allowed(
        chosen, already_corrected=False, channels=recording.get_num_channels()
    )
    return sorter_arguments(
        SORTERS[sorter_name(params)],
        chosen.sorter,
        drift_correction=allowed,
        job_kwargs=job_kwargs(chosen.job_kwargs),
    )


class Recorder:
    """Stands for a SortingAnalyzer: keeps what it is asked to compute."""

    def __init__(self, calls: list[Any]):
        self.calls, self.unit_ids, self.sparsity = calls, ["a", "b"], None
        self.sorting = SimpleNamespace(count_num_spikes_per_unit=lambda outputs: {})

    def compute(self, extensions: Any, **arguments: Any) -> None:
        self.calls.append((extensions, arguments))

    def get_main_channels(self, outputs: str) -> list[int]:
        return [0, 1]

    def set_temporary_recording(self, *_: Any, **__: Any) -> None:
        """Nothing is read."""

    def has_extension(self, name: str) -> bool:
        return False

    def select_units(self, units: Any) -> Recorder:
        return self


def postprocessing(params: Params, recording: si.BaseRecording, monkeypatch: pytest.MonkeyPatch) -> Any:
    from spikepipe_core.stages import postprocessing as stage

    calls: list[Any] = []

    def create(*_: Any, **arguments: Any) -> Recorder:
        calls.append({k: v for k, v in arguments.items() if k != "folder"})
        return Recorder(calls)

    monkeypatch.setattr(stage.si, "create_sorting_analyzer", create)
    monkeypatch.setattr("spikeinterface.curation.remove_redundant_units", lambda *_, **__: (None, []))
    monkeypatch.setattr(stage, "_remove_pickles", lambda folder: None)
    section = params.postprocessing
    wanted = stage.translate(section.extensions.requested(), in_uV=section.return_in_uV)
    kwargs = job_kwargs(section.job_kwargs)
    template = stage.remove_duplicates(None, recording, section, wanted.peak_sign, kwargs)
    stage.analyze(template, recording, recording, Path("x.zarr"), wanted, section, kwargs)
    return calls


def bombcell(params: Params, _: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    from spikepipe_core.stages.bombcell import label_by_bombcell

    calls = []

    def label(thresholds: dict, external_metrics: pd.DataFrame) -> pd.DataFrame:
        calls.append(thresholds)
        return pd.DataFrame({"bombcell_label": ["good"]})

    monkeypatch.setattr("spikeinterface.curation.bombcell_label_units", label)
    label_by_bombcell(pd.DataFrame({"snr": [5.0]}), params.curation.bombcell)
    return calls


def merges(params: Params, _: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    from spikepipe_core.stages.bombcell import propose_merges

    calls = []

    def compute(*_: Any, **arguments: Any) -> list[Any]:
        calls.append(arguments)
        return []

    monkeypatch.setattr("spikeinterface.curation.compute_merge_unit_groups", compute)
    propose_merges(Recorder([]), params.curation.slay, **job_kwargs(params.curation.job_kwargs))  # type: ignore[arg-type]
    return calls


def query(params: Params, *_: Any) -> Any:
    from spikepipe_core.stages.curation import label_by_query

    metrics = pd.DataFrame(
        {"snr": [3.0, 9.0], "isi_violations_ratio": 0.0, "presence_ratio": 1.0, "amplitude_cutoff": 0.0}
    )
    labels = label_by_query(metrics, params.curation.query)
    return None if labels is None else list(labels)


def noise(params: Params, *_: Any) -> Any:
    from spikepipe_core.stages.bombcell import BOMBCELL, noise_units
    from spikepipe_core.stages.curation import LABEL

    labels = pd.DataFrame({BOMBCELL: ["noise", "good"], LABEL: ["noise", "noise"]})
    return noise_units(labels, params.curation.noise_strategy, LABEL)


def snippets(params: Params, recording: si.BaseRecording, *_: Any) -> Any:
    from spikepipe_core.stages.figures.snippets import snippets_of

    return {
        str(segment): list(found) for segment, found in snippets_of(recording, params.visualization).items()
    }


def drift(params: Params, recording: si.BaseRecording, monkeypatch: pytest.MonkeyPatch) -> Any:
    from spikepipe_core.stages.figures import drift as figures

    calls: list[Any] = []

    def detect(*_: Any, **arguments: Any) -> np.ndarray:
        calls.append({k: v for k, v in arguments.items() if k != "pipeline_kwargs"})
        return peaks_of(recording)

    def localize(_: Any, peaks: np.ndarray, **arguments: Any) -> np.ndarray:
        calls.append((len(peaks), {k: v for k, v in arguments.items() if k != "pipeline_kwargs"}))
        return located(peaks)

    monkeypatch.setattr("spikeinterface.sortingcomponents.peak_detection.detect_peaks", detect)
    monkeypatch.setattr("spikeinterface.sortingcomponents.peak_localization.localize_peaks", localize)
    section = params.visualization
    found = figures.find_peaks(recording, section, job_kwargs(section.job_kwargs))
    drawn = capture(figures, monkeypatch)
    figures.drift_figure(recording, found, section, Path())
    return calls, drawn


def motion_figure(params: Params, recording: si.BaseRecording, monkeypatch: pytest.MonkeyPatch) -> Any:
    from spikeinterface.core.motion import Motion

    from spikepipe_core.stages.figures import motion as figures

    peaks = peaks_of(recording)
    info = {
        "motion": Motion(np.zeros((3, 1)), np.array([0.1, 0.2, 0.3]), np.array([100.0])),
        "peaks": peaks,
        "peak_locations": located(peaks),
        "parameters": {},
    }
    drawn = capture(figures, monkeypatch)
    figures.motion_figure(recording, info, params.visualization, Path())
    return drawn


def peaks_of(recording: si.BaseRecording) -> np.ndarray:
    from spikeinterface.core.node_pipeline import base_peak_dtype

    peaks = np.zeros(600, dtype=base_peak_dtype)
    peaks["sample_index"] = np.arange(600) * 20
    peaks["channel_index"] = np.arange(600) % recording.get_num_channels()
    peaks["amplitude"] = -100.0
    return peaks


def located(peaks: np.ndarray) -> np.ndarray:
    places = np.zeros(len(peaks), dtype=[("x", "float64"), ("y", "float64")])
    places["y"] = peaks["channel_index"] * 12.0
    return places


def capture(module: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a figure shows, instead of saving it: its size, and of every scatter the points, colours and opacity."""
    drawn: list[Any] = []

    def look(figure: Any, _: Path, info: Any) -> Any:
        drawn.append(figure.get_size_inches())
        for axes in figure.axes:
            drawn.extend(
                (
                    len(made.get_offsets()),
                    made.get_cmap().name,
                    made.norm.vmin,
                    made.norm.vmax,
                    made.get_alpha(),
                )
                for made in axes.collections
                if hasattr(made, "get_offsets") and made.get_array() is not None
            )
        return info

    monkeypatch.setattr(module, "save", look)
    return drawn


def lfp(params: Params, recording: si.BaseRecording, *_: Any) -> Any:
    from spikepipe_core.stages.lfp import compute_lfp

    try:
        made = compute_lfp(recording, None, params.nwb.ecephys, probe="imec0")
    except SpikepipeError as refusal:
        return str(refusal)
    steps = made.get_annotation("processing")
    return steps, chain(made), made.get_num_channels(), made.get_num_samples()


def location(params: Params, *_: Any) -> Any:
    place = STAGES["nwb"].location
    assert not isinstance(place, str)
    return place(params)


EFFECTS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        preprocessing, motion, interpolation, inputs, sorter, postprocessing, bombcell, merges, query, noise, snippets,
        drift, motion_figure, lfp, location,
    )
}  # fmt: skip


# --- the rows ------------------------------------------------------------------------------------------------------

SATURATED = {
    "preprocessing": {"blank_saturation": {"saturation_threshold_uV": 250.0, "diff_threshold_uV": 900.0}}
}
STIMULATED = {"preprocessing": {"remove_stimulation_artifacts": {}}}
BANDPASS = {"preprocessing": {"filter_type": "bandpass"}}
DESTRIPE = {"preprocessing": {"denoising_strategy": "destripe"}}
SHORT_SNIPPETS = {"visualization": {"timeseries": {"snippet_duration_s": 0.05}}}
OWN_METRICS = "test_own_metrics.py"
OWN_SIGN = (
    f"{OWN_METRICS}::test_peak_sign_of_a_metric_is_that_of_an_analyzer_of_this_sign_and_touches_no_other"
)
ROWS: dict[str, Changed | str] = {
    "$schema": "test_params.py::test_the_exported_defaults_load_and_are_valid",
    "job_dispatch.split_segments": "test_ingest_shapes.py::test_three_segments_are_three_sessions_or_one",
    "job_dispatch.split_groups": "test_ingest_shapes.py::test_four_shanks_times_three_segments",
    "job_dispatch.debug": "test_ingest_shapes.py::test_clipped_samples_keep_their_times_whatever_is_done_next",
    "job_dispatch.debug_duration": "test_ingest_shapes.py::test_clipped_samples_keep_their_times_whatever_is_done_next",
    "job_dispatch.skip_timestamps_check": "test_timestamps.py::test_trusted_timestamps_are_not_judged",
    "job_dispatch.multi_session": "test_ingest_spikeglx.py::test_multi_session_takes_each_subfolder",
    "job_dispatch.input": "test_params_effects.py::test_the_input_is_detected_unless_it_is_asked_for",
    "job_dispatch.min_recording_duration": "test_stages_recording.py::test_too_short_for_job_dispatch_is_skipped",
    "job_dispatch.nwb_files": "test_ingest_nwb.py::test_files_can_be_chosen",
    "job_dispatch.allow_paths_outside_data": (
        "test_ingest_spikeglx.py::test_linked_folders_are_followed_only_if_the_params_say_so"
    ),
    "preprocessing.min_preprocessing_duration": Changed("preprocessing", 0.2),
    "preprocessing.custom_preprocessing_pipeline": Changed("preprocessing", {"common_reference": {}}),
    "preprocessing.blank_saturation": Changed("preprocessing", {"saturation_threshold_uV": 250.0}),
    "preprocessing.blank_saturation.saturation_threshold_uV": Changed("preprocessing", 9000.0, SATURATED),
    "preprocessing.blank_saturation.diff_threshold_uV": Changed("preprocessing", 200.0, SATURATED),
    "preprocessing.blank_saturation.proportion": Changed("preprocessing", 0.9, SATURATED),
    "preprocessing.blank_saturation.ms_before": Changed("preprocessing", 1.0, SATURATED),
    "preprocessing.blank_saturation.ms_after": Changed("preprocessing", 1.0, SATURATED),
    "preprocessing.remove_stimulation_artifacts": Changed("preprocessing", {}),
    "preprocessing.remove_stimulation_artifacts.events_file": (
        "test_artifacts.py::test_a_path_that_is_missing_or_leads_out_is_an_error"
    ),
    "preprocessing.remove_stimulation_artifacts.events": "test_artifacts.py::test_times_of_a_table",
    "preprocessing.remove_stimulation_artifacts.edge": (
        "test_artifacts.py::test_a_line_of_the_probes_own_stream_counts_samples"
    ),
    "preprocessing.remove_stimulation_artifacts.times_from": (
        "test_artifacts.py::test_events_from_the_start_stay_where_they_are_when_the_recording_is_clipped"
    ),
    "preprocessing.remove_stimulation_artifacts.ms_before": Changed("preprocessing", 1.0, STIMULATED),
    "preprocessing.remove_stimulation_artifacts.ms_after": Changed("preprocessing", 1.0, STIMULATED),
    "preprocessing.remove_stimulation_artifacts.mode": Changed("preprocessing", "cubic", STIMULATED),
    "preprocessing.denoising_strategy": Changed("preprocessing", "destripe"),
    "preprocessing.filter_type": Changed("preprocessing", "bandpass"),
    "preprocessing.highpass_filter.freq_min": Changed("preprocessing", 250.0),
    "preprocessing.highpass_filter.margin_ms": Changed("preprocessing", 6.0),
    "preprocessing.bandpass_filter.freq_min": Changed("preprocessing", 250.0, BANDPASS),
    "preprocessing.bandpass_filter.freq_max": Changed("preprocessing", 5000.0, BANDPASS),
    "preprocessing.bandpass_filter.margin_ms": Changed("preprocessing", 6.0, BANDPASS),
    "preprocessing.phase_shift.margin_ms": Changed("preprocessing", 90.0),
    "preprocessing.detect_bad_channels.method": Changed("preprocessing", "std"),
    "preprocessing.detect_bad_channels.dead_channel_threshold": Changed("preprocessing", -0.4),
    "preprocessing.detect_bad_channels.noisy_channel_threshold": Changed("preprocessing", 0.9),
    "preprocessing.detect_bad_channels.outside_channel_threshold": Changed("preprocessing", -0.2),
    "preprocessing.detect_bad_channels.outside_channels_location": Changed("preprocessing", "both"),
    "preprocessing.detect_bad_channels.n_neighbors": Changed("preprocessing", 9),
    "preprocessing.detect_bad_channels.seed": Changed("preprocessing", 1),
    "preprocessing.remove_out_channels": Changed("preprocessing", False),
    "preprocessing.remove_bad_channels": Changed("preprocessing", False),
    "preprocessing.max_bad_channel_fraction": Changed("preprocessing", 0.01),
    "preprocessing.common_reference.reference": Changed("preprocessing", "local"),
    "preprocessing.common_reference.operator": Changed("preprocessing", "average"),
    "preprocessing.highpass_spatial_filter.n_channel_pad": Changed("preprocessing", 20, DESTRIPE),
    "preprocessing.highpass_spatial_filter.n_channel_taper": Changed("preprocessing", 5, DESTRIPE),
    "preprocessing.highpass_spatial_filter.direction": Changed("preprocessing", "x", DESTRIPE),
    "preprocessing.highpass_spatial_filter.apply_agc": Changed("preprocessing", False, DESTRIPE),
    "preprocessing.highpass_spatial_filter.agc_window_length_s": Changed("preprocessing", 0.02, DESTRIPE),
    "preprocessing.highpass_spatial_filter.highpass_butter_order": Changed("preprocessing", 2, DESTRIPE),
    "preprocessing.highpass_spatial_filter.highpass_butter_wn": Changed("preprocessing", 0.02, DESTRIPE),
    "preprocessing.motion_correction.compute": "test_params_effects.py::test_motion_that_is_not_wanted_is_not_computed",
    "preprocessing.motion_correction.apply": Changed("inputs", True),
    "preprocessing.motion_correction.preset": Changed("motion", "rigid_fast"),
    "preprocessing.motion_correction.detect_kwargs": Changed("motion", {"detect_threshold": 6}),
    "preprocessing.motion_correction.select_kwargs": Changed("motion", {"seed": 3}),
    "preprocessing.motion_correction.localize_peaks_kwargs": Changed("motion", {"radius_um": 60.0}),
    "preprocessing.motion_correction.estimate_motion_kwargs.win_step_norm": Changed("motion", 0.2),
    "preprocessing.motion_correction.estimate_motion_kwargs.win_scale_norm": Changed("motion", 0.2),
    "preprocessing.motion_correction.interpolate_motion_kwargs": Changed("interpolation", {"num_closest": 5}),
    "preprocessing.t_start": "test_stages_recording.py::test_t_start_and_t_stop_cut_every_band_on_one_clock",
    "preprocessing.t_stop": "test_stages_recording.py::test_t_start_and_t_stop_cut_every_band_on_one_clock",
    "spikesorting.sorter": "test_params.py::test_the_files_sorter_wins_over_the_command_line",
    "spikesorting.kilosort4.clear_cache": "test_params_effects.py::test_clear_cache_reaches_kilosort4",
    "postprocessing.use_motion_corrected": Changed("inputs", True),
    "postprocessing.sparsity.method": Changed("postprocessing", "closest_channels"),
    "postprocessing.sparsity.radius_um": Changed("postprocessing", 50.0),
    "postprocessing.duplicate_threshold": "test_duplicates.py::test_the_threshold_is_of_the_templates",
    "postprocessing.return_in_uV": Changed("postprocessing", False),
    "postprocessing.extensions.random_spikes.method": Changed("postprocessing", "all"),
    "postprocessing.extensions.random_spikes.margin_size": Changed("postprocessing", 30),
    "postprocessing.extensions.random_spikes.seed": Changed("postprocessing", 5),
    "postprocessing.extensions.noise_levels.seed": Changed("postprocessing", 5),
    "postprocessing.extensions.waveforms.dtype": Changed("postprocessing", "float32"),
    "postprocessing.extensions.templates": Changed("postprocessing", {"operators": ["average"]}),
    "postprocessing.extensions.template_similarity.method": Changed("postprocessing", "cosine_similarity"),
    "postprocessing.extensions.unit_locations.method": Changed("postprocessing", "center_of_mass"),
    "postprocessing.extensions.spike_locations.method": Changed("postprocessing", "center_of_mass"),
    "postprocessing.extensions.spike_amplitudes.peak_sign": Changed("postprocessing", "pos"),
    "postprocessing.extensions.template_metrics.sparsity": (
        f"{OWN_METRICS}::test_template_metrics_have_a_sparsity_of_their_own"
    ),
    "postprocessing.extensions.template_metrics.sparsity.method": (
        f"{OWN_METRICS}::test_template_metrics_have_a_sparsity_of_their_own"
    ),
    "postprocessing.extensions.template_metrics.sparsity.radius_um": (
        f"{OWN_METRICS}::test_template_metrics_have_a_sparsity_of_their_own"
    ),
    "postprocessing.extensions.template_metrics.include_multi_channel_metrics": (
        f"{OWN_METRICS}::test_multi_channel_metrics_are_left_out_on_a_probe_of_many_channels_too"
    ),
    "postprocessing.extensions.principal_components.mode": Changed("postprocessing", "concatenated"),
    "postprocessing.extensions.principal_components.whiten": Changed("postprocessing", False),
    "postprocessing.extensions.amplitude_scalings": Changed("postprocessing", None),
    "postprocessing.extensions.valid_unit_periods": Changed("postprocessing", None),
    "postprocessing.extensions.quality_metrics.metric_names": Changed("postprocessing", ["snr"]),
    "postprocessing.extensions.quality_metrics.metric_params.snr.peak_sign": OWN_SIGN,
    "postprocessing.extensions.quality_metrics.metric_params.amplitude_cutoff.peak_sign": OWN_SIGN,
    "postprocessing.extensions.quality_metrics.metric_params.amplitude_median.peak_sign": OWN_SIGN,
    "postprocessing.extensions.quality_metrics.metric_params.synchrony.synchrony_sizes": (
        f"{OWN_METRICS}::test_synchrony_is_counted_for_the_sizes_asked_for"
    ),
    "curation.query": Changed("query", "snr > 5"),
    "curation.noise_neural_classifier": "test_curation.py::test_unitrefine_models_label_the_units",
    "curation.sua_mua_classifier": "test_curation.py::test_unitrefine_models_label_the_units",
    "curation.noise_strategy": Changed("noise", "unitrefine"),
    "curation.slay.template_similarity.templates_diff": Changed("merges", 0.2),
    "curation.slay.slay.k1": Changed("merges", 0.5),
    "curation.slay.slay.k2": Changed("merges", 2.0),
    "curation.slay.slay.slay_threshold": Changed("merges", 0.6),
    "visualization.timeseries.n_snippets_per_segment": Changed("snippets", 3, SHORT_SNIPPETS),
    "visualization.timeseries.snippet_duration_s": Changed("snippets", 0.1),
    "visualization.drift.detection.peak_sign": Changed("drift", "pos"),
    "visualization.drift.detection.detect_threshold": Changed("drift", 6.0),
    "visualization.drift.detection.exclude_sweep_ms": Changed("drift", 0.2),
    "visualization.drift.localization.ms_before": Changed("drift", 0.2),
    "visualization.drift.localization.ms_after": Changed("drift", 0.4),
    "visualization.drift.localization.radius_um": Changed("drift", 80.0),
    "visualization.drift.n_skip": Changed("drift", 7),
    "visualization.drift.alpha": Changed("drift", 0.3),
    "visualization.drift.vmin": Changed("drift", -150.0),
    "visualization.drift.vmax": Changed("drift", -10.0),
    "visualization.drift.cmap": Changed("drift", "viridis"),
    "visualization.drift.figsize": Changed("drift", [8.0, 6.0]),
    "visualization.motion.cmap": Changed("motion_figure", "viridis"),
    "visualization.motion.scatter_decimate": Changed("motion_figure", 3),
    "visualization.motion.figsize": Changed("motion_figure", [8.0, 6.0]),
    "nwb.allow_partial": "test_end_to_end.py::test_garbage_in_one_probe_fails_it_and_nothing_else",
    "nwb.ecephys.backend": Changed("location", "hdf5"),
    "nwb.ecephys.stub": Changed("lfp", True, {"nwb": {"ecephys": {"stub_seconds": 0.2}}}),
    "nwb.ecephys.stub_seconds": Changed("lfp", 0.1, {"nwb": {"ecephys": {"stub": True}}}),
    "nwb.ecephys.write_lfp": "test_nwb.py::test_stub_and_raw_and_no_lfp",
    "nwb.ecephys.write_raw": "test_nwb.py::test_stub_and_raw_and_no_lfp",
    "nwb.ecephys.lfp_temporal_factor": Changed("lfp", 3),
    "nwb.ecephys.lfp_spatial_factor": Changed("lfp", 2),
    "nwb.ecephys.lfp_highpass_freq_min": Changed("lfp", 1.0),
    "nwb.ecephys.surface_channel_agar_probes_indices": Changed("lfp", '{"imec0": 20}'),
    "nwb.ecephys.lfp.filter.freq_min": Changed("lfp", 2.0),
    "nwb.ecephys.lfp.filter.freq_max": Changed("lfp", 300.0),
    "nwb.ecephys.lfp.sampling_rate": Changed("lfp", 1500.0),
}  # fmt: skip

SORTING = "test_stages_sorting.py"
BARS = "test_progress.py::test_bars_are_drawn_only_where_the_params_ask_for_it"
BY_SPIKEINTERFACE = "test_ingest_spikeinterface.py"
ROWS |= {
    f"job_dispatch.spikeinterface_info{key}": test
    for key, test in {
        "": f"{BY_SPIKEINTERFACE}::test_files_are_segments",
        ".reader_type": f"{BY_SPIKEINTERFACE}::test_wrong_params",
        ".reader_kwargs": f"{BY_SPIKEINTERFACE}::test_a_list_of_arguments_is_a_list_of_sessions",
        ".keep_stream_substrings": "test_params_effects.py::test_streams_are_kept_and_skipped_by_their_names",
        ".skip_stream_substrings": "test_params_effects.py::test_streams_are_kept_and_skipped_by_their_names",
        ".probe_paths": f"{BY_SPIKEINTERFACE}::test_a_scrambled_map_of_two_shanks_is_sorted_into_true_positions",
        ".session_names": f"{BY_SPIKEINTERFACE}::test_a_list_of_arguments_is_a_list_of_sessions",
    }.items()
}

for _section, _effect in {
    "preprocessing": "motion", "postprocessing": "postprocessing", "curation": "merges", "visualization": "drift",
}.items():  # fmt: skip
    ROWS[f"{_section}.job_kwargs.chunk_duration"] = Changed(_effect, "2s")
    ROWS[f"{_section}.job_kwargs.progress_bar"] = BARS
    ROWS[f"{_section}.job_kwargs.mp_context"] = Changed(_effect, "spawn")

for _name in ("kilosort4", "kilosort25", "spykingcircus2", "lupin"):
    _chosen = {"spikesorting": {"sorter": _name}}
    ROWS |= {
        f"spikesorting.{_name}.job_kwargs.chunk_duration": Changed("sorter", "2s", _chosen),
        f"spikesorting.{_name}.job_kwargs.progress_bar": BARS,
        f"spikesorting.{_name}.job_kwargs.mp_context": Changed("sorter", "spawn", _chosen),
        f"spikesorting.{_name}.skip_motion_correction": Changed("sorter", True, _chosen),
        f"spikesorting.{_name}.min_drift_channels": Changed("sorter", 64, _chosen),
        f"spikesorting.{_name}.raise_if_fails": f"{SORTING}::test_with_raise_if_fails_false_the_recording_is_left_out",
    }  # fmt: skip


def leaves(node: Any, path: tuple[str, ...] = ()) -> dict[str, Any]:
    if not isinstance(node, dict) or not node:
        return {".".join(path): node}
    return {key: value for name, below in node.items() for key, value in leaves(below, (*path, name)).items()}


def below_null(defaults: dict[str, Any]) -> dict[str, Any]:
    """Keys of the objects that are null by default, with the values they have once there is such an object."""
    return {
        ".".join(path): field_at(Params, path).get_default()
        for path in all_paths(Params)
        if any(".".join(path[:length]) in defaults for length in range(1, len(path)))
    }


DEFAULTS = leaves(default_params()) | {"$schema": None}
DEFAULTS |= below_null({key: value for key, value in DEFAULTS.items() if value is None})

HANDED_ON = {
    "postprocessing.extensions.": ("postprocessing", {}),
    "curation.bombcell.": ("bombcell", {}),
    **{
        f"spikesorting.{name}.sorter": ("sorter", {"spikesorting": {"sorter": name}})
        for name in ("kilosort4", "kilosort25", "spykingcircus2", "lupin")
    },
}
"""Numbers, switches and texts below these go to SpikeInterface as they are: a row is made for each."""


def another(value: Any) -> Any:
    """Some other value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}_x"
    if isinstance(value, list):
        return [*value[:-1], another(value[-1])] if value else [1]
    return 1.5 if value is None else None


for _key, _value in DEFAULTS.items():
    for _prefix, (_effect, _given) in HANDED_ON.items():
        if _key.startswith(_prefix) and _key not in ROWS:
            ROWS[_key] = Changed(_effect, another(_value), _given)


# --- the tests -----------------------------------------------------------------------------------------------------


def with_value(key: str, value: Any, given: dict[str, Any]) -> Params:
    raw = merged(merged(default_params(), {"preprocessing": {"min_preprocessing_duration": 0}}), given)
    node = raw
    *above, last = key.split(".")
    for name in above:
        node = node[name]
    node[last] = value
    return Params.model_validate(raw)


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for name, value in more.items():
        both = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = merged(result[name], value) if both else value
    return result


def value_of(params: Params, key: str) -> Any:
    node: Any = params.to_dict()
    for name in key.split("."):
        node = node[name]
    return node


def test_every_key_has_a_row_and_every_row_a_key():
    assert set(ROWS) - set(DEFAULTS) == set()
    assert set(DEFAULTS) - set(ROWS) == set()


def test_every_documented_key_has_a_row():
    from test_params import documented_sections

    sections = documented_sections()
    sorter = sections["spikesorting"].pop("{sorter_name}")
    for name in ("kilosort4", "kilosort25", "spykingcircus2"):
        sections["spikesorting"][name] = {key: value for key, value in sorter.items() if key != "clear_cache"}
    sections["spikesorting"]["kilosort4"]["clear_cache"] = sorter["clear_cache"]
    documented = {f"{name}.{key}" for name, block in sections.items() for key in leaves(block)}
    assert {key for key in documented if not has_row(key)} == set()


def test_every_key_of_the_1_3_1_file_has_a_row():
    file = TESTS.parents[1] / "shared" / "spec" / "aind-1.3.1-default_params.json"
    if not file.is_file():
        pytest.skip(f"the 1.3.1 params file is not at {file}")
    today, _ = migrate(json.loads(file.read_text()))
    assert {key for key in leaves(today) if not has_row(key)} == set()


def has_row(key: str) -> bool:
    """Whether a key has a row, or is handed on as it is, or is an object whose keys have rows."""
    handed_on = any(key.startswith(prefix) for prefix in HANDED_ON)
    return key in ROWS or handed_on or any(row.startswith(f"{key}.") for row in ROWS)


@pytest.mark.parametrize("key", [key for key, row in ROWS.items() if isinstance(row, Changed)])
def test_another_value_has_an_effect(key, effects):
    row = ROWS[key]
    assert isinstance(row, Changed)
    usual = with_value(key, DEFAULTS[key], row.given)
    other = with_value(key, row.value, row.given)
    assert value_of(usual, key) != value_of(other, key)
    before, after = effects[row.effect](usual), effects[row.effect](other)
    assert before != after, f"{key} = {row.value!r} changes nothing of {before[:300]}"


def test_the_tests_that_rows_name_are_there_and_speak_of_the_key():
    texts = {path.name: path.read_text() for path in TESTS.glob("test_*.py")}
    names = {
        file: {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)}
        for file, text in texts.items()
    }
    for key, row in ROWS.items():
        if isinstance(row, str):
            file, _, name = row.partition("::")
            assert name in names.get(file, ()), f"{key}: there is no {row}"
            assert key.rsplit(".", 1)[-1] in texts[file], f"{key}: {file} does not speak of it"


def test_the_input_is_detected_unless_it_is_asked_for(demo_data):
    from spikepipe_core.errors import BadDataError
    from spikepipe_core.ingest import discover
    from spikepipe_core.params import JobDispatchParams

    for left_out in (JobDispatchParams(), JobDispatchParams(input=None)):
        assert list(discover(demo_data, left_out).readers) == ["spikeglx"]
    with pytest.raises(BadDataError):
        discover(demo_data, JobDispatchParams(input="nwb"))


def test_streams_are_kept_and_skipped_by_their_names(demo_data):
    from spikepipe_core.ingest import discover

    def found(**chosen: Any) -> tuple[list[str | None], str]:
        info = {"reader_type": "spikeglx", **chosen}
        params = Params.model_validate(
            {"job_dispatch": {"input": "spikeinterface", "spikeinterface_info": info}}
        )
        made = discover(demo_data / "demo_g0", params.job_dispatch)
        return [job.lfp_stream for job in made.jobs], str(made.ignored)

    bands, aside = found()
    assert bands == ["imec0.lf"] and "_stream_substrings" not in aside
    for chosen in ({"keep_stream_substrings": "ap"}, {"skip_stream_substrings": ["lf", "SYNC"]}):
        bands, aside = found(**chosen)
        assert bands == [None] and next(iter(chosen)) in aside


def test_motion_that_is_not_wanted_is_not_computed():
    params = Params.model_validate({"preprocessing": {"motion_correction": {"compute": False}}})
    made = STAGES["motion"].build(Work(None, None, None, params, STAGES))  # type: ignore[arg-type]
    assert made.empty and "motion_correction.compute is false" in made.reason


@pytest.mark.parametrize("clear", [True, False])
def test_clear_cache_reaches_kilosort4(clear, preprocessed_session, continued, tmp_path, monkeypatch):
    from spikepipe_core.sorters import BUILT_IN as SORTERS
    from spikepipe_core.stages import sorting

    class AskedError(Exception):
        """Ends the stage where the sorter would start."""

    calls = []

    def run(*_: Any, **arguments: Any) -> None:
        calls.append(arguments)
        raise AskedError

    monkeypatch.setattr("spikeinterface.sorters.run_sorter", run)
    monkeypatch.setattr(sorting, "find_sorter", SORTERS.__getitem__)
    raw = preprocessed_session.params.to_dict()
    raw["spikesorting"]["sorter"] = "kilosort4"
    raw["spikesorting"]["kilosort4"]["clear_cache"] = clear
    work = continued(preprocessed_session, tmp_path / "results", Params.model_validate(raw))
    with pytest.raises(StageFailedError, match="AskedError"):
        sorting.build(work)
    assert calls[0].get("clear_cache", False) is clear
