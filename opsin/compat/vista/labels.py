"""Image classes of projects, and the classifications that people make."""

from uuid import UUID

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from opsin.compat.vista.answers import json_answer
from opsin.compat.vista.door import Door
from opsin.compat.vista.objects import class_object, classification_object
from opsin.compat.vista.routing import Routes
from opsin.storage.curation import image_classes, image_classifications


class ClassCreate(BaseModel):
    name: str = Field(min_length=1, max_length=255)
    description: str | None = None
    project_id: UUID | None = None


class ClassChange(BaseModel):
    name: str | None = Field(None, min_length=1, max_length=255)
    description: str | None = None


class ClassificationCreate(BaseModel):
    class_id: UUID
    image_id: UUID | None = None


class LabelRoutes:
    """`/projects/{id}/classes`, `/classes/{id}`, `/images/{id}/classifications`, ..."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def add_to(self, routes: Routes) -> None:
        tag, of_project, one = "classes", "/projects/{project_id}/classes", "/classes/{class_id}"
        routes.add("POST", of_project, self.create, status=201, tag=tag)
        routes.add("GET", of_project, self.listed, tag=tag)
        routes.add("GET", one, self.read, tag=tag)
        routes.add("PATCH", one, self.change, tag=tag)
        routes.add("DELETE", one, self.delete, status=204, tag=tag)
        of_image = "/images/{image_id}/classifications"
        routes.add("POST", of_image, self.classify, status=201, tag=tag)
        routes.add("GET", of_image, self.classifications, tag=tag)
        single = "/classifications/{classification_id}"
        routes.add("DELETE", single, self.declassify, status=204, tag=tag)

    async def create(self, request: Request, project_id: UUID, body: ClassCreate) -> Response:
        """A new class of a project."""
        if body.project_id is not None and body.project_id != project_id:
            raise HTTPException(400, "Project ID mismatch")
        principal = await self._door.project(request, project_id)
        made = await self._door.use_cases.image_classes.create(
            principal, str(project_id), body.name, body.description
        )
        return json_answer(class_object(made), 201)

    async def listed(self, request: Request, project_id: UUID) -> Response:
        """The classes of a project."""
        principal = await self._door.project(request, project_id)
        found = await self._door.use_cases.image_classes.listed(principal, str(project_id))
        return json_answer([class_object(one) for one in found])

    async def read(self, request: Request, class_id: UUID) -> Response:
        """One class."""
        principal = await self._door.reach(request, image_classes, class_id)
        found = await self._door.use_cases.image_classes.get(principal, str(class_id))
        return json_answer(class_object(found))

    async def change(self, request: Request, class_id: UUID, body: ClassChange) -> Response:
        """Another name or description."""
        principal = await self._door.reach(request, image_classes, class_id)
        changed = await self._door.use_cases.image_classes.change(
            principal, str(class_id), body.model_dump(exclude_unset=True)
        )
        return json_answer(class_object(changed))

    async def delete(self, request: Request, class_id: UUID) -> Response:
        """Delete a class that no image has."""
        principal = await self._door.reach(request, image_classes, class_id)
        await self._door.use_cases.image_classes.delete(principal, str(class_id))
        return Response(status_code=204)

    async def classify(
        self, request: Request, image_id: UUID, body: ClassificationCreate
    ) -> Response:
        """Give an image a class."""
        if body.image_id is not None and body.image_id != image_id:
            raise HTTPException(400, "Image ID mismatch")
        principal = await self._door.image(request, image_id)
        made = await self._door.use_cases.image_classes.classify(
            principal, str(image_id), str(body.class_id)
        )
        return json_answer(classification_object(made), 201)

    async def classifications(self, request: Request, image_id: UUID) -> Response:
        """The classes that an image was given."""
        principal = await self._door.image(request, image_id)
        found = await self._door.use_cases.image_classes.classifications(principal, str(image_id))
        return json_answer([classification_object(one) for one in found])

    async def declassify(self, request: Request, classification_id: UUID) -> Response:
        """Take a classification back."""
        principal = await self._door.reach(request, image_classifications, classification_id)
        await self._door.use_cases.image_classes.declassify(
            principal,
            str(classification_id),
            is_admin=self._door.caller(request).is_administrator,
        )
        return Response(status_code=204)
