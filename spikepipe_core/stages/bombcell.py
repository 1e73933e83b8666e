"""Bombcell's labels, and SLAy's proposals of units to merge, as SpikeInterface computes them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import spikeinterface.core as si

from spikepipe_core.params import BombcellParams, SlayParams

if TYPE_CHECKING:
    import pandas as pd

BOMBCELL = "bombcell_label"
BOMBCELL_LABELS = ("good", "mua", "noise", "non_soma")


def label_by_bombcell(
    metrics: pd.DataFrame, thresholds: BombcellParams | None, say: Callable[[str], None] = lambda _: None
) -> pd.Series | None:
    """Label units by Bombcell's thresholds.

    Parameters
    ----------
    metrics : DataFrame
        One row a unit, one column a quality or template metric.
    thresholds : BombcellParams or None
        None labels nothing.
    say : callable
        Is told which thresholds have no effect because their metric was not computed.

    Returns
    -------
    Series of str or None
        ``good``, ``mua``, ``noise`` or ``non_soma``.
    """
    if thresholds is None or metrics.empty:
        return None
    from spikeinterface.curation import bombcell_label_units

    wanted = thresholds.model_dump(mode="json", by_alias=True)
    missing = sorted({name for bounds in wanted.values() for name in bounds} - set(metrics.columns))
    if missing:
        say(f"bombcell: without effect, because not computed: {', '.join(missing)}")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "These metrics have not been computed")  # said above
        labels = bombcell_label_units(thresholds=wanted, external_metrics=metrics)
    return labels[BOMBCELL]


def noise_units(labels: pd.DataFrame, strategy: str | None, decoder: str) -> list[Any]:
    """Units that are noise by everyone whom the strategy names; none if one of them has not labelled.

    Parameters
    ----------
    labels : DataFrame
        One row a unit.
    strategy : {"bombcell", "unitrefine", "bombcell+unitrefine"} or None
    decoder : str
        Column of UnitRefine's label.
    """
    columns = [
        {"bombcell": BOMBCELL, "unitrefine": decoder}[name] for name in (strategy or "").split("+") if name
    ]
    if not columns or not set(columns) <= set(labels):
        return []
    return list(labels.index[(labels[columns] == "noise").all(axis=1)])


def propose_merges(
    analyzer: si.SortingAnalyzer, params: SlayParams | None, without: Iterable[Any] = (), **job_kwargs: Any
) -> list[list[Any]]:
    """Groups of units that may be one neuron, by SLAy (Koukuntla et al.).

    Parameters
    ----------
    analyzer : SortingAnalyzer
    params : SlayParams or None
        None proposes nothing.
    without : iterable
        Ids of units to leave out: noise.

    Returns
    -------
    list of list
        Unit ids, two or more a group.
    """
    left_out = set(without)
    units = [unit for unit in analyzer.unit_ids if unit not in left_out]
    if params is None or len(units) < 2:
        return []
    from spikeinterface.curation import compute_merge_unit_groups

    groups = compute_merge_unit_groups(
        analyzer if len(units) == len(analyzer.unit_ids) else analyzer.select_units(units),
        preset="slay",
        steps_params={
            # The params keep the names of SpikeInterface 0.103, when they were written.
            "template_similarity": {"template_diff_thresh": params.template_similarity.templates_diff},
            "slay_score": params.slay.model_dump(),
        },
        **job_kwargs,
    )
    return [list(group) for group in groups]
