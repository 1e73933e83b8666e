"""What a quality report is: metrics, each with its value, its rule in words, and how it came out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, computed_field

Status = Literal["pass", "warn", "fail", "not evaluated", "info"]

_WORST_FIRST: tuple[Status, ...] = ("fail", "warn", "pass", "not evaluated", "info")


class Metric(BaseModel):
    """One number (or word) about a recording, and whether it is as it should be."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    topic: str = Field(description="The check it belongs to, or 'overview'.")
    value: float | int | str | None = Field(description="None if it could not be found out.")
    unit: str = Field(description="'uV', 'um', 's', 'Hz'; empty for counts, ratios and words.")
    status: Status = Field(description="'info' for a number that nothing is judged by.")
    rule: str = Field(description="What decides the status, in words; or why it was not evaluated.")
    description: str


class QualityReport(BaseModel):
    """All metrics of a recording and the worst of their statuses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: tuple[Metric, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def status(self) -> Status:
        """The worst status of all metrics."""
        return worst(metric.status for metric in self.metrics)

    def __getitem__(self, name: str) -> Metric:
        """The metric of that name."""
        return next(metric for metric in self.metrics if metric.name == name)

    def table(self) -> list[dict[str, Any]]:
        """One flat dict a metric, for people."""
        columns = ("name", "value", "unit", "status", "rule", "description")
        return [{column: getattr(metric, column) for column in columns} for metric in self.metrics]

    def check(self, topic: str) -> dict[str, Any]:
        """The verdict on a topic: passed unless one of its metrics warns or fails.

        Returns
        -------
        dict
            ``passed``, ``severity`` ("error" if a metric fails, else "warn"), ``description`` (words), ``numbers``
            (metric name to value).
        """
        metrics = [metric for metric in self.metrics if metric.topic == topic]
        status = worst(metric.status for metric in metrics)
        telling = [metric for metric in metrics if metric.status == status]
        return {
            "passed": status not in ("warn", "fail"),
            "severity": "error" if status == "fail" else "warn",
            "description": f"{status}: " + "; ".join(map(_sentence, telling)),
            "numbers": {metric.name: metric.value for metric in metrics if metric.value is not None},
        }


def worst(statuses: Iterable[Status]) -> Status:
    """The status that matters most: fail, warn, pass, not evaluated, info."""
    return min(statuses, key=_WORST_FIRST.index, default="info")


def number(value: Any, digits: int = 4) -> float | None:
    """A finite number rounded to significant digits; None for NaN, infinity and nothing."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{float(value):.{digits}g}")


def summarise(values: Any, how: str) -> float | None:
    """Median, min or max of the finite values; None if there are none."""
    finite = np.asarray(values, dtype="float64")
    finite = finite[np.isfinite(finite)]
    return number(getattr(np, how)(finite)) if finite.size else None


def judged(
    topic: str,
    name: str,
    value: float | None,
    unit: str,
    description: str,
    *,
    warn_above: float | None = None,
    fail_above: float | None = None,
    warn_below: float | None = None,
    fail_below: float | None = None,
    missing: str = "",
) -> Metric:
    """A metric judged by limits.

    Parameters
    ----------
    value : float or None
        None is not evaluated.
    warn_above, fail_above, warn_below, fail_below : float, optional
        Beyond these (not at them) the metric warns or fails.
    missing : str
        Why there is no value.
    """
    limits: tuple[tuple[Status, str, float | None], ...] = (
        ("fail", "above", fail_above),
        ("fail", "below", fail_below),
        ("warn", "above", warn_above),
        ("warn", "below", warn_below),
    )
    rules = [(status, side, limit) for status, side, limit in limits if limit is not None]
    words = ", ".join(
        f"{status} {side} {limit:g}{' ' + unit if unit else ''}" for status, side, limit in rules
    )
    broken = [
        status
        for status, side, limit in rules
        if value is not None and (value > limit if side == "above" else value < limit)
    ]
    status: Status = "not evaluated" if value is None else worst(broken) if broken else "pass"
    return Metric(
        name=name,
        topic=topic,
        value=value,
        unit=unit,
        status=status,
        rule=missing if value is None and missing else words,
        description=description,
    )


def informative(
    name: str, value: float | int | str | None, unit: str, description: str, topic: str = "overview"
) -> Metric:
    """A metric that nothing is judged by."""
    return Metric(
        name=name,
        topic=topic,
        value=value,
        unit=unit,
        status="info" if value is not None else "not evaluated",
        rule="for information" if value is not None else "not known for this recording",
        description=description,
    )


def _sentence(metric: Metric) -> str:
    name = metric.name.replace("_", " ")
    if metric.value is None:
        return f"{name} not evaluated ({metric.rule})"
    value = metric.value if isinstance(metric.value, str) else f"{metric.value:g}"
    return f"{name} {value}{' ' + metric.unit if metric.unit else ''} ({metric.rule})"
