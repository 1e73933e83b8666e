"""``spikepipe scan``: what of a data folder would be processed and what not, with reasons. Nothing is written."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from spikepipe_assets.step_arguments import add_step_arguments, step_overrides
from spikepipe_assets.terminal import open_console
from spikepipe_core.errors import SpikepipeError

if TYPE_CHECKING:
    from spikepipe_core.ingest import Discovery, ListedStream
    from spikepipe_core.params import JobDispatchParams

__all__ = ["add_scan_command"]

OK, FAILED, NOTHING = 0, 1, 2


def add_scan_command(subparsers: Any) -> None:
    """Add ``scan`` to the subparsers of ``spikepipe``."""
    parser = subparsers.add_parser(
        "scan",
        help="show what of a data folder would be processed and what not; writes nothing",
        description="Exit status: 0, all recordings that were found can be read; 1, some cannot; 2, there is nothing"
        " to process.",
    )
    parser.add_argument("data", type=Path, metavar="DIR", help="raw data folder, or a folder of sessions")
    parser.add_argument("--params_file", "--params-file", type=Path, metavar="F", help="params JSON")
    parser.add_argument("--input", metavar="I", help="input format; detected if not given")
    parser.add_argument(
        "--multi_session", "--multi-session", action="store_true", help="each sub-folder is a session"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    add_step_arguments(parser)
    parser.set_defaults(command=_scan)


def _scan(options: argparse.Namespace) -> int:
    from spikepipe_core.ingest import discover, list_streams

    data = options.data.absolute()
    try:
        params = _params(options)
        found = discover(data, params)
    except SpikepipeError as error:
        if not options.json:
            raise
        print(json.dumps({"data": str(data), "error": str(error)}, indent=2))
        return NOTHING
    listed = list_streams(
        found.jobs, found.ignored, found.unreadable, min_duration_s=params.min_recording_duration
    )
    if options.json:
        print(json.dumps(_as_json(found, listed), indent=2, ensure_ascii=False))
    else:
        _print(found, listed, open_console())
    processed = [row for row in listed if row.status == "processed"]
    if not processed:
        return NOTHING
    return FAILED if any(row.status == "failed" for row in listed) else OK


def _params(options: argparse.Namespace) -> JobDispatchParams:
    """The job dispatch params that `spikepipe run` would apply."""
    from spikepipe_assets.deployment import Deployment
    from spikepipe_core.params import read_params_file

    overrides = step_overrides(options)
    for key in ("input", "multi_session"):
        if value := getattr(options, key):
            overrides.setdefault("job_dispatch", {})[key] = value
    deployment = Deployment(
        results=options.data,  # nothing is written there
        params_file=options.params_file,
        params=read_params_file(options.params_file) if options.params_file else {},
        overrides=overrides,
    )
    return deployment.effective_params().job_dispatch


def _as_json(found: Discovery, listed: Sequence[ListedStream]) -> dict[str, Any]:
    return {
        "data": str(found.data_root),
        "readers": found.readers,
        "sessions": len({job.session for job in found.jobs}),
        "counts": _counts(listed),
        "streams": [row.model_dump(mode="json") for row in listed],
    }


def _counts(listed: Sequence[ListedStream]) -> dict[str, int]:
    statuses = [row.status for row in listed]
    return {status: statuses.count(status) for status in dict.fromkeys(statuses)}


def _print(found: Discovery, listed: Sequence[ListedStream], console: Console) -> None:
    for reader, why in found.readers.items():
        console.print(f"{found.data_root}: read as {reader} ({why})", markup=False, soft_wrap=True)
    jobs = [row for row in listed if row.status == "processed"]
    others = [row for row in listed if row.status != "processed"]
    if jobs:
        console.print(_table_of_jobs(jobs))
        for kind, reason in sorted({(row.kind, row.reason) for row in jobs if row.reason}):
            console.print(f"{kind}: {reason}", style="dim", markup=False, soft_wrap=True)
    if others:
        console.print(_table_of_others(others, found.data_root))
    console.print(", ".join(f"{count} {status}" for status, count in _counts(listed).items()), markup=False)


def _table_of_jobs(rows: Sequence[ListedStream]) -> Table:
    sessions = len({row.session for row in rows})
    title = f"Processed: {len(rows)} recording job(s) of {sessions} session(s)"
    table = Table(title=title, title_justify="left")
    for column in ("session", "probe", "stream", "kind", "probe model"):
        table.add_column(column, overflow="fold")
    for column in ("channels", "Hz", "s", "segments"):
        table.add_column(column, justify="right")
    table.add_column("LFP band", overflow="fold")
    for row in rows:
        table.add_row(
            *(escape(text or "") for text in (row.session, row.probe, _short(row.stream))),
            row.kind,
            escape(row.probe_model or ""),
            *(_number(value) for value in (row.channels, row.sampling_frequency_hz, row.duration_s)),
            _number(row.segments),
            escape(_short(row.lfp_stream or "")),
        )
    return table


def _table_of_others(rows: Sequence[ListedStream], root: Path) -> Table:
    table = Table(title=f"Not processed: {len(rows)}", title_justify="left", expand=True)
    table.add_column("session", overflow="fold", ratio=2)
    table.add_column("stream or folder", overflow="fold", ratio=2)
    table.add_column("kind")
    table.add_column("why", overflow="fold", ratio=5)
    for row in rows:
        color = {"failed": "red", "skipped": "yellow"}.get(row.status, "dim")
        reason = escape(row.reason.replace(f"{root}/", ""))
        table.add_row(
            escape(row.session or ""),
            escape(f"{_short(row.stream)} ({row.probe})" if row.probe else _short(row.stream)),
            row.kind,
            f"[{color}]{reason if row.status == 'not processed' else f'{row.status}: {reason}'}[/]",
        )
    return table


def _short(stream: str) -> str:
    """A stream's name without that of the Record Node that wrote it."""
    return stream.rsplit("#", 1)[-1]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}" if value >= 1 else f"{value:.2g}"
