"""Comments on images."""

from uuid import UUID

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from opsin.compat.vista.answers import json_answer
from opsin.compat.vista.door import Door
from opsin.compat.vista.objects import comment_object
from opsin.compat.vista.routing import Routes
from opsin.storage.curation import image_comments


class CommentText(BaseModel):
    text: str = Field(min_length=1, max_length=10_000)
    image_id: UUID | None = None


class CommentRoutes:
    """`/images/{id}/comments` and `/comments/{id}`."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def add_to(self, routes: Routes) -> None:
        tag, many, one = "comments", "/images/{image_id}/comments", "/comments/{comment_id}"
        routes.add("POST", many, self.create, status=201, tag=tag)
        routes.add("GET", many, self.listed, tag=tag)
        routes.add("GET", one, self.read, tag=tag)
        routes.add("PATCH", one, self.change, tag=tag)
        routes.add("DELETE", one, self.delete, status=204, tag=tag)

    async def create(self, request: Request, image_id: UUID, body: CommentText) -> Response:
        """Say something of an image."""
        if body.image_id is not None and body.image_id != image_id:
            raise HTTPException(400, "Image ID mismatch")
        principal = await self._door.image(request, image_id)
        made = await self._door.use_cases.comments.create(principal, str(image_id), body.text)
        return json_answer(comment_object(made), 201)

    async def listed(self, request: Request, image_id: UUID) -> Response:
        """What was said, oldest first."""
        principal = await self._door.image(request, image_id)
        found = await self._door.use_cases.comments.listed(principal, str(image_id))
        return json_answer([comment_object(one) for one in found])

    async def read(self, request: Request, comment_id: UUID) -> Response:
        """One comment."""
        principal = await self._door.reach(request, image_comments, comment_id)
        found = await self._door.use_cases.comments.get(principal, str(comment_id))
        return json_answer(comment_object(found))

    async def change(self, request: Request, comment_id: UUID, body: CommentText) -> Response:
        """Another text, by the author."""
        principal = await self._door.reach(request, image_comments, comment_id)
        changed = await self._door.use_cases.comments.change(principal, str(comment_id), body.text)
        return json_answer(comment_object(changed))

    async def delete(self, request: Request, comment_id: UUID) -> Response:
        """Take a comment back, by the author."""
        principal = await self._door.reach(request, image_comments, comment_id)
        await self._door.use_cases.comments.delete(principal, str(comment_id))
        return Response(status_code=204)
