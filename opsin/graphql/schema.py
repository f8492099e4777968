"""The schema, built for the operations that are registered."""

from strawberry.extensions import DisableIntrospection
from strawberry.tools import merge_types
from strawberry.types.base import has_object_definition
from strawberry.types.enum import has_enum_definition

from opsin.core.plugin_host import PluginHost
from opsin.graphql import (
    accounts,
    analyses,
    analyze,
    annotations,
    application_changes,
    applications,
    audit,
    capture,
    collection_changes,
    collections,
    connections,
    curation,
    curation_changes,
    dataset_changes,
    datasets,
    history,
    image_filter,
    images,
    mutations,
    nodes,
    operations,
    queries,
    results,
    retention,
    run_events,
    runs,
    similar,
    subjects,
    subscriptions,
    webhooks,
)
from opsin.graphql.accounts import AccountMutation
from opsin.graphql.analyze import analysis_mutations
from opsin.graphql.annotation_variables import AnnotationVariables
from opsin.graphql.annotations import Annotation, Artifact
from opsin.graphql.application_changes import ApplicationMutation
from opsin.graphql.applications import ApplicationQuery
from opsin.graphql.audit import AuditQuery
from opsin.graphql.capture import CaptureQuery
from opsin.graphql.collection_changes import CollectionMutation
from opsin.graphql.collections import CollectionQuery
from opsin.graphql.compiler.extension import CompiledReads
from opsin.graphql.curation_changes import CurationMutation
from opsin.graphql.dataset_changes import DatasetMutation
from opsin.graphql.datasets import Dataset
from opsin.graphql.execution import OpsinSchema
from opsin.graphql.images import Image
from opsin.graphql.inputs import OPERATION_INPUT, Inputs
from opsin.graphql.known_documents import Documents, KnownDocuments
from opsin.graphql.known_execution import KnownExecution
from opsin.graphql.limits import DocumentLimits, Limits, OperationChoice, OperationRows
from opsin.graphql.mutations import Mutation
from opsin.graphql.queries import Query
from opsin.graphql.results import RESULT_UNION, result_type_names
from opsin.graphql.roles import RoleMutation, RoleQuery
from opsin.graphql.row_limit import RowLimit
from opsin.graphql.scalars import NAMES, configuration
from opsin.graphql.similar import SimilarQuery
from opsin.graphql.subjects import Batch, Subject
from opsin.graphql.subscriptions import Subscription
from opsin.graphql.trusted_documents import DocumentGate, TrustedDocuments
from opsin.graphql.webhook_changes import WebhookMutation
from opsin.graphql.webhooks import WebhookQuery

_MODULES = (
    accounts,
    analyses,
    analyze,
    annotations,
    application_changes,
    applications,
    audit,
    capture,
    collection_changes,
    collections,
    connections,
    curation,
    curation_changes,
    dataset_changes,
    datasets,
    history,
    image_filter,
    images,
    mutations,
    operations,
    queries,
    retention,
    runs,
    similar,
    subjects,
    webhooks,
)
_QUERIES = (
    Query,
    ApplicationQuery,
    AuditQuery,
    CaptureQuery,
    CollectionQuery,
    RoleQuery,
    SimilarQuery,
    WebhookQuery,
)
_DYNAMIC = frozenset(
    {"AnalyzeInput", "AnalyzeImageInput", "Mutation", OPERATION_INPUT, RESULT_UNION, "TaskInput"}
)


def reserved_type_names() -> frozenset[str]:
    """Names of the schema's own types, which no plugin's result may take."""
    own = {
        value.__strawberry_definition__.name
        for module in (*_MODULES, nodes, results, run_events, subscriptions)
        for value in vars(module).values()
        if has_object_definition(value) or has_enum_definition(value)
    }
    derived = {f"{name}{end}" for name in own for end in ("Connection", "Edge", "Input")}
    return NAMES | own | derived | _DYNAMIC


def build_schema(
    host: PluginHost,
    limits: Limits,
    *,
    trusted: TrustedDocuments | None = None,
    introspection: bool = True,
    compiled: bool = True,
) -> OpsinSchema:
    """The schema for `host`, refusing documents beyond `limits` and those not `trusted`.

    Without `compiled`, every field goes through its resolver.
    Raises ConfigurationError for a trusted document that does not fit the schema.
    """
    operation_input = Inputs(reserved_type_names() | result_type_names(host)).one_of(host)
    analysis_mutation = analysis_mutations(host, operation_input)
    mutations_of = (
        Mutation,
        AccountMutation,
        analysis_mutation,
        ApplicationMutation,
        CollectionMutation,
        CurationMutation,
        DatasetMutation,
        RoleMutation,
        WebhookMutation,
    )
    mutation = merge_types("Mutation", mutations_of)
    documents, row_limit = Documents(), RowLimit(rows=limits.rows, page=limits.page)
    trusted = trusted or TrustedDocuments()
    schema = OpsinSchema(
        host,
        DocumentGate(trusted, max_bytes=limits.document_bytes),
        row_limit,
        KnownExecution(documents, row_limit),
        compiled=compiled,
        query=merge_types("Query", _QUERIES),
        mutation=mutation,
        subscription=Subscription,
        types=[Dataset, Image, Annotation, Artifact, Subject, Batch],
        extensions=[
            lambda: KnownDocuments(documents),
            lambda: DocumentLimits(limits),
            OperationChoice,
            *(() if introspection else (DisableIntrospection,)),
            lambda: OperationRows(row_limit),
        ],
        config=configuration(),
        execution_context_class=AnnotationVariables,
    )
    if compiled:
        schema.extensions = (*schema.extensions, lambda: CompiledReads(schema.compiler))
    trusted.prepare(schema._schema, limits, documents)
    return schema
