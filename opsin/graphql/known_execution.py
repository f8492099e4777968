"""Runs operations of documents that were found valid before, without what only new ones need.

Strawberry makes its extensions, their contexts and their hooks for every request.  For a document
that is known, none of them has anything left to do, and they take five times as long as the fields.
"""

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import DocumentNode, GraphQLError, OperationDefinitionNode, execute
from strawberry.execution import optimized_is_awaitable
from strawberry.schema import Schema
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from opsin.graphql.known_documents import Documents
from opsin.graphql.row_limit import RowLimit


@dataclass(frozen=True, slots=True)
class KnownOperation:
    """An operation of a valid document, which the request may run."""

    document: DocumentNode
    node: OperationDefinitionNode


class KnownExecution:
    """Finds and runs the operations of `documents`, held to `row_limit`."""

    def __init__(self, documents: Documents, row_limit: RowLimit) -> None:
        self._documents = documents
        self._row_limit = row_limit

    def find(
        self, query: str | None, name: str | None, allowed: Collection[OperationType]
    ) -> KnownOperation | None:
        """The operation; None when it must be looked at as if it were new, and may be refused."""
        document = self._documents.get(query) if query else None
        node = _chosen(document, name) if document is not None else None
        if document is None or node is None or OperationType(node.operation.value) not in allowed:
            return None
        return KnownOperation(document, node)

    async def run(
        self,
        schema: Schema,
        operation: KnownOperation,
        variables: Mapping[str, Any] | None,
        context: object,
        extensions: dict[str, Any] | None,
    ) -> ExecutionResult:
        """What the resolvers give; errors as they are, which callers may not see yet."""
        document, node = operation.document, operation.node
        excess = self._row_limit.check(schema._schema, document, node, variables)
        if excess is not None:
            return PreExecutionError(data=None, errors=[excess])
        try:
            result: Any = execute(
                schema._schema,
                document,
                variable_values=dict(variables) if variables else None,
                operation_name=node.name.value if node.name is not None else None,
                context_value=context,
                is_awaitable=optimized_is_awaitable,  # type: ignore[arg-type]  # a guard, untyped
                operation_extensions=extensions,
                executor_class=schema.execution_context_class,
            )
            if inspect.isawaitable(result):
                result = await result
        except Exception as error:  # as Strawberry does: whatever it is, it is no answer
            known = error if isinstance(error, GraphQLError) else None
            shown = known or GraphQLError(str(error), original_error=error)
            return PreExecutionError(data=None, errors=[shown])
        return ExecutionResult(data=result.data, errors=result.errors)


def _chosen(document: DocumentNode, name: str | None) -> OperationDefinitionNode | None:
    """The operation of this name; without one, the only one."""
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    if name is None:
        return operations[0] if len(operations) == 1 else None
    return next((d for d in operations if d.name is not None and d.name.value == name), None)
