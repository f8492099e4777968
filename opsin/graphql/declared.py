"""What inputs and results have in common: models and enums as plugins declare them."""

import inspect
from enum import Enum

import strawberry
from pydantic import BaseModel
from strawberry.types.enum import has_enum_definition
from strawberry.utils.str_converters import to_camel_case

from opsin.core.plugin_host.fields import inner_types


def summary_of(model: type[BaseModel]) -> str | None:
    """The first paragraph of a class's docstring, on one line."""
    paragraph = inspect.cleandoc(vars(model).get("__doc__") or "").partition("\n\n")[0]
    return " ".join(paragraph.split()) or None


def check_field_names(model: type[BaseModel]) -> None:
    """Raises ValueError when two fields would be one in GraphQL, as `top_1` and `top1`."""
    public: dict[str, str] = {}
    for name in model.model_fields:
        other = public.setdefault(to_camel_case(name), name)
        if other != name:
            raise ValueError(
                f"the fields {other!r} and {name!r} of {model.__name__} are both "
                f"{to_camel_case(name)!r} in GraphQL"
            )


def prepare_enums(model: type[BaseModel]) -> None:
    """Makes the enums inside the model GraphQL types, once in a process."""
    for kind in inner_types(model):
        if issubclass(kind, Enum) and not has_enum_definition(kind):
            strawberry.enum(kind, description=_own_docstring(kind))


def _own_docstring(kind: type[Enum]) -> str | None:
    # An enum without one inherits its base's, which tells of Python's enums.
    return inspect.cleandoc(kind.__doc__) if "__doc__" in vars(kind) and kind.__doc__ else None
