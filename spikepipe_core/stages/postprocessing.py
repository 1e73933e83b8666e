"""Postprocessing: from spike trains to a SortingAnalyzer with waveforms, locations and metrics.

Units that share most of their spikes are one neuron found twice: of each pair the one with fewer spikes is removed.
For the rest every extension of the params is computed on the preprocessed traces. The output is a SortingAnalyzer
(zarr) that refers to its recording by a relative path.

Settings that decide: the `postprocessing` section, without `job_kwargs`; `preprocessing.motion_correction` if motion
is applied.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import spikeinterface.core as si

from spikepipe_core.compiled import keep_compiled
from spikepipe_core.errors import ParamsError, StageFailedError
from spikepipe_core.params import Params, PostprocessingParams
from spikepipe_core.stages.extensions import Translated, translate
from spikepipe_core.stages.motion import motion_corrected
from spikepipe_core.stages.own_metrics import measure_own
from spikepipe_core.stages.preprocessing import load_preprocessed
from spikepipe_core.stages.sorting import load_sorting
from spikepipe_core.stages.stage import Built, Stage, Work
from spikepipe_core.stages.traces import cached_traces

COINCIDENCE_MS = 0.4
"""So far apart may spikes be, and templates: what SpikeInterface's `remove_redundant_units` takes for one spike."""

METRIC_WARNINGS = ("Error computing metric", "The following metrics will not be computed")
"""How SpikeInterface's warnings begin when it goes on without a metric."""


def remove_duplicates(
    sorting: si.BaseSorting,
    recording: si.BaseRecording,
    params: PostprocessingParams,
    peak_sign: str,
    job_kwargs: dict[str, Any],
) -> si.SortingAnalyzer:
    """An analyzer (in memory, templates only) of the units that are not found twice.

    Parameters
    ----------
    params : PostprocessingParams
        `duplicate_threshold`: template correlation above which units that fire together are one.
    peak_sign : str
        ``neg``, ``pos`` or ``both``: where a unit's main channel is looked for.
    """
    keep_compiled()
    analyzer = si.create_sorting_analyzer(
        sorting,
        recording,
        format="memory",
        sparse=True,
        sparsity_kwargs=params.sparsity.kwargs(),
        return_in_uV=params.return_in_uV,
        peak_sign=peak_sign,
        seed=0,
        job_kwargs=job_kwargs,
    )
    analyzer.compute({"random_spikes": {"seed": 0}, "templates": {}}, **job_kwargs)
    removed = _duplicates(analyzer, params.duplicate_threshold)
    if not removed:
        return analyzer
    return analyzer.select_units([unit for unit in analyzer.unit_ids if unit not in removed])


def _duplicates(analyzer: si.SortingAnalyzer, threshold: float) -> set[Any]:
    """Units that are another unit found twice, with fewer spikes.

    Templates alone do not tell: neurons side by side, and pieces of a neuron that a sorter has split, look alike too.
    So a duplicate also fires together with the other unit, which is SpikeInterface's notion of a redundant unit.
    """
    from spikeinterface.curation import remove_redundant_units

    _, together = remove_redundant_units(analyzer, remove_strategy="max_spikes", extra_outputs=True)
    spikes = analyzer.sorting.count_num_spikes_per_unit(outputs="dict")
    return {
        one if spikes[one] < spikes[other] else other
        for one, other in together
        if _template_correlation(analyzer, one, other) > threshold
    }


def _template_correlation(analyzer: si.SortingAnalyzer, one: Any, other: Any) -> float:
    """Cosine similarity of two templates, at the lag that suits them best.

    The analyzer's extension `template_similarity` looks in one direction of lags only (SpikeInterface 0.105.3): the
    order of the units would count.
    """
    from spikeinterface.core.template_tools import get_dense_templates_array
    from spikeinterface.postprocessing.template_similarity import compute_similarity_with_templates_array

    units = analyzer.sorting.ids_to_indices([one, other])
    templates = get_dense_templates_array(analyzer, return_in_uV=analyzer.return_in_uV)[units]
    mask = analyzer.sparsity.mask[units]
    similarity, _ = compute_similarity_with_templates_array(
        templates[:1],
        templates[1:],
        method="cosine",
        num_shifts=int(COINCIDENCE_MS / 1000 * analyzer.sampling_frequency),
        sparsity=mask[:1],
        other_sparsity=mask[1:],
    )
    return min(float(similarity[0, 0]), 1.0)  # single precision may exceed it


def analyze(
    template: si.SortingAnalyzer,
    recording: si.BaseRecording,
    traces: si.BaseRecording,
    folder: Path,
    wanted: Translated,
    params: PostprocessingParams,
    job_kwargs: dict[str, Any],
) -> tuple[si.SortingAnalyzer, list[str]]:
    """Compute all extensions into a new analyzer folder.

    Parameters
    ----------
    template : SortingAnalyzer
        Gives the units, their main channels and sparsity.
    recording : BaseRecording
        What the analyzer refers to: the lazy chain on the raw files.
    traces : BaseRecording
        The same signal, fast to read.
    folder : Path
        Ends in ``.zarr``.
    wanted : Translated
        The extensions and their arguments.

    Returns
    -------
    analyzer : SortingAnalyzer
    failures : list of str
        Metrics that could not be computed and are NaN for every unit, with the reason.

    Raises
    ------
    ParamsError
        SpikeInterface does not know an extension or one of its arguments.
    """
    _check_names(wanted)
    analyzer = si.create_sorting_analyzer(
        template.sorting,
        recording,
        format="zarr",
        folder=folder,
        main_channel_indices=template.get_main_channels(outputs="index"),
        sparsity=template.sparsity,
        return_in_uV=params.return_in_uV,
        peak_sign=wanted.peak_sign,
    )
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            analyzer.set_temporary_recording(traces, check_dtype=False)
            analyzer.compute(wanted.extensions, **job_kwargs)
            if wanted.own:
                sparsity = params.sparsity.kwargs()
                measure_own(analyzer, traces, wanted.own, wanted.extensions, sparsity, job_kwargs)
    except TypeError as error:
        raise ParamsError(
            f"postprocessing.extensions: the installed SpikeInterface does not take these arguments: {error}"
        ) from error
    _remove_pickles(folder)
    failures = [str(each.message) for each in said if str(each.message).startswith(METRIC_WARNINGS)]
    return analyzer, failures


def _remove_pickles(folder: Path) -> None:
    """Remove the fitted PCA models, which SpikeInterface can only pickle.

    The projections, from which all metrics are computed, stay. A pickle would make the whole analyzer unsafe to
    open, and numcodecs refuses to.
    """
    import zarr

    root = zarr.open_group(str(folder), mode="r+")
    pickled: list[str] = []

    def note(name: str, node: zarr.Array | zarr.Group) -> None:
        if isinstance(node, zarr.Array) and any(f.codec_id == "pickle" for f in node.filters or ()):
            pickled.append(name)

    root.visititems(note)
    for name in pickled:
        del root[name]
    zarr.consolidate_metadata(root.store)


def _check_names(wanted: Translated) -> None:
    known = si.get_available_analyzer_extensions()
    unknown = [name for name in wanted.extensions if name not in known]
    if unknown:
        raise ParamsError(
            f"postprocessing.extensions: SpikeInterface has no extension {unknown[0]!r}. Known: {', '.join(known)}."
        )


def build(work: Work) -> Built:
    """Make the analyzer of a recording job."""
    params = work.params.postprocessing
    job_kwargs = work.job_kwargs(params.job_kwargs)
    sorting, traces, recording = load_sorting(work), cached_traces(work), load_preprocessed(work)
    if _motion_wanted(work.params):
        traces, recording = motion_corrected(work, traces), motion_corrected(work, recording)
    wanted = translate(params.extensions.requested(), in_uV=params.return_in_uV)
    for change in wanted.changes:
        work.say(change)
    work.say(f"looking for duplicates among {sorting.get_num_units()} units")
    template = remove_duplicates(sorting, traces, params, wanted.peak_sign, job_kwargs)
    duplicates = sorting.get_num_units() - len(template.unit_ids)
    work.say(f"computing {', '.join(wanted.extensions)}")
    try:
        analyzer, failures = analyze(
            template,
            recording,
            traces,
            work.path,
            wanted,
            params,
            job_kwargs,
        )
    except (ValueError, IndexError, AssertionError, np.linalg.LinAlgError) as error:
        if isinstance(error, ParamsError):
            raise
        raise StageFailedError(
            f"postprocessing failed: {error}. Set the extension to null to leave it out."
        ) from error
    for failure in failures:
        work.say(failure)
    return _describe(analyzer, duplicates, wanted, failures)


def _describe(
    analyzer: si.SortingAnalyzer, duplicates: int, wanted: Translated, failures: list[str]
) -> Built:
    metrics = metrics_table(analyzer)
    medians = {
        f"median_{name}": round(float(metrics[name].median()), 3)
        for name in ("snr", "firing_rate", "isi_violations_ratio")
        if name in metrics and metrics[name].notna().any()
    }
    return Built(
        reason=f"{len(analyzer.unit_ids)} units, {len(analyzer.get_loaded_extension_names())} extensions",
        summary={
            "units": len(analyzer.unit_ids),
            "duplicates_removed": duplicates,
            "extensions": ", ".join(analyzer.get_loaded_extension_names()),
            **medians,
            "translated": wanted.changes,
            "failed_metrics": failures,
        },
    )


def metrics_table(analyzer: si.SortingAnalyzer) -> Any:
    """Quality and template metrics of all units as one pandas DataFrame, indexed by unit id."""
    import pandas as pd

    tables = [
        analyzer.get_extension(name).get_data()
        for name in ("quality_metrics", "template_metrics")
        if analyzer.has_extension(name)
    ]
    return pd.concat(tables, axis=1) if tables else pd.DataFrame(index=analyzer.unit_ids)


def load_analyzer(work: Work) -> si.SortingAnalyzer:
    """The analyzer of a job with its recording attached."""
    analyzer = si.load(work.input("analyzer"))
    if not analyzer.has_recording():
        recording = load_preprocessed(work)
        analyzer.set_temporary_recording(
            motion_corrected(work, recording) if _motion_wanted(work.params) else recording, check_dtype=False
        )
    return analyzer


def _motion_wanted(params: Params) -> bool:
    return params.preprocessing.motion_correction.apply or params.postprocessing.use_motion_corrected


def _settings(params: Params) -> dict[str, Any]:
    settings = params.postprocessing.model_dump(mode="json", exclude={"job_kwargs"})
    if _motion_wanted(params):
        motion = params.preprocessing.motion_correction
        settings["interpolation"] = [motion.preset, motion.interpolate_motion_kwargs]
    return settings


def _inputs(params: Params) -> tuple[str, ...]:
    needed = ("preprocessed_recording", "sorting")
    return (*needed, "motion") if _motion_wanted(params) else needed


STAGE = Stage(
    name="analyzer",
    version="4",
    section="postprocessing",
    location="postprocessed/{name}.zarr",
    settings=_settings,
    inputs=_inputs,
    build=build,
)
