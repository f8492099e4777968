"""What the arguments of a field mean, worked out for each request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graphql import FieldNode, GraphQLField, VariableValues, get_argument_values
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from opsin.core.bounded_cache import BoundedCache
from opsin.core.pages import Wanted, decode_cursor
from opsin.core.soft_deletion import DeletedRows
from opsin.graphql.compiler.rules import AnyOne, Children, Computed, One
from opsin.graphql.compiler.selection import variables_of
from opsin.graphql.context import Context
from opsin.storage.ids import canonical_id

_ABSENT = object()
_PLAIN = frozenset({bool, int, float, str, type(None), type(_ABSENT)})
"""Kinds of variables that often come again; objects and lists are not looked up."""
_MOST_MEANINGS = 256
"""Of one field; a longer text counts for several."""

Given: TypeAlias = Children | One | AnyOne | Computed
"""The rules of fields that have arguments."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """The values to bind, what of them changes the SQL, and the arguments themselves."""

    values: tuple[Any, ...] = ()
    shape: tuple[Any, ...] = ()
    wanted: Wanted | None = None
    deleted: DeletedRows = DeletedRows.EXCLUDED
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Site:
    """A place in a document where a field has arguments."""

    def __init__(
        self,
        converter: GraphQLCoreConverter,
        rule: Given,
        definition: GraphQLField,
        node: FieldNode,
    ) -> None:
        self._converter = converter
        self._rule = rule
        self._definition = definition
        self._node = node
        self._variables = variables_of(node)
        self._known: BoundedCache[tuple[Any, ...], Meaning] = BoundedCache(_MOST_MEANINGS)

    def meaning(self, context: Context, variables: VariableValues) -> Meaning:
        """Raises what the ordinary resolver would raise for these arguments."""
        values = [variables.coerced.get(name, _ABSENT) for name in self._variables]
        if not all(type(value) in _PLAIN for value in values):
            return self._meaning(context, self._arguments(variables))
        # With their types: 1, 1.0 and True are one key.
        key = tuple((type(value), value) for value in values)
        found = self._known.get(key)
        if found is None:
            found = self._meaning(context, self._arguments(variables))
            size = 1 + sum(len(value) for value in values if isinstance(value, str)) // 64
            self._known.put(key, found, size)
        return found

    def _meaning(self, context: Context, arguments: dict[str, Any]) -> Meaning:
        match self._rule:
            case Children(wanted=wanted):
                return meaning_of(wanted(context, **arguments))
            case One(argument=argument, value=value):
                deleted = arguments.get("deleted", DeletedRows.EXCLUDED)
                return Meaning((value(arguments[argument]),), (deleted,), deleted=deleted)
            case AnyOne(argument=argument):
                return Meaning((canonical_id(arguments[argument]),))
            case Computed():
                return Meaning(arguments=arguments)

    def _arguments(self, variables: VariableValues) -> dict[str, Any]:
        strawberry_field: StrawberryField = strawberry_definition(self._definition)
        return convert_arguments(
            get_argument_values(self._definition, self._node, variables),
            strawberry_field.arguments,
            scalar_registry=self._converter.scalar_registry,
            config=self._converter.config,
        )


def meaning_of(wanted: Wanted) -> Meaning:
    """A page's values: its size, where it begins, and what each condition compares with."""
    request = wanted.request
    after: tuple[Any, ...] = ()
    if request.after is not None:
        value, identity = decode_cursor(request.after, request.order)
        after = (identity,) if request.order.column == "id" else (value, identity)
    conditions = [bound(value) for c in wanted.conditions for value in c.values]
    shape = (bool(after), request.order, wanted.deleted, *(c.shape for c in wanted.conditions))
    return Meaning((request.first, *after, *conditions), shape, wanted)


def bound(value: Any) -> Any:
    """A condition's value as a parameter: drivers take lists."""
    return list(value) if isinstance(value, tuple) else value


def strawberry_definition(definition: GraphQLField) -> Any:
    """The field as Strawberry knows it."""
    return definition.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]


def python_name(definition: GraphQLField) -> str:
    name: str = strawberry_definition(definition).python_name
    return name
