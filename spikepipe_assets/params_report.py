"""What a person wants to know about params: where each value came from, what differs, which outputs that remakes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spikepipe_assets.deployment import Deployment
from spikepipe_core.errors import MissingInputError
from spikepipe_core.params import BUILT_IN, Params, merge
from spikepipe_core.params.problems import dotted
from spikepipe_core.params.structure import leaves
from spikepipe_core.store import SessionEntry

__all__ = ["Difference", "Shown", "brief", "differences", "effective_values", "outputs_changed"]

_INPUT = "job_dispatch.input"
_SORTER = "spikesorting.sorter"


@dataclass(frozen=True)
class Shown:
    """One effective value.

    Attributes
    ----------
    keys : tuple of str
        Where it stands.
    value : object
        What applies, as JSON.
    origin : str
        The layer it came from.
    detected : bool
        Nobody gave it, and it is found from the data; `value` is without effect.
    """

    keys: tuple[str, ...]
    value: Any
    origin: str
    detected: bool = False

    @property
    def path(self) -> str:
        """The keys, dotted."""
        return dotted(self.keys)


@dataclass(frozen=True)
class Difference:
    """A value that differs between two params; `MISSING` where one of them has no such key."""

    path: str
    before: Any
    after: Any

    def told(self) -> str:
        """The difference in words: both values, or what was added to a list and removed from it."""
        old, new = self.before, self.after
        if not (isinstance(old, list) and isinstance(new, list) and len(brief(new)) > _LONG):
            return f"{brief(old)} -> {brief(new)}"
        changes = [f"+{brief(item)}" for item in new if item not in old]
        changes += [f"-{brief(item)}" for item in old if item not in new]
        return ", ".join(changes) or "in another order"


_LONG = 40
"""Lists longer than this are told by what changed in them."""

MISSING = object()
"""Stands for the value of a key that is not there."""


def effective_values(deployment: Deployment, session: str | None = None) -> list[Shown]:
    """Return every value that applies in a deployment, in the order of the params file.

    Parameters
    ----------
    deployment : Deployment
    session : str, optional
        A session key, to take the session's own params file into account.

    Raises
    ------
    MissingInputError
        No such session is registered.
    ParamsError
        All that is wrong in any of the layers.
    """
    entry = None if session is None else _entry(deployment, session)
    params = deployment.effective_params(entry)
    merged, origins = merge(*deployment.layers(entry))
    before = {dotted(path): value for path, value in leaves(merged.to_dict())}
    shown = []
    for path, value in leaves(params.to_dict()):
        name = dotted(path)
        if name == _INPUT and origins[name] == BUILT_IN:
            shown.append(Shown(path, value, "the data: detected", detected=True))
        elif name in before and before[name] == value:
            shown.append(Shown(path, value, origins[name]))
        else:
            shown.append(Shown(path, value, _changed_by(name, value, deployment)))
    return shown


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Return what differs between two params dicts, key by key."""
    old = {dotted(path): value for path, value in leaves(dict(before))}
    new = {dotted(path): value for path, value in leaves(dict(after))}
    found = []
    for path in {**old, **new}:
        pair = old.get(path, MISSING), new.get(path, MISSING)
        if pair[0] != pair[1] and not _is_parent_of_the_other(path, old, new):
            found.append(Difference(path, *pair))
    return found


def outputs_changed(before: Params, after: Params) -> list[str]:
    """Return the outputs that a change of params remakes, in the order of the graph."""
    # the stages import SpikeInterface, which takes seconds
    from spikepipe_core.graph import STAGES

    changed: list[str] = []
    for name, stage in STAGES.items():
        inputs = {*stage.inputs(before), *stage.inputs(after)}
        if stage.settings(before) != stage.settings(after) or inputs & {*changed}:
            changed.append(name)
    return changed


def brief(value: Any, limit: int = 100) -> str:
    """Write a value as JSON, shortened where it is long."""
    if value is MISSING:
        return "(absent)"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _entry(deployment: Deployment, session: str) -> SessionEntry:
    registry = deployment.store().registry
    entry = registry.find(session)
    if entry is None:
        known = ", ".join(entry.session for entry in registry.sessions()) or "none"
        raise MissingInputError(
            f"no session {session!r} is registered in {deployment.results}; there are: {known}"
        )
    return entry


def _changed_by(path: str, value: Any, deployment: Deployment) -> str:
    """Name what changed a value after the layers were merged."""
    if path != _SORTER:
        return f"--runmode {deployment.runmode}"
    return "--sorter" if value == deployment.sorter else BUILT_IN


def _is_parent_of_the_other(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether an object without keys on one side has keys on the other: those are named already."""
    own, other = (old, new) if path in old else (new, old)
    return path not in other and own[path] == {} and any(key.startswith(f"{path}.") for key in other)
