"""Answers of the Haut API: JSON, and its errors as a type and a list of what is wrong."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

from opsin.core.error_statuses import headers_of, status_of
from opsin.core.errors import InvalidInput, OpsinError
from opsin.core.storable import storable_text
from opsin.core.unexpected import logged

VALIDATION, CLIENT, SERVER = "validation_error", "client_error", "server_error"

_CODES: Mapping[int, str] = {
    400: "invalid",
    401: "authentication_failed",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    410: "not_found",
    413: "too_large",
    415: "unsupported_media_type",
    422: "unprocessable",
    429: "throttled",
}
"""What each status is called; what is none of these is the server's own trouble."""


class Refused(Exception):
    """A request that is answered with this status and these errors."""

    def __init__(
        self,
        status: int,
        errors: Sequence[Mapping[str, Any]],
        *,
        kind: str = CLIENT,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(errors)
        self.status = status
        self.kind = kind
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.extra = extra


def fault(code: str, detail: str, attr: str | None = None) -> dict[str, Any]:
    """One entry of `errors`; `attr` is the field that is wrong."""
    return {"code": code, "detail": detail, "attr": attr}


def invalid(attr: str | None, detail: str, code: str = "invalid") -> Refused:
    """A field of the body or of the query that cannot be used: 400."""
    return Refused(HTTPStatus.BAD_REQUEST, [fault(code, detail, attr)], kind=VALIDATION)


def not_found(detail: str = "Not found.") -> Refused:
    return Refused(HTTPStatus.NOT_FOUND, [fault("not_found", detail)])


@contextmanager
def telling(attr: str | None) -> Iterator[None]:
    """What cannot be used is told to be this field's."""
    try:
        yield
    except InvalidInput as error:
        raise invalid(attr, error.message) from error


def answer(content: Any, status: int = HTTPStatus.OK) -> Response:
    """The content as JSON."""
    return Response(_json(content), status, media_type="application/json")


def error_answer(error: Exception) -> Response:
    """The one place where an exception becomes an answer; what nobody expected is masked."""
    match error:
        case Refused():
            return _told(error.status, error.kind, error.errors, error.headers, error.extra)
        case HTTPException():
            return _plain(error.status_code, error.detail, error.headers or {})
        case OpsinError():
            return _plain(status_of(error), error.message, headers_of(error))
    return _plain(500, f"Internal server error ({logged(error)})", {})


def moment(time: datetime | None) -> str | None:
    """A time of an entity: ISO 8601 with microseconds, in UTC."""
    if time is None:
        return None
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _plain(status: int, detail: str, headers: Mapping[str, str]) -> Response:
    if status >= 500:
        return _told(status, SERVER, [fault("error", detail)], headers)
    kind = VALIDATION if status == HTTPStatus.BAD_REQUEST else CLIENT
    return _told(status, kind, [fault(_CODES.get(status, "error"), detail)], headers)


def _told(
    status: int,
    kind: str,
    errors: Sequence[Mapping[str, Any]],
    headers: Mapping[str, str],
    extra: Mapping[str, Any] | None = None,
) -> Response:
    content: dict[str, Any] = {"type": kind, "errors": errors}
    if extra is not None:
        content["extra"] = extra
    response = answer(content, status)
    response.headers.update(headers)
    return response


def _json(content: Any) -> bytes:
    try:
        return orjson.dumps(content)
    except TypeError:  # half a character, in what is told of a text that was sent
        return orjson.dumps(_storable(content))


def _storable(content: Any) -> Any:
    if isinstance(content, str):
        return storable_text(content)
    if isinstance(content, Mapping):
        return {storable_text(name): _storable(value) for name, value in content.items()}
    if isinstance(content, Sequence):
        return [_storable(value) for value in content]
    return content
