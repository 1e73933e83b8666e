"""Units that a sorter found twice, and units that only look so."""

from __future__ import annotations

import numpy as np
import pytest
import spikeinterface.core as si

from spikepipe_core.params import Params
from spikepipe_core.stages.postprocessing import remove_duplicates

JOB = {"n_jobs": 1, "progress_bar": False}


@pytest.fixture(scope="module")
def truth() -> tuple[si.BaseRecording, si.BaseSorting]:
    return si.generate_ground_truth_recording(durations=[30.0], num_channels=16, num_units=4, seed=0)


def kept(truth, units: dict[str, np.ndarray], threshold: float = 0.9) -> list[str]:
    recording, _ = truth
    sorting = si.NumpySorting.from_unit_dict([units], recording.sampling_frequency)
    params = Params.model_validate({"postprocessing": {"duplicate_threshold": threshold}}).postprocessing
    return list(remove_duplicates(sorting, recording, params, "neg", JOB).unit_ids)


def spikes(truth, unit: int) -> np.ndarray:
    _, sorting = truth
    return sorting.get_unit_spike_train(sorting.unit_ids[unit])


def with_noise(train: np.ndarray, share: float) -> np.ndarray:
    """A spike train of which a share are the true spikes, late by three samples, and the rest fall anywhere."""
    random = np.random.default_rng(0)
    hits = random.choice(train, round(share * len(train)), replace=False) + 3
    others = random.integers(1000, 700_000, len(train) - len(hits) - 1)
    return np.sort(np.concatenate([hits, others]))


def test_of_a_unit_found_twice_the_one_with_more_spikes_is_kept(truth):
    units = {"fewer": with_noise(spikes(truth, 0), 0.9), "more": spikes(truth, 0), "other": spikes(truth, 1)}
    assert kept(truth, units) == ["more", "other"]


def test_the_threshold_is_of_the_templates(truth):
    units = {"more": spikes(truth, 0), "fewer": with_noise(spikes(truth, 0), 0.85)}
    assert kept(truth, units, 0.9) == ["more"], (
        "they look alike, though fewer than 90 % of the spikes are shared"
    )
    assert kept(truth, units, 1.0) == ["more", "fewer"]


def test_the_pieces_of_a_split_neuron_stay(truth):
    train = spikes(truth, 0)
    units = {"early": train[: len(train) // 2], "late": train[len(train) // 2 :]}
    assert kept(truth, units, 0.5) == ["early", "late"]
