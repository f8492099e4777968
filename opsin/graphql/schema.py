"""The schema, built for the operations that are registered."""

import copy
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.annotation import StrawberryAnnotation
from strawberry.tools import merge_types
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.base import StrawberryObjectDefinition, has_object_definition
from strawberry.types.enum import has_enum_definition
from strawberry.types.execution import PreExecutionError
from strawberry.types.field import StrawberryField

from opsin.core.errors import OpsinError
from opsin.core.plugin_host import PluginHost
from opsin.graphql import (
    analyses,
    analyze,
    annotations,
    collection_changes,
    collections,
    connections,
    images,
    mutations,
    nodes,
    operations,
    queries,
    results,
    similar,
    subscriptions,
)
from opsin.graphql.analyze import analysis_mutations
from opsin.graphql.annotations import Annotation, Artifact
from opsin.graphql.collection_changes import CollectionMutation
from opsin.graphql.collections import CollectionQuery
from opsin.graphql.context import Context
from opsin.graphql.errors import public_error
from opsin.graphql.images import Batch, Dataset, Image, Subject
from opsin.graphql.inputs import OPERATION_INPUT, Inputs
from opsin.graphql.known_documents import KnownDocuments, no_documents
from opsin.graphql.limits import DocumentLimits, Limits, OperationChoice
from opsin.graphql.mutations import Mutation
from opsin.graphql.queries import Query
from opsin.graphql.results import RESULT_UNION, PendingResult, result_type_names, result_union
from opsin.graphql.scalars import NAMES, configuration
from opsin.graphql.similar import SimilarQuery
from opsin.graphql.subscriptions import Subscription

_MODULES = (
    analyses,
    analyze,
    annotations,
    collection_changes,
    collections,
    connections,
    images,
    mutations,
    operations,
    queries,
    similar,
)
_DYNAMIC = frozenset(
    {"AnalyzeInput", "AnalyzeImageInput", "Mutation", OPERATION_INPUT, RESULT_UNION, "TaskInput"}
)


def reserved_type_names() -> frozenset[str]:
    """Names of the schema's own types, which no plugin's result may take."""
    own = {
        value.__strawberry_definition__.name
        for module in (*_MODULES, nodes, results, subscriptions)
        for value in vars(module).values()
        if has_object_definition(value) or has_enum_definition(value)
    }
    derived = {f"{name}{end}" for name in own for end in ("Connection", "Edge", "Input")}
    return NAMES | own | derived | _DYNAMIC


class OpsinSchema(strawberry.Schema):
    """A schema whose fields of a result have the union of this host's results as their type.

    Whatever runs an operation gets errors that callers may see, and nothing else.
    """

    def __init__(self, host: PluginHost, **options: Any) -> None:
        self._union = StrawberryAnnotation(result_union(host) | None)
        super().__init__(**options)

    async def execute(self, *args: Any, **options: Any) -> ExecutionResult:
        return _public(await super().execute(*args, **options))

    async def stream(self, *args: Any, **options: Any) -> AsyncGenerator[ExecutionResult, None]:
        context = options.get("context_value")
        if not isinstance(context, Context):
            return _all_public(await super().stream(*args, **options))
        # Operations on one socket share its context; what one has read, the next must read anew.
        options["context_value"] = context = context.for_one_operation()
        return _confirmed(context, await super().stream(*args, **options))

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


def build_schema(host: PluginHost, limits: Limits) -> OpsinSchema:
    """The schema for `host`, refusing documents beyond `limits`."""
    operation_input = Inputs(reserved_type_names() | result_type_names(host)).one_of(host)
    analysis_mutation = analysis_mutations(host, operation_input)
    mutation = merge_types("Mutation", (Mutation, analysis_mutation, CollectionMutation))
    documents = no_documents()
    return OpsinSchema(
        host,
        query=merge_types("Query", (Query, CollectionQuery, SimilarQuery)),
        mutation=mutation,
        subscription=Subscription,
        types=[Dataset, Image, Annotation, Artifact, Subject, Batch],
        extensions=[
            lambda: KnownDocuments(documents),
            lambda: DocumentLimits(limits),
            OperationChoice,
        ],
        config=configuration(),
    )


def _public(result: ExecutionResult) -> ExecutionResult:
    if result.errors:
        result.errors = [public_error(error) for error in result.errors]
    return result


async def _all_public(results: Any) -> AsyncGenerator[ExecutionResult, None]:
    async with aclosing(results):
        async for result in results:
            yield _public(result)


async def _confirmed(context: Context, results: Any) -> AsyncGenerator[ExecutionResult, None]:
    """The results, if the caller may still come in: a socket stays open after its key's end."""
    try:
        await context.confirm()
    except OpsinError as error:
        refusal = GraphQLError(error.message, original_error=error)
        yield _public(PreExecutionError(data=None, errors=[refusal]))
        return
    async with aclosing(_all_public(results)) as public:
        async for result in public:
            yield result
