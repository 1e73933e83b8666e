"""Preprocessing does what its steps are called, with SpikeInterface's own functions, and says what it did."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import spikeinterface.core as si
import spikeinterface.extractors as se
import spikeinterface.preprocessing as spre

from spikepipe_core.demo import ground_truth_folder, read_ground_truth
from spikepipe_core.errors import ParamsError, SkippedByRule, StageFailedError
from spikepipe_core.produce import produce
from spikepipe_core.stages.chain import write_chain
from spikepipe_core.stages.preprocessing import LABEL_PROPERTY, preprocess

DEAD, NOISY = "imec0.ap#AP8", "imec0.ap#AP10"


@pytest.fixture(scope="module")
def raw(demo_data):
    return se.read_spikeglx(demo_data / "demo_g0", stream_id="imec0.ap").frame_slice(0, 60_000)


@pytest.fixture
def labels(monkeypatch, raw):
    """Channel labels that the detection gives: detection takes seconds and is tested by itself."""
    given = dict.fromkeys(raw.channel_ids, "good") | {DEAD: "dead", NOISY: "noise"}

    def detect(recording, **_):
        found = np.array([given[channel] for channel in recording.channel_ids])
        return recording.channel_ids[found != "good"], found

    monkeypatch.setattr(spre, "detect_bad_channels", detect)
    return given


@pytest.fixture
def section(tiny_params):
    return lambda **values: tiny_params(preprocessing=values).preprocessing


def traces(recording):
    return recording.get_traces(start_frame=10_000, end_frame=40_000).astype("float64")


def assert_same(ours, plain):
    """Equal but for the last bit."""
    assert list(ours.channel_ids) == list(plain.channel_ids)
    assert ours.get_dtype() == plain.get_dtype()
    assert np.abs(traces(ours) - traces(plain)).max() <= 1
    assert np.array_equal(ours.get_channel_locations(), plain.get_channel_locations())


# --- equal to plain SpikeInterface -----------------------------------------------------------------------


def test_defaults_equal_plain_spikeinterface(raw, labels, section):
    plain = spre.highpass_filter(raw, freq_min=300.0, margin_ms=5.0)
    plain = spre.phase_shift(plain, margin_ms=100.0)
    plain = plain.remove_channels([DEAD, NOISY])
    plain = spre.common_reference(plain, reference="global", operator="median")
    ours = preprocess(raw, section())
    assert_same(ours.recording, plain)
    assert np.abs(traces(ours.recording)).max() > 20, "there is a signal to compare"
    assert ours.step_names == (
        "highpass_filter",
        "phase_shift",
        "detect_bad_channels",
        "remove_bad_channels",
        "common_reference",
    )


def test_bandpass_equals_plain_spikeinterface(raw, labels, section):
    plain = spre.bandpass_filter(raw, freq_min=400.0, freq_max=5000.0, margin_ms=5.0)
    plain = spre.phase_shift(plain, margin_ms=100.0).remove_channels([DEAD, NOISY])
    plain = spre.common_reference(plain, reference="local", operator="average")
    params = section(
        filter_type="bandpass",
        bandpass_filter={"freq_min": 400.0, "freq_max": 5000.0},
        common_reference={"reference": "local", "operator": "average"},
    )
    assert_same(preprocess(raw, params).recording, plain)


def test_destripe_equals_plain_spikeinterface(raw, labels, section):
    plain = spre.highpass_filter(raw, freq_min=300.0, margin_ms=5.0)
    plain = spre.phase_shift(plain, margin_ms=100.0)
    plain = spre.interpolate_bad_channels(plain, [DEAD, NOISY])
    plain = spre.highpass_spatial_filter(
        plain, n_channel_pad=16, n_channel_taper=None, agc_window_length_s=0.01, highpass_butter_wn=0.01
    ).remove_channels([DEAD, NOISY])
    ours = preprocess(raw, section(denoising_strategy="destripe"))
    assert_same(ours.recording, plain)
    assert ours.step_names[-3:] == (
        "interpolate_bad_channels",
        "highpass_spatial_filter",
        "remove_bad_channels",
    )
    again = preprocess(raw, section(denoising_strategy="destripe"))
    assert np.array_equal(traces(ours.recording), traces(again.recording)), "nothing is drawn at random"


def test_steps_carry_the_parameters_that_were_used(raw, labels, section):
    ours = preprocess(raw, section(denoising_strategy="destripe"))
    used = {step.name: step.parameters for step in ours.steps}
    assert used["highpass_filter"] == {"freq_min": 300.0, "margin_ms": 5.0}
    assert used["highpass_spatial_filter"]["n_channel_pad"] == 16, (
        "a short probe has no 60 channels to mirror"
    )
    assert used["interpolate_bad_channels"] == {"bad_channel_ids": [DEAD, NOISY]}
    assert used["detect_bad_channels"]["seed"] == 0


def test_further_arguments_reach_the_step(raw, labels, section):
    params = section(
        highpass_filter={"ftype": "bessel", "filter_order": 3},
        common_reference={"reference": "local", "local_radius": [30, 80]},
    )
    plain = spre.highpass_filter(raw, freq_min=300.0, margin_ms=5.0, ftype="bessel", filter_order=3)
    plain = spre.phase_shift(plain, margin_ms=100.0).remove_channels([DEAD, NOISY])
    plain = spre.common_reference(plain, reference="local", operator="median", local_radius=[30, 80])
    assert_same(preprocess(raw, params).recording, plain)


def test_without_declared_sampling_offsets_nothing_is_shifted(raw, labels, section):
    bare = raw.clone()
    bare.delete_property("inter_sample_shift")
    assert "phase_shift" not in preprocess(bare, section()).step_names


def test_unsigned_counts_are_centred(raw, labels, section):
    signed = spre.astype(raw, "int16")
    counts = signed.get_traces().astype("int32") + 2**15
    unsigned = si.NumpyRecording(
        [counts.astype("uint16")], raw.sampling_frequency, channel_ids=raw.channel_ids
    )
    signed.copy_metadata(unsigned)
    assert_same(preprocess(unsigned, section()).recording, preprocess(signed, section()).recording)


# --- bad channels ----------------------------------------------------------------------------------------


def test_bad_channels_are_found_and_removed_as_labelled(preprocessed_session, demo_data):
    _, facts = read_ground_truth(ground_truth_folder(demo_data, "imec0"))
    manifest = preprocessed_session.manifest("preprocessed_recording")
    found = manifest.summary["channel_labels"]
    assert {c for c, label in found.items() if label == "dead"} == set(facts.dead_channels) == {DEAD}
    assert {c for c, label in found.items() if label == "noise"} == set(facts.noisy_channels) == {NOISY}
    kept = si.load(preprocessed_session.input("preprocessed_recording"), base_folder=demo_data)
    assert set(kept.channel_ids) == {c for c, label in found.items() if label == "good"}
    assert set(kept.get_property(LABEL_PROPERTY)) == {"good"}
    assert manifest.summary["result"] == "14 of 16 channels kept"
    assert (manifest.summary["channels_dead"], manifest.summary["channels_noise"]) == (1, 1)
    assert "channel labels" in manifest.pictures


def test_every_argument_reaches_the_detection(raw, section, monkeypatch):
    seen = {}

    def detect(recording, **given):
        seen.update(given)
        return [], np.array(["good"] * recording.get_num_channels())

    monkeypatch.setattr(spre, "detect_bad_channels", detect)
    asked = {
        "method": "mad", "dead_channel_threshold": -0.4, "noisy_channel_threshold": 2.0,
        "outside_channel_threshold": -0.2, "outside_channels_location": "both", "n_neighbors": 12, "seed": None,
        "std_mad_threshold": 4.0,
    }  # fmt: skip
    preprocess(raw, section(detect_bad_channels=asked, highpass_filter={"freq_min": 250.0}), {"n_jobs": 1})
    assert seen == {**asked, "highpass_filter_cutoff": 250.0, "job_kwargs": {"n_jobs": 1}}


def test_channels_are_labelled_once_for_preprocessing_and_quality_control(
    demo_data, make_work, tmp_path, monkeypatch
):
    from spikepipe_core.stages import bad_channels
    from spikepipe_core.stages.quality_control import RAW_STAGE

    asked = []

    def label(recording, params, job_kwargs):
        asked.append(recording)
        return dict.fromkeys(map(str, recording.channel_ids), "good") | {DEAD: "dead"}

    monkeypatch.setattr(bad_channels, "label_channels", label)
    work = make_work(demo_data, tmp_path / "results")
    work = replace(work, stages={**work.stages, RAW_STAGE.name: RAW_STAGE})
    produce(work.stages["recording"], work)
    judged = produce(RAW_STAGE, work)
    made = produce(work.stages["preprocessed_recording"], work)
    assert len(asked) == 1
    assert made.manifest.summary["channels_dead"] == judged.manifest.summary["dead_channels"] == 1
    section = work.params.preprocessing.model_copy(update={"filter_type": "bandpass"})
    other = replace(work, params=work.params.model_copy(update={"preprocessing": section}))
    produce(work.stages["preprocessed_recording"], other)
    assert len(asked) == 2, "another filter, other labels"


def test_bad_channels_may_be_kept_and_do_not_disturb_the_good_ones(raw, labels, section):
    kept = preprocess(raw, section(remove_bad_channels=False)).recording
    assert list(kept.channel_ids) == list(raw.channel_ids)
    assert list(kept.get_property(LABEL_PROPERTY)) == list(labels.values())
    removed = preprocess(raw, section()).recording
    assert np.array_equal(traces(kept.select_channels(removed.channel_ids)), traces(removed))


def test_kept_bad_channels_are_interpolated_by_destriping(raw, labels, section):
    ours = preprocess(raw, section(remove_bad_channels=False, denoising_strategy="destripe"))
    assert list(ours.recording.channel_ids) == list(raw.channel_ids)
    assert ours.step_names[-2:] == ("interpolate_bad_channels", "highpass_spatial_filter")


@pytest.mark.parametrize(("remove", "channels"), [(True, 12), (False, 14)])
def test_channels_outside_the_brain(raw, labels, section, remove, channels):
    outside = list(raw.channel_ids[-2:])
    labels.update(dict.fromkeys(outside, "out"))
    ours = preprocess(raw, section(remove_out_channels=remove)).recording
    assert ours.get_num_channels() == channels
    assert set(outside).isdisjoint(ours.channel_ids) is remove


def test_too_many_bad_channels_skip_the_recording(raw, labels, section):
    with pytest.raises(SkippedByRule) as skipped:
        preprocess(raw, section(max_bad_channel_fraction=0.1))
    for words in ("2 of 16 channels", "12%", "preprocessing.max_bad_channel_fraction = 0.1"):
        assert words in skipped.value.reason
    assert preprocess(raw, section(max_bad_channel_fraction=0.125)), "2 of 16 are not more than that"
    labels.update(dict.fromkeys(labels, "out"))
    with pytest.raises(SkippedByRule, match="every channel"):
        preprocess(raw, section())
    labels.update(dict.fromkeys(labels, "noise"))
    with pytest.raises(SkippedByRule, match="all 16 channels are dead or noisy"):
        preprocess(raw, section(max_bad_channel_fraction=1.0))


def test_too_short_a_recording_is_skipped(raw, section):
    with pytest.raises(SkippedByRule) as skipped:
        preprocess(raw, section(min_preprocessing_duration=120))
    assert skipped.value.reason == (
        "the recording lasts 2.0 s, less than preprocessing.min_preprocessing_duration = 120 s"
    )


def test_a_debug_run_is_not_too_short(demo_data, make_work, tiny_params, tmp_path):
    params = tiny_params(
        job_dispatch={"debug": True, "debug_duration": 2.0}, preprocessing={"min_preprocessing_duration": 120}
    )
    work = make_work(demo_data, tmp_path / "results", params)
    produce(work.stages["recording"], work)
    made = produce(work.stages["preprocessed_recording"], work)
    assert made.manifest.summary["duration_s"] == 2.0


@pytest.mark.parametrize(("channels", "steps"), [(1, ()), (2, ()), (3, ("common_reference",))])
def test_few_channels_are_not_judged_and_one_or_two_are_no_reference_of_themselves(
    raw, section, channels, steps
):
    few = raw.select_channels(raw.channel_ids[:channels])
    ours = preprocess(few, section())
    assert ours.step_names == ("highpass_filter", "phase_shift", *steps)
    assert ours.channel_labels == {}
    assert np.abs(traces(ours.recording)).max() > 5, "there is something left"


def test_without_gains_the_remedy_is_named(raw, section):
    bare = raw.clone()
    bare.delete_property("gain_to_uV")
    with pytest.raises(ParamsError, match=r"gain_to_uV.*'mad'"):
        preprocess(bare, section())
    assert preprocess(bare, section(detect_bad_channels={"method": "mad"})).channel_labels


# --- a pipeline of one's own, and bad params -----------------------------------------------------------------


def test_a_custom_pipeline_replaces_the_default_one(raw, section):
    pipeline = {"bandpass_filter": {"freq_min": 500.0, "freq_max": 4000.0}, "common_reference": {}}
    ours = preprocess(raw, section(custom_preprocessing_pipeline=pipeline))
    plain = spre.common_reference(spre.bandpass_filter(raw, freq_min=500.0, freq_max=4000.0))
    assert_same(ours.recording, plain)
    assert ours.step_names == ("bandpass_filter", "common_reference")
    assert ours.channel_labels == {}


def test_an_empty_custom_pipeline_does_nothing(raw, section):
    ours = preprocess(raw, section(custom_preprocessing_pipeline={}))
    assert ours.recording is raw
    assert ours.step_names == ()


STEPS = {
    "filter": {"band": [300.0, 3000.0], "margin_ms": 5.0},
    "bandpass_filter": {},
    "notch_filter": {"freq": 1000.0},
    "gaussian_filter": {"freq_min": 300.0, "freq_max": 3000.0},
    "normalize_by_quantile": {},
    "scale": {"gain": 2.0, "dtype": "float32"},
    "center": {},
    "zscore": {},
    "whiten": {"dtype": "float32", "int_scale": None},
    "common_reference": {},
    "phase_shift": {},
    "detect_and_remove_bad_channels": {"method": "mad"},
    "detect_and_interpolate_bad_channels": {"method": "mad"},
    "detect_and_remove_artifacts": {"method": "envelope", "method_kwargs": {"detect_threshold": 2.0}},
    "rectify": {},
    "clip": {"a_min": -50, "a_max": 50},
    "blank_saturation": {"quantile_threshold": 0.01, "direction": "both"},
    "silence_periods": {"list_periods": [[[29_000, 30_500]]]},
    "remove_artifacts": {"list_triggers": [[29_000, 30_000, 31_000]], "mode": "median"},
    "resample": {"resample_rate": 15_000.0},
    "decimate": {"decimation_factor": 2},
    "highpass_spatial_filter": {"n_channel_pad": 8},
    "interpolate_bad_channels": {"bad_channel_ids": ["imec0.ap#AP3"]},
    "depth_order": {},
    "directional_derivative": {},
    "average_across_direction": {},
    "astype": {"dtype": "float32"},
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_of_a_custom_pipeline_loads_again_from_the_raw_files(raw, demo_data, section, tmp_path, name):
    ours = preprocess(
        raw, section(custom_preprocessing_pipeline={name: STEPS[name]}), {"n_jobs": 1, "progress_bar": False}
    ).recording
    path = tmp_path / "chain.json"
    write_chain(ours, path, demo_data)
    again = si.load(path, base_folder=demo_data)
    assert_same(again, ours)


@pytest.mark.parametrize("seed", [{}, {"seed": None}, {"seed": 7}])
def test_a_step_that_draws_repeats_itself(raw, section, seed):
    pipeline = {"normalize_by_quantile": {"num_chunks_per_segment": 1, "chunk_size": 100, **seed}}
    one, other = (
        preprocess(raw, section(custom_preprocessing_pipeline=pipeline)).recording for _ in range(2)
    )
    assert np.array_equal(traces(one), traces(other))


def test_a_pipeline_finds_its_earlier_steps(raw, section):
    pipeline = {
        "highpass_filter": {},
        "detect_and_remove_artifacts": {
            "recording_to_detect": "pipeline[raw]", "method": "saturation",
            "method_kwargs": {"saturation_threshold_uV": 60.0, "proportion": 0.05},
        },
    }  # fmt: skip
    ours = preprocess(
        raw, section(custom_preprocessing_pipeline=pipeline), {"n_jobs": 1, "progress_bar": False}
    )
    silent = ~ours.recording.get_traces().any(axis=1)
    loud = (np.abs(raw.get_traces(return_in_uV=True)) > 60).mean(axis=1) > 0.05
    assert loud.any() and silent[loud].all() and not silent.all()


def test_bad_channels_of_a_custom_pipeline_count_too(raw, section):
    pipeline = {
        "highpass_filter": {},
        "detect_and_remove_bad_channels": {"method": "std", "std_mad_threshold": 3},
    }
    ours = preprocess(raw, section(custom_preprocessing_pipeline=pipeline))
    assert ours.channel_labels[NOISY] == "noise" and NOISY not in ours.recording.channel_ids
    with pytest.raises(SkippedByRule, match="max_bad_channel_fraction"):
        preprocess(raw, section(custom_preprocessing_pipeline=pipeline, max_bad_channel_fraction=0.0))


def test_what_would_load_as_something_else_is_refused(raw, demo_data, tmp_path):
    with pytest.raises(StageFailedError, match="loads as another one: NormalizeByQuantile draws at random"):
        # One short chunk: two draws from most of a short recording may have the same quantiles.
        drawn = spre.normalize_by_quantile(raw, num_chunks_per_segment=1, chunk_size=100)
        write_chain(drawn, tmp_path / "chain.json", demo_data)
    with pytest.raises(StageFailedError, match="cannot describe SilencedPeriods"):
        write_chain(spre.silence_periods(raw, list_periods=[[[0, 9]]]), tmp_path / "chain.json", demo_data)


@pytest.mark.parametrize(
    ("pipeline", "words"),
    [({"polish": {}}, "polish"), ({"bandpass_filter": {"freq_mni": 500.0}}, "freq_mni")],
)
def test_an_unknown_step_or_argument_is_named(raw, section, pipeline, words):
    with pytest.raises(ParamsError, match="custom_preprocessing_pipeline") as wrong:
        preprocess(raw, section(custom_preprocessing_pipeline=pipeline))
    assert words in str(wrong.value)


def test_a_value_that_does_not_suit_the_recording_is_a_params_error(raw, labels, section):
    with pytest.raises(ParamsError, match=r"preprocessing cannot be applied to this recording: .*frequenc"):
        preprocess(raw, section(filter_type="bandpass", bandpass_filter={"freq_max": 20_000.0}))


# --- the output --------------------------------------------------------------------------------------------


def test_results_and_data_may_be_moved(preprocessed_session, demo_data, tmp_path):
    results, data = tmp_path / "elsewhere", tmp_path / "archive" / "raw"
    shutil.copytree(preprocessed_session.store.results.root, results)
    shutil.copytree(demo_data, data)
    path = next((results / "demo_g0/preprocessed").glob("*.json"))
    moved = si.load(path, base_folder=data)
    here = si.load(preprocessed_session.input("preprocessed_recording"), base_folder=demo_data)
    assert_same(moved, here)
    files = [Path(file) for file in _raw_files(moved.to_dict(recursive=True))]
    assert files and all(data in file.parents for file in files)
    for file in results.rglob("*.json"):
        assert (
            str(demo_data) not in file.read_text()
            or file.parent.name == "sessions"
            or file.name == "summary.json"
        ), file


def _raw_files(described):
    """Every raw file that a chain reads."""
    kwargs = described["kwargs"]
    yield from kwargs.get("file_paths", ())
    if "recording" in kwargs:
        yield from _raw_files(kwargs["recording"])


def test_the_stage_is_redone_for_other_raw_files(preprocessed_session, demo_data, make_work, tmp_path):
    work = make_work(demo_data, tmp_path / "results")
    first = produce(work.stages["recording"], work)
    assert first.outcome.data_version == preprocessed_session.manifest("recording").data_version
    data = tmp_path / "data"
    shutil.copytree(demo_data, data)
    binary = next(data.rglob("*.ap.bin"))
    content = bytearray(binary.read_bytes())
    content[: 2**20] = bytes(2**20)
    binary.write_bytes(content)
    work = make_work(data, tmp_path / "results")
    assert not produce(work.stages["recording"], work).outcome.reused


def test_the_short_recording_has_a_line_and_no_file(demo_data, make_work, tiny_params, tmp_path):
    params = tiny_params(preprocessing={"min_preprocessing_duration": 120})
    work = make_work(demo_data, tmp_path / "results", params)
    produce(work.stages["recording"], work)
    made = produce(work.stages["preprocessed_recording"], work)
    assert (made.manifest, made.outcome.outcome) == (None, "skipped")
    assert "12.0 s" in made.outcome.reason and "120 s" in made.outcome.reason
    assert not work.input("preprocessed_recording").exists()
    line = work.store.ledger.read("demo_g0", "demo_g0", "imec0", "curated_units")
    assert line.reason == f"preprocessed_recording was skipped: {made.outcome.reason}"
