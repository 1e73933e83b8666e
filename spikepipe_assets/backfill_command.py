"""``spikepipe backfill``: make chosen outputs of chosen sessions again, by Dagster's daemon or here and now."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikepipe_assets.opened import SessionParams, add_results, find_home, open_deployment
from spikepipe_core.errors import MissingInputError

if TYPE_CHECKING:
    from spikepipe_assets.backfill import Plan
    from spikepipe_assets.deployment import Deployment

__all__ = ["add_backfill_command", "carry_out"]

OK, FAILED = 0, 1

MAX_NAMED = 8
"""Jobs named in a plan; the others are counted."""


def add_backfill_command(subparsers: Any) -> None:
    """Add ``backfill`` to the subparsers of ``spikepipe``."""
    parser = subparsers.add_parser(
        "backfill",
        help="make chosen outputs of chosen sessions again, as far as they are not up to date",
        description="Asks for registered pairs of session and probe only, and says which before it starts. What is up"
        " to date is found so and reused. By default Dagster's daemon does it (`spikepipe ui` runs one); with --now"
        " it is done here, one recording job after another.",
    )
    add_results(parser)
    parser.add_argument(
        "--assets",
        default="*",
        metavar="NAMES",
        help="outputs, with commas; analyzer+ is the analyzer and all that is made from it, +analyzer and all that it"
        " is made from (default: all)",
    )
    parser.add_argument(
        "--sessions",
        nargs="+",
        default=[],
        metavar="PATTERN",
        help="session keys; * and ? match (default: all)",
    )
    parser.add_argument("--failed-only", action="store_true", help="only what failed at the last attempt")
    parser.add_argument(
        "--stale-only", action="store_true", help="only what is out of date, and what is made from it"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be asked for, and stop")
    parser.add_argument("--now", action="store_true", help="do it here, without a daemon")
    parser.set_defaults(command=_backfill)


def _backfill(options: argparse.Namespace) -> int:
    deployment = open_deployment(options)
    chosen = _plan(options, deployment)
    for line in described(chosen):
        print(line)
    if not chosen.wanted or options.dry_run:
        return OK
    words = [f"assets {options.assets}", *(f"sessions {pattern}" for pattern in options.sessions)]
    words += ["failed only"] * options.failed_only + ["stale only"] * options.stale_only
    home = find_home(options) or deployment.results / ".dagster"
    return carry_out(
        chosen, deployment, home, title=f"spikepipe backfill: {', '.join(words)}", now=options.now
    )


def _plan(options: argparse.Namespace, deployment: Deployment) -> Plan:
    from spikepipe_assets.backfill import matching, plan, select_assets
    from spikepipe_core.graph import STAGES
    from spikepipe_core.overview import stale_outputs
    from spikepipe_core.summary import read_sessions

    store, params = deployment.store(), deployment.effective_params()
    assets = select_assets(options.assets, STAGES, params)
    registered = read_sessions(store, say=_say)
    sessions = matching(registered, options.sessions)
    if not sessions:
        pattern = f" that matches {' or '.join(options.sessions)}" if registered else ""
        raise MissingInputError(f"no session{pattern} is registered under {store.results.root}")
    stale = None
    if options.stale_only:
        params_of = SessionParams(deployment)
        stale = list(stale_outputs(sessions, STAGES, store, params_of))
        for session, problem in params_of.problems.items():
            _say(f"{session}: {problem}")
    return plan(sessions, assets, STAGES, params, failed_only=options.failed_only, stale=stale)


def _say(words: str) -> None:
    print(words, file=sys.stderr)


def described(chosen: Plan) -> list[str]:
    """What is planned, in words: one line for each combination of outputs."""
    lines = []
    for outputs, jobs in chosen.by_outputs().items():
        names = [f"{session} / {probe}" if probe else session for session, probe in jobs]
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        kind = "recording job(s)" if jobs[0][1] else "session(s)"
        lines.append(f"{', '.join(outputs)}: {len(jobs)} {kind}: {', '.join(names[:MAX_NAMED])}{more}")
    for stage, count in chosen.out_of_reach.items():
        lines.append(
            f"left out: {count} recording job(s) failed at {stage}: try it again with --assets {stage}+"
        )
    return lines or ["nothing to do"]


def carry_out(chosen: Plan, deployment: Deployment, home: Path, *, title: str, now: bool) -> int:
    """Do what was planned: by the daemon, or here.

    Returns
    -------
    int
        Exit status.
    """
    from spikepipe_assets.instance import prepare_home

    prepare_home(home)
    return _do_now(chosen, deployment, home) if now else _ask_daemon(chosen, title, home)


def _ask_daemon(chosen: Plan, title: str, home: Path) -> int:
    import dagster as dg

    from spikepipe_assets.backfill import daemon_lives, request_backfill

    with dg.DagsterInstance.get() as instance:
        backfill_id = request_backfill(instance, chosen, title)
        print(f"backfill {backfill_id} is requested; see it in the UI under Runs, Backfills")
        if not daemon_lives(instance):
            print(
                f"no Dagster daemon runs on {home}: it begins when `spikepipe ui` (or a daemon) is started there. "
                "With --now it is done here.",
                file=sys.stderr,
            )
    return OK


def _do_now(chosen: Plan, deployment: Deployment, home: Path) -> int:
    """One recording job after another, as `spikepipe run` does."""
    import dagster as dg

    from spikepipe_assets.backfill import register_missing
    from spikepipe_assets.instance import close_dead_runs, set_pool_limits
    from spikepipe_assets.run import Request, materialize
    from spikepipe_assets.terminal import new_log, only_our_lines

    request = Request(deployment.data or deployment.results, deployment, home)
    store = deployment.store()
    deployment.pin()
    failed = False
    log = new_log(home)
    print(f"log: {log}")
    with only_our_lines(log) as terminal, dg.DagsterInstance.get() as instance:
        close_dead_runs(instance)
        set_pool_limits(instance)
        register_missing(instance, chosen.wanted)
        for (session, probe), outputs in chosen.wanted.items():
            entry = store.registry.find(session)
            assert entry is not None, "the plan was made from the registry"
            with store.claim(entry.session_folder):
                materialize(request, store, entry, probe, instance, terminal, outputs)
            ended = [store.ledger.read(entry.session_folder, session, probe, output) for output in outputs]
            failed |= any(outcome is None or outcome.outcome == "failed" for outcome in ended)
    return FAILED if failed else OK
