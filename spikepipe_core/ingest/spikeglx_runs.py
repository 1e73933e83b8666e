"""SpikeGLX: which files are of one run.

A run folder ``<run>_g<gate>`` holds a folder for each probe. Probes of a run also come in folders apart: on several
drives, each with a run folder of the same name (SpikeGLX's "multidrive" output), and side by side in folders of any
name (``raw_ephys_data/probe00``). Such folders are one session if run and gate are the same, no probe is in two of
them, and their files were created together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path

from spikepipe_core.errors import BadDataError
from spikepipe_core.ingest.spikeglx_files import PROBE_FOLDER, FilePair, read_meta

__all__ = ["by_session_folder", "is_beside", "run_folder"]

CREATED_TOGETHER_S = 60.0
"""SpikeGLX opens the files of all probes of a run within a few seconds."""


def run_folder(pair: FilePair) -> Path:
    """The folder of the run: the one above a probe folder, else the file's own."""
    parent = pair.binary.parent
    return parent.parent if PROBE_FOLDER.search(parent.name) else parent


def is_beside(board: FilePair, pair: FilePair, root: Path) -> bool:
    """Whether a board was recorded at the same time as a probe."""
    one, other = board.name, pair.name
    if (one.run, one.gate, one.trigger) != (other.run, other.gate, other.trigger):
        return False
    folders = run_folder(board), run_folder(pair)
    if folders[0] == folders[1]:
        return True
    return _place(board, folders[0]) == _place(pair, folders[1]) and _created_together([board, pair], root)


def by_session_folder(
    pairs: list[FilePair], folder: Path, root: Path, split_segments: bool
) -> dict[Path, list[FilePair]]:
    """Pairs by session folder: the run folder, or the folder of a run's gates if they are to be joined.

    The given folder may itself be a probe folder, or hold the probes of a run apart: then the session has the run's
    name, as in its run folder.
    """
    grouped: dict[Path, list[FilePair]] = defaultdict(list)
    for pair in pairs:
        in_given = pair.binary.parent == folder
        named = folder.with_name(PROBE_FOLDER.sub("", folder.name)) if in_given else run_folder(pair)
        grouped[named].append(pair)
    grouped = _with_scattered_joined(grouped, root)
    if split_segments:
        return grouped
    gates = Counter((place.parent, pairs[0].name.run) for place, pairs in grouped.items())
    joined: dict[Path, list[FilePair]] = defaultdict(list)
    for place, members in grouped.items():
        above = (place.parent, members[0].name.run)
        beside = gates[above] > 1 and folder in (place.parent, *place.parent.parents)
        joined[place.parent if beside else place] += members
    return dict(joined)


def _with_scattered_joined(grouped: dict[Path, list[FilePair]], root: Path) -> dict[Path, list[FilePair]]:
    """Folders that hold probes of one run become one."""
    apart: dict[Path, list[Path]] = defaultdict(list)
    for folder, pairs in grouped.items():
        places = {_place(pair, folder) / _run_name(pair) for pair in pairs}
        if len(places) == 1:
            apart[places.pop()].append(folder)
    joined = dict(grouped)
    for place, folders in apart.items():
        if len(folders) > 1 and _are_one_run([grouped[folder] for folder in folders], root):
            joined[place] = [pair for folder in folders for pair in joined.pop(folder)]
    return joined


def _are_one_run(parts: list[list[FilePair]], root: Path) -> bool:
    probes = Counter(device for part in parts for device in {pair.name.device for pair in part})
    return max(probes.values()) == 1 and _created_together(
        [min(part, key=lambda pair: pair.name.trigger) for part in parts], root
    )


def _place(pair: FilePair, folder: Path) -> Path:
    """The folder in which the parts of a run lie, if its probes lie apart."""
    return folder.parent.parent if folder.name == _run_name(pair) else folder.parent


def _run_name(pair: FilePair) -> str:
    return f"{pair.name.run}_g{pair.name.gate}"


def _created_together(pairs: list[FilePair], root: Path) -> bool:
    try:
        created = [
            datetime.fromisoformat(read_meta(pair.meta, root)["fileCreateTime"]).timestamp() for pair in pairs
        ]
    except (BadDataError, KeyError, ValueError):
        return False
    return max(created) - min(created) <= CREATED_TOGETHER_S
