"""A process starts without what it does not use, and machine code is made once a machine."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from spikepipe_core.compiled import MODULES

HEAVY = {"pandas", "matplotlib", "scipy.signal", "pynwb", "numba", "sklearn", "torch", "neo"}


def in_fresh_process(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("imported", "not_needed"),
    [
        ("spikepipe_assets.cli", {"dagster", "spikeinterface", "numpy", "pydantic", *HEAVY}),
        ("spikepipe_core.graph", {"dagster", *HEAVY}),
        ("spikepipe_assets.definitions", HEAVY),
    ],
)
def test_what_is_not_needed_to_start_is_not_imported(imported, not_needed):
    found = in_fresh_process(f"import sys, {imported}; print(' '.join(sys.modules))").split()
    assert not not_needed.intersection(found)


COMPILE = """
import json
from spikepipe_core.compiled import keep_compiled
kept = keep_compiled()
from spikeinterface.metrics.quality.misc_metrics import _compute_nb_violations_numba as count
import numpy as np
count(np.arange(20), 2)
print(json.dumps([len(kept), sum(count.stats.cache_hits.values()), sum(count.stats.cache_misses.values())]))
"""


def test_machine_code_is_made_by_the_first_process_and_loaded_by_the_next(tmp_path: Path):
    first, second = (json.loads(in_fresh_process(COMPILE, NUMBA_CACHE_DIR=str(tmp_path))) for _ in range(2))
    assert first[0] == second[0] >= 20
    assert (first[1:], second[1:]) == ([0, 1], [1, 0])


@pytest.mark.parametrize("module", MODULES)
def test_every_module_named_has_functions_that_numba_compiles(module):
    from numba.core.dispatcher import Dispatcher

    functions = vars(import_module(module)).values()
    assert any(isinstance(f, Dispatcher) and f.py_func.__module__ == module for f in functions)
