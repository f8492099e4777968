"""Answers as VISTA's clients expect them: JSON, and errors with a `detail`."""

import json
import logging
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_jsonable_python
from starlette.exceptions import HTTPException
from starlette.responses import Response

from opsin.core import errors

log = logging.getLogger(__name__)

STATUS: dict[type[errors.OpsinError], HTTPStatus] = {
    errors.OpsinError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.InvalidInput: HTTPStatus.BAD_REQUEST,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Gone: HTTPStatus.GONE,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.LimitReached: HTTPStatus.BAD_REQUEST,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.Overloaded: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    errors.Cancelled: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.OperationUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.OperationFailed: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.FetchFailed: HTTPStatus.BAD_REQUEST,
    errors.PluginError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.StorageError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.BlobNotFound: HTTPStatus.NOT_FOUND,
    errors.ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class Invalid(Exception):
    """Fields that are not what they must be, in the form that FastAPI has for them: 422."""

    def __init__(self, problems: Sequence[Any]) -> None:
        super().__init__("invalid fields")
        self.problems = problems


def problem(location: Sequence[str | int], message: str, kind: str = "value_error") -> Invalid:
    """One field that is wrong."""
    return Invalid([{"type": kind, "loc": ["body", *location], "msg": message, "input": None}])


def json_answer(content: Any, status: int = 200, **headers: str) -> Response:
    """The content as JSON; what is JSON already comes as `orjson.Fragment`."""
    return Response(orjson.dumps(content), status, headers, "application/json")


def error_answer(error: Exception) -> Response:
    """The one place where an exception becomes an answer; what nobody expected is masked."""
    match error:
        case errors.OpsinError():
            status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
            headers = {}
            if isinstance(error, errors.Overloaded):
                headers["retry-after"] = str(max(1, round(error.retry_after)))
            return _told({"detail": error.message}, status, **headers)
        case HTTPException():
            return _told({"detail": error.detail}, error.status_code)
        case RequestValidationError():
            return _told({"detail": _plain(error.errors())}, 422)
        case Invalid():
            return _told({"detail": _plain(error.problems)}, 422)
    number = uuid.uuid4().hex
    log.error("unexpected error %s", number, exc_info=error)
    return _told({"detail": f"Internal server error ({number})"}, 500)


def _told(content: Any, status: int, **headers: str) -> Response:
    """In ASCII: what is said of a text may repeat half of a character, which UTF-8 has not."""
    return Response(json.dumps(content), status, headers, "application/json")


def _plain(problems: Sequence[Any]) -> Any:
    """The list as JSON: exceptions and bytes as texts, NaN as null."""
    return to_jsonable_python(problems, fallback=str, bytes_mode="base64", inf_nan_mode="null")
