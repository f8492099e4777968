"""The files of images and their thumbnails, for whoever holds a signed link."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from opsin.core.images import Images
from opsin.core.links import Links
from opsin.core.records import Image


class ImageFiles:
    """Routes `/images/{id}/content` and `/images/{id}/thumbnail`."""

    def __init__(self, images: Images, links: Links) -> None:
        self._images = images
        self._links = links

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/images/{image_id:uuid}/content", self.content),
            Route("/images/{image_id:uuid}/thumbnail", self.thumbnail),
        ]

    async def content(self, request: Request) -> Response:
        """The file as it was taken in, streamed."""
        image = await self._image(request)
        headers = _headers(image) | {"content-length": str(image.size_bytes)}
        if _has_it(request, headers):
            return Response(status_code=304, headers=headers)
        stream = self._images.stream(image)
        first = await anext(stream, b"")  # a missing file must be known before the status is sent
        return StreamingResponse(
            _joined(first, stream), media_type=image.content_type, headers=headers
        )

    async def thumbnail(self, request: Request) -> Response:
        """A smaller copy; its sides are part of the signed link."""
        image = await self._image(request)
        width, height = (int(request.query_params[side]) for side in ("width", "height"))
        headers = _headers(image, f"-{width}x{height}")
        if _has_it(request, headers):
            return Response(status_code=304, headers=headers)
        picture, content_type = await self._images.thumbnail(image, width, height)
        return Response(picture, media_type=content_type, headers=headers)

    async def _image(self, request: Request) -> Image:
        self._links.verify(request.url.path, request.query_params, datetime.now(UTC))
        return await self._images.by_id(str(request.path_params["image_id"]))


async def _joined(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with aclosing(rest):
        yield first
        async for chunk in rest:
            yield chunk


def _headers(image: Image, variant: str = "") -> dict[str, str]:
    # A picture never changes under its id; it may be gone, so nobody keeps it for ever.
    return {
        "etag": f'"{image.sha256}{variant}"',
        "last-modified": format_datetime(image.created_at, usegmt=True),
        "cache-control": "private, max-age=3600",
        "content-disposition": f"inline; filename*=UTF-8''{quote(image.filename)}",
        "x-content-type-options": "nosniff",
        # An uploaded file must not act in our name, whatever a browser takes it for.
        "content-security-policy": "default-src 'none'; sandbox",
    }


def _has_it(request: Request, headers: dict[str, str]) -> bool:
    asked = request.headers.get("if-none-match", "")
    return headers["etag"] in (tag.strip().removeprefix("W/") for tag in asked.split(","))
