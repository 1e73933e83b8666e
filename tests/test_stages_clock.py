"""The clock report: known drift between streams is found, nothing is shifted, and a damaged stream stops nobody."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikepipe_core.demo import ProbeClock, write_demo_session
from spikepipe_core.graph import STAGES
from spikepipe_core.ingest import discover
from spikepipe_core.params import JobDispatchParams
from spikepipe_core.produce import produce
from spikepipe_core.stages.clock import CLOCKS, FIGURE, compare_with_others
from spikepipe_core.stages.recording import load_recording
from spikepipe_core.store import session_entries

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
OPEN_EPHYS = SHARED / "openephys_multi_experiment" / "v0.6.x_neuropixels_multiexp_multistream"
SECONDS, CHANNELS, DRIFT_PPM = 8, 8, 200.0


def write_session(out: Path, **more) -> Path:
    """Two probes; the second one's clock is 200 ppm fast, and it was started 3 ms before the first."""
    clocks = (ProbeClock(), ProbeClock(DRIFT_PPM, 3.0))
    write_demo_session(out, probes=2, seconds=SECONDS, channels=CHANNELS, clocks=clocks, **more)
    return out


@pytest.fixture(scope="module")
def drifting(tmp_path_factory):
    """As SpikeGLX writes it. To be read only."""
    return write_session(tmp_path_factory.mktemp("clocks") / "data")


def works(make_work, data: Path, results: Path, params=None) -> dict:
    """Work of every probe of the first session, with its recording made where it can be."""
    first = make_work(data, results, params, STAGES)
    found = {job.probe: replace(first, job=job) for job in first.entry.jobs}
    for work in found.values():
        if work.job.problem is None:
            produce(STAGES["recording"], work)
    return found


def test_drift_and_offset_are_found_and_nothing_is_shifted(drifting, make_work, tmp_path):
    work = works(make_work, drifting, tmp_path / "results")["imec1"]
    manifest = produce(STAGES["clock_report"], work).manifest
    (row,) = manifest.summary["clocks"]
    assert (row["against"], row["by"], row["remark"]) == ("imec0", "bit 6 of the SYNC word", "not corrected")
    assert row["offset (ms)"] == pytest.approx(3, abs=0.05)
    assert row["drift (ppm)"] == pytest.approx(DRIFT_PPM, abs=5)
    assert row["drift (ms)"] == pytest.approx(DRIFT_PPM * 1e-3 * (SECONDS - 1), abs=0.05)
    assert "times are not corrected" in manifest.summary["result"] and "clocks" in manifest.pictures
    assert {path.name for path in work.input("clock_report").iterdir()} == {CLOCKS, FIGURE}
    assert load_recording(work).get_start_time() == 0, "nothing is shifted"
    assert produce(STAGES["clock_report"], work).outcome.reused


def test_both_probes_say_the_same(drifting, make_work, tmp_path):
    both = works(make_work, drifting, tmp_path / "results")
    there = compare_with_others(both["imec1"], 0)["imec0"]
    back = compare_with_others(both["imec0"], 0)["imec1"]
    assert back.offset_ms == pytest.approx(-there.offset_ms, abs=0.02)
    assert back.drift_ppm == pytest.approx(-there.drift_ppm, rel=0.01)


def test_a_probe_alone_has_no_report_and_that_is_fine(demo_data, make_work, tmp_path):
    work = works(make_work, demo_data, tmp_path / "results")["imec0"]
    produced = produce(STAGES["clock_report"], work)
    assert produced.outcome.outcome == "skipped" and produced.manifest.empty
    assert "no other stream" in produced.outcome.reason


def test_a_damaged_neighbour_is_named_and_stops_nobody(drifting, make_work, tmp_path):
    data = Path(shutil.copytree(drifting, tmp_path / "data"))
    os.truncate(next(data.rglob("*imec0.ap.bin")), 100)
    work = works(make_work, data, tmp_path / "results")["imec1"]
    outcome = produce(STAGES["clock_report"], work).outcome
    assert outcome.outcome == "skipped" and "imec0.ap cannot be read" in outcome.reason


def test_a_board_is_compared_too(drifting, make_work, tmp_path):
    data = Path(shutil.copytree(drifting, tmp_path / "data"))
    samples = 5_000 * SECONDS
    shared = (np.arange(samples) + 0.5) / 5_000 / (1 - 100e-6)
    np.where((shared % 1 >= 0.25) & (shared % 1 < 0.75), 1, 0).astype("<i2").tofile(
        data / "demo_g0/demo_g0_t0.nidq.bin"
    )
    (data / "demo_g0/demo_g0_t0.nidq.meta").write_text(
        "typeThis=nidq\nnSavedChans=1\nsnsMnMaXaDw=0,0,0,1\nniSampRate=5000\nsyncNiChan=0\nsyncNiChanType=0\n"
        "syncSourcePeriod=1\nfirstSample=0\n"
    )
    found = compare_with_others(works(make_work, data, tmp_path / "results")["imec1"], 0)
    assert set(found) == {"imec0", "nidq"}
    assert found["nidq"].drift_ppm == pytest.approx(DRIFT_PPM + 100, abs=15)


def test_open_ephys_by_its_ttl_events(make_work, tmp_path):
    work = works(make_work, write_session(tmp_path / "data", format="openephys"), tmp_path / "results")[
        "imec1"
    ]
    found = compare_with_others(work, 0)["imec0"]
    assert found.source == "TTL line 1"
    assert found.drift_ppm == pytest.approx(DRIFT_PPM, abs=5)
    assert found.offset_ms == pytest.approx(3, abs=0.05)
    assert not found.is_corrected, "timestamps that do not drift were not synchronized"


@pytest.mark.skipif(not OPEN_EPHYS.exists(), reason=f"no real recordings at {SHARED}")
def test_real_open_ephys_probes_and_board(tmp_path):
    """TTL pulses of a whole session (the traces were cut to some ms): the probes' oscillators differ by some ppm."""
    from spikepipe_core.params import Params
    from spikepipe_core.stages.stage import Work
    from spikepipe_core.store import Store

    found = discover(OPEN_EPHYS, JobDispatchParams())
    for entry in session_entries(found.data_root, found.jobs):
        work = Work(Store(tmp_path), entry, entry.job("ProbeB"), Params(), STAGES)
        others = compare_with_others(work, 0)
        probe, board = others["ProbeC"], others["Record Node 101#NI-DAQmx-103.PXIe-6341"]
        assert 5 < abs(probe.drift_ppm) < 10 and abs(probe.offset_ms) < 0.2
        assert 100 < abs(board.drift_ppm) < 130 and abs(board.offset_ms) < 0.2
        assert probe.is_corrected and len(probe.times_s) > 700 and probe.scatter_ms < 0.1
