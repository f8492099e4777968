"""Images of projects: sent, listed, searched, read, and shown small."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import File, Form, Query, Request, UploadFile
from fastapi.responses import Response, StreamingResponse
from starlette.exceptions import HTTPException

from opsin.compat.vista.analyses import Offset
from opsin.compat.vista.answers import json_answer, problem
from opsin.compat.vista.door import Door
from opsin.compat.vista.objects import image_object, storage_key
from opsin.compat.vista.projects import Limit
from opsin.compat.vista.routing import Routes
from opsin.core.errors import NotFound, TooLarge
from opsin.core.image_search import ImageSearch
from opsin.core.images import NewImage
from opsin.core.records import Image
from opsin.core.roles import Permission
from opsin.storage.ids import canonical_id

_LARGEST_THUMBNAIL = 2048


class ImageRoutes:
    """`/projects/{id}/images` and `/images/{id}`."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def add_to(self, routes: Routes) -> None:
        tag, many, one = "images", "/projects/{project_id}/images", "/images/{image_id}"
        routes.add("POST", many, self.upload, status=201, tag=tag, before=self._may_upload)
        routes.add("GET", many, self.listed, tag=tag)
        routes.add("GET", one, self.read, tag=tag)
        routes.add("GET", f"{one}/download", self.download, tag=tag)
        routes.add("GET", f"{one}/content", self.content, tag=tag)
        routes.add("GET", f"{one}/thumbnail", self.thumbnail, tag=tag)

    async def upload(
        self,
        request: Request,
        project_id: UUID,
        file: Annotated[UploadFile, File()],
        metadata: Annotated[str | None, Form()] = None,
    ) -> Response:
        """Store a picture, with metadata as the text of a JSON object."""
        principal = await self._door.project(request, project_id)
        new = NewImage(
            dataset_id=str(project_id),
            filename=file.filename or "",
            metadata=_metadata(metadata),
            uploaded_by=principal.name[:320],
        )
        try:
            made = await self._door.use_cases.images.add(principal, new, file.file)
        except TooLarge:
            raise HTTPException(413, "File too large") from None
        return json_answer(image_object(made), 201)

    async def listed(
        self,
        request: Request,
        project_id: UUID,
        skip: Offset = 0,
        limit: Limit = 100,
        include_deleted: bool = False,
        deleted_only: bool = False,
        search_field: Annotated[str | None, Query(max_length=255)] = None,
        search_value: Annotated[str | None, Query(max_length=1000)] = None,
    ) -> Response:
        """Images in the order in which they came; none of a project that is not there."""
        try:
            principal = await self._door.project(request, project_id)
        except NotFound:
            return json_answer([])
        wanted = ImageSearch(skip, limit, include_deleted, deleted_only, search_field, search_value)
        found = await self._door.use_cases.image_searches.find(principal, str(project_id), wanted)
        return json_answer([image_object(image) for image in found])

    async def read(
        self, request: Request, image_id: UUID, include_deleted: bool = False
    ) -> Response:
        """One image; a deleted one only when it is asked for."""
        image = await self._image(request, image_id, deleted=include_deleted)
        return json_answer(image_object(image))

    async def download(self, request: Request, image_id: UUID) -> Response:
        """Where the file is, below the prefix that was asked."""
        image = await self._image(request, image_id)
        url = f"/images/{image.id}/content"
        return json_answer({"url": url, "object_key": storage_key(image), "method": "GET"})

    async def content(
        self, request: Request, image_id: UUID, include_deleted: bool = False
    ) -> Response:
        """The file as it was taken in; that of a deleted image only when it is asked for."""
        image = await self._image(request, image_id, deleted=include_deleted)
        source = self._door.use_cases.images.stream(image)
        first = await anext(source, b"")

        async def chunks() -> AsyncIterator[bytes]:
            async with aclosing(source):
                yield first
                async for chunk in source:
                    yield chunk

        return StreamingResponse(
            chunks(),
            headers=_headers(image) | {"content-length": str(image.size_bytes)},
            media_type=image.content_type,
        )

    async def thumbnail(
        self,
        request: Request,
        image_id: UUID,
        width: int = 200,
        height: int = 200,
        include_deleted: bool = False,
    ) -> Response:
        """A copy that fits into the box, in the file's own format where that can be."""
        if width < 1 or height < 1:
            raise HTTPException(400, "Width and height must be positive")
        image = await self._image(request, image_id, deleted=include_deleted)
        most = _LARGEST_THUMBNAIL
        picture, kind = await self._door.use_cases.images.thumbnail(
            image, min(width, most), min(height, most), keep_format=True
        )
        return Response(picture, media_type=kind, headers=_headers(image))

    async def _may_upload(self, request: Request) -> None:
        """Raises Forbidden, or NotFound for a project that is not there."""
        identity = canonical_id(request.path_params["project_id"])
        if identity is not None:  # of what is no id at all, FastAPI tells what is wrong
            principal = await self._door.project(request, identity)
            principal.require(Permission.UPLOAD, identity)

    async def _image(self, request: Request, image_id: UUID, *, deleted: bool = False) -> Image:
        principal = await self._door.image(request, image_id)
        return await self._door.use_cases.images.get(principal, str(image_id), deleted=deleted)


def _metadata(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise HTTPException(400, "Invalid JSON format for metadata") from None
    if not isinstance(value, dict):
        raise problem(["metadata"], "Input should be a valid dictionary", "dict_type")
    return value


def _headers(image: Image) -> dict[str, str]:
    plain = "".join(
        c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in image.filename
    )
    exact = f"filename*=UTF-8''{quote(image.filename)}"
    return {
        "content-disposition": f'inline; filename="{plain}"; {exact}',
        "cache-control": "private, max-age=3600",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
    }
