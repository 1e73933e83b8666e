"""Only what matters: which outputs another value of each key makes anew, key by key, and which it leaves as they are.

Every key of the params file is tried. What it must change is written here by hand, by its longest prefix in the table.
"""

from __future__ import annotations

from typing import Any

import pytest
from test_params_effects import DEFAULTS, DESTRIPE, ROWS, STIMULATED, Changed, another, with_value

from spikepipe_core.graph import STAGES
from spikepipe_core.params import Params
from spikepipe_core.store.versions import data_version

NOTHING: frozenset[str] = frozenset()
UNITS = frozenset({"curated_units", "figures", "quality_control", "nwb"})
ANALYZER = UNITS | {"analyzer"}
SORTING = ANALYZER | {"sorting"}
MOTION = frozenset({"motion", "processed_figures", "quality_control"})
PREPROCESSED = SORTING | MOTION | {"preprocessed_recording"}
EVERYTHING = PREPROCESSED | {"recording", "clock_report", "raw_figures", "raw_quality_control", "lfp"}
LFP = frozenset({"lfp", "nwb"})

REACH: dict[str, frozenset[str]] = {
    "$schema": NOTHING,
    # how sessions and probes are found: the recordings themselves decide, by their digests
    "job_dispatch": NOTHING,
    "job_dispatch.debug": EVERYTHING,
    "job_dispatch.debug_duration": EVERYTHING,
    "job_dispatch.skip_timestamps_check": EVERYTHING,
    "job_dispatch.min_recording_duration": EVERYTHING,
    "preprocessing": PREPROCESSED,
    "preprocessing.t_start": EVERYTHING,
    "preprocessing.t_stop": EVERYTHING,
    "preprocessing.job_kwargs": NOTHING,
    # the raw signal is judged by the same filter and the same bad channels
    **dict.fromkeys(
        (
            "preprocessing.filter_type",
            "preprocessing.highpass_filter",
            "preprocessing.bandpass_filter",
            "preprocessing.phase_shift",
            "preprocessing.detect_bad_channels",
            "preprocessing.max_bad_channel_fraction",
        ),
        PREPROCESSED | {"raw_quality_control"},
    ),
    "preprocessing.motion_correction": MOTION,
    "preprocessing.motion_correction.apply": SORTING,
    "preprocessing.motion_correction.interpolate_motion_kwargs": SORTING,
    "spikesorting": SORTING,
    **{
        f"spikesorting.{sorter}.{key}": NOTHING
        for sorter in ("kilosort4", "kilosort25", "spykingcircus2", "lupin")
        for key in ("job_kwargs", "raise_if_fails")
    },
    "postprocessing": ANALYZER,
    "postprocessing.job_kwargs": NOTHING,
    "curation": UNITS,
    "curation.job_kwargs": NOTHING,
    "visualization": frozenset({"processed_figures"}),
    "visualization.timeseries": frozenset({"raw_figures", "processed_figures"}),
    "visualization.job_kwargs": NOTHING,
    "nwb.allow_partial": NOTHING,
    "nwb.ecephys": LFP,
    "nwb.ecephys.backend": frozenset({"nwb"}),
    "nwb.ecephys.write_raw": frozenset({"nwb"}),
}

APPLIED = {"preprocessing": {"motion_correction": {"apply": True}}}
SHAPES = {"postprocessing": {"extensions": {"template_metrics": {"sparsity": {}}}}}
ANY_FORMAT = {"job_dispatch": {"input": "spikeinterface", "spikeinterface_info": {"reader_type": "intan"}}}
OTHERWISE: dict[str, tuple[Any, dict[str, Any]]] = {
    "postprocessing.duplicate_threshold": (0.8, {}),
    "job_dispatch.debug_duration": (5, {"job_dispatch": {"debug": True}}),
    "job_dispatch.input": ("nwb", {}),
    "job_dispatch.nwb_files": ("a.nwb", {}),
    "job_dispatch.spikeinterface_info": (
        {"reader_type": "intan"},
        {"job_dispatch": {"input": "spikeinterface"}},
    ),
    "job_dispatch.spikeinterface_info.reader_type": ("plexon", ANY_FORMAT),
    "job_dispatch.spikeinterface_info.reader_kwargs": ({"file_path": "a.rhd"}, ANY_FORMAT),
    "job_dispatch.spikeinterface_info.keep_stream_substrings": ("AP", ANY_FORMAT),
    "job_dispatch.spikeinterface_info.skip_stream_substrings": (["AP"], ANY_FORMAT),
    "job_dispatch.spikeinterface_info.probe_paths": ("probe.json", ANY_FORMAT),
    "job_dispatch.spikeinterface_info.session_names": (["a"], ANY_FORMAT),
    "preprocessing.motion_correction.interpolate_motion_kwargs": ({"num_closest": 5}, APPLIED),
    "preprocessing.remove_stimulation_artifacts.events_file": ("events.csv", STIMULATED),
    "preprocessing.remove_stimulation_artifacts.events": ("onset", STIMULATED),
    "preprocessing.remove_stimulation_artifacts.edge": ("falling", STIMULATED),
    "preprocessing.remove_stimulation_artifacts.times_from": ("start", STIMULATED),
    "spikesorting.sorter": ("spykingcircus2", {}),
    "postprocessing.extensions.template_metrics.sparsity": ({}, {}),
    "postprocessing.extensions.template_metrics.sparsity.method": ("closest_channels", SHAPES),
    "postprocessing.extensions.template_metrics.sparsity.radius_um": (50, SHAPES),
}
"""Another value, and what else must be so that it counts, where the rows of the effects do not say."""

UNUSED = {
    "preprocessing.bandpass_filter.freq_max": (5000.0, {}),
    "preprocessing.highpass_filter.freq_min": (250.0, {"preprocessing": {"filter_type": "bandpass"}}),
    "preprocessing.highpass_spatial_filter.n_channel_pad": (20, {}),
    "preprocessing.common_reference.reference": ("local", DESTRIPE),
    "preprocessing.motion_correction.interpolate_motion_kwargs": ({"num_closest": 5}, {}),
    "preprocessing.motion_correction.preset": (
        "dredge",
        {"preprocessing": {"motion_correction": {"compute": False}}},
    ),
    "spikesorting.kilosort4.skip_motion_correction": (True, {"spikesorting": {"sorter": "spykingcircus2"}}),
    "job_dispatch.debug_duration": (5, {}),
    "nwb.ecephys.stub_seconds": (3, {}),
    "nwb.ecephys.lfp_temporal_factor": (1, {"nwb": {"ecephys": {"write_lfp": False}}}),
    "nwb.ecephys.lfp.filter.freq_min": (1.0, {"nwb": {"ecephys": {"write_lfp": False}}}),
}
"""Keys with params under which nothing uses them."""


def versions(params: Params) -> dict[str, str]:
    """Data version of every output, from the same raw files and models."""
    made: dict[str, str] = {}
    for name, stage in STAGES.items():
        inputs = {above: made[above] for above in stage.inputs(params)}
        made[name] = data_version(name, stage.version, stage.settings(params), inputs, {})
    return made


def changed(key: str, value: Any, given: dict[str, Any]) -> set[str]:
    usual, other = with_value(key, default_of(key), given), with_value(key, value, given)
    assert usual != other
    before, after = versions(usual), versions(other)
    return {name for name in STAGES if before[name] != after[name]}


def default_of(key: str) -> Any:
    return "intan" if key.endswith(".reader_type") else DEFAULTS[key]  # the one key without a default


def reach_of(key: str) -> frozenset[str]:
    parts = key.split(".")
    known = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next(REACH[prefix] for prefix in known if prefix in REACH)


def other_value(key: str) -> tuple[Any, dict[str, Any]]:
    row = ROWS[key]
    if key in OTHERWISE:
        return OTHERWISE[key]
    if isinstance(row, Changed):
        return row.value, row.given
    return another(DEFAULTS[key]), {}


@pytest.mark.parametrize("key", [key for key in DEFAULTS if key != "$schema"])
def test_a_key_makes_anew_what_it_is_for_and_nothing_else(key):
    value, given = other_value(key)
    sorter = key.split(".")[1] if key.startswith("spikesorting.") and key.count(".") > 1 else None
    if sorter:
        given = {"spikesorting": {"sorter": sorter}}
    assert changed(key, value, given) == reach_of(key)


@pytest.mark.parametrize("key", UNUSED)
def test_a_key_that_nothing_uses_makes_nothing_anew(key):
    value, given = UNUSED[key]
    assert changed(key, value, given) == NOTHING


def test_every_output_is_reached_by_some_key_and_every_row_has_one():
    assert set().union(*REACH.values()) == set(STAGES)
    used = {
        next(row for row in sorted(REACH, key=len, reverse=True) if f"{key}.".startswith(f"{row}."))
        for key in DEFAULTS
    }
    assert used == set(REACH)
