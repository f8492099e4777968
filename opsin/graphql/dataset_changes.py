"""The mutations of datasets, subjects and batches."""

from datetime import date, datetime
from typing import Any

import strawberry
from strawberry.scalars import JSON

from opsin.core.changes import UNCHANGED
from opsin.core.datasets import DatasetChanges, RetentionPolicy
from opsin.core.errors import InvalidInput
from opsin.core.subjects import NewSubject, SubjectChanges
from opsin.graphql.context import Info
from opsin.graphql.datasets import Dataset
from opsin.graphql.given import json_object
from opsin.graphql.mutations import DeletePayload
from opsin.graphql.subjects import Batch, Subject


@strawberry.input(description="How long files and results are kept; null: until they are deleted.")
class RetentionInput:
    expire_files_after_days: int | None = strawberry.field(
        default=strawberry.UNSET, description="1 to 365."
    )
    expire_results_after_days: int | None = strawberry.field(
        default=strawberry.UNSET, description="1 to 365."
    )
    delete_files_when_ready: bool | None = strawberry.field(
        default=strawberry.UNSET, description="Null is false."
    )

    def given(self) -> dict[str, Any]:
        """What is named, by name."""
        found = {name: value for name, value in vars(self).items() if value is not strawberry.UNSET}
        if "delete_files_when_ready" in found:
            found["delete_files_when_ready"] = bool(found["delete_files_when_ready"])
        return found


@strawberry.input
class CreateDatasetInput:
    name: str = strawberry.field(description="Need not be unique.")
    description: str = ""
    image_type: str | None = strawberry.field(
        default=None, description="The name of one of `imageTypes`; null: nothing is said."
    )
    retention: RetentionInput | None = None
    branding: int | None = strawberry.field(
        default=None, description="A number that is kept with it."
    )


@strawberry.input(description="What is not given stays; null takes away what may be missing.")
class UpdateDatasetInput:
    id: strawberry.ID
    name: str | None = strawberry.UNSET
    description: str | None = strawberry.UNSET
    image_type: str | None = strawberry.UNSET
    retention: RetentionInput | None = strawberry.field(
        default=strawberry.UNSET, description="Of it, too, what is not given stays."
    )
    branding: int | None = strawberry.UNSET

    def changes(self) -> DatasetChanges:
        retention: dict[str, Any] = {}
        if self.retention is None:
            retention = {name: None for name in RetentionPolicy.__dataclass_fields__}
            retention["delete_files_when_ready"] = False
        elif self.retention is not strawberry.UNSET:
            retention = self.retention.given()
        return DatasetChanges(
            name=_required(self.name, "name"),
            description=_required(self.description, "description"),
            image_type=_change(self.image_type),
            branding=_change(self.branding),
            **retention,
        )


@strawberry.input
class CreateSubjectInput:
    dataset_id: strawberry.ID
    name: str = strawberry.field(description="Need not be unique.")
    birth_date: date | None = None
    sex: str | None = strawberry.field(default=None, description="male or female.")
    attributes: JSON | None = strawberry.field(default=None, description="An object.")


@strawberry.input(description="What is not given stays; null takes away what may be missing.")
class UpdateSubjectInput:
    id: strawberry.ID
    name: str | None = strawberry.UNSET
    birth_date: date | None = strawberry.UNSET
    sex: str | None = strawberry.UNSET
    attributes: JSON | None = strawberry.field(
        default=strawberry.UNSET, description="An object, in place of the one that is there."
    )

    def changes(self) -> SubjectChanges:
        attributes: Any = UNCHANGED
        if self.attributes is not strawberry.UNSET:
            attributes = json_object(self.attributes, "attributes") or {}
        return SubjectChanges(
            name=_required(self.name, "name"),
            birth_date=_change(self.birth_date),
            sex=_change(self.sex),
            attributes=attributes,
        )


@strawberry.input(description="Subjects of one dataset.")
class SubjectsInput:
    dataset_id: strawberry.ID
    ids: list[strawberry.ID]


@strawberry.input(description="Of a dataset, or of one of its subjects.")
class CreateBatchInput:
    dataset_id: strawberry.ID
    subject_id: strawberry.ID | None = None
    name: str = ""
    taken_at: datetime | None = strawberry.field(
        default=None, description="When its images were taken, as far as they do not say."
    )


@strawberry.type
class DeleteSubjectsPayload:
    deleted_ids: list[strawberry.ID]


@strawberry.type
class DeleteSubjectFilesPayload:
    deleted_count: int = strawberry.field(description="Of how many images the files were deleted.")


@strawberry.type
class DatasetMutation:
    @strawberry.mutation
    async def create_dataset(self, info: Info, input: CreateDatasetInput) -> Dataset:
        made = await info.context.use_cases.datasets.create(
            info.context.principal,
            input.name,
            input.description,
            image_type=input.image_type,
            retention=RetentionPolicy(**input.retention.given()) if input.retention else None,
            branding=input.branding,
        )
        return Dataset.of(made)

    @strawberry.mutation(
        description="Change a dataset; its retention counts for what is there, too."
    )
    async def update_dataset(self, info: Info, input: UpdateDatasetInput) -> Dataset:
        changed = await info.context.use_cases.datasets.update(
            info.context.principal, input.id, input.changes()
        )
        return Dataset.of(changed)

    @strawberry.mutation(description="Delete a dataset for good, with all that is in it.")
    async def delete_dataset(self, info: Info, id: strawberry.ID) -> DeletePayload:
        deleted = await info.context.use_cases.datasets.delete(info.context.principal, id)
        return DeletePayload(deleted_id=strawberry.ID(deleted.id))

    @strawberry.mutation
    async def create_subject(self, info: Info, input: CreateSubjectInput) -> Subject:
        new = NewSubject(
            name=input.name,
            birth_date=input.birth_date,
            sex=input.sex,
            attributes=json_object(input.attributes, "attributes") or {},
        )
        subjects = info.context.use_cases.subjects
        return Subject.of(await subjects.create(info.context.principal, input.dataset_id, new))

    @strawberry.mutation
    async def update_subject(self, info: Info, input: UpdateSubjectInput) -> Subject:
        changed = await info.context.use_cases.subjects.update(
            info.context.principal, None, input.id, input.changes()
        )
        return Subject.of(changed)

    @strawberry.mutation(
        description="Delete subjects for good, all or none, with their batches, images and results."
    )
    async def delete_subjects(self, info: Info, input: SubjectsInput) -> DeleteSubjectsPayload:
        deleted = await info.context.use_cases.subjects.delete(
            info.context.principal, input.dataset_id, input.ids
        )
        return DeleteSubjectsPayload(deleted_ids=[strawberry.ID(one.id) for one in deleted])

    @strawberry.mutation(description="Delete the files of all their images; results stay.")
    async def delete_subject_files(
        self, info: Info, input: SubjectsInput
    ) -> DeleteSubjectFilesPayload:
        count = await info.context.use_cases.subjects.delete_files(
            info.context.principal, input.dataset_id, input.ids
        )
        return DeleteSubjectFilesPayload(deleted_count=count)

    @strawberry.mutation(
        description="Forget who they are: name, date of birth, sex, attributes; all else stays."
    )
    async def clear_subjects(self, info: Info, input: SubjectsInput) -> list[Subject]:
        cleared = await info.context.use_cases.subjects.clear(
            info.context.principal, input.dataset_id, input.ids
        )
        return [Subject.of(one) for one in cleared]

    @strawberry.mutation
    async def create_batch(self, info: Info, input: CreateBatchInput) -> Batch:
        made = await info.context.use_cases.batches.create(
            info.context.principal,
            input.dataset_id,
            input.subject_id,
            input.taken_at,
            name=input.name,
        )
        return Batch.of(made)

    @strawberry.mutation(description="Delete a batch for good, with its images and their results.")
    async def delete_batch(self, info: Info, id: strawberry.ID) -> DeletePayload:
        deleted = await info.context.use_cases.batches.delete(info.context.principal, id)
        return DeletePayload(deleted_id=strawberry.ID(deleted.id))


def _change(value: Any) -> Any:
    return UNCHANGED if value is strawberry.UNSET else value


def _required(value: Any, name: str) -> Any:
    """The same for what may not be missing."""
    if value is None:
        raise InvalidInput(f"{name} may be left out, but not be null")
    return _change(value)
