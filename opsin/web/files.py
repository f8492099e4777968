"""The files of images, their thumbnails and artifacts, for whoever holds a signed link."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from opsin.core.artifacts import Artifacts
from opsin.core.errors import BlobNotFound
from opsin.core.images import Images
from opsin.core.links import Links
from opsin.core.records import Artifact, Image
from opsin.web.byte_ranges import UnsatisfiableRange, asked_range

# What a browser shows without running anything in it; any other artifact is saved as a file.
_SHOWN = frozenset(f"image/{kind}" for kind in ("avif", "bmp", "gif", "jpeg", "png", "webp"))

Stream = Callable[[int, int | None], AsyncGenerator[bytes, None]]
"""Opens a file from a byte to another (exclusive)."""


class Files:
    """Routes `/images/{id}/content`, `/images/{id}/thumbnail` and `/artifacts/{id}/content`."""

    def __init__(self, images: Images, artifacts: Artifacts, links: Links) -> None:
        self._images = images
        self._artifacts = artifacts
        self._links = links

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/images/{image_id:uuid}/content", self.content),
            Route("/images/{image_id:uuid}/thumbnail", self.thumbnail),
            Route("/artifacts/{artifact_id:uuid}/content", self.artifact),
        ]

    async def content(self, request: Request) -> Response:
        """The file as it was taken in, streamed."""
        image = await self._image(request)
        headers = _image_headers(image)

        def stream(start: int, end: int | None) -> AsyncGenerator[bytes, None]:
            return self._images.stream(image, start, end)

        return await _file(request, image.size_bytes, image.content_type, headers, stream)

    async def thumbnail(self, request: Request) -> Response:
        """A smaller copy; its sides are part of the signed link."""
        image = await self._image(request)
        width, height = (int(request.query_params[side]) for side in ("width", "height"))
        headers = _image_headers(image, f"-{width}x{height}")
        if _has_it(request, headers):
            return Response(status_code=304, headers=headers)
        picture, content_type = await self._images.thumbnail(image, width, height)
        return Response(picture, media_type=content_type, headers=headers)

    async def artifact(self, request: Request) -> Response:
        """The file of a result, streamed."""
        self._verify(request)
        artifact = await self._artifacts.by_id(str(request.path_params["artifact_id"]))
        if artifact.sha256 is None or artifact.size_bytes is None:
            raise BlobNotFound("this artifact has not been stored")
        headers = _artifact_headers(artifact, artifact.sha256)

        def stream(start: int, end: int | None) -> AsyncGenerator[bytes, None]:
            return self._artifacts.stream(artifact, start, end)

        return await _file(request, artifact.size_bytes, artifact.content_type, headers, stream)

    async def _image(self, request: Request) -> Image:
        self._verify(request)
        return await self._images.by_id(str(request.path_params["image_id"]))

    def _verify(self, request: Request) -> None:
        self._links.verify(request.url.path, request.query_params, datetime.now(UTC))


async def _file(
    request: Request, size: int, content_type: str, headers: dict[str, str], stream: Stream
) -> Response:
    """The file or the part of it that is asked for; nothing where the client has it."""
    headers |= {"accept-ranges": "bytes"}
    if _has_it(request, headers):
        return Response(status_code=304, headers=headers)
    try:
        part = asked_range(request.headers, size, headers["etag"])
    except UnsatisfiableRange:
        return Response(status_code=416, headers=headers | {"content-range": f"bytes */{size}"})
    status, start, end = 200, 0, None
    length = size
    if part is not None:
        status, start, end = 206, part.start, part.end
        length = end - start
        headers |= {"content-range": part.content_range}
    chunks = stream(start, end)
    first = await anext(chunks, b"")  # a missing file must be known before the status is sent
    return StreamingResponse(
        _joined(first, chunks),
        status_code=status,
        media_type=content_type,
        headers=headers | {"content-length": str(length)},
    )


async def _joined(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with aclosing(rest):
        yield first
        async for chunk in rest:
            yield chunk


def _image_headers(image: Image, variant: str = "") -> dict[str, str]:
    disposition = f"inline; filename*=UTF-8''{quote(image.filename)}"
    return _headers(f"{image.sha256}{variant}", image.created_at, disposition)


def _artifact_headers(artifact: Artifact, sha256: str) -> dict[str, str]:
    kind = artifact.content_type.partition(";")[0].strip().lower()
    shown = "inline" if kind in _SHOWN else "attachment"
    disposition = f"{shown}; filename*=UTF-8''{quote(artifact.name)}"
    return _headers(sha256, artifact.created_at, disposition)


def _headers(tag: str, modified: datetime, disposition: str) -> dict[str, str]:
    # A file never changes under its id; it may be gone, so nobody keeps it for ever.
    return {
        "etag": f'"{tag}"',
        "last-modified": format_datetime(modified, usegmt=True),
        "cache-control": "private, max-age=3600",
        "content-disposition": disposition,
        "x-content-type-options": "nosniff",
        # A file from outside must not act in our name, whatever a browser takes it for.
        "content-security-policy": "default-src 'none'; sandbox",
    }


def _has_it(request: Request, headers: dict[str, str]) -> bool:
    asked = request.headers.get("if-none-match", "")
    return headers["etag"] in (tag.strip().removeprefix("W/") for tag in asked.split(","))
