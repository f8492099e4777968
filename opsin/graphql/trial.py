"""Tries the GraphQL types of one operation alone, so that a bad one stops nobody but itself."""

from functools import lru_cache
from typing import Any

import strawberry

from opsin.core.contract import Operation
from opsin.graphql.inputs import Inputs
from opsin.graphql.results import prepare_output
from opsin.graphql.scalars import configuration


def check_types(operation: Operation[Any, Any]) -> None:
    """Raises ValueError when the params or the result cannot have GraphQL types.

    `core.plugin_fields` knows which types may be used; how they may be put together (a model
    without fields, a serializer, a computed field, ...) only a schema can tell.
    """
    try:
        _try(_Tried(operation))
    except Exception as error:  # whatever Strawberry, pydantic or the plugin's own classes raise
        reason = " ".join(str(error).split())
        raise ValueError(
            f"operation {operation.name!r} cannot have GraphQL types: {reason}"
        ) from error


class _Tried:
    """An operation, equal to another of the same types: they have to be tried only once."""

    def __init__(self, operation: Operation[Any, Any]) -> None:
        self.operation = operation
        self._types = operation.name, operation.params, operation.result

    def __hash__(self) -> int:
        return hash(self._types)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Tried) and other._types == self._types


@lru_cache(maxsize=256)
def _try(tried: _Tried) -> None:
    operation = tried.operation
    prepare_output(operation.result)
    root = _root(Inputs().of_params(operation, "trial"), operation.result)
    strawberry.Schema(query=root, config=configuration())


def _root(params: Any, result: Any) -> type:
    def tried(input: Any) -> Any: ...

    tried.__annotations__ = {"input": params, "return": result | None}
    members = {"tried": strawberry.field(resolver=tried)}
    return strawberry.type(type("Trial", (), members), name="_Trial")
