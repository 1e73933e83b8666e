"""Every error a user can meet, on one page, each with its sentence and remedy.

An error names what is wrong, the file or the value, and how to fix it. All of them mean
"trying the same thing again will not help", except `OutputBusyError`. What is *not* here (`OSError`,
`MemoryError`, a killed process) is infrastructure, which the platform retries.
"""

from __future__ import annotations

__all__ = [
    "BadDataError",
    "DamagedOutputError",
    "MissingInputError",
    "NotAvailableError",
    "OutputBusyError",
    "ParamsError",
    "SkippedByRule",
    "SpikepipeError",
    "StageFailedError",
]


class SpikepipeError(Exception):
    """Base of all errors that spikepipe raises on purpose."""


class ParamsError(SpikepipeError, ValueError):
    """A params file, flag or launchpad value is unknown or not allowed.

    Remedy: correct the key or the value that the message names.
    """


class BadDataError(SpikepipeError, ValueError):
    """A recording, or the metadata beside it, cannot be processed as it is.

    Remedy: the message names the file, what was found, what was expected and what to do.
    """


class NotAvailableError(SpikepipeError, RuntimeError):
    """Something that the params ask for is not on this machine: a sorter, a GPU, a model, room on a disk.

    Remedy: install or fetch it, or change the params key that the message names.
    """


class StageFailedError(SpikepipeError, RuntimeError):
    """A step ran and failed on this recording, for example the sorter itself.

    Remedy: read the log that the message names; change the params or leave the recording out.
    """


class DamagedOutputError(SpikepipeError, OSError):
    """A published output no longer matches its manifest.

    Remedy: materialize the output again; it is redone because it does not verify.
    """


class MissingInputError(SpikepipeError, LookupError):
    """A step was asked for before what it works on exists, or after that failed.

    Remedy: materialize the output that the message names first, or correct what made it fail.
    """


class OutputBusyError(SpikepipeError, TimeoutError):
    """Another run is writing the same output and did not finish in the time given.

    Remedy: wait for that run, or stop it.
    """


class SkippedByRule(Exception):  # noqa: N818 - an outcome, not an error
    """A recording is left out by a rule of the params (too short, too many bad channels, no units).

    Parameters
    ----------
    reason : str
        The rule, its threshold and the value found, in words; it goes into the ledger.
    """

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason
