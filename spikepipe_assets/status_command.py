"""``spikepipe status``: how every recording job stands, with reasons; and which outputs are out of date."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from spikepipe_assets.opened import SessionParams, add_results, open_deployment, run_url
from spikepipe_core.errors import MissingInputError

if TYPE_CHECKING:
    from spikepipe_core.overview import Line, Stale

__all__ = ["add_status_command"]

OK, FAILED, NOTHING = 0, 1, 2

COLORS = {"ok": "32", "skipped": "33", "failed": "31", "unfinished": "36"}
"""ANSI colours: tens of thousands of lines are written in a second so, not in minutes as by a table layout."""

MAX_COUNTED = 12
"""Reasons that are counted below the lines; ``--json`` has all."""


def add_status_command(subparsers: Any) -> None:
    """Add ``status`` to the subparsers of ``spikepipe``."""
    parser = subparsers.add_parser(
        "status",
        help="show how every recording job stands and why, or which outputs are out of date",
        description="Exit status: 0, nothing failed (with --stale: nothing is out of date); 1, something is; 2, no "
        "session is registered.",
    )
    add_results(parser)
    parser.add_argument("--session", metavar="KEY", help="this session only")
    parser.add_argument(
        "--stale", action="store_true", help="show the outputs that would be others if made now, and why"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=_status)


def _status(options: argparse.Namespace) -> int:
    from spikepipe_core.graph import STAGES
    from spikepipe_core.overview import lines, stale_outputs
    from spikepipe_core.summary import read_sessions
    from spikepipe_core.watch import unreadable_folders

    deployment = open_deployment(options)
    store = deployment.store()
    sessions = read_sessions(store, options.session, say=_say)
    unreadable = [one for one in unreadable_folders(store) if options.session in (None, one.session)]
    if not sessions and (options.stale or not unreadable):
        wanted = f"session {options.session!r}" if options.session else "session"
        raise MissingInputError(f"no {wanted} is registered under {store.results.root}")
    if options.stale:
        params_of = SessionParams(deployment)
        stale = list(stale_outputs(sessions, STAGES, store, params_of))
        for session, problem in params_of.problems.items():
            _say(f"{session}: {problem}")
        _print_stale(stale, as_json=options.json)
        return FAILED if stale else OK
    told = lines(sessions, STAGES, unreadable)
    _print_lines(told, as_json=options.json)
    return FAILED if any(line.outcome == "failed" for line in told) else OK


def _say(words: str) -> None:
    print(words, file=sys.stderr)


# --- lines -------------------------------------------------------------------------------------------------------


def _print_lines(told: Sequence[Line], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"jobs": [_as_json(line) for line in told], "counts": _counts(told)}, indent=1))
        return
    rows = [_row(line) for line in told]
    _print_table(
        ("session", "probe", "outcome", "stage", "when", "took", "run", "reason"),
        rows,
        colors=[COLORS[line.outcome] for line in told],
        links={6: [line.run_id and run_url(line.run_id) for line in told]},
    )
    print(f"\n{_in_words(told)}")
    for row in [row for row in _counts(told) if row["outcome"] in ("failed", "skipped")][:MAX_COUNTED]:
        print(f"{row['count']:7}  {row['outcome']} at {row['stage']}: {row['reason']}")


def _as_json(line: Line) -> dict[str, Any]:
    return {
        "session": line.session,
        "probe": line.probe,
        "outcome": line.outcome,
        "stage": line.stage,
        "reason": line.reason,
        "at": line.at.isoformat() if line.at else None,
        "seconds": line.seconds,
        "outputs": line.made,
        "stages": line.stages,
        "run_id": line.run_id,
        "run": run_url(line.run_id) if line.run_id else None,
        "log": line.log,
    }


def _row(line: Line) -> tuple[str, ...]:
    return (
        line.session,
        line.probe or ("(session)" if line.stages else "(folder)"),
        line.outcome,
        line.stage,
        _local(line.at),
        _duration(line.seconds),
        (line.run_id or "")[:8],
        line.reason,
    )


def _local(at: datetime | None) -> str:
    # A fifth of the time of astimezone and strftime, tens of thousands of times.
    return datetime.fromtimestamp(at.timestamp()).isoformat(" ", "minutes") if at else ""


def _duration(seconds: float) -> str:
    """Seconds as people read them: 42 s, 3:07 min, 2:05 h."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds else ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"


def _counts(told: Sequence[Line]) -> list[dict[str, Any]]:
    from spikepipe_core.overview import counts_by_reason

    names = ("outcome", "stage", "reason", "count")
    return [dict(zip(names, row, strict=True)) for row in counts_by_reason(told)]


def _in_words(told: Sequence[Line]) -> str:
    sessions = len({line.session for line in told if line.stages})
    folders = sum(not line.stages for line in told)
    jobs = [line for line in told if line.probe]
    numbers = {
        outcome: sum(line.outcome == outcome for line in jobs)
        for outcome in ("ok", "skipped", "failed", "unfinished")
    }
    counted = ", ".join(f"{number} {outcome}" for outcome, number in numbers.items() if number)
    also = f"; {folders} folder(s) could not be read" if folders else ""
    return f"{len(jobs)} recording job(s) of {sessions} session(s): {counted}{also}"


# --- out of date -------------------------------------------------------------------------------------------------


def _print_stale(stale: Sequence[Stale], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"session": one.session, "probe": one.probe, "stage": one.stage, "reason": one.reason}
            for one in stale
        ]
        print(json.dumps({"stale": rows}, indent=1))
        return
    _print_table(
        ("session", "probe", "output", "out of date because"),
        [(one.session, one.probe or "(session)", one.stage, one.reason) for one in stale],
    )
    what = f"{len(stale)} output(s) are" if stale else "nothing is"
    hint = "; refresh them: spikepipe backfill --stale-only" if stale else ""
    print(f"\n{what} out of date{hint}")


def _print_table(
    header: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    colors: Sequence[str] = (),
    links: dict[int, list[str | None]] | None = None,
) -> None:
    """Columns as wide as their widest value, the last one free; colours and links at a terminal only."""
    if not rows:
        return
    at_terminal = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)][:-1]
    out = ["  ".join([*map(str.ljust, header[:-1], widths), header[-1]])]
    for number, row in enumerate(rows):
        cells = [*map(str.ljust, row[:-1], widths), row[-1]]
        if at_terminal:
            for column, urls in (links or {}).items():
                if urls[number]:
                    cells[column] = f"\x1b]8;;{urls[number]}\x1b\\{cells[column]}\x1b]8;;\x1b\\"
            if colors:
                cells[2] = f"\x1b[{colors[number]}m{cells[2]}\x1b[0m"
        out.append("  ".join(cells).rstrip())
    print("\n".join(out))
