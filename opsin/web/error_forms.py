"""How errors look, by the path that was asked for: each API has a form of its own."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from opsin.core.errors import NotFound
from opsin.web.http_errors import answer_error, answer_http_exception

Value = TypeVar("Value")

ErrorForm = Callable[[Request, Exception], Response]
"""Says what went wrong, in the words and the status of one API."""


class ErrorForms:
    """The form of the nearest path above what was asked for, ours where there is none."""

    def __init__(self, forms: Mapping[str, ErrorForm]) -> None:
        self._forms = dict(forms)

    def answer(self, request: Request, error: Exception) -> Response:
        form = nearest(self._forms, request.scope["path"]) or answer_error
        return form(request, error)

    def answer_http(self, request: Request, error: Exception) -> Response:
        """What routing itself refuses: below an API's path it is for that API to say."""
        assert isinstance(error, HTTPException)
        form = nearest(self._forms, request.scope["path"])
        if form is None or error.status_code != 404:
            return answer_http_exception(request, error)
        return form(request, NotFound(error.detail))


def nearest(table: Mapping[str, Value], path: str) -> Value | None:
    """What the table has for this path or for the nearest one above it: `/a/b`, `/a`."""
    while path:
        if path in table:
            return table[path]
        path = path.rpartition("/")[0]
    return None
