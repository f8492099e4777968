"""GraphQL types made from the results that operations declare."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import strawberry
from pydantic import BaseModel, ValidationError
from strawberry import pydantic as strawberry_pydantic
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.union import StrawberryUnion

from opsin.core.contract import Result
from opsin.core.plugin_host import PluginHost
from opsin.core.plugin_host.fields import inner_types
from opsin.core.records import Analysis
from opsin.core.similarity.embeddings import (
    VECTOR,
    is_stored_apart,
    needs_vector,
    vector_values,
    without_vector,
)
from opsin.graphql.compiler.rules import Unusual
from opsin.graphql.context import Context, Info
from opsin.graphql.declared import check_field_names, prepare_enums, summary_of
from opsin.graphql.selections import asks_for

log = logging.getLogger(__name__)

RESULT_UNION = "OperationResult"
Kind = TypeVar("Kind", bound=Result)

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
    declared = _declared(info.context, analysis.operation, analysis.result_type)
    values = analysis.result
    if declared is None or values is None:
        return None
    if not is_stored_apart(declared, values):
        return _made(declared, analysis.id, values)
    if not (needs_vector(declared) or asks_for(info, VECTOR)):
        return _made(declared, analysis.id, values, without_vector)
    vector = await info.context.loaders.vector(analysis.id)
    # Without a vector it has been deleted since.
    return None if vector is None else _made(declared, analysis.id, {**values, VECTOR: vector})


def shown_result(
    context: Context,
    analysis_id: str,
    operation: str | None,
    result_type: str | None,
    values: dict[str, Any] | None,
    vector: str | Literal[False] | None,
) -> Result | None:
    """The same for a compiled read, which gives the vector in hexadecimal; False if unread."""
    declared = _declared(context, operation, result_type)
    if declared is None or values is None:
        return None
    if not is_stored_apart(declared, values):
        return _made(declared, analysis_id, values)
    if vector is False:
        if needs_vector(declared):
            raise Unusual
        return _made(declared, analysis_id, values, without_vector)
    if vector is None:
        return None
    whole = {**values, VECTOR: vector_values(bytes.fromhex(vector))}
    return _made(declared, analysis_id, whole)


def _declared(
    context: Context, operation: str | None, result_type: str | None
) -> type[Result] | None:
    """The class of a stored result, if its operation is still there and gives that class."""
    registered = context.use_cases.host.operations.get(operation) if operation else None
    if registered is None or registered.operation.result.__name__ != result_type:
        return None
    declared: type[Result] = registered.operation.result
    return declared


def _made(
    declared: type[Kind],
    analysis_id: str,
    values: dict[str, Any],
    make: Callable[[type[Kind], dict[str, Any]], Kind] = lambda kind, values: kind.model_validate(
        values
    ),
) -> Kind | None:
    """The result, if the stored values are still those of its class."""
    try:
        return make(declared, values)
    except ValidationError:
        log.warning("analysis %s was stored by another version of its operation", analysis_id)
        return None


def prepare_output(result: type[Result]) -> None:
    """Makes the result and the models inside it GraphQL types, once in a process."""
    prepare_enums(result)
    for model in (*inner_types(result), result):
        if issubclass(model, BaseModel) and "__strawberry_definition__" not in vars(model):
            check_field_names(model)
            strawberry_pydantic.type(model, description=summary_of(model))
