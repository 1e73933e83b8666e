"""Questions about the shape of the models: which keys are known where, and what a key holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

__all__ = ["all_paths", "field_at", "field_by_key", "known_keys", "leaves", "submodel"]


def submodel(annotation: Any) -> type[BaseModel] | None:
    """Return the model that a field holds (``X``, ``X | None``, ``Annotated[X, ...]``), or None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is Annotated:
        return submodel(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        found = [submodel(part) for part in get_args(annotation) if part is not NoneType]
        return found[0] if len(found) == 1 else None
    return None


def field_by_key(model: type[BaseModel], key: str) -> FieldInfo | None:
    """Return the field that a key of the file fills, or None where the key is unknown."""
    for name, field in model.model_fields.items():
        if key == (field.alias or name):
            return field
    further = getattr(model, "further_keys", None)
    return further(key) if further is not None else None


def known_keys(model: type[BaseModel]) -> list[str]:
    """Return the keys of an object of the file, in the order of the models."""
    return [field.alias or name for name, field in model.model_fields.items()]


def field_at(root: type[BaseModel], path: Sequence[str | int]) -> FieldInfo | None:
    """Return the field at a path from the root model, or None inside free-form objects and beyond."""
    model: type[BaseModel] | None = root
    field = None
    for key in path:
        field = field_by_key(model, str(key)) if model is not None else None
        if field is None:
            return None
        model = submodel(field.annotation)
    return field


def all_paths(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every key the models know, parents before children."""
    for key in known_keys(model):
        path = (*prefix, key)
        yield path
        field = field_by_key(model, key)
        below = submodel(field.annotation) if field is not None else None
        if below is not None:
            yield from all_paths(below, path)


def leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and the value of everything in a nested dict that is no object with keys."""
    if isinstance(node, dict) and (node or not path):
        for key, value in node.items():
            yield from leaves(value, (*path, key))
    else:
        yield path, node
