"""What a document asks of a type: its fields, merged, with fragments and conditions worked out."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    ListValueNode,
    NamedTypeNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    is_abstract_type,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One member of the answer: its key there, its field, and every node that asks for it."""

    key: str
    name: str
    nodes: tuple[FieldNode, ...]

    @property
    def node(self) -> FieldNode:
        """The first; validation has seen to it that all have the same arguments."""
        return self.nodes[0]

    @property
    def selections(self) -> tuple[SelectionSetNode, ...]:
        return tuple(node.selection_set for node in self.nodes if node.selection_set is not None)


@dataclass(frozen=True, slots=True)
class Selections:
    """Reads selections of one valid document, its Boolean variables known."""

    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    booleans: Mapping[str, bool] = field(default_factory=dict)

    def of(self, kind: GraphQLObjectType, sets: Iterable[SelectionSetNode]) -> list[Asked]:
        """The members of an object of this type, in the order of the answer."""
        found: dict[str, list[FieldNode]] = {}
        visited: set[str] = set()
        for one in sets:
            for node in self._fields(kind, one, visited):
                key = node.alias.value if node.alias else node.name.value
                found.setdefault(key, []).append(node)
        return [Asked(key, nodes[0].name.value, tuple(nodes)) for key, nodes in found.items()]

    def mention(self, names: Collection[str], sets: Iterable[SelectionSetNode]) -> bool:
        """Whether a field of one of these names is asked for, however deep and on any type."""
        for one in sets:
            for node in one.selections:
                if isinstance(node, FieldNode) and node.name.value in names:
                    return True
                if isinstance(node, FragmentSpreadNode):
                    inner: SelectionSetNode | None = self.fragments[node.name.value].selection_set
                else:
                    inner = node.selection_set  # type: ignore[attr-defined]  # both other kinds have it
                if inner is not None and self.mention(names, [inner]):
                    return True
        return False

    def _fields(
        self, kind: GraphQLObjectType, one: SelectionSetNode, visited: set[str]
    ) -> Iterator[FieldNode]:
        for node in one.selections:
            if not self._is_included(node.directives or ()):
                continue
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, InlineFragmentNode):
                if self._applies(kind, node.type_condition):
                    yield from self._fields(kind, node.selection_set, visited)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in visited:
                visited.add(node.name.value)
                fragment = self.fragments[node.name.value]
                if self._applies(kind, fragment.type_condition):
                    yield from self._fields(kind, fragment.selection_set, visited)

    def _applies(self, kind: GraphQLObjectType, condition: NamedTypeNode | None) -> bool:
        if condition is None or condition.name.value == kind.name:
            return True
        other = self.schema.get_type(condition.name.value)
        return is_abstract_type(other) and self.schema.is_sub_type(other, kind)

    def _is_included(self, directives: Sequence[DirectiveNode]) -> bool:
        return all(
            self._boolean(value) is (name == "include") for name, value in _conditions(directives)
        )

    def _boolean(self, value: ValueNode) -> bool:
        if isinstance(value, VariableNode):
            return self.booleans[value.name.value]
        return bool(value.value)  # type: ignore[attr-defined]  # a Boolean literal, by validation


def shaping_variables(document: DocumentNode) -> tuple[str, ...]:
    """The variables of @skip and @include: with other values, other fields are asked for."""
    found: dict[str, None] = {}

    def look(selections: SelectionSetNode | None) -> None:
        for node in selections.selections if selections else ():
            for _, value in _conditions(node.directives or ()):
                if isinstance(value, VariableNode):
                    found[value.name.value] = None
            look(getattr(node, "selection_set", None))

    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode):
            look(definition.selection_set)
    return tuple(found)


def _conditions(directives: Iterable[DirectiveNode]) -> Iterator[tuple[str, ValueNode]]:
    """Each `skip` and `include` with the value of its one argument."""
    for directive in directives:
        if directive.name.value in ("skip", "include"):
            yield from ((directive.name.value, one.value) for one in directive.arguments or ())


def variables_of(node: FieldNode) -> tuple[str, ...]:
    """The variables that the arguments of a field are made of."""
    found: dict[str, None] = {}
    for argument in node.arguments or ():
        _collect_variables(argument.value, found)
    return tuple(found)


def _collect_variables(value: ValueNode, found: dict[str, None]) -> None:
    if isinstance(value, VariableNode):
        found[value.name.value] = None
    elif isinstance(value, ListValueNode):
        for item in value.values:
            _collect_variables(item, found)
    elif isinstance(value, ObjectValueNode):
        for field_node in value.fields:
            _collect_variables(field_node.value, found)
