"""Where compiled reads come into an operation: after its validation, before its resolvers."""

from collections.abc import AsyncIterator, Collection

from graphql import DocumentNode, ExecutionResult, OperationDefinitionNode, SelectionSetNode
from strawberry.extensions import SchemaExtension

from opsin.graphql.compiler.compiler import Compiler, Operation, OperationPlan, fragments_of
from opsin.graphql.context import Context


class CompiledReads(SchemaExtension):
    """Answers the roots of a query that can be read in SQL, and leaves the others to resolvers."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler

    async def on_execute(self) -> AsyncIterator[None]:
        operation, context = self._operation(), self.execution_context.context
        given = self.execution_context.variables
        variables = operation.variables(given) if operation is not None else None
        if operation is None or variables is None or not isinstance(context, Context):
            yield
            return
        plan = operation.plan(variables)
        found = await self._compiler.read(plan, context, variables)
        if len(found) == len(plan.roots):
            self.execution_context.result = ExecutionResult(data=found)
            yield
            return
        self._leave(plan, operation, found)
        yield
        rest = self.execution_context.result
        if isinstance(rest, ExecutionResult) and rest.data is not None:
            data = {**rest.data, **found}
            rest.data = {asked.key: data[asked.key] for asked, _ in plan.roots}

    def _operation(self) -> Operation | None:
        context = self.execution_context
        if context.graphql_document is None or context.query is None:
            return None
        return self._compiler.learn(
            context.query, context._provided_operation_name, context.graphql_document
        )

    def _leave(self, plan: OperationPlan, operation: Operation, found: Collection[str]) -> None:
        """Only the other roots remain in the document."""
        document, node = self.execution_context.graphql_document, operation.node
        assert document is not None, "the operation is from it"
        rest = [n for asked, _ in plan.roots if asked.key not in found for n in asked.nodes]
        remaining = OperationDefinitionNode(
            operation=node.operation,
            name=node.name,
            variable_definitions=node.variable_definitions,
            directives=node.directives,
            selection_set=SelectionSetNode(selections=tuple(rest)),
        )
        fragments = fragments_of(document).values()
        self.execution_context.graphql_document = DocumentNode(definitions=(remaining, *fragments))
