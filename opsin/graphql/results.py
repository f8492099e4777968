"""GraphQL types made from the results that operations declare."""

import logging
from typing import TYPE_CHECKING, Any

import strawberry
from pydantic import BaseModel, ValidationError
from strawberry import pydantic as strawberry_pydantic
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.union import StrawberryUnion

from opsin.core.contract import Result
from opsin.core.plugin_host import PluginHost
from opsin.core.plugin_host.fields import inner_types
from opsin.core.records import Analysis
from opsin.core.similarity.embeddings import VECTOR, is_stored_apart, needs_vector, without_vector
from opsin.graphql.context import Info
from opsin.graphql.declared import check_field_names, prepare_enums, summary_of
from opsin.graphql.selections import asks_for

log = logging.getLogger(__name__)

RESULT_UNION = "OperationResult"

if TYPE_CHECKING:
    PendingResult = Result
else:

    @strawberry.type(description="Stands for the union of results until the plugins are known.")
    class PendingResult:
        nothing: bool


@strawberry.type(description="Stands in the union of results when no operation is registered.")
class NoOperations:
    nothing: bool


def result_union(host: PluginHost) -> Any:
    """The union with one member per registered operation's result."""
    results = dict.fromkeys(r.operation.result for r in host.operations.values())
    for result in results:
        prepare_output(result)
    return StrawberryUnion(
        name=RESULT_UNION,
        type_annotations=tuple(StrawberryAnnotation(kind) for kind in results or (NoOperations,)),
        description="One member for the result of each registered operation.",
    )


def result_type_names(host: PluginHost) -> frozenset[str]:
    """The names of all results, and of the models and enums inside them and inside the params."""
    return frozenset(
        kind.__name__
        for registered in host.operations.values()
        for model in (registered.operation.result, registered.operation.params)
        for kind in (model, *inner_types(model))
    )


async def read_result(info: Info, analysis: Analysis) -> Result | None:
    """The typed result of a stored analysis; None without one, or when its plugin is gone.

    The vector of an embedding is read only where the document asks for it.
    """
    values = analysis.result
    if values is None or analysis.operation is None:
        return None
    registered = info.context.use_cases.host.operations.get(analysis.operation)
    if registered is None or registered.operation.result.__name__ != analysis.result_type:
        return None
    declared = registered.operation.result
    try:
        if not is_stored_apart(declared, values):
            return declared.model_validate(values)
        if not (needs_vector(declared) or asks_for(info, VECTOR)):
            return without_vector(declared, values)
        vector = await info.context.loaders.vector(analysis.id)
        if vector is None:  # deleted since
            return None
        return declared.model_validate({**values, VECTOR: vector})
    except ValidationError:
        log.warning("analysis %s was stored by another version of its operation", analysis.id)
        return None


def prepare_output(result: type[Result]) -> None:
    """Makes the result and the models inside it GraphQL types, once in a process."""
    prepare_enums(result)
    for model in (*inner_types(result), result):
        if issubclass(model, BaseModel) and "__strawberry_definition__" not in vars(model):
            check_field_names(model)
            strawberry_pydantic.type(model, description=summary_of(model))
