"""Preprocessed traces on fast disk: written once a recording job, read by motion, sorting and analyzer.

They are as large as the raw file and can be made again from it at any time, so they lie in scratch, under
the data version of the preprocessed recording that they hold.
"""

from __future__ import annotations

from datetime import UTC, datetime

import spikeinterface.core as si

from spikepipe_core.stages.stage import Work
from spikepipe_core.store import Manifest


def cached_traces(work: Work) -> si.BaseRecording:
    """The preprocessed recording of a job, from scratch; written there first if it is not.

    Returns
    -------
    BaseRecording
        int16 (or whatever the raw data are), with the probe, gains and times of the preprocessed one.
    """
    source = work.manifest("preprocessed_recording")
    assert source is not None, "preprocessed_recording is an input of every stage that reads its traces"
    ref = work.scratch_ref("traces")
    with work.scratch.lock(ref, waiting=work.say):
        found = work.scratch.manifest(ref)
        if found is None or found.data_version != source.data_version:
            _write(work, source)
    return si.load(work.scratch.path(ref))


def _write(work: Work, source: Manifest) -> None:
    recording = si.load(work.input("preprocessed_recording"), base_folder=work.data)
    work.say(f"writing {recording.get_total_duration():.0f} s of preprocessed traces to scratch")
    draft = work.scratch.draft(work.scratch_ref("traces"))
    recording.save(
        folder=draft.path,
        format="binary",
        verbose=False,
        **work.job_kwargs(work.params.preprocessing.job_kwargs),
    )
    work.scratch.commit(
        draft, source.model_copy(update={"started": datetime.now(UTC), "summary": {}, "pictures": {}})
    )
