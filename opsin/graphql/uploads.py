"""Addresses for the files of external analyses."""

import strawberry

from opsin.core.uploads import ExpectedFile
from opsin.graphql.context import Info
from opsin.graphql.given import plain_text


@strawberry.input(description="A file that a pipeline will send.")
class ArtifactInput:
    name: str
    content_type: str


@strawberry.input
class PresignArtifactsInput:
    analysis_id: strawberry.ID
    artifacts: list[ArtifactInput]


@strawberry.type(description="Where one file is sent with PUT, as the content type it was given.")
class PresignedArtifact:
    name: str
    upload_url: str
    storage_path: str = strawberry.field(description="How annotations name the file.")
    expires_in: int = strawberry.field(description="Seconds.")


async def presign_artifacts(info: Info, input: PresignArtifactsInput) -> list[PresignedArtifact]:
    """An address for each file."""
    wanted = [
        ExpectedFile(
            plain_text(one.name, "name") or "", plain_text(one.content_type, "contentType") or ""
        )
        for one in input.artifacts
    ]
    made = await info.context.use_cases.uploads.presign(
        info.context.principal, input.analysis_id, wanted
    )
    base = info.context.base_url
    return [
        PresignedArtifact(
            name=file.name,
            upload_url=base + file.url if file.url.startswith("/") else file.url,
            storage_path=file.storage_path,
            expires_in=file.expires_in,
        )
        for file in made
    ]
