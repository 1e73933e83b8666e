"""What each flag inside ``--<step>_args`` means: keys of the step's params, and the AIND pipeline's own flags.

Flags that are not simply keys are those of the pipeline's steps
(https://github.com/AllenNeuralDynamics/aind-ephys-preprocessing and its siblings, ``code/run_capsule.py``).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from spikepipe_assets.step_text import GivenFlag, given_flags
from spikepipe_core.errors import ParamsError
from spikepipe_core.params import (
    ForwardingModel,
    InvalidParamsError,
    Params,
    Problem,
    migrate,
    read_params_file,
)
from spikepipe_core.params.installed import sorter_arguments, sorter_name_problems
from spikepipe_core.params.problems import KEY_HINTS, closest, dotted, validation_problems
from spikepipe_core.params.structure import all_paths, field_at, field_by_key, known_keys, leaves, submodel
from spikepipe_core.sorters import BUILT_IN, is_known, named_sorters, sorter_entry

__all__ = ["known_flags", "overrides_of"]

logger = logging.getLogger(__name__)

KeyPath = tuple[str, ...]
Assignment = tuple[KeyPath, Any]
"""A path from the root of the params, and the value to set there."""

SECTIONS: dict[str, KeyPath] = {
    "job_dispatch": ("job_dispatch",),
    "preprocessing": ("preprocessing",),
    "spikesorting": ("spikesorting",),
    "postprocessing": ("postprocessing",),
    "curation": ("curation",),
    "visualization": ("visualization",),
    "nwb_ecephys": ("nwb", "ecephys"),
}

_MOTION = {
    "skip": {"compute": False, "apply": False},
    "compute": {"compute": True, "apply": False},
    "apply": {"compute": True, "apply": True},
}

_OTHER_NAMES: dict[str, dict[str, KeyPath]] = {
    "preprocessing": {
        "denoising": ("preprocessing", "denoising_strategy"),
        "min_duration_for_preprocessing": ("preprocessing", "min_preprocessing_duration"),
        "motion_preset": ("preprocessing", "motion_correction", "preset"),
        "motion_temporal_bin_s": ("preprocessing", "motion_correction", "estimate_motion_kwargs", "bin_s"),
    },
    "nwb_ecephys": {"allow_partial": ("nwb", "allow_partial")},
}
"""Flags that are another name of a key."""

_WORDS = {"true": True, "false": False, "none": None, "null": None}
"""Values that people write in other ways than JSON does."""


class _FlagError(ParamsError):
    """One flag that is wrong; collected, so that all are told at once."""

    def __init__(self, message: str, suggestion: str | None = None, value: Any = None):
        super().__init__(message)
        self.message, self.suggestion, self.value = message, suggestion, value


def overrides_of(texts: Sequence[tuple[str, str, str]], sorters: Sequence[str] = ()) -> dict[str, Any]:
    """Return the partial params that the texts of several steps say.

    Parameters
    ----------
    texts : list of (step, option, text)
    sorters : list of str
        Sorters that are chosen elsewhere: flags without a sorter's name go to them too, and to all with an entry.

    Raises
    ------
    InvalidParamsError
        All that is wrong.
    """
    overrides: dict[str, Any] = {}
    problems: list[Problem] = []
    chosen = [*named_sorters(), *sorters, *_sorters_in(texts)]
    sorters = [name for name in dict.fromkeys(chosen) if is_known(name)]
    for step, option, text in texts:
        for given in given_flags(text):
            try:
                for path, value in _assignments(step, given, sorters):
                    _put(overrides, path, value)
            except _FlagError as error:
                problems.append(_problem(option, given, error))
    if problems:
        raise InvalidParamsError("the command line", problems)
    return overrides


def _sorters_in(texts: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return the sorters that the texts choose."""
    flags = [given for step, _, text in texts if step == "spikesorting" for given in given_flags(text)]
    return [
        given.value for given in flags if given.value and _chooses_sorter(tuple(given.key.split(".")), given)
    ]


def _problem(option: str, given: GivenFlag, error: _FlagError) -> Problem:
    found = given.value if error.value is None else error.value
    where = f"{option} --{given.name}" if given.name else option
    return Problem(where, found, error.message, error.suggestion, present=found is not None)


def known_flags(step: str) -> list[str]:
    """Return every flag of a step, with underscores and without the leading hyphens; nested keys are dotted."""
    section = SECTIONS[step]
    paths = [path[len(section) :] for path in all_paths(Params) if path[: len(section)] == section]
    keys = [dotted(path) for path in paths if path]
    if step == "spikesorting":
        keys += [key.removeprefix("kilosort4.") for key in keys if key.startswith("kilosort4.")]
    switches = [f"no_{key}" for key in keys if "." not in key and _takes(_field((*section, key)), bool)]
    return [*_SPECIAL.get(step, {}), *_OTHER_NAMES.get(step, {}), *keys, *switches]


def _assignments(step: str, given: GivenFlag, sorters: Sequence[str]) -> list[Assignment]:
    """Return what one flag sets, checked."""
    if given.problem is not None:
        raise _FlagError(given.problem)
    special = _SPECIAL.get(step, {}).get(given.key)
    if special is not None:
        return special(given)
    other_name = _OTHER_NAMES.get(step, {}).get(given.key)
    if other_name is not None:
        return _set([other_name], given)
    path = tuple(given.key.split("."))
    places = _places(step, path, given, sorters)
    if places:
        return _set(places, given)
    negated = _negated(step, path)
    if negated is not None:
        return [(negated, not _switch(given))]
    older = _older_layout(SECTIONS[step], path, given)
    if older is not None:
        return older
    raise _FlagError("unknown flag", _suggestion(step, given.key))


def _places(step: str, path: KeyPath, given: GivenFlag, sorters: Sequence[str]) -> list[KeyPath]:
    """Return the paths from the root that a flag's key names; several for what every sorter has."""
    whole = _as_spelt((*SECTIONS[step], *path))
    if step == "spikesorting" and not _chooses_sorter(path, given):
        places = [("spikesorting", sorter, *path) for sorter in sorters]
        found = [place for place in places if _exists(place) and _sorter_knows(place)]
        if found:
            return found
    return [whole] if _exists(whole) else []


def _as_spelt(path: KeyPath) -> KeyPath:
    """Write a path as the models spell its keys, some of which have hyphens (``non-somatic``)."""
    model: type[BaseModel] | None = Params
    spelt: list[str] = []
    for key in path:
        known = known_keys(model) if model is not None else []
        spelt.append(next((name for name in known if name.replace("-", "_") == key), key))
        field = field_by_key(model, spelt[-1]) if model is not None else None
        model = submodel(field.annotation) if field is not None else None
    return tuple(spelt)


def _chooses_sorter(path: KeyPath, given: GivenFlag) -> bool:
    """``--sorter NAME`` is the section's own key; ``--sorter {...}`` and ``--sorter.x`` are of each sorter."""
    return path == ("sorter",) and not (given.value or "").startswith("{")


def _sorter_knows(place: KeyPath) -> bool:
    """Whether a sorter takes this argument: each has its own, and the flag goes to those that know it."""
    _, sorter, *below = place
    if len(below) < 2 or below[0] != "sorter":
        return True
    return below[1] in sorter_entry(sorter).parameters or below[1] in sorter_arguments(sorter)


def _exists(path: KeyPath) -> bool:
    """Whether the params have this key, or an object that takes any key on the way to it."""
    model: type[BaseModel] | None = Params
    for position, key in enumerate(path):
        assert model is not None
        field = field_by_key(model, key)
        if field is None:
            return issubclass(model, ForwardingModel)
        model = submodel(field.annotation)
        if model is None:
            return position == len(path) - 1 or _takes(field.annotation, dict)
    return True


def _set(places: list[KeyPath], given: GivenFlag) -> list[Assignment]:
    """Set a flag's value at every place, in the reading that is allowed there."""
    return [(place, _fitting_value(place, given)) for place in places]


def _fitting_value(place: KeyPath, given: GivenFlag) -> Any:
    if given.value is None:
        field = _field(place)
        if field is not None and not _takes(field, bool):
            raise _FlagError(f"needs a value{_allowed(place)}")
        return True
    readings = _readings(given.value)
    found = [_problems(place, reading) for reading in readings]
    for reading, problems in zip(readings, found, strict=True):
        if not problems:
            return reading
    raise _wrong(found[0], place)


def _wrong(problems: list[Problem], place: KeyPath) -> _FlagError:
    """Make one error of all that is wrong with a value; what lies deeper in it is named by its keys."""
    first = problems[0]
    if len(problems) == 1 and first.path == dotted(place):
        return _FlagError(first.message, first.suggestion)
    told = [
        f"{problem.path.removeprefix(dotted(place)).lstrip('.')}: {problem.message}"
        + (f"; {problem.suggestion}" if problem.suggestion else "")
        for problem in problems
    ]
    return _FlagError("; ".join(told))


def _readings(text: str) -> list[Any]:
    """Return what a text may mean, likeliest first: JSON, a word for true, false or null, the text itself."""
    readings: list[Any] = []
    try:
        readings.append(json.loads(text))
    except ValueError:
        if text.lower() in _WORDS:
            readings.append(_WORDS[text.lower()])
    readings.append(text)
    if not text:
        readings.append(None)  # the AIND pipeline's `--t-start ""`
    return readings


def _problems(place: KeyPath, value: Any) -> list[Problem]:
    """Return what is wrong at a path; rules between keys are left to the merge with the params file."""
    partial: dict[str, Any] = {}
    _put(partial, place, value)
    try:
        Params.model_validate(partial)
    except ValidationError as error:
        here = dotted(place)
        problems = validation_problems(Params, partial, error)
        return [p for p in problems if p.path == here or p.path.startswith(f"{here}.")]
    chooses = place == ("spikesorting", "sorter") and isinstance(value, str)
    return sorter_name_problems(dotted(place), value) if chooses else []


def _negated(step: str, path: KeyPath) -> KeyPath | None:
    """Return the key that ``--no-KEY`` switches off."""
    *parents, last = path
    if not last.startswith("no_"):
        return None
    place = (*SECTIONS[step], *parents, last.removeprefix("no_"))
    field = _field(place)
    return place if field is not None and _takes(field, bool) else None


def _older_layout(section: KeyPath, path: KeyPath, given: GivenFlag) -> list[Assignment] | None:
    """Return what a key of an older layout has become, None if it is none."""
    value = True if given.value is None else _readings(given.value)[0]
    partial: dict[str, Any] = {}
    _put(partial, (*section, *path), value)
    today, changes = migrate(partial)
    if not changes:
        return None
    for change in changes:
        logger.warning("the command line: %s", change)
    assignments = [(place, found) for place, found in leaves(today) if found != {} or _is_free(place)]
    for place, found in assignments:
        if wrong := _problems(place, found):
            raise _wrong(wrong, place)
    return assignments


def _is_free(place: KeyPath) -> bool:
    """Whether a path holds an object of any keys, so that an empty one says something."""
    field = _field(place)
    return field is not None and submodel(field.annotation) is None


def _switch(given: GivenFlag) -> bool:
    """Read the value of a switch: on where there is none."""
    if given.value is None:
        return True
    value = _readings(given.value)[0]
    if not isinstance(value, bool):
        raise _FlagError("is a switch: give no value, or true or false")
    return value


def _motion(given: GivenFlag) -> list[Assignment]:
    section = ("preprocessing", "motion_correction")
    if given.value in _MOTION:
        return [((*section, key), value) for key, value in _MOTION[given.value].items()]
    if (given.value or "").startswith("{"):
        return _set([section], given)  # the older layout's name of the whole object
    similar = closest(given.value or "", _MOTION)
    raise _FlagError(f"must be one of {', '.join(_MOTION)}", similar and f'did you mean "{similar}"?')


def _spikeinterface_info(given: GivenFlag) -> list[Assignment]:
    place = ("job_dispatch", "spikeinterface_info")
    text = (given.value or "").strip()
    if text.startswith("{") or text == "null":
        return _set([place], given)
    try:
        is_file = Path(text).is_file()
    except OSError:  # text longer than a file name can be
        is_file = False
    if not is_file:
        raise _FlagError("needs a JSON object ({...}) or the path of a JSON file; there is no such file")
    info = read_params_file(Path(text))
    if wrong := _problems(place, info):
        raise _wrong(wrong, place)
    return [(place, info)]


def _skip_extensions(given: GivenFlag) -> list[Assignment]:
    section = ("postprocessing", "extensions")
    field = _field(section)
    model = submodel(field.annotation) if field is not None else None
    assert model is not None
    names = [name.strip().replace("-", "_") for name in (given.value or "").split(",") if name.strip()]
    if not names:
        raise _FlagError("needs the names of extensions, with commas between them")
    for name in names:
        if name not in known_keys(model):
            similar = closest(name, known_keys(model))
            raise _FlagError("is no extension", similar and f'did you mean "{similar}"?', name)
        for problem in _problems((*section, name), None):
            raise _FlagError(f"cannot be left out: {problem.message}", value=name)
    return [((*section, name), None) for name in names]


def _skip_lfp(given: GivenFlag) -> list[Assignment]:
    return [(("nwb", "ecephys", "write_lfp"), not _switch(given))]


_SPECIAL: dict[str, dict[str, Callable[[GivenFlag], list[Assignment]]]] = {
    "job_dispatch": {"spikeinterface_info": _spikeinterface_info},
    "preprocessing": {"motion": _motion},
    "postprocessing": {"skip_extensions": _skip_extensions},
    "nwb_ecephys": {"skip_lfp": _skip_lfp},
}


def _suggestion(step: str, key: str) -> str | None:
    """Say what was probably meant: a flag of this step, the same name deeper down, or a flag of another step."""
    hint = KEY_HINTS.get(key.rsplit(".", 1)[-1])
    if hint:
        return hint
    known = known_flags(step)
    if step == "spikesorting" and key.startswith("sorter."):
        known += [f"sorter.{name}" for entry in BUILT_IN.values() for name in entry.parameters]
    deeper = [flag for flag in known if flag.rsplit(".", 1)[-1] == key]
    alike = [flag for flag in known if ("." in flag) == ("." in key)]
    similar = closest(key, alike) or closest(key, known)
    found = deeper[0] if deeper else similar
    if found:
        return f'did you mean "--{_as_typed(found)}"?'
    elsewhere = [other for other in SECTIONS if key in known_flags(other)]
    return f"it belongs into --{elsewhere[0]}_args" if elsewhere else None


def _as_typed(flag: str) -> str:
    return flag if "." in flag else flag.replace("_", "-")


def _allowed(place: KeyPath) -> str:
    annotation = getattr(field_at(Params, place), "annotation", None)
    values = [value for value in get_args(annotation) if isinstance(value, str)]
    return f": one of {', '.join(values)}" if values else ""


def _field(path: KeyPath) -> Any:
    return field_at(Params, path)


def _takes(field_or_annotation: Any, kind: type) -> bool:
    """Whether a field takes a value of a kind, alone or as one of several."""
    annotation = getattr(field_or_annotation, "annotation", field_or_annotation)
    if get_origin(annotation) in (Union, UnionType):
        return any(_takes(part, kind) for part in get_args(annotation))
    return annotation is kind or get_origin(annotation) is kind


def _put(target: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Set a value deep down; an object is merged into one that is there, unless it is empty (which clears)."""
    *parents, last = path
    for key in parents:
        if not isinstance(target.get(key), dict):
            target[key] = {}
        target = target[key]
    if isinstance(value, dict) and value and isinstance(target.get(last), dict):
        for key, below in value.items():
            _put(target[last], (key,), below)
    else:
        target[last] = value
