"""A sorter is one small entry, here or in another package; any other that SpikeInterface has works by its name."""

from __future__ import annotations

import importlib.metadata
import json
import sys

import numpy as np
import pytest
import spikeinterface.core as si
import spikeinterface.sorters as ss
from spikeinterface.sorters.utils import SpikeSortingError

from spikepipe_core.demo import ground_truth_folder, read_ground_truth
from spikepipe_core.errors import NotAvailableError, StageFailedError
from spikepipe_core.ingest import RecordingJob
from spikepipe_core.params import InvalidParamsError, Params, check_sorter_name, merge
from spikepipe_core.produce import produce
from spikepipe_core.sizing import memory_gib, uses_gpu
from spikepipe_core.sorters import BUILT_IN, is_known, known_sorters, registry, sorter_entry
from spikepipe_core.stages import sorters
from spikepipe_core.stages.sorter_run import NothingFoundError, run
from spikepipe_core.stages.sorters import device_of, find_sorter, sorter_arguments
from spikepipe_core.stages.sorting import load_sorting, repeats

JOBS = {"n_jobs": 1, "chunk_duration": "1s", "progress_bar": False}

PACKAGE = """
import json
import numpy as np
from spikeinterface.core import NumpySorting
from spikeinterface.sorters import BaseSorter
from spikepipe_core.sorters import Memory, Sorter


class EveryTenth(BaseSorter):
    sorter_name = "every_tenth"
    handle_multi_segment = False
    installation_mesg = "nothing to install"
    _default_params = {"unit": "a", "period": 1000, "seed": None}
    _params_description = {"unit": "its name", "period": "in samples", "seed": "unused"}

    @classmethod
    def is_installed(cls):
        return True

    @classmethod
    def get_sorter_version(cls):
        return "0.3"

    @classmethod
    def _setup_recording(cls, recording, output_folder, params, verbose):
        pass

    @classmethod
    def _run_from_folder(cls, output_folder, params, verbose):
        recording = cls.load_recording_from_folder(output_folder.parent)
        times = np.arange(0, recording.get_num_samples(), params["period"])
        units = {params["unit"]: times}
        NumpySorting.from_unit_dict([units], recording.sampling_frequency).save(folder=output_folder / "found")

    @classmethod
    def _get_result_from_folder(cls, output_folder):
        from spikeinterface.core import load

        return load(output_folder / "found")


TENTH = Sorter(
    "tenth",
    "every_tenth",
    parameters={"period": 3000},
    gpu=True,
    memory=Memory(1.0, 2.0, 3.0),
    repeats="always",
    wrapper=lambda: EveryTenth,
)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a package with one entry point on the path, as pip would."""

    def put(name="tenth", value="tenth_package:TENTH", source=PACKAGE):
        site = tmp_path / "site"
        info = site / "tenth_package-0.3.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tenth-package\nVersion: 0.3\n")
        (info / "entry_points.txt").write_text(f"[spikepipe.sorters]\n{name} = {value}\n")
        (site / "tenth_package.py").write_text(source)
        monkeypatch.syspath_prepend(str(site))
        assert importlib.metadata.version("tenth-package") == "0.3"
        forget()

    def forget():
        registry._others.cache_clear()
        registry._load.cache_clear()

    yield put
    sys.modules.pop("tenth_package", None)
    ss.sorter_dict.pop("every_tenth", None)
    monkeypatch.undo()
    forget()


# --- entries of another package --------------------------------------------------------------------------------


def test_a_sorter_of_another_package_sorts_with_its_own_defaults_under_the_users(
    preprocessed_session, continued, tiny_params, tmp_path, install
):
    install()
    section = {"sorter": "tenth", "tenth": {"min_drift_channels": 3, "sorter": {"unit": "b"}}}
    params, _ = merge(("file", tiny_params().to_dict()), ("more", {"spikesorting": section}))
    work = continued(preprocessed_session, tmp_path / "results", params)
    made = produce(work.stages["sorting"], work)
    assert made.outcome.reason == "1 units, 120 spikes", "12 s, one each 3000 samples"
    assert list(load_sorting(work).unit_ids) == ["b"]
    assert made.manifest.versions["tenth"] == "0.3"
    assert made.manifest.settings["params"]["sorter"] == {"period": 3000, "unit": "b"}
    kept = json.loads((work.input("sorting") / "sorter_params.json").read_text())
    assert kept["sorter_params"] == {"period": 3000, "unit": "b", "seed": 42}


def test_its_resources_size_the_pod(install):
    install()
    params = Params.model_validate({"spikesorting": {"sorter": "tenth"}})
    job = RecordingJob.model_construct(num_channels=100, duration=7200.0)
    assert memory_gib("sorting", job, params, n_jobs=4) == 1.0 + 2.0 * 4 + 3.0 * 2
    assert uses_gpu("sorting", params)


def test_a_long_thin_recording_gets_what_its_motion_was_measured_to_need():
    job = RecordingJob.model_construct(num_channels=16, duration=4 * 3600.0)
    assert memory_gib("motion", job, Params(), n_jobs=2) > 1.25 * 4.14, "GiB, bench/motion_memory.py"


def test_the_names_of_its_arguments_are_checked(install):
    install()
    wrong = {"spikesorting": {"tenth": {"sorter": {"perod": 5}}}}
    with pytest.raises(
        InvalidParamsError, match=r'spikesorting\.tenth\.sorter\.perod.*did you mean "period"'
    ):
        merge(("file", wrong))


@pytest.mark.parametrize(
    ("value", "source", "words"),
    [
        ("tenth_package:TENTH", "import no_such_thing", "tenth-package.*ModuleNotFoundError.*no_such_thing"),
        ("tenth_package:TENTH", "TENTH = 3", "should be the entry of tenth.*it is a int"),
        (
            "tenth_package:TENTH",
            "from spikepipe_core.sorters import Sorter\nTENTH = Sorter('ninth', 'every_ninth')",
            "it is one of 'ninth'",
        ),
    ],
)
def test_a_broken_entry_is_named_with_its_package(install, value, source, words):
    install(value=value, source=source)
    with pytest.raises(NotAvailableError, match=words):
        find_sorter("tenth")


def test_an_entry_that_names_no_sorter_of_spikeinterface_says_so(install):
    install(source="from spikepipe_core.sorters import Sorter\nTENTH = Sorter('tenth', 'no_such')")
    with pytest.raises(NotAvailableError, match=r"'no_such', which SpikeInterface does not have.*wrapper"):
        find_sorter("tenth")


def test_built_in_sorters_cannot_be_replaced_by_another_package(install):
    install(name="lupin")
    assert sorter_entry("lupin") is BUILT_IN["lupin"]


# --- names -----------------------------------------------------------------------------------------------------


def test_any_sorter_that_spikeinterface_has_is_known_by_its_name():
    assert {"tridesclous2", "mountainsort5", "kilosort3"} <= set(known_sorters())
    assert known_sorters()[:4] == list(BUILT_IN)
    assert "kilosort2_5" not in known_sorters(), "it is kilosort25 here"
    assert sorter_entry("tridesclous2").spikeinterface_name == "tridesclous2"


@pytest.mark.parametrize(("typed", "meant"), [("kilosrt4", "kilosort4"), ("montainsort5", "mountainsort5")])
def test_a_misspelt_sorter_is_told_with_the_closest_name_wherever_it_stands(typed, meant):
    assert not is_known(typed)
    with pytest.raises(InvalidParamsError, match=f'(?s)--sorter.*"{typed}".*did you mean "{meant}"'):
        check_sorter_name(typed, "--sorter")
    with pytest.raises(InvalidParamsError, match=f'spikesorting.sorter = "{typed}".*did you mean "{meant}"'):
        merge(("file", {"spikesorting": {"sorter": typed}}))
    with pytest.raises(InvalidParamsError) as caught:
        merge(("file", {"spikesorting": {typed: {"min_drift_channels": "x"}}}))
    (problem,) = caught.value.problems
    assert problem.path == f"spikesorting.{typed}" and meant in problem.suggestion


def test_a_misspelt_setting_is_still_one(tmp_path):
    with pytest.raises(InvalidParamsError) as caught:
        merge(("file", {"spikesorting": {"sortr": "lupin"}}))
    (problem,) = caught.value.problems
    assert (problem.path, problem.suggestion) == ("spikesorting.sortr", 'did you mean "sorter"?')


def test_settings_of_a_further_sorter_merge_by_key_and_keep_their_defaults():
    params, origins = merge(
        ("one", {"spikesorting": {"tridesclous2": {"min_drift_channels": 3, "sorter": {"debug": True}}}}),
        ("two", {"spikesorting": {"tridesclous2": {"sorter": {"save_array": False}}}}),
    )
    settings = params.spikesorting.settings("tridesclous2")
    assert settings.sorter == {"debug": True, "save_array": False}
    assert settings.min_drift_channels == 3 and settings.raise_if_fails is True
    assert origins["spikesorting.tridesclous2.sorter.save_array"] == "two"
    assert params.spikesorting.settings("mountainsort5").sorter == {}


def test_the_names_of_a_further_sorters_arguments_are_checked():
    wrong = {"spikesorting": {"tridesclous2": {"sorter": {"aply_preprocessing": False}}}}
    with pytest.raises(InvalidParamsError, match='did you mean "apply_preprocessing"'):
        merge(("file", wrong))


def test_drift_correction_of_a_further_sorter_is_switched_off_too():
    entry = sorter_entry("tridesclous2")
    arguments, _ = sorter_arguments(entry, {}, drift_correction=False, job_kwargs=JOBS)
    assert arguments["apply_motion_correction"] is False
    assert arguments["job_kwargs"] == JOBS and "do_correction" not in arguments


# --- containers, devices -----------------------------------------------------------------------------------------


@pytest.fixture
def engines(monkeypatch):
    """Container engines of the machine, as SpikeInterface finds them."""

    def there(*names):
        for name in ("docker", "docker_python", "singularity", "spython"):
            monkeypatch.setattr(
                f"spikeinterface.sorters.utils.misc.has_{name}", lambda name=name: name in names
            )
        monkeypatch.setattr(ss.sorter_dict["kilosort2_5"], "is_installed", classmethod(lambda cls: False))

    return there


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (("singularity", "spython", "docker", "docker_python"), "singularity_image"),
        (("docker", "docker_python"), "docker_image"),
        (("singularity", "docker"), None),
        ((), None),
    ],
)
def test_a_sorter_that_is_not_installed_runs_in_its_container(engines, there, expected):
    engines(*there)
    found = sorters.container_of(BUILT_IN["kilosort25"])
    assert found == ({expected: "spikeinterface/kilosort2_5-compiled-base"} if expected else {})
    if expected:
        assert find_sorter("kilosort25") is BUILT_IN["kilosort25"]
    else:
        with pytest.raises(NotAvailableError, match=r"kilosort25 cannot run.*ks2_5_compiled.*container"):
            find_sorter("kilosort25")


def test_the_image_can_be_another_one_and_reaches_spikeinterface(engines, monkeypatch, tmp_path):
    engines("singularity", "spython")
    monkeypatch.setenv("SPIKEPIPE_SORTER_IMAGE", "/images/ks25.sif")
    calls = []
    monkeypatch.setattr(ss, "run_sorter", lambda *_, **arguments: calls.append(arguments))
    run(tiny_recording(), BUILT_IN["kilosort25"], {"car": True}, tmp_path / "work")
    assert calls[0]["singularity_image"] == "/images/ks25.sif"
    assert calls[0]["folder"] == tmp_path / "work/run" and calls[0]["car"] is True


def test_an_installed_sorter_needs_no_container(engines, monkeypatch):
    engines("docker", "docker_python")
    assert sorters.container_of(BUILT_IN["lupin"]) == {}
    monkeypatch.setenv("SPIKEPIPE_SORTER_IMAGE", "some/image")
    assert sorters.container_of(BUILT_IN["lupin"]) == {}


def test_the_device_is_found_and_told(monkeypatch):
    torch = pytest.importorskip("torch")
    kilosort4 = BUILT_IN["kilosort4"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of(kilosort4, {"torch_device": "auto"}) == "cpu"
    assert device_of(BUILT_IN["lupin"], {}) == "cpu"
    with pytest.raises(NotAvailableError, match=r"kilosort4\.sorter\.torch_device = 'cuda:1'"):
        device_of(kilosort4, {"torch_device": "cuda:1"})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100")
    assert device_of(kilosort4, {"torch_device": "auto"}) == "cuda (NVIDIA H100)"
    assert device_of(kilosort4, {"torch_device": "cpu"}) == "cpu"
    with pytest.raises(NotAvailableError, match="no such GPU"):
        device_of(kilosort4, {"torch_device": "cuda:1"})
    assert repeats(kilosort4, "cpu") == "yes" and "GPU" in repeats(kilosort4, "cuda (NVIDIA H100)")
    assert repeats(sorter_entry("tridesclous2"), "cpu") == "not known of this sorter"


def test_a_pod_asks_for_no_gpu_where_the_params_say_cpu():
    section = {"sorter": "kilosort4", "kilosort4": {"sorter": {"torch_device": "cpu"}}}
    assert not uses_gpu("sorting", Params.model_validate({"spikesorting": section}))
    assert uses_gpu("sorting", Params())


# --- errors ------------------------------------------------------------------------------------------------------

FRAMES = """Traceback (most recent call last):
  File "a.py", line 1, in run
    step()
  File "b.py", line 2, in step
"""


def tiny_recording():
    return si.generate_recording(num_channels=4, durations=[1.0], sampling_frequency=30_000.0)


def failing(monkeypatch, text):
    def run_sorter(*_, **__):
        raise SpikeSortingError(
            f"Spike sorting error trace:\n{FRAMES}{text}\nSpike sorting failed. You can inspect it."
        )

    monkeypatch.setattr(ss, "run_sorter", run_sorter)


@pytest.mark.parametrize(
    ("sorter", "text", "error", "words"),
    [
        (
            "lupin",
            "Exception: it broke\nand then\nmore",
            StageFailedError,
            r"^lupin failed: Exception: it broke$",
        ),
        (
            "lupin",
            "numba.core.errors.TypingError: Failed in nopython mode pipeline\n\n"
            + "No implementation of\n" * 500,
            StageFailedError,
            r"^lupin failed: numba.core.errors.TypingError: Failed in nopython mode pipeline$",
        ),
        (
            "kilosort4",
            "torch.OutOfMemoryError: CUDA out of memory. " + "Tried to allocate 20.00 GiB " * 50,
            StageFailedError,
            r"^kilosort4 failed: torch.OutOfMemoryError: CUDA.{200,280}…\. Set clear_cache to true, lower batch_size",
        ),
        (
            "kilosort4",
            "ValueError: No spikes detected, cannot continue sorting.",
            NothingFoundError,
            "^too few spikes to sort$",
        ),
        (
            "spykingcircus2",
            "AssertionError: Prototype should have a negative peak",
            NothingFoundError,
            "^too few spikes to sort$",
        ),
        ("spykingcircus2", "MemoryError", MemoryError, "spykingcircus2: MemoryError"),
        (
            "spykingcircus2",
            "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 64. GiB",
            MemoryError,
            "64. GiB",
        ),
        ("lupin", "OSError: [Errno 28] No space left on device", OSError, "No space left"),
    ],
)
def test_what_went_wrong_is_told_in_one_line(monkeypatch, tmp_path, sorter, text, error, words):
    failing(monkeypatch, text)
    with pytest.raises(error, match=words) as caught:
        run(tiny_recording(), BUILT_IN[sorter], {}, tmp_path / "work")
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


def test_what_spikeinterface_refuses_before_the_sorter_starts_is_told_too(tmp_path):
    with pytest.raises(
        StageFailedError, match=r"lupin failed: ValueError: Invalid parameters: \['no_such'\]"
    ):
        run(tiny_recording(), sorter_entry("lupin"), {"no_such": 1}, tmp_path / "work")


def test_flat_traces_are_nothing_found_whatever_the_sorter_says(tmp_path):
    """Tridesclous 2 divides by zero."""
    flat = si.NumpyRecording([np.zeros((30_000, 8), dtype="int16")], 30_000.0)
    flat.set_dummy_probe_from_locations(np.c_[np.zeros(8), 20.0 * np.arange(8)])
    flat = flat.save(folder=tmp_path / "traces", verbose=False)
    with pytest.raises(NothingFoundError, match="the traces are flat"):
        run(flat, sorter_entry("tridesclous2"), {"job_kwargs": JOBS}, tmp_path / "work")


# --- the sorters themselves --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tridesclous2", "mountainsort5"])
def test_a_sorter_without_an_entry_sorts(
    preprocessed_session, continued, tiny_params, demo_data, tmp_path, name
):
    """Some 5 s each."""
    if not ss.sorter_dict[name].is_installed():
        pytest.skip(f"{name} is not installed")
    from spikeinterface.comparison import compare_sorter_to_ground_truth

    work = continued(preprocessed_session, tmp_path / "results", tiny_params(spikesorting={"sorter": name}))
    made = produce(work.stages["sorting"], work)
    assert made.manifest.summary["sorter"] == name
    assert made.manifest.summary["repeats"] == "not known of this sorter"
    truth, _ = read_ground_truth(ground_truth_folder(demo_data, "imec0"))
    accuracy = compare_sorter_to_ground_truth(truth, load_sorting(work)).get_performance()["accuracy"]
    assert accuracy.max() > 0.6
