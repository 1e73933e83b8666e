"""Run a sorter in its working folder: seeded, within its cores, with its output kept, and errors in one line."""

from __future__ import annotations

import errno
import io
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

import spikeinterface.core as si

from spikepipe_core.errors import StageFailedError
from spikepipe_core.sorters import Sorter
from spikepipe_core.stages.repeatable import limited_to, repeatable
from spikepipe_core.stages.sorters import container_of, seed_of

PRINTED = "printed.txt"
"""In the working folder: what the sorter printed."""

MAX_CAUSE = 300
"""Characters of a sorter's own error that are passed on; the rest is in its log."""


class NothingFoundError(Exception):
    """The sorter gave up because it found too few spikes."""


def working_folder(folder: Path) -> Path:
    """Where SpikeInterface works below the folder that a sorter is given."""
    return folder / "run"


def run(
    recording: si.BaseRecording, sorter: Sorter, arguments: Mapping[str, Any], folder: Path
) -> si.BaseSorting:
    """Run a sorter on a recording of one segment.

    Parameters
    ----------
    recording : BaseRecording
        Preprocessed traces with a probe.
    arguments : mapping
        Parameters of the sorter, as the installed SpikeInterface takes them.
    folder : Path
        Made, and left as it is; must not exist.

    Raises
    ------
    NothingFoundError
        It found too few spikes to sort.
    StageFailedError
        It failed otherwise, with its own last words.
    OSError, MemoryError
        The machine failed it.
    """
    import spikeinterface.sorters as ss

    folder.mkdir(parents=True)
    jobs = _job_kwargs(arguments)
    try:
        with ExitStack() as stack:
            stack.enter_context(limited_to(jobs["n_jobs"]))
            stack.enter_context(repeatable(seed_of(arguments)))
            stack.enter_context(_global_job_kwargs(jobs))
            stack.enter_context(_printing_to(folder / PRINTED))
            return ss.run_sorter(
                sorter.spikeinterface_name,
                recording,
                folder=working_folder(folder),
                verbose=True,
                raise_error=True,
                **container_of(sorter),
                **arguments,
            )
    except (OSError, MemoryError):
        raise
    except Exception as error:
        if _is_flat(recording):
            raise NothingFoundError("the traces are flat") from error
        raise _in_one_line(sorter, error, folder) from error


def _job_kwargs(arguments: Mapping[str, Any]) -> dict[str, Any]:
    own = arguments.get("job_kwargs")
    found = {**arguments, **(own if isinstance(own, dict) else {})}
    names = ("n_jobs", "chunk_duration", "mp_context")
    return {"n_jobs": 1, **{name: found[name] for name in names if found.get(name) is not None}}


def _is_flat(recording: si.BaseRecording) -> bool:
    """Whether there is not even noise, which sorters fail on in many ways."""
    return not si.get_noise_levels(recording, return_in_uV=False, random_slices_kwargs={"seed": 0}).any()


@contextmanager
def _global_job_kwargs(jobs: Mapping[str, Any]) -> Iterator[None]:
    """Give our workers to the steps that a sorter starts without any (Lupin's motion correction)."""
    before = si.get_global_job_kwargs()
    si.set_global_job_kwargs(**jobs)
    try:
        yield
    finally:
        si.reset_global_job_kwargs()
        si.set_global_job_kwargs(**before)


@contextmanager
def _printing_to(path: Path) -> Iterator[None]:
    """Keep what is printed, and print it all the same."""
    with path.open("w", encoding="utf-8", errors="replace") as file, redirect_stdout(_Both(sys.stdout, file)):
        yield


class _Both(io.TextIOBase):
    def __init__(self, *streams: TextIO):
        self._streams = streams

    def write(self, text: str) -> int:
        for stream in self._streams:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        for stream in self._streams:
            stream.flush()


def _in_one_line(sorter: Sorter, error: Exception, folder: Path) -> Exception:
    """The sorter's error as one of ours, or as the infrastructure's."""
    cause = _cause(error)
    if any(re.search(pattern, cause) for pattern in sorter.nothing_found):
        return NothingFoundError("too few spikes to sort")
    if re.match(r"(\w+\.)*_?(Array)?MemoryError\b", cause):
        return MemoryError(f"{sorter.name}: {cause}")
    if re.match(rf"OSError: \[Errno {errno.ENOSPC}\]", cause):
        return OSError(errno.ENOSPC, f"{sorter.name}: {cause}", str(folder))
    return StageFailedError(
        f"{sorter.name} failed: {cause}{_last_words(sorter, cause, folder)}{_remedy(cause)}"
    )


def _cause(error: Exception) -> str:
    """The last exception of a sorter's trace, in one line."""
    from spikeinterface.sorters.utils import SpikeSortingError

    if not isinstance(error, SpikeSortingError):
        return _short(f"{type(error).__name__}: {error}")
    lines = [
        line
        for line in str(error).splitlines()
        if line.strip() and not line.startswith("Spike sorting failed.")
    ]
    frames = [number for number, line in enumerate(lines) if line.lstrip().startswith("File ")]
    after = lines[frames[-1] + 1 :] if frames else lines
    own = [line for line in after if not line.startswith(" ")] or lines[-1:]
    return _short(own[0] if frames else own[-1])


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_CAUSE else text[: MAX_CAUSE - 1] + "…"


def _last_words(sorter: Sorter, cause: str, folder: Path) -> str:
    """The last line in the log of a sorter in a process of its own, whose exception only says that it ended."""
    log = working_folder(folder) / "sorter_output" / f"{sorter.spikeinterface_name}.log"
    if "exit code" not in cause or not log.is_file():
        return ""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f' ("{_short(lines[-1])}")' if lines else ""


def _remedy(cause: str) -> str:
    if re.search("CUDA out of memory|OutOfMemoryError", cause):
        return ". Set clear_cache to true, lower batch_size, or use a GPU with more memory"
    return ""
