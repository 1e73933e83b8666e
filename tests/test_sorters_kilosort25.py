"""Kilosort 2.5, up to the edge of our process: a stand-in binary that reads and writes what the real one does."""

from __future__ import annotations

import json
import os
import stat
import sys

import numpy as np
import pytest
import spikeinterface.core as si

from spikepipe_core.errors import StageFailedError
from spikepipe_core.produce import produce
from spikepipe_core.sorters import BUILT_IN
from spikepipe_core.stages.sorters import find_sorter
from spikepipe_core.stages.sorting import load_sorting, sort
from spikepipe_core.stages.traces import cached_traces

KILOSORT25 = BUILT_IN["kilosort25"]

STAND_IN = """#!{python}
import json
import sys
from pathlib import Path

import numpy as np
import scipy.io

folder = Path(sys.argv[1])
ops = scipy.io.loadmat(folder / "ops.mat", simplify_cells=True)["ops"]
channels = scipy.io.loadmat(folder / "chanMap.mat", simplify_cells=True)
traces = np.fromfile(ops["fbinary"], dtype="int16").reshape(-1, int(ops["NchanTOT"]))
seen = {{key: ops[key] for key in ("fbinary", "fs", "nblocks", "do_correction", "NchanTOT", "CAR", "NT", "fshigh")}}
seen |= {{"Th": list(ops["Th"]), "samples": len(traces), "ycoords": np.ravel(channels["ycoords"]).tolist()}}
Path({report!r}).write_text(json.dumps(seen, default=float))
print("found 2 good units", flush=True)
if {exit_code}:
    print("CUDA error: no kernel image is available", flush=True)
    sys.exit({exit_code})
times = np.array({times})
np.save(folder / "spike_times.npy", times.reshape(-1, 1))
np.save(folder / "spike_clusters.npy", np.array({clusters}))
np.save(folder / "spike_templates.npy", np.array({clusters}))
np.save(folder / "channel_map.npy", np.arange(len(traces[0])).reshape(-1, 1))
np.save(folder / "templates.npy", np.zeros((2, 61, len(traces[0])), dtype="float32"))
(folder / "params.py").write_text(
    f"dat_path = {{str(ops['fbinary'])!r}}\\nn_channels_dat = {{len(traces[0])}}\\ndtype = 'int16'\\noffset = 0\\n"
    f"sample_rate = {{float(ops['fs'])}}\\nhp_filtered = True\\n"
)
(folder / "cluster_KSLabel.tsv").write_text("cluster_id\\tKSLabel\\n0\\tgood\\n1\\tmua\\n")
if ops["do_correction"]:
    np.save(folder / "motion.npy", np.array([[0.0, 1.0], [4.5, -2.0]]))
"""


@pytest.fixture
def binary(tmp_path, monkeypatch):
    """Puts `ks2_5_compiled` on the PATH; gives back what it has seen."""
    report = tmp_path / "seen.json"

    def install(times=(100, 5000, 9000), clusters=(0, 1, 1), exit_code=0):
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / "ks2_5_compiled"
        filled = STAND_IN.format(
            python=sys.executable,
            report=str(report),
            times=list(times),
            clusters=list(clusters),
            exit_code=exit_code,
        )
        program.write_text(filled)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return lambda: json.loads(report.read_text())

    return install


@pytest.fixture
def params(tiny_params):
    return lambda **values: tiny_params(spikesorting={"sorter": "kilosort25", "kilosort25": values})


def test_the_compiled_binary_sorts_what_lies_in_scratch_and_all_it_leaves_is_kept(
    preprocessed_session, continued, params, tmp_path, binary
):
    end = 12 * 30_000
    seen = binary(times=[100, 5000, 9000, end + 3], clusters=[0, 1, 1, 1])
    assert find_sorter("kilosort25") is KILOSORT25
    work = continued(preprocessed_session, tmp_path / "results", params(sorter={"freq_min": 200}))
    made = produce(work.stages["sorting"], work)

    told = seen()
    traces = cached_traces(work)
    assert told["fbinary"] == str(traces.get_binary_description()["file_paths"][0]), "no copy is made"
    assert (told["samples"], told["NchanTOT"], told["fs"]) == (end, traces.get_num_channels(), 30_000)
    assert told["ycoords"] == traces.get_channel_locations()[:, 1].tolist()
    assert (told["fshigh"], told["Th"], told["CAR"]) == (200, [10, 4], 1)
    assert (told["nblocks"], told["do_correction"], told["NT"]) == (5, 1, 64 * 1024 + 64)

    assert made.outcome.reason == "2 units, 3 spikes"
    sorting = load_sorting(work)
    assert list(sorting.get_unit_spike_train(sorting.unit_ids[1])) == [5000, 9000]
    assert list(sorting.get_property("KSLabel")) == ["good", "mua"]
    summary = made.manifest.summary
    assert (summary["excess_spikes_removed"], summary["sorter_motion_um"]) == (1, 6.5)
    assert summary["repeats"] == "not known of this sorter" and "gpu" in summary["device"]
    assert made.manifest.versions["kilosort25"] == "compiled"
    folder = work.input("sorting")
    assert np.load(folder / "motion_kilosort25.npy").tolist() == [[0, 1], [4.5, -2]]
    assert "found 2 good units" in (folder / "sorter_log.txt").read_text()
    assert json.loads((folder / "sorter_log.json").read_text())["runtime_trace"] == ["found 2 good units"]


def test_its_drift_correction_is_switched_off(preprocessed_session, continued, params, tmp_path, binary):
    seen = binary()
    chosen = params(skip_motion_correction=True)
    work = continued(preprocessed_session, tmp_path / "results", chosen)
    made = produce(work.stages["sorting"], work)
    assert (seen()["nblocks"], seen()["do_correction"]) == (0, 0)
    assert made.manifest.summary["sorter_motion_um"] is None
    assert made.manifest.summary["drift_correction"] == "switched off by skip_motion_correction"


def test_its_exit_status_and_last_words_are_told_and_its_log_is_kept(
    preprocessed_session, continued, params, tmp_path, binary
):
    binary(exit_code=3)
    work = continued(preprocessed_session, tmp_path / "results", params())
    with pytest.raises(StageFailedError) as failed:
        produce(work.stages["sorting"], work)
    kept = f"demo_g0/.spikepipe/sorter_logs/{work.recording_job.recording_name}"
    log = work.store.results.root / kept
    assert str(failed.value) == (
        "kilosort25 failed: Exception: kilosort2_5 returned a non-zero exit code "
        f'("CUDA error: no kernel image is available"). Its log is in the results, in {kept}'
    )
    assert "CUDA error" in (log / "sorter_log.txt").read_text()
    kept = json.loads((log / "sorter_params.json").read_text())
    assert kept["sorter_params"]["detect_threshold"] == 6


def test_segments_are_written_once_as_one_file_and_split_again(binary, tmp_path):
    seen = binary(times=[10, 29_999, 30_000, 80_000], clusters=[0, 0, 0, 0])
    recording = si.generate_recording(num_channels=4, durations=[1.0, 2.0], sampling_frequency=30_000.0)
    result = sort(recording, KILOSORT25, {"delete_recording_dat": True}, tmp_path / "work")
    assert seen()["samples"] == 90_000
    assert not list(tmp_path.rglob("recording.dat")), "the copy is removed"
    (unit,) = result.sorting.unit_ids
    assert list(result.sorting.get_unit_spike_train(unit, segment_index=0)) == [10, 29_999]
    assert list(result.sorting.get_unit_spike_train(unit, segment_index=1)) == [0, 50_000]
