"""Shared by all tests: tiny data that several modules look at, and params that suit them."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from spikepipe_core.params import JobDispatchParams, Params
from spikepipe_core.stages.stage import Built, Stage, Work
from spikepipe_core.store import Store, session_entries

DEMO_CHANNELS, DEMO_SECONDS = 16, 12.0

# What a script puts in the background ignores SIGINT; Dagster makes SIGTERM do as SIGINT does, and every process that a
# test starts would inherit both and could not be stopped.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Two params dicts, merged by key."""
    result = dict(base)
    for key, value in more.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


@pytest.fixture(scope="session")
def tiny_params() -> Callable[..., Params]:
    """Params for tiny sessions without a hub: everything else is the documented default."""
    base = {
        "preprocessing": {"min_preprocessing_duration": 0},
        "spikesorting": {"sorter": "spykingcircus2"},
        "curation": {"noise_neural_classifier": None, "sua_mua_classifier": None},
    }

    def make(**sections: Any) -> Params:
        return Params.model_validate(merged(base, sections))

    return make


@pytest.fixture(scope="session")
def demo_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SpikeGLX session with one probe: 16 channels (one dead, one noisy), 12 s. To be read only."""
    from spikepipe_core.demo import write_demo_session

    data = tmp_path_factory.mktemp("demo") / "data"
    write_demo_session(data, probes=1, seconds=DEMO_SECONDS, channels=DEMO_CHANNELS)
    return data


@pytest.fixture(scope="session")
def probe_stages() -> dict[str, Stage]:
    """The stages from the raw files to the curated units."""
    from spikepipe_core.stages import curation, motion, postprocessing, preprocessing, recording, sorting

    modules: list[ModuleType] = [recording, preprocessing, motion, sorting, postprocessing, curation]
    return {module.STAGE.name: module.STAGE for module in modules}


@pytest.fixture(scope="session")
def make_work(probe_stages: dict[str, Stage], tiny_params: Callable[..., Params]) -> Callable[..., Work]:
    """Register a data folder in a results folder; hand out the work of its first probe."""

    def make(
        data: Path, results: Path, params: Params | None = None, stages: Mapping[str, Stage] | None = None
    ) -> Work:
        from spikepipe_core.ingest import discover

        found = discover(data, params.job_dispatch if params else JobDispatchParams())
        store = Store(results)
        entries = session_entries(found.data_root, found.jobs, found.ignored)
        store.registry.add(entries)
        entry = entries[0]
        return Work(store, entry, entry.jobs[0], params or tiny_params(), stages or probe_stages)

    return make


@pytest.fixture(scope="session")
def preprocessed_session(
    demo_data: Path, make_work: Callable[..., Work], tmp_path_factory: pytest.TempPathFactory
) -> Work:
    """The demo session with its recording, preprocessed recording and cached traces. To be read only."""
    from spikepipe_core.produce import produce
    from spikepipe_core.stages.traces import cached_traces

    work = make_work(demo_data, tmp_path_factory.mktemp("preprocessed") / "results")
    for name in ("recording", "preprocessed_recording"):
        produce(work.stages[name], work)
    cached_traces(work)
    return work


@pytest.fixture(scope="session")
def continued() -> Callable[..., Work]:
    """Copy what a session has so far, to go on from there elsewhere."""

    def fork(work: Work, results: Path, params: Params | None = None) -> Work:
        shutil.copytree(work.store.results.root, results)
        return replace(work, store=Store(results), params=params or work.params)

    return fork


DUPLICATE, ORIGINAL = "copy", "gt4"


def true_units(work: Work) -> Built:
    """Stands for a sorter: the true units, and nine in ten spikes of one of them a second time."""
    import numpy as np
    import spikeinterface.core as si

    from spikepipe_core.demo import ground_truth_folder, read_ground_truth

    truth, _ = read_ground_truth(ground_truth_folder(work.data, work.recording_job.probe))
    trains = {str(unit): truth.get_unit_spike_train(unit) for unit in truth.unit_ids}
    trains[DUPLICATE] = np.delete(trains[ORIGINAL], np.s_[::10])
    sorting = si.NumpySorting.from_unit_dict([trains], truth.sampling_frequency)
    sorting.set_property("KSLabel", np.array(["good"] * len(trains)))
    sorting.save(folder=work.path)
    return Built(reason=f"{len(trains)} units")


@pytest.fixture(scope="session")
def analyzed_session(
    preprocessed_session: Work,
    continued: Callable[..., Work],
    probe_stages: dict[str, Stage],
    tmp_path_factory: pytest.TempPathFactory,
) -> Work:
    """The demo session up to its analyzer, with true units in place of sorted ones. To be read only."""
    from spikepipe_core.produce import produce

    stages = {**probe_stages, "sorting": replace(probe_stages["sorting"], build=true_units)}
    work = continued(preprocessed_session, tmp_path_factory.mktemp("analyzed") / "results")
    work = replace(work, stages=stages)
    for name in ("sorting", "analyzer"):
        produce(stages[name], work)
    return work
