"""Classifiers: found locally, in the cache or on the hub; pinned; and only of types that are trusted."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
import spikeinterface.core as si
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from spikepipe_core.errors import BadDataError, NotAvailableError
from spikepipe_core.stages.classifiers import Classifier, _download, find_classifier, load_classifier
from spikepipe_core.stages.curation import LABEL, PROBABILITY, label_by_classifiers

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def train(folder: Path, metric: str, labels: tuple[str, str], extra: list | None = None) -> Path:
    """Write a model that tells units with a low value of a metric from those with a high one."""
    random = np.random.default_rng(0)
    table = pd.DataFrame({"snr": random.uniform(0, 20, 400), "firing_rate": random.uniform(0, 20, 400)})
    steps = [("impute", SimpleImputer()), ("scale", StandardScaler()), *(extra or [])]
    model = Pipeline([*steps, ("forest", RandomForestClassifier(5, max_depth=3, random_state=0))])
    model.fit(table, (table[metric] > 10).astype(int))
    folder.mkdir(parents=True)
    skops.io.dump(model, folder / "best_model.skops")
    info = {
        "metric_params": {"quality_metric_params": {"metric_names": list(table.columns)}},
        "requirements": {},
        "label_conversion": {"0": labels[0], "1": labels[1]},
    }
    (folder / "model_info.json").write_text(json.dumps(info))
    return folder


@pytest.fixture(autouse=True)
def hub_not_asked_yet():
    """What one process has learnt of the hub, the next test's process has not."""
    _download.cache_clear()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    noise = train(root / "noise", "snr", ("noise", "neural"))
    sua = train(root / "sua", "firing_rate", ("sua", "mua"))
    return find_classifier(str(noise)), find_classifier(str(sua))


@pytest.fixture(scope="module")
def units():
    """An analyzer of four units, and their metrics: noise, then a single and two multi-units."""
    recording, sorting = si.generate_ground_truth_recording(
        durations=[2.0], num_channels=4, num_units=4, seed=0
    )
    analyzer = si.create_sorting_analyzer(sorting, recording, format="memory", sparse=False)
    metrics = pd.DataFrame(
        {"snr": [2.0, 18.0, 18.0, 18.0], "firing_rate": [18.0, 2.0, 18.0, 18.0], "spread": 50.0},
        index=analyzer.unit_ids,
    )
    return analyzer, metrics


# --- labels ---------------------------------------------------------------------------------------------------


def test_the_cascade_tells_noise_first_and_the_rest_into_single_and_multi_units(units, models):
    labels = label_by_classifiers(*units, *models)
    assert list(labels[LABEL]) == ["noise", "sua", "mua", "mua"]
    assert labels[PROBABILITY].between(0.5, 1).all()
    assert list(labels.index) == list(units[0].unit_ids)


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        ((True, False), ["noise", "neural", "neural", "neural"]),
        ((False, True), ["mua", "sua", "mua", "mua"]),
    ],
)
def test_either_classifier_works_alone(units, models, use, expected):
    chosen = [model if wanted else None for model, wanted in zip(models, use, strict=True)]
    assert list(label_by_classifiers(*units, *chosen)[LABEL]) == expected


def test_without_classifiers_there_are_no_labels(units):
    assert label_by_classifiers(*units, None, None) is None


def test_units_that_are_all_noise_need_no_second_classifier(units, models):
    analyzer, metrics = units
    assert set(label_by_classifiers(analyzer, metrics.assign(snr=1.0), *models)[LABEL]) == {"noise"}


def test_metrics_that_are_not_known_are_imputed(units, models):
    analyzer, metrics = units
    metrics = metrics.copy()
    metrics.loc[metrics.index[1], "firing_rate"] = np.nan
    assert label_by_classifiers(analyzer, metrics, *models)[LABEL].isin(["noise", "sua", "mua"]).all()


def test_a_missing_metric_is_named(units, models):
    analyzer, metrics = units
    with pytest.raises(BadDataError, match=r"cannot be applied.*snr.*postprocessing\.extensions") as wrong:
        label_by_classifiers(analyzer, metrics.drop(columns="snr"), *models)
    assert str(models[0].folder) in str(wrong.value)


def test_labels_that_nobody_knows_are_refused(units, tmp_path):
    strange = find_classifier(str(train(tmp_path / "m", "snr", ("rubbish", "neural"))))
    with pytest.raises(BadDataError, match=r"gives the label 'rubbish'.*label_conversion"):
        label_by_classifiers(*units, strange, None)


# --- files -------------------------------------------------------------------------------------------------------


def test_a_local_folder_is_known_by_the_digest_of_its_model(models, tmp_path):
    noise, sua = models
    assert noise.revision.startswith("sha256:") and noise.revision != sua.revision
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in noise.folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert find_classifier(str(copy)).revision == noise.revision, "wherever it lies"
    (copy / "model_info.json").write_text("{}")
    assert find_classifier(str(copy)).revision != noise.revision


def _double(values):
    return values * 2


def test_a_type_that_is_not_trusted_is_refused_by_its_name(tmp_path):
    strange = train(tmp_path / "m", "snr", ("noise", "neural"), [("own", FunctionTransformer(_double))])
    with pytest.raises(BadDataError, match="not trusted") as wrong:
        load_classifier(find_classifier(str(strange)))
    assert "_double" in str(wrong.value)
    assert "best_model.skops" in str(wrong.value)


def test_a_folder_with_two_models_or_none_is_refused(tmp_path):
    folder = train(tmp_path / "m", "snr", ("noise", "neural"))
    (folder / "another.skops").write_bytes((folder / "best_model.skops").read_bytes())
    with pytest.raises(BadDataError, match=r"2 \.skops files \(another.skops, best_model.skops\)"):
        load_classifier(find_classifier(str(folder)))
    for file in folder.glob("*.skops"):
        file.unlink()
    with pytest.raises(BadDataError, match=r"0 \.skops files"):
        load_classifier(find_classifier(str(folder)))


def test_damaged_or_incomplete_models_are_refused(tmp_path):
    folder = train(tmp_path / "m", "snr", ("noise", "neural"))
    whole = (folder / "best_model.skops").read_bytes()
    (folder / "best_model.skops").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadDataError, match=r"best_model\.skops cannot be loaded"):
        load_classifier(find_classifier(str(folder)))
    (folder / "best_model.skops").write_bytes(whole)
    (folder / "model_info.json").unlink()
    with pytest.raises(BadDataError, match=r"no model_info\.json"):
        load_classifier(find_classifier(str(folder)))


@pytest.mark.parametrize("name", ["no_such_folder", "./no/such/folder", "/no/such/folder"])
def test_what_is_neither_folder_nor_id_is_said(name):
    with pytest.raises(NotAvailableError, match="neither a folder on this machine nor a Hugging Face id"):
        find_classifier(name)


# --- the hub -------------------------------------------------------------------------------------------------------

ASK = """
import json, sys, time
from spikepipe_core.errors import SpikepipeError
from spikepipe_core.stages import classifiers
classifiers.HUB_TIMEOUT_S = 0.2  # the test has less patience than a user
found = []
for name in sys.argv[1:]:
    started = time.monotonic()
    try:
        classifier = classifiers.find_classifier(name)
        found.append([classifier.revision, str(classifier.folder)])
    except SpikepipeError as error:
        found.append([type(error).__name__, str(error)])
    found[-1].append(time.monotonic() - started)
print(json.dumps(found))
"""


def ask(cache: Path, *names: str, **environment: str) -> list[list]:
    """What a process of its own, with this cache and environment, finds."""
    environment = {**os.environ, "HF_HOME": str(cache), **environment}
    done = subprocess.run(
        [sys.executable, "-c", ASK, *names], capture_output=True, text=True, check=True, env=environment
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def cache(models, tmp_path):
    """A Hugging Face cache as `hf download owner/name` leaves it."""
    repository = tmp_path / "hf" / "hub" / "models--owner--name"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for file in models[0].folder.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return tmp_path / "hf"


def test_offline_the_cache_is_enough_and_what_is_not_there_is_said(cache):
    latest, pinned, unknown, misspelt = ask(
        cache, "owner/name", f"owner/name@{COMMIT}", "owner/other", "a--b/c", HF_HUB_OFFLINE="1"
    )
    assert latest[0] == pinned[0] == COMMIT, "the revision is recorded"
    assert load_classifier(Classifier("owner/name", Path(latest[1]), latest[0]))[0]
    for found in (unknown, misspelt):
        assert found[0] == "NotAvailableError"
    for words in ("'owner/other' is not in the local cache", "hf download owner/other", "HF_HOME", "null"):
        assert words in unknown[1]
    assert all(seconds < 5 for *_, seconds in (latest, pinned, unknown, misspelt))


def test_a_hub_that_refuses_or_never_answers_is_not_waited_for(cache, monkeypatch):
    """As behind a firewall."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        hub = f"http://127.0.0.1:{silent.getsockname()[1]}"
        cached, unknown = ask(cache, "owner/name", "owner/other", HF_ENDPOINT=hub)
    assert cached[0] == COMMIT
    assert unknown[0] == "NotAvailableError"
    assert all(seconds < 5 for *_, seconds in (cached, unknown))
