"""Compiled reads: documents, the plans of their roots, and the answers these give."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import orjson
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    VariableValues,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter

from opsin.core.bounded_cache import BoundedCache
from opsin.core.errors import StorageError
from opsin.graphql.compiler.arguments import python_name
from opsin.graphql.compiler.field_plan import FieldPlan
from opsin.graphql.compiler.rules import LogEnd, NotCompiled, Rules, Unusual
from opsin.graphql.compiler.selection import Asked, Selections, shaping_variables
from opsin.graphql.compiler.statement import Statement, StatementWriter
from opsin.graphql.compiler.variables import Variables
from opsin.graphql.context import Context
from opsin.graphql.wire import WrittenData

_MOST_CHARACTERS = 1024 * 1024
"""Of the texts of all documents with plans together."""
_MOST_PLANS = 16
"""Of one operation: one for each combination of its Booleans that was asked for."""


@dataclass(slots=True)
class ReadCounts:
    """How many root fields were read in one statement, and how many by resolvers."""

    compiled: int = 0
    ordinary: int = 0
    planned: int = 0
    """Plans that were made: each serves for as long as its document is asked for."""


Root: TypeAlias = tuple[Asked, FieldPlan | bytes | None]
"""A root field with its plan, its JSON, or None for the resolvers."""


@dataclass(frozen=True)
class OperationPlan:
    """One operation with its Booleans known."""

    roots: tuple[Root, ...]

    @cached_property
    def is_whole(self) -> bool:
        return all(root is not None for _, root in self.roots)

    @cached_property
    def first(self) -> list[Root]:
        return [one for one in self.roots if isinstance(one[1], FieldPlan) and one[1].comes_first]

    @cached_property
    def later(self) -> list[Root]:
        return [one for one in self.roots if one not in self.first]


class Operation:
    """One operation of one valid document."""

    def __init__(
        self, compiler: "Compiler", document: DocumentNode, node: OperationDefinitionNode
    ) -> None:
        self._compiler = compiler
        self.document = document
        self.node = node
        self._shaping = shaping_variables(document)
        self._variables = Variables(compiler.schema, node)
        self._plans: BoundedCache[tuple[bool, ...], OperationPlan] = BoundedCache(_MOST_PLANS)

    def variables(self, given: Mapping[str, Any] | None) -> VariableValues | None:
        """The variables as the schema types them; None when they are refused."""
        return self._variables.coerced(given)

    def plan(self, variables: VariableValues) -> OperationPlan:
        key = tuple(variables.coerced.get(name) is True for name in self._shaping)
        plan = self._plans.get(key)
        if plan is None:
            booleans = dict(zip(self._shaping, key, strict=True))
            plan = self._compiler.planned(self.document, self.node, booleans)
            self._plans.put(key, plan, 1)
        return plan


class Compiler:
    """Compiles the queries of one schema; knows the documents that come again and again."""

    def __init__(
        self, schema: GraphQLSchema, converter: GraphQLCoreConverter, rules: Rules
    ) -> None:
        self.schema = schema
        self.counts = ReadCounts()
        self._converter = converter
        self._rules = rules
        self._operations: BoundedCache[tuple[str, str | None], Operation] = BoundedCache(
            _MOST_CHARACTERS
        )

    def known(self, text: str, operation_name: str | None) -> Operation | None:
        """The operation of a document that was found valid before."""
        return self._operations.get((text, operation_name))

    def learn(
        self, text: str, operation_name: str | None, document: DocumentNode
    ) -> Operation | None:
        """The query of a valid document; None for a mutation or a subscription."""
        known = self.known(text, operation_name)
        if known is not None:
            return known
        node = _chosen(document, operation_name)
        if node is None or node.operation is not OperationType.QUERY:
            return None
        operation = Operation(self, document, node)
        self._operations.put((text, operation_name), operation, len(text))
        return operation

    async def answer(
        self, operation: Operation, context: Context, given: Mapping[str, Any] | None
    ) -> WrittenData | None:
        """The whole answer; None where a resolver, or an error, is a part of it."""
        variables = operation.variables(given)
        plan = operation.plan(variables) if variables is not None else None
        if variables is None or plan is None or not plan.is_whole:
            return None
        found = await self.read(plan, context, variables)
        return found if len(found) == len(plan.roots) else None

    async def read(
        self, plan: OperationPlan, context: Context, variables: VariableValues
    ) -> WrittenData:
        """The roots that could be read in SQL, by their keys in the answer."""
        found: dict[str, bytes] = {}

        async def read(asked: Asked, root: FieldPlan | bytes | None) -> None:
            text = await self._read(root, context, variables)
            if text is not None:
                found[asked.key] = text

        # Whoever follows the log from its end must find in the answer all that was before.
        for one in plan.first:
            await read(*one)
        if len(plan.later) == 1:
            await read(*plan.later[0])
        else:
            await asyncio.gather(*(read(*one) for one in plan.later))
        self.counts.compiled += len(found)
        self.counts.ordinary += len(plan.roots) - len(found)
        return WrittenData(
            {asked.key: found[asked.key] for asked, _ in plan.roots if asked.key in found}
        )

    @staticmethod
    async def _read(
        root: FieldPlan | bytes | None, context: Context, variables: VariableValues
    ) -> bytes | None:
        if not isinstance(root, FieldPlan):
            return root
        try:
            return await root.read(context, variables)
        except (NotCompiled, Unusual, StorageError):  # resolvers tell of a failing database
            return None

    def planned(
        self,
        document: DocumentNode,
        node: OperationDefinitionNode,
        booleans: Mapping[str, bool],
    ) -> OperationPlan:
        self.counts.planned += 1
        query = self.schema.query_type
        assert query is not None, "the schema has a query"
        selections = Selections(self.schema, fragments_of(document), booleans)
        asked = selections.of(query, [node.selection_set])
        return OperationPlan(tuple((one, self._root(selections, one)) for one in asked))

    def _root(self, selections: Selections, asked: Asked) -> FieldPlan | bytes | None:
        query = self.schema.query_type
        assert query is not None, "the schema has a query"
        if asked.name == "__typename":
            return orjson.dumps(query.name)
        definition = query.fields.get(asked.name)  # None for introspection
        rule = self._rules.roots.get(python_name(definition)) if definition else None
        if definition is None or rule is None:
            return None
        found = definition

        def write(writer: StatementWriter) -> Statement:
            return writer.root(rule, found, asked)

        first = isinstance(rule, LogEnd)
        return FieldPlan(self._rules, self._converter, selections, write, comes_first=first)

    def planned_rows(
        self,
        type_name: str,
        document: DocumentNode,
        asked: Asked,
        booleans: Mapping[str, bool],
    ) -> FieldPlan:
        selections = Selections(self.schema, fragments_of(document), booleans)
        return FieldPlan(
            self._rules, self._converter, selections, lambda writer: writer.nodes(type_name, asked)
        )

    def row_reader(
        self, type_name: str, document: DocumentNode, nodes: Sequence[FieldNode]
    ) -> "RowReader":
        """Reads rows of a type by id, as these nodes of a document, one field, show them."""
        return RowReader(self, type_name, document, tuple(nodes))


class RowReader:
    """Rows of one type as one selection shows them, for events that name their ids."""

    def __init__(
        self,
        compiler: Compiler,
        type_name: str,
        document: DocumentNode,
        nodes: tuple[FieldNode, ...],
    ) -> None:
        self._compiler = compiler
        self._type_name = type_name
        self._document = document
        self._asked = Asked(type_name, type_name, nodes)
        self._shaping = shaping_variables(document)
        self._plans: BoundedCache[tuple[bool, ...], FieldPlan] = BoundedCache(_MOST_PLANS)

    async def read(
        self, context: Context, variables: VariableValues, ids: Sequence[str]
    ) -> dict[str, bytes] | None:
        """The JSON of each of the caller's rows; None when only the resolvers can answer."""
        key = tuple(variables.coerced.get(name) is True for name in self._shaping)
        plan = self._plans.get(key)
        if plan is None:
            booleans = dict(zip(self._shaping, key, strict=True))
            plan = self._compiler.planned_rows(
                self._type_name, self._document, self._asked, booleans
            )
            self._plans.put(key, plan, 1)
        try:
            return await plan.read_rows(context, variables, ids)
        except (NotCompiled, Unusual):
            return None


def fragments_of(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }


def _chosen(document: DocumentNode, name: str | None) -> OperationDefinitionNode | None:
    """The operation of this name; without one, the only one."""
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    if name is None:
        return operations[0] if len(operations) == 1 else None
    return next((d for d in operations if d.name is not None and d.name.value == name), None)
