"""SpikeGLX file pairs: what their names say, what their metadata say, and whether the two agree.

File names and metadata: https://billkarsh.github.io/SpikeGLX/Sgl_help/UserManual.html and
https://billkarsh.github.io/SpikeGLX/Sgl_help/Metadata_30.html.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.files import inside, read_small, walk_files

__all__ = ["FileName", "FilePair", "binary_layout", "find_pairs", "name_in_meta", "parse_name", "read_meta"]

SAMPLE_BYTES = 2  # int16, always
PROBE_FOLDER = re.compile(r"_imec\d*$")

# <run>_g<gate>_t<trigger>[.<note>].<device>[.<band>]; CatGT writes tcat for the trigger, exports add a note.
_FULL_NAME = re.compile(
    r"(?P<run>.+)_g(?P<gate>\d+)_t(?P<trigger>\d+|cat)(?:\.[^.]+)*?"
    r"\.(?P<device>imec\d*|nidq|obx\d*)(?:\.(?P<band>ap|lf|obx))?"
)
# Files that a user renamed: <name>.<device>[.<band>]
_SHORT_NAME = re.compile(r"(?P<run>.+?)\.(?P<device>imec\d*|nidq|obx\d*)(?:\.(?P<band>ap|lf|obx))?")


@dataclass(frozen=True)
class FileName:
    """What a SpikeGLX file name says.

    Attributes
    ----------
    trigger : int
        -1 for ``tcat`` (concatenated by CatGT) and for renamed files, as Neo orders them.
    band : {"ap", "lf", ""}
    """

    run: str
    gate: int
    trigger: int
    device: str
    band: str
    is_catgt: bool

    @property
    def stream(self) -> str:
        """Neo's name for the stream, such as ``imec0.ap``."""
        return f"{self.device}.{self.band}" if self.band else self.device


@dataclass(frozen=True)
class FilePair:
    """A binary and the metadata beside it; either may be missing on disk."""

    name: FileName
    binary: Path
    meta: Path


def parse_name(stem: str) -> FileName | None:
    """Read a file name without ``.bin`` or ``.meta``; None if it is not one of SpikeGLX.

    Examples
    --------
    >>> parse_name("mouse_g0_t1.imec0.ap").stream
    'imec0.ap'
    """
    match = _FULL_NAME.fullmatch(stem) or _SHORT_NAME.fullmatch(stem)
    if match is None:
        return None
    parts = match.groupdict()
    trigger = parts.get("trigger")
    return FileName(
        run=parts["run"],
        gate=int(parts.get("gate") or 0),
        trigger=-1 if trigger in (None, "cat") else int(trigger),
        device=parts["device"],
        band=(parts["band"] or "") if parts["band"] in ("ap", "lf") else "",
        is_catgt=trigger == "cat",
    )


def find_pairs(folder: Path, root: Path) -> tuple[list[FilePair], list[tuple[Path, str]]]:
    """All SpikeGLX pairs below a folder, and files that were passed over with the reason.

    A metadata file whose name says nothing is judged by the file name that is written inside it.
    """
    stems: dict[Path, set[str]] = {}
    for path in walk_files(folder):
        if path.suffix in (".meta", ".bin", ".cbin"):
            stems.setdefault(path.with_suffix(""), set()).add(path.suffix)
    pairs, passed_over = [], []
    for stem, endings in sorted(stems.items()):
        binary, meta = stem.with_name(stem.name + ".bin"), stem.with_name(stem.name + ".meta")
        try:
            name = parse_name(stem.name) or (name_in_meta(meta, root) if ".meta" in endings else None)
        except BadDataError as error:
            passed_over.append((meta, str(error)))
            continue
        if name is not None:
            pairs.append(FilePair(name, binary, meta))
        elif ".meta" in endings:
            passed_over.append((meta, "its name and content are not those of a SpikeGLX file"))
    return pairs, passed_over


def name_in_meta(meta: Path, root: Path) -> FileName | None:
    """The name that SpikeGLX gave the binary, for a pair that was renamed.

    Raises
    ------
    BadDataError
        As `read_meta`.
    """
    original = read_meta(meta, root).get("fileName", "")
    return parse_name(PureWindowsPath(original).stem)


def read_meta(path: Path, root: Path) -> dict[str, str]:
    """Read the ``key=value`` lines of a metadata file.

    Raises
    ------
    BadDataError
        Missing, unreadable, without a single key, or outside the data folder.
    """
    renamed = path.with_name(path.name + ".txt")
    if not path.exists() and renamed.is_file():
        raise BadDataError(f"{path} is missing, but {renamed.name} is there. Rename it to {path.name}.")
    lines = read_small(inside(path, root)).splitlines()
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    meta = {key.removeprefix("~").strip(): value for key, value in pairs}
    if not meta:
        raise BadDataError(
            f"{path} holds no 'key=value' line, so it is no SpikeGLX metadata. Copy it again from the "
            "acquisition."
        )
    return meta


@dataclass(frozen=True)
class BinaryLayout:
    """How the samples of one file lie.

    Attributes
    ----------
    num_channels : int
        Channels in the file, SYNC included.
    num_neural : int
        The first so many are electrodes of the file's band.
    sampling_frequency : float
        Hz.
    num_samples : int
    first_sample : int
        Position of the file in the run's continuous stream, in samples.
    """

    num_channels: int
    num_neural: int
    sampling_frequency: float
    num_samples: int
    first_sample: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.num_samples / self.sampling_frequency


def binary_layout(pair: FilePair, meta: dict[str, str], root: Path) -> BinaryLayout:
    """Work out how a binary is laid out, and check its size against the metadata.

    Raises
    ------
    BadDataError
        The binary is missing or has another size than the metadata say, or a key is missing or no number.
    """
    channels = _number(pair.meta, meta, "nSavedChans", int)
    neural = _neural_channels(pair, meta)
    if not 0 < neural <= channels:
        raise BadDataError(
            f"{pair.meta}: snsApLfSy={meta.get('snsApLfSy')} and nSavedChans={channels} leave no "
            f"{pair.name.band} channel. Save at least one electrode, or take the file out of the data folder."
        )
    frequency = _number(pair.meta, meta, "imSampRate", float)
    if not math.isfinite(frequency) or frequency <= 0:
        raise BadDataError(f"{pair.meta}: imSampRate={frequency} is no sampling rate in Hz. Correct it.")
    return BinaryLayout(
        num_channels=channels,
        num_neural=neural,
        sampling_frequency=frequency,
        num_samples=_checked_size(pair, meta, root) // (SAMPLE_BYTES * channels),
        first_sample=_number(pair.meta, meta, "firstSample", int) if "firstSample" in meta else 0,
    )


def _neural_channels(pair: FilePair, meta: dict[str, str]) -> int:
    text = meta.get("snsApLfSy", "")
    try:
        ap, lf, _sync = (int(part) for part in text.split(","))
    except ValueError:
        raise BadDataError(
            f"{pair.meta}: snsApLfSy={text!r} should be three numbers (AP, LF and SYNC channels). Copy the "
            "file again."
        ) from None
    return lf if pair.name.band == "lf" else ap


def _checked_size(pair: FilePair, meta: dict[str, str], root: Path) -> int:
    """Size of the binary in bytes, found to be what the metadata say."""
    if not inside(pair.binary, root).is_file():
        packed = pair.binary.with_suffix(".cbin")
        remedy = (
            f"Decompress {packed.name} with mtscomp first."
            if packed.exists()
            else "Copy it again from the acquisition, or take its .meta file away."
        )
        raise BadDataError(f"{pair.binary} is missing, though {pair.meta.name} is there. {remedy}")
    found = pair.binary.stat().st_size
    frame = SAMPLE_BYTES * int(meta["nSavedChans"])
    if "fileSizeBytes" not in meta and found >= frame:  # the run was going on, or was cut short by a crash
        return found
    expected = _number(pair.meta, meta, "fileSizeBytes", int) if "fileSizeBytes" in meta else frame
    if found != expected or found % frame:
        raise BadDataError(
            f"{pair.binary} has {found} bytes, but {pair.meta.name} says {expected} bytes in frames of "
            f"{frame}. Copy the file again from the acquisition; if it really was cut short there, cut it "
            "to whole frames and correct fileSizeBytes in the .meta."
        )
    return found


def _number(path: Path, meta: dict[str, str], key: str, kind: type[int] | type[float]):
    try:
        return kind(meta[key])
    except KeyError:
        raise BadDataError(f"{path} has no {key}. Copy it again from the acquisition.") from None
    except ValueError:
        raise BadDataError(f"{path}: {key}={meta[key]!r} is no number. Copy the file again.") from None
