"""How many rows an operation may give: page sizes multiplied along nested lists, and summed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_abstract_type,
    is_composite_type,
    is_list_type,
    is_non_null_type,
    value_from_ast_untyped,
)

from opsin.core.bounded_cache import BoundedCache
from opsin.core.errors import InvalidInput
from opsin.graphql.errors import TOO_COMPLEX

UNPAGED = 10
"""Rows counted for each list of objects that has no pages, such as `artifacts`."""

_PAGE_SIZE = "first"
_MOST_CHARACTERS = 256 * 1024
"""Of the documents whose operations are known; the nodes of each are kept with them."""

Conditions: TypeAlias = frozenset[tuple[str, bool]]
"""Variables of @include and @skip, with the value that each must have."""


@dataclass(frozen=True, slots=True)
class PageSize:
    """A page's size: a number, or the variable that gives it and what it is without a value."""

    number: int
    variable: str | None = None

    def of(self, variables: Mapping[str, Any]) -> int:
        given = self.number if self.variable is None else variables.get(self.variable, self.number)
        # What is no integer is refused when the variables are checked against the schema.
        return given if type(given) is int else 0


@dataclass(frozen=True, slots=True)
class Rows:
    """One list: how many rows it has, and the lists that each of them has."""

    size: PageSize
    inner: tuple["Rows | OneOf", ...]
    when: tuple[Conditions, ...] | None
    """It is selected when any of these holds; None: always."""

    def count(self, variables: Mapping[str, Any]) -> int:
        if self.when is not None and not any(
            all(variables.get(name) is wanted for name, wanted in conditions)
            for conditions in self.when
        ):
            return 0
        return self.size.of(variables) * (1 + sum(rows.count(variables) for rows in self.inner))


@dataclass(frozen=True, slots=True)
class OneOf:
    """What objects of each type of an interface or union have; an object is of one type only."""

    alternatives: tuple[tuple["Rows | OneOf", ...], ...]

    def count(self, variables: Mapping[str, Any]) -> int:
        return max(sum(rows.count(variables) for rows in each) for each in self.alternatives)


@dataclass(frozen=True, slots=True)
class Shape:
    """The lists of an operation and all its page sizes: what the variables cannot change."""

    rows: tuple[Rows | OneOf, ...]
    pages: frozenset[PageSize]
    defaults: Mapping[str, Any]

    def check(
        self, variables: Mapping[str, Any] | None, most_rows: int, most_page: int
    ) -> GraphQLError | None:
        """The error when a page, or all rows together, are more than allowed."""
        given = {**self.defaults, **variables} if variables else self.defaults
        for page in self.pages:
            if 0 <= page.of(given) <= most_page:
                continue
            message = f"{_PAGE_SIZE} must be from 0 to {most_page}"
            return GraphQLError(message, extensions={"code": InvalidInput.code})
        count = sum(rows.count(given) for rows in self.rows)
        if count <= most_rows:
            return None
        message = (
            f"The operation asks for up to {count} rows and may ask for {most_rows}: "
            f"give smaller pages by `{_PAGE_SIZE}`"
        )
        return GraphQLError(message, extensions={"code": TOO_COMPLEX})


class RowLimit:
    """Holds operations of one schema to a number of rows; each is taken apart once."""

    def __init__(self, *, rows: int, page: int) -> None:
        self._rows = rows
        self._page = page
        # By identity, for a node's own hash walks the document; the kept node keeps it unique.
        self._known: BoundedCache[int, tuple[OperationDefinitionNode, Shape]] = BoundedCache(
            _MOST_CHARACTERS
        )

    def check(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any] | None,
    ) -> GraphQLError | None:
        """The error, if any; `document` is valid, `variables` are as they came."""
        known = self._known.get(id(operation))
        if known is None:
            known = operation, shape_of(schema, document, operation)
            size = len(document.loc.source.body) if document.loc else _MOST_CHARACTERS + 1
            self._known.put(id(operation), known, size)
        return known[1].check(variables, self._rows, self._page)


def shape_of(
    schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode
) -> Shape:
    """The shape of an operation of a valid document."""
    root = schema.get_root_type(operation.operation)
    assert root is not None  # validation has seen to it
    reading = _Reading(schema, document)
    always: Conditions = frozenset()
    rows = tuple(reading.lists(root, [(operation.selection_set, always)], None))
    return Shape(rows, frozenset(reading.pages), _defaults(operation))


def _defaults(operation: OperationDefinitionNode) -> dict[str, Any]:
    return {
        definition.variable.name.value: value_from_ast_untyped(definition.default_value)
        for definition in operation.variable_definitions or ()
        if definition.default_value is not None
    }


_Occurrences: TypeAlias = list[tuple[SelectionSetNode | None, Conditions]]
"""Selection sets of one field, which may be selected several times."""


class _Reading:
    """Finds the lists below a selection as the executor would: fields of one name are one."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self._schema = schema
        self._fragments = {
            d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)
        }
        self.pages: set[PageSize] = set()

    def lists(
        self, kind: GraphQLNamedType, selected: _Occurrences, page: PageSize | None
    ) -> Iterator[Rows | OneOf]:
        """The lists below; those right in a connection have its `page`."""
        if isinstance(kind, GraphQLObjectType):
            yield from self._lists_of_object(kind, selected, page)
        elif is_abstract_type(kind):
            each = {
                tuple(self._lists_of_object(possible, selected, page))
                for possible in self._schema.get_possible_types(kind)
            } - {()}
            if len(each) == 1:
                yield from each.pop()
            elif each:
                yield OneOf(tuple(each))

    def _lists_of_object(
        self, kind: GraphQLObjectType, selected: _Occurrences, page: PageSize | None
    ) -> Iterator[Rows | OneOf]:
        fields: dict[str, list[tuple[FieldNode, Conditions]]] = {}
        for selection_set, conditions in selected:
            for node, when in self._fields(kind, selection_set, conditions):
                key = node.alias.value if node.alias else node.name.value
                fields.setdefault(key, []).append((node, when))
        for nodes in fields.values():
            name = nodes[0][0].name.value
            if name in kind.fields:  # __typename and introspection are no rows
                yield from self._lists_of_field(kind.fields[name], nodes, page)

    def _lists_of_field(
        self, field: GraphQLField, nodes: list[tuple[FieldNode, Conditions]], page: PageSize | None
    ) -> Iterator[Rows | OneOf]:
        named = get_named_type(field.type)
        if not is_composite_type(named):
            return
        own = self._page_size(field, nodes[0][0])
        selected: _Occurrences = [(node.selection_set, when) for node, when in nodes]
        if _is_list(field.type):
            size = own or page or PageSize(UNPAGED)
            inner = tuple(self.lists(named, selected, None))
            yield Rows(size, inner, _any_of([when for _, when in nodes]))
        else:
            yield from self.lists(named, selected, own)

    def _page_size(self, field: GraphQLField, node: FieldNode) -> PageSize | None:
        argument = field.args.get(_PAGE_SIZE)
        if argument is None:
            return None
        default = argument.default_value if isinstance(argument.default_value, int) else UNPAGED
        size = PageSize(default)
        for given in node.arguments or ():
            if given.name.value == _PAGE_SIZE:
                if isinstance(given.value, VariableNode):
                    size = PageSize(default, given.value.name.value)
                elif isinstance(given.value, IntValueNode):
                    size = PageSize(int(given.value.value))
        self.pages.add(size)
        return size

    def _fields(
        self, kind: GraphQLObjectType, selected: SelectionSetNode | None, when: Conditions
    ) -> Iterator[tuple[FieldNode, Conditions]]:
        """The fields that an object of this type has selected, fragments expanded."""
        for node in selected.selections if selected else ():
            conditions = _conditions(node, when)
            if conditions is None:
                continue
            if isinstance(node, FieldNode):
                yield node, conditions
                continue
            inner: InlineFragmentNode | FragmentDefinitionNode
            if isinstance(node, FragmentSpreadNode):
                inner = self._fragments[node.name.value]
            else:
                assert isinstance(node, InlineFragmentNode)
                inner = node
            if self._applies(inner, kind):
                yield from self._fields(kind, inner.selection_set, conditions)

    def _applies(
        self, fragment: InlineFragmentNode | FragmentDefinitionNode, kind: GraphQLObjectType
    ) -> bool:
        if fragment.type_condition is None:
            return True
        wanted = self._schema.type_map[fragment.type_condition.name.value]
        return wanted is kind or (
            is_abstract_type(wanted) and self._schema.is_sub_type(wanted, kind)
        )


def _conditions(node: Any, outer: Conditions) -> Conditions | None:
    """The outer conditions and the node's own; None for what is never selected."""
    found = outer
    for directive in node.directives or ():
        name = directive.name.value
        if name not in ("include", "skip"):
            continue
        wanted = name == "include"
        value = directive.arguments[0].value
        if isinstance(value, VariableNode):
            found = found | {(value.name.value, wanted)}
        elif value.value is not wanted:
            return None
    return found


def _any_of(conditions: Sequence[Conditions]) -> tuple[Conditions, ...] | None:
    return None if frozenset() in conditions else tuple(dict.fromkeys(conditions))


def _is_list(kind: GraphQLOutputType) -> bool:
    return is_list_type(kind.of_type if is_non_null_type(kind) else kind)
