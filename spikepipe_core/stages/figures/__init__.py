"""Figures: what a person looks at before trusting a recording job's results.

`raw_figures` shows the raw signal (snippets, spectrum, probe) and is there even for a recording that is left out
later. `processed_figures` shows raw beside processed traces with the bad channels marked, the drift map and the
motion. `figures` shows the units: along the probe, their spikes, and each one's template and autocorrelogram. The
last alone depends on curation and reads no traces, so a new curation redraws it in seconds. Every figure is a PNG.
Matplotlib is imported by what draws, when it draws: the command line and every other step start without it.

Settings that decide: the `visualization` section, each stage its part of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikepipe_core.params import Params
from spikepipe_core.signal_statistics import measure_signal
from spikepipe_core.stages.curation import read_labels
from spikepipe_core.stages.motion import load_motion_info
from spikepipe_core.stages.postprocessing import load_analyzer
from spikepipe_core.stages.preprocessing import load_preprocessed, read_channel_labels
from spikepipe_core.stages.recording import load_recording
from spikepipe_core.stages.stage import Built, Stage, Work
from spikepipe_core.stages.traces import cached_traces

if TYPE_CHECKING:
    from spikepipe_core.stages.figures.canvas import FigureInfo

RAW_SHOWN = ("traces_full_seg0.png", "psd.png")
PROCESSED_SHOWN = ("drift_map.png", "traces_proc_seg0.png")
SHOWN = ("units.png",)
"""Figures whose small pictures go into the metadata."""


def build_raw(work: Work) -> Built:
    """Draw the raw signal of a recording job."""
    from spikepipe_core.stages.figures.probe import probe_figure
    from spikepipe_core.stages.figures.snippets import full_traces
    from spikepipe_core.stages.figures.spectrum import spectrum_figure

    recording = load_recording(work)
    work.say("drawing the raw signal")
    statistics = measure_signal(recording)
    figures = [
        *full_traces(recording, work.path, work.params.visualization),
        spectrum_figure(recording, statistics, work.path),
        probe_figure(recording, statistics, work.path),
    ]
    return _built(figures, work.path, RAW_SHOWN)


def build_processed(work: Work) -> Built:
    """Draw the preprocessed signal of a recording job and its drift."""
    from spikepipe_core.stages.figures.drift import drift_figure, find_peaks
    from spikepipe_core.stages.figures.motion import motion_figure
    from spikepipe_core.stages.figures.snippets import processed_traces

    params = work.params.visualization
    work.say("drawing traces")
    figures = processed_traces(
        load_recording(work), load_preprocessed(work), work.path, params, read_channel_labels(work)
    )
    work.say("looking for peaks for the drift map")
    traces = cached_traces(work)
    peaks = find_peaks(traces, params, work.job_kwargs(params.job_kwargs))
    figures.append(drift_figure(traces, peaks, params, work.path))
    motion = load_motion_info(work)
    if motion is not None:
        figures.append(motion_figure(traces, motion, params, work.path))
    return _built(figures, work.path, PROCESSED_SHOWN)


def build(work: Work) -> Built:
    """Draw the units of a recording job."""
    from spikepipe_core.stages.figures.drift import unit_spikes_figure
    from spikepipe_core.stages.figures.templates import template_pages
    from spikepipe_core.stages.figures.units import unit_table, units_figure

    work.say("drawing units")
    analyzer = load_analyzer(work)
    table = unit_table(analyzer, read_labels(work))
    figures = [
        units_figure(analyzer, table, work.path),
        unit_spikes_figure(analyzer, work.path),
        *template_pages(analyzer, table, work.path),
    ]
    return _built(figures, work.path, SHOWN)


def _built(figures: list[FigureInfo], folder: Path, shown: tuple[str, ...]) -> Built:
    from spikepipe_core.stages.figures.canvas import thumbnail

    return Built(
        reason=f"{len(figures)} figures",
        summary={
            "figures": [
                {"title": figure.title, "file": figure.name, "caption": figure.caption} for figure in figures
            ]
        },
        pictures={
            figure.title: thumbnail(folder / figure.name) for figure in figures if figure.name in shown
        },
    )


def _raw_settings(params: Params) -> dict[str, Any]:
    return {"timeseries": params.visualization.timeseries.model_dump(mode="json")}


def _processed_settings(params: Params) -> dict[str, Any]:
    return params.visualization.model_dump(mode="json", exclude={"job_kwargs"})


RAW_STAGE = Stage(
    name="raw_figures",
    version="1",
    section="visualization",
    location="visualization/{name}/raw",
    settings=_raw_settings,
    inputs=lambda _: ("recording",),
    build=build_raw,
)

PROCESSED_STAGE = Stage(
    name="processed_figures",
    version="2",
    section="visualization",
    location="visualization/{name}/processed",
    settings=_processed_settings,
    inputs=lambda _: ("recording", "preprocessed_recording", "motion"),
    build=build_processed,
)

STAGE = Stage(
    name="figures",
    version="1",
    section="visualization",
    location="visualization/{name}/units",
    settings=lambda _: {},
    inputs=lambda _: ("analyzer", "curated_units"),
    build=build,
)
