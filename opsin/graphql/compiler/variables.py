"""The variables of an operation as the schema types them, quickly where they are plain."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from graphql import (
    GraphQLNonNull,
    GraphQLSchema,
    OperationDefinitionNode,
    VariableValues,
    get_variable_values,
)
from graphql.execution.values import VariableValueSource

_INT = range(-(2**31), 2**31)
_IS_PLAIN: Mapping[str, Callable[[Any], bool]] = {
    "Boolean": lambda value: type(value) is bool,
    "Float": lambda value: type(value) is float and math.isfinite(value),
    "ID": lambda value: type(value) is str,
    "Int": lambda value: type(value) is int and value in _INT,
    "String": lambda value: type(value) is str,
}
"""Values of the built-in scalars that stay what they are."""


class Variables:
    """Coerces the variables of one operation.

    graphql-core works the types out of the document at each request; here that is done once, and
    whatever is not plain (input objects, enums, lists, mistakes, what is left out) is left to it.
    """

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        self._schema = schema
        self._definitions = operation.variable_definitions or ()
        self._sources: dict[str, VariableValueSource] | None = None
        self._kinds: dict[str, Callable[[Any], bool]] | None = None
        self._none = VariableValues({}, {})

    def coerced(self, given: Mapping[str, Any] | None) -> VariableValues | None:
        """The values; None when they are refused."""
        if not self._definitions:
            return self._none
        if self._kinds is not None and self._sources is not None and given is not None:
            values = {name: given[name] for name in self._kinds if name in given}
            if len(values) == len(self._kinds) and all(
                is_plain(values[name]) for name, is_plain in self._kinds.items()
            ):
                sources = {
                    name: VariableValueSource(self._sources[name].signature, value)
                    for name, value in values.items()
                }
                return VariableValues(sources, values)
        # The first mistake is enough: whoever tells of them counts, and each is told at the cost of
        # the whole value.
        found = get_variable_values(
            self._schema, self._definitions, dict(given or {}), max_errors=0, hide_suggestions=True
        )
        if not isinstance(found, VariableValues):
            return None
        if self._sources is None:
            self._sources = found.sources
            self._kinds = _plain_kinds(found.sources)
        return found


def _plain_kinds(
    sources: Mapping[str, VariableValueSource],
) -> dict[str, Callable[[Any], bool]] | None:
    """How to tell plain values of each variable; None if one has another type."""
    found: dict[str, Callable[[Any], bool]] = {}
    for name, source in sources.items():
        kind = source.signature.type
        kind = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
        is_plain = _IS_PLAIN.get(getattr(kind, "name", ""))
        if is_plain is None:
            return None
        found[name] = is_plain
    return found
