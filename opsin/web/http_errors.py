"""Our errors as HTTP answers, for doors without a form of their own."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from opsin.core.error_statuses import headers_of, status_of
from opsin.core.errors import OpsinError


def answer_error(request: Request, error: Exception) -> Response:
    """The error as JSON: its message and stable code."""
    assert isinstance(error, OpsinError)
    body = {"errors": [{"message": error.message, "extensions": {"code": error.code}}]}
    return JSONResponse(body, status_of(error), headers_of(error))


def answer_http_exception(request: Request, error: Exception) -> Response:
    """What routing itself refuses (no such path, another method), as JSON like all errors."""
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).name
    body = {"errors": [{"message": error.detail, "extensions": {"code": code}}]}
    return JSONResponse(body, error.status_code, error.headers)
