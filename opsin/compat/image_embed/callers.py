"""Who may call: holders of a key of this server or, where the operator says so, everybody."""

from starlette.requests import Request

from opsin.compat.forgery import check_forgery
from opsin.compat.image_embed.options import ImageEmbedOptions
from opsin.core.access import Access, Principal, presented_key


class Callers:
    """Finds the caller of a request, which is the local company unless a key says another."""

    def __init__(self, access: Access, options: ImageEmbedOptions) -> None:
        self._access = access
        self._options = options

    async def caller(self, request: Request) -> Principal:
        """Raises Unauthenticated, or HTTPException for a foreign page's request."""
        headers = request.headers
        check_forgery(request, self._options.origins)
        key = presented_key(headers.get("authorization"), headers.get("x-api-key"))
        if key is None and self._options.is_open:
            return await self._access.local()
        return await self._access.authenticate(key)
