"""Geometry from a ProbeInterface file, where the raw data have none (`spikeinterface_info.probe_paths`).

The file says of each contact to which channel of the stream it is wired (`device_channel_indices`), in any order.
Channels that no contact is wired to are left out, and that is said. Nothing is guessed: a file that does not say
which channel is which is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.files import inside, read_small

if TYPE_CHECKING:
    from probeinterface import ProbeGroup
    from spikeinterface.core import BaseRecording

__all__ = ["ProbeFile", "ProbePaths", "find_probe_file", "read_probe_file", "unwired_channels", "with_probe"]

ProbePaths = str | dict[str, str] | None
"""`probe_paths` of one session: a file for all streams, or a file for each stream's name."""


@dataclass(frozen=True)
class ProbeFile:
    """A file with geometry that a job uses.

    Attributes
    ----------
    path : str
        Relative to the data root; absolute if the params give it so, because it lies elsewhere.
    digest : str
        Of its content, so that another geometry is another recording.
    """

    path: str
    digest: str


def find_probe_file(paths: ProbePaths, stream: str, folder: Path, root: Path) -> ProbeFile | None:
    """The file that the params name for a stream; None if they name none.

    Parameters
    ----------
    paths : str or dict
        Paths relative to `folder`, or absolute.
    folder : Path
        The session's folder.

    Raises
    ------
    BadDataError
        There is no such file.
    """
    name = paths.get(stream) if isinstance(paths, dict) else paths
    if name is None:
        return None
    path = folder / name
    if not Path(name).is_absolute():
        inside(path, root)
    text = _text(path)
    known = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    return ProbeFile(known, _digest(text))


def read_probe_file(file: ProbeFile, root: Path) -> ProbeGroup:
    """Geometry of a file that discovery found.

    Raises
    ------
    BadDataError
        It has changed since, or holds no usable geometry.
    """
    path = root / file.path
    text = _text(path)
    if _digest(text) != file.digest:
        raise BadDataError(f"{path} has changed since it was discovered. Run discovery again.")
    return _parse(text, path)


def with_probe(recording: BaseRecording, group: ProbeGroup, stream: str) -> BaseRecording:
    """The channels that are wired to a contact, each at the position of its contact.

    Shanks, or else probes, become channel groups.

    Raises
    ------
    BadDataError
        Contacts are wired to channels that the stream does not have.
    """
    channels = recording.get_num_channels()
    wired = _wiring(group)
    wired = wired[wired >= 0]
    if len(wired) == 0 or wired.max() >= channels:
        raise BadDataError(
            f"{stream} has {channels} channels (0 to {channels - 1}), but the probe file wires contacts to "
            f"{f'channel {wired.max()}' if len(wired) else 'none of them'}. Correct device_channel_indices in it, or "
            "give the file that belongs to this stream (job_dispatch.spikeinterface_info.probe_paths, by stream name)."
        )
    return recording.select_channels_with_probegroup(group)


def unwired_channels(recording: BaseRecording, group: ProbeGroup) -> int:
    """How many channels no contact is wired to."""
    wired = _wiring(group)
    return recording.get_num_channels() - int(np.count_nonzero(wired >= 0))


def _text(path: Path) -> str:
    try:
        return read_small(path)
    except BadDataError as error:
        raise BadDataError(f"job_dispatch.spikeinterface_info.probe_paths: {error}") from error


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _parse(text: str, path: Path) -> ProbeGroup:
    from probeinterface import ProbeGroup

    remedy = "Write it with probeinterface.write_probeinterface()."
    try:
        content: Any = json.loads(text)
        if content.get("specification") != "probeinterface":
            raise BadDataError(f"{path} is no ProbeInterface file. {remedy}")
        group = ProbeGroup.from_dict(content)
    except BadDataError:
        raise
    except Exception as error:  # the parser fails in many ways on what it does not know
        raise BadDataError(
            f"{path} cannot be read as a ProbeInterface file ({type(error).__name__}: {error}). {remedy}"
        ) from error
    _check(group, path)
    return group


def _check(group: ProbeGroup, path: Path) -> None:
    if not group.probes or group.get_contact_count() == 0:
        raise BadDataError(f"{path} holds no contact. Write the probe of the recording into it.")
    for probe in group.probes:
        positions = np.asarray(probe.contact_positions, dtype=float)
        if probe.si_units != "um" or probe.ndim != 2:
            raise BadDataError(
                f"{path} has positions in {probe.si_units} with {probe.ndim} dimensions; two in um are needed. Convert "
                "them (probe.to_2d(), si_units='um')."
            )
        if not np.all(np.isfinite(positions)):
            raise BadDataError(f"{path} has contact positions that are no numbers. Correct them.")
        if probe.device_channel_indices is None:
            raise BadDataError(
                f"{path} does not say which channel each contact is wired to. Call "
                "probe.set_device_channel_indices() and write it again."
            )
    wired = Counter(_wiring(group)[_wiring(group) >= 0].tolist())
    twice = [channel for channel, count in wired.items() if count > 1]
    if twice:
        raise BadDataError(f"{path} wires several contacts to channel {twice[0]}. Correct the wiring in it.")


def _wiring(group: ProbeGroup) -> np.ndarray:
    return np.asarray(group.get_global_device_channel_indices()["device_channel_indices"], dtype=int)
