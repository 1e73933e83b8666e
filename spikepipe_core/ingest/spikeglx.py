"""SpikeGLX: run folders with a pair of `.bin` and `.meta` files for each probe, band, gate and trigger.

Every pair is opened by itself, as SpikeInterface's binary recording with the geometry that probeinterface
reads from the `.meta`, so that a broken file of one probe does not keep the others from loading. (Neo's
folder scan reads all files below a folder and stops at the first bad one.) Traces, channel ids, gains, times
and geometry are those of `spikeinterface.extractors.read_spikeglx`.

A run folder `<run>_g<gate>` is a session; its triggers are the segments. Folders apart that hold probes of one run
are one session too. With `split_segments` false, so are gates of one run that lie in folders side by side: they are
segments then, as when Neo reads the parent folder.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.base import Found
from spikepipe_core.ingest.classification import StreamFacts, StreamKind, classify
from spikepipe_core.ingest.clock import StreamClock
from spikepipe_core.ingest.files import relative, walk_files
from spikepipe_core.ingest.jobs import FoundSegment, FoundStream, IgnoredStream, RecordingJob
from spikepipe_core.ingest.neuropixels import channel_groups, shank_groups
from spikepipe_core.ingest.shape import probe_model
from spikepipe_core.ingest.spikeglx_files import (
    BinaryLayout,
    FilePair,
    binary_layout,
    find_pairs,
    name_in_meta,
    parse_name,
    read_meta,
)
from spikepipe_core.ingest.spikeglx_probe import (
    keeps_low_frequencies,
    microvolts_per_bit,
    read_lfp_probe,
    read_probe,
    refuse_mismatch,
)
from spikepipe_core.ingest.spikeglx_recording import band_probe, open_band, pair_of
from spikepipe_core.ingest.spikeglx_runs import by_session_folder, is_beside, run_folder
from spikepipe_core.ingest.spikeglx_sync import sync_clock

if TYPE_CHECKING:
    from probeinterface import Probe
    from spikeinterface.core import BaseRecording

    from spikepipe_core.params import JobDispatchParams

__all__ = ["SpikeGLXReader"]

# More than the bands of one probe ever differ by.
_BANDS_DIFFER_S = 0.5


class SpikeGLXReader:
    """Reader of SpikeGLX run folders, their parents, and single probe folders."""

    name = "spikeglx"

    def detect(self, folder: Path) -> str | None:
        """Recognise the folder by a file such as ``mouse_g0_t0.imec0.ap.meta``, or by what a renamed one says."""
        renamed = []
        for path in walk_files(folder):
            if path.suffix in (".meta", ".bin"):
                name = parse_name(path.stem)
                if name is not None and name.device.startswith("imec"):
                    return f"SpikeGLX file {path.name}"
                renamed += [path] if name is None and path.suffix == ".meta" else []
        found = next((path for path in renamed if _is_of_probe(path, folder)), None)
        return None if found is None else f"SpikeGLX metadata in {found.name}"

    def find(self, folder: Path, root: Path, params: JobDispatchParams) -> Found:
        """Find the AP band of every probe, with its LF companion."""
        pairs, passed_over = find_pairs(folder, root)
        ignored = [
            IgnoredStream(stream=relative(path, root), reason=reason, folder=relative(path.parent, root))
            for path, reason in passed_over
        ]
        wanted, unwanted = _probe_pairs(pairs)
        ignored += [_ignored(pair, kind, reason, root) for pair, kind, reason in unwanted]
        ignored += _sync_channels(wanted, root)
        boards = [pair for pair in pairs if not pair.name.device.startswith("imec") and pair.binary.is_file()]
        streams: list[FoundStream] = []
        for session_folder, members in by_session_folder(wanted, folder, root, params.split_segments).items():
            streams += _streams(session_folder, members, boards, root)
        return Found(tuple(streams), tuple(ignored))

    def recording(self, job: RecordingJob, root: Path) -> BaseRecording:
        """Open the AP band of a job."""
        return open_band(job.source, "ap", job.stream, root)

    def lfp(self, job: RecordingJob, root: Path) -> BaseRecording | None:
        """Open the LF band of a job, None if the probe wrote none."""
        if job.lfp_stream is None:
            return None
        lfp = open_band(job.source, "lf", job.lfp_stream, root)
        shanks = lfp.get_probe().shank_ids
        if shanks is not None:  # of which the LF band may have fewer
            groups = shank_groups(band_probe(pair_of(root / str(job.source[0]["ap"])), job.source[0], root))
            lfp.set_channel_groups([groups[str(shank)] for shank in shanks])
        return lfp

    def clocks(self, job: RecordingJob, segment: int, root: Path) -> dict[str, StreamClock]:
        """Pulses of the sync line, in the AP band and in the boards' files of the same gate and trigger."""
        own = pair_of(root / str(job.source[segment]["ap"]))
        metas = {job.stream: own.meta}
        for name in job.board_files:
            pair = pair_of(root / name)
            if pair.meta == root / name and is_beside(pair, own, root):
                metas[pair.name.stream] = pair.meta
        clocks = {stream: sync_clock(meta, root) for stream, meta in metas.items()}
        return {stream: clock for stream, clock in clocks.items() if clock is not None}


def _is_of_probe(meta: Path, root: Path) -> bool:
    """Whether a file of another name holds the metadata of a probe's signal."""
    try:
        name = name_in_meta(meta, root)
    except BadDataError:
        return False
    return name is not None and name.device.startswith("imec")


# --- from files to streams ----------------------------------------------------------------------------------


def _probe_pairs(pairs: list[FilePair]) -> tuple[list[FilePair], list[tuple[FilePair, StreamKind, str]]]:
    """Tell the bands of probes from other boards, and original files from copies that CatGT made of them."""
    wanted: list[FilePair] = []
    unwanted: list[tuple[FilePair, StreamKind, str]] = []
    originals = {_probe_of(pair) for pair in pairs if not pair.name.is_catgt}
    with_ap = {_stretch_of(pair) for pair in pairs if pair.name.band == "ap"}
    for pair in pairs:
        name, kind = pair.name, classify(StreamFacts(pair.name.stream)).kind
        if not name.device.startswith("imec"):
            board = "an NI-DAQ board" if name.device == "nidq" else "a OneBox's analog inputs"
            unwanted.append((pair, kind, f"{name.device} is {board}, not a probe"))
        elif name.is_catgt and _probe_of(pair) in originals:
            unwanted.append((pair, kind, "a copy made by CatGT; the original files are beside it"))
        elif kind == "LFP" and (trigger := _only_trigger(pair, pairs)) is not None:
            wanted.append(replace(pair, name=replace(name, trigger=trigger)))
        elif kind == "LFP" and _stretch_of(pair) not in with_ap:
            unwanted.append((pair, kind, "an LF band without the AP band that spikes are sorted from"))
        elif not name.band:
            unwanted.append((pair, "unknown", f"{name.device} without a band (ap or lf) in its name"))
        else:
            wanted.append(pair)
    return wanted, unwanted


def _only_trigger(lf: FilePair, pairs: list[FilePair]) -> int | None:
    """Trigger of the AP band that CatGT made an LF band for, if the AP band is original and of one trigger only."""
    place = _stretch_of(lf)[:3], lf.name.device
    of_probe = [pair for pair in pairs if (_stretch_of(pair)[:3], pair.name.device) == place]
    triggers = {pair.name.trigger for pair in of_probe if pair.name.band == "ap"}
    return triggers.pop() if lf.name.is_catgt and len(triggers) == 1 else None


def _sync_channels(pairs: list[FilePair], root: Path) -> list[IgnoredStream]:
    """The SYNC word in the file of each probe, which Neo lists as a stream of its own."""
    found: dict[tuple[Path, str], IgnoredStream] = {}
    for pair in pairs:
        try:
            counts = read_meta(pair.meta, root).get("snsApLfSy", "") if pair.name.band == "ap" else ""
        except BadDataError:
            continue  # said of the probe itself
        if counts.split(",")[-1].strip() not in ("", "0"):
            stream = f"{pair.name.stream}-SYNC"
            reason = "the sync line, by which the clock report compares streams"
            one = _ignored(pair, classify(StreamFacts(stream)).kind, reason, root)
            found[run_folder(pair), stream] = one.model_copy(update={"stream": stream})
    return list(found.values())


def _ignored(pair: FilePair, kind: StreamKind, reason: str, root: Path) -> IgnoredStream:
    return IgnoredStream(
        stream=relative(pair.binary, root),
        reason=reason,
        kind=kind,
        folder=relative(run_folder(pair), root) if run_folder(pair).is_relative_to(root) else None,
    )


def _probe_of(pair: FilePair) -> tuple[Path, str, int, str, str]:
    """Which signal it is; CatGT writes that of ``<run>_g<gate>`` to ``catgt_<run>_g<gate>``."""
    name, place = pair.name, run_folder(pair)
    acquired = place.parent / place.name.removeprefix("catgt_")
    return (acquired, name.run, name.gate, name.device, name.band)


def _stretch_of(pair: FilePair) -> tuple[Path, str, int, int, str]:
    name = pair.name
    return (run_folder(pair), name.run, name.gate, name.trigger, name.device)


def _streams(
    session_folder: Path, pairs: list[FilePair], boards: list[FilePair], root: Path
) -> list[FoundStream]:
    """The probes of one session folder, with runs as blocks, and gates and triggers as segments."""
    runs = sorted({pair.name.run for pair in pairs})
    found = []
    for block, run in enumerate(runs):
        members = [pair for pair in pairs if pair.name.run == run]
        stretches = sorted({(pair.name.gate, pair.name.trigger) for pair in members})
        for device in sorted({pair.name.device for pair in members}):
            probe_pairs = [pair for pair in members if pair.name.device == device]
            found.append(
                _stream(session_folder, f"block{block}", device, probe_pairs, boards, stretches, root)
            )
    return found


def _stream(
    session_folder: Path,
    block: str,
    device: str,
    pairs: list[FilePair],
    boards: list[FilePair],
    stretches: list[tuple[int, int]],
    root: Path,
) -> FoundStream:
    segments: list[FoundSegment] = []
    groups: dict[str, int] = {}
    facts = StreamFacts(f"{device}.ap")
    model = None
    for number, stretch in enumerate(stretches, start=1):
        here = [pair for pair in pairs if (pair.name.gate, pair.name.trigger) == stretch]
        ap = [pair for pair in here if pair.name.band == "ap"]
        lf = [pair for pair in here if pair.name.band == "lf"]
        if not ap:
            continue
        segment, layout, probe = _segment(number, ap, lf, root)
        beside = [pair for pair in boards if is_beside(pair, ap[0], root)]
        files = tuple(relative(path, root) for pair in beside for path in (pair.binary, pair.meta))
        segments.append(replace(segment, board_files=files))
        if layout is not None and probe is not None:
            groups, model = channel_groups(probe), probe_model(probe)
            facts = replace(
                facts,
                sampling_frequency=layout.sampling_frequency,
                has_geometry=True,
                keeps_low_frequencies=keeps_low_frequencies(read_meta(ap[0].meta, root), probe),
            )
    found = classify(facts)
    return FoundStream(
        folder=session_folder,
        block=block,
        stream=f"{device}.ap",
        probe=device,
        segments=tuple(segments),
        groups=groups,
        lfp_stream=f"{device}.lf" if any("lf" in segment.source for segment in segments) else None,
        sampling_frequency=facts.sampling_frequency,
        kind=found.kind,
        kind_reason=found.reason,
        probe_model=model,
    )


def _segment(
    number: int, ap: list[FilePair], lf: list[FilePair], root: Path
) -> tuple[FoundSegment, BinaryLayout | None, Probe | None]:
    """Check one stretch of a probe; what is wrong with it is said, not raised."""
    source: dict[str, Any] = {"ap": relative(ap[0].binary, root)}
    layout = probe = problem = lfp_problem = None
    remarks: tuple[str, ...] = ()
    try:
        _refuse_copies(ap)
        layout = _layout(ap[0], root)
        probe = read_probe(ap[0], root)
        refuse_mismatch(ap[0], probe, layout)
        remarks = _unfinished(ap[0], root)
        if lf and _is_made_by_catgt(ap[0], lf[0], probe, root):
            remarks += (f"{lf[0].binary.name} was made by CatGT and is not used: the wide band has the LFP",)
            lf = []
        lfp_problem = _lfp_problem(ap[0], lf, layout, probe, root)
    except BadDataError as error:
        problem = str(error)
    used = ap
    if lf and lfp_problem is None:
        source["lf"] = relative(lf[0].binary, root)
        used = [*ap, *lf]
    files = tuple(relative(path, root) for pair in used for path in (pair.binary, pair.meta))
    duration = None if layout is None else layout.duration
    return FoundSegment(number, source, files, duration, problem, (), remarks, lfp_problem), layout, probe


def _lfp_problem(
    ap: FilePair, lf: list[FilePair], layout: BinaryLayout, probe: Probe, root: Path
) -> str | None:
    """Why the LF band of a probe that acquires one cannot be used: that costs the LFP, not the spikes."""
    if not lf:
        if keeps_low_frequencies(read_meta(ap.meta, root), probe) is not False:
            return None
        return f"no LF file was saved beside {ap.binary.name}, whose AP band is high-passed"
    try:
        _refuse_copies(lf)
        found = _layout(lf[0], root)
        of_lf = read_lfp_probe(lf[0], ap, root)
        refuse_mismatch(lf[0], of_lf, found)
        microvolts_per_bit(lf[0], read_meta(lf[0].meta, root), "lf", of_lf)
    except BadDataError as error:
        return str(error)
    if abs(found.duration - layout.duration) > _BANDS_DIFFER_S:
        lengths = f"{found.duration:.1f} s, but {ap.binary.name} {layout.duration:.1f} s"
        return f"{lf[0].binary} lasts {lengths}. Copy it again."
    return None


def _is_made_by_catgt(ap: FilePair, lf: FilePair, probe: Probe, root: Path) -> bool:
    """Whether CatGT filtered the LF band out of the wide band of a probe that acquires one band only."""
    made = lf.name.is_catgt and not ap.name.is_catgt
    return made and keeps_low_frequencies(read_meta(ap.meta, root), probe) is not False


def _unfinished(ap: FilePair, root: Path) -> tuple[str, ...]:
    """What to tell of a file that SpikeGLX had not finished when it was copied, or when it crashed."""
    if "fileSizeBytes" in read_meta(ap.meta, root):
        return ()
    return (
        f"{ap.binary.name} was not finished by SpikeGLX ({ap.meta.name} has no fileSizeBytes): copied during the "
        "acquisition, or cut short by a crash; its whole samples are used",
    )


def _refuse_copies(pairs: list[FilePair]) -> None:
    if len(pairs) > 1:
        raise BadDataError(
            f"{pairs[0].binary} and {pairs[1].binary} are the same stream of the same gate and trigger. "
            "Move one of them out of the data folder."
        )


def _layout(pair: FilePair, root: Path) -> BinaryLayout:
    return binary_layout(pair, read_meta(pair.meta, root), root)
