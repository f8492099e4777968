"""Requests that a page of another site has a browser send: nobody meant them."""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
# A browser sends these for another site's page only by the server's leave.
_DELIBERATE = ("authorization", "x-api-key", "x-ml-signature")


def check_forgery(request: Request, origins: Collection[str]) -> None:
    """Raises HTTPException 403 for a change that another site's page has asked for.

    Where a caller shows nothing, because everyone is let in or a proxy knows them by a cookie, the
    browser would show it for any page.  `origins` are the sites that may; `*` is every site.
    """
    if request.method in _READS or any(name in request.headers for name in _DELIBERATE):
        return
    if is_foreign(request, origins):
        raise HTTPException(403, "Pages of this origin may not call")


def is_foreign(connection: HTTPConnection, origins: Collection[str]) -> bool:
    """Whether a page that is neither this server's nor of one of `origins` has asked."""
    headers = connection.headers
    origin = headers.get("origin")
    if origin is None or "*" in origins or origin in origins:
        return False
    if headers.get("sec-fetch-site") == "same-origin":
        return False
    return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
