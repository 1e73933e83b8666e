"""The JSON Schema and the models agree, both ways, on files that hypothesis makes."""

from __future__ import annotations

import copy

import jsonschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from spikepipe_core.params import Params, default_params, json_schema

SCHEMA = jsonschema.Draft7Validator(json_schema())

# rules between keys, and text that holds JSON, are beyond a schema: these keys are left as they are
BEYOND_A_SCHEMA = {
    "freq_min", "freq_max", "vmin", "vmax", "t_start", "t_stop", "spikeinterface_info",
    "surface_channel_agar_probes_indices",
}  # fmt: skip

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3000),
    st.floats(-2, 2000, allow_nan=False),
    st.sampled_from(
        ["highpass", "global", "neg", "1s", "500ms", "1 s", "snr", "kilosort4", "", "both", "zarr"]
    ),
    st.lists(st.one_of(st.integers(-1, 20), st.sampled_from(["snr", "snrr"])), max_size=3),
    st.dictionaries(
        st.sampled_from(["snr", "method", "seed", "x"]), st.one_of(st.integers(), st.just({})), max_size=2
    ),
)


def paths_in(node, path=()):
    for key, value in node.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from paths_in(value, (*path, key))


PATHS = sorted(path for path in paths_in(default_params()) if not BEYOND_A_SCHEMA & set(path))


PROBES = (None, True, 0, -1, 1.5, 5000, "x", "neg", [], ["x"], [1, 2], {}, {"x": 1})


def test_a_key_takes_exactly_what_the_schema_takes():
    """Each key alone, with a value of every kind: what chance would meet too seldom."""
    different = []
    for path in PATHS:
        for value in PROBES:
            raw = value
            for key in reversed(path):
                raw = {key: raw}
            if loads(raw) != SCHEMA.is_valid(raw):
                different.append((".".join(path), value))
    assert different == []


@st.composite
def files(draw):
    """The defaults with some keys set to anything, left out, or misspelt."""
    raw = copy.deepcopy(default_params())
    for path in draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=3)):
        node = raw
        for key in path[:-1]:
            node = node.get(key) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            continue
        change = draw(st.sampled_from(["set", "set", "leave out", "misspell"]))
        if change == "set":
            node[path[-1]] = draw(VALUES)
        elif change == "leave out":
            node.pop(path[-1], None)
        else:
            node[path[-1] + "s"] = node.pop(path[-1], None)
    return raw


def loads(raw) -> bool:
    try:
        Params.model_validate(raw)
    except ValidationError:
        return False
    return True


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(files())
def test_a_file_loads_exactly_when_the_schema_takes_it(raw):
    assert loads(raw) == SCHEMA.is_valid(raw)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(files())
def test_what_loads_is_written_in_a_form_that_loads_to_the_same(raw):
    if loads(raw):
        params = Params.model_validate(raw)
        assert Params.model_validate(params.to_dict()) == params
        assert SCHEMA.is_valid(params.to_dict())
