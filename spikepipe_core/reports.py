"""What a session's results say of themselves: `processing.json` and `visualization_output.json`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from filelock import FileLock

from spikepipe_core import __version__
from spikepipe_core.store import Manifest, Outcome, Store
from spikepipe_core.store.files import write_json
from spikepipe_core.store.publish import STATE
from spikepipe_core.summary import read_truth, write_summary


def write_session_reports(store: Store, session_folder: str) -> None:
    """Bring both reports up to date with the manifests and the ledger."""
    root = store.results.root / session_folder
    lock = root / STATE / "locks" / "reports.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        truth = read_truth(store, session_folder)
        write_json(root / "processing.json", processing(truth.manifests, truth.outcomes))
        write_json(root / "visualization_output.json", visualization(truth.manifests))
        write_summary(store, session_folder, truth)


def processing(manifests: Sequence[Manifest], outcomes: Sequence[Outcome]) -> dict[str, Any]:
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


def visualization(manifests: Sequence[Manifest]) -> dict[str, Any]:
    """Figures by recording job and title, as paths relative to the session's results."""
    figures: dict[str, dict[str, str]] = {}
    for manifest in manifests:
        listed = manifest.summary.get("figures")
        if manifest.probe and listed:
            shown = figures.setdefault(manifest.name, {})
            shown |= {figure["title"]: f"{manifest.path}/{figure['file']}" for figure in listed}
    return figures
