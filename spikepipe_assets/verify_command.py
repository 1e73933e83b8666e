"""``spikepipe verify``: whether every output still is what was published; damaged ones are made again with --redo."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from spikepipe_assets.clean_command import in_words
from spikepipe_assets.opened import add_results, find_home, open_deployment
from spikepipe_core.errors import MissingInputError

if TYPE_CHECKING:
    from spikepipe_assets.deployment import Deployment
    from spikepipe_core.verification import Checked

__all__ = ["add_verify_command"]

OK, DAMAGED = 0, 1

SAY_EVERY_S = 10.0


def add_verify_command(subparsers: Any) -> None:
    """Add ``verify`` to the subparsers of ``spikepipe``."""
    parser = subparsers.add_parser(
        "verify",
        help="check every output against its manifest, and say what is damaged",
        description="Exit status: 0, all is well; 1, something is damaged.",
    )
    add_results(parser)
    parser.add_argument("--session", metavar="KEY", help="this session only")
    parser.add_argument(
        "--quick", action="store_true", help="size and time of each file; read it only if they are others"
    )
    parser.add_argument(
        "--redo", action="store_true", help="take damaged outputs out of the results and make them again"
    )
    parser.add_argument("--now", action="store_true", help="with --redo: do it here, without a daemon")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=_verify)


def _verify(options: argparse.Namespace) -> int:
    deployment = open_deployment(options)
    checked = _check_all(options, deployment)
    damaged = [one for one in checked if one.problem]
    if options.json:
        print(json.dumps(_as_json(checked), indent=1))
    else:
        for one in damaged:
            print(f"damaged: {one.session} / {one.probe or '(session)'} {one.stage}: {one.problem}")
        for one in checked:
            if one.busy:
                print(
                    f"not checked, it is being written: {one.session} / {one.probe or '(session)'} {one.stage}"
                )
        print(f"{len(checked)} outputs, {in_words(sum(one.size for one in checked))}: {len(damaged)} damaged")
    if damaged and options.redo:
        return _redo(damaged, deployment, options)
    if damaged and not options.json:
        print("make them again: spikepipe verify --redo")
    return DAMAGED if damaged else OK


def _check_all(options: argparse.Namespace, deployment: Deployment) -> list[Checked]:
    from spikepipe_core.graph import STAGES
    from spikepipe_core.verification import check_outputs

    store = deployment.store()
    if options.session and store.registry.find(options.session) is None:
        raise MissingInputError(f"no session {options.session!r} is registered under {store.results.root}")
    checked: list[Checked] = []
    said = time.monotonic()
    for one in check_outputs(store, STAGES, options.session, thorough=not options.quick):
        checked.append(one)
        if time.monotonic() - said > SAY_EVERY_S:
            said = time.monotonic()
            done = in_words(sum(each.size for each in checked))
            print(f"{len(checked)} outputs, {done} so far, at {one.session}", file=sys.stderr)
    return checked


def _as_json(checked: list[Checked]) -> dict[str, Any]:
    return {
        "outputs": len(checked),
        "bytes": sum(one.size for one in checked),
        "damaged": [
            {"session": one.session, "probe": one.probe, "stage": one.stage, "problem": one.problem}
            for one in checked
            if one.problem
        ],
        "not_checked": sum(one.busy for one in checked),
    }


def _redo(damaged: list[Checked], deployment: Deployment, options: argparse.Namespace) -> int:
    """Take damaged outputs away, so that nobody reads them, and ask for them anew."""
    from spikepipe_assets.backfill import Plan
    from spikepipe_assets.backfill_command import carry_out
    from spikepipe_core.graph import STAGES

    results = deployment.store().results
    wanted: dict[tuple[str, str | None], list[str]] = {}
    for one in damaged:
        with results.lock(one.ref):
            results.discard(one.ref)
        wanted.setdefault((one.session, one.probe), []).append(one.stage)
    in_order = {job: tuple(name for name in STAGES if name in names) for job, names in wanted.items()}
    home = find_home(options) or deployment.results / ".dagster"
    chosen = Plan(dict(sorted(in_order.items(), key=lambda item: item[0][1] is None)), {})
    return carry_out(chosen, deployment, home, title="spikepipe verify --redo", now=options.now)
