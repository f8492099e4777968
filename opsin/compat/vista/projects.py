"""Projects: the datasets of the caller's groups."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from opsin.compat.vista.analyses import Offset
from opsin.compat.vista.answers import json_answer
from opsin.compat.vista.callers import Caller
from opsin.compat.vista.door import Door
from opsin.compat.vista.objects import project_object
from opsin.compat.vista.routing import Routes
from opsin.core.access import Principal

Limit = Annotated[int, Query(ge=0, le=100_000)]


class ProjectCreate(BaseModel):
    name: str = Field(min_length=1, max_length=255)
    description: str | None = None
    meta_group_id: str = Field(min_length=1, max_length=255)


class ProjectRoutes:
    """`/projects` and `/projects/{id}`."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def add_to(self, routes: Routes) -> None:
        tag = "projects"
        routes.add("POST", "/projects", self.create, status=201, tag=tag)
        routes.add("GET", "/projects", self.listed, tag=tag)
        routes.add("GET", "/projects/{project_id}", self.read, tag=tag)

    async def create(self, request: Request, body: ProjectCreate) -> Response:
        """A new project of one of the caller's groups."""
        caller = self._door.caller(request)
        principal, company_name = await self._group(caller, body.meta_group_id)
        other = body.meta_group_id if body.meta_group_id != company_name else None
        made = await self._door.use_cases.datasets.create(
            principal, body.name, body.description or "", group_name=other
        )
        return json_answer(project_object(made, company_name), 201)

    async def listed(self, request: Request, skip: Offset = 0, limit: Limit = 100) -> Response:
        """The projects of the caller's groups, oldest first."""
        caller = self._door.caller(request)
        found = await self._door.use_cases.datasets.listed(
            caller.principals(), skip=skip, limit=limit
        )
        return json_answer([project_object(dataset, name) for dataset, name in found])

    async def read(self, request: Request, project_id: UUID) -> Response:
        """One project."""
        principal = await self._door.project(request, project_id)
        use_cases = self._door.use_cases
        dataset = await use_cases.datasets.get(principal, str(project_id))
        company = await use_cases.access.company(principal)
        return json_answer(project_object(dataset, company.name))

    async def _group(self, caller: Caller, name: str) -> tuple[Principal, str]:
        """The caller in the group of this name, and its company's; in dev mode all are there."""
        for company_id, known in caller.groups.items():
            principal = caller.principal(company_id)
            company = known or (await self._door.use_cases.access.company(principal)).name
            if company == name:
                return principal, company
        if caller.is_dev:
            company = (await self._door.use_cases.access.company(caller.home)).name
            return caller.home, company
        raise HTTPException(403, f"You are no member of the group '{name}'")
