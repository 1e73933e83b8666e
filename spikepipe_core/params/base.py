"""What all sections of the params file share: the strict base model, number types and ``job_kwargs``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

__all__ = [
    "REPLACED_WHOLE",
    "ForwardingModel",
    "FreeDict",
    "JobKwargs",
    "NonNegativeInteger",
    "ParamsModel",
    "PeakSign",
    "PositiveFloat",
    "PositiveInteger",
]


def _whole_float_to_int(value: Any) -> Any:
    """Read ``2.0`` as ``2``: JSON Schema calls both an integer, and so do we."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


PositiveInteger = Annotated[int, Field(ge=1), BeforeValidator(_whole_float_to_int)]
NonNegativeInteger = Annotated[int, Field(ge=0), BeforeValidator(_whole_float_to_int)]
PositiveFloat = Annotated[float, Field(gt=0)]
FreeDict = dict[str, JsonValue]
"""Keyword arguments that are handed on as they are; their names belong to the tool that receives them."""
PeakSign = Literal["neg", "pos", "both"]

REPLACED_WHOLE = "replaced whole"
"""Marks (in ``Annotated``) an object that a stronger layer replaces, where others are merged by key:
a custom pipeline or a reader description made of two files' keys would be neither's."""


class ParamsModel(BaseModel):
    """Base of every params object: immutable, unknown keys refused, no silent conversion of types.

    Strict types keep the models and the JSON Schema in agreement: ``"300"`` is not a number in either.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True
    )


class ForwardingModel(ParamsModel):
    """Params of one SpikeInterface call: the documented keys typed, further ones handed on to the call.

    Names of further keys are compared with the installed SpikeInterface when a file is loaded
    (`spikepipe_core.params.installed`), so a misspelt one is still an error.
    """

    model_config = ConfigDict(extra="allow")

    def kwargs(self) -> dict[str, Any]:
        """Return all keys, documented or not, as the keyword arguments of the call."""
        return self.model_dump(mode="json")


class JobKwargs(ParamsModel):
    """How a step cuts a recording into chunks for its workers."""

    chunk_duration: str = Field(
        default="1s",
        pattern=r"^(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:s|ms)$",
        description="Length of a processing chunk with its unit, 's' or 'ms' (e.g. '1s', '500ms'). Longer"
        " chunks cost more memory and less overhead.",
    )
    progress_bar: bool = Field(default=False, description="Show a progress bar while chunks are processed.")
    mp_context: Literal["fork", "spawn", "forkserver"] | None = Field(
        default=None, description="How worker processes are started. null: the platform's default."
    )
