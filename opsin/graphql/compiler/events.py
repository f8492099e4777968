"""Events as a subscription shows them, their analyses read in SQL."""

from collections.abc import Mapping, Sequence
from typing import Any

from graphql import DocumentNode, FieldNode, GraphQLField, VariableValues, is_object_type

from opsin.graphql.compiler.arguments import python_name
from opsin.graphql.compiler.compiler import Compiler, RowReader, fragments_of
from opsin.graphql.compiler.projection import projection
from opsin.graphql.compiler.rules import NotCompiled, Unusual
from opsin.graphql.compiler.selection import Asked, Selections, shaping_variables
from opsin.graphql.context import Context
from opsin.graphql.wire import encode_json

_EVENT, _ROW, _FIELD = "AnalysisEvent", "Analysis", "analysis"


class EventReader:
    """Answers of one subscription: the JSON of each event, one statement for many of them."""

    def __init__(
        self,
        compiler: Compiler,
        document: DocumentNode,
        nodes: Sequence[FieldNode],
        variables: VariableValues,
    ) -> None:
        """`nodes` ask for one root field; NotCompiled if something in it needs a resolver."""
        names = shaping_variables(document)
        booleans = {name: variables.coerced.get(name) is True for name in names}
        selections = Selections(compiler.schema, fragments_of(document), booleans)
        kind = compiler.schema.get_type(_EVENT)
        if not is_object_type(kind):
            raise NotCompiled(f"{_EVENT} is no object type")
        root = Asked(nodes[0].alias.value if nodes[0].alias else nodes[0].name.value, "", (*nodes,))
        self._variables = variables
        self._root = root.key
        self._rows: dict[str, RowReader] = {}
        self._shows: dict[str, Any] = {}
        for one in selections.of(kind, root.selections):
            if one.name == _FIELD:
                self._rows[one.key] = compiler.row_reader(_ROW, document, one.nodes)
            else:
                self._shows[one.key] = _shown(selections, kind.fields.get(one.name), one)
        self._keys = [one.key for one in selections.of(kind, root.selections)]

    async def read(self, context: Context, events: Sequence[Any]) -> list[bytes] | None:
        """The data of each `AnalysisEvent`; None if resolvers must answer."""
        ids = sorted({event.analysis_id for event in events if event.analysis_id is not None})
        rows: dict[str, Mapping[str, bytes]] = {}
        for key, reader in self._rows.items():
            found = await reader.read(context, self._variables, ids)
            if found is None:
                return None
            rows[key] = found
        try:
            return [self._text(event, rows) for event in events]
        except Unusual:
            return None

    def _text(self, event: Any, rows: Mapping[str, Mapping[str, bytes]]) -> bytes:
        members = [
            b'"%s":%s'
            % (
                key.encode(),
                rows[key].get(event.analysis_id or "", b"null")
                if key in rows
                else encode_json(self._shows[key](event)),
            )
            for key in self._keys
        ]
        return b'{"%s":{%s}}' % (self._root.encode(), b",".join(members))


def _shown(selections: Selections, definition: GraphQLField | None, asked: Asked) -> Any:
    """What is shown of an event for one member."""
    if definition is None:
        return lambda _: _EVENT  # __typename
    show, name = projection(selections, definition.type, asked.selections), python_name(definition)
    return lambda event: show(getattr(event, name))
