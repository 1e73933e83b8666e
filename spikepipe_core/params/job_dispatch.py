"""Params section ``job_dispatch``: what the raw folder is and how it becomes recording jobs."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from .base import REPLACED_WHOLE, FreeDict, ParamsModel, PositiveFloat

__all__ = ["JobDispatchParams", "SpikeInterfaceInfo"]


class SpikeInterfaceInfo(ParamsModel):
    """How to read a format that has no reader of its own here, through SpikeInterface."""

    reader_type: str = Field(
        min_length=1,
        description="Name of the SpikeInterface reader ('intan', 'plexon', 'neuralynx', ...), or"
        " 'spikeinterface' for anything that spikeinterface.load() opens.",
    )
    reader_kwargs: FreeDict | list[FreeDict] | None = Field(
        default=None,
        description="Keyword arguments of the reader, with the paths to read, relative to the data folder. A list:"
        " each is a session. null: the data folder.",
    )
    keep_stream_substrings: str | list[str] | None = Field(
        default=None, description="Only streams whose name contains one of these are read. null: all."
    )
    skip_stream_substrings: str | list[str] | None = Field(
        default=None, description="Streams whose name contains one of these are left out. null: none."
    )
    probe_paths: str | dict[str, str] | list[str | dict[str, str] | None] | None = Field(
        default=None,
        description="ProbeInterface JSON file with the geometry, relative to the data folder: one for all streams,"
        " or one a stream name; a list: for each of reader_kwargs. Needed where the reader finds no probe.",
    )
    session_names: str | list[str] | None = Field(
        default=None,
        description="Names of the sessions, one for each of reader_kwargs. null: those of the folders or files.",
    )


def _decode_json_string(value: Any) -> Any:
    """Accept the object as the JSON text of it, which is how it travels on a command line."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(
            f"is a string but no valid JSON ({error}); give an object or its JSON text"
        ) from error


class JobDispatchParams(ParamsModel):
    """Reader, splitting into recording jobs, and the clip for quick trials."""

    split_segments: bool = Field(
        default=True,
        description="Each recording segment is a job of its own. false: the segments of a stream are joined,"
        " in order, into one recording.",
    )
    split_groups: bool = Field(
        default=True,
        description="Each channel group (a shank of a multi-shank probe) is a job of its own. false: one job"
        " a probe.",
    )
    debug: bool = Field(
        default=False, description="Use only the first debug_duration seconds of every recording."
    )
    debug_duration: PositiveFloat = Field(default=30, description="Seconds that are kept when debug is on.")
    skip_timestamps_check: bool = Field(
        default=False,
        description="Do not judge whether the sample timestamps are regular; for data without reliable ones.",
    )
    multi_session: bool = Field(
        default=False, description="The data folder holds one folder a session, each processed by itself."
    )
    input: Literal["aind", "spikeglx", "openephys", "nwb", "spikeinterface"] | None = Field(
        default="openephys",
        description="Reader of the raw data; 'spikeinterface' reads what spikeinterface_info describes. Left out or"
        " null: the format is detected, and said.",
    )
    spikeinterface_info: Annotated[
        SpikeInterfaceInfo | None,
        BeforeValidator(_decode_json_string, json_schema_input_type=SpikeInterfaceInfo | str | None),
        REPLACED_WHOLE,
    ] = Field(
        default=None, description="What to read when input is 'spikeinterface': an object, or its JSON text."
    )
    min_recording_duration: float = Field(
        default=-1, ge=-1, description="Recordings shorter than this many seconds are skipped. -1: none is."
    )
    allow_paths_outside_data: bool = Field(
        default=False,
        description="Follow symbolic links, and paths inside raw files, that lead out of the data folder. Only for"
        " folders from people you trust: such a link can point to any file that this program may read.",
    )
    nwb_files: str | list[str] | None = Field(
        default=None,
        description="NWB files to read when input is 'nwb': a list, or one string with commas. null: all in"
        " the data folder.",
    )
