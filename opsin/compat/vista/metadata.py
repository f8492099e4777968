"""Named values that are kept with projects and with images."""

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import Body, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from opsin.compat.vista.answers import json_answer
from opsin.compat.vista.door import Door
from opsin.compat.vista.objects import image_object, metadata_object, stored_json
from opsin.compat.vista.routing import Routes
from opsin.core.metadata import MetadataEntry


class Value(BaseModel):
    key: str = Field(min_length=1, max_length=255)
    value: Any = None


class OptionalKeyValue(BaseModel):
    key: str | None = Field(None, min_length=1, max_length=255)
    value: Any = None


class MetadataRoutes:
    """`/projects/{id}/metadata`, `/projects/{id}/metadata-dict` and `/images/{id}/metadata`."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def add_to(self, routes: Routes) -> None:
        tag, project = "metadata", "/projects/{project_id}"
        one = f"{project}/metadata/{{key}}"
        routes.add("POST", f"{project}/metadata", self.create, status=201, tag=tag)
        routes.add("GET", f"{project}/metadata", self.listed, tag=tag)
        routes.add("GET", one, self.read, tag=tag)
        routes.add("PUT", one, self.put, tag=tag)
        routes.add("DELETE", one, self.delete, status=204, tag=tag)
        routes.add("GET", f"{project}/metadata-dict", self.dictionary, tag=tag)
        routes.add("PUT", f"{project}/metadata-dict", self.merge, tag=tag)
        image = "/images/{image_id}/metadata"
        routes.add("PUT", image, self.put_of_image, tag=tag)
        routes.add("DELETE", f"{image}/{{key}}", self.delete_of_image, tag=tag)

    async def create(self, request: Request, project_id: UUID, body: Value) -> Response:
        """Set one value."""
        return json_answer(await self._set(request, project_id, body.key, body.value), 201)

    async def listed(self, request: Request, project_id: UUID) -> Response:
        """Every value, by its key."""
        return json_answer([metadata_object(e) for e in await self._entries(request, project_id)])

    async def read(self, request: Request, project_id: UUID, key: str) -> Response:
        """One value."""
        principal = await self._door.project(request, project_id)
        found = await self._door.use_cases.metadata.entry(principal, str(project_id), key)
        return json_answer(metadata_object(found))

    async def put(
        self, request: Request, project_id: UUID, key: str, body: OptionalKeyValue
    ) -> Response:
        """Set one value; a key in the body must be that of the path."""
        if body.key is not None and body.key != key:
            raise HTTPException(400, "Key mismatch")
        return json_answer(await self._set(request, project_id, key, body.value))

    async def delete(self, request: Request, project_id: UUID, key: str) -> Response:
        """Remove one value."""
        principal = await self._door.project(request, project_id)
        await self._door.use_cases.metadata.remove(principal, str(project_id), key)
        return Response(status_code=204)

    async def dictionary(self, request: Request, project_id: UUID) -> Response:
        """All values as one object."""
        return json_answer(_as_object(await self._entries(request, project_id)))

    async def merge(
        self, request: Request, project_id: UUID, body: Annotated[dict[str, Any], Body()]
    ) -> Response:
        """Set these values; others stay."""
        principal = await self._door.project(request, project_id)
        entries = await self._door.use_cases.metadata.set_many(principal, str(project_id), body)
        return json_answer(_as_object(entries))

    async def put_of_image(self, request: Request, image_id: UUID, body: Value) -> Response:
        """Set one value of an image."""
        principal = await self._door.image(request, image_id)
        changed = await self._door.use_cases.metadata.set_of_image(
            principal, str(image_id), body.key, body.value
        )
        return json_answer(image_object(changed))

    async def delete_of_image(self, request: Request, image_id: UUID, key: str) -> Response:
        """Remove one value of an image."""
        principal = await self._door.image(request, image_id)
        changed = await self._door.use_cases.metadata.remove_of_image(principal, str(image_id), key)
        return json_answer(image_object(changed))

    async def _entries(self, request: Request, project_id: UUID) -> list[MetadataEntry]:
        principal = await self._door.project(request, project_id)
        return list(await self._door.use_cases.metadata.entries(principal, str(project_id)))

    async def _set(
        self, request: Request, project_id: UUID, key: str, value: Any
    ) -> dict[str, Any]:
        principal = await self._door.project(request, project_id)
        entries = await self._door.use_cases.metadata.set_many(
            principal, str(project_id), {key: value}
        )
        return next(metadata_object(entry) for entry in entries if entry.key == key.strip())


def _as_object(entries: Any) -> dict[str, orjson.Fragment | None]:
    return {entry.key: stored_json(entry.value) for entry in entries}
