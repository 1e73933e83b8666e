"""The launchpad's config schemas: made from the params models, checked by Dagster itself."""

import dagster as dg
import pytest

from spikepipe_assets.config import config_field, launchpad_overrides
from spikepipe_core.params import (
    JobDispatchParams,
    NwbParams,
    Params,
    PostprocessingParams,
    PreprocessingParams,
    SpikesortingParams,
    VisualizationParams,
    default_params,
    merge,
)

SECTIONS = {
    "job_dispatch": JobDispatchParams,
    "preprocessing": PreprocessingParams,
    "spikesorting": SpikesortingParams,
    "postprocessing": PostprocessingParams,
    "curation": type(Params().curation),
    "visualization": VisualizationParams,
    "nwb": NwbParams,
}


def asset_with(section: str, sees: list, default=None, shown=None) -> dg.AssetsDefinition:
    @dg.asset(name=section, config_schema=config_field(SECTIONS[section], default))
    def step(context: dg.AssetExecutionContext) -> None:
        op = context.op_execution_context
        typed = launchpad_overrides(op.op_config, context.run.run_config, op.op_def.name, shown)
        sees.append((dict(op.op_config), typed))

    return step


def run_with(section: str, config: dict | None, **kwargs):
    sees: list = []
    run_config = None if config is None else {"ops": {section: {"config": config}}}
    result = dg.materialize([asset_with(section, sees, **kwargs)], run_config=run_config)
    assert result.success
    return sees[0]


def is_valid(section: str, config: dict) -> bool:
    definitions = dg.Definitions(assets=[asset_with(section, [])])
    job = definitions.resolve_implicit_global_asset_job_def()
    try:
        dg.validate_run_config(job, {"ops": {section: {"config": config}}})
    except dg.DagsterInvalidConfigError:
        return False
    return True


@pytest.mark.parametrize("section", SECTIONS)
def test_without_config_the_step_sees_every_default(section):
    resolved, typed = run_with(section, None)
    assert typed == {}
    assert resolved == default_params()[section]


def test_a_partial_override_changes_that_key_only():
    typed_config = {"motion_correction": {"preset": "rigid_fast"}}
    resolved, typed = run_with("preprocessing", typed_config)
    expected = default_params()["preprocessing"]
    expected["motion_correction"]["preset"] = "rigid_fast"
    assert resolved == expected
    assert typed == typed_config


def test_a_nullable_object_takes_null_and_a_part_of_itself():
    extensions = {"spike_locations": None, "waveforms": {"ms_before": 1.0}}
    resolved, typed = run_with("postprocessing", {"extensions": extensions})
    assert resolved["extensions"]["spike_locations"] is None
    assert resolved["extensions"]["waveforms"] == {"ms_before": 1.0, "ms_after": 3.0, "dtype": None}
    assert typed == {"extensions": extensions}


def test_free_objects_and_mixed_types_take_what_the_models_take():
    assert is_valid("spikesorting", {"kilosort4": {"sorter": {"nblocks": 0, "dmin": None}}})
    assert is_valid("job_dispatch", {"nwb_files": "a.nwb,b.nwb"})
    assert is_valid("job_dispatch", {"nwb_files": ["a.nwb"]})
    assert is_valid("job_dispatch", {"spikeinterface_info": {"reader_type": "intan"}})
    assert is_valid("job_dispatch", {"spikeinterface_info": '{"reader_type": "intan"}'})
    assert is_valid("nwb", {"ecephys": {"surface_channel_agar_probes_indices": {"ProbeA": 350}}})
    assert is_valid("postprocessing", {"extensions": {"random_spikes": {"percentage": 0.5}}})


@pytest.mark.parametrize(
    ("section", "config"),
    [
        ("preprocessing", {"filter_typ": "highpass"}),
        ("preprocessing", {"filter_type": "lowpass"}),
        ("preprocessing", {"highpass_filter": {"freq_min": "300"}}),
        ("preprocessing", {"motion_correction": {"prset": "dredge"}}),
        ("postprocessing", {"extensions": {"quality_metrics": {"metric_names": ["snrr"]}}}),
        ("postprocessing", {"extensions": {"random_spikes": None}}),
        ("visualization", {"drift": {"n_skip": 1.5}}),
        ("job_dispatch", {"spikeinterface_info": {"reader_kwargs": {}}}),
        ("preprocessing", {"max_bad_channel_fraction": 1.5}),
        ("preprocessing", {"max_bad_channel_fraction": -0.1}),
        ("preprocessing", {"highpass_filter": {"freq_min": 0.0}}),
        ("preprocessing", {"job_kwargs": {"chunk_duration": "1 s"}}),
        ("visualization", {"drift": {"n_skip": 0}}),
        ("job_dispatch", {"debug_duration": -1.0}),
    ],
)
def test_wrong_config_is_refused_before_a_run_starts(section, config):
    assert not is_valid(section, config)


def test_what_breaks_a_limit_is_told_with_it():
    job = dg.Definitions(assets=[asset_with("preprocessing", [])]).resolve_implicit_global_asset_job_def()
    config = {"ops": {"preprocessing": {"config": {"max_bad_channel_fraction": 1.5}}}}
    with pytest.raises(dg.DagsterInvalidConfigError, match=r"1\.5 is not at least 0 and at most 1"):
        dg.validate_run_config(job, config)


def test_values_at_their_limits_are_taken():
    assert is_valid("preprocessing", {"max_bad_channel_fraction": 1, "highpass_filter": {"freq_min": 1}})
    resolved, _ = run_with("preprocessing", {"max_bad_channel_fraction": 1})
    assert isinstance(resolved["max_bad_channel_fraction"], float)


def test_the_deployments_values_are_the_defaults_shown():
    params, _ = merge(("deployment.json", {"curation": {"query": "snr > 5"}}))
    resolved, _ = run_with("curation", None, default=params.curation)
    assert resolved["query"] == "snr > 5"


def test_descriptions_say_the_limits_and_every_key_has_one():
    field = config_field(PreprocessingParams)
    fraction = field.config_type.fields["max_bad_channel_fraction"]
    assert "[at least 0, at most 1]" in fraction.description
    assert all(below.description for below in field.config_type.fields.values())


def test_keys_left_at_the_shown_default_do_not_hide_the_sessions_file():
    # the launchpad opens with every default written out; the person changed one key
    shown = default_params()["preprocessing"]
    written_out = default_params()["preprocessing"]
    written_out["motion_correction"]["preset"] = "rigid_fast"
    _, typed = run_with("preprocessing", written_out, shown=shown)
    assert typed == {"motion_correction": {"preset": "rigid_fast"}}

    session = {"preprocessing": {"filter_type": "bandpass", "motion_correction": {"preset": "dredge"}}}
    params, origins = merge(("spikepipe_params.json", session), ("launchpad", {"preprocessing": typed}))
    assert params.preprocessing.filter_type == "bandpass"
    assert params.preprocessing.motion_correction.preset == "rigid_fast"
    assert origins["preprocessing.motion_correction.preset"] == "launchpad"


def test_an_explicitly_emptied_object_is_an_override():
    shown = default_params()["preprocessing"]
    typed = launchpad_overrides(
        {**shown, "motion_correction": {**shown["motion_correction"], "estimate_motion_kwargs": {}}},
        {"ops": {"motion": {"config": {"motion_correction": {"estimate_motion_kwargs": {}}}}}},
        "motion",
        shown,
    )
    assert typed == {"motion_correction": {"estimate_motion_kwargs": {}}}


def test_only_changed_keys_of_a_free_object_are_overrides():
    shown = {"sorter": {"nblocks": 5, "nt": 61}}
    typed = {"sorter": {"nblocks": 1}}
    run_config = {"ops": {"sorting": {"config": typed}}}
    assert launchpad_overrides(typed, run_config, "sorting", shown) == typed
    assert launchpad_overrides(typed, run_config, "another") == {}
    assert launchpad_overrides({}, {}, "sorting") == {}
