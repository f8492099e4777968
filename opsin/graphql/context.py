"""What every resolver gets: the use cases, the caller, and the loaders of this request."""

import copy
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any, Self

import strawberry
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope
from starlette.websockets import WebSocket

from opsin.core.access import Principal, presented_key
from opsin.core.errors import Unauthenticated
from opsin.core.use_cases import UseCases
from opsin.graphql.loaders import Loaders


class Context:
    """One request, or one socket; a socket's caller is known after its connection_init."""

    def __init__(
        self, use_cases: UseCases, principal: Principal | None, base_url: str, max_page: int
    ) -> None:
        self.use_cases = use_cases
        self.base_url = base_url
        self.max_page = max_page
        self._principal = principal
        # Strawberry puts the payload of connection_init here.
        self.connection_params: Any = None

    @property
    def principal(self) -> Principal:
        if self._principal is None:
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
        """Raises Unauthenticated when the caller's key has been revoked since."""
        await self.use_cases.access.confirm(self.principal)

    async def authenticate(self) -> None:
        """Find the caller of a socket from its connection_init payload, or keep the header's."""
        params = self.connection_params
        token = bearer_token(params) if isinstance(params, Mapping) else None
        if token is not None or self._principal is None:
            self._principal = await self.use_cases.access.authenticate(token)


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
        token = bearer_token(request.headers)
        principal: Principal | None = None
        if token is not None or isinstance(request, Request):
            principal = await self._use_cases.access.authenticate(token)
        return self._context(principal, request.scope, request.headers.get("host"))

    async def of_headers(self, headers: Mapping[bytes, bytes], scope: Scope) -> Context:
        """The same for a request whose headers are at hand as the server gave them."""
        token = presented_key(
            headers.get(b"authorization", b"").decode("latin-1") or None,
            headers.get(b"x-api-key", b"").decode("latin-1") or None,
        )
        principal = await self._use_cases.access.authenticate(token)
        return self._context(principal, scope, headers.get(b"host", b"").decode("latin-1") or None)

    def _context(self, principal: Principal | None, scope: Scope, host: str | None) -> Context:
        base_url = self._public_url or _base_url(
            scope["scheme"],
            host,
            scope.get("app_root_path", scope.get("root_path", "")),
            tuple(scope.get("server") or ()) or None,
        )
        return Context(self._use_cases, principal, base_url, self._max_page)


@lru_cache(maxsize=64)
def _base_url(scheme: str, host: str | None, root_path: str, server: tuple[str, int] | None) -> str:
    """The address that clients of this request use, without the slash at its end."""
    headers = [(b"host", host.encode("latin-1"))] if host is not None else []
    http = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    scope = {"scheme": http, "server": server, "path": root_path, "headers": headers}
    return str(URL(scope=scope)).rstrip("/")


def bearer_token(values: Mapping[str, Any]) -> str | None:
    """The API key in `Authorization: Bearer`, or in `X-API-Key`; names in any case."""
    lower = {str(name).lower(): value for name, value in values.items()}
    texts = {name: value for name, value in lower.items() if isinstance(value, str)}
    return presented_key(texts.get("authorization"), texts.get("x-api-key"))
