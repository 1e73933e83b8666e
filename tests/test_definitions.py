"""What a person sees in Dagster: the graph, its partitions, its launchpad, and what is stale."""

from pathlib import Path

import dagster as dg
import pytest

from spikepipe_assets.definitions import build_definitions
from spikepipe_assets.deployment import Deployment
from spikepipe_assets.partitions import pair, probe_key, register
from spikepipe_core.graph import STAGES
from spikepipe_core.ingest import discover
from spikepipe_core.store import session_entries

GRAPH = {
    "recording": set(),
    "clock_report": {"recording"},
    "raw_figures": {"recording"},
    "raw_quality_control": {"recording"},
    "lfp": {"recording"},
    "preprocessed_recording": {"recording"},
    "motion": {"preprocessed_recording"},
    "processed_figures": {"recording", "preprocessed_recording", "motion"},
    "sorting": {"preprocessed_recording"},
    "analyzer": {"preprocessed_recording", "sorting"},
    "curated_units": {"analyzer"},
    "figures": {"analyzer", "curated_units"},
    "quality_control": {"recording", "preprocessed_recording", "motion", "analyzer", "curated_units"},
    "nwb": {"lfp", "curated_units"},
    "ledger": set(),
}


def deployment(tmp_path: Path, **params) -> Deployment:
    return Deployment(results=tmp_path / "results", params=params, n_jobs=1)


def assets_of(defs: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def edges(defs: dg.Definitions) -> dict[str, set[str]]:
    return {
        name: {dep.asset_key.to_user_string() for dep in spec.deps} for name, spec in assets_of(defs).items()
    }


def test_the_graph_is_the_one_of_the_design(tmp_path):
    assert edges(build_definitions(deployment(tmp_path))) == GRAPH


def test_motion_is_on_the_way_to_sorting_only_if_it_is_applied(tmp_path):
    applied = {"motion_correction": {"apply": True}}
    found = edges(build_definitions(deployment(tmp_path, preprocessing=applied)))
    assert "motion" in found["sorting"] and "motion" in found["analyzer"]


def test_every_asset_says_what_it_is(tmp_path):
    for name, spec in assets_of(build_definitions(deployment(tmp_path))).items():
        assert spec.description and spec.group_name and spec.kinds and spec.owners
        assert bool(spec.code_version) == (name in STAGES)


def test_only_built_in_partition_mappings_are_used(tmp_path):
    nwb = assets_of(build_definitions(deployment(tmp_path)))["nwb"]
    mappings = {dep.partition_mapping for dep in nwb.deps}
    assert all(type(mapping).__module__.startswith("dagster") for mapping in mappings)


@pytest.mark.parametrize(
    ("params", "stale"),
    [
        ({"curation": {"query": "snr > 5"}}, {"curated_units"}),
        ({"curation": {"noise_neural_classifier": None}}, {"curated_units"}),
        ({"visualization": {"drift": {"alpha": 0.5}}}, {"processed_figures"}),
        ({"nwb": {"ecephys": {"lfp_temporal_factor": 4}}}, {"lfp"}),
        ({"preprocessing": {"job_kwargs": {"chunk_duration": "2s"}}}, set()),
    ],
)
def test_a_changed_params_file_is_a_new_code_version_just_where_it_reaches(tmp_path, params, stale):
    before = assets_of(build_definitions(deployment(tmp_path)))
    after = assets_of(build_definitions(deployment(tmp_path, **params)))
    assert {name for name in before if before[name].code_version != after[name].code_version} == stale


@pytest.fixture
def registered(tmp_path, demo_data):
    """A deployment, its definitions, an instance, and the demo session registered in it."""
    chosen = deployment(tmp_path)
    found = discover(demo_data, chosen.effective_params().job_dispatch)
    entries = session_entries(found.data_root, found.jobs, found.ignored)
    chosen.store().registry.add(entries)
    with dg.DagsterInstance.ephemeral() as instance:
        register(instance, entries)
        yield chosen, build_definitions(chosen), instance, entries[0]


def materialize(defs: dg.Definitions, instance, key, *names: str, run_config=None, tags=None):
    return dg.materialize(
        [asset for asset in defs.assets if asset.key.to_user_string() in STAGES],
        selection=dg.AssetSelection.assets(*names),
        partition_key=key,
        instance=instance,
        resources=defs.resources,
        run_config=run_config,
        tags=tags,
        raise_on_error=False,
    )


def test_partitions_are_the_pairs_that_exist(registered):
    _, _, instance, entry = registered
    assert instance.get_dynamic_partitions("session_probe") == [pair(entry.session, p) for p in entry.probes]
    assert instance.get_dynamic_partitions("session") == [entry.session]


def test_one_partition_of_one_asset(registered):
    chosen, defs, instance, entry = registered
    key = probe_key(entry.session, entry.probes[0])
    result = materialize(defs, instance, key, "recording")
    assert result.success
    (event,) = result.asset_materializations_for_node("recording")
    assert event.metadata["channels"].value == entry.jobs[0].num_channels
    assert "data:image/png;base64," in event.metadata["probe"].value
    assert Path(event.metadata["path"].value).is_dir()
    manifest = chosen.store().results.manifest(STAGES["recording"].ref(entry, entry.jobs[0]))
    assert event.tags["dagster/data_version"] == manifest.data_version
    checks = result.get_asset_check_evaluations()
    assert [(check.check_name, check.passed) for check in checks] == [("timestamps", True)]


def test_a_pair_nobody_has_makes_nothing_and_says_which_there_are(registered):
    _, defs, instance, entry = registered
    instance.add_dynamic_partitions("probe", ["imec7"])
    result = materialize(defs, instance, probe_key(entry.session, "imec7"), "recording")
    assert result.success and not result.get_asset_materialization_events()
    said = " ".join(entry.user_message for entry in instance.all_logs(result.run_id))
    assert "has no probe 'imec7'" in said and ", ".join(entry.probes) in said


def test_what_is_wrong_with_the_data_is_not_tried_again(registered):
    _, defs, instance, entry = registered
    key = probe_key(entry.session, entry.probes[0])
    assert materialize(defs, instance, key, "recording").success
    result = materialize(defs, instance, key, "sorting")
    (failure,) = result.get_step_failure_events()
    assert (
        "preprocessed_recording has not been made" in failure.step_failure_data.user_failure_data.description
    )
    assert not [event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]


def test_the_launchpad_changes_the_typed_key_and_no_other(registered):
    chosen, defs, instance, entry = registered
    key = probe_key(entry.session, entry.probes[0])
    typed = {"ops": {"preprocessed_recording": {"config": {"highpass_filter": {"freq_min": 250.0},
                                                         "min_preprocessing_duration": 0.0}}}}  # fmt: skip
    result = materialize(defs, instance, key, "recording", "preprocessed_recording", run_config=typed)
    assert result.success
    ref = STAGES["preprocessed_recording"].ref(entry, entry.jobs[0])
    settings = chosen.store().results.manifest(ref).settings
    default = STAGES["preprocessed_recording"].settings(chosen.effective_params())
    assert settings["highpass_filter"].pop("freq_min") == 250.0
    default["highpass_filter"].pop("freq_min")
    assert settings.pop("min_preprocessing_duration") == 0.0
    default.pop("min_preprocessing_duration")
    assert settings == default


def test_motion_that_cannot_be_estimated_is_a_failed_check(registered):
    _, defs, instance, entry = registered
    estimate = {"estimate_motion_kwargs": {"bin_s": 2.0, "direction": "z"}, "preset": "rigid_fast"}
    typed = {"ops": {"preprocessed_recording": {"config": {"min_preprocessing_duration": 0.0}},
                     "motion": {"config": estimate}}}  # fmt: skip
    key = probe_key(entry.session, entry.probes[0])
    result = materialize(
        defs, instance, key, "recording", "preprocessed_recording", "motion", run_config=typed
    )
    assert result.success
    (check,) = [each for each in result.get_asset_check_evaluations() if each.check_name == "motion_estimate"]
    assert not check.passed and "no estimate with preset 'rigid_fast'" in check.description


def test_an_unknown_key_is_refused_at_launch(registered):
    _, defs, instance, entry = registered
    typed = {"ops": {"preprocessed_recording": {"config": {"highpas_filter": {}}}}}
    with pytest.raises(dg.DagsterInvalidConfigError, match="highpas_filter"):
        materialize(
            defs,
            instance,
            probe_key(entry.session, entry.probes[0]),
            "preprocessed_recording",
            run_config=typed,
        )


def test_reuse_is_said_and_recompute_forces(registered):
    _, defs, instance, entry = registered
    key = probe_key(entry.session, entry.probes[0])

    def reused(**more) -> bool:
        result = materialize(defs, instance, key, "recording", **more)
        return result.asset_materializations_for_node("recording")[0].metadata["reused"].value

    assert [reused(), reused(), reused(tags={"spikepipe/recompute": "true"})] == [False, True, False]
