"""How large a GraphQL document may be: counted before anything runs, fragments expanded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graphql import (
    ExecutableDefinitionNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
)
from strawberry.extensions import AddValidationRules, MaxTokensLimiter, SchemaExtension

TOO_COMPLEX = "DOCUMENT_TOO_COMPLEX"


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one operation may hold."""

    depth: int
    fields: int
    aliases: int
    tokens: int

    def extensions(self) -> list[Callable[[], SchemaExtension]]:
        """Strawberry's extensions that hold documents to these limits."""
        rule = _rule(self)
        return [
            lambda: MaxTokensLimiter(max_token_count=self.tokens),
            lambda: AddValidationRules([rule]),
        ]


@dataclass(frozen=True, slots=True)
class Size:
    """What a selection holds: nesting, fields and aliases."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0

    def beside(self, other: "Size") -> "Size":
        return Size(
            max(self.depth, other.depth), self.fields + other.fields, self.aliases + other.aliases
        )


class _Measure:
    """Sizes of selections; each fragment is measured once, so nesting them cannot explode."""

    def __init__(self, fragments: dict[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
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
        return Size(inner.depth + 1, inner.fields + 1, inner.aliases + alias)

    def _fragment(self, name: str) -> Size:
        if name not in self._known:
            # A fragment inside itself is another rule's error; here it only must end.
            self._known[name] = Size()
            fragment = self._fragments.get(name)
            self._known[name] = self.selections(fragment.selection_set if fragment else None)
        return self._known[name]


def _rule(limits: Limits) -> type[ValidationRule]:
    class DocumentSize(ValidationRule):
        def __init__(self, context: ValidationContext) -> None:
            super().__init__(context)
            definitions = context.document.definitions
            self._measure = _Measure(
                {d.name.value: d for d in definitions if isinstance(d, FragmentDefinitionNode)}
            )

        def enter_operation_definition(self, node: OperationDefinitionNode, *_: Any) -> None:
            size = self._measure.selections(node.selection_set)
            for name in ("depth", "fields", "aliases"):
                found, most = getattr(size, name), getattr(limits, name)
                if found > most:
                    self._report(node, f"The document has {name} {found}; at most {most} allowed")

        def _report(self, node: ExecutableDefinitionNode, message: str) -> None:
            self.report_error(GraphQLError(message, node, extensions={"code": TOO_COMPLEX}))

    return DocumentSize
