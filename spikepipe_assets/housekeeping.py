"""Scratch is tidied by itself: runs that nobody waits for leave traces behind, which the command line clears itself."""

import dagster as dg
from dagster import RunsFilter

from spikepipe_assets.deployment import Deployment
from spikepipe_assets.instance import GOING
from spikepipe_assets.metadata import size_in_words
from spikepipe_assets.partitions import partition_of
from spikepipe_core.cleaning import removable_traces, remove_all
from spikepipe_core.graph import STAGES

EVERY_S = 120
"""Seconds between two looks (ours)."""


def tidy_scratch(deployment: Deployment) -> dg.SensorDefinition:
    """Removes traces of recording jobs of which every step is done, unless `storage.keep.traces` is always."""

    @dg.sensor(
        name="tidy_scratch",
        minimum_interval_seconds=EVERY_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Removes preprocessed traces from scratch once every step of their recording job is done.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        if deployment.storage.keep.traces == "always":
            return dg.SkipReason("storage.keep.traces is always")
        store = deployment.store()
        busy = {partition_of(run.tags)[0] for run in context.instance.get_runs(RunsFilter(statuses=GOING))}
        folders = {entry.session_folder for entry in map(store.registry.find, filter(None, busy)) if entry}
        done = [one for one in removable_traces(store, STAGES) if one.path.parent.name not in folders]
        removed = remove_all(done, say=context.log.info)
        return dg.SkipReason(f"removed {size_in_words(removed)}" if removed else "nothing to remove")

    return sensor
