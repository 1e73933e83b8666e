"""Quality control: numbers that say whether a recording and its units can be trusted, each with its rule.

`raw_quality_control` looks at the raw signal: noise, mains hum, saturation, dead, noisy and outside channels,
timestamps. It is made for recordings that later steps skip, too. `quality_control` looks at what came out: noise after
preprocessing, drift, number and quality of the units. Both write `quality_control.json` (every metric with its
value, status, and the rule that decided) and a figure. Nothing is removed by it and nothing stops.

Traces are sampled: at most 20 chunks of 1 s at fixed places, whatever the recording's length.

Settings that decide: filter, phase shift and `detect_bad_channels` of `preprocessing`, for the raw signal; for the
result nothing but its inputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spikepipe_core.params import Params
from spikepipe_core.signal_statistics import measure_signal
from spikepipe_core.stages.bad_channels import detector
from spikepipe_core.stages.curation import read_labels
from spikepipe_core.stages.motion import load_motion_info
from spikepipe_core.stages.postprocessing import load_analyzer, metrics_table
from spikepipe_core.stages.preprocessing import load_preprocessed
from spikepipe_core.stages.quality_control.report import Metric, QualityReport
from spikepipe_core.stages.quality_control.signal import RawSignal, label_channels, measure_raw, raw_quality
from spikepipe_core.stages.quality_control.units import processed_quality
from spikepipe_core.stages.recording import load_recording, read_job
from spikepipe_core.stages.stage import Built, Stage, Work
from spikepipe_core.store.files import write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "RAW_STAGE",
    "STAGE",
    "Metric",
    "QualityReport",
    "RawSignal",
    "label_channels",
    "measure_raw",
    "processed_quality",
    "raw_quality",
]

REPORT, FIGURE = "quality_control.json", "quality_control.png"

RAW_CHECKS = {
    "signal_noise": "Noise above 300 Hz is as an amplifier's in tissue, and mains hum does not stand out.",
    "saturation": "Hardly any sample is at the limits of the converter.",
    "bad_channels": "Few channels are dead, noisy or constant.",
}
CHECKS = {
    "drift": "The tissue moved little along the probe.",
    "unit_yield": "There are units, and enough of them pass the curation query.",
}


def build_raw(work: Work) -> Built:
    """Judge the raw signal of a recording job."""
    from spikepipe_core.stages.quality_control.drawing import raw_figure

    recording, params = load_recording(work), work.params.preprocessing
    work.say(f"measuring noise, saturation and bad channels of {recording.get_num_channels()} channels")
    job_kwargs = work.job_kwargs(params.job_kwargs)
    signal = measure_raw(recording, params, job_kwargs, detector(params, job_kwargs, work))
    report = raw_quality(recording, signal, params, read_job(work))
    return _publish(
        work,
        report,
        raw_figure(recording, signal),
        RAW_STAGE,
        "Quality of the raw signal",
        "Left: noise above 300 Hz of every channel by depth. Middle: power spectra, bad channels drawn singly, mains "
        "frequencies dotted. Right: samples at the converter's limits.",
        ("rms_median", "saturated_fraction", "dead_channels", "noisy_channels", "out_channels"),
    )


def build(work: Work) -> Built:
    """Judge what came out of a recording job."""
    from spikepipe_core.stages.quality_control.drawing import processed_figure

    recording = load_preprocessed(work)
    work.say("measuring noise after preprocessing, drift and unit yield")
    statistics, motion = measure_signal(recording), load_motion_info(work)
    metrics, labels = metrics_table(load_analyzer(work)), read_labels(work)
    report = processed_quality(recording, statistics, motion, metrics, labels)
    return _publish(
        work,
        report,
        processed_figure(recording, statistics, motion, metrics, labels),
        STAGE,
        "Quality of the result",
        "Noise of the channels kept, estimated displacement at each depth, labels of the units, and how their "
        "metrics are distributed (blue: units that pass the curation query).",
        ("rms_median", "drift_max", "units", "passing_units", "passing_units_per_channel", "snr_median"),
    )


def _publish(
    work: Work,
    report: QualityReport,
    figure: Figure,
    stage: Stage,
    title: str,
    caption: str,
    main: tuple[str, ...],
) -> Built:
    """Write report and figure; say what is in them."""
    from spikepipe_core.stages.quality_control.drawing import save, small_picture

    work.path.mkdir(parents=True)
    job = work.recording_job
    identity = {"session": job.session, "probe": job.probe, "recording_name": job.recording_name}
    write_json(work.path / REPORT, {**identity, **report.model_dump(mode="json")})
    save(figure, work.path / FIGURE)
    worrying = [
        f"{m.name.replace('_', ' ')}: {m.status}" for m in report.metrics if m.status in ("warn", "fail")
    ]
    return Built(
        reason=f"{report.status}" + (f" ({', '.join(worrying)})" if worrying else ""),
        summary={
            "status": report.status,
            **{name: report[name].value for name in main},
            "metrics": report.table(),
            "figures": [{"title": title, "file": FIGURE, "caption": caption}],
            "checks": {name: report.check(name) for name in stage.checks},
        },
        pictures={title.lower(): small_picture(figure)},
    )


def _raw_settings(params: Params) -> dict[str, Any]:
    section = params.preprocessing
    band = f"{section.filter_type}_filter"
    wanted = {"filter_type", band, "phase_shift", "detect_bad_channels", "max_bad_channel_fraction"}
    return section.model_dump(mode="json", include=wanted)


RAW_STAGE = Stage(
    name="raw_quality_control",
    version="1",
    section="preprocessing.detect_bad_channels",
    location="quality_control/{name}/raw",
    settings=_raw_settings,
    inputs=lambda _: ("recording",),
    build=build_raw,
    checks=RAW_CHECKS,
)

STAGE = Stage(
    name="quality_control",
    version="1",
    section="curation",
    location="quality_control/{name}/processed",
    settings=lambda _: {},
    inputs=lambda _: ("recording", "preprocessed_recording", "motion", "analyzer", "curated_units"),
    build=build,
    checks=CHECKS,
)
