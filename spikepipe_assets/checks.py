"""The quality gates: what a stage judges about its output, as Dagster asset checks of each partition.

No check blocks. What makes going on senseless is no judgement but an error (a geometry that cannot be read, a
truncated file, a missing gain) or a rule of the params that leaves the recording out (too short, too many bad
channels, no units). Both stop that probe everywhere, in a notebook and on the command line too, where Dagster's
checks are not asked. What is left can be gone on from: timestamps that do not rise are reset, a noisy or drifting
probe is sorted and its units are judged one by one. So a check tells, and the curation decides.

A check carries its asset's partitions: one bad probe shows as that probe's, and no other run changes its verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from spikepipe_core.stages.stage import Stage
from spikepipe_core.store import Manifest

NOT_EVALUATED = {"passed": True, "description": "not evaluated: nothing was made"}

SEVERITIES = {"error": dg.AssetCheckSeverity.ERROR, "warn": dg.AssetCheckSeverity.WARN}


def check_specs(stage: Stage, partitions: dg.PartitionsDefinition) -> list[dg.AssetCheckSpec]:
    """The checks of a stage's asset: name and meaning are the stage's."""
    return [
        dg.AssetCheckSpec(
            name=name, asset=stage.name, description=meaning, blocking=False, partitions_def=partitions
        )
        for name, meaning in stage.checks.items()
    ]


def check_results(stage: Stage, manifest: Manifest) -> list[dg.AssetCheckResult]:
    """How the stage judged its output; what was not evaluated passes and says so."""
    made = manifest.summary.get("checks", {})
    return [_result(name, made.get(name, NOT_EVALUATED)) for name in stage.checks]


def _result(name: str, check: Mapping[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        passed=check["passed"],
        severity=SEVERITIES[check.get("severity", "warn")],
        description=check["description"],
        metadata={key: value for key, value in check.get("numbers", {}).items() if value is not None},
    )
