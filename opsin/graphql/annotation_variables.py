"""Thousands of annotations in the variables of one mutation, taken in one pass instead of five."""

from collections.abc import Iterator
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    ListTypeNode,
    NamedTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    TypeNode,
)
from graphql.execution import Executor
from graphql.execution.values import VariableValueSource
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.utils.str_converters import to_camel_case

from opsin.core.checked_annotations import CheckedAnnotations, quick_check

ADD_INPUT, ANNOTATION_INPUT = "AddAnnotationsInput", "AnnotationInput"
_LIST = "annotations"

_check = quick_check(to_camel_case)


class AnnotationVariables(StrawberryGraphQLCoreExecutionContext):
    """Executes operations; lists of AnnotationInput in variables become CheckedAnnotations.

    graphql-core looks at each field of each annotation several times and makes copies, which took
    longer than writing all of them to the database.  Here a list in which everything is right is
    checked as a whole and kept from graphql-core, which sees an empty one in its place.  A list
    with anything unusual in it goes the ordinary way, which also finds the words for what is wrong.
    """

    @classmethod
    def build(
        cls,
        schema: GraphQLSchema,
        document: DocumentNode,
        root_value: Any = None,
        context_value: Any = None,
        raw_variable_values: dict[str, Any] | None = None,
        *arguments: Any,
        **options: Any,
    ) -> list[GraphQLError] | Executor[Any]:
        given = raw_variable_values or {}
        taken = {
            name: checked
            for name, place in _places(document)
            if (checked := _checked(given.get(name), place)) is not None
        }
        first = (schema, document, root_value, context_value)
        if taken:
            remaining = given | {name: _emptied(given[name]) for name in taken}
            executor = super().build(*first, remaining, *arguments, **options)
            if isinstance(executor, Executor):
                for name, checked in taken.items():
                    _put_back(executor, name, given[name], checked)
                return executor
            # Errors show what was given, so they are made of all of it.
        return super().build(*first, raw_variable_values, *arguments, **options)


def _places(document: DocumentNode) -> Iterator[tuple[str, str]]:
    """The variables of the only operation that hold lists of annotations, and as which type."""
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    if len(operations) == 1:  # two operations may use one name for variables of two types
        for variable in operations[0].variable_definitions or ():
            if (name := _type_of_list(variable.type)) is not None:
                yield variable.variable.name.value, name


def _type_of_list(node: TypeNode) -> str | None:
    node = _nullable(node)
    if isinstance(node, NamedTypeNode) and node.name.value == ADD_INPUT:
        return ADD_INPUT
    if isinstance(node, ListTypeNode):
        item = _nullable(node.type)
        if isinstance(item, NamedTypeNode) and item.name.value == ANNOTATION_INPUT:
            return ANNOTATION_INPUT
    return None


def _nullable(node: TypeNode) -> TypeNode:
    return node.type if isinstance(node, NonNullTypeNode) else node


def _checked(value: Any, place: str) -> CheckedAnnotations | None:
    if place == ADD_INPUT:
        value = value.get(_LIST) if isinstance(value, dict) else None
    return _check(value) if isinstance(value, list) else None


def _emptied(value: Any) -> Any:
    return [] if isinstance(value, list) else value | {_LIST: []}


def _put_back(executor: Executor[Any], name: str, given: Any, checked: CheckedAnnotations) -> None:
    values = executor.variable_values
    # What the client sent, for whoever asks for the variable as it came.
    values.sources[name] = VariableValueSource(values.sources[name].signature, given)
    if isinstance(given, list):
        values.coerced[name] = checked
    else:
        values.coerced[name][_LIST] = checked
