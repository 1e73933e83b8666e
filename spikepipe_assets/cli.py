"""The `spikepipe` command."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from spikepipe_assets.backfill_command import add_backfill_command
from spikepipe_assets.clean_command import add_clean_command
from spikepipe_assets.params_command import add_params_command
from spikepipe_assets.scan_command import add_scan_command
from spikepipe_assets.status_command import add_status_command
from spikepipe_assets.step_arguments import add_step_arguments, join_step_arguments, step_overrides
from spikepipe_assets.terminal import open_console
from spikepipe_assets.verify_command import add_verify_command
from spikepipe_core import __version__
from spikepipe_core.errors import SpikepipeError

if TYPE_CHECKING:
    from spikepipe_assets.run import Finished, Request

OK, FAILED, USAGE = 0, 1, 2

SORTERS = "kilosort4, kilosort25, spykingcircus2, lupin, or any other that SpikeInterface has"
DEMO_FORMATS = ("spikeglx", "openephys", "nwb", "nwb-zarr", "aind", "spikeinterface")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0: every recording job ended well or was skipped by rule; 1: something failed; 2: bad usage, nothing started.
    """
    options = _parser().parse_args(join_step_arguments(sys.argv[1:] if arguments is None else arguments))
    try:
        return options.command(options)
    except SpikepipeError as error:
        Console(stderr=True).print(
            f"[red]spikepipe:[/] {escape(str(error))}", highlight=False, soft_wrap=True
        )
        return USAGE
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; what was published is kept, run again to go on")
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spikepipe", description="From raw extracellular recordings to curated units and NWB files."
    )
    parser.add_argument("--version", action="version", version=f"spikepipe {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="process a data folder, from raw files to NWB"))
    add_scan_command(commands)
    add_status_command(commands)
    add_backfill_command(commands)
    add_verify_command(commands)
    add_clean_command(commands)
    add_params_command(commands)
    _add_ui(commands.add_parser("ui", help="open Dagster on the results of a run"))
    _add_demo_data(commands.add_parser("demo-data", help="write a session with known ground truth"))
    _add_demo(
        commands.add_parser("demo", help="write a session, process it, and compare with its ground truth")
    )
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, default=_environment("DATA_PATH"), help="raw data folder (DATA_PATH)"
    )
    _add_results(parser)
    _add_params_file(parser)
    parser.add_argument(
        "--sorter", metavar="NAME", help=f"spike sorter, where the params file names none: {SORTERS}"
    )
    parser.add_argument(
        "--runmode", choices=("full", "fast"), default="full", help="fast leaves out slow steps"
    )
    parser.add_argument("--n_jobs", "--n-jobs", type=_positive, metavar="N", help="processes a step may use")
    parser.add_argument("--input", metavar="I", help="input format; detected if not given")
    parser.add_argument(
        "--scratch", type=Path, default=_environment("SPIKEPIPE_SCRATCH"), help="room for traces"
    )
    parser.add_argument(
        "--keep-scratch", action="store_true", help="leave the preprocessed traces in scratch"
    )
    parser.add_argument("--recompute", action="store_true", help="make everything again, even if up to date")
    add_step_arguments(parser)
    parser.set_defaults(command=_run)


def _add_params_file(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--params_file",
        "--params-file",
        type=Path,
        metavar="F",
        default=_environment("SPIKEPIPE_PARAMS_FILE"),
        help="params JSON (SPIKEPIPE_PARAMS_FILE)",
    )


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--results", type=Path, default=_environment("RESULTS_PATH"), help="results folder (RESULTS_PATH)"
    )
    parser.add_argument(
        "--dagster-home",
        "--dagster_home",
        type=Path,
        metavar="DIR",
        help="Dagster instance; <results>/.dagster",
    )


def _add_ui(parser: argparse.ArgumentParser) -> None:
    _add_results(parser)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--port", type=_positive, default=3000)
    watch = parser.add_argument_group("new sessions, processed by themselves")
    watch.add_argument(
        "--watch", action="append", metavar="ROOT", help="folder that holds one folder a session; repeatable"
    )
    watch.add_argument(
        "--settle", type=float, metavar="S", help="seconds without a change after which a session is complete"
    )
    watch.add_argument("--marker", metavar="NAME", help="file in a session's folder that says it is complete")
    _add_params_file(watch)
    parser.set_defaults(command=_ui)


def _add_demo_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write to; must not hold anything")
    _add_demo_shape(parser, seconds=180.0)
    parser.add_argument(
        "--format",
        choices=DEMO_FORMATS,
        default="spikeglx",
        help="how it is written: the same session in any of them (default: spikeglx)",
    )
    parser.set_defaults(command=_demo_data)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for data and results")
    _add_demo_shape(parser, seconds=130.0)
    parser.add_argument("--sorter", metavar="NAME", default="spykingcircus2", help=SORTERS)
    parser.add_argument("--n_jobs", "--n-jobs", type=_positive, metavar="N")
    parser.set_defaults(command=_demo)


def _add_demo_shape(parser: argparse.ArgumentParser, seconds: float) -> None:
    parser.add_argument("--probes", type=_positive, metavar="N", default=2)
    parser.add_argument("--seconds", type=float, metavar="S", default=seconds)
    parser.add_argument(
        "--channels", type=_positive, metavar="C", help="channels of every probe; they differ by default"
    )
    parser.add_argument("--seed", type=int, metavar="K", default=0)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def _environment(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _required(value: Path | None, flag: str, variable: str) -> Path:
    if value is None:
        raise SystemExit(_usage(f"{flag} is needed (or {variable} in the environment)"))
    return value.absolute()


def _usage(message: str) -> int:
    print(f"spikepipe: {message}", file=sys.stderr)
    return USAGE


def _run(options: argparse.Namespace) -> int:
    data = _required(options.data, "--data", "DATA_PATH")
    results = _required(options.results, "--results", "RESULTS_PATH")

    from spikepipe_assets.deployment import Deployment, stored_settings
    from spikepipe_assets.instance import default_home
    from spikepipe_assets.run import Request
    from spikepipe_core.params import read_params_file

    overrides = step_overrides(options)
    if options.input:
        overrides.setdefault("job_dispatch", {})["input"] = options.input
    home = (options.dagster_home or default_home(results)).absolute()
    deployment = Deployment(
        results=results,
        data=data,
        scratch=options.scratch and options.scratch.absolute(),
        params_file=options.params_file and options.params_file.absolute(),
        params=read_params_file(options.params_file) if options.params_file else {},
        overrides=overrides,
        sorter=options.sorter,
        runmode=options.runmode,
        n_jobs=options.n_jobs,
        storage=stored_settings(home),
    )
    return _process(Request(data, deployment, home, options.recompute, options.keep_scratch))


def _process(request: Request) -> int:
    from spikepipe_assets.run import outcome_table, process

    console = open_console()
    finished = process(request, console)
    console.print(outcome_table(finished, request.deployment.store()))
    _say_where(request, finished, console)
    return FAILED if finished.failed else OK


def _say_where(request: Request, finished: Finished, console: Console) -> None:
    from spikepipe_assets.instance import default_home
    from spikepipe_assets.run import output_paths

    results = request.deployment.results
    for what, path in output_paths(finished, request.deployment.store()):
        console.print(f"{what}: {path}", markup=False)
    home = "" if request.home == default_home(results) else f" --dagster-home {request.home}"
    console.print(f"look at this run: {_this_command()} ui --results {results}{home}", markup=False)


def _this_command() -> str:
    """How the person called spikepipe: by its path if it is not on theirs."""
    return "spikepipe" if shutil.which("spikepipe") else sys.argv[0]


def _ui(options: argparse.Namespace) -> int:
    from spikepipe_assets.instance import default_home
    from spikepipe_assets.ui import describe_deployment, serve

    results = _required(options.results, "--results", "RESULTS_PATH")
    home = (options.dagster_home or default_home(results)).absolute()
    watch = {"roots": options.watch, "settle_s": options.settle, "marker": options.marker}
    given = {name: value for name, value in watch.items() if value is not None}
    return serve(
        home, options.host, options.port, describe_deployment(results, home, options.params_file, given)
    )


def _demo_data(options: argparse.Namespace) -> int:
    console = open_console()
    console.print(f"written: {_generate(options, options.out, console)}", markup=False)
    return OK


def _demo(options: argparse.Namespace) -> int:
    from spikepipe_assets.demo import compare, demo_deployment, demo_table
    from spikepipe_assets.instance import default_home
    from spikepipe_assets.run import Request, process

    console, out = open_console(), options.out.absolute()
    data = out / "data"
    if data.exists():
        console.print(f"{data} is there already: it is processed as it is", markup=False)
    else:
        _generate(options, data, console)
    deployment = demo_deployment(out, sorter=options.sorter, n_jobs=options.n_jobs)
    request = Request(data, deployment, default_home(deployment.results))
    finished = process(request, console)
    store = deployment.store()
    console.print(demo_table(finished, store, compare(finished, store, data)))
    _say_where(request, finished, console)
    return FAILED if finished.failed else OK


def _generate(options: argparse.Namespace, out: Path, console: Console) -> Path:
    from spikepipe_assets.demo import generate

    return generate(
        out,
        console,
        probes=options.probes,
        seconds=options.seconds,
        channels=options.channels,
        seed=options.seed,
        format=getattr(options, "format", "spikeglx"),
    )


if __name__ == "__main__":
    raise SystemExit(main())
