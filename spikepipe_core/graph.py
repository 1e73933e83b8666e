"""The graph: all stages, each after those it depends on. A new stage is a module and a line here."""

from spikepipe_core.stages import (
    clock,
    curation,
    figures,
    lfp,
    motion,
    nwb,
    postprocessing,
    preprocessing,
    quality_control,
    recording,
    sorting,
)
from spikepipe_core.stages.stage import Stage

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        recording.STAGE,
        clock.STAGE,
        figures.RAW_STAGE,
        quality_control.RAW_STAGE,
        lfp.STAGE,
        preprocessing.STAGE,
        motion.STAGE,
        figures.PROCESSED_STAGE,
        sorting.STAGE,
        postprocessing.STAGE,
        curation.STAGE,
        figures.STAGE,
        quality_control.STAGE,
        nwb.STAGE,
    )
}
