"""Who may ask: holders of a key of this server, or everybody; and how often."""

from http import HTTPStatus

from starlette.requests import Request

from opsin.compat.forgery import check_forgery
from opsin.compat.whales.answers import Refused
from opsin.compat.whales.options import WhalesOptions
from opsin.compat.whales.texts import TOO_MANY_REQUESTS
from opsin.core.access import Access, Principal, presented_key
from opsin.core.error_statuses import whole_seconds
from opsin.core.rate_limits import RateLimits
from opsin.core.roles import Permission

_NOBODY = "unknown"
"""The address of those who come without one, by a socket of this machine."""


class Callers:
    """Finds the caller of a request, which is the local company unless a key says another."""

    def __init__(self, access: Access, limits: RateLimits, options: WhalesOptions) -> None:
        self._access = access
        self._limits = limits
        self._options = options

    async def caller(self, request: Request) -> Principal:
        """Raises Unauthenticated, HTTPException for what another site's page asks for."""
        check_forgery(request, self._options.origins)
        headers = request.headers
        key = presented_key(headers.get("authorization"), headers.get("x-api-key"))
        if key is None and self._options.is_open:
            return await self._access.local()
        return await self._access.authenticate(key)

    async def limited(self, request: Request) -> Principal:
        """The same for predictions, of which an address may ask for so many.

        Raises Refused, and Forbidden for who may have nothing analysed, before the body is read.
        """
        principal = await self.caller(request)
        principal.require(Permission.ANALYZE)
        if self._options.limit is not None:
            address = request.client.host if request.client else _NOBODY
            wait = await self._limits.enter(self._options.limit, address)
            if wait is not None:
                headers = {"retry-after": whole_seconds(wait)}
                raise Refused(HTTPStatus.TOO_MANY_REQUESTS, TOO_MANY_REQUESTS, headers)
        return principal
