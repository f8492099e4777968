"""Soft deletion of images, their restoration, and what was done when."""

from typing import Annotated
from uuid import UUID

from fastapi import Body, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from opsin.compat.vista.analyses import Offset
from opsin.compat.vista.answers import json_answer
from opsin.compat.vista.door import Door
from opsin.compat.vista.objects import deletion_object, image_object
from opsin.compat.vista.routing import Routes


class Deletion(BaseModel):
    reason: str = Field(max_length=10_000)
    force: bool = False


class Restoration(BaseModel):
    reason: str | None = Field(None, max_length=10_000)


class DeletionRoutes:
    """`/projects/{id}/images/{id}`, `.../restore` and `/projects/{id}/images/deletion-events`."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def add_to(self, routes: Routes) -> None:
        tag, many = "images", "/projects/{project_id}/images"
        routes.add("GET", f"{many}/deletion-events", self.events, tag=tag)
        routes.add("DELETE", f"{many}/{{image_id}}", self.delete, tag=tag)
        routes.add("POST", f"{many}/{{image_id}}/restore", self.restore, tag=tag)

    async def delete(
        self, request: Request, project_id: UUID, image_id: UUID, body: Deletion
    ) -> Response:
        """Hide an image; with `force` its file goes at once."""
        principal = await self._door.project(request, project_id)
        changed = await self._door.use_cases.image_deletions.delete(
            principal, str(project_id), str(image_id), body.reason, force=body.force
        )
        return json_answer(image_object(changed))

    async def restore(
        self,
        request: Request,
        project_id: UUID,
        image_id: UUID,
        body: Annotated[Restoration | None, Body()] = None,
    ) -> Response:
        """Show an image again."""
        principal = await self._door.project(request, project_id)
        changed = await self._door.use_cases.image_deletions.restore(
            principal, str(project_id), str(image_id), body.reason if body else None
        )
        return json_answer(image_object(changed))

    async def events(
        self,
        request: Request,
        project_id: UUID,
        skip: Offset = 0,
        limit: Annotated[int, Query(ge=0, le=1000)] = 100,
    ) -> Response:
        """What was deleted and restored, newest first."""
        principal = await self._door.project(request, project_id)
        found, total = await self._door.use_cases.image_deletions.listed(
            principal, str(project_id), skip=skip, limit=limit
        )
        return json_answer({"events": [deletion_object(one) for one in found], "total": total})
