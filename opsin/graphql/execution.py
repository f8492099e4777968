"""How an operation is run: read in SQL, by resolvers, or followed with others."""

import copy
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractContextManager, aclosing
from typing import Any

import strawberry
from graphql import GraphQLError
from graphql import OperationType as GraphQLOperationType
from strawberry.annotation import StrawberryAnnotation
from strawberry.exceptions import MissingQueryError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.schema.schema import DEFAULT_ALLOWED_OPERATION_TYPES
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.execution import PreExecutionError
from strawberry.types.field import StrawberryField
from strawberry.types.graphql import OperationType

from opsin.core import tracing
from opsin.core.errors import OpsinError
from opsin.core.plugin_host import PluginHost
from opsin.graphql.compiler.compiler import Compiler
from opsin.graphql.context import Context
from opsin.graphql.errors import public_error
from opsin.graphql.known_execution import KnownExecution, KnownOperation
from opsin.graphql.queries import RULES
from opsin.graphql.results import PendingResult, result_union
from opsin.graphql.row_limit import RowLimit
from opsin.graphql.shared_events import SharedEvents
from opsin.graphql.signing_in import signs_in
from opsin.graphql.trusted_documents import DocumentGate
from opsin.graphql.wire import WrittenData

_NOT_SHARED = (
    GraphQLError,
    OpsinError,
    MissingQueryError,
    CannotGetOperationTypeError,
    InvalidOperationTypeError,
)
"""What is wrong with an operation before it is run."""


class OpsinSchema(strawberry.Schema):
    """A schema whose fields of a result have the union of this host's results as their type.

    Whatever runs an operation gets errors that callers may see, and nothing else.
    """

    def __init__(
        self,
        host: PluginHost,
        gate: DocumentGate,
        row_limit: RowLimit,
        known: KnownExecution,
        *,
        compiled: bool,
        **options: Any,
    ) -> None:
        self._gate = gate
        self._union = StrawberryAnnotation(result_union(host) | None)
        self._row_limit = row_limit
        self._known = known
        self._compiled = compiled
        super().__init__(**options)
        self.compiler = Compiler(self._schema, self.schema_converter, RULES)
        self._shared_events = SharedEvents(self._schema, self.compiler if compiled else None)

    async def execute(
        self,
        query: str | None,
        variable_values: dict[str, Any] | None = None,
        context_value: Any | None = None,
        root_value: Any | None = None,
        operation_name: str | None = None,
        allowed_operation_types: Iterable[OperationType] | None = None,
        operation_extensions: dict[str, Any] | None = None,
    ) -> ExecutionResult:
        executing = self._execute(
            query,
            variable_values,
            context_value,
            root_value,
            operation_name,
            allowed_operation_types,
            operation_extensions,
        )
        if tracing.tracer is None:
            return await executing
        with _span(query, operation_name) as span:
            result = await executing
            span.set("opsin.in_one_statement", isinstance(result.data, WrittenData))
            if result.errors:
                span.fail(str((result.errors[0].extensions or {}).get("code", "")))
            return result

    async def _execute(
        self,
        query: str | None,
        variable_values: dict[str, Any] | None,
        context_value: Any | None,
        root_value: Any | None,
        operation_name: str | None,
        allowed_operation_types: Iterable[OperationType] | None,
        operation_extensions: dict[str, Any] | None,
    ) -> ExecutionResult:
        refusal = context_value.refusal if isinstance(context_value, Context) else None
        if refusal is not None and not signs_in(query, operation_name):
            raise refusal
        answer = await self._read(query, operation_name, variable_values, context_value)
        if answer is not None:
            return answer
        if (not_trusted := self._gate.refusal(query)) is not None:
            return _refused(not_trusted)
        allowed = allowed_operation_types or DEFAULT_ALLOWED_OPERATION_TYPES
        known = self._known.find(query, operation_name, tuple(allowed))
        if known is not None and self._is_for_resolvers(
            known, query, operation_name, variable_values
        ):
            return _public(
                await self._known.run(
                    self, known, variable_values, context_value, operation_extensions
                )
            )
        return _public(
            await super().execute(
                query,
                variable_values,
                context_value,
                root_value,
                operation_name,
                allowed_operation_types,
                operation_extensions,
            )
        )

    def _is_for_resolvers(
        self,
        known: KnownOperation,
        query: str | None,
        operation_name: str | None,
        variable_values: dict[str, Any] | None,
    ) -> bool:
        """Whether no root field of the operation is read in SQL."""
        if not self._compiled or known.node.operation is not GraphQLOperationType.QUERY:
            return True
        operation = self.compiler.known(query or "", operation_name)
        if operation is None:  # to be learned
            return False
        variables = operation.variables(variable_values)
        if variables is None:  # refused, by whoever runs it
            return True
        return all(root is None for _, root in operation.plan(variables).roots)

    async def _read(
        self,
        query: str | None,
        operation_name: str | None,
        variable_values: dict[str, Any] | None,
        context: Any,
    ) -> ExecutionResult | None:
        """The answer of a query that is known, and can be read in SQL as a whole."""
        operation = self.compiler.known(query, operation_name) if query else None
        if operation is None or not isinstance(context, Context):
            return None
        if self._row_limit.check(self._schema, operation.document, operation.node, variable_values):
            return None
        found = await self.compiler.answer(operation, context, variable_values)
        return None if found is None else ExecutionResult(data=found, errors=None)

    async def stream(
        self, query: str | None, *args: Any, **options: Any
    ) -> AsyncGenerator[ExecutionResult, None]:
        if (refusal := self._gate.refusal(query)) is not None:
            return _once(_refused(refusal))
        context = options.get("context_value")
        if isinstance(context, Context) and context.refusal is not None:
            raise context.refusal  # who signs in asks for one answer, and no stream
        if not isinstance(context, Context):
            return _all_public(await super().stream(query, *args, **options))
        # Operations on one socket share its context; what one has read, the next must read anew.
        options["context_value"] = context = context.for_one_operation()
        # A socket stays open after its key's end, and while the rights of its caller change.
        try:
            await context.confirm()
        except OpsinError as error:
            return _once(_refused(GraphQLError(error.message, original_error=error)))
        shared = await self._shared_stream(query, context, options)
        if shared is not None:
            return shared
        return _all_public(await super().stream(query, *args, **options))

    async def _shared_stream(
        self, query: str | None, context: Context, options: dict[str, Any]
    ) -> AsyncGenerator[ExecutionResult, None] | None:
        """The answers that all who follow the same share; None for every other operation.

        What is wrong with the operation is found again on the ordinary way, and told there.
        """
        if query is None or "subscription" not in query:
            return None
        given = {"allowed_operation_types": DEFAULT_ALLOWED_OPERATION_TYPES} | options
        operation = self._create_execution_context(query=query, **given)
        extensions = self.get_extensions()
        for extension in extensions:
            extension.execution_context = operation
        runner = self.create_extensions_runner(operation, extensions)
        try:
            async with runner.operation():
                errors = await self._prepare_operation_async(operation, runner)
                document = operation.graphql_document
                if errors or document is None:
                    return None
                if operation.operation_type is not OperationType.SUBSCRIPTION:
                    return None
                name, variables = options.get("operation_name"), operation.variables or {}
                async with runner.executing():
                    return self._shared_events.follow(document, query, name, variables, context)
        except _NOT_SHARED:
            return None

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """`public_error` writes the log: most errors are the caller's, and need no traceback."""

    def get_fields(self, type_definition: StrawberryObjectDefinition) -> list[StrawberryField]:
        return [
            self._with_union(field) if field.python_name == "result" else field
            for field in type_definition.fields
        ]

    def _with_union(self, field: StrawberryField) -> StrawberryField:
        of_type = getattr(field.type, "of_type", None)
        if of_type is not PendingResult:
            return field
        typed = copy.copy(field)
        typed.type_annotation = self._union
        return typed


def _span(query: str | None, name: str | None) -> AbstractContextManager[tracing.Span]:
    """Of one operation: by its name and its kind, where its document begins with that."""
    kind = re.match(r"\s*(query|mutation|subscription)\b", query or "")
    attributes: dict[str, tracing.Value] = {"graphql.operation.name": (name or "")[:100]}
    if kind is not None:
        attributes["graphql.operation.type"] = kind[1]
    return tracing.part("graphql operation", attributes)


def _public(result: ExecutionResult) -> ExecutionResult:
    if result.errors:
        result.errors = [public_error(error) for error in result.errors]
    return result


def _refused(error: GraphQLError) -> ExecutionResult:
    return _public(PreExecutionError(data=None, errors=[error]))


async def _once(result: ExecutionResult) -> AsyncGenerator[ExecutionResult, None]:
    yield result


async def _all_public(results: Any) -> AsyncGenerator[ExecutionResult, None]:
    async with aclosing(results):
        async for result in results:
            yield _public(result)
