"""Whether every published output still is what was published, down to the last byte."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from spikepipe_core.errors import OutputBusyError
from spikepipe_core.stages.stage import Stage
from spikepipe_core.store import Manifest, OutputRef, SessionEntry, Store
from spikepipe_core.store.publish import STATE


@dataclass(frozen=True)
class Checked:
    """One output and what is wrong with it, in words; None if all is well.

    Attributes
    ----------
    size : int
        Bytes that its manifest records.
    busy : bool
        Another run was writing it, so it was not looked at.
    """

    session: str
    probe: str | None
    stage: str
    ref: OutputRef
    size: int
    problem: str | None
    busy: bool = False


def check_outputs(
    store: Store, stages: Mapping[str, Stage], session: str | None = None, *, thorough: bool = True
) -> Iterator[Checked]:
    """Check every published output, session by session.

    Parameters
    ----------
    thorough : bool
        Read every file and compare checksums. Otherwise size, and content only where the time of modification is
        another one.
    """
    entries = store.registry.sessions() if session is None else filter(None, [store.registry.find(session)])
    for entry in entries:
        for probe in (*entry.probes, None):
            for stage in stages.values():
                if (stage.scope == "session") == (probe is None):
                    checked = _check(store, entry, probe, stage, thorough=thorough)
                    if checked is not None:
                        yield checked


def _check(
    store: Store, entry: SessionEntry, probe: str | None, stage: Stage, *, thorough: bool
) -> Checked | None:
    ref = stage.ref(entry, entry.job(probe) if probe else None)
    lost = _lost(store, entry, probe, stage)
    size, problem = _look(store, ref, lost, thorough=thorough)
    if problem is not None:
        try:  # what seems damaged may just be replaced at this moment
            with store.results.lock(ref, timeout_s=0):
                size, problem = _look(store, ref, lost, thorough=thorough)
        except OutputBusyError:
            return Checked(entry.session, probe, stage.name, ref, size, None, busy=True)
        except OSError:
            pass  # results that one may only read cannot be written by others on this machine either
    if problem is None and not manifest_file(store, ref).exists():
        return None
    return Checked(entry.session, probe, stage.name, ref, size, problem)


def _look(store: Store, ref: OutputRef, lost: str | None, *, thorough: bool) -> tuple[int, str | None]:
    """Bytes that the manifest records, and what is wrong."""
    try:
        manifest, problem = _read(manifest_file(store, ref))
        if manifest is None:
            return 0, problem or lost
        size = sum(record.size for record in manifest.files.values())
        return size, store.results.damage(_as_published(ref, manifest), manifest, thorough=thorough)
    except OSError as error:
        return 0, f"cannot be read: {error}"


def manifest_file(store: Store, ref: OutputRef) -> Path:
    """Where the manifest of an output lies."""
    return store.results.root / ref.session_folder / STATE / "manifests" / ref.stage / f"{ref.name}.json"


def _as_published(ref: OutputRef, manifest: Manifest) -> OutputRef:
    """Where it was published: under other params its path was another one."""
    return OutputRef(ref.session_folder, ref.stage, ref.name, manifest.path)


def _read(file: Path) -> tuple[Manifest | None, str | None]:
    try:
        return Manifest.model_validate_json(file.read_bytes()), None
    except FileNotFoundError:
        return None, None
    except (ValidationError, json.JSONDecodeError) as error:
        first = str(error).splitlines()[0]
        return None, f"{file} is no manifest: {first}"


def _lost(store: Store, entry: SessionEntry, probe: str | None, stage: Stage) -> str | None:
    """What is wrong if there is no manifest: nothing, unless the ledger says that the output was made."""
    last = store.ledger.read(entry.session_folder, entry.session, probe, stage.name)
    if last is None or last.data_version is None:
        return None
    return f"the ledger says that it was made on {last.at:%Y-%m-%d}, and it has no manifest"
