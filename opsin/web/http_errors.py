"""Our errors as HTTP answers, for doors without a form of their own."""

from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from opsin.core.error_statuses import headers_of, status_of
from opsin.core.errors import OpsinError
from opsin.core.request_context import request_id


def answer_error(request: Request, error: Exception) -> Response:
    """The error as JSON: its message and stable code."""
    assert isinstance(error, OpsinError)
    return JSONResponse(_body(error.message, error.code), status_of(error), headers_of(error))


def answer_http_exception(request: Request, error: Exception) -> Response:
    """What routing itself refuses (no such path, another method), as JSON like all errors."""
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).name
    return JSONResponse(_body(error.detail, code), error.status_code, error.headers)


def _body(message: str, code: str) -> dict[str, Any]:
    """As GraphQL has errors; with the request's id, by which the log tells more."""
    extensions = {"code": code}
    if (identity := request_id.get()) is not None:
        extensions["requestId"] = identity
    return {"errors": [{"message": message, "extensions": extensions}]}
