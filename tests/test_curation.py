"""Curation labels every unit and removes none; the labels agree wherever they are written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import spikeinterface.core as si
from spikeinterface.curation import validate_curation_dict

from spikepipe_core.errors import BadDataError, NotAvailableError, ParamsError
from spikepipe_core.params import BombcellParams, Params, SlayParams
from spikepipe_core.produce import produce
from spikepipe_core.stages.bombcell import BOMBCELL, label_by_bombcell, noise_units, propose_merges
from spikepipe_core.stages.curation import (
    LABEL,
    PROBABILITY,
    QC,
    curation_dict,
    label_by_query,
    load_curated,
    read_labels,
)
from spikepipe_core.stages.postprocessing import load_analyzer

MODELS = Path(__file__).resolve().parents[2] / "shared" / "data" / "classifiers"
NOISE, SUA = MODELS / "retrained_noise_neural_classifier", MODELS / "retrained_sua_mua_classifier"


@pytest.fixture
def metrics():
    return pd.DataFrame(
        {"snr": [1.0, 5.0, np.nan, 9.0], "num_spikes": [10, 200, 300, 400]}, index=["a", "b", "c", "d"]
    )


# --- the query -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "passing"),
    [
        ("snr > 2", "bd"),
        ("snr > 2 and num_spikes < 300", "b"),
        ("snr > 2 & num_spikes < 300", "b"),
        ("snr < 2 or snr > 2", "abd"),
        ("snr > 100", ""),
        ("snr.isna()", "c"),
        ("snr > 2 or snr.isna()", "bcd"),
        ("snr != 1", "bcd"),
        ("not (snr > 2)", "ac"),
        ("2 < snr < 6", "b"),
        ("`snr` > 2", "bd"),
        ("num_spikes in [10, 400]", "ad"),
        ("num_spikes.between(150, 350)", "bc"),
        ("abs(snr - 5) < 1\n", "b"),
    ],
)
def test_units_that_satisfy_the_query_pass(metrics, query, passing):
    labels = label_by_query(metrics, query)
    assert labels.name == "default_qc"
    assert {unit: label for unit, label in labels.items()} == {
        unit: "pass" if unit in passing else "bad" for unit in metrics.index
    }


def test_a_missing_value_of_a_nullable_column_does_not_pass(metrics):
    assert list(label_by_query(metrics.convert_dtypes(), "snr > 2")) == ["bad", "pass", "bad", "pass"]


@pytest.mark.parametrize("query", [None, "", "  "])
def test_without_a_query_there_is_no_label(metrics, query):
    assert label_by_query(metrics, query) is None


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("snrr > 2", "snrr"),
        ("snr >", "invalid syntax"),
        ("snr", "no condition"),
        ("num_spikes", "no condition"),
        ("True", "no condition"),
        ("snr = 5", "invalid syntax"),
        ("snr > 'high'", "high"),
        ("snr is None", "not implemented"),
    ],
)
def test_a_query_that_cannot_be_evaluated_names_the_metrics(metrics, query, words):
    with pytest.raises(ParamsError) as wrong:
        label_by_query(metrics, query)
    assert f"curation.query {query!r}" in str(wrong.value)
    assert words in str(wrong.value)
    assert str(wrong.value).endswith("Metrics that can be used: num_spikes, snr.")


@pytest.mark.parametrize(
    "query",
    [
        "@pd.io.common.os.system('touch {file}') == 0",
        "snr > 0 and @pd.io.common.os.system('touch {file}') == 0",
        "snr.to_csv('{file}') == 0",
        "'`' == snr.to_csv('{file}') or '`' == ''",
        "`snr.to_csv('{file}')` > 0",
        "__import__('os').system('touch {file}') == 0",
    ],
)
def test_a_query_runs_no_code(metrics, tmp_path, query):
    """A session's params file may come with its data."""
    file = tmp_path / "ran"
    with pytest.raises(ParamsError, match=r"curation\.query"):
        label_by_query(metrics, query.format(file=file))
    assert not file.exists()


def test_a_query_on_no_units_is_fine(metrics):
    assert len(label_by_query(metrics.iloc[:0], "snr > 2")) == 0


# --- curation.json -----------------------------------------------------------------------------------------------


def test_labels_in_spikeinterfaces_format():
    labels = pd.DataFrame(
        {QC: ["pass", "bad"], LABEL: ["sua", "noise"], PROBABILITY: [0.9, 0.8]}, index=[3, 7]
    )
    curation = curation_dict([3, 7], labels, [], [])
    validate_curation_dict(curation)
    assert curation["unit_ids"] == [3, 7]
    assert curation["manual_labels"] == [
        {"unit_id": 3, "labels": {QC: ["pass"], LABEL: ["sua"]}},
        {"unit_id": 7, "labels": {QC: ["bad"], LABEL: ["noise"]}},
    ]
    assert curation["removed"] == curation["merges"] == curation["splits"] == []


def test_no_labels_are_valid_too():
    validate_curation_dict(curation_dict(["a"], pd.DataFrame(index=["a"]), [], []))


# --- the stage -----------------------------------------------------------------------------------------------------


@pytest.fixture
def curate(analyzed_session, continued, tmp_path):
    def run(name="results", **curation):
        whole = analyzed_session.params.to_dict()
        whole["curation"] |= curation
        work = continued(analyzed_session, tmp_path / name, Params.model_validate(whole))
        return work, produce(work.stages["curated_units"], work)

    return run


def test_labels_agree_wherever_they_are_written(curate):
    work, made = curate(query="snr > 6")
    table, sorting = read_labels(work), load_curated(work)
    analyzer = load_analyzer(work)
    assert list(sorting.unit_ids) == list(table.index) == list(analyzer.unit_ids), "no unit is removed"
    snr = analyzer.get_extension("quality_metrics").get_data()["snr"]
    expected = ["pass" if value > 6 else "bad" for value in snr]
    assert set(expected) == {"pass", "bad"}
    assert list(table[QC]) == list(sorting.get_property(QC)) == expected

    curation = json.loads((work.input("curated_units") / "curation.json").read_text())
    validate_curation_dict(curation)
    assert {each["unit_id"]: each["labels"][QC] for each in curation["manual_labels"]} == {
        unit: [label] for unit, label in zip(analyzer.unit_ids, expected, strict=True)
    }
    passing = expected.count("pass")
    assert made.outcome.reason == f"{len(expected)} units, {passing} pass"
    assert made.manifest.summary["query"] == "snr > 6"
    for unit in analyzer.unit_ids:
        assert np.array_equal(sorting.get_unit_spike_train(unit), analyzer.sorting.get_unit_spike_train(unit))


def test_spikeinterface_applies_the_curation(curate):
    from spikeinterface.curation import apply_curation

    work, _ = curate(query="snr > 6")
    curation = json.loads((work.input("curated_units") / "curation.json").read_text())
    applied = apply_curation(si.load(work.input("analyzer")).sorting, curation)
    assert list(applied.get_property(QC)) == list(read_labels(work)[QC])


def test_without_query_and_classifiers_there_are_units_without_labels(curate):
    work, made = curate(query=None, bombcell=None)
    assert QC not in load_curated(work).get_property_keys()
    assert made.manifest.summary["query"] == made.manifest.summary["classifiers"] == "none"
    assert list(read_labels(work).columns) == []


def test_a_null_and_an_empty_query_are_the_same(curate):
    assert (
        curate("one", query=None)[1].outcome.data_version == curate("two", query="")[1].outcome.data_version
    )


@pytest.mark.skipif(not NOISE.is_dir(), reason=f"no classifiers at {MODELS}")
def test_unitrefine_models_label_the_units(curate):
    work, made = curate(noise_neural_classifier=str(NOISE), sua_mua_classifier=str(SUA))
    table, sorting = read_labels(work), load_curated(work)
    assert set(table[LABEL]) <= {"noise", "sua", "mua"}
    assert table[PROBABILITY].between(0.5, 1).all()
    assert list(sorting.get_property(LABEL)) == list(table[LABEL])
    assert np.allclose(sorting.get_property(PROBABILITY), table[PROBABILITY])
    assert set(made.manifest.identity) == {"noise_neural", "sua_mua"}
    assert all(revision.startswith("sha256:") for revision in made.manifest.identity.values())
    validate_curation_dict(json.loads((work.input("curated_units") / "curation.json").read_text()))
    again = produce(work.stages["curated_units"], work)
    assert again.outcome.reused


@pytest.mark.skipif(not NOISE.is_dir(), reason=f"no classifiers at {MODELS}")
def test_another_model_at_the_same_path_makes_the_labels_again(curate, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in NOISE.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    work, made = curate(noise_neural_classifier=str(folder))
    info = json.loads((folder / "model_info.json").read_text())
    info["label_conversion"] = {"0": "noise", "1": "neural"}
    (folder / "model_info.json").write_text(json.dumps(info))
    again = produce(work.stages["curated_units"], work)
    assert not again.outcome.reused
    assert again.manifest.identity != made.manifest.identity


@pytest.mark.skipif(not NOISE.is_dir(), reason=f"no classifiers at {MODELS}")
def test_a_model_whose_metrics_were_not_computed_is_an_error_with_the_remedy(curate, monkeypatch):
    from spikepipe_core.stages import curation

    whole = curation.metrics_table
    monkeypatch.setattr(curation, "metrics_table", lambda analyzer: whole(analyzer).drop(columns="d_prime"))
    with pytest.raises(BadDataError, match=r"d_prime.*postprocessing\.extensions"):
        curate(noise_neural_classifier=str(NOISE))


def test_a_missing_model_fails_before_anything_is_written(analyzed_session, continued, tmp_path):
    whole = analyzed_session.params.to_dict()
    whole["curation"] |= {"noise_neural_classifier": str(tmp_path / "nowhere")}
    work = continued(analyzed_session, tmp_path / "results", Params.model_validate(whole))
    with pytest.raises(NotAvailableError, match="nowhere"):
        produce(work.stages["curated_units"], work)
    assert not work.input("curated_units").exists()
    line = work.store.ledger.read("demo_g0", "demo_g0", "imec0", "curated_units")
    assert line.outcome == "failed" and "nowhere" in line.reason


# --- Bombcell's labels and SLAy's merges -----------------------------------------------------------------------------


def waveform_metrics(**changed) -> pd.DataFrame:
    """A unit that passes all of Bombcell's thresholds, and one for each change that does not."""
    good = {
        "num_positive_peaks": 1, "num_negative_peaks": 1, "peak_to_trough_duration": 0.0005,
        "waveform_baseline_flatness": 0.1, "peak_after_to_trough_ratio": 0.3, "exp_decay": 0.05,
        "amplitude_median": -80.0, "snr": 9.0, "amplitude_cutoff": 0.01, "num_spikes": 2000, "rp_contamination": 0.0,
        "presence_ratio": 1.0, "drift_ptp": 5.0, "peak_before_to_trough_ratio": 0.1, "peak_before_width": 0.0003,
        "trough_width": 0.0004, "peak_before_to_peak_after_ratio": 0.2, "main_peak_to_trough_ratio": 0.3,
    }  # fmt: skip
    return pd.DataFrame({"good": good, **{name: good | {name: value} for name, value in changed.items()}}).T


def test_bombcell_labels_by_its_thresholds():
    metrics = waveform_metrics(exp_decay=0.5, snr=2.0, amplitude_median=-10.0, main_peak_to_trough_ratio=0.9)
    assert list(label_by_bombcell(metrics, BombcellParams())) == ["good", "noise", "mua", "mua", "non_soma"]


def test_a_changed_bombcell_threshold_changes_the_label():
    metrics = waveform_metrics(snr=2.0)
    mine = Params.model_validate(
        {"curation": {"bombcell": {"mua": {"snr": {"greater": 1.5}}}}}
    ).curation.bombcell
    assert list(label_by_bombcell(metrics, mine)) == ["good", "good"]


def test_bombcell_says_which_thresholds_have_no_effect():
    said = []
    label_by_bombcell(waveform_metrics().drop(columns="drift_ptp"), BombcellParams(), said.append)
    assert said == ["bombcell: without effect, because not computed: drift_ptp"]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("bombcell", ["a", "b"]), ("unitrefine", ["b", "c"]), ("bombcell+unitrefine", ["b"]), (None, [])],
)
def test_the_noise_strategy_decides_who_calls_noise(strategy, expected):
    labels = pd.DataFrame(
        {BOMBCELL: ["noise", "noise", "good"], LABEL: ["sua", "noise", "noise"]}, index=["a", "b", "c"]
    )
    assert noise_units(labels, strategy, LABEL) == expected


def test_both_must_have_labelled_to_agree():
    assert noise_units(pd.DataFrame({BOMBCELL: ["noise"]}), "bombcell+unitrefine", LABEL) == []


def test_slay_proposes_to_merge_a_neuron_that_was_split(split_unit):
    analyzer, halves = split_unit
    assert [set(group) for group in propose_merges(analyzer, SlayParams())] == [halves]
    strict = SlayParams.model_validate({"slay": {"slay_threshold": 5.0}})
    assert propose_merges(analyzer, strict) == []
    assert propose_merges(analyzer, SlayParams(), without=list(halves)[:1]) == []
    assert propose_merges(analyzer, None) == []


@pytest.fixture(scope="module")
def split_unit():
    """Four simulated units, the spikes of the first dealt out to two."""
    recording, sorting = si.generate_ground_truth_recording(
        durations=[60.0],
        num_channels=16,
        num_units=4,
        seed=0,
        generate_templates_kwargs={"unit_params": {"alpha": (200.0, 300.0)}},
    )
    trains = {str(unit): sorting.get_unit_spike_train(unit) for unit in sorting.unit_ids}
    whole = trains.pop(str(sorting.unit_ids[0]))
    chosen = np.random.default_rng(0).random(whole.size) < 0.5
    trains |= {"half": whole[chosen], "rest": whole[~chosen]}
    units = si.NumpySorting.from_unit_dict([trains], recording.sampling_frequency)
    analyzer = si.create_sorting_analyzer(units, recording, sparse=False)
    analyzer.compute(["random_spikes", "templates", "template_similarity", "correlograms"])
    return analyzer, {"half", "rest"}


def test_proposals_are_written_and_no_unit_is_changed(curate):
    work, made = curate(
        query=None, slay={"slay": {"slay_threshold": -10.0}, "template_similarity": {"templates_diff": 1.0}}
    )
    curation = json.loads((work.input("curated_units") / "curation.json").read_text())
    assert curation["merges"] and made.manifest.summary["proposed_merges"] != "none"
    assert list(load_curated(work).unit_ids) == list(load_analyzer(work).unit_ids)
