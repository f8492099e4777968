"""Our errors as HTTP answers, in one total table, for doors without a form of their own."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from opsin.core import errors

STATUS: dict[type[errors.OpsinError], HTTPStatus] = {
    errors.OpsinError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.InvalidInput: HTTPStatus.BAD_REQUEST,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Gone: HTTPStatus.GONE,
    errors.Conflict: HTTPStatus.CONFLICT,
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


def status_of(error: errors.OpsinError) -> HTTPStatus:
    """The status of the nearest class in the table."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def answer_error(request: Request, error: Exception) -> Response:
    """The error as JSON: its message and stable code."""
    assert isinstance(error, errors.OpsinError)
    headers = {}
    if isinstance(error, errors.Overloaded):
        headers["retry-after"] = str(max(1, round(error.retry_after)))
    if isinstance(error, errors.Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    body = {"errors": [{"message": error.message, "extensions": {"code": error.code}}]}
    return JSONResponse(body, status_of(error), headers)
