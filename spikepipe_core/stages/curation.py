"""Curation: label every unit by its quality metrics and by classifiers; remove none, merge none.

`query` selects the units that pass (``default_qc``). The UnitRefine cascade (Jain et al.) tells noise from neurons,
then single from multi-unit activity (``decoder_label``, ``decoder_probability``). Bombcell's thresholds give a second
opinion (``bombcell_label``). SLAy proposes merges among the units that `noise_strategy` does not call noise. The output
is a SpikeInterface sorting with the labels as unit properties, `labels.csv` for people, and `curation.json` in
SpikeInterface's curation format with the labels, the merges and the noise units to remove: proposals, which
`spikeinterface.curation.apply_curation` carries out if a person agrees.

Settings that decide: the `curation` section, without `job_kwargs`; the revisions of the classifiers.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import spikeinterface.core as si

from spikepipe_core.errors import BadDataError, ParamsError
from spikepipe_core.params import CurationParams, Params
from spikepipe_core.stages.bombcell import (
    BOMBCELL,
    BOMBCELL_LABELS,
    label_by_bombcell,
    noise_units,
    propose_merges,
)
from spikepipe_core.stages.classifiers import Classifier, find_classifier, load_classifier
from spikepipe_core.stages.postprocessing import load_analyzer, metrics_table
from spikepipe_core.stages.stage import Built, Stage, Work
from spikepipe_core.store.files import write_json

if TYPE_CHECKING:
    import pandas as pd

QC, LABEL, PROBABILITY = "default_qc", "decoder_label", "decoder_probability"
PASSED, FAILED = "pass", "bad"
DECODED = ("noise", "neural", "sua", "mua")
CURATION, TABLE = "curation.json", "labels.csv"
QUERY_METHODS = ("isna", "notna", "between", "isin", "abs")
"""Methods of a metric's column that a query may call."""


def label_by_query(metrics: pd.DataFrame, query: str | None) -> pd.Series | None:
    """Label units that satisfy a query over their metrics.

    Parameters
    ----------
    metrics : DataFrame
        One row a unit, one column a metric.
    query : str or None
        Pandas query; None or empty labels nothing.

    Returns
    -------
    Series of str or None
        ``pass`` or ``bad``. As in pandas, a metric that is not known (NaN) satisfies no comparison but ``!=``.

    Raises
    ------
    ParamsError
        The query names no known metric, or is no condition on metrics.
    """
    import pandas as pd

    if not query or not query.strip():
        return None
    try:
        _refuse_code(query)
        found = metrics.eval(query.strip(), engine="python", local_dict={}, global_dict={})
        if not pd.api.types.is_bool_dtype(found) or np.shape(found) != (len(metrics),):
            raise ValueError("it is no condition, which is true or false for each unit")
    except (
        SyntaxError, NameError, KeyError, TypeError, ValueError, AttributeError, NotImplementedError,
    ) as error:  # fmt: skip
        raise ParamsError(
            f"curation.query {query!r} cannot be evaluated: {error}. Metrics that can be used: "
            f"{', '.join(sorted(metrics.columns))}."
        ) from error
    passing = pd.Series(np.asarray(found), index=metrics.index).fillna(False).astype(bool)
    return pd.Series(np.where(passing, PASSED, FAILED), index=metrics.index, name=QC)


def _refuse_code(query: str) -> None:
    """Refuse what is no condition on metrics: pandas would run it, and params files may come with the data."""
    plain = re.sub(r"`[\w -]*`", "column", query.strip())
    for node in ast.walk(ast.parse(plain, mode="eval")):
        if isinstance(node, ast.Attribute) and node.attr not in QUERY_METHODS:
            raise ValueError(f".{node.attr} is not allowed, only {', '.join(QUERY_METHODS)}")


def label_by_classifiers(
    analyzer: si.SortingAnalyzer,
    metrics: pd.DataFrame,
    noise_neural: Classifier | None,
    sua_mua: Classifier | None,
) -> pd.DataFrame | None:
    """Label units with the UnitRefine cascade: noise first, then SUA or MUA for the rest.

    Parameters
    ----------
    metrics : DataFrame
        One row a unit; must hold the metrics the models were trained on.
    noise_neural, sua_mua : Classifier or None
        None skips that step.

    Returns
    -------
    DataFrame or None
        Columns ``decoder_label`` (``noise``, ``neural``, ``sua``, ``mua``) and ``decoder_probability`` (0 to 1).

    Raises
    ------
    BadDataError
        A model needs metrics that were not computed.
    """
    import pandas as pd

    if noise_neural is None and sua_mua is None:
        return None
    labels = pd.DataFrame({LABEL: "neural", PROBABILITY: np.nan}, index=metrics.index)
    if noise_neural is not None:
        labels.update(_predict(analyzer, metrics, noise_neural, metrics.index))
    neural = labels.index[labels[LABEL] != "noise"]
    if sua_mua is not None and len(neural):
        labels.update(_predict(analyzer, metrics, sua_mua, neural))
    return labels


def _predict(
    analyzer: si.SortingAnalyzer, metrics: pd.DataFrame, classifier: Classifier, units: pd.Index
) -> pd.DataFrame:
    from spikeinterface.curation.model_based_curation import ModelBasedClassification

    model, info = load_classifier(classifier)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # differing metric params: old models name them otherwise
            predicted = ModelBasedClassification(
                analyzer, pipeline=model, unit_ids=list(units)
            ).predict_labels(metrics=metrics.loc[units], model_info=info, set_predictions_as_properties=False)
    except ValueError as error:
        raise BadDataError(
            f"the classifier {classifier.name!r} cannot be applied: {error}. Compute the metrics it needs "
            "(postprocessing.extensions), or set it to null."
        ) from error
    if unknown := sorted(set(map(str, predicted["prediction"])) - set(DECODED)):
        raise BadDataError(
            f"the classifier {classifier.name!r} gives the label {unknown[0]!r}; known are {', '.join(DECODED)}. "
            "Correct label_conversion in its model_info.json, or give another classifier."
        )
    return predicted.rename(columns={"prediction": LABEL, "probability": PROBABILITY})


def curation_dict(
    unit_ids: list[Any], labels: pd.DataFrame, merges: list[list[Any]], removed: list[Any]
) -> dict[str, Any]:
    """Labels and proposals in SpikeInterface's curation format, version 2."""
    columns = {QC: [PASSED, FAILED], LABEL: list(DECODED), BOMBCELL: list(BOMBCELL_LABELS)}
    present = {name: options for name, options in columns.items() if name in labels}
    return {
        "format_version": "2",
        "unit_ids": unit_ids,
        "label_definitions": {
            name: {"name": name, "label_options": options, "exclusive": True}
            for name, options in present.items()
        },
        "manual_labels": [
            {"unit_id": unit, "labels": {name: [str(labels.at[unit, name])] for name in present}}
            for unit in unit_ids
        ]
        if present
        else [],
        "merges": [{"unit_ids": group} for group in merges],
        "removed": removed,
        "splits": [],
    }


def build(work: Work) -> Built:
    """Label the units of a recording job."""
    import pandas as pd
    from spikeinterface.curation import validate_curation_dict

    params = work.params.curation
    analyzer = load_analyzer(work)
    metrics = metrics_table(analyzer)
    noise_neural, sua_mua = _classifiers(params)
    parts = [
        label_by_query(metrics, params.query),
        label_by_classifiers(analyzer, metrics, noise_neural, sua_mua),
        label_by_bombcell(metrics, params.bombcell, say=work.say),
    ]
    made = [part for part in parts if part is not None]
    labels = pd.concat(made, axis=1) if made else pd.DataFrame(index=metrics.index)
    noise = noise_units(labels, params.noise_strategy, decoder=LABEL)
    merges = propose_merges(analyzer, params.slay, without=noise, **work.job_kwargs(params.job_kwargs))

    _save_sorting(analyzer.sorting, labels, work)
    curation = curation_dict(
        _plain(analyzer.unit_ids), labels, [_plain(group) for group in merges], _plain(noise)
    )
    validate_curation_dict(curation)
    write_json(work.path / CURATION, curation)
    labels.to_csv(work.path / TABLE, index_label="unit_id")
    return _describe(labels, params, [noise_neural, sua_mua], merges, noise)


def _plain(unit_ids: Iterable[Any]) -> list[Any]:
    """Unit ids in Python's own types, as JSON takes them."""
    return [unit.item() if hasattr(unit, "item") else unit for unit in unit_ids]


def _save_sorting(sorting: si.BaseSorting, labels: pd.DataFrame, work: Work) -> None:
    curated = si.NumpySorting.from_sorting(sorting, copy_spike_vector=True)
    for name in labels:
        values = labels[name].to_numpy()
        curated.set_property(name, values.astype(str) if values.dtype.kind not in "fiub" else values)
    curated.save(folder=work.path)


def _describe(
    labels: pd.DataFrame,
    params: CurationParams,
    classifiers: list[Classifier | None],
    merges: list[list[Any]],
    noise: list[Any],
) -> Built:
    units = len(labels)
    counts: dict[str, Any] = {"units": units}
    words = f"{units} units"
    if QC in labels:
        passing = int((labels[QC] == PASSED).sum())
        counts["passing"] = passing
        words += f", {passing} pass"
    if LABEL in labels:
        counts |= {f"label_{name}": int(number) for name, number in labels[LABEL].value_counts().items()}
    if BOMBCELL in labels:
        counts |= {
            f"bombcell_{name}": int(number) for name, number in labels[BOMBCELL].value_counts().items()
        }
    return Built(
        reason=words,
        summary={
            **counts,
            "proposed_merges": ", ".join("+".join(map(str, group)) for group in merges) or "none",
            "proposed_removals": ", ".join(map(str, noise)) or "none",
            "query": params.query or "none",
            "classifiers": ", ".join(f"{c.name}@{c.revision}" for c in classifiers if c) or "none",
        },
    )


def _classifiers(params: CurationParams) -> tuple[Classifier | None, Classifier | None]:
    noise, sua = params.noise_neural_classifier, params.sua_mua_classifier
    return (find_classifier(noise) if noise else None, find_classifier(sua) if sua else None)


def read_labels(work: Work) -> pd.DataFrame:
    """Labels of a job's units, indexed by unit id."""
    import pandas as pd

    return pd.read_csv(work.input("curated_units") / TABLE, index_col="unit_id")


def load_curated(work: Work) -> si.BaseSorting:
    """The curated units of a job, labels as properties."""
    return si.load(work.input("curated_units"))


def _settings(params: Params) -> dict[str, Any]:
    curation = params.curation
    # The classifiers' names, so that another one in the params is seen before anything is made; which revision a name
    # stands for is seen then (`_identity`).
    names = {"bombcell", "noise_strategy", "slay", "noise_neural_classifier", "sua_mua_classifier"}
    decide = curation.model_dump(mode="json", include=names, by_alias=True)
    return {"query": curation.query or None, **decide}


def _identity(work: Work) -> dict[str, Any]:
    return {
        key: classifier.revision if classifier else None
        for key, classifier in zip(
            ("noise_neural", "sua_mua"), _classifiers(work.params.curation), strict=True
        )
    }


STAGE = Stage(
    name="curated_units",
    version="2",
    section="curation",
    location="curated/{name}",
    settings=_settings,
    inputs=lambda _: ("analyzer",),
    identity=_identity,
    build=build,
)
