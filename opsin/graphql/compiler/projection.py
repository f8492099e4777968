"""Values that Python computes, shown as a selection asks: without a resolver for each field."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from graphql import (
    GraphQLEnumType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    SelectionSetNode,
    is_abstract_type,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter

from opsin.graphql.compiler.arguments import strawberry_definition
from opsin.graphql.compiler.rules import NotCompiled, Unusual
from opsin.graphql.compiler.selection import Asked, Selections

Projection: TypeAlias = Callable[[Any], Any]
"""What is shown of a value; raises Unusual for what the schema does not allow."""


def projection(
    selections: Selections, kind: GraphQLOutputType, sets: Sequence[SelectionSetNode]
) -> Projection:
    """For values of this type; NotCompiled if a field in it has a resolver of its own."""
    if isinstance(kind, GraphQLNonNull):
        return _present(projection(selections, kind.of_type, sets))
    if isinstance(kind, GraphQLList):
        return _list(projection(selections, kind.of_type, sets))
    if isinstance(kind, GraphQLScalarType | GraphQLEnumType):
        return _leaf(kind)
    if isinstance(kind, GraphQLObjectType):
        return _optional(_object(selections, kind, sets))
    if is_abstract_type(kind):
        return _any_of(selections, kind, sets)
    raise NotCompiled(f"values of {kind}")


def _present(inner: Projection) -> Projection:
    def show(value: Any) -> Any:
        if value is None or (shown := inner(value)) is None:
            raise Unusual
        return shown

    return show


def _optional(inner: Projection) -> Projection:
    return lambda value: None if value is None else inner(value)


def _list(inner: Projection) -> Projection:
    def show(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, list | tuple):
            raise Unusual
        return [inner(item) for item in value]

    return show


def _leaf(kind: GraphQLScalarType | GraphQLEnumType) -> Projection:
    if kind.name == "Float":
        return _float
    if kind.name == "String":
        return _string

    def show(value: Any) -> Any:
        if value is None:
            return None
        try:
            return kind.serialize(value)
        except Exception as error:
            raise Unusual from error

    return show


def _float(value: Any) -> Any:
    if value is None or (type(value) is float and math.isfinite(value)):
        return value
    if type(value) is int and abs(value) <= 2**53:
        return float(value)
    raise Unusual


def _string(value: Any) -> Any:
    if value is None or type(value) is str:
        return value
    raise Unusual


def _object(
    selections: Selections, kind: GraphQLObjectType, sets: Sequence[SelectionSetNode]
) -> Projection:
    members = [_member(selections, kind, one) for one in selections.of(kind, sets)]

    def show(value: Any) -> dict[str, Any]:
        return {key: inner(value) for key, inner in members}

    return show


def _member(
    selections: Selections, kind: GraphQLObjectType, asked: Asked
) -> tuple[str, Projection]:
    if asked.name == "__typename":
        return asked.key, lambda _: kind.name
    definition = kind.fields[asked.name]
    known = strawberry_definition(definition)
    if known.base_resolver is not None:
        raise NotCompiled(f"{kind.name}.{asked.name} has a resolver")
    inner = projection(selections, definition.type, asked.selections)
    name = known.python_name

    def show(value: Any) -> Any:
        try:
            found = getattr(value, name)
        except AttributeError as error:
            raise Unusual from error
        return inner(found)

    return asked.key, show


def _any_of(selections: Selections, kind: Any, sets: Sequence[SelectionSetNode]) -> Projection:
    """One projection for each possible type, chosen by the value's class."""
    shows = {
        possible.extensions[GraphQLCoreConverter.DEFINITION_BACKREF].origin: _object(
            selections, possible, sets
        )
        for possible in selections.schema.get_possible_types(kind)
    }

    def show(value: Any) -> Any:
        if value is None:
            return None
        if type(value) not in shows:
            raise Unusual
        return shows[type(value)](value)

    return show
