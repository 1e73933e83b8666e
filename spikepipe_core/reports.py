"""What a session's results say of themselves: `processing.json` and `visualization_output.json`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from filelock import FileLock
from pydantic import ValidationError

from spikepipe_core import __version__
from spikepipe_core.store import Manifest, Outcome, Store
from spikepipe_core.store.files import write_json
from spikepipe_core.store.publish import STATE


def write_session_reports(store: Store, session_folder: str) -> None:
    """Bring both reports up to date with the manifests and the ledger."""
    root = store.results.root / session_folder
    lock = root / STATE / "locks" / "reports.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        manifests = _manifests(store, session_folder)
        write_json(root / "processing.json", processing(manifests, _outcomes(store, session_folder)))
        write_json(root / "visualization_output.json", visualization(manifests))


def processing(manifests: list[Manifest], outcomes: list[Outcome]) -> dict[str, Any]:
    """Every step that was run: its effective params, versions, start, duration and outcome."""
    made = {(m.session, m.probe, m.stage): m for m in manifests}
    steps = []
    for outcome in outcomes:
        manifest = made.get((outcome.session, outcome.probe, outcome.stage))
        step: dict[str, Any] = {
            "name": outcome.stage,
            "session": outcome.session,
            "probe": outcome.probe,
            "outcome": outcome.outcome,
            "reason": outcome.reason,
        }
        if manifest is not None and manifest.data_version == outcome.data_version:
            step |= {
                "start_date_time": manifest.started.isoformat(),
                "duration_s": manifest.duration_s,
                "output": None if manifest.empty else manifest.path,
                "parameters": manifest.settings,
                "models": manifest.identity,
                "versions": manifest.versions,
                "data_version": manifest.data_version,
            }
        elif outcome.because_of is None:
            # It was tried, and made nothing.
            started = outcome.at - timedelta(seconds=outcome.duration_s)
            step |= {
                "start_date_time": started.isoformat(),
                "duration_s": outcome.duration_s,
                "log": outcome.log,
            }
        steps.append(step)
    return {"pipeline": "spikepipe", "pipeline_version": __version__, "data_processes": steps}


def visualization(manifests: list[Manifest]) -> dict[str, Any]:
    """Figures by recording job and title, as paths relative to the session's results."""
    figures: dict[str, dict[str, str]] = {}
    for manifest in manifests:
        listed = manifest.summary.get("figures")
        if manifest.probe and listed:
            shown = figures.setdefault(manifest.name, {})
            shown |= {figure["title"]: f"{manifest.path}/{figure['file']}" for figure in listed}
    return figures


def _manifests(store: Store, session_folder: str) -> list[Manifest]:
    found = []
    for path in sorted((store.results.root / session_folder / STATE / "manifests").glob("*/*.json")):
        if ".commit-" in path.name:
            continue
        try:
            found.append(Manifest.model_validate_json(path.read_bytes()))
        except (FileNotFoundError, ValidationError):
            continue  # replaced while we look, or not ours: the next write of the reports sees it right
    return sorted(found, key=lambda manifest: manifest.started)


def _outcomes(store: Store, session_folder: str) -> list[Outcome]:
    folder = store.results.root / session_folder / STATE / "ledger"
    sessions = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    outcomes = [outcome for session in sessions for outcome in store.ledger.outcomes(session_folder, session)]
    return sorted(outcomes, key=lambda outcome: outcome.at)
