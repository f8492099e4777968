"""The files of images and of what was made of them, as JPEG, for whoever shows a token."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from starlette.responses import Response, StreamingResponse

from opsin.compat.haut.answers import not_found
from opsin.compat.haut.gate import Call, Gate, Row
from opsin.compat.haut.options import HautOptions
from opsin.core.access import Principal
from opsin.core.errors import BlobNotFound, Forbidden, NotFound
from opsin.core.links import Links
from opsin.core.records import Artifact, Image
from opsin.core.use_cases import UseCases
from opsin.storage.ids import canonical_id
from opsin.storage.tables import artifacts, images

_JPEG = "image/jpeg"
_LINK_HOURS = 2
_HEADERS = {
    "cache-control": "private, max-age=3600",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
}


class FileRoutes:
    """`/images/{id}.jpg`, where the id is an image's or that of a picture made from one."""

    def __init__(self, use_cases: UseCases, _options: HautOptions, gate: Gate) -> None:
        self._use_cases = use_cases
        self._gate = gate

    def rows(self) -> list[Row]:
        return [Row("/images/{file_id}.jpg", {"GET": self.file}, json=False)]

    async def file(self, call: Call) -> Response:
        """The file; Refused 404 where there is none, or none any more."""
        identity = canonical_id(call.parameter("file_id"))
        if identity is None:
            raise not_found()
        try:
            image = await self._image(call.principal, identity)
            if image is not None:
                return await self._of_image(image)
            return await self._of_artifact(call.principal, identity)
        except (BlobNotFound, Forbidden, NotFound):
            raise not_found() from None

    async def _image(self, principal: Principal, identity: str) -> Image | None:
        company_id = await self._use_cases.owners.company_of(images, identity)
        if company_id is None:
            return None
        acting = await self._gate.acting(principal, company_id)
        return await self._use_cases.images.get(acting, identity)

    async def _of_image(self, image: Image) -> Response:
        if image.content_type == _JPEG:
            return await _streamed(self._use_cases.images.stream(image), image.size_bytes)
        picture = await self._use_cases.images.as_jpeg(image)
        return Response(picture, media_type=_JPEG, headers=_HEADERS)

    async def _of_artifact(self, principal: Principal, identity: str) -> Response:
        company_id = await self._use_cases.owners.company_of(artifacts, identity)
        if company_id is None:
            raise not_found()
        acting = await self._gate.acting(principal, company_id)
        artifact: Artifact = await self._use_cases.artifacts.by_id(identity)
        analysis = await self._use_cases.analyses.find(acting, artifact.analysis_id)
        if analysis is None:
            raise not_found()
        # Nothing is shown of an image that was deleted, though it may come back.
        await self._use_cases.images.get(acting, analysis.image_id)
        if artifact.content_type != _JPEG or artifact.size_bytes is None:
            raise not_found()
        return await _streamed(self._use_cases.artifacts.stream(artifact), artifact.size_bytes)


def signed_url(links: Links, image: Image) -> str:
    """A path to the image's file that needs no token, for an hour or two.

    The same within an hour, so that whoever keeps files by their address finds it.
    """
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    expires_at = hour + timedelta(hours=_LINK_HOURS)
    return links.sign(f"/images/{image.id}/content", expires_at=expires_at)


async def _streamed(chunks: AsyncGenerator[bytes, None], size: int) -> Response:
    first = await anext(chunks, b"")  # a missing file must be known before the status is sent

    async def joined() -> AsyncIterator[bytes]:
        async with aclosing(chunks):
            yield first
            async for chunk in chunks:
                yield chunk

    headers = _HEADERS | {"content-length": str(size)}
    return StreamingResponse(joined(), media_type=_JPEG, headers=headers)
