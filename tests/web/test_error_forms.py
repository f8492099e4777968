"""Whose form an error has: that of the nearest path above, and never of one with a similar name."""

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from opsin.core.errors import TooLarge
from opsin.web.error_forms import ErrorForms, nearest

TABLE = {"/api": "a", "/api/deep": "d", "/api-key": "k", "/one": "o"}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/api", "a"),
        ("/api/", "a"),
        ("/api/x/y", "a"),
        ("/api/deep", "d"),
        ("/api/deep/er", "d"),
        ("/api/deeper", "a"),
        ("/api-key/x", "k"),
        ("/api-keys", None),
        ("/one/two", "o"),
        ("/on", None),
        ("/", None),
        ("", None),
        ("//api", None),
        ("*", None),
    ],
)
def test_the_nearest_path_counts(path: str, found: str | None) -> None:
    assert nearest(TABLE, path) == found


def test_each_api_says_it_its_own_way() -> None:
    def theirs(_request: Request, error: Exception) -> Response:
        return PlainTextResponse(f"theirs: {error}", 418)

    forms = ErrorForms({"/theirs": theirs})

    def answer(path: str) -> Response:
        scope = {"type": "http", "path": path, "headers": [], "method": "GET"}
        return forms.answer(Request(scope), TooLarge("too much"))

    assert (answer("/theirs/x").status_code, answer("/theirs/x").body) == (418, b"theirs: too much")
    assert answer("/ours").status_code == 413
    assert b"TOO_LARGE" in answer("/ours").body
