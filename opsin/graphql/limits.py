"""How large a GraphQL document and its answer may be, counted before anything is run."""

from collections.abc import Iterator
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_operation_ast,
)
from strawberry.extensions import SchemaExtension
from strawberry.schema.schema import validate_document

from opsin.graphql.errors import TOO_COMPLEX
from opsin.graphql.row_limit import RowLimit


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one operation may hold, its fragments expanded, and one document's text.

    `breadth` is of fields in one selection set, `page` of items in one page, `rows` of all the
    rows that an operation may give (see `opsin.graphql.row_limit`).
    """

    depth: int
    fields: int
    aliases: int
    tokens: int
    breadth: int = 256
    document_bytes: int = 256 * 1024
    page: int = 10_000
    rows: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Size:
    """What a selection holds: nesting, fields, aliases, and its widest selection set.

    `width` is of the selection itself, `breadth` of everything in it.
    """

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    width: int = 0
    breadth: int = 0

    def beside(self, other: "Size") -> "Size":
        width = self.width + other.width
        return Size(
            max(self.depth, other.depth),
            self.fields + other.fields,
            self.aliases + other.aliases,
            width,
            max(self.breadth, other.breadth, width),
        )


class DocumentLimits(SchemaExtension):
    """Refuses documents that are too large.

    It comes before the rules of graphql-core, which compare fields with each other: a document
    that is small to send could keep them busy for a minute.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def on_operation(self) -> Iterator[None]:
        self.execution_context.parse_options["max_tokens"] = self._limits.tokens
        yield

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        document = context.graphql_document
        # A known document has had its errors looked for: there are none.
        if document is not None and context.pre_execution_errors is None:
            # None, unlike an empty list, lets the validation begin.
            context.pre_execution_errors = list(excesses(document, self._limits)) or None
        yield


class OperationChoice(SchemaExtension):
    """Refuses to guess which of several operations is meant; Strawberry would run the first."""

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        document = context.graphql_document
        settled = context._provided_operation_name is not None or context.pre_execution_errors
        if document is not None and not settled and len(_operations(document)) > 1:
            error = GraphQLError("Several operations need an operationName")
            context.pre_execution_errors = [error]
        yield


class OperationRows(SchemaExtension):
    """Refuses operations that ask for too many rows; comes last, for it needs a valid document.

    `row_limit` is shared by all operations of a schema.
    """

    def __init__(self, row_limit: RowLimit) -> None:
        self._row_limit = row_limit

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        document = context.graphql_document
        if document is not None:
            if context.pre_execution_errors is None:
                context.pre_execution_errors = validate_document(
                    context.schema._schema, document, context.validation_rules
                )
            operation = get_operation_ast(document, context.operation_name)
            if operation is not None and not context.pre_execution_errors:
                context.pre_execution_errors = self._excess(document, operation)
        yield

    def _excess(
        self, document: DocumentNode, operation: OperationDefinitionNode
    ) -> list[GraphQLError]:
        context = self.execution_context
        schema = context.schema._schema
        error = self._row_limit.check(schema, document, operation, context.variables)
        return [error] if error is not None else []


def _operations(document: DocumentNode) -> list[OperationDefinitionNode]:
    return [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]


def excesses(document: DocumentNode, limits: Limits) -> Iterator[GraphQLError]:
    """What is too large, of every operation and of every fragment whether used or not."""
    measure = _Measure(document)
    for definition in document.definitions:
        if not isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode):
            continue
        try:
            size = measure.selections(definition.selection_set)
        except RecursionError:
            yield _too_complex("The document nests its fragments too deeply", definition)
            return
        for name, what in (
            ("depth", "levels of nesting"),
            ("fields", "fields"),
            ("aliases", "aliases"),
            ("breadth", "fields side by side"),
        ):
            most = getattr(limits, name)
            if getattr(size, name) > most:
                yield _too_complex(
                    f"The document has more than {most} {what}, fragments expanded", definition
                )


def _too_complex(
    message: str, node: OperationDefinitionNode | FragmentDefinitionNode
) -> GraphQLError:
    return GraphQLError(message, node, extensions={"code": TOO_COMPLEX})


class _Measure:
    """Sizes of selections; each fragment is measured once, so nesting them cannot explode."""

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)
        }
        self._known: dict[str, Size] = {}

    def selections(self, node: SelectionSetNode | None) -> Size:
        size = Size()
        for selection in node.selections if node else ():
            if isinstance(selection, FieldNode):
                size = size.beside(self._field(selection))
            elif isinstance(selection, InlineFragmentNode):
                size = size.beside(self.selections(selection.selection_set))
            elif isinstance(selection, FragmentSpreadNode):
                size = size.beside(self._fragment(selection.name.value))
        return size

    def _field(self, node: FieldNode) -> Size:
        inner = self.selections(node.selection_set)
        alias = 1 if node.alias else 0
        return Size(inner.depth + 1, inner.fields + 1, inner.aliases + alias, 1, inner.breadth)

    def _fragment(self, name: str) -> Size:
        if name not in self._known:
            # A fragment inside itself is another rule's error; here it only must end.
            self._known[name] = Size()
            fragment = self._fragments.get(name)
            self._known[name] = self.selections(fragment.selection_set if fragment else None)
        return self._known[name]
