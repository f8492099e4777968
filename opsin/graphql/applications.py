"""Applications as GraphQL shows them: those of plugins, known from code, and stored ones."""

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Self, cast

import strawberry
from strawberry.scalars import JSON

from opsin.core.applications.records import APPLICATIONS, ApplicationInfo, steps_of
from opsin.core.contract import Step
from opsin.graphql.capture import ImageType, image_type_of
from opsin.graphql.compiler.rules import Beside, Computed
from opsin.graphql.context import Context, Info
from opsin.storage.applications import applications


@strawberry.type(description="One operation of an application.")
class ApplicationStep:
    key: str = strawberry.field(description="Unique in its application; `taskId` of its analyses.")
    operation: str
    params: JSON
    requires: list[str] = strawberry.field(
        description="Keys of steps that come before it, and without which it fails at once."
    )
    available: bool = strawberry.field(description="Whether its operation can be run here.")
    unavailable_reason: str | None = strawberry.field(
        description="What is missing, and the command that gets it."
    )


@strawberry.type(
    description="A named set of operations: attached to a dataset, it analyses what arrives."
)
class Application:
    id: strawberry.ID
    name: str = strawberry.field(description="Unique among those that the company sees.")
    title: str
    description: str
    image_type: ImageType | None = strawberry.field(
        description="The only one that it is for; null: any."
    )
    steps: list[ApplicationStep]
    own: bool = strawberry.field(
        description="Whether the company made it, and may change it; else it comes with the server."
    )
    created_at: datetime | None = strawberry.field(description="Of the company's own only.")
    updated_at: datetime | None = strawberry.field(description="Of the company's own only.")

    @classmethod
    def of(cls, context: Context, info: ApplicationInfo) -> Self:
        return cls(
            id=strawberry.ID(info.id),
            name=info.name,
            title=info.title,
            description=info.description,
            image_type=image_type_of(context, info.image_type),
            steps=[shown_step(context, step) for step in info.steps],
            own=info.company_id is not None,
            created_at=info.created_at,
            updated_at=info.updated_at,
        )


class _ShownStep:
    """Has the members of ApplicationStep; whether it is available is found out when asked for."""

    def __init__(self, context: Context, step: Step) -> None:
        self._context = context
        self._step = step
        self.key = step.key
        self.operation = step.operation
        self.params = dict(step.params)
        self.requires = list(step.requires)

    @property
    def available(self) -> bool:
        return self.unavailable_reason is None

    @cached_property
    def unavailable_reason(self) -> str | None:
        return self._context.use_cases.applications.unavailable_reason(self._step)


def shown_step(context: Context, step: Step) -> ApplicationStep:
    return cast("ApplicationStep", _ShownStep(context, step))


def shown_application(
    context: Context, application_id: str, stored: Sequence[Any] | None
) -> Application | None:
    """The application of a run; None for one that is declared and stored no more.

    `stored` has the columns of the company's own.
    """
    declared = context.use_cases.applications.declared_one(application_id)
    if declared is not None:
        return Application.of(context, declared)
    if stored is None:
        return None
    values = dict(zip(_COLUMNS, stored, strict=True))
    info = ApplicationInfo(
        id=application_id,
        company_id=context.principal.company_id,
        steps=steps_of(values.pop("steps")),
        created_at=datetime.fromisoformat(values.pop("created_at")),
        updated_at=datetime.fromisoformat(values.pop("updated_at")),
        **values,
    )
    return Application.of(context, info)


async def read_application(info: Info, application_id: str) -> Application | None:
    """The same for a resolver."""
    context = info.context
    declared = context.use_cases.applications.declared_one(application_id)
    if declared is not None:
        return Application.of(context, declared)
    found = await context.loaders.by_id(APPLICATIONS, application_id)
    return None if found is None else Application.of(context, found.info)


_COLUMNS = ("name", "title", "description", "image_type", "steps", "created_at", "updated_at")

APPLICATION = Computed(
    (
        "application_id",
        Beside(applications, _COLUMNS, {"id": "application_id"}, order="id"),
    ),
    shown_application,
)
"""How `Run.application` is read."""


@strawberry.type
class ApplicationQuery:
    @strawberry.field(
        description="What the company can attach: the server's applications, then its own."
    )
    async def applications(self, info: Info) -> list[Application]:
        context = info.context
        found = await context.use_cases.applications.listed(context.principal)
        return [Application.of(context, one) for one in found]

    @strawberry.field
    async def application(self, info: Info, id: strawberry.ID) -> Application | None:
        context = info.context
        found = await context.use_cases.applications.find(context.principal, id)
        return None if found is None else Application.of(context, found)
