"""Bodies of requests: JSON objects read as Pydantic models, and what is wrong with them, told."""

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from starlette.requests import Request

from opsin.compat.haut.answers import VALIDATION, Refused, fault, invalid
from opsin.core.storable import is_storable_text

_ON_LOOP = 1 << 16  # bytes that are read in less time than a change of thread takes


class Body(BaseModel):
    """Fields that it does not know are ignored, as are blanks around texts; 7 is the text "7"."""

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=True, coerce_numbers_to_str=True)

    @field_validator("*")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        """Told of the field, before a database would refuse it."""
        if isinstance(value, str) and not is_storable_text(value):
            raise PydanticCustomError("invalid", "Null characters are not allowed.")
        return value


Model = TypeVar("Model", bound=BaseModel)


async def body_of(request: Request, model: type[Model]) -> Model:
    """The body as `model`; an empty one is `{}`.  Raises Refused."""
    return checked(await json_object(request), model)


async def json_object(request: Request) -> dict[str, Any]:
    """The JSON object that was sent, by whatever method; an empty body is `{}`."""
    content = await request.body()
    if not content.strip():
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and not (kind == "application/json" or kind.endswith("+json")):
        text = f'Unsupported media type "{kind}" in request.'
        raise Refused(415, [fault("unsupported_media_type", text)])
    try:
        found = (
            orjson.loads(content)
            if len(content) < _ON_LOOP
            else await asyncio.to_thread(orjson.loads, content)
        )
    except orjson.JSONDecodeError as error:
        text = f"JSON parse error - {error.msg}: line {error.lineno} column {error.colno}"
        raise Refused(400, [fault("parse_error", text)]) from None
    if not isinstance(found, dict):
        raise invalid(None, "Invalid data. Expected a dictionary.")
    return found


def checked(given: Mapping[str, Any], model: type[Model]) -> Model:
    """The fields as `model`; also those of a query.  Raises Refused with every fault."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=True)
        raise Refused(400, [_fault(one) for one in problems], kind=VALIDATION) from None


def _fault(problem: ErrorDetails) -> dict[str, Any]:
    """In the words that the clients know for it."""
    attr = ".".join(str(part) for part in problem["loc"]) or None
    context = problem.get("ctx", {})
    if problem["type"] == "missing":
        return fault("required", "This field is required.", attr)
    if problem["input"] is None:
        return fault("null", "This field may not be null.", attr)
    match problem["type"]:
        case "string_too_long":
            most = context["max_length"]
            return fault(
                "max_length", f"Ensure this field has no more than {most} characters.", attr
            )
        case "string_too_short":
            return fault("blank", "This field may not be blank.", attr)
        case "greater_than_equal" | "greater_than":
            least = context.get("ge", context.get("gt"))
            return fault(
                "min_value", f"Ensure this value is greater than or equal to {least}.", attr
            )
        case "less_than_equal" | "less_than":
            most = context.get("le", context.get("lt"))
            return fault("max_value", f"Ensure this value is less than or equal to {most}.", attr)
    return fault("invalid", problem["msg"], attr)
