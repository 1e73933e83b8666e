"""What a run will lack is said in seconds, all of it at once, before anything is written."""

from __future__ import annotations

import shutil
import sys
from collections import namedtuple
from types import SimpleNamespace

import pytest
import spikeinterface.sorters as ss

from spikepipe_core import preflight
from spikepipe_core.ingest import RecordingJob
from spikepipe_core.store import Store

Usage = namedtuple("Usage", ["total", "used", "free"])


def job(hours: float, channels: int | None = 384) -> RecordingJob:
    return RecordingJob(
        session="s", session_folder="s", probe="imec0", block="block0", segment=1, stream="imec0.ap",
        recording_name="block0_imec0.ap_recording1", reader="spikeglx", source=(), files=(),
        num_channels=channels, sampling_frequency=30_000.0, duration=hours * 3600,
    )  # fmt: skip


@pytest.fixture
def free(monkeypatch):
    """Free bytes that the disk says it has."""

    def say(size: float) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**15, 0, int(size)))

    return say


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "not" / "yet" / "there")


def test_nothing_is_missing_where_all_is_there(tiny_params, store, demo_data):
    assert preflight.missing(tiny_params(), [job(0.01)], store) == []
    assert not store.results.root.exists(), "nothing is written"


def test_all_that_is_missing_is_said_at_once(tiny_params, store, free, tmp_path):
    free(1e9)
    params = tiny_params(
        spikesorting={"sorter": "kilosort4", "kilosort4": {"sorter": {"torch_device": "cuda:0"}}},
        curation={
            "noise_neural_classifier": str(tmp_path / "noise"),
            "sua_mua_classifier": str(tmp_path / "sua"),
        },
    )
    problems = preflight.missing(params, [job(2.0)], store)
    told = "\n".join(problems)
    assert str(tmp_path / "noise") in told and str(tmp_path / "sua") in told
    assert "GB are free" in told
    if not _sees_cuda():
        assert "torch_device = 'cuda:0'" in told
    assert len(problems) >= 3


def _sees_cuda() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def test_a_classifier_that_cannot_be_used_is_said_too(tiny_params, store, tmp_path):
    params = tiny_params(curation={"noise_neural_classifier": str(tmp_path)})
    (problem,) = preflight.missing(params, [], store)
    assert f"{tmp_path}: 0 .skops files" in problem


@pytest.mark.skipif(ss.sorter_dict["kilosort2_5"].is_installed(), reason="Kilosort 2.5 is installed here")
def test_a_sorter_that_cannot_run_is_missing(tiny_params, store):
    (problem,) = preflight.missing(tiny_params(spikesorting={"sorter": "kilosort25"}), [], store)
    assert "kilosort25 cannot run on this machine" in problem


@pytest.mark.parametrize(
    ("device", "there", "missing"),
    [("cuda", True, False), ("cuda:1", False, True), ("auto", False, False), ("cpu", False, False)],
)
def test_a_gpu_must_be_there_if_it_is_asked_for_by_name(
    tiny_params, store, monkeypatch, device, there, missing
):
    cuda = SimpleNamespace(is_available=lambda: there)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(preflight, "find_sorter", lambda name: None)
    sorter = {"sorter": "kilosort4", "kilosort4": {"sorter": {"torch_device": device}}}
    problems = preflight.missing(tiny_params(spikesorting=sorter), [], store)
    assert bool(problems) is missing
    if missing:
        assert "spikesorting.kilosort4.sorter.torch_device = 'cuda:1'" in problems[0]


def test_room_is_asked_for_results_and_scratch_of_all_jobs(tiny_params, store, free):
    raw = 2 * 384 * 30_000 * 3600  # one hour
    free(2 * raw)
    (problem,) = preflight.missing(tiny_params(), [job(1.0), job(1.0)], store)
    assert "results and scratch need about 190.8 GB" in problem
    assert "165.9 GB are free" in problem
    assert str(store.results.root) in problem
    free(3 * raw)
    assert preflight.missing(tiny_params(), [job(1.0), job(1.0)], store) == []


def test_a_job_of_unknown_size_asks_for_no_room(tiny_params, store, free):
    free(0)
    assert preflight.missing(tiny_params(), [job(1.0, channels=None)], store) == []
