"""The files of one Open Ephys stream: how many samples there are, when they were taken, and whether the files agree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.files import regular_file
from spikepipe_core.ingest.openephys_files import DAT, Stream

__all__ = ["Layout", "load_vector", "read_layout"]

SAMPLE_BYTES = 2  # int16, always
_MAPPED_BYTES = 2**16
_TIME_FILES = ("sample_numbers.npy", "timestamps.npy", "synchronized_timestamps.npy")


@dataclass(frozen=True)
class Layout:
    """How many samples a stream has, and when they were taken.

    Attributes
    ----------
    first_sample : int
        Number of the first sample since the acquisition started; 0 if nothing says it.
    times : Path or None
        File with a time for every sample: seconds that Open Ephys synchronized, or sample numbers that skip some.
    """

    num_samples: int
    first_sample: int
    times: Path | None
    files: tuple[Path, ...]


def read_layout(stream: Stream, root: Path) -> Layout:
    """Find out how a stream's files are laid out, and whether they agree with each other.

    Times are, in order: seconds in `timestamps.npy` (from GUI 0.6) or `synchronized_timestamps.npy` (before), which
    Open Ephys synchronized between streams; else the sample numbers in `sample_numbers.npy` (from GUI 0.6) or
    `timestamps.npy` (before). What `timestamps.npy` holds is told by its type, so that a folder that lacks one of the
    files is not misread.

    Raises
    ------
    BadDataError
        A file is missing, truncated, or has another number of samples than the others.
    """
    dat = regular_file(stream.folder / DAT, root)
    frame = SAMPLE_BYTES * len(stream.channels)
    size = dat.stat().st_size
    if size % frame:
        raise BadDataError(
            f"{dat} has {size} bytes, which are no whole frames of {frame} bytes ({len(stream.channels)} channels). "
            "Copy it again from the acquisition; if it really was cut short there, cut it to whole frames."
        )
    vectors = {name: _vector(stream, name, root) for name in _TIME_FILES if (stream.folder / name).exists()}
    _refuse_other_length(dat, size // frame, vectors)
    seconds = next(
        (n for n in ("timestamps.npy", "synchronized_timestamps.npy") if _is(vectors, n, "f")), None
    )
    numbers = next((n for n in ("sample_numbers.npy", "timestamps.npy") if _is(vectors, n, "iu")), None)
    times = seconds or (numbers if numbers and _skips(vectors[numbers]) else None)
    return Layout(
        num_samples=size // frame,
        first_sample=int(vectors[numbers][0]) if numbers and len(vectors[numbers]) else 0,
        times=stream.folder / times if times else None,
        files=(dat, *(stream.folder / name for name in vectors)),
    )


def load_vector(path: Path) -> np.ndarray:
    """Array of a ``.npy`` file, left on disk if it is large (an empty one cannot be mapped)."""
    mode: Literal["r"] | None = "r" if path.stat().st_size > _MAPPED_BYTES else None
    return np.load(path, mmap_mode=mode, allow_pickle=False)


def _vector(stream: Stream, name: str, root: Path) -> np.ndarray:
    path = regular_file(stream.folder / name, root)
    try:
        vector = load_vector(path)
    except (ValueError, OSError, EOFError, SyntaxError, OverflowError) as error:
        raise BadDataError(
            f"{path} cannot be read as a NumPy file ({error}). Copy it again from the acquisition, or take it away: "
            "then times start at 0 s."
        ) from error
    if vector.ndim != 1 or vector.dtype.kind not in "iuf":
        raise BadDataError(
            f"{path} holds {vector.dtype} of shape {vector.shape}, not one number a sample. Copy it again from the "
            "acquisition."
        )
    return vector


def _refuse_other_length(dat: Path, num_samples: int, vectors: dict[str, np.ndarray]) -> None:
    for name, vector in vectors.items():
        if len(vector) != num_samples:
            raise BadDataError(
                f"{dat} has {num_samples} samples, but {name} beside it {len(vector)}. Copy both again from the "
                "acquisition; if the recording really was cut short there, take the .npy files of the stream away: "
                "then its times start at 0 s."
            )


def _is(vectors: dict[str, np.ndarray], name: str, kinds: str) -> bool:
    return name in vectors and vectors[name].dtype.kind in kinds


def _skips(numbers: np.ndarray) -> bool:
    """Whether sample numbers leave some out; they always rise."""
    return len(numbers) > 1 and int(numbers[-1]) - int(numbers[0]) + 1 != len(numbers)
