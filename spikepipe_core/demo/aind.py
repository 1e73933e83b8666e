"""Writing the simulated session as the Allen Institute for Neural Dynamics stores one: clipped Open Ephys, and Zarr."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from spikepipe_core.demo.openephys import NODE, channel_id, write_openephys
from spikepipe_core.demo.saved import save_recording
from spikepipe_core.demo.source import DemoProbe
from spikepipe_core.demo.spikeglx import CREATED, NOTE

__all__ = ["channel_id", "write_aind"]

CLIP_SAMPLES = 100
_SCHEMA = (
    "https://raw.githubusercontent.com/AllenNeuralDynamics/aind-data-schema/main/src/aind_data_schema/core"
)


def write_aind(probes: list[DemoProbe], session: Path) -> None:
    """Write `ecephys/ecephys_clipped`, `ecephys/ecephys_compressed`, and the JSON of aind-data-schema beside them."""
    clipped = session / "ecephys" / "ecephys_clipped"
    write_openephys(probes, clipped)
    _compress(clipped, session / "ecephys" / "ecephys_compressed")
    for dat in clipped.rglob("continuous.dat"):
        _clip(dat, probes)
    for name, content in _metadata(session.name).items():
        (session / f"{name}.json").write_text(json.dumps(content, indent=3) + "\n", encoding="utf-8")


def _compress(openephys: Path, compressed: Path) -> None:
    from spikepipe_core.ingest import discover, load
    from spikepipe_core.params import JobDispatchParams

    compressed.mkdir()
    found = discover(openephys / NODE, JobDispatchParams(input="openephys"))
    for job in found.jobs:
        loaded = load(job, found.data_root)
        for stream, recording in ((job.stream, loaded.recording), (job.lfp_stream, loaded.lfp)):
            if recording is not None:
                save_recording(recording, compressed / f"{job.block}_{stream}.zarr", "zarr")


def _clip(dat: Path, probes: list[DemoProbe]) -> None:
    """Cut traces to the first samples, as the originals are once they are compressed."""
    name, band = dat.parent.name.rsplit(".", 1)[-1].rsplit("-", 1)
    channels = next(probe.bands[band].get_num_channels() for probe in probes if probe.name == name)
    draft = dat.with_suffix(".clipped")
    with dat.open("rb") as whole, draft.open("wb") as part:
        part.write(whole.read(CLIP_SAMPLES * channels * 2))
    shutil.move(draft, dat)


def _metadata(name: str) -> dict[str, dict[str, Any]]:
    """What is known: the name, the time that was made up, and that there is no animal."""
    return {
        "data_description": {
            "describedBy": f"{_SCHEMA}/data_description.py",
            "schema_version": "0.13.2",
            "name": name,
            "data_level": "raw",
            "data_summary": NOTE,
        },
        "session": {
            "describedBy": f"{_SCHEMA}/session.py",
            "schema_version": "0.2.7",
            "session_start_time": f"{CREATED}+00:00",
            "session_type": NOTE,
        },
    }
