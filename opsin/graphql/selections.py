"""What a document asks for below a field."""

from collections.abc import Iterable, Mapping

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    InlineFragmentNode,
    SelectionNode,
    SelectionSetNode,
)

from opsin.graphql.context import Info


def asks_for(info: Info, name: str) -> bool:
    """Whether a field of this name is selected below the one being resolved, on any type.

    A field that @skip or @include leaves out counts as asked for.
    """
    raw = info._raw_info
    return any(_selects(node.selection_set, name, raw.fragments) for node in raw.field_nodes)


def _selects(
    found: SelectionSetNode | None, name: str, fragments: Mapping[str, FragmentDefinitionNode]
) -> bool:
    selections: Iterable[SelectionNode] = found.selections if found is not None else ()
    for selection in selections:
        if isinstance(selection, FieldNode):
            if selection.name.value == name or _selects(selection.selection_set, name, fragments):
                return True
        elif isinstance(selection, InlineFragmentNode):
            if _selects(selection.selection_set, name, fragments):
                return True
        else:  # a spread; validation has seen to it that no fragment is inside itself
            fragment = fragments[selection.name.value]  # type: ignore[attr-defined]  # the third kind
            if _selects(fragment.selection_set, name, fragments):
                return True
    return False
