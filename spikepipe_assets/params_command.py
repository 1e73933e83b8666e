"""``spikepipe params``: the defaults, the schema, checks, comparisons, migration, and the editor."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from spikepipe_core.errors import NotAvailableError, ParamsError

if TYPE_CHECKING:
    from spikepipe_assets.params_report import Shown
    from spikepipe_core.params import Problem

__all__ = ["add_params_command"]

OK, DIFFERENT, WRONG = 0, 1, 2

DEFAULTS = "default"
"""Stands for the built-in defaults where ``diff`` takes a file."""

EDITOR_PORT = 8350

_PATH_COLUMN = 56
"""Wider than most paths, and narrow enough that values stay in sight."""


def add_params_command(subparsers: Any) -> None:
    """Add ``params`` and its own commands to the subparsers of ``spikepipe``."""
    parser = subparsers.add_parser("params", help="look at, check, compare, migrate and edit params files")
    commands = parser.add_subparsers(required=True, metavar="WHAT")

    default = commands.add_parser("default", help="print the built-in defaults, every key")
    _add_output(default)
    default.set_defaults(command=_default)

    schema = commands.add_parser("schema", help="print the JSON Schema (draft-07), for editors that complete")
    _add_output(schema)
    schema.set_defaults(command=_schema)

    validate = commands.add_parser(
        "validate", help="say all that is wrong with params files, or what they change"
    )
    validate.add_argument("files", nargs="+", type=Path, metavar="FILE")
    validate.set_defaults(command=_validate)

    show = commands.add_parser(
        "show", help="print the params that apply to a run, each with where it came from"
    )
    show.add_argument(
        "--results", type=Path, default=os.environ.get("RESULTS_PATH"), help="results folder (RESULTS_PATH)"
    )
    show.add_argument(
        "--dagster-home",
        "--dagster_home",
        type=Path,
        metavar="DIR",
        help="Dagster instance; <results>/.dagster",
    )
    show.add_argument("--session", metavar="KEY", help="with this session's own params file")
    show.add_argument("--changed", action="store_true", help="leave out what has its built-in default")
    show.add_argument("--json", action="store_true", help="print them as a params file")
    show.set_defaults(command=_show)

    diff = commands.add_parser(
        "diff", help="compare two params files by what applies; exit status 1 if they differ"
    )
    for name in ("a", "b"):
        diff.add_argument(
            name, metavar=name.upper(), help=f"a file, or '{DEFAULTS}' for the built-in defaults"
        )
    diff.set_defaults(command=_diff)

    migrate = commands.add_parser("migrate", help="bring an older params file to today's layout")
    migrate.add_argument("old", type=Path, metavar="OLD")
    _add_output(migrate)
    migrate.set_defaults(command=_migrate)

    edit = commands.add_parser("edit", help="open the editor in the browser")
    edit.add_argument("port", nargs="?", type=int, default=EDITOR_PORT, metavar="PORT")
    edit.add_argument("--no-browser", action="store_true", help="print the address only")
    edit.set_defaults(command=_edit)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", type=Path, metavar="NEW", help="write to this file instead of printing"
    )
    parser.add_argument("--force", action="store_true", help="replace the file if it is there")


def _default(options: argparse.Namespace) -> int:
    from spikepipe_core.params import default_params

    return _write(_text(default_params()), options)


def _schema(options: argparse.Namespace) -> int:
    from spikepipe_core.params import json_schema

    return _write(_text(json_schema()), options)


def _validate(options: argparse.Namespace) -> int:
    results = [_validate_file(path) for path in options.files]
    return max(results)


def _validate_file(path: Path) -> int:
    from spikepipe_core.params import InvalidParamsError, migrate, parse_params, read_params_file

    try:
        today, changes = migrate(read_params_file(path))
        params = parse_params(today, str(path))
    except InvalidParamsError as error:
        _say(f"[red]{escape(str(path))}: {_count(len(error.problems), 'problem')}[/]")
        for problem in error.problems:
            _say_problem(problem)
        return WRONG
    except ParamsError as error:
        _say(f"[red]not readable:[/] {escape(str(error))}")
        return WRONG
    _say(f"[green]{escape(str(path))}: valid[/]")
    _say_list("brought to today's layout when loaded:", changes)
    _say_effects(params.to_dict())
    return OK


def _say_problem(problem: Problem) -> None:
    found = f" = {_brief(problem.value)}" if problem.present else ""
    _say(f"  [bold]{escape(problem.path or 'the file')}[/]{escape(found)}")
    suggestion = f"; {problem.suggestion}" if problem.suggestion else ""
    _say(f"      {escape(problem.message + suggestion)}")


def _say_effects(after: dict[str, Any]) -> None:
    """Say what differs from the built-in defaults, and which outputs that changes."""
    from spikepipe_assets.params_report import differences
    from spikepipe_core.params import default_params

    found = [d for d in differences(default_params(), after) if d.path != "$schema"]
    if not found:
        _say("  everything has its built-in default")
        return
    _say("  differs from the built-in defaults:")
    for difference in found:
        _say(f"    {escape(difference.path)}: {escape(difference.told())}")
    _say_outputs(default_params(), after)


def _say_outputs(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    from spikepipe_assets.params_report import outputs_changed
    from spikepipe_core.params import Params

    outputs = outputs_changed(Params.model_validate(before), Params.model_validate(after))
    _say(f"  outputs that this changes: {', '.join(outputs) or 'none'}")


def _show(options: argparse.Namespace) -> int:
    from spikepipe_assets.deployment import FILE_NAME, Deployment
    from spikepipe_assets.instance import default_home
    from spikepipe_assets.params_report import effective_values

    if options.results is None and options.dagster_home is None:
        raise ParamsError("say which run: --results DIR (or RESULTS_PATH in the environment)")
    home = options.dagster_home or default_home(Path(options.results).absolute())
    file = home / FILE_NAME
    if not file.is_file():
        raise NotAvailableError(f"there is no {file}; give the --results (or --dagster-home) of a run")
    shown = effective_values(Deployment.model_validate_json(file.read_bytes()), options.session)
    if options.json:
        sys.stdout.write(_text(_nested(shown)))
    else:
        _say_values(shown, changed_only=options.changed)
    return OK


def _say_values(shown: list[Shown], changed_only: bool) -> None:
    from spikepipe_core.params import BUILT_IN

    kept = [value for value in shown if not changed_only or value.origin != BUILT_IN]
    width = min(_PATH_COLUMN, max((len(value.path) for value in kept), default=0))
    for value in kept:
        found = "(the format that is found)" if value.detected else _brief(value.value, 60)
        style = "dim" if value.origin == BUILT_IN else "bold"
        _say(f"{escape(value.path):{width}}  [{style}]{escape(found)}[/]  [dim]# {escape(value.origin)}[/]")


def _nested(shown: list[Shown]) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for value in shown:
        if not value.detected:
            *parents, last = value.keys
            target = params
            for key in parents:
                target = target.setdefault(key, {})
            target[last] = value.value
    return params


def _diff(options: argparse.Namespace) -> int:
    from spikepipe_assets.params_report import differences

    before, after = _load(options.a), _load(options.b)
    found = differences(before, after)
    for difference in found:
        _say(f"{escape(difference.path)}: {escape(difference.told())}")
    if not found:
        _say("no difference in what applies")
        return OK
    _say_outputs(before, after)
    return DIFFERENT


def _load(name: str) -> dict[str, Any]:
    from spikepipe_core.params import default_params, load_params

    if name == DEFAULTS:
        return default_params()
    params = load_params(name).to_dict()
    params.pop("$schema", None)
    return params


def _migrate(options: argparse.Namespace) -> int:
    from spikepipe_core.params import InvalidParamsError, migrate, parse_params, read_params_file

    today, changes = migrate(read_params_file(options.old))
    console = Console(stderr=True)
    if changes:
        console.print(f"{_count(len(changes), 'change')}:", highlight=False)
        for change in changes:
            console.print(f"- {escape(change)}", highlight=False, soft_wrap=True)
    else:
        console.print("it is of today's layout already", highlight=False)
    _write(_text(today), options)
    try:
        parse_params(today, str(options.output or options.old))
    except InvalidParamsError as error:
        console.print(f"[red]still to correct:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return WRONG
    return OK


def _edit(options: argparse.Namespace) -> int:
    from spikepipe_core.params.checking import check_for_editor
    from spikepipe_core.params.editor import serve

    try:
        return serve(options.port, check_for_editor, open_browser=not options.no_browser)
    except OSError as error:
        raise NotAvailableError(
            f"the editor cannot be served on port {options.port}: {error.strerror or error}; give another port"
        ) from error


def _write(text: str, options: argparse.Namespace) -> int:
    """Print a text, or write it to the file that was asked for."""
    path: Path | None = options.output
    if path is None:
        sys.stdout.write(text)
        return OK
    try:
        with path.open("w" if options.force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ParamsError(
            f"{path} is there already; name another file, or add --force to replace it"
        ) from error
    except OSError as error:
        raise ParamsError(f"{path} cannot be written: {error.strerror}") from error
    Console(stderr=True).print(f"written: {escape(str(path))}", highlight=False, soft_wrap=True)
    return OK


def _say(text: str) -> None:
    Console().print(text, highlight=False, soft_wrap=True)


def _say_list(title: str, lines: list[str]) -> None:
    if lines:
        _say(f"  {title}")
        for line in lines:
            _say(f"    {escape(line)}")


def _brief(value: Any, limit: int = 100) -> str:
    from spikepipe_assets.params_report import brief

    return brief(value, limit)


def _text(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"
