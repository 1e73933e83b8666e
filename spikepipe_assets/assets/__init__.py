"""The asset graph: every output, with how it presents itself in the UI.

What an output is made of and how is in `spikepipe_core.stages`; here is what a person sees.
"""

from __future__ import annotations

import dagster as dg

from spikepipe_assets.assets.stage_asset import Look, stage_asset
from spikepipe_assets.deployment import Deployment
from spikepipe_assets.instance import DISK_POOL, GPU_POOL
from spikepipe_core.graph import STAGES

LOOKS = {
    "recording": Look(
        "One probe's raw signal: opened, checked, and described so that it can be loaded again. Nothing is copied.",
        "recording",
        ("spikeinterface", "json"),
    ),
    "clock_report": Look(
        "How far the probe's clock is from those of the session's other probes and boards: offset and drift. "
        "Nothing is shifted.",
        "recording",
        ("spikeinterface", "json"),
    ),
    "preprocessed_recording": Look(
        "Filtered, phase-shifted and referenced traces without bad channels, as a lazy chain on the raw files.",
        "preprocessing",
        ("spikeinterface", "json"),
    ),
    "motion": Look(
        "How the tissue moved along the probe. Applied to the traces only if the params ask for it.",
        "preprocessing",
        ("spikeinterface", "numpy"),
    ),
    "sorting": Look(
        "Units as the spike sorter found them, without empty units and impossible spikes.",
        "spike_sorting",
        ("spikeinterface", "numpy"),
        pool=GPU_POOL,
    ),
    "analyzer": Look(
        "SortingAnalyzer of the de-duplicated units: waveforms, templates, locations, quality metrics.",
        "spike_sorting",
        ("spikeinterface", "zarr"),
    ),
    "curated_units": Look(
        "All units with labels: quality thresholds (default_qc), noise, single or multi-unit (decoder_label).",
        "curation",
        ("spikeinterface", "scikitlearn"),
    ),
    "raw_figures": Look(
        "Raw traces, spectra and the probe: made for skipped recordings too.",
        "visualization",
        ("matplotlib",),
    ),
    "processed_figures": Look(
        "Processed traces beside raw ones with bad channels marked, drift map, motion.",
        "visualization",
        ("matplotlib",),
    ),
    "figures": Look(
        "The units: along the probe, their spikes over time, templates and autocorrelograms.",
        "visualization",
        ("matplotlib",),
    ),
    "raw_quality_control": Look(
        "Quality of the signal: noise, saturation, bad channels, line noise. Made for skipped recordings too.",
        "quality_control",
        ("spikeinterface", "json"),
    ),
    "quality_control": Look(
        "Quality of the result: drift, yield, unit metrics.",
        "quality_control",
        ("spikeinterface", "json"),
    ),
    "lfp": Look(
        "Local field potential, filtered and decimated: computed once, so that NWB is cheap to redo.",
        "nwb",
        ("spikeinterface", "zarr"),
        pool=DISK_POOL,
    ),
    "nwb": Look(
        "One file for the session with the units and the LFP of all its probes.",
        "nwb",
        ("nwb",),
        pool=DISK_POOL,
    ),
}


def build_assets(deployment: Deployment) -> list[dg.AssetsDefinition]:
    """All assets of a deployment, in the order of the graph."""
    return [stage_asset(stage, LOOKS[name], deployment) for name, stage in STAGES.items()]
