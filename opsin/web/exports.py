"""Exports over HTTP: by signed link, or with an API key; streamed at the client's own pace."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from opsin.core.access import Access, presented_key
from opsin.core.exports.exports import Exports
from opsin.core.exports.gzip_stream import gzipped
from opsin.core.exports.request import ExportFilter, Target, TargetKind, read_format
from opsin.core.links import Links

PATIENCE_SECONDS = 60.0
"""How long a client may take nothing; for longer the database could not clean up behind it."""

_NO_FILTERS = frozenset({"format", "expires", "signature"})


class ExportRoutes:
    """Routes `/exports/datasets/{id}`, `/exports/images/{id}` and `/exports/analyses/{id}`."""

    def __init__(self, exports: Exports, access: Access, links: Links) -> None:
        self._exports = exports
        self._access = access
        self._links = links

    def routes(self) -> list[BaseRoute]:
        return [
            Route(f"/exports/{kind}/{{id:uuid}}", partial(self.export, kind)) for kind in TargetKind
        ]

    async def export(self, kind: TargetKind, request: Request) -> Response:
        """The file, with a name to be saved under."""
        target = await self._target(kind, request)
        query = request.query_params
        form = read_format(query.get("format"))
        wanted = ExportFilter.read({n: query[n] for n in query if n not in _NO_FILTERS})
        headers = {
            "content-disposition": f'attachment; filename="{target.filename(form)}"',
            "cache-control": "private, no-store",
            "vary": "accept-encoding",
            "x-content-type-options": "nosniff",
        }
        zipped = _takes_gzip(request.headers.get("accept-encoding", ""))
        if zipped:
            headers["content-encoding"] = "gzip"
        if request.method == "HEAD":
            return Response(media_type=form.media_type, headers=headers)
        source = self._exports.stream(target, form, wanted)
        try:
            first = await anext(source)  # what is wrong must be known before the status is sent
            content = _joined(first, source)
            return ExportStream(
                gzipped(content) if zipped else content, source, form.media_type, headers
            )
        except BaseException:
            await source.aclose()
            raise

    async def _target(self, kind: TargetKind, request: Request) -> Target:
        identity = str(request.path_params["id"])
        if "signature" in request.query_params:
            self._links.verify(request.url.path, request.query_params, datetime.now(UTC))
            return await self._exports.by_id(kind, identity)
        headers = request.headers
        token = presented_key(headers.get("authorization"), headers.get("x-api-key"))
        principal = await self._access.authenticate(token)
        return await self._exports.find(principal, kind, identity)


class ExportStream(StreamingResponse):
    """Sends chunks as fast as they are taken; whatever ends it lets go of their source.

    Starlette's own leaves the source to the garbage collector when the client goes, and waits for
    ever for one that stays and takes nothing.
    """

    def __init__(
        self,
        content: AsyncGenerator[bytes, None],
        source: AsyncGenerator[bytes, None],
        media_type: str,
        headers: dict[str, str],
    ) -> None:
        super().__init__(content, media_type=media_type, headers=headers)
        self._content = content
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_soon(message: dict[str, object]) -> None:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await send(message)

        sending = asyncio.create_task(self.stream_response(send_soon))  # type: ignore[arg-type]  # Starlette's Message is a MutableMapping
        leaving = asyncio.create_task(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()  # the connection is cut, so that nobody takes a part for the whole
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            await self._content.aclose()
            await self._source.aclose()


async def _joined(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield first
    async with aclosing(rest):
        async for chunk in rest:
            yield chunk


def _takes_gzip(accepted: str) -> bool:
    """Whether the Accept-Encoding header names gzip (or anything) with a weight above zero."""
    weights = {}
    for entry in accepted.lower().split(","):
        name, _, parameters = entry.partition(";")
        weights[name.strip()] = parameters.replace(" ", "")
    weight = weights.get("gzip", weights.get("*"))
    return weight is not None and weight not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
