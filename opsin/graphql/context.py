"""What every resolver gets: the use cases, the caller, and the loaders of this request."""

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Self

import strawberry
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope
from starlette.websockets import WebSocket

from opsin.core.access import Access, Principal, presented_key
from opsin.core.errors import Unauthenticated
from opsin.core.events import RESYNC
from opsin.core.patience import patiently
from opsin.core.scope import sees
from opsin.core.use_cases import UseCases
from opsin.graphql.loaders import Loaders
from opsin.storage.event_log import Event

COMPANY = "x-company-id"
"""The header, or the member of connection_init's payload, with the company to act for."""
MOST_TO_SIGN_IN = 64 * 1024
"""Bytes of a request without a key: it may sign in, and nothing else."""


class Context:
    """One request, or one socket; a socket's caller is known after its connection_init.

    A request without a key has a `refusal`, which is what it gets unless it only signs in.
    `address` is where the caller calls from.
    """

    def __init__(
        self,
        use_cases: UseCases,
        principal: Principal | None,
        base_url: str,
        max_page: int,
        *,
        address: str | None = None,
        refusal: Unauthenticated | None = None,
    ) -> None:
        self.use_cases = use_cases
        self.base_url = base_url
        self.max_page = max_page
        self.address = address
        self.refusal = refusal
        self._principal = principal
        # Strawberry puts the payload of connection_init here.
        self.connection_params: Any = None

    @property
    def principal(self) -> Principal:
        if self._principal is None:
            if self.refusal is not None:
                raise self.refusal
            raise Unauthenticated("Send an API key in the payload of connection_init")
        return self._principal

    @cached_property
    def loaders(self) -> Loaders:
        return Loaders(self.use_cases.database, self.principal)

    def for_one_operation(self) -> Self:
        """The same caller with loaders that have read nothing yet."""
        fresh = copy.copy(self)
        fresh.forget()
        return fresh

    def forget(self) -> None:
        """Read anew from here on: a subscription goes on for as long as its client likes."""
        self.__dict__.pop("loaders", None)

    async def confirm(self) -> None:
        """From here on the caller is who they are now, with the rights that they have now.

        Raises Unauthenticated when their key has been revoked since.
        """
        now = await self.use_cases.access.confirm(self.principal)
        if now is not self._principal:
            self._principal = now
            self.forget()

    async def readable(self) -> tuple[str, ...] | None:
        """The datasets that the caller sees by now; None for all of the company."""
        await patiently(self.confirm)
        return self.principal.rights.readable

    def seen(self, events: Sequence[Event]) -> Sequence[Event]:
        """Those of the events of their company that the caller may hear of."""
        if self.principal.rights.readable is None:
            return events
        return [
            one
            for one in events
            if one.kind == RESYNC or sees(self.principal, one.company_id, one.dataset_id)
        ]

    async def authenticate(self) -> None:
        """Find the caller of a socket from its connection_init payload, or keep the header's."""
        params = self.connection_params
        token = bearer_token(params) if isinstance(params, Mapping) else None
        company = _text_of(params, COMPANY) if isinstance(params, Mapping) else None
        if token is not None or self._principal is None:
            self._principal = await _caller(self.use_cases.access, token, company)
        elif company is not None:
            self._principal = await self.use_cases.access.principal_in(self._principal, company)


Info = strawberry.Info[Context, None]


class ContextFactory:
    """Makes the context for a request or a socket."""

    def __init__(self, use_cases: UseCases, *, public_url: str | None, max_page: int) -> None:
        self._use_cases = use_cases
        self._public_url = public_url.rstrip("/") if public_url else None
        self._max_page = max_page

    async def __call__(
        self, request: Request | WebSocket, response: Response | WebSocket
    ) -> Context:
        headers = request.headers
        token, company = bearer_token(headers), headers.get(COMPANY)
        principal: Principal | None = None
        refusal: Unauthenticated | None = None
        if token is not None or isinstance(request, Request):
            may_sign_in = isinstance(request, Request) and _may_sign_in(
                request.method,
                token,
                headers.get("content-type", ""),
                headers.get("content-length", ""),
            )
            principal, refusal = await self._caller(token, company, may_sign_in)
        return self._context(principal, refusal, request.scope, headers.get("host"))

    async def of_headers(self, headers: Mapping[bytes, bytes], scope: Scope) -> Context:
        """The same for a request whose headers are at hand as the server gave them."""
        token = presented_key(
            headers.get(b"authorization", b"").decode("latin-1") or None,
            headers.get(b"x-api-key", b"").decode("latin-1") or None,
        )
        company = headers.get(COMPANY.encode(), b"").decode("latin-1") or None
        may_sign_in = _may_sign_in(
            scope["method"],
            token,
            headers.get(b"content-type", b"").decode("latin-1"),
            headers.get(b"content-length", b"").decode("latin-1"),
        )
        principal, refusal = await self._caller(token, company, may_sign_in)
        host = headers.get(b"host", b"").decode("latin-1") or None
        return self._context(principal, refusal, scope, host)

    async def _caller(
        self, token: str | None, company: str | None, may_sign_in: bool
    ) -> tuple[Principal | None, Unauthenticated | None]:
        """Who is calling, or why nobody is, where that is not the end of the request."""
        try:
            return await _caller(self._use_cases.access, token, company), None
        except Unauthenticated as error:
            if may_sign_in:
                return None, error
            raise

    def _context(
        self,
        principal: Principal | None,
        refusal: Unauthenticated | None,
        scope: Scope,
        host: str | None,
    ) -> Context:
        base_url = self._public_url or _base_url(
            scope["scheme"],
            host,
            scope.get("app_root_path", scope.get("root_path", "")),
            tuple(scope.get("server") or ()) or None,
        )
        client = scope.get("client")
        return Context(
            self._use_cases,
            principal,
            base_url,
            self._max_page,
            address=client[0] if client else None,
            refusal=refusal,
        )


async def _caller(access: Access, token: str | None, company: str | None) -> Principal:
    principal = await access.authenticate(token)
    return principal if company is None else await access.principal_in(principal, company)


def _may_sign_in(method: str, token: str | None, content_type: str, length: str) -> bool:
    """Whether a request without a key is of the form of one that signs in."""
    return (
        method == "POST"
        and token is None
        and content_type.partition(";")[0].strip().lower() == "application/json"
        and length.isdigit()
        and int(length) <= MOST_TO_SIGN_IN
    )


@lru_cache(maxsize=64)
def _base_url(scheme: str, host: str | None, root_path: str, server: tuple[str, int] | None) -> str:
    """The address that clients of this request use, without the slash at its end."""
    headers = [(b"host", host.encode("latin-1"))] if host is not None else []
    http = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    scope = {"scheme": http, "server": server, "path": root_path, "headers": headers}
    return str(URL(scope=scope)).rstrip("/")


def _text_of(values: Mapping[str, Any], name: str) -> str | None:
    """The text with this name, in any case."""
    found = {str(key).lower(): value for key, value in values.items()}.get(name)
    return found if isinstance(found, str) else None


def bearer_token(values: Mapping[str, Any]) -> str | None:
    """The API key in `Authorization: Bearer`, or in `X-API-Key`; names in any case."""
    lower = {str(name).lower(): value for name, value in values.items()}
    texts = {name: value for name, value in lower.items() if isinstance(value, str)}
    return presented_key(texts.get("authorization"), texts.get("x-api-key"))
