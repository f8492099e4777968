"""Who may send pictures: holders of the API key, of a key of this server, or everybody."""

import hmac

from starlette.requests import Request

from opsin.compat.pekat.options import PekatOptions
from opsin.compat.pekat.parameters import Parameters
from opsin.core.access import Access, Principal
from opsin.core.errors import Unauthenticated

_REFUSAL = "invalid or missing api_key"


class Callers:
    """Finds the caller of a request, which is the local company unless a key says another."""

    def __init__(self, access: Access, options: PekatOptions) -> None:
        self._access = access
        self._options = options

    async def caller(self, request: Request, parameters: Parameters) -> Principal:
        """Raises Unauthenticated."""
        expected = self._options.api_key
        if expected is not None:
            if any(_are_equal(key, expected) for key in _presented(request, parameters)):
                return await self._access.local()
            raise Unauthenticated(_REFUSAL)
        if self._options.is_open:
            return await self._access.local()
        for key in _presented(request, parameters):
            try:
                return await self._access.authenticate(key)
            except Unauthenticated:
                continue
        raise Unauthenticated(_REFUSAL)


def _presented(request: Request, parameters: Parameters) -> list[str]:
    """Keys that were sent, in the query and in headers."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = (
        parameters.get("api_key"),
        request.headers.get("x-api-key"),
        token if scheme.lower() == "bearer" else None,
    )
    return [key.strip() for key in given if key and key.strip()]


def _are_equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())
