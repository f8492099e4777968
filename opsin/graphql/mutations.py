"""Every change that does not depend on which operations there are."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import strawberry
from starlette.datastructures import UploadFile
from strawberry.scalars import JSON
from strawberry.types.arguments import InputContext
from strawberry.types.base import get_object_definition
from strawberry.utils.str_converters import to_camel_case

from opsin.core.analyses import NewExternalAnalysis
from opsin.core.checked_annotations import CheckedAnnotations
from opsin.core.contract import Annotation as NewAnnotation
from opsin.core.errors import InvalidInput
from opsin.core.images import NewImage
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.roles import Role
from opsin.graphql.analyses import Analysis
from opsin.graphql.context import Info
from opsin.graphql.given import json_object, plain_text
from opsin.graphql.images import Image
from opsin.graphql.roles import ApiKey
from opsin.graphql.uploads import PresignArtifactsInput, PresignedArtifact, presign_artifacts

_SIDE = "The name of a side; by default the first of the dataset's image type."
_LIGHT = "The name of a light; likewise."
_TAKEN_AT = "By default when its batch was taken, or now."


@strawberry.input(description="A file sent with the multipart request specification.")
class UploadImageInput:
    dataset_id: strawberry.ID
    file: UploadFile
    filename: str | None = strawberry.field(default=None, description="Default: the file's own.")
    subject_id: strawberry.ID | None = None
    batch_id: strawberry.ID | None = None
    side: str | None = strawberry.field(default=None, description=_SIDE)
    light: str | None = strawberry.field(default=None, description=_LIGHT)
    taken_at: datetime | None = strawberry.field(default=None, description=_TAKEN_AT)
    metadata: JSON | None = None


@strawberry.input(description="A picture to fetch from a public address, or given as base64.")
class ImportImageInput:
    dataset_id: strawberry.ID
    url: str | None = None
    base64: str | None = None
    filename: str | None = None
    subject_id: strawberry.ID | None = None
    batch_id: strawberry.ID | None = None
    side: str | None = strawberry.field(default=None, description=_SIDE)
    light: str | None = strawberry.field(default=None, description=_LIGHT)
    taken_at: datetime | None = strawberry.field(default=None, description=_TAKEN_AT)
    metadata: JSON | None = None


@strawberry.input(description="A run of a model elsewhere.")
class CreateAnalysisInput:
    image_id: strawberry.ID
    model_name: str
    model_version: str
    parameters: JSON | None = None
    provenance: JSON | None = None
    priority: int = 0


@strawberry.input
class UpdateAnalysisStatusInput:
    analysis_id: strawberry.ID
    status: AnalysisStatus
    error_message: str | None = None


@strawberry.input
class FinalizeAnalysisInput:
    analysis_id: strawberry.ID
    status: AnalysisStatus = AnalysisStatus.COMPLETED
    error_message: str | None = None
    summary: JSON | None = None


@strawberry.input(description="One finding; see the documentation for what `data` holds.")
class AnnotationInput:
    annotation_type: str
    data: JSON
    class_name: str | None = None
    confidence: float | None = None
    storage_path: str | None = None
    ordering: int | None = None


_ANNOTATION_FIELDS = {to_camel_case(name): name for name in NewAnnotation.model_fields}


def _annotation_values(_kind: type, given: Mapping[str, Any], _context: object) -> dict[str, Any]:
    return {_ANNOTATION_FIELDS[name]: value for name, value in given.items()}


# Thousands come in one request: GraphQL's dictionaries go straight to the model that checks them.
get_object_definition(AnnotationInput, strict=True).from_input = _annotation_values


@strawberry.input
class AddAnnotationsInput:
    analysis_id: strawberry.ID
    annotations: list[AnnotationInput]


def _annotations_to_add(kind: type, given: Mapping[str, Any], context: InputContext) -> Any:
    found = given["annotations"]
    if not isinstance(found, CheckedAnnotations):  # of a variable in which all was right
        found = [_annotation_values(kind, annotation, context) for annotation in found]
    return kind(analysis_id=given["analysisId"], annotations=found)


get_object_definition(AddAnnotationsInput, strict=True).from_input = _annotations_to_add


@strawberry.type
class AddAnnotationsPayload:
    analysis: Analysis
    created_count: int


@strawberry.type(description="The only time the key is shown.")
class CreateApiKeyPayload:
    api_key: ApiKey
    key: str


@strawberry.type
class DeletePayload:
    deleted_id: strawberry.ID


@strawberry.type
class Mutation:
    @strawberry.mutation(description="Store a picture sent with this request.")
    async def upload_image(self, info: Info, input: UploadImageInput) -> Image:
        new = _new_image(info, input, input.filename or input.file.filename or "")
        made = await info.context.use_cases.images.add(info.context.principal, new, input.file.file)
        return Image.of(made)

    @strawberry.mutation(description="Store a picture from a public address or from base64 text.")
    async def import_image(self, info: Info, input: ImportImageInput) -> Image:
        images = info.context.use_cases.images
        new = _new_image(info, input, input.filename or "")
        if input.url is not None and input.base64 is None:
            made = await images.import_url(info.context.principal, new, input.url)
        elif input.base64 is not None and input.url is None:
            made = await images.import_base64(info.context.principal, new, input.base64)
        else:
            raise InvalidInput("Give exactly one of url and base64")
        return Image.of(made)

    @strawberry.mutation(description="Delete an image for good, with its analyses and annotations.")
    async def delete_image(self, info: Info, id: strawberry.ID) -> DeletePayload:
        deleted = await info.context.use_cases.images.delete(info.context.principal, id)
        return DeletePayload(deleted_id=strawberry.ID(deleted))

    @strawberry.mutation(description="Tell of a model that is run elsewhere; starts as QUEUED.")
    async def create_analysis(self, info: Info, input: CreateAnalysisInput) -> Analysis:
        new = NewExternalAnalysis(
            image_id=input.image_id,
            model_name=input.model_name,
            model_version=input.model_version,
            parameters=json_object(input.parameters, "parameters"),
            provenance=json_object(input.provenance, "provenance"),
            priority=input.priority,
        )
        return Analysis.of(await info.context.use_cases.analyses.tell(info.context.principal, new))

    @strawberry.mutation(description="Move an external analysis on.")
    async def update_analysis_status(
        self, info: Info, input: UpdateAnalysisStatusInput
    ) -> Analysis:
        changed = await info.context.use_cases.analyses.update_status(
            info.context.principal,
            input.analysis_id,
            input.status,
            plain_text(input.error_message, "errorMessage"),
        )
        return Analysis.of(changed)

    @strawberry.mutation(description="Append findings to an external analysis, all or none.")
    async def add_annotations(
        self, info: Info, input: AddAnnotationsInput
    ) -> AddAnnotationsPayload:
        analysis, count = await info.context.use_cases.annotations.add(
            info.context.principal, input.analysis_id, input.annotations
        )
        return AddAnnotationsPayload(analysis=Analysis.of(analysis), created_count=count)

    @strawberry.mutation(description="Addresses that take a file of an external analysis each.")
    async def presign_artifacts(
        self, info: Info, input: PresignArtifactsInput
    ) -> list[PresignedArtifact]:
        return await presign_artifacts(info, input)

    @strawberry.mutation(description="End an external analysis.")
    async def finalize_analysis(self, info: Info, input: FinalizeAnalysisInput) -> Analysis:
        changed = await info.context.use_cases.analyses.finalize(
            info.context.principal,
            input.analysis_id,
            input.status,
            error_message=plain_text(input.error_message, "errorMessage"),
            summary=json_object(input.summary, "summary"),
        )
        return Analysis.of(changed)

    @strawberry.mutation(description="Stop an analysis that has not ended.")
    async def cancel_analysis(self, info: Info, id: strawberry.ID) -> Analysis:
        changed = await info.context.use_cases.analyses.cancel(info.context.principal, id)
        return Analysis.of(changed)

    @strawberry.mutation(description="Queue a failed or cancelled analysis again.")
    async def retry_analysis(self, info: Info, id: strawberry.ID) -> Analysis:
        changed = await info.context.use_cases.analyses.retry(info.context.principal, id)
        return Analysis.of(changed)

    @strawberry.mutation(
        description="A key of the company, for administrators: with this role in all of it, or in "
        "the datasets that are named. It never does more than the account that made it."
    )
    async def create_api_key(
        self,
        info: Info,
        name: str,
        role: Role = Role.ADMIN,
        dataset_ids: list[strawberry.ID] | None = None,
        expires_at: datetime | None = None,
    ) -> CreateApiKeyPayload:
        record, key = await info.context.use_cases.api_keys.create(
            info.context.principal,
            name,
            role=role,
            dataset_ids=dataset_ids or (),
            expires_at=expires_at,
        )
        return CreateApiKeyPayload(api_key=ApiKey.of(record), key=key)

    @strawberry.mutation(description="End a key at once.")
    async def revoke_api_key(self, info: Info, id: strawberry.ID) -> ApiKey:
        return ApiKey.of(await info.context.use_cases.api_keys.revoke(info.context.principal, id))


def _new_image(info: Info, input: UploadImageInput | ImportImageInput, filename: str) -> NewImage:
    return NewImage(
        dataset_id=input.dataset_id,
        filename=filename,
        subject_id=input.subject_id,
        batch_id=input.batch_id,
        side=input.side,
        light=input.light,
        taken_at=input.taken_at,
        metadata=json_object(input.metadata, "metadata") or {},
        uploaded_by=info.context.principal.name[:320],
    )
