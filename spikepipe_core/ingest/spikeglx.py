"""SpikeGLX: run folders with a pair of `.bin` and `.meta` files for each probe, band, gate and trigger.

Every pair is opened by itself, as SpikeInterface's binary recording with the geometry that probeinterface
reads from the `.meta`, so that a broken file of one probe does not keep the others from loading. (Neo's
folder scan reads all files below a folder and stops at the first bad one.) Traces, channel ids, gains, times
and geometry are those of `spikeinterface.extractors.read_spikeglx`.

A run folder `<run>_g<gate>` is a session; its triggers are the segments. With `split_segments` false, gates
of one run that lie in folders side by side are segments of one session too, as when Neo reads the parent
folder.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.base import Found
from spikepipe_core.ingest.classification import StreamFacts, StreamKind, classify
from spikepipe_core.ingest.clock import StreamClock
from spikepipe_core.ingest.files import inside, relative, walk_files
from spikepipe_core.ingest.jobs import FoundSegment, FoundStream, IgnoredStream, RecordingJob
from spikepipe_core.ingest.neuropixels import annotate, channel_groups
from spikepipe_core.ingest.shape import probe_model
from spikepipe_core.ingest.spikeglx_files import (
    PROBE_FOLDER,
    BinaryLayout,
    FileName,
    FilePair,
    binary_layout,
    find_pairs,
    parse_name,
    read_meta,
)
from spikepipe_core.ingest.spikeglx_sync import sync_clock

if TYPE_CHECKING:
    from probeinterface import Probe
    from spikeinterface.core import BaseRecording

    from spikepipe_core.params import JobDispatchParams

__all__ = ["SpikeGLXReader"]

# Where .meta files do not say it (before 2020): the positive range of the 10-bit converters of Neuropixels
# 1.0 and of the 14-bit ones of 2.0; https://billkarsh.github.io/SpikeGLX/Sgl_help/Metadata_30.html
# (imMaxInt).
_DEFAULT_MAX_INT = {10: 512, 14: 8192}

# Keys that change from file to file and say nothing of the probe.
_NOT_OF_PROBE = ("file", "firstSample", "imErrFlags", "userNotes")


class SpikeGLXReader:
    """Reader of SpikeGLX run folders, their parents, and single probe folders."""

    name = "spikeglx"

    def detect(self, folder: Path) -> str | None:
        """Recognise the folder by a file such as ``mouse_g0_t0.imec0.ap.meta``."""
        for path in walk_files(folder):
            if path.suffix in (".meta", ".bin"):
                name = parse_name(path.stem)
                if name is not None and name.device.startswith("imec"):
                    return f"SpikeGLX file {path.name}"
        return None

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
        for session_folder, members in _by_session_folder(wanted, folder, params.split_segments).items():
            streams += _streams(session_folder, members, boards, root)
        return Found(tuple(streams), tuple(ignored))

    def recording(self, job: RecordingJob, root: Path) -> BaseRecording:
        """Open the AP band of a job."""
        return _open(job.source, "ap", job.stream, root)

    def lfp(self, job: RecordingJob, root: Path) -> BaseRecording | None:
        """Open the LF band of a job, None if the probe wrote none."""
        if job.lfp_stream is None:
            return None
        return _open(job.source, "lf", job.lfp_stream, root)

    def clocks(self, job: RecordingJob, segment: int, root: Path) -> dict[str, StreamClock]:
        """Pulses of the sync line, in the AP band and in the boards' files of the same gate and trigger."""
        own = _pair(root / str(job.source[segment]["ap"]))
        metas = {job.stream: own.meta}
        for name in job.board_files:
            pair = _pair(root / name)
            if pair.meta == root / name and _is_beside(pair, own):
                metas[pair.name.stream] = pair.meta
        clocks = {stream: sync_clock(meta, root) for stream, meta in metas.items()}
        return {stream: clock for stream, clock in clocks.items() if clock is not None}


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
        elif kind == "LFP" and _stretch_of(pair) not in with_ap:
            unwanted.append((pair, kind, "an LF band without the AP band that spikes are sorted from"))
        elif not name.band:
            unwanted.append((pair, "unknown", f"{name.device} without a band (ap or lf) in its name"))
        else:
            wanted.append(pair)
    return wanted, unwanted


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
            found[_run_folder(pair), stream] = one.model_copy(update={"stream": stream})
    return list(found.values())


def _ignored(pair: FilePair, kind: StreamKind, reason: str, root: Path) -> IgnoredStream:
    return IgnoredStream(
        stream=relative(pair.binary, root),
        reason=reason,
        kind=kind,
        folder=relative(_run_folder(pair), root) if _run_folder(pair).is_relative_to(root) else None,
    )


def _probe_of(pair: FilePair) -> tuple[Path, str, int, str, str]:
    name = pair.name
    return (_run_folder(pair), name.run, name.gate, name.device, name.band)


def _stretch_of(pair: FilePair) -> tuple[Path, str, int, int, str]:
    name = pair.name
    return (_run_folder(pair), name.run, name.gate, name.trigger, name.device)


def _run_folder(pair: FilePair) -> Path:
    """The folder of the run: the one above a probe folder, else the file's own."""
    parent = pair.binary.parent
    return parent.parent if PROBE_FOLDER.search(parent.name) else parent


def _by_session_folder(
    pairs: list[FilePair], folder: Path, split_segments: bool
) -> dict[Path, list[FilePair]]:
    """Pairs by session folder: the run folder, or the folder of a run's gates if they are to be joined.

    The given folder may itself be a probe folder: then the session has the run's name, as in its run folder.
    """
    grouped: dict[Path, list[FilePair]] = defaultdict(list)
    for pair in pairs:
        in_given = pair.binary.parent == folder
        run_folder = folder.with_name(PROBE_FOLDER.sub("", folder.name)) if in_given else _run_folder(pair)
        grouped[run_folder].append(pair)
    if split_segments:
        return dict(grouped)
    gates = Counter((run_folder.parent, pairs[0].name.run) for run_folder, pairs in grouped.items())
    joined: dict[Path, list[FilePair]] = defaultdict(list)
    for run_folder, members in grouped.items():
        above = (run_folder.parent, members[0].name.run)
        beside = gates[above] > 1 and folder in (run_folder.parent, *run_folder.parent.parents)
        joined[run_folder.parent if beside else run_folder] += members
    return dict(joined)


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
    segments, has_lf = [], False
    groups: dict[str, int] = {}
    facts = StreamFacts(f"{device}.ap")
    model = None
    for number, stretch in enumerate(stretches, start=1):
        here = [pair for pair in pairs if (pair.name.gate, pair.name.trigger) == stretch]
        ap = [pair for pair in here if pair.name.band == "ap"]
        lf = [pair for pair in here if pair.name.band == "lf"]
        if not ap:
            continue
        has_lf = has_lf or bool(lf)
        segment, layout, probe = _segment(number, ap, lf, root)
        beside = [pair for pair in boards if _is_beside(pair, ap[0])]
        files = tuple(relative(path, root) for pair in beside for path in (pair.binary, pair.meta))
        segments.append(replace(segment, board_files=files))
        if layout is not None and probe is not None:
            groups, model = channel_groups(probe), probe_model(probe)
            facts = replace(
                facts,
                sampling_frequency=layout.sampling_frequency,
                has_geometry=True,
                keeps_low_frequencies=_has_one_band(read_meta(ap[0].meta, root)),
            )
    found = classify(facts)
    return FoundStream(
        folder=session_folder,
        block=block,
        stream=f"{device}.ap",
        probe=device,
        segments=tuple(segments),
        groups=groups,
        lfp_stream=f"{device}.lf" if has_lf else None,
        sampling_frequency=facts.sampling_frequency,
        kind=found.kind,
        kind_reason=found.reason,
        probe_model=model,
    )


def _is_beside(board: FilePair, pair: FilePair) -> bool:
    """Whether a board was recorded at the same time as a probe."""
    one, other = board.name, pair.name
    return (_run_folder(board), one.run, one.gate, one.trigger) == (
        _run_folder(pair),
        other.run,
        other.gate,
        other.trigger,
    )


def _has_one_band(meta: dict[str, str]) -> bool | None:
    """Whether the probe acquires no LF band beside the AP one; None if the metadata do not say."""
    counts = meta.get("acqApLfSy", "").split(",")
    return counts[1].strip() == "0" if len(counts) == 3 else None


def _segment(
    number: int, ap: list[FilePair], lf: list[FilePair], root: Path
) -> tuple[FoundSegment, BinaryLayout | None, Probe | None]:
    """Check one stretch of a probe; what is wrong with it is said, not raised."""
    source: dict[str, Any] = {"ap": relative(ap[0].binary, root)}
    if lf:
        source["lf"] = relative(lf[0].binary, root)
    layout = probe = problem = None
    try:
        _refuse_copies(ap)
        _refuse_copies(lf)
        layout = _layout(ap[0], root)
        probe = _probe(ap[0], layout, root)
        if lf:
            _refuse_mismatch(lf[0], probe, _layout(lf[0], root))
    except BadDataError as error:
        problem = str(error)
    files = tuple(relative(path, root) for pair in (*ap, *lf) for path in (pair.binary, pair.meta))
    duration = None if layout is None else layout.duration
    return FoundSegment(number, source, files, duration, problem), layout, probe


def _refuse_copies(pairs: list[FilePair]) -> None:
    if len(pairs) > 1:
        raise BadDataError(
            f"{pairs[0].binary} and {pairs[1].binary} are the same stream of the same gate and trigger. "
            "Move one of them out of the data folder."
        )


def _layout(pair: FilePair, root: Path) -> BinaryLayout:
    return binary_layout(pair, read_meta(pair.meta, root), root)


# --- from files to recordings -------------------------------------------------------------------------------


def _open(source: tuple[dict[str, Any], ...], band: str, stream: str, root: Path) -> BaseRecording:
    """Open one band of all segments of a job as one recording."""
    import spikeinterface.core as si

    pairs = [_pair(root / str(segment[band])) for segment in source if band in segment]
    geometries = [_pair(root / str(segment["ap"])) for segment in source]
    if len(pairs) != len(source):
        raise BadDataError(
            f"The {band} band of {stream} is missing for some segments: "
            f"{[s['ap'] for s in source if band not in s]}. Copy the missing files, or process the segments "
            "one by one (job_dispatch.split_segments)."
        )
    metas = [read_meta(pair.meta, root) for pair in pairs]
    layouts = [binary_layout(pair, meta, root) for pair, meta in zip(pairs, metas, strict=True)]
    _refuse_different(pairs, layouts)
    probe = _probe(geometries[0], layouts[0], root)
    ids = _channel_ids(stream, band, metas[0], layouts[0])
    whole = si.BinaryRecordingExtractor(
        file_paths=[str(pair.binary) for pair in pairs],
        sampling_frequency=layouts[0].sampling_frequency,
        dtype="int16",
        num_channels=layouts[0].num_channels,
        channel_ids=ids,
        t_starts=[layout.first_sample / layout.sampling_frequency for layout in layouts],
        gain_to_uV=_padded(_gains(pairs[0], metas[0], band, probe), len(ids)),
        offset_to_uV=np.zeros(len(ids)),
    )
    recording = whole.select_channels(ids[: layouts[0].num_neural])
    recording.set_probe(deepcopy(probe), group_mode="auto" if probe.shank_ids is None else "by_shank")
    annotate(recording, probe, stream, is_shifted=_shifted_by_catgt(metas[0]))
    return recording


def _pair(binary: Path) -> FilePair:
    """The pair of a binary that discovery found; its name decides nothing any more but the band."""
    band = "lf" if binary.stem.endswith(".lf") else "ap"
    name = parse_name(binary.stem) or FileName(binary.stem, 0, -1, "imec", band, False)
    return FilePair(name, binary, binary.with_suffix(".meta"))


def _refuse_different(pairs: list[FilePair], layouts: list[BinaryLayout]) -> None:
    for pair, layout in zip(pairs, layouts, strict=True):
        same = (layout.num_channels, layout.sampling_frequency) == (
            layouts[0].num_channels,
            layouts[0].sampling_frequency,
        )
        if not same:
            raise BadDataError(
                f"{pair.binary} ({layout.num_channels} channels at {layout.sampling_frequency} Hz) cannot "
                f"be joined to {pairs[0].binary} ({layouts[0].num_channels} at "
                f"{layouts[0].sampling_frequency}). Set job_dispatch.split_segments to true."
            )


def _probe(pair: FilePair, layout: BinaryLayout, root: Path) -> Probe:
    """The geometry in the metadata, its contacts in the order of the channels in the file; not to be changed."""
    described = read_meta(pair.meta, root).items()
    kept = frozenset((key, value) for key, value in described if not key.startswith(_NOT_OF_PROBE))
    try:
        probe = _parsed_probe(_ProbeMeta(kept, inside(pair.meta, root)))
    except Exception as error:  # the parser fails in many ways on what it does not know
        raise BadDataError(
            f"{pair.meta} gives no probe geometry ({type(error).__name__}: {error}). Check imDatPrb_pn, "
            "imroTbl and snsSaveChanSubset in it; without them the positions of the electrodes are not known."
        ) from error
    _refuse_mismatch(pair, probe, layout)
    return probe


@dataclass(frozen=True)
class _ProbeMeta:
    """What a metadata file says of the probe; files that say the same are equal, wherever they lie."""

    described: frozenset[tuple[str, str]]
    path: Path = field(compare=False)


@lru_cache(maxsize=256)
def _parsed_probe(meta: _ProbeMeta) -> Probe:
    """Parsing takes most of the time of a scan, and labs record hundreds of sessions with the same settings."""
    import probeinterface

    return probeinterface.read_spikeglx(meta.path)


def _refuse_mismatch(pair: FilePair, probe: Probe, layout: BinaryLayout) -> None:
    if probe.get_contact_count() != layout.num_neural:
        raise BadDataError(
            f"{pair.meta} describes {probe.get_contact_count()} electrodes, but {layout.num_neural} "
            "channels were saved. Check imroTbl, snsSaveChanSubset and snsApLfSy in it."
        )


def _channel_ids(stream: str, band: str, meta: dict[str, str], layout: BinaryLayout) -> list[str]:
    """Channel ids as Neo makes them, ``imec0.ap#AP12``, from the names in snsChanMap."""
    names = [entry.split(";")[0] for entry in meta.get("snsChanMap", "")[1:-1].split(")(")[1:]]
    if len(names) < layout.num_channels or len(set(names)) != len(names):
        names = [f"{band.upper()}{channel}" for channel in range(layout.num_channels)]
    return [f"{stream}#{name}" for name in names[: layout.num_channels]]


def _gains(pair: FilePair, meta: dict[str, str], band: str, probe: Probe) -> np.ndarray:
    """Microvolts per bit of each electrode: input range / positive steps / amplifier gain.

    https://billkarsh.github.io/SpikeGLX/Sgl_help/Metadata_30.html, section "Volts". The amplifier gain is
    per channel where the probe lets one set it (Neuropixels 1.0), else one for the probe. (Neo 0.14 takes
    the gains of the first n channels when n channels were saved, whichever those are.)
    """
    of_contacts = probe.contact_annotations.get(f"{band}_gains")
    amplifier = probe.annotations.get(f"{band}_gain") if of_contacts is None else of_contacts
    fixed = meta.get(f"imChan0{band}Gain")
    try:
        volts = float(meta["imAiRangeMax"])
        bits = probe.annotations.get("adc_bit_depth")
        steps = float(meta["imMaxInt"]) if "imMaxInt" in meta else _DEFAULT_MAX_INT[bits]
        gains = np.asarray(fixed if fixed is not None else amplifier, dtype=float)
    except (KeyError, TypeError, ValueError):
        gains = np.array(np.nan)
        volts = steps = np.nan
    microvolts = np.broadcast_to(1e6 * volts / steps / gains, probe.get_contact_count())
    if not np.all(np.isfinite(microvolts)) or np.any(microvolts <= 0):
        raise BadDataError(
            f"{pair.meta} does not say how many volts a step is (imAiRangeMax={meta.get('imAiRangeMax')}, "
            f"imMaxInt={meta.get('imMaxInt')}, {band} gain={amplifier}). Correct these keys."
        )
    return microvolts


def _padded(gains: np.ndarray, length: int) -> np.ndarray:
    """Gains for all channels of the file; SYNC, which is no voltage, gets 1."""
    return np.concatenate([gains, np.ones(length - len(gains))])


def _shifted_by_catgt(meta: dict[str, str]) -> bool:
    """Whether CatGT has undone the sampling offsets already, which it does unless told not to.

    https://billkarsh.github.io/SpikeGLX/help/catgt_tshift/catgt_tshift.html
    """
    commands = [value for key, value in meta.items() if key.startswith("catGTCmdline")]
    return any("-no_tshift" not in command for command in commands)
