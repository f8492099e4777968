"""A field of a document that is read in SQL: its statements, and the reading of its answer."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from graphql import GraphQLError, GraphQLField, VariableValues
from strawberry.schema.schema_converter import GraphQLCoreConverter

from opsin.core.bounded_cache import BoundedCache
from opsin.core.errors import InvalidInput
from opsin.graphql.compiler.arguments import Given, Meaning, Site
from opsin.graphql.compiler.rules import NotCompiled, Rules, Unusual
from opsin.graphql.compiler.selection import Asked, Selections
from opsin.graphql.compiler.statement import IDS, Hole, Statement, StatementWriter
from opsin.graphql.context import Context
from opsin.graphql.wire import encode_json
from opsin.storage.json_sql import HOLE, UNUSUAL, JsonSql
from opsin.storage.json_text import load_json
from opsin.storage.reader import StatementTooLarge

_MOST_STATEMENTS = 64
"""Of one field: one for each combination of filters and orders that was asked for."""

_UNUSUAL, _HOLE = UNUSUAL.encode(), HOLE.encode()

Shape = tuple[Any, ...]
Answer = TypeVar("Answer")


@dataclass(slots=True)
class FieldPlan:
    """A field that is read in SQL; what depends on the arguments alone is worked out once."""

    rules: Rules
    converter: GraphQLCoreConverter
    selections: Selections
    write: Callable[[StatementWriter], Statement]
    comes_first: bool = False
    """Whether it is read before the others of its operation."""
    _is_compiled: bool = True
    _sites: list[Site] | None = None
    _statements: BoundedCache[Shape, Statement] = field(
        default_factory=lambda: BoundedCache(_MOST_STATEMENTS)
    )

    def _prepared(
        self, context: Context, variables: VariableValues, sql: JsonSql
    ) -> tuple[Statement, list[Meaning]]:
        """The statement for these arguments; raises Unusual for arguments that are refused.

        Raises NotCompiled where there is no rule for something that is asked.
        """
        if not self._is_compiled:
            raise NotCompiled
        try:
            if self._sites is not None:
                meanings = [site.meaning(context, variables) for site in self._sites]
                known = self._statements.get(_key(sql, context, meanings))
                if known is not None:
                    return known, meanings
            return self._written(context, variables, sql)
        except (GraphQLError, InvalidInput) as error:
            raise Unusual from error
        except NotCompiled:
            self._is_compiled = False
            raise

    async def read(self, context: Context, variables: VariableValues) -> bytes:
        """The JSON of a root field.

        Raises Unusual or NotCompiled when only the resolvers can answer.
        """
        reader = context.use_cases.database.reader
        statement, meanings = self._prepared(context, variables, reader.sql)
        values = _bound(statement, meanings, context)
        if statement.page is None:
            text = await self._ran(reader.fetch_text(statement.text, values))
        else:
            rows = await self._ran(reader.fetch_rows(statement.text, values))
            text = statement.page.text(rows, meanings[statement.page.site].values[0])
        return await _filled(text, statement, meanings, context)

    async def read_rows(
        self, context: Context, variables: VariableValues, ids: Sequence[str]
    ) -> dict[str, bytes]:
        """The JSON of each of the caller's rows among these canonical ids; raises the same."""
        reader = context.use_cases.database.reader
        statement, meanings = self._prepared(context, variables, reader.sql)
        values = _bound(statement, meanings, context, ids)
        rows = await self._ran(reader.fetch_rows(statement.text, values))
        return {
            identity.decode(): await _filled(text, statement, meanings, context)
            for identity, text in rows
            if identity is not None
        }

    async def _ran(self, answer: Awaitable[Answer]) -> Answer:
        try:
            return await answer
        except StatementTooLarge as error:
            self._is_compiled = False
            raise NotCompiled("the database cannot take it in") from error

    def _written(
        self, context: Context, variables: VariableValues, sql: JsonSql
    ) -> tuple[Statement, list[Meaning]]:
        sites: list[Site] = []
        meanings: list[Meaning] = []

        def visit(rule: Given, definition: GraphQLField, asked: Asked) -> Meaning:
            site = Site(self.converter, rule, definition, asked.node)
            sites.append(site)
            meanings.append(site.meaning(context, variables))
            return meanings[-1]

        is_narrow = context.principal.rights.readable is not None
        writer = StatementWriter(self.rules, sql, self.selections, visit, is_narrow)
        statement = self.write(writer)
        self._sites = sites
        self._statements.put(_key(sql, context, meanings), statement, 1)
        return statement, meanings


def _key(sql: JsonSql, context: Context, meanings: Sequence[Meaning]) -> Shape:
    """All that a statement depends on beside the field itself."""
    is_narrow = context.principal.rights.readable is not None
    return (sql, is_narrow, *(one.shape for one in meanings))


def _bound(
    statement: Statement,
    meanings: Sequence[Meaning],
    context: Context,
    ids: Sequence[str] = (),
) -> list[Any]:
    """The parameters of a statement: whose rows, then what the arguments mean."""
    given = [
        list(ids) if site == IDS else meanings[site].values[number]
        for site, number in statement.parameters
    ]
    if not statement.reads_rows:  # nothing is asked of the database but what is written in it
        return given
    principal = context.principal
    readable = principal.rights.readable
    if readable is None:
        return [principal.company_id, *given]
    return [principal.company_id, list(readable), *given]


async def _filled(
    text: bytes | None, statement: Statement, meanings: Sequence[Meaning], context: Context
) -> bytes:
    """The text of a statement as JSON, its holes filled; raises Unusual where it is none."""
    if text is None:
        return b"null"
    if _UNUSUAL in text:
        raise Unusual
    if not statement.holes:
        return text
    # JSON between the holes, and a hole between each two.
    parts = text.split(_HOLE)
    later: dict[int, Coroutine[Any, Any, bytes]] = {}
    try:
        for index in range(1, len(parts), 2):
            number, _, inputs = parts[index].partition(b":")
            hole = statement.holes[int(number)]
            if hole.is_awaited:
                later[index] = _awaited(hole, inputs, meanings, context)
            else:
                parts[index] = _computed(hole, inputs, meanings, context)
    except Unusual:
        for one in later.values():
            one.close()
        raise
    if later:
        # Every one of them ends before this does, also beside one that fails.
        filled = await asyncio.gather(*later.values(), return_exceptions=True)
        for index, found in zip(later, filled, strict=True):
            if isinstance(found, BaseException):
                raise found
            parts[index] = found
    return b"".join(parts)


def _computed(hole: Hole, inputs: bytes, meanings: Sequence[Meaning], context: Context) -> bytes:
    arguments = meanings[hole.site].arguments
    try:
        value = hole.rule.compute(context, *load_json(inputs), **arguments)
        return encode_json(hole.show(value))
    except Exception as error:  # the resolver meets it too, and its field tells of it
        raise Unusual from error


async def _awaited(
    hole: Hole, inputs: bytes, meanings: Sequence[Meaning], context: Context
) -> bytes:
    arguments = meanings[hole.site].arguments
    try:
        value = await hole.rule.compute(context, *load_json(inputs), **arguments)
        return encode_json(hole.show(value))
    except Exception as error:  # as above
        raise Unusual from error
