"""What the fork server has ready, so that a step begins in a process that needs to import nothing.

Importing this module imports it all. Nothing here may start a thread or touch a GPU, because the server is forked from.
"""

import os
from contextlib import suppress

import dagster as dg
import matplotlib.figure  # noqa: F401
import pandas  # noqa: F401
import scipy.signal  # noqa: F401
import spikeinterface.full  # noqa: F401

import spikepipe_assets.definitions  # noqa: F401
from spikepipe_core.compiled import keep_compiled


def open_instance_once() -> None:
    """Import what the instance keeps its events in, SQLAlchemy and a driver: two thirds of a step's start."""
    if os.environ.get("DAGSTER_HOME"):
        # An instance that cannot be opened now is for the step to complain about: here it would take all steps along.
        with suppress(Exception), dg.DagsterInstance.get():
            pass


keep_compiled()
open_instance_once()
