"""A `spikepipe_params.json` beside a session's data: it counts for that session, and says what is wrong with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import dagster as dg
import pytest

from spikepipe_assets.definitions import build_definitions
from spikepipe_assets.deployment import SESSION_PARAMS, Deployment
from spikepipe_assets.partitions import probe_key, register
from spikepipe_core.graph import STAGES
from spikepipe_core.ingest import discover
from spikepipe_core.params import InvalidParamsError
from spikepipe_core.store import session_entries


@pytest.fixture
def session(demo_data, tmp_path):
    """A registered session in a place of its own, what runs an asset on it, and where its params file goes."""
    data = tmp_path / "data"
    shutil.copytree(demo_data, data)
    deployment = Deployment(results=tmp_path / "results", n_jobs=1)
    found = discover(data, deployment.effective_params().job_dispatch)
    entries = session_entries(found.data_root, found.jobs, found.ignored)
    deployment.store().registry.add(entries)
    file = (data / entries[0].jobs[0].files[0]).parent / SESSION_PARAMS
    with dg.DagsterInstance.ephemeral() as instance:
        register(instance, entries)
        yield deployment, entries[0], file, instance


def materialize(deployment: Deployment, entry, instance, *names: str, config: dict | None = None):
    defs = build_definitions(deployment)
    return dg.materialize(
        [asset for asset in defs.assets if asset.key.to_user_string() in STAGES],
        selection=dg.AssetSelection.assets(*names),
        partition_key=probe_key(entry.session, entry.probes[0]),
        instance=instance,
        resources=defs.resources,
        run_config={"ops": {name: {"config": values} for name, values in (config or {}).items()}},
        raise_on_error=False,
    )


def ledger(deployment: Deployment, entry) -> dict[str, str]:
    outcomes = deployment.store().ledger.outcomes(entry.session_folder, entry.session)
    return {outcome.stage: f"{outcome.outcome}: {outcome.reason}" for outcome in outcomes}


def write(file: Path, params: dict) -> None:
    file.write_text(json.dumps(params))


def test_a_wrong_file_leaves_a_line_for_the_step_and_those_below_it_and_is_forgotten_when_corrected(session):
    deployment, entry, file, instance = session
    write(file, {"job_dispatch": {"debug": True, "debug_durations": 5}})
    result = materialize(deployment, entry, instance, "recording")
    (failure,) = result.get_step_failure_events()
    assert 'did you mean "debug_duration"?' in failure.step_failure_data.user_failure_data.description
    assert not [event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]
    lines = ledger(deployment, entry)
    assert lines["recording"].startswith("failed: 1 problem in the params")
    assert str(file) in lines["recording"]
    assert lines["sorting"].startswith("failed: recording failed: 1 problem in the params")
    processing = json.loads((deployment.results / entry.session_folder / "processing.json").read_text())
    (step,) = [step for step in processing["data_processes"] if step["name"] == "recording"]
    assert step["outcome"] == "failed" and "debug_durations" in step["reason"]

    write(file, {"job_dispatch": {"debug": True, "debug_duration": 5}})
    assert materialize(deployment, entry, instance, "recording").success
    assert set(ledger(deployment, entry)) == {"recording"}
    manifest = deployment.store().results.manifest(STAGES["recording"].ref(entry, entry.jobs[0]))
    assert manifest.summary["duration_s"] == 5 and manifest.settings["debug_duration"] == 5


def test_a_launchpad_value_out_of_range_is_refused_before_the_run(session):
    deployment, entry, _, instance = session
    with pytest.raises(dg.DagsterInvalidConfigError, match=r"-1\.0 is not above 0"):
        materialize(deployment, entry, instance, "recording", config={"recording": {"debug_duration": -1.0}})
    assert ledger(deployment, entry) == {}


def test_a_file_that_is_no_json_leaves_a_line_too(session):
    deployment, entry, file, instance = session
    file.write_text("{")
    assert not materialize(deployment, entry, instance, "recording").success
    assert "is not valid JSON" in ledger(deployment, entry)["recording"]


@pytest.mark.parametrize("key", ["split_groups", "multi_session"])
def test_what_decides_how_probes_are_found_comes_too_late_in_it(session, key):
    deployment, entry, file, _ = session
    usual = getattr(deployment.effective_params().job_dispatch, key)
    write(file, {"job_dispatch": {key: usual}})
    deployment.effective_params(entry)
    write(file, {"job_dispatch": {key: not usual}})
    with pytest.raises(InvalidParamsError, match=rf"{key} = \w+: comes too late here.*on the command line"):
        deployment.effective_params(entry)
    assert deployment.usable_params(entry) == deployment.effective_params()


def test_it_may_name_the_format_that_the_session_was_read_as_and_no_other(session):
    deployment, entry, file, _ = session
    write(file, {"job_dispatch": {"input": "spikeglx"}})
    assert deployment.effective_params(entry).job_dispatch.input == "spikeglx"
    write(file, {"job_dispatch": {"input": "nwb"}})
    with pytest.raises(InvalidParamsError, match="comes too late"):
        deployment.effective_params(entry)


def test_a_probes_own_launchpad_cannot_have_the_probes_found_anew(session):
    deployment, entry, _, instance = session
    assert not materialize(
        deployment, entry, instance, "recording", config={"recording": {"split_groups": False}}
    ).success
    assert "split_groups = false: comes too late" in ledger(deployment, entry)["recording"]
