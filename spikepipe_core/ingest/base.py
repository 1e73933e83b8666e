"""The one interface of all readers.

A reader is a module with a class that satisfies `Reader`, and an entry in `spikepipe_core.ingest.READERS`.
It knows its format only: splitting into groups, clipping and naming are done for all of them in `jobs` and
`shape`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from spikepipe_core.ingest.jobs import FoundStream, IgnoredStream, RecordingJob

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording

    from spikepipe_core.params import JobDispatchParams

__all__ = ["Found", "LoadedRecording", "Reader"]


@dataclass(frozen=True)
class Found:
    """What a reader found in a folder: probe signals, and streams that are none."""

    streams: tuple[FoundStream, ...]
    ignored: tuple[IgnoredStream, ...] = ()


@dataclass(frozen=True)
class LoadedRecording:
    """The raw signal of one recording job, lazily.

    Attributes
    ----------
    recording : BaseRecording
        Wide-band or AP signal, with probe, gains (uV) and, where the probe multiplexes, `inter_sample_shift`.
    lfp : BaseRecording or None
        The probe's own LFP band; None if the acquisition wrote none.
    """

    recording: BaseRecording
    lfp: BaseRecording | None


class Reader(Protocol):
    """A raw data format.

    `detect` and `find` must be cheap (names and metadata only), and `find` must not fail for one bad probe:
    that one is reported with its `problem`, so that the others go on and the ledger shows it.
    """

    name: str

    def detect(self, folder: Path) -> str | None:
        """How the folder is recognised as this format, in words; None if it is not."""
        ...

    def find(self, folder: Path, root: Path, params: JobDispatchParams) -> Found:
        """All probe signals in the folder, with paths relative to the data root."""
        ...

    def recording(self, job: RecordingJob, root: Path) -> BaseRecording:
        """The job's segments with all channels of its stream; raises `BadDataError`."""
        ...

    def lfp(self, job: RecordingJob, root: Path) -> BaseRecording | None:
        """The companion LFP band of the same segments; None if there is none; raises `BadDataError`."""
        ...
