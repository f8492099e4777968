"""The gate: every form of token, the company in the path, and what the rest of the path names."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from opsin.compat.forgery import check_forgery, is_foreign
from opsin.compat.haut.answers import Refused, fault, not_found
from opsin.compat.haut.options import HautOptions
from opsin.core.access import Access, Principal
from opsin.core.errors import Forbidden, NotFound, Unauthenticated
from opsin.core.places import Place, Places
from opsin.core.records import Batch, Dataset, Image, Subject
from opsin.storage.ids import canonical_id

_PRESENTED = re.compile(r"(?:Bearer:?\s+)?(\S+)", re.IGNORECASE)
_HEADERS = ("authorization", "authentication", "access-token", "x-api-key")
_COOKIE = "authorization"
_LEVELS = ("dataset", "subject", "batch", "image")

Record = TypeVar("Record", Dataset, Subject, Batch, Image)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has passed."""

    request: Request
    principal: Principal
    """The caller, acting for the company in the path where there is one."""
    place: Place | None = None
    """What the path names, each within the one before it; None where that is no dataset."""

    @property
    def dataset(self) -> Dataset:
        return _named(self.place.dataset if self.place else None)

    @property
    def subject(self) -> Subject:
        return _named(self.place.subject if self.place else None)

    @property
    def batch(self) -> Batch:
        return _named(self.place.batch if self.place else None)

    @property
    def image(self) -> Image:
        return _named(self.place.image if self.place else None)

    def parameter(self, name: str) -> str:
        """A part of the path as it was sent."""
        return str(self.request.path_params[name])


Handle = Callable[[Call], Awaitable[Response]]
OpenHandle = Callable[[Request], Awaitable[Response]]
Absent = Callable[[Principal, Mapping[str, str]], Awaitable[None]]
"""Told of a chain of ids that does not hold; raises what is answered where that is not NotFound."""


@dataclass(frozen=True, slots=True)
class Row:
    """A path of the API without the slash at its end, and what answers its methods.

    `methods` need a token; `open` ones are for anybody.
    """

    path: str
    methods: Mapping[str, Handle] = field(default_factory=dict)
    open: Mapping[str, OpenHandle] = field(default_factory=dict)
    json: bool = True
    """Whether it answers with JSON, and so refuses whoever takes none."""
    absent: Absent | None = None
    """Asked where something is sent (POST) to what is not there."""


class Gate:
    """Finds out who calls, for which company, about what."""

    def __init__(self, access: Access, places: Places, options: HautOptions) -> None:
        self._access = access
        self._places = places
        self._options = options

    async def passed(self, request: Request, absent: Absent | None = None) -> Call:
        """The call behind a request.

        Raises Refused 401, Forbidden for a company that is not the caller's, NotFound for a chain
        of ids that does not hold, HTTPException for what a page of another site asks for.
        """
        check_forgery(request, self._options.origins)
        principal = await self.caller(request)
        given = request.path_params
        if "company_id" in given:
            principal = await self.acting(principal, given["company_id"])
        ids = {name: given[f"{name}_id"] for name in _LEVELS if f"{name}_id" in given}
        if "dataset" not in ids:
            return Call(request, principal)
        try:
            place = await self._places.find(principal, ids)
        except NotFound:
            if absent is not None:
                await absent(principal, ids)
            raise
        return Call(request, principal, place)

    async def caller(self, connection: HTTPConnection) -> Principal:
        """The caller behind any of the forms of token, also of a WebSocket; Refused 401."""
        token = token_of(connection)
        try:
            return await self._access.authenticate(token)
        except Unauthenticated as error:
            if token is None:
                raise _unknown(
                    "not_authenticated", "Authentication credentials were not provided."
                ) from error
            raise _unknown("authentication_failed", "Invalid or expired token.") from error

    async def listener(self, socket: HTTPConnection) -> Principal:
        """The caller who opens a WebSocket.

        Raises Refused 401, and Forbidden for a page of another site, for which the browser would
        show the cookie by itself.
        """
        is_shown = any(name in socket.headers for name in _HEADERS)
        if _COOKIE in socket.cookies and not is_shown and is_foreign(socket, self._options.origins):
            raise Forbidden("Pages of this origin may not call")
        return await self.caller(socket)

    async def acting(self, principal: Principal, company_id: str) -> Principal:
        """The caller for this company; Forbidden when it is not one of theirs."""
        identity = canonical_id(company_id)
        if identity is None:
            raise not_found()
        return await self._access.principal_in(principal, identity)


def _named(record: Record | None) -> Record:
    if record is None:
        raise LookupError("the route's path does not name this")
    return record


def token_of(connection: HTTPConnection) -> str | None:
    """The token in any of its forms; None where there is none at all.

    Raises Refused 401 where something was sent that is none, such as another scheme.
    """
    is_sent = False
    for text in _presented(connection):
        found = _PRESENTED.fullmatch(text.strip())
        if found is not None and found[1].rstrip(":").lower() != "bearer":
            return found[1]
        is_sent = is_sent or bool(text.strip())
    if is_sent:
        raise _unknown("authentication_failed", "The Authorization header must be: Bearer <token>")
    return None


def _presented(connection: HTTPConnection) -> Iterator[str]:
    """What was sent in each of the places, the deliberate ones first."""
    for name in _HEADERS:
        if name in connection.headers:
            yield connection.headers[name]
    if _COOKIE in connection.cookies:
        yield connection.cookies[_COOKIE]
    if connection.scope.get("method", "GET") in ("GET", "HEAD") and "token" in (
        query := connection.query_params
    ):
        yield query["token"]


def _unknown(code: str, detail: str) -> Refused:
    headers = {"www-authenticate": "Bearer"}
    return Refused(HTTPStatus.UNAUTHORIZED, [fault(code, detail)], headers=headers)
