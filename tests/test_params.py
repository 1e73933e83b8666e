"""The params contract: the documented defaults, layers, errors, run modes, exports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from spikepipe_core.errors import ParamsError
from spikepipe_core.params import (
    BUILT_IN,
    InvalidParamsError,
    Params,
    apply_runmode,
    check_sorter_params,
    default_params,
    json_schema,
    load_params,
    merge,
    parse_params,
    resolve_sorter,
)
from spikepipe_core.params.export import exported_texts
from spikepipe_core.params.metrics import SLOW_METRIC_COLUMNS
from spikepipe_core.params.structure import all_paths

SPEC = Path(__file__).resolve().parents[2] / "shared" / "spec" / "parameters.txt"

BEYOND_THE_DOCUMENT = {
    "job_dispatch.allow_paths_outside_data",
    "job_dispatch.spikeinterface_info.session_names",
    "job_dispatch.min_recording_duration",
    "job_dispatch.nwb_files",
    "nwb.allow_partial",
    *(
        f"curation.{key}"
        for key in (
            "bombcell",
            "bombcell.noise",
            "bombcell.mua",
            "bombcell.non-somatic",
            "noise_strategy",
            "slay",
            "slay.slay",
            "slay.slay.k1",
            "slay.slay.k2",
            "slay.slay.slay_threshold",
            "slay.template_similarity",
            "slay.template_similarity.templates_diff",
        )
    ),
    "postprocessing.extensions.amplitude_scalings",
    "postprocessing.extensions.template_metrics.sparsity.method",
    "postprocessing.extensions.template_metrics.sparsity.radius_um",
    "postprocessing.extensions.valid_unit_periods",
    "preprocessing.t_start",
    "preprocessing.t_stop",
    "preprocessing.remove_stimulation_artifacts",
    *(
        f"preprocessing.remove_stimulation_artifacts.{key}"
        for key in ("events_file", "events", "edge", "times_from", "ms_before", "ms_after", "mode")
    ),
    "preprocessing.blank_saturation",
    *(
        f"preprocessing.blank_saturation.{key}"
        for key in ("saturation_threshold_uV", "diff_threshold_uV", "proportion", "ms_before", "ms_after")
    ),
}
"""Keys of ours that the document of the params file does not have (a sorter's own and job_kwargs' apart)."""


def documented_sections() -> dict:
    """Parse the JSON blocks of the document: section name -> documented defaults."""
    if not SPEC.is_file():
        pytest.skip(f"the document of the params file is not at {SPEC}")
    text = SPEC.read_text()
    blocks = {}
    for match in re.finditer(r"^Parameter file section \(`*([\w.]+)`*\):\n", text, re.MULTILINE):
        block = re.sub(r"//.*", "", text[match.end() :])
        block = re.sub(r",(\s*[}\]])", r"\1", block)
        blocks[match.group(1)], _ = json.JSONDecoder().raw_decode(block)
    return blocks


def problems_of(raw: dict) -> dict:
    with pytest.raises(InvalidParamsError) as caught:
        parse_params(raw, "my.json")
    assert "my.json" in str(caught.value)
    return {problem.path: problem for problem in caught.value.problems}


def at(node: dict, path: str):
    for key in path.split("."):
        node = node[key]
    return node


def leaves(node, path=()):
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from leaves(value, (*path, key))
    else:
        yield ".".join(path), node


# --- the contract --------------------------------------------------------------------------------------------------


def test_every_documented_key_has_the_documented_default():
    sections = documented_sections()
    assert set(sections) == {
        "job_dispatch", "preprocessing", "spikesorting", "postprocessing", "curation", "nwb.ecephys", "visualization",
    }  # fmt: skip
    sorter_block = sections["spikesorting"].pop("{sorter_name}")
    ours = default_params()
    for section, documented in sections.items():
        for path, value in leaves(documented):
            assert at(ours, f"{section}.{path}") == value, f"{section}.{path}"
    for name in ("kilosort4", "kilosort25", "spykingcircus2"):
        settings = ours["spikesorting"][name]
        for path, value in leaves(sorter_block):
            if path not in ("sorter", "clear_cache"):
                assert at(settings, path) == value, f"{name}.{path}"
        assert ("clear_cache" in settings) == (name == "kilosort4")


def test_no_key_of_ours_is_beyond_the_document_but_those_listed():
    documented = documented_sections()
    known = {f"{section}.{path}" for section, block in documented.items() for path, _ in leaves(block)}
    known |= {".".join(path.split(".")[:n]) for path in known for n in range(1, path.count(".") + 1)}
    ours = {".".join(path) for path in all_paths(Params) if path[0] not in ("spikesorting", "$schema")}
    prose = SPEC.read_text()  # the parts of spikeinterface_info are documented in words
    known |= {path for path in ours if ".spikeinterface_info." in path and path.split(".")[-1] in prose}
    extra = {path for path in ours - known if not path.endswith("job_kwargs.mp_context")}
    assert extra == BEYOND_THE_DOCUMENT


def test_the_documents_own_blocks_load_as_one_file(tmp_path):
    sections = documented_sections()
    raw = {name: block for name, block in sections.items() if name != "nwb.ecephys"}
    raw["nwb"] = {"ecephys": sections["nwb.ecephys"]}
    raw["spikesorting"] = {"sorter": None, "kilosort4": raw["spikesorting"]["{sorter_name}"]}
    file = tmp_path / "params.json"
    file.write_text(json.dumps(raw))
    loaded = load_params(file).to_dict()
    assert loaded["spikesorting"]["kilosort4"].pop("sorter") == {}  # empty in the document: the sorter's own
    expected = default_params()
    del expected["spikesorting"]["kilosort4"]["sorter"]
    assert loaded == expected
    jsonschema.Draft7Validator(json_schema()).validate(raw)


def test_defaults_are_the_same_built_in_and_read_from_a_file():
    whole = default_params()
    assert json.dumps(parse_params({}, "empty").to_dict()) == json.dumps(whole)
    assert json.dumps(parse_params(whole, "whole").to_dict()) == json.dumps(whole)


def test_params_are_immutable():
    with pytest.raises(ValueError, match="frozen"):
        Params().curation.query = "snr > 3"


def test_importing_the_params_does_not_import_spikeinterface():
    code = "import sys, spikepipe_core.params as p; p.parse_params({}, 'x'); sys.exit('spikeinterface' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- layers --------------------------------------------------------------------------------------------------------


def test_the_strongest_layer_that_gives_a_key_wins_and_is_named():
    params, origins = merge(
        ("deployment.json", {"preprocessing": {"filter_type": "bandpass", "denoising_strategy": "destripe"}}),
        ("spikepipe_params.json", {"preprocessing": {"bandpass_filter": {"freq_max": 5000}}}),
        ("command line", {"preprocessing": {"denoising_strategy": "cmr"}}),
    )
    assert params.preprocessing.filter_type == "bandpass"
    assert params.preprocessing.denoising_strategy == "cmr"
    assert params.preprocessing.bandpass_filter.freq_max == 5000
    assert origins["preprocessing.filter_type"] == "deployment.json"
    assert origins["preprocessing.bandpass_filter.freq_max"] == "spikepipe_params.json"
    assert origins["preprocessing.denoising_strategy"] == "command line"
    assert origins["preprocessing.bandpass_filter.freq_min"] == BUILT_IN
    assert set(origins) == {path for path, _ in leaves(params.to_dict())}


def test_free_objects_merge_by_key_and_an_empty_one_clears():
    weak = {"preprocessing": {"motion_correction": {"estimate_motion_kwargs": {"bin_s": 2.0}}}}
    params, _ = merge(("weak", weak))
    motion = params.preprocessing.motion_correction
    assert motion.estimate_motion_kwargs == {"win_step_norm": 0.1, "win_scale_norm": 0.1, "bin_s": 2.0}

    cleared = {"preprocessing": {"motion_correction": {"estimate_motion_kwargs": {}}}}
    params, origins = merge(("weak", weak), ("strong", cleared))
    assert params.preprocessing.motion_correction.estimate_motion_kwargs == {}
    assert origins["preprocessing.motion_correction.estimate_motion_kwargs"] == "strong"


def test_an_empty_object_with_known_keys_changes_nothing():
    params, _ = merge(("file", {"postprocessing": {"extensions": {"templates": {}, "waveforms": {}}}}))
    assert params == Params()


def test_an_extension_is_left_out_by_null_and_comes_back_with_an_object():
    without = {"postprocessing": {"extensions": {"spike_locations": None}}}
    params, _ = merge(("a", without))
    assert "spike_locations" not in params.postprocessing.extensions.requested()
    again = {"postprocessing": {"extensions": {"spike_locations": {}}}}
    params, _ = merge(("a", without), ("b", again))
    requested = params.postprocessing.extensions.requested()
    assert requested["spike_locations"] == {"method": "grid_convolution"}
    assert requested["amplitude_scalings"] == {}


def test_a_custom_pipeline_is_replaced_whole():
    step = {"preprocessing": {"custom_preprocessing_pipeline": {"highpass_filter": {"freq_min": 500.0}}}}
    other = {"preprocessing": {"custom_preprocessing_pipeline": {"common_reference": {}}}}
    params, _ = merge(("a", step), ("b", other))
    assert params.preprocessing.custom_preprocessing_pipeline == {"common_reference": {}}
    params, _ = merge(("a", step), ("b", {"preprocessing": {"custom_preprocessing_pipeline": {}}}))
    assert params.preprocessing.custom_preprocessing_pipeline == {}


def test_spikeinterface_info_may_be_json_text():
    text = '{"reader_type": "intan", "reader_kwargs": {"file_path": "a.rhd"}}'
    params = parse_params({"job_dispatch": {"input": "spikeinterface", "spikeinterface_info": text}}, "x")
    assert params.job_dispatch.spikeinterface_info.reader_kwargs == {"file_path": "a.rhd"}


def test_agar_indices_are_read_from_text_and_object():
    for value in ('{"ProbeA": 350}', {"ProbeA": 350}):
        params = parse_params({"nwb": {"ecephys": {"surface_channel_agar_probes_indices": value}}}, "x")
        assert params.nwb.ecephys.surface_channels() == {"ProbeA": 350}
    assert Params().nwb.ecephys.surface_channels() == {}


def test_the_files_sorter_wins_over_the_command_line():
    assert resolve_sorter(Params()) == "kilosort4"
    assert resolve_sorter(Params(), "spykingcircus2") == "spykingcircus2"
    chosen = parse_params({"spikesorting": {"sorter": "lupin"}}, "x")
    assert resolve_sorter(chosen, "spykingcircus2") == "lupin"


# --- errors --------------------------------------------------------------------------------------------------------


def test_typos_at_every_level_are_named_with_the_closest_key_all_at_once():
    found = problems_of(
        {
            "preprocesing": {},
            "preprocessing": {"filter_typ": "highpass", "highpass_filter": {"freq_mn": 1}, "freq_max": 3},
            "spikesorting": {"kilosort4": {"clear_cash": True, "sorter": {"Th_universl": 9}}},
            "postprocessing": {
                "extensions": {
                    "waveform": {},
                    "random_spikes": {"max_spikes_per_unt": 3},
                    "quality_metrics": {
                        "metric_names": ["snrr"],
                        "metric_params": {"drift": {"intervl_s": 60}},
                    },
                }
            },
            "nwb": {"ecephys": {"lfp": {"filter": {"freqmax": 500}}}},
        }
    )
    expected = {
        "preprocesing": "preprocessing",
        "preprocessing.filter_typ": "filter_type",
        "preprocessing.highpass_filter.freq_mn": "freq_min",
        "preprocessing.freq_max": "preprocessing.bandpass_filter.freq_max",
        "spikesorting.kilosort4.clear_cash": "clear_cache",
        "spikesorting.kilosort4.sorter.Th_universl": "Th_universal",
        "postprocessing.extensions.waveform": "waveforms",
        "postprocessing.extensions.random_spikes.max_spikes_per_unt": "max_spikes_per_unit",
        "postprocessing.extensions.quality_metrics.metric_names.0": "snr",
        "postprocessing.extensions.quality_metrics.metric_params.drift.intervl_s": "interval_s",
        "nwb.ecephys.lfp.filter.freqmax": "freq_max",
    }
    assert set(found) == set(expected)
    for path, suggestion in expected.items():
        assert suggestion in found[path].suggestion, path


@pytest.mark.parametrize(
    ("path", "value", "allowed"),
    [
        ("preprocessing.highpass_filter.freq_min", "300", "number"),
        ("preprocessing.highpass_filter.freq_min", 0, "greater than 0"),
        ("preprocessing.highpass_filter.freq_min", True, "number"),
        ("preprocessing.max_bad_channel_fraction", 1.5, "less than or equal to 1"),
        ("preprocessing.filter_type", None, "'highpass' or 'bandpass'"),
        ("preprocessing.t_stop", 0, "greater than 0"),
        ("preprocessing.bandpass_filter", {"freq_min": 7000}, "must be below"),
        ("preprocessing.job_kwargs.chunk_duration", "1 minute", "pattern"),
        ("preprocessing.detect_bad_channels.n_neighbors", 1.5, "whole number"),
        ("preprocessing.custom_preprocessing_pipeline", {"highpas_filter": {}}, "preprocessing step"),
        ("job_dispatch.input", "spike_glx", "'spikeglx'"),
        ("job_dispatch.spikeinterface_info", "{nope", "no valid JSON"),
        ("job_dispatch.nwb_files", 3, "a string, or must be a list"),
        ("postprocessing.extensions.random_spikes", None, "object"),
        ("postprocessing.sparsity.num_chanels", 5, "sparsity"),
        ("visualization.drift.figsize", [10], "at least 2 items"),
        ("nwb.ecephys.surface_channel_agar_probes_indices", '{"ProbeA": -1}', "channel indices"),
        ("nwb.ecephys.backend", "hdf", "'zarr' or 'hdf5'"),
        ("curation", [], "object"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(path, value, allowed):
    raw: dict = {}
    node = raw
    *parents, last = path.split(".")
    for key in parents:
        node = node.setdefault(key, {})
    node[last] = value
    found = problems_of(raw)
    problem = next(p for name, p in found.items() if name == path or name.startswith(f"{path}."))
    assert allowed in problem.message
    assert problem.origin == "my.json" or isinstance(value, dict)


def test_a_missing_required_key_is_said():
    found = problems_of({"job_dispatch": {"spikeinterface_info": {"reader_kwargs": {}}}})
    assert str(found["job_dispatch.spikeinterface_info.reader_type"]).endswith(
        "reader_type (from my.json): is required"
    )


def test_whole_floats_are_integers_as_in_json_schema():
    params = parse_params({"visualization": {"drift": {"n_skip": 20.0}}}, "x")
    assert params.visualization.drift.n_skip == 20
    assert isinstance(params.visualization.drift.n_skip, int)


@pytest.mark.parametrize("sorter", ["kilosort4", "kilosort25", "spykingcircus2", "lupin"])
def test_the_default_sorter_arguments_are_known_to_spikeinterface(sorter):
    from spikeinterface.sorters import get_default_sorter_params

    from spikepipe_core.sorters import sorter_entry

    entry = sorter_entry(sorter)
    installed = get_default_sorter_params(entry.spikeinterface_name)
    assert {*entry.parameters, *entry.known_parameters} <= set(installed)
    ours = Params().spikesorting.settings(sorter).sorter
    assert [
        key
        for key, value in ours.items()
        if value is None and installed[key] is not None and key != "preprocessing_dict"
    ] == []


def test_sorter_arguments_are_checked_on_demand():
    check_sorter_params(Params())
    wrong = Params().to_dict()
    wrong["spikesorting"]["spykingcircus2"]["sorter"]["min_firing_rat"] = 1
    with pytest.raises(InvalidParamsError, match='did you mean "min_firing_rate"'):
        check_sorter_params(Params.model_validate(wrong))


def test_every_installed_metric_can_be_asked_for():
    from spikeinterface.metrics.quality import get_quality_metric_list

    names = get_quality_metric_list()
    extensions = {"quality_metrics": {"metric_names": names}}
    parse_params({"postprocessing": {"extensions": extensions}}, "x")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"curation": {"query": null},}', "line 1, column 30"),
        (b'{"curation": {}, "curation": {}}', '"curation" stands twice'),
        (b'{"visualization": {"drift": {"vmin": NaN}}}', "NaN is no number"),
        (b"[1, 2]", "list, not an object"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"{}" + b" " * (5 * 2**20), "more than the"),
    ],
)
def test_a_file_that_is_no_params_file_is_refused_by_name(tmp_path, content, says):
    file = tmp_path / "my_params.json"
    file.write_bytes(content)
    with pytest.raises(ParamsError, match=re.escape(says)) as caught:
        load_params(file)
    assert str(file) in str(caught.value)


def test_a_missing_file_and_a_folder_are_said(tmp_path):
    with pytest.raises(ParamsError, match="there is no params file"):
        load_params(tmp_path / "nowhere.json")
    with pytest.raises(ParamsError, match="is a folder"):
        load_params(tmp_path)


def test_a_byte_order_mark_does_no_harm(tmp_path):
    file = tmp_path / "params.json"
    file.write_bytes(b"\xef\xbb\xbf" + b'{"$schema": "./x.json", "curation": {"query": ""}}')
    assert load_params(file).curation.query == ""


# --- run modes and data versions -----------------------------------------------------------------------------------


def test_fast_leaves_out_the_slow_steps_and_nothing_else():
    user = {
        "preprocessing": {
            "motion_correction": {"apply": True, "preset": "dredge"},
            "filter_type": "bandpass",
        },
        "postprocessing": {"extensions": {"waveforms": {"ms_before": 1.0}}},
        "nwb": {"ecephys": {"backend": "hdf5"}},
    }
    params = parse_params(user, "x")
    fast, changes = apply_runmode(params, "fast")
    changed = {
        path
        for path, value in leaves(params.to_dict())
        if dict(leaves(fast.to_dict())).get(path, None) != value
    }
    assert changed == {
        "preprocessing.motion_correction.compute",
        "preprocessing.motion_correction.apply",
        "postprocessing.extensions.spike_locations.method",
        "postprocessing.extensions.principal_components.n_components",
        "postprocessing.extensions.principal_components.mode",
        "postprocessing.extensions.principal_components.whiten",
        "postprocessing.extensions.quality_metrics.metric_names",
        "curation.noise_neural_classifier",
        "curation.sua_mua_classifier",
        "nwb.ecephys.write_lfp",
    }
    assert len(changes) == 8
    assert any(
        "drift, isolation_distance, l_ratio, d_prime, nearest_neighbor, silhouette" in c for c in changes
    )
    assert apply_runmode(fast, "fast") == (fast, [])
    assert apply_runmode(params, "full") == (params, [])


@pytest.mark.parametrize(
    ("trained_on", "kept"), [(["snr", "d_prime"], False), (["snr", "drift_ptp"], False), (["snr"], True)]
)
def test_fast_keeps_a_classifier_that_needs_nothing_of_what_it_leaves_out(trained_on, kept, tmp_path):
    info = {"metric_params": {"quality_metric_params": {"metric_names": trained_on}}}
    (tmp_path / "model_info.json").write_text(json.dumps(info))
    params = parse_params({"curation": {"sua_mua_classifier": str(tmp_path)}}, "x")
    fast, changes = apply_runmode(params, "fast")
    assert fast.curation.sua_mua_classifier == (str(tmp_path) if kept else None)
    assert any("curation.sua_mua_classifier" in change for change in changes) is not kept


@pytest.mark.parametrize(
    ("query", "kept"), [("snr > 3 and l_ratio<0.1", False), ("snr > 3", True), (None, True)]
)
def test_fast_keeps_a_query_that_needs_nothing_of_what_it_leaves_out(query, kept):
    fast, changes = apply_runmode(parse_params({"curation": {"query": query}}, "x"), "fast")
    assert fast.curation.query == (query if kept else None)
    assert any("curation.query" in change for change in changes) is not kept


def test_the_columns_of_the_slow_metrics_are_those_of_the_installed_spikeinterface():
    from spikeinterface.metrics.quality import ComputeQualityMetrics

    slow = {"principal_components", "spike_locations"}
    columns = {
        column
        for metric in ComputeQualityMetrics.metric_list
        if slow & {need for each in metric.depend_on for need in each.split("|")}
        for column in metric.metric_columns
    }
    assert columns - SLOW_METRIC_COLUMNS == set()


# --- exports -------------------------------------------------------------------------------------------------------


def test_the_exported_files_are_up_to_date():
    for path, text in exported_texts().items():
        assert path.read_text(encoding="utf-8") == text, "run: python -m spikepipe_core.params.export"


def test_the_exported_defaults_load_and_are_valid():
    schema = json_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    defaults = next(path for path in exported_texts() if path.name == "default_params.json")
    jsonschema.Draft7Validator(schema).validate(json.loads(defaults.read_text()))
    loaded = load_params(defaults).to_dict()
    loaded.pop("$schema")
    assert loaded == default_params()


def test_the_schema_describes_every_key_and_gives_its_default():
    schema = json_schema()
    defaults = default_params()
    for path in all_paths(Params):
        node, default = schema, defaults
        for key in path:
            branches = [node, *node.get("anyOf", [])]
            node = next(
                branch["properties"][key] for branch in branches if key in branch.get("properties", {})
            )
            default = default.get(key, KeyError) if isinstance(default, dict) else KeyError
        assert node["description"], path
        if default is not KeyError and "properties" not in node:
            assert node["default"] == default, path
    assert "$ref" not in json.dumps(schema)
    assert not re.search(r'"(ge|gt|le|lt)":', json.dumps(schema)), "a limit that JSON Schema does not know"
