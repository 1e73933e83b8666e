"""Older layouts of the params file load, and every change is said."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pandas as pd
import pytest

from spikepipe_core.params import InvalidParamsError, default_params, load_params, migrate, parse_params

OLD_FILE = Path(__file__).resolve().parents[2] / "shared" / "spec" / "aind-1.3.1-default_params.json"


@pytest.fixture
def old_file():
    if not OLD_FILE.is_file():
        pytest.skip(f"the 1.3.1 params file is not at {OLD_FILE}")
    return OLD_FILE


def test_the_1_3_1_file_loads_and_each_change_is_logged(old_file, caplog):
    raw = json.loads(old_file.read_text())
    with caplog.at_level(logging.WARNING):
        params = load_params(old_file)
    _, changes = migrate(raw)
    assert [change for change in changes if not any(change in m for m in caplog.messages)] == []
    assert params.job_dispatch.input == "aind"
    assert params.preprocessing.job_kwargs.mp_context == "spawn"
    assert params.preprocessing.detect_bad_channels.outside_channel_threshold == -0.3
    assert params.postprocessing.extensions.amplitude_scalings is not None
    assert params.curation.query == (
        "rp_contamination <= 0.5 and presence_ratio >= 0.8 and amplitude_cutoff <= 0.1"
    )
    assert params.spikesorting.kilosort4.sorter["max_channel_distance"] is None
    assert params.spikesorting.kilosort4.min_drift_channels == 96


def test_every_key_of_the_1_3_1_file_is_kept_or_named_in_a_change(old_file):
    raw = json.loads(old_file.read_text())
    today, changes = migrate(raw)
    told = "\n".join(changes)

    def check(old, new, path):
        for key, value in old.items():
            here = f"{path}.{key}" if path else key
            if isinstance(new, dict) and key in new:
                if isinstance(value, dict):
                    check(value, new[key], here)
                else:
                    assert new[key] == value, here
            elif isinstance(value, dict) and here not in told:
                check(value, {}, here)
            else:
                assert here in told, f"{here} vanished without a word"

    check(raw, today, "")


def test_a_file_of_todays_layout_is_left_as_it_is():
    today, changes = migrate(default_params())
    assert today == default_params()
    assert changes == []


def test_the_given_content_is_not_modified():
    raw = {"preprocessing": {"motion": {"preset": "dredge"}}}
    migrate(raw)
    assert raw == {"preprocessing": {"motion": {"preset": "dredge"}}}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            {"preprocessing": {"motion": {"preset": "dredge"}}},
            {"preprocessing": {"motion_correction": {"preset": "dredge"}}},
        ),
        ({"job_dispatch": {"t_start": 5}}, {"job_dispatch": {}, "preprocessing": {"t_start": 5}}),
        ({"nwb": {"backend": "hdf5"}}, {"nwb": {"ecephys": {"backend": "hdf5"}}}),
        ({"nwb": {"ecephys": {"backend": "hdf5"}}}, {"nwb": {"ecephys": {"backend": "hdf5"}}}),
        (
            {"preprocessing": {"motion_correction": {"temporal_bin_s": 2}}},
            {"preprocessing": {"motion_correction": {"estimate_motion_kwargs": {"bin_s": 2}}}},
        ),
        (
            {"curation": {"unitrefine": None}},
            {"curation": {"noise_neural_classifier": None, "sua_mua_classifier": None}},
        ),
        ({"curation": {"unitrefine": {"sua_mua_classifier": "a/b"}}}, {"curation": {"sua_mua_classifier": "a/b"}}),
        ({"curation": {"qc_thresholds": {}}}, {"curation": {"query": None}}),
        ({"spikesorting": {"sorter": "kilosort2_5"}}, {"spikesorting": {"sorter": "kilosort25"}}),
        (
            {"postprocessing": {"extensions": {"noise_levels": {"random_slices_kwargs": {"chunk_size": 500}}}}},
            {"postprocessing": {"extensions": {"noise_levels": {"chunk_size": 500}}}},
        ),
    ],
)  # fmt: skip
def test_older_keys_become_todays(old, new):
    today, changes = migrate(old)
    assert today == new
    assert bool(changes) == (old != new)
    parse_params(old, "old.json")


@pytest.mark.parametrize(
    ("listed", "switches"),
    [(["noise", "dead", "out"], (True, True)), (["noise", "dead"], (False, True)), (["out"], (True, False))],
)
def test_channel_filters_become_the_two_switches(listed, switches):
    pipeline = {"detect_and_remove_bad_channels": {"channel_filters": listed, "n_neighbors": 5}}
    params = parse_params({"preprocessing": {"default_preprocessing_pipeline": pipeline}}, "old.json")
    assert (params.preprocessing.remove_out_channels, params.preprocessing.remove_bad_channels) == switches
    assert params.preprocessing.detect_bad_channels.n_neighbors == 5


def test_a_switch_that_was_off_stays_off():
    pipeline = {"detect_and_remove_bad_channels": {"channel_filters": ["noise", "dead", "out"]}}
    old = {"preprocessing": {"remove_out_channels": False, "default_preprocessing_pipeline": pipeline}}
    assert parse_params(old, "old.json").preprocessing.remove_out_channels is False


def test_where_both_layouts_are_given_todays_wins_and_it_is_said():
    pipeline = {"highpass_filter": {"freq_min": 500.0, "margin_ms": 7.0}}
    old = {
        "preprocessing": {"highpass_filter": {"freq_min": 300.0}, "default_preprocessing_pipeline": pipeline}
    }
    today, changes = migrate(old)
    assert today["preprocessing"]["highpass_filter"] == {"freq_min": 300.0, "margin_ms": 7.0}
    assert any("own values win" in change for change in changes)

    today, changes = migrate({"curation": {"query": "snr > 5", "qc_thresholds": {"snr": {"greater": 3}}}})
    assert today == {"curation": {"query": "snr > 5"}}
    assert len(changes) == 1


def test_thresholds_and_their_query_keep_the_same_units():
    from spikeinterface.curation import threshold_metrics_label_units

    nan = float("nan")
    metrics = pd.DataFrame(
        {"snr": [5.0, 4.9, 8.0, nan], "amplitude_median": [-40.0, -90.0, -20.0, -80.0]},
        index=["a", "b", "c", "d"],
    )
    thresholds = {
        "snr": {"greater": 5, "less": None},
        "amplitude_median": {"greater": 30, "less": None, "abs": True},
    }
    query = migrate({"curation": {"qc_thresholds": thresholds}})[0]["curation"]["query"]
    labels = threshold_metrics_label_units(metrics, thresholds)["label"]
    assert list(metrics.query(query).index) == list(labels.index[labels == "good"]) == ["a"]


def test_keys_without_effect_are_left_out_with_a_reason():
    today, changes = migrate({"pipeline_version": "1.3.1"})
    assert today == {}
    assert [change.split(" ")[0] for change in changes] == ["pipeline_version"]


def test_bombcell_slay_and_noise_strategy_are_kept_as_they_are():
    raw = {
        "curation": {
            "bombcell": {"noise": {"exp_decay": {"greater": 0.02}}, "non-somatic": {}},
            "noise_strategy": "bombcell",
            "slay": {"slay": {"k1": 0.5}},
        }
    }
    assert migrate(raw) == (raw, [])
    curation = parse_params(raw, "old.json").curation
    assert curation.bombcell.noise["exp_decay"].greater == 0.02
    assert curation.slay.slay.k1 == 0.5 and curation.slay.template_similarity.templates_diff == 0.35


@pytest.mark.parametrize(
    "raw",
    [
        {"preprocessing": {"default_preprocessing_pipeline": 3}},
        {"curation": {"qc_thresholds": {"snr": {"greatr": 3}}}},
        {"curation": {"unitrefine": {"noise_classifier": "a/b"}}},
        {"preprocessing": 5, "nwb": None, "curation": []},
    ],
)
def test_what_cannot_be_migrated_is_left_for_validation_to_name(raw):
    with pytest.raises(InvalidParamsError):
        parse_params(raw, "old.json")
