"""GraphQL types made from what plugins declare: results, params and the enums in them."""

import logging
from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any, get_args

import strawberry
from pydantic import BaseModel, ValidationError
from strawberry import pydantic as strawberry_pydantic
from strawberry.types.base import has_object_definition
from strawberry.types.enum import has_enum_definition
from strawberry.types.union import StrawberryUnion

from opsin.core.contract import Params, Result
from opsin.core.plugin_host import PluginHost
from opsin.core.records import Analysis

log = logging.getLogger(__name__)

RESULT_UNION = "OperationResult"

if TYPE_CHECKING:
    PendingResult = Result
else:

    @strawberry.type(description="Stands for the union of results until the plugins are known.")
    class PendingResult:
        nothing: bool


def result_types(host: PluginHost) -> dict[str, type[Result]]:
    """Every operation's result class by its name, as GraphQL types."""
    found: dict[str, type[Result]] = {}
    for registered in host.operations.values():
        found.setdefault(registered.operation.result.__name__, registered.operation.result)
    for model in found.values():
        _prepare_output(model)
    return found


def result_union(host: PluginHost) -> Any:
    """The annotation of the union with one member per registered operation's result."""
    members = tuple(result_types(host).values()) or (NoOperations,)
    union = StrawberryUnion(
        name=RESULT_UNION,
        type_annotations=tuple(strawberry.annotation.StrawberryAnnotation(m) for m in members),
        description="One member for the result of each registered operation.",
    )
    return union


@strawberry.type(description="Stands in the union of results when no operation is registered.")
class NoOperations:
    nothing: bool


def stored_result(host: PluginHost, analysis: Analysis) -> Result | None:
    """The typed result of a stored analysis; None without one, or when its plugin is gone."""
    if analysis.result is None or analysis.operation is None:
        return None
    registered = host.operations.get(analysis.operation)
    if registered is None or registered.operation.result.__name__ != analysis.result_type:
        return None
    try:
        return registered.operation.result.model_validate(analysis.result)
    except ValidationError:
        log.warning("analysis %s was stored by another version of its operation", analysis.id)
        return None


def operation_input(host: PluginHost) -> type:
    """The @oneOf input with one typed member per operation, named after it."""
    annotations: dict[str, Any] = {}
    namespace: dict[str, Any] = {}
    for name, registered in host.operations.items():
        annotations[name] = params_input(name, registered.operation.params) | None
        namespace[name] = strawberry.UNSET
    if not annotations:
        annotations, namespace = {"none": bool | None}, {"none": strawberry.UNSET}
    cls = type("OperationInput", (), {"__annotations__": annotations, **namespace})
    return strawberry.input(
        cls, one_of=True, description="One operation with its params; exactly one member."
    )


def params_input(operation: str, params: type[Params]) -> type[Params]:
    """The input type of an operation's params: a subclass of its own, so that names never clash."""
    name = "".join(word.capitalize() for word in operation.split("_")) + "Input"
    for model in _nested_models(params):
        if not has_object_definition(model):
            strawberry_pydantic.input(model)
    _prepare_enums(params)
    model = type(name, (params,), {"__module__": params.__module__, "__doc__": params.__doc__})
    return strawberry_pydantic.input(model, name=name)


def _prepare_output(model: type[BaseModel]) -> None:
    for nested in (*_nested_models(model), model):
        _prepare_enums(nested)
        if "__strawberry_definition__" not in vars(nested):
            description = (nested.__doc__ or "").strip().split("\n\n")[0] or None
            strawberry_pydantic.type(nested, description=description)


def _prepare_enums(model: type[BaseModel]) -> None:
    for kind in _named_types(field.annotation for field in model.model_fields.values()):
        if issubclass(kind, Enum) and not has_enum_definition(kind):
            strawberry.enum(kind)


def _nested_models(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Models inside `model`, innermost first, each once."""
    found: dict[type[BaseModel], None] = {}
    for kind in _named_types(field.annotation for field in model.model_fields.values()):
        if issubclass(kind, BaseModel) and kind is not model and kind not in found:
            found.update(dict.fromkeys(_nested_models(kind)))
            found[kind] = None
    return list(found)


def _named_types(annotations: Iterable[Any]) -> list[type]:
    """The classes an annotation is made of: `list[Box | None]` gives Box."""
    found: list[type] = []
    for annotation in annotations:
        if isinstance(annotation, type) and not get_args(annotation):
            found.append(annotation)
        else:
            found += _named_types(get_args(annotation))
    return found
