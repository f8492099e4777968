"""The mutations of applications and of their runs on datasets."""

from typing import Any

import strawberry
from strawberry.scalars import JSON

from opsin.core.applications.applications import ApplicationChanges, NewApplication
from opsin.core.changes import UNCHANGED
from opsin.core.contract import Step
from opsin.graphql.applications import Application
from opsin.graphql.context import Info
from opsin.graphql.given import json_object
from opsin.graphql.mutations import DeletePayload
from opsin.graphql.runs import Run


@strawberry.input(description="One operation of an application.")
class ApplicationStepInput:
    operation: str
    key: str | None = strawberry.field(
        default=None, description="Unique in its application; by default the operation's name."
    )
    params: JSON | None = None
    requires: list[str] | None = strawberry.field(
        default=None, description="Keys of steps without which it makes no sense."
    )

    def to_step(self) -> Step:
        return Step(
            key=self.operation if self.key is None else self.key,
            operation=self.operation,
            params=json_object(self.params, "params") or {},
            requires=tuple(self.requires or ()),
        )


@strawberry.input
class CreateApplicationInput:
    name: str = strawberry.field(description="Unique among those that the company sees.")
    steps: list[ApplicationStepInput]
    title: str | None = strawberry.field(default=None, description="By default the name.")
    description: str = ""
    image_type: str | None = strawberry.field(
        default=None, description="The name of the only image type that it is for."
    )


@strawberry.input(description="What is not given stays; a null image type takes it away.")
class UpdateApplicationInput:
    id: strawberry.ID
    name: str | None = None
    steps: list[ApplicationStepInput] | None = strawberry.field(
        default=None, description="In place of those that are there, for images to come."
    )
    title: str | None = None
    description: str | None = None
    image_type: str | None = strawberry.UNSET

    def changes(self) -> ApplicationChanges:
        image_type: Any = self.image_type
        return ApplicationChanges(
            name=self.name,
            steps=None if self.steps is None else [one.to_step() for one in self.steps],
            title=self.title,
            description=self.description,
            image_type=UNCHANGED if image_type is strawberry.UNSET else image_type,
        )


@strawberry.input
class AttachApplicationInput:
    application_id: strawberry.ID
    dataset_id: strawberry.ID
    steps: list[str] | None = strawberry.field(
        default=None, description="Keys of the steps to do; by default all."
    )


@strawberry.type
class ApplicationMutation:
    @strawberry.mutation(description="Make a named set of operations.")
    async def create_application(self, info: Info, input: CreateApplicationInput) -> Application:
        new = NewApplication(
            name=input.name,
            steps=[one.to_step() for one in input.steps],
            title=input.title or "",
            description=input.description,
            image_type=input.image_type,
        )
        context = info.context
        made = await context.use_cases.applications.create(context.principal, new)
        return Application.of(context, made)

    @strawberry.mutation(description="Change one of the company's own; images to come go by it.")
    async def update_application(self, info: Info, input: UpdateApplicationInput) -> Application:
        context = info.context
        changed = await context.use_cases.applications.update(
            context.principal, input.id, input.changes()
        )
        return Application.of(context, changed)

    @strawberry.mutation(description="Delete one of the company's own that no dataset has.")
    async def delete_application(self, info: Info, id: strawberry.ID) -> DeletePayload:
        deleted = await info.context.use_cases.applications.delete(info.context.principal, id)
        return DeletePayload(deleted_id=strawberry.ID(deleted))

    @strawberry.mutation(
        description="Have a dataset's images analysed: those that come, and at first those that "
        "are there.  Once more: the same run, with these steps, for images to come."
    )
    async def attach_application(self, info: Info, input: AttachApplicationInput) -> Run:
        made = await info.context.use_cases.runs.attach(
            info.context.principal, input.application_id, input.dataset_id, input.steps
        )
        return Run.of(made)

    @strawberry.mutation(
        description="Analyse no more images; what was asked goes on, and results stay."
    )
    async def detach_application(self, info: Info, run_id: strawberry.ID) -> Run:
        detached = await info.context.use_cases.runs.detach(info.context.principal, run_id)
        return Run.of(detached)
