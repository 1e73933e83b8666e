"""NWB: one file a session, with the units and the LFP of all its probes.

Everything was computed before; this stage gathers and copies, so a new curation rewrites the file in seconds. A
probe that was left out by rule is in the file with what it has (its electrodes and LFP). One that failed is waited
for, unless `nwb.allow_partial`.

Settings that decide: the `nwb` section; `spikepipe_nwb_metadata.json` and other metadata beside the data.
"""

from __future__ import annotations

from typing import Any

import spikeinterface.core as si

from spikepipe_core.nwb import (
    NWB_SUFFIXES,
    ProbeData,
    SessionMetadata,
    inspect_nwb,
    read_session_metadata,
    stable_identifier,
)
from spikepipe_core.params import Params
from spikepipe_core.stages.curation import read_labels
from spikepipe_core.stages.lfp import check_surface_channels
from spikepipe_core.stages.postprocessing import load_analyzer
from spikepipe_core.stages.preprocessing import read_channel_labels
from spikepipe_core.stages.recording import device_name, load_recording
from spikepipe_core.stages.stage import Built, Stage, Work
from spikepipe_core.store import digest

UNITS, LFP = "curated_units", "lfp"


def build(work: Work) -> Built:
    """Write the session's file."""
    from spikepipe_core.nwb.writing import write_session_nwb

    params = work.params.nwb.ecephys
    probes = [gather(work.of(job)) for job in work.entry.jobs if _usable(work.of(job), "recording")]
    devices = [name for probe in probes for name in (probe.key, probe.device_name)]
    check_surface_channels(params, devices)
    work.say(f"writing {len(probes)} probe(s), {sum(probe.num_units for probe in probes)} units")
    write_session_nwb(work.path, session=_metadata(work), probes=probes, params=params)
    facts = inspect_nwb(work.path)
    table = [
        {"probe": key, **{name: str(value) for name, value in row.items()}}
        for key, row in facts["probes"].items()
    ]
    missing = [job.probe for job in work.entry.jobs if not _usable(work.of(job), UNITS)]
    return Built(
        reason=f"{facts['units']} units of {len(probes)} probe(s)"
        + (f"; no units of {', '.join(missing)}" if missing else ""),
        summary={
            "backend": params.backend,
            "units": facts["units"],
            "electrodes": facts["electrodes"],
            "session_start_time": facts["session_start_time"],
            "subject": facts["subject"] or "not known",
            "probes": table,
            "metadata": list(_metadata(work).remarks),
        },
    )


def gather(work: Work) -> ProbeData:
    """Everything that a recording job has to give to the file, lazily."""
    job = work.recording_job
    recording = load_recording(work)
    labels = read_channel_labels(work)
    has_units = _usable(work, UNITS)
    lfp = work.manifest(LFP) if _usable(work, LFP) else None
    return ProbeData(
        key=job.probe,
        recording_name=job.recording_name,
        probe=recording.get_probe(),
        device=device_name(job),
        channel_labels=[labels.get(str(channel), "") for channel in recording.channel_ids]
        if labels
        else None,
        recording=recording,
        lfp=si.load(work.input(LFP)) if lfp is not None and not lfp.empty else None,
        analyzer=load_analyzer(work) if has_units else None,
        labels=read_labels(work) if has_units else None,
    )


def _usable(work: Work, stage: str) -> bool:
    """Whether an output is there and was not overruled by a later failure or skip."""
    manifest = work.manifest(stage)
    entry = work.entry
    last = work.store.ledger.read(entry.session_folder, entry.session, work.recording_job.probe, stage)
    return manifest is not None and (last is None or last.data_version == manifest.data_version)


def _metadata(work: Work) -> SessionMetadata:
    entry = work.entry
    files = [entry.data / file for job in entry.jobs for file in job.files]
    made = {job.probe: work.of(job).manifest("recording") for job in entry.jobs}
    versions = {probe: manifest.data_version for probe, manifest in made.items() if manifest}
    identifier = stable_identifier(entry.session, versions)
    return read_session_metadata(entry.session, files, entry.data, identifier=identifier)


def _settings(params: Params) -> dict[str, Any]:
    """What decides the file beside its inputs; how the LFP is made reaches it through the LFP."""
    section = params.nwb.ecephys
    decide = {"backend", "write_lfp", "write_raw", "stub", *(("stub_seconds",) if section.stub else ())}
    return section.model_dump(mode="json", include=decide)


def _identity(work: Work) -> dict[str, Any]:
    metadata = _metadata(work)
    return {
        "metadata": digest(
            [metadata.session_start_time.isoformat(), metadata.session_id, metadata.nwbfile, metadata.subject]
        )
    }


STAGE = Stage(
    name="nwb",
    version="1",
    section="nwb",
    location=lambda params: "nwb/{name}" + NWB_SUFFIXES[params.nwb.ecephys.backend],
    settings=_settings,
    inputs=lambda _: (LFP, UNITS),
    identity=_identity,
    build=build,
    scope="session",
)
