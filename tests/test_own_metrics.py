"""Metrics asked for in a way that SpikeInterface has no place for are measured as the params file documents them.

A made-up probe of 64 channels: every unit has its trough on one channel and a peak on another, so that the sign decides
where it is measured, and some spikes of several units fall on one sample.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import spikeinterface.core as si
from probeinterface import generate_multi_columns_probe

from spikepipe_core.params import InvalidParamsError, Params, merge
from spikepipe_core.stages.extensions import translate
from spikepipe_core.stages.postprocessing import analyze, metrics_table, remove_duplicates

RATE, SECONDS, UNITS = 20_000, 6, 5
JOB = {"n_jobs": 1, "progress_bar": False}
MULTI_CHANNEL = {"velocity_above", "velocity_below", "exp_decay", "spread"}


@pytest.fixture(scope="module")
def signal() -> tuple[si.BaseRecording, si.BaseSorting]:
    rng = np.random.default_rng(0)
    traces = rng.normal(0, 8, (RATE * SECONDS, 64)).astype("float32")
    together = np.arange(3_000, RATE * SECONDS - 3_000, 12_000)
    trough = np.exp(-0.5 * ((np.arange(-20, 30) / 4) ** 2))
    peak = np.exp(-0.5 * (((np.arange(-20, 30) - 12) / 8) ** 2))
    trains = {}
    for unit in range(UNITS):
        alone = np.sort(rng.choice(np.arange(200, RATE * SECONDS - 200, 150), 400, replace=False)) + 7 * unit
        trains[f"u{unit}"] = train = np.unique(np.concatenate([alone, together] if unit < 3 else [alone]))
        channel = 8 + 10 * unit
        for offset, (share, other) in enumerate([(1.0, 0.1), (0.7, 0.2), (0.4, 0.4), (0.2, 0.8)]):
            shape = -200 * share * trough + 120 * other * peak
            for at in train:
                traces[at - 20 : at + 30, channel + offset] += shape * rng.normal(1, 0.05)
    recording = si.NumpyRecording([traces], RATE)
    probe = generate_multi_columns_probe(num_columns=2, num_contact_per_column=32, xpitch=32, ypitch=20)
    probe.set_device_channel_indices(np.arange(64))
    recording.set_probe(probe, in_place=True)
    recording.set_channel_gains(1.0)
    recording.set_channel_offsets(0.0)
    return recording, si.NumpySorting.from_unit_dict([trains], RATE)


@pytest.fixture(scope="module")
def measured(signal, tmp_path_factory):
    """All metrics under some params, as they are read back from the file."""
    known: dict[str, tuple[pd.DataFrame, list[str]]] = {}

    def measure(postprocessing: dict[str, Any]) -> tuple[pd.DataFrame, list[str]]:
        if str(postprocessing) not in known:
            params = Params.model_validate({"postprocessing": wanted(postprocessing)}).postprocessing
            recording, sorting = signal
            asked = translate(params.extensions.requested())
            template = remove_duplicates(sorting, recording, params, asked.peak_sign, JOB)
            folder = Path(tmp_path_factory.mktemp("analyzer")) / "it.zarr"
            _, failures = analyze(template, recording, recording, folder, asked, params, JOB)
            assert [failure for failure in failures if "Error" in failure] == []
            known[str(postprocessing)] = metrics_table(si.load(folder)), asked.changes
        return known[str(postprocessing)]

    return measure


METRICS = ["snr", "amplitude_cutoff", "amplitude_median", "sd_ratio", "synchrony", "firing_rate"]
SIGNED = METRICS[:4]


def wanted(postprocessing: dict[str, Any]) -> dict[str, Any]:
    """Nothing but these metrics and what they need; few spikes are asked of a unit."""
    off = ("template_similarity", "correlograms", "isi_histograms", "unit_locations", "spike_locations")
    off = (*off, "principal_components", "amplitude_scalings", "valid_unit_periods")
    given = postprocessing.get("extensions", {})
    params = {"amplitude_cutoff": {"num_histogram_bins": 20}, "snr": {}, "synchrony": {}}
    for name, values in given.get("quality_metrics", {}).items():
        params[name] = {**params.get(name, {}), **values}
    quality = {"metric_names": METRICS, "metric_params": params}
    return {**postprocessing, "extensions": {**dict.fromkeys(off), **given, "quality_metrics": quality}}


def metric(*names: str, **params: Any) -> dict[str, Any]:
    return {"extensions": {"quality_metrics": dict.fromkeys(names, params)}}


def test_peak_sign_of_a_metric_is_that_of_an_analyzer_of_this_sign_and_touches_no_other(measured):
    usual, _ = measured({})
    own, said = measured(metric(*SIGNED, peak_sign="pos"))
    of_this_sign, _ = measured({"extensions": {"spike_amplitudes": {"peak_sign": "pos"}}})
    for name in SIGNED:
        assert own[name].notna().all()
        assert not np.allclose(own[name], usual[name], rtol=0.05)
        np.testing.assert_allclose(own[name], of_this_sign[name], rtol=1e-4)
        assert any(f"{name}.peak_sign = pos: measured apart" in change for change in said)
    pd.testing.assert_frame_equal(own.drop(columns=SIGNED), usual.drop(columns=SIGNED))


@pytest.mark.parametrize("name", SIGNED)
def test_only_a_peak_sign_that_is_not_the_analyzers_is_measured_apart(name):
    for sign, expected in (("neg", {}), ("both", {name: "both"})):
        params = Params.model_validate({"postprocessing": wanted(metric(name, peak_sign=sign))})
        assert translate(params.postprocessing.extensions.requested()).own.peak_signs == expected


def test_nothing_is_measured_apart_by_default():
    assert not translate(Params().postprocessing.extensions.requested()).own


def test_synchrony_is_counted_for_the_sizes_asked_for(measured, signal):
    _, sorting = signal
    usual, _ = measured({})
    table, _ = measured(metric("synchrony", synchrony_sizes=[4, 2, 3]))
    assert [name for name in table.columns if name.startswith("sync")] == [
        f"sync_spike_{n}" for n in (2, 3, 4)
    ]
    samples = np.concatenate([sorting.get_unit_spike_train(unit) for unit in sorting.unit_ids])
    found, count = np.unique(samples, return_counts=True)
    for size in (2, 3, 4):
        for unit in sorting.unit_ids:
            train = sorting.get_unit_spike_train(unit)
            expected = np.isin(train, found[count >= size]).mean()
            assert table.loc[unit, f"sync_spike_{size}"] == pytest.approx(expected)
    assert table.loc["u0", "sync_spike_3"] > 0 and table.loc["u4", "sync_spike_3"] == 0
    assert {"sync_spike_2", "sync_spike_4", "sync_spike_8"} <= set(usual.columns)
    np.testing.assert_array_equal(usual["sync_spike_2"], table["sync_spike_2"])
    others = [name for name in usual.columns if not name.startswith("sync")]
    pd.testing.assert_frame_equal(usual[others], table[others])


def test_template_metrics_have_a_sparsity_of_their_own(measured):
    usual, _ = measured({})
    near = {"method": "radius", "radius_um": 55.0}
    own, said = measured({"extensions": {"template_metrics": {"sparsity": near}}})
    all_near, _ = measured({"sparsity": near})
    shapes = sorted(MULTI_CHANNEL & set(usual.columns))
    assert shapes and not own[shapes].equals(usual[shapes])
    np.testing.assert_allclose(own[shapes], all_near[shapes], rtol=1e-4)
    rest = [name for name in usual.columns if name not in shapes]
    pd.testing.assert_frame_equal(own[rest], usual[rest], rtol=1e-4)
    assert any("template_metrics.sparsity" in change for change in said)


def test_multi_channel_metrics_are_left_out_on_a_probe_of_many_channels_too(measured):
    usual, _ = measured({})
    without, _ = measured({"extensions": {"template_metrics": {"include_multi_channel_metrics": False}}})
    assert set(usual.columns) - set(without.columns) == MULTI_CHANNEL
    pd.testing.assert_frame_equal(without, usual[without.columns])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (metric("snr", peak_sign="negative"), "snr.peak_sign"),
        (metric("synchrony", synchrony_sizes=[1, 2]), "synchrony.synchrony_sizes"),
        (metric("synchrony", synchrony_sizes=3), "synchrony.synchrony_sizes"),
        (
            {"extensions": {"template_metrics": {"sparsity": {"radius": 50}}}},
            "template_metrics.sparsity.radius",
        ),
    ],
)
def test_wrong_values_are_found_before_anything_runs(given, said):
    with pytest.raises(InvalidParamsError, match=said):
        merge(("a file", {"postprocessing": wanted(given)}))
