"""``--<step>_args``: the AIND pipeline's command lines work as they are, any key can be named, and typos are told."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from pathlib import Path

import pytest

from spikepipe_assets.step_arguments import (
    STEP_OPTIONS,
    add_step_arguments,
    join_step_arguments,
    step_overrides,
)
from spikepipe_assets.step_flags import known_flags
from spikepipe_core.errors import ParamsError
from spikepipe_core.params import InvalidParamsError, merge

SPEC = Path(__file__).resolve().parents[2] / "shared" / "spec" / "parameters.txt"


def overrides(*arguments: str) -> dict:
    parser = argparse.ArgumentParser()
    for flag in ("--n_jobs", "--sorter"):
        parser.add_argument(flag)
    add_step_arguments(parser)
    return step_overrides(parser.parse_args(join_step_arguments(arguments)))


def said(step: str, text: str) -> dict:
    return overrides(f"--{step}_args={text}")


def problems(step: str, text: str) -> list[str]:
    with pytest.raises(InvalidParamsError) as caught:
        said(step, text)
    return [str(problem) for problem in caught.value.problems]


FULL_EXAMPLE = {
    "job_dispatch": {"input": "spikeglx", "debug": True, "debug_duration": 120},
    "preprocessing": {
        "motion_correction": {"compute": True, "apply": False, "preset": "nonrigid_fast_and_accurate"}
    },
    "nwb": {"ecephys": {"write_lfp": False}},
}


def test_the_documents_full_example_works_letter_for_letter():
    if not SPEC.is_file():
        pytest.skip(f"the document of the params is not at {SPEC}")
    command = re.search(r"run main_multi_backend\.nf \\\n((?:--.*\n)+)", SPEC.read_text())
    assert overrides(*shlex.split(command[1].replace("\\\n", " "))) == FULL_EXAMPLE


@pytest.mark.parametrize("joint", ["=", " "])
def test_the_full_example_with_either_way_of_giving_a_value(joint):
    command = (
        f'--n_jobs 16 --sorter kilosort4 --job_dispatch_args{joint}"--input spikeglx --debug --debug-duration 120"'
        f' --preprocessing_args{joint}"--motion compute --motion-preset nonrigid_fast_and_accurate"'
        f' --nwb_ecephys_args{joint}"--skip-lfp"'
    )
    assert overrides(*shlex.split(command)) == FULL_EXAMPLE


SORTERS = ("kilosort4", "kilosort25", "spykingcircus2", "lupin")
EVERY_SORTER = {
    sorter: {"skip_motion_correction": True, "min_drift_channels": 96, "raise_if_fails": True}
    for sorter in SORTERS
}

KNOWN = [
    ("job_dispatch", "--no-split-segments", {"split_segments": False}),
    ("job_dispatch", "--no-split-groups", {"split_groups": False}),
    ("job_dispatch", "--skip-timestamps-check", {"skip_timestamps_check": True}),
    ("job_dispatch", "--multi-session", {"multi_session": True}),
    ("job_dispatch", "--min-recording-duration -1", {"min_recording_duration": -1}),
    ("job_dispatch", "--nwb-files a.nwb,b.nwb", {"nwb_files": "a.nwb,b.nwb"}),
    ("job_dispatch", "--debug false", {"debug": False}),
    ("job_dispatch", "--debug=True", {"debug": True}),
    ("preprocessing", "--denoising destripe", {"denoising_strategy": "destripe"}),
    ("preprocessing", "--denoising cmr", {"denoising_strategy": "cmr"}),
    ("preprocessing", "--denoising_strategy cmr", {"denoising_strategy": "cmr"}),
    ("preprocessing", "--filter-type bandpass", {"filter_type": "bandpass"}),
    ("preprocessing", "--no-remove-out-channels", {"remove_out_channels": False}),
    ("preprocessing", "--no-remove-bad-channels", {"remove_bad_channels": False}),
    ("preprocessing", "--max-bad-channel-fraction 0.3", {"max_bad_channel_fraction": 0.3}),
    ("preprocessing", "--motion skip", {"motion_correction": {"compute": False, "apply": False}}),
    ("preprocessing", "--motion apply", {"motion_correction": {"compute": True, "apply": True}}),
    ("preprocessing", "--motion.preset dredge", {"motion_correction": {"preset": "dredge"}}),
    (
        "preprocessing",
        "--motion-temporal-bin-s 2.0",
        {"motion_correction": {"estimate_motion_kwargs": {"bin_s": 2.0}}},
    ),
    ("preprocessing", "--t-start 10 --t-stop 60.5", {"t_start": 10, "t_stop": 60.5}),
    ("preprocessing", "--t-start ''", {"t_start": None}),
    ("preprocessing", "--min-duration-for-preprocessing 60", {"min_preprocessing_duration": 60}),
    ("preprocessing", "--custom_preprocessing_pipeline {}", {"custom_preprocessing_pipeline": {}}),
    (
        "preprocessing",
        "--detect-bad-channels.n-neighbors 5 --highpass_spatial_filter.n_channel_taper null",
        {"detect_bad_channels": {"n_neighbors": 5}, "highpass_spatial_filter": {"n_channel_taper": None}},
    ),
    (
        "preprocessing",
        '--motion_correction {"preset": "dredge"} --motion compute',
        {"motion_correction": {"preset": "dredge", "compute": True, "apply": False}},
    ),
    (
        "spikesorting",
        "--skip-motion-correction --min-drift-channels 96 --raise-if-fails",
        EVERY_SORTER,
    ),
    ("spikesorting", "--clear-cache", {"kilosort4": {"clear_cache": True}}),
    ("spikesorting", "--kilosort4.sorter.Th_universal 8", {"kilosort4": {"sorter": {"Th_universal": 8}}}),
    ("spikesorting", "--sorter lupin", {"sorter": "lupin"}),
    ("postprocessing", "--use-motion-corrected", {"use_motion_corrected": True}),
    ("postprocessing", "--no-return_in_uV", {"return_in_uV": False}),
    (
        "postprocessing",
        "--skip-extensions spike_locations,principal_components",
        {"extensions": {"spike_locations": None, "principal_components": None}},
    ),
    (
        "postprocessing",
        '--extensions.quality_metrics.metric_params.snr.peak-sign pos --sparsity={"method": "snr"}',
        {
            "extensions": {"quality_metrics": {"metric_params": {"snr": {"peak_sign": "pos"}}}},
            "sparsity": {"method": "snr"},
        },
    ),
    (
        "curation",
        "--query 'snr > 5 and l_ratio < 1' --sua_mua_classifier null",
        {"query": "snr > 5 and l_ratio < 1", "sua_mua_classifier": None},
    ),
    ("curation", "--noise-neural-classifier None", {"noise_neural_classifier": None}),
    ("visualization", "--drift.n_skip 3 --drift.cmap 7", {"drift": {"n_skip": 3, "cmap": "7"}}),
    (
        "nwb_ecephys",
        "--backend hdf5 --stub --stub-seconds 5 --write-raw",
        {"backend": "hdf5", "stub": True, "stub_seconds": 5, "write_raw": True},
    ),
    (
        "nwb_ecephys",
        "--lfp_temporal_factor 1 --lfp_spatial_factor 8 --lfp-highpass-freq-min 0 --lfp.sampling_rate 1250",
        {
            "lfp_temporal_factor": 1,
            "lfp_spatial_factor": 8,
            "lfp_highpass_freq_min": 0,
            "lfp": {"sampling_rate": 1250},
        },
    ),
    (
        "nwb_ecephys",
        '--surface_channel_agar_probes_indices {"ProbeA": 350}',
        {"surface_channel_agar_probes_indices": {"ProbeA": 350}},
    ),
]


@pytest.mark.parametrize(("step", "text", "expected"), KNOWN, ids=[text for _, text, _ in KNOWN])
def test_known_flags(step, text, expected):
    section = said(step, text)
    section = section["nwb"]["ecephys"] if step == "nwb_ecephys" else section[step]
    assert section == expected
    merge(("the command line", said(step, text)))


def test_a_sorters_argument_goes_to_the_sorters_that_know_it():
    arguments = said("spikesorting", "--sorter.keep_good_only true")["spikesorting"]
    assert arguments == {
        "kilosort4": {"sorter": {"keep_good_only": True}},
        "kilosort25": {"sorter": {"keep_good_only": True}},
    }


@pytest.mark.parametrize("step", STEP_OPTIONS)
def test_every_key_of_a_section_can_be_named(step):
    flags = known_flags(step)
    assert len(flags) > 3
    for flag in flags:
        with pytest.raises(InvalidParamsError) as caught:
            said(step, f"--{flag} --no-such-flag")
        assert not any(f"--{flag}:" in str(p) and "unknown" in p.message for p in caught.value.problems)


SIMPLE = {
    "job_dispatch": "--debug",
    "nwb_ecephys": "--stub",
}


@pytest.mark.parametrize(
    ("step", "option"), [(step, name) for step, names in STEP_OPTIONS.items() for name in names]
)
def test_every_spelling_of_the_options(step, option):
    flag = SIMPLE.get(step, "--job_kwargs.progress_bar")
    assert overrides(f"{option}={flag}") == overrides(option, flag) != {}


def test_spikeinterface_info_as_json_or_as_a_file(tmp_path):
    info = {"reader_type": "intan", "reader_kwargs": {"file_path": "a b.rhd"}}
    file = tmp_path / "info.json"
    file.write_text(json.dumps(info))
    for text in (json.dumps(info), f"'{json.dumps(info)}'", str(file)):
        found = said("job_dispatch", f"--input spikeinterface --spikeinterface-info {text} --debug")
        assert found["job_dispatch"] == {
            "input": "spikeinterface",
            "spikeinterface_info": info,
            "debug": True,
        }
    file.write_text('{"reader": "intan"}')
    assert "unknown key" in problems("job_dispatch", f"--spikeinterface-info {file}")[0]
    assert "no such file" in problems("job_dispatch", "--spikeinterface-info elsewhere.json")[0]


def test_keys_of_older_layouts_are_translated(caplog):
    found = said("curation", '--qc_thresholds {"snr": {"greater": 4}} --unitrefine.sua_mua_classifier null')
    assert found == {"curation": {"query": "snr >= 4", "sua_mua_classifier": None}}
    assert "qc_thresholds became" in caplog.text


def test_an_option_may_be_given_several_times_and_the_latest_value_wins():
    found = overrides("--visualization_args=--drift.n_skip 3", "--visualization_kwargs=--drift.n_skip 4")
    assert found == {"visualization": {"drift": {"n_skip": 4}}}
    assert overrides() == {}


def test_all_that_is_wrong_is_told_at_once_with_the_flag_and_the_closest_one():
    told = problems(
        "preprocessing",
        "--motion comput --motion-prest dredge --preset dredge --motion-preset dredge_fst --max-bad-channel-fraction 2"
        " --denoising --skip-lfp --n-jobs 4 --t_start 5 seconds --detect_kwargs {a:1} --query 'x",
    )
    assert [line.removeprefix("--preprocessing_args ").split(" ", 1)[0].rstrip(":") for line in told] == [
        "--motion",
        "--motion-prest",
        "--preset",
        "--motion-preset",
        "--max-bad-channel-fraction",
        "--denoising",
        "--skip-lfp",
        "--n-jobs",
        "--t_start",
        "--detect_kwargs",
        "--query",
    ]
    expected = [
        'did you mean "compute"?',
        'did you mean "--motion-preset"?',
        'did you mean "--motion_correction.preset"?',
        'did you mean "dredge_fast"?',
        "less than or equal to 1",
        "needs a value: one of cmr, destripe",
        "it belongs into --nwb_ecephys_args",
        "--n_jobs on the command line",
        "belongs to no flag",
        "keep its double quotes",
        "the quote is not closed",
    ]
    for line, part in zip(told, expected, strict=True):
        assert part in line


@pytest.mark.parametrize(
    ("step", "text", "part"),
    [
        ("postprocessing", "--skip-extensions spike_location", 'did you mean "spike_locations"?'),
        ("postprocessing", "--skip-extensions templates", "cannot be left out"),
        (
            "postprocessing",
            "--extensions.waveform.ms_before 1",
            'did you mean "--extensions.waveforms.ms_before"?',
        ),
        ("spikesorting", "--sorter kilosort44", 'did you mean "kilosort4"?'),
        ("spikesorting", "--kilosort4.min_drift_chanels 3", "kilosort4.min_drift_channels"),
        ("nwb_ecephys", "--skip-lfp perhaps", "is a switch"),
        ("nwb_ecephys", "--lfp_temporal_factor 2.5", "a whole number"),
        ("job_dispatch", "--no-input", "unknown flag"),
        ("job_dispatch", "spikeglx", "belongs to no flag"),
    ],
)
def test_errors_name_what_is_allowed(step, text, part):
    assert part in problems(step, text)[0]


def test_errors_are_params_errors():
    with pytest.raises(ParamsError, match="--nwb_ecephys_args"):
        said("nwb_ecephys", "--nonsense")
