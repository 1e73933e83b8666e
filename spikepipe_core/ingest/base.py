"""The one interface of all readers.

A reader is a module with a class that satisfies `Reader`, and a line in `spikepipe_core.ingest.registry`.
It knows its format only. Done for all of them in one place are: naming and splitting (`jobs`), cutting to a group,
clipping and making signed (`shape`), telling what a stream is (`classification`), judging timestamps
(`timestamps`), comparing clocks (`clock`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from spikepipe_core.ingest.clock import StreamClock
from spikepipe_core.ingest.jobs import FoundStream, IgnoredStream, RecordingJob

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording

    from spikepipe_core.params import JobDispatchParams

__all__ = ["Found", "LoadedRecording", "Reader"]


@dataclass(frozen=True)
class Found:
    """What a reader found in a folder: probe signals, and everything else with its kind and why not."""

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

    `detect` and `find` must be cheap (names and metadata only). `find` must not fail for one bad probe: that one is
    reported with its `problem`, so that the others go on and the ledger shows it. Every stream that is not processed
    is reported as an `IgnoredStream` with its kind (see `classify`) and the reason.
    """

    name: str

    def detect(self, folder: Path) -> str | None:
        """How the folder is recognised as this format, in words; None if it is not."""
        ...

    def find(self, folder: Path, root: Path, params: JobDispatchParams) -> Found:
        """All probe signals in the folder, with paths relative to the data root."""
        ...

    def recording(self, job: RecordingJob, root: Path) -> BaseRecording:
        """The job's segments with all channels of its stream.

        It has a probe whose contacts are in the order of the channels, groups by shank (or as the file says), gains
        and offsets to uV; unsigned data stay so. Raises `BadDataError`: without geometry too, naming the stream and
        the remedy.
        """
        ...

    def lfp(self, job: RecordingJob, root: Path) -> BaseRecording | None:
        """The companion LFP band of the same segments; None if there is none; raises `BadDataError`."""
        ...

    def clocks(self, job: RecordingJob, segment: int, root: Path) -> dict[str, StreamClock]:
        """Marks of a shared clock in one segment of the job, by stream: its own, and those of `job.board_files`.

        Empty where the format has none. A format whose sample times are on one clock for all streams of a session
        returns `clock_of_times`.
        """
        ...
