"""The schema, built for the operations that are registered."""

import copy
from typing import Any

import strawberry
from strawberry.annotation import StrawberryAnnotation
from strawberry.tools import merge_types
from strawberry.types.base import StrawberryObjectDefinition, has_object_definition
from strawberry.types.enum import has_enum_definition
from strawberry.types.field import StrawberryField

from opsin.core.plugin_host import PluginHost
from opsin.graphql import (
    analyses,
    analyze,
    annotations,
    connections,
    images,
    mutations,
    nodes,
    operations,
    queries,
    results,
    subscriptions,
)
from opsin.graphql.analyze import analysis_mutations
from opsin.graphql.annotations import Annotation, Artifact
from opsin.graphql.errors import PublicErrors
from opsin.graphql.images import Batch, Dataset, Image, Subject
from opsin.graphql.limits import Limits
from opsin.graphql.mutations import Mutation
from opsin.graphql.queries import Query
from opsin.graphql.results import PendingResult, result_union
from opsin.graphql.scalars import configuration
from opsin.graphql.subscriptions import Subscription

_MODULES = (analyses, analyze, annotations, connections, images, mutations, operations, queries)
_BUILT_IN = frozenset({"Boolean", "Float", "ID", "Int", "String", "DateTime", "JSON", "Upload"})


def reserved_type_names() -> frozenset[str]:
    """Names of the schema's own types, which no plugin's result may take."""
    own = {
        value.__strawberry_definition__.name
        for module in (*_MODULES, nodes, results, subscriptions)
        for value in vars(module).values()
        if has_object_definition(value) or has_enum_definition(value)
    }
    derived = {f"{name}{end}" for name in own for end in ("Connection", "Edge", "Input")}
    dynamic = {results.RESULT_UNION, "Cursor", "Mutation", "OperationInput", "TaskInput"}
    return _BUILT_IN | own | derived | dynamic


class OpsinSchema(strawberry.Schema):
    """A schema whose fields of a result have the union of this host's results as their type."""

    def __init__(self, host: PluginHost, **options: Any) -> None:
        self._union = StrawberryAnnotation(result_union(host) | None)
        super().__init__(**options)

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
    mutation = merge_types("Mutation", (Mutation, analysis_mutations(host)))
    return OpsinSchema(
        host,
        query=Query,
        mutation=mutation,
        subscription=Subscription,
        types=[Dataset, Image, Annotation, Artifact, Subject, Batch],
        extensions=[lambda: PublicErrors(), *limits.extensions()],
        config=configuration(),
    )
