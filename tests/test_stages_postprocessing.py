"""The analyzer: every documented extension, no unit twice, no pickle, found again with its recording."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import spikeinterface.core as si
import zarr
from conftest import DUPLICATE, ORIGINAL

from spikepipe_core.errors import ParamsError
from spikepipe_core.params import Params, load_params
from spikepipe_core.produce import produce
from spikepipe_core.stages.extensions import translate
from spikepipe_core.stages.postprocessing import load_analyzer, metrics_table

AIND = Path(__file__).resolve().parents[2] / "shared" / "spec" / "aind-1.3.1-default_params.json"

COLUMNS = {
    "num_spikes": ["num_spikes"],
    "firing_rate": ["firing_rate"],
    "presence_ratio": ["presence_ratio"],
    "snr": ["snr"],
    "isi_violation": ["isi_violations_ratio", "isi_violations_count"],
    "rp_violation": ["rp_contamination", "rp_violations"],
    "sliding_rp_violation": ["sliding_rp_violation"],
    "amplitude_cutoff": ["amplitude_cutoff"],
    "amplitude_median": ["amplitude_median"],
    "amplitude_cv": ["amplitude_cv_median", "amplitude_cv_range"],
    "synchrony": ["sync_spike_2", "sync_spike_4", "sync_spike_8"],
    "firing_range": ["firing_range"],
    "drift": ["drift_ptp", "drift_std", "drift_mad"],
    "isolation_distance": ["isolation_distance"],
    "l_ratio": ["l_ratio"],
    "d_prime": ["d_prime"],
    "nearest_neighbor": ["nn_hit_rate", "nn_miss_rate"],
    "silhouette": ["silhouette"],
}
"""Columns of each documented metric, as curation queries and UnitRefine's models name them."""


@pytest.fixture(scope="module")
def analyzer(analyzed_session):
    return load_analyzer(analyzed_session)


def shorter(work, results, continued, **postprocessing):
    """Postprocessing of the session once more, without the slow extensions."""
    extensions = dict.fromkeys(("template_similarity", "spike_locations", "principal_components"))
    extensions |= {"quality_metrics": {"metric_names": ["snr", "firing_rate"]}}
    postprocessing = {"extensions": extensions} | postprocessing
    whole = work.params.to_dict()
    whole["postprocessing"] |= postprocessing
    return continued(work, results, Params.model_validate(whole))


# --- the documented extensions, in the words of the installed SpikeInterface --------------------------------------


def test_every_documented_extension_and_metric_is_computed(analyzed_session, analyzer):
    requested = analyzed_session.params.postprocessing.extensions.requested()
    assert set(requested) == {
        "random_spikes", "noise_levels", "waveforms", "templates", "spike_amplitudes", "template_similarity",
        "correlograms", "isi_histograms", "unit_locations", "spike_locations", "template_metrics",
        "principal_components", "amplitude_scalings", "valid_unit_periods", "quality_metrics",
    }  # fmt: skip
    assert set(analyzer.get_saved_extension_names()) == set(requested)
    documented = analyzed_session.params.postprocessing.extensions.quality_metrics.metric_names
    assert set(documented) == set(COLUMNS)
    table = metrics_table(analyzer)
    assert {column for columns in COLUMNS.values() for column in columns} <= set(table.columns)
    assert {"peak_to_trough_duration", "exp_decay", "spread", "velocity_above"} <= set(table.columns)
    assert table.loc[ORIGINAL, "snr"] > 10
    needs_long_recordings = {"presence_ratio", "amplitude_cutoff", "drift_ptp", "drift_std", "drift_mad"}
    unknown = {column for column in table.columns if table[column].isna().all()}
    assert unknown <= needs_long_recordings | {
        "sliding_rp_violation",
        "amplitude_cv_median",
        "amplitude_cv_range",
    }


@pytest.mark.parametrize(
    ("extension", "expected"),
    [
        ("random_spikes", {"max_spikes_per_unit": 500, "method": "uniform", "margin_size": None, "seed": 0}),
        ("waveforms", {"ms_before": 2.0, "ms_after": 3.0}),
        ("template_similarity", {"method": "l1"}),
        ("correlograms", {"window_ms": 50.0, "bin_ms": 1.0}),
        ("isi_histograms", {"window_ms": 100.0, "bin_ms": 5.0}),
        ("unit_locations", {"method": "monopolar_triangulation"}),
        ("spike_locations", {"method": "grid_convolution"}),
        ("principal_components", {"n_components": 5, "mode": "by_channel_local", "whiten": True}),
        ("template_metrics", {"upsampling_factor": 10, "include_multi_channel_metrics": True}),
    ],
)
def test_documented_values_are_those_computed_with(analyzer, extension, expected):
    used = analyzer.get_extension(extension).params
    flat = {**used, **(used.get("metric_params") or {})}
    assert {key: flat[key] for key in expected} == expected


def test_documented_metric_params_are_those_computed_with(analyzer):
    used = analyzer.get_extension("quality_metrics").params["metric_params"]
    assert used["isi_violation"]["isi_threshold_ms"] == 1.5
    assert used["nearest_neighbor"]["n_neighbors"] == 4
    assert used["snr"]["method"] == "extremum"
    assert used["silhouette"]["method"] == "simplified"
    assert used["amplitude_cv"]["percentiles"] == [5, 95]
    assert used["presence_ratio"]["bin_duration_s"] == 60


@pytest.mark.parametrize(
    ("extensions", "where", "expected", "said"),
    [
        (
            {"noise_levels": {"num_chunks_per_segment": 20, "chunk_size": 10000, "seed": 3}},
            ("noise_levels", "random_slices_kwargs"),
            {"num_chunks_per_segment": 20, "chunk_size": 10000, "seed": 3},
            "random_slices_kwargs",
        ),
        ({"random_spikes": {"seed": None}}, ("random_spikes", "seed"), 0, "random_spikes: seed 0"),
        ({"random_spikes": {"seed": 7}}, ("random_spikes", "seed"), 7, None),
        (
            {"spike_amplitudes": {"peak_sign": "both"}},
            ("spike_amplitudes",),
            {},
            "spike_amplitudes.peak_sign = both",
        ),
        (
            {"template_metrics": {"sparsity": {"method": "radius"}, "upsampling_factor": 10}},
            ("template_metrics",),
            {"upsampling_factor": 10},
            "template_metrics.sparsity",
        ),
        ({"template_metrics": {"sparsity": None}}, ("template_metrics",), {}, None),
    ],
)
def test_extensions_are_translated_and_it_is_said(extensions, where, expected, said):
    result = translate(extensions)
    found = result.extensions
    for key in where:
        found = found[key]
    assert found == expected
    assert any(said in change for change in result.changes) if said else result.changes == []


@pytest.mark.parametrize(
    ("metric", "given", "expected", "said"),
    [
        ("snr", {"peak_mode": "peak_to_peak"}, {"method": "peak_to_peak"}, "snr.peak_mode"),
        ("snr", {"peak_sign": "both"}, {}, "snr.peak_sign = both"),
        ("snr", {"peak_sign": "neg"}, {}, None),
        (
            "amplitude_cutoff",
            {"peak_sign": "pos", "num_histogram_bins": 9},
            {"num_histogram_bins": 9},
            "peak_sign",
        ),
        ("nn_advanced", {"peak_sign": "pos"}, {"seed": 0}, "nn_advanced.peak_sign = pos"),
        ("silhouette", {"method": ["simplified"]}, {"method": "simplified"}, "silhouette.method"),
        ("silhouette", {"method": ["full", "simplified"]}, {"method": "full"}, "takes one, 'full'"),
        ("silhouette", {"method": "full"}, {"method": "full"}, None),
        ("synchrony", {"synchrony_sizes": [2, 4, 8]}, {}, None),
        ("synchrony", {"synchrony_sizes": [2, 3]}, {}, "synchrony_sizes = [2, 3]"),
    ],
)
def test_metric_params_are_translated_and_it_is_said(metric, given, expected, said):
    needed = {
        "noise_levels": {"seed": 0},
        "templates": {},
        "spike_amplitudes": {},
        "waveforms": {},
        "principal_components": {},
    }
    wanted = {"metric_names": [metric], "metric_params": {metric: given}, "seed": 0}
    result = translate({**needed, "quality_metrics": wanted})
    assert result.extensions["quality_metrics"]["metric_params"][metric] == expected
    about = [change for change in result.changes if change.startswith("quality metric")]
    assert (len(about) == 1 and said in about[0]) if said else about == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["isolation_distance", "l_ratio"], "mahalanobis"),
        (["nn_isolation", "nn_noise_overlap"], "nn_advanced"),
    ],
)
def test_metrics_that_were_two_are_computed_once(old, new):
    needed = {"principal_components": {}, "waveforms": {}, "templates": {}}
    result = translate({**needed, "quality_metrics": {"metric_names": ["snr", *old], "noise_levels": {}}})
    assert result.extensions["quality_metrics"]["metric_names"].count(new) == 1
    assert all(any(f"quality metric {name}: computed by {new}" in c for c in result.changes) for name in old)


@pytest.mark.parametrize(
    ("without", "lost"),
    [
        (
            "principal_components",
            {"isolation_distance", "l_ratio", "d_prime", "nearest_neighbor", "silhouette"},
        ),
        ("spike_amplitudes", {"amplitude_median"}),
        ("spike_locations", {"drift"}),
        ("noise_levels", {"snr"}),
    ],
)
def test_metrics_without_their_extension_are_left_out_and_said(without, lost):
    requested = Params().postprocessing.extensions.requested()
    del requested[without]
    result = translate(requested)
    names = result.extensions["quality_metrics"]["metric_names"]
    modern = {"isolation_distance": "mahalanobis", "l_ratio": "mahalanobis"}
    gone = {modern.get(name, name) for name in lost}
    assert gone.isdisjoint(names)
    assert set(names) == {modern.get(name, name) for name in COLUMNS} - gone
    for name in gone:
        about = [
            change for change in result.changes if change.startswith(f"quality metric {name}: not computed")
        ]
        assert len(about) == 1 and without in about[0]


@pytest.mark.parametrize(
    ("without", "lost"),
    [("amplitude_scalings", {"valid_unit_periods"}), ("waveforms", {"principal_components"})],
)
def test_extensions_without_the_one_they_need_are_left_out_and_said(without, lost):
    requested = Params().postprocessing.extensions.requested()
    del requested[without]
    result = translate(requested)
    assert set(requested) - set(result.extensions) == lost
    for name in lost:
        assert f"{name}: not computed, it needs {without}, which is null" in result.changes


@pytest.mark.slow
@pytest.mark.skipif(not AIND.is_file(), reason=f"no params file of the AIND pipeline at {AIND}")
def test_the_extensions_of_an_aind_params_file_are_computed_too(analyzed_session, continued, tmp_path):
    """Amplitude scalings, valid periods, noise cutoff and the ratio of standard deviations among them."""
    whole = analyzed_session.params.to_dict()
    whole["postprocessing"] = load_params(AIND).to_dict()["postprocessing"]
    work = continued(analyzed_session, tmp_path / "results", Params.model_validate(whole))
    made = produce(work.stages["analyzer"], work)
    assert made.manifest.summary["failed_metrics"] == []
    assert {"amplitude_scalings", "valid_unit_periods"} <= set(
        load_analyzer(work).get_saved_extension_names()
    )
    assert {"noise_cutoff", "sd_ratio", "isolation_distance"} <= set(
        metrics_table(load_analyzer(work)).columns
    )
    assert any("snr.peak_sign = both" in change for change in made.manifest.summary["translated"])


def test_a_metric_that_fails_is_said(analyzed_session, continued, tmp_path, monkeypatch):
    """SpikeInterface goes on with NaN; whoever reads the metrics should know why."""
    from spikeinterface.metrics.quality.misc_metrics import FiringRate

    def broken(*_, **__):
        raise ZeroDivisionError("no time")

    monkeypatch.setattr(FiringRate, "metric_function", staticmethod(broken))
    said = []
    work = replace(shorter(analyzed_session, tmp_path / "results", continued), say=said.append)
    made = produce(work.stages["analyzer"], work)
    assert made.manifest.summary["failed_metrics"] == ["Error computing metric firing_rate: no time"]
    assert "Error computing metric firing_rate: no time" in said


def test_translation_does_not_change_the_params():
    params = Params().postprocessing.extensions
    before = json.dumps(params.requested())
    translate(params.requested())
    assert json.dumps(params.requested()) == before


def test_an_argument_spikeinterface_does_not_know_is_a_params_error(analyzed_session, continued, tmp_path):
    extensions = {"waveforms": {"ms_bfore": 1.0}, "quality_metrics": None, "template_metrics": None}
    work = shorter(analyzed_session, tmp_path / "results", continued, extensions=extensions)
    with pytest.raises(ParamsError, match=r"postprocessing\.extensions.*ms_bfore"):
        produce(work.stages["analyzer"], work)


# --- units ------------------------------------------------------------------------------------------------------


def test_a_unit_found_twice_is_kept_once(analyzed_session, analyzer):
    assert ORIGINAL in analyzer.unit_ids, "the one with more spikes"
    assert DUPLICATE not in analyzer.unit_ids
    summary = analyzed_session.manifest("analyzer").summary
    assert (summary["duplicates_removed"], summary["units"]) == (1, len(analyzer.unit_ids))


def test_the_threshold_of_sameness_is_the_users(analyzed_session, continued, tmp_path):
    work = shorter(analyzed_session, tmp_path / "results", continued, duplicate_threshold=1.0)
    made = produce(work.stages["analyzer"], work)
    assert made.manifest.summary["duplicates_removed"] == 0
    assert DUPLICATE in load_analyzer(work).unit_ids


def test_the_sorters_own_labels_stay_with_the_units(analyzer):
    assert set(analyzer.get_sorting_property("KSLabel")) == {"good"}


def test_amplitudes_are_in_microvolts_unless_raw_counts_are_asked_for(
    analyzed_session, analyzer, continued, tmp_path
):
    work = shorter(analyzed_session, tmp_path / "results", continued, return_in_uV=False)
    made = produce(work.stages["analyzer"], work)
    assert any("template_metrics: not computed" in change for change in made.manifest.summary["translated"])
    raw = load_analyzer(work)
    counts = raw.get_extension("templates").get_unit_template(ORIGINAL)
    microvolts = analyzer.get_extension("templates").get_unit_template(ORIGINAL)
    assert microvolts.min() / counts.min() == pytest.approx(2.34375, rel=0.02)


# --- the file -----------------------------------------------------------------------------------------------------


def test_nothing_in_the_analyzer_is_pickled(analyzed_session):
    folder = analyzed_session.input("analyzer")
    for file in folder.rglob(".zarray"):
        described = json.loads(file.read_text())
        codecs = [described.get("compressor"), *(described.get("filters") or [])]
        assert all(codec is None or codec["id"] != "pickle" for codec in codecs), file
    assert "pickle" not in (folder / ".zmetadata").read_text()
    listed = json.loads((folder / ".zmetadata").read_text())["metadata"]
    assert {key for key in listed if key.endswith(".zarray")} == {
        file.relative_to(folder).as_posix() for file in folder.rglob(".zarray")
    }
    assert zarr.open_consolidated(str(folder), mode="r")["extensions"]


READ = """
import sys, json, spikeinterface as si
analyzer = si.load(sys.argv[1])
snr = analyzer.get_extension("quality_metrics").get_data()["snr"]
traces = analyzer.recording.get_traces(end_frame=300) if analyzer.has_recording() else None
print(json.dumps({"units": len(analyzer.unit_ids), "recording": None if traces is None else list(traces.shape),
                  "snr": float(snr.max()), "projections": analyzer.get_extension("principal_components") is not None}))
"""


def test_any_spikeinterface_loads_it_with_its_recording(analyzed_session, analyzer):
    """In a fresh process, elsewhere, without spikepipe."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(analyzed_session.input("analyzer"))],
        capture_output=True, text=True, check=True, cwd="/", env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["units"] == len(analyzer.unit_ids)
    assert found["recording"] == [300, 14]
    assert found["snr"] > 10 and found["projections"]


def test_a_moved_analyzer_gets_its_recording_from_the_data_folder(analyzed_session, continued, tmp_path):
    data = tmp_path / "archive" / "raw"
    shutil.copytree(analyzed_session.data, data)
    work = continued(analyzed_session, tmp_path / "far" / "away" / "results")
    work = replace(work, entry=work.entry.model_copy(update={"data": data}))
    moved = load_analyzer(work)
    here = load_analyzer(analyzed_session).recording.get_traces(end_frame=300)
    assert np.array_equal(moved.recording.get_traces(end_frame=300), here)


def test_two_runs_agree(analyzed_session, analyzer, continued, tmp_path):
    """Nothing is drawn at random: an output made again after a crash is the same."""
    work = continued(analyzed_session, tmp_path / "results")
    produce(work.stages["analyzer"], work, recompute=True)
    again = load_analyzer(work)
    assert list(again.unit_ids) == list(analyzer.unit_ids)
    for name in ("templates", "noise_levels", "spike_locations", "principal_components"):
        for key, value in analyzer.get_extension(name).data.items():
            if isinstance(value, np.ndarray):
                assert np.array_equal(again.get_extension(name).data[key], value, equal_nan=value.dtype.kind == "f"), (
                    name, key,
                )  # fmt: skip
    one, two = metrics_table(analyzer), metrics_table(again)
    assert one.equals(two), [c for c in one if not one[c].equals(two[c])]


# --- motion -------------------------------------------------------------------------------------------------------


def test_motion_is_applied_where_it_is_asked_for(analyzed_session, continued, tmp_path):
    work = shorter(analyzed_session, tmp_path / "results", continued, use_motion_corrected=True)
    whole = work.params.to_dict()
    whole["preprocessing"]["motion_correction"] |= {"preset": "rigid_fast"}
    work = replace(work, params=Params.model_validate(whole))
    assert "motion" in work.stages["analyzer"].inputs(work.params)
    produce(work.stages["motion"], work)
    made = produce(work.stages["analyzer"], work)
    assert made.manifest.inputs.keys() == {"preprocessed_recording", "sorting", "motion"}
    corrected = load_analyzer(work)
    assert corrected.recording.get_traces(end_frame=300).shape == (300, corrected.get_num_channels())
    plain = load_analyzer(analyzed_session)
    same = plain.recording.select_channels(corrected.channel_ids).get_traces(end_frame=300)
    assert not np.allclose(corrected.recording.get_traces(end_frame=300), same), "the motion is in the traces"
    # SpikeInterface itself can only pickle motion.
    alone = si.load(work.input("analyzer"))
    assert np.array_equal(
        alone.recording.get_traces(end_frame=300), corrected.recording.get_traces(end_frame=300)
    )
    assert "pickle" not in (work.input("analyzer") / ".zmetadata").read_text()
