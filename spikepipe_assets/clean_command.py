"""``spikepipe clean``: remove what is no longer needed. Without --yes it only says what that is."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from spikepipe_assets.opened import SessionParams, add_results, open_deployment

__all__ = ["add_clean_command"]

OK = 0

MAX_LISTED = 20
"""Things listed of each kind; the others are counted."""


def add_clean_command(subparsers: Any) -> None:
    """Add ``clean`` to the subparsers of ``spikepipe``."""
    parser = subparsers.add_parser(
        "clean",
        help="remove scratch, leftovers and orphans that are no longer needed; says what, and does it with --yes",
        description="What may go: traces in scratch of recording jobs that are done, temporary files of interrupted"
        " runs, outputs of recording jobs that are no longer registered, and outputs whose storage.keep is"
        " while_needed, once all of their session is up to date (they are made again when something needs them).",
    )
    add_results(parser)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=("traces", "leftover", "orphan", "output"),
        metavar="KIND",
        help="traces, leftover, orphan, output (default: all)",
    )
    parser.add_argument("--yes", action="store_true", help="remove them")
    parser.set_defaults(command=_clean)


def _clean(options: argparse.Namespace) -> int:
    from spikepipe_core.cleaning import KINDS, find_removable, remove_all
    from spikepipe_core.graph import STAGES

    deployment = open_deployment(options)
    keep = deployment.storage.keep
    found = [
        one
        for one in find_removable(
            deployment.store(),
            STAGES,
            SessionParams(deployment),
            traces=keep.traces == "while_needed",
            released=keep.released,
        )
        if not options.only or one.kind in options.only
    ]
    for kind, meaning in KINDS.items():
        of_kind = [one for one in found if one.kind == kind]
        if of_kind:
            print(f"{meaning}: {len(of_kind)}, {in_words(sum(one.size for one in of_kind))}")
        for one in of_kind[:MAX_LISTED]:
            print(f"  {in_words(one.size):>9}  {one.path}  ({one.why})")
        if len(of_kind) > MAX_LISTED:
            print(f"  and {len(of_kind) - MAX_LISTED} more")
    if not found:
        print("nothing to remove")
    elif options.yes:
        print(f"removed: {in_words(remove_all(found, say=_say))}")
    else:
        print("nothing is removed yet: do that with --yes")
    return OK


def _say(words: str) -> None:
    print(words, file=sys.stderr)


def in_words(count: int) -> str:
    """Bytes as people read them."""
    from spikepipe_assets.metadata import size_in_words

    return size_in_words(count)
