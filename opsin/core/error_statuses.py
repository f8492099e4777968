"""The HTTP status and headers of each error: one total table, for every door that speaks HTTP."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType

from opsin.core import errors

STATUS: Mapping[type[errors.OpsinError], HTTPStatus] = MappingProxyType(
    {
        errors.OpsinError: HTTPStatus.INTERNAL_SERVER_ERROR,
        errors.InvalidInput: HTTPStatus.BAD_REQUEST,
        errors.NotShown: HTTPStatus.BAD_REQUEST,
        errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
        errors.Forbidden: HTTPStatus.FORBIDDEN,
        errors.NotFound: HTTPStatus.NOT_FOUND,
        errors.Gone: HTTPStatus.GONE,
        errors.Conflict: HTTPStatus.CONFLICT,
        errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        errors.TooSlow: HTTPStatus.REQUEST_TIMEOUT,
        errors.Throttled: HTTPStatus.TOO_MANY_REQUESTS,
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
)


def status_of(error: errors.OpsinError) -> HTTPStatus:
    """The status of the nearest class in the table."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def headers_of(error: errors.OpsinError) -> dict[str, str]:
    """What HTTP has headers for: when to come again, and how to say who one is."""
    if isinstance(error, errors.Overloaded | errors.Throttled):
        return {"retry-after": whole_seconds(error.retry_after)}
    if isinstance(error, errors.Unauthenticated):
        return {"www-authenticate": "Bearer"}
    return {}


def whole_seconds(wait: float) -> str:
    """For `Retry-After`: as many as it takes not to come too early."""
    return str(max(1, math.ceil(wait)))
