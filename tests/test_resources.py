"""Cores are counted by what the control group grants, not by what the node has."""

from __future__ import annotations

import os

import pytest

from spikepipe_core.resources import available_cores


@pytest.fixture
def cores(monkeypatch, tmp_path):
    def count(affinity: int, v2: str | None = None, v1: tuple[str, str] | None = None) -> int:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)), raising=False)
        if v2 is not None:
            (tmp_path / "cpu.max").write_text(v2)
        if v1 is not None:
            (tmp_path / "cpu").mkdir()
            (tmp_path / "cpu/cpu.cfs_quota_us").write_text(v1[0])
            (tmp_path / "cpu/cpu.cfs_period_us").write_text(v1[1])
        return available_cores(tmp_path)

    return count


@pytest.mark.parametrize(
    ("affinity", "v2", "expected"),
    [
        (64, "200000 100000\n", 2),
        (64, "max 100000\n", 64),
        (4, "800000 100000\n", 4),
        (64, "250000 100000\n", 2),
        (64, "50000 100000\n", 1),
        (64, "nonsense\n", 64),
        (3, None, 3),
    ],
)
def test_control_group_version_2(cores, affinity, v2, expected):
    assert cores(affinity, v2=v2) == expected


@pytest.mark.parametrize(
    ("v1", "expected"), [(("200000", "100000"), 2), (("-1", "100000"), 16), (("10000", "100000"), 1)]
)
def test_control_group_version_1(cores, v1, expected):
    assert cores(16, v1=v1) == expected


def test_where_there_is_no_affinity_one_core_is_safe(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert available_cores(tmp_path) == 1


def test_here_there_is_at_least_one():
    assert 1 <= available_cores() <= len(os.sched_getaffinity(0))
