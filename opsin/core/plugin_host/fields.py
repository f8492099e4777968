"""Which fields params and results may have: each must have a GraphQL type, known from its class."""

import re
import types
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel

TYPE_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_SCALARS = (bool, int, float, str, date, datetime, time, Decimal, UUID)
_LISTS = (list, tuple, Sequence)
_HINTS = {Literal: "; use an Enum", dict: "; use a list of a small model"}


def inner_types(model: type[BaseModel]) -> list[type]:
    """Every model and enum inside the model, each once; their names are GraphQL names too.

    `ValueError` names the field that GraphQL cannot have.
    """
    found: dict[type, None] = {}
    _collect(model, found)
    return list(found)


def _collect(model: type[BaseModel], found: dict[type, None]) -> None:
    for name, field in model.model_fields.items():
        where = f"field {name!r} of {model.__name__}"
        if not FIELD_NAME.fullmatch(name):
            raise ValueError(f"{where}: the name must match {FIELD_NAME.pattern}")
        for kind in _classes(field.annotation, where):
            if kind in found:
                continue
            found[kind] = None
            if not TYPE_NAME.fullmatch(kind.__name__):
                raise ValueError(f"{where}: {kind.__name__!r} must match {TYPE_NAME.pattern}")
            if issubclass(kind, BaseModel):
                _collect(kind, found)


def _classes(annotation: Any, where: str) -> Iterator[type]:
    """The models and enums that an annotation is made of."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _classes(arguments[0], where)
    elif origin in (Union, types.UnionType):
        kinds = [kind for kind in arguments if kind is not type(None)]
        if len(kinds) != 1:
            raise ValueError(f"{where}: of several types only one and None can be had")
        yield from _classes(kinds[0], where)
    elif origin in _LISTS:
        kinds = list(dict.fromkeys(kind for kind in arguments if kind is not Ellipsis))
        if len(kinds) != 1:
            raise ValueError(f"{where}: the elements of a list must have one type")
        yield from _classes(kinds[0], where)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel | Enum):
        yield annotation
    elif annotation not in _SCALARS:
        name = getattr(annotation, "__name__", str(annotation))
        raise ValueError(f"{where}: {name} has no GraphQL type{_HINTS.get(origin, '')}")
