"""Writing the simulated session as SpikeInterface saves recordings: a binary folder for each band of each probe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from spikepipe_core.demo.source import DemoProbe
from spikepipe_core.demo.spikeglx import CREATED, NOTE

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording

__all__ = ["save_recording", "write_spikeinterface"]

# As `spikepipe_core.nwb.metadata` reads it.
METADATA_FILE = "spikepipe_nwb_metadata.json"


def write_spikeinterface(probes: list[DemoProbe], session: Path) -> None:
    """Write ``<session>/<probe>-AP`` and ``<session>/<probe>-LFP``, and beside them what NWB must know of a session."""
    session.mkdir()
    about = {"NWBFile": {"session_start_time": f"{CREATED}+00:00", "session_description": NOTE}}
    (session / METADATA_FILE).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    for probe in probes:
        for band, recording in probe.bands.items():
            save_recording(recording, session / f"{probe.name}-{band}", "binary")


def save_recording(recording: BaseRecording, folder: Path, format: str) -> None:
    """Save a recording without its provenance, which names files that only existed while the session was written."""
    import zarr

    recording.save(format=format, folder=folder, n_jobs=1, progress_bar=False, verbose=False)
    (folder / "provenance.json").unlink(missing_ok=True)
    if format == "zarr":
        zarr.open(str(folder), mode="r+").attrs["provenance"] = None
