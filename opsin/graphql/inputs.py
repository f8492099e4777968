"""GraphQL input types made from the params that operations declare."""

import dataclasses
import math
import types
from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin

import strawberry
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from strawberry.types.base import has_object_definition
from strawberry.utils.str_converters import to_camel_case

from opsin.core.contract import Operation
from opsin.core.errors import DuplicateName, InvalidInput
from opsin.core.plugin_host import PluginHost
from opsin.graphql.declared import check_field_names, prepare_enums, summary_of

OPERATION_INPUT = "OperationInput"
# Python's own words (`class`) are good names for operations, but not for the members of a class.
_SAFE = "_"

Members = dict[str, tuple[Any, Any]]
"""The annotation and the value of each member of a class to be made."""


class Inputs:
    """The input types of one schema; `taken` are the names of its other types.

    They are classes of their own and not the plugin's models, because GraphQL tells inputs from
    outputs, and a model may be a part of a result as well.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._nested: dict[type[BaseModel], type] = {}
        self._names = set(taken)

    def one_of(self, host: PluginHost) -> type:
        """The @oneOf input with one member per operation, named after it."""
        members: Members = {}
        public: dict[str, str] = {}
        for name, registered in host.operations.items():
            member, plugin = to_camel_case(name), registered.plugin.name
            other = public.setdefault(member, name)
            if other != name:
                message = f"the operations {other!r} and {name!r} are both {member!r} in GraphQL"
                raise DuplicateName(plugin, message)
            field = strawberry.field(name=member, default=strawberry.UNSET)
            members[name + _SAFE] = (self.of_params(registered.operation, plugin) | None, field)
        if not members:
            members["none"] = (bool | None, strawberry.UNSET)
        return strawberry.input(
            _class(type(OPERATION_INPUT, (), {}), members),
            one_of=True,
            description="One operation with its params; exactly one member.",
        )

    def of_params(self, operation: Operation[Any, Any], plugin: str) -> Any:
        """The input of an operation, named after it: several may share one class of params."""
        words = "".join(word.capitalize() for word in operation.name.split("_"))
        cls = type(f"{words}Input", (), {})
        return self._fill(cls, operation.params, plugin, operation.description)

    def _of_nested(self, model: type[BaseModel], plugin: str) -> Any:
        if model not in self._nested:
            cls = type(f"{model.__name__}Input", (), {})
            self._nested[model] = cls  # first, because a model may be a part of itself
            self._fill(cls, model, plugin)
        return self._nested[model]

    def _fill(
        self,
        cls: type,
        model: type[BaseModel],
        plugin: str,
        description: str | None = None,
    ) -> type:
        if cls.__name__ in self._names:
            raise DuplicateName(plugin, f"the GraphQL type {cls.__name__!r} is already taken")
        self._names.add(cls.__name__)
        check_field_names(model)
        prepare_enums(model)
        members = {name: self._member(info, plugin) for name, info in model.model_fields.items()}
        return strawberry.input(_class(cls, members), description=description or summary_of(model))

    def _member(self, info: FieldInfo, plugin: str) -> tuple[Any, Any]:
        annotation: Any = self._annotation(info.annotation, plugin)
        default: Any = info.default
        if info.is_required():
            default = strawberry.UNSET if _is_optional(annotation) else dataclasses.MISSING
        elif not _can_be_shown(default):  # may be left out, and pydantic knows what is meant
            annotation, default = annotation | None, strawberry.UNSET
        return annotation, strawberry.field(default=default, description=info.description)

    def _annotation(self, annotation: Any, plugin: str) -> Any:
        """The annotation with inputs in place of models; `plugin_fields` says what it may be."""
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            return self._annotation(arguments[0], plugin)
        if _is_optional(annotation):
            kind = next(kind for kind in arguments if kind is not type(None))
            return self._annotation(kind, plugin) | None
        if origin is not None:
            return types.GenericAlias(list, (self._annotation(arguments[0], plugin),))
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return self._of_nested(annotation, plugin)
        return annotation


def chosen(given: Any) -> tuple[str, dict[str, Any]]:
    """The operation that a @oneOf input names, and its params as far as they were given."""
    for member, value in vars(given).items():
        if has_object_definition(type(value)):
            return member.removesuffix(_SAFE), _as_given(value)
    raise InvalidInput("run needs exactly one operation")


def _as_given(value: Any) -> Any:
    if has_object_definition(type(value)):
        members = vars(value).items()
        return {name: _as_given(item) for name, item in members if item is not strawberry.UNSET}
    return [_as_given(item) for item in value] if isinstance(value, list) else value


def _is_optional(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _can_be_shown(default: Any) -> bool:
    """Whether the schema can tell the default."""
    if isinstance(default, float):
        return math.isfinite(default)
    return default is None or isinstance(default, bool | int | str | Enum)


def _class(cls: type, members: Members) -> type:
    cls.__annotations__ = {name: annotation for name, (annotation, _) in members.items()}
    for name, (_, value) in members.items():
        setattr(cls, name, value)
    return cls
