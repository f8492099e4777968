"""Images like another or like a text, and near-duplicates, as GraphQL shows them."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import strawberry

from opsin.core import analyses as core_analyses
from opsin.core import images as core_images
from opsin.core.contract import Target
from opsin.core.errors import InvalidInput
from opsin.core.similarity.near_duplicates import NearDuplicate as Near
from opsin.core.soft_deletion import is_deleted
from opsin.graphql.analyses import Analysis
from opsin.graphql.context import Info
from opsin.graphql.images import Image

if TYPE_CHECKING:
    from opsin.core.similarity.ranking import Match

Found = TypeVar("Found", "Match", Near)

DEFAULT_FIRST = 10
_HASHING = "perceptual_hash"
_NEAR = 10  # bits of 64: what is beyond is another picture as a rule


@strawberry.type(description="An image and how like it is to what was asked for.")
class SimilarImage:
    image: Image
    similarity: float = strawberry.field(description="The cosine of both vectors, -1 to 1.")
    analysis: Analysis = strawberry.field(description="The one that gave the image's vector.")


@strawberry.type(description="An image that nearly equals another.")
class NearDuplicate:
    image: Image
    distance: int = strawberry.field(
        description="Bits, of 64, in which the hashes of both differ; of several hashes the most."
    )
    analysis: Analysis = strawberry.field(description="The one that gave the image's hashes.")


@strawberry.type
class SimilarQuery:
    @strawberry.field(
        description="Images by the cosine of their newest embedding with that of a stored image, "
        "the nearest first. Analyze both with the operation first."
    )
    async def similar_images(
        self,
        info: Info,
        image_id: strawberry.ID,
        operation: str,
        first: int = DEFAULT_FIRST,
        dataset_id: strawberry.ID | None = None,
        target: Target | None = None,
    ) -> list[SimilarImage]:
        found = await info.context.use_cases.similar_images.to_image(
            info.context.principal,
            image_id,
            operation,
            most=_checked(info, first),
            target=target,
            dataset_id=dataset_id,
        )
        return await _similar(info, found)

    @strawberry.field(
        description="Images that show what a text says, by the cosine of their newest embedding "
        "with the text's, the nearest first. The operation needs a model that embeds texts too."
    )
    async def images_like(
        self,
        info: Info,
        text: str,
        operation: str,
        first: int = DEFAULT_FIRST,
        dataset_id: strawberry.ID | None = None,
        target: Target | None = None,
    ) -> list[SimilarImage]:
        found = await info.context.use_cases.similar_images.to_text(
            info.context.principal,
            text,
            operation,
            most=_checked(info, first),
            target=target,
            dataset_id=dataset_id,
        )
        return await _similar(info, found)

    @strawberry.field(
        description="Images whose newest hashes differ from those of a stored image in at most "
        "`maxDistance` bits of 64, the nearest first. Analyze both with the operation first."
    )
    async def near_duplicates(
        self,
        info: Info,
        image_id: strawberry.ID,
        max_distance: int = _NEAR,
        first: int = DEFAULT_FIRST,
        dataset_id: strawberry.ID | None = None,
        target: Target | None = None,
        operation: str = _HASHING,
    ) -> list[NearDuplicate]:
        found = await info.context.use_cases.near_duplicates.of(
            info.context.principal,
            image_id,
            operation,
            most=_checked(info, first),
            max_distance=max_distance,
            target=target,
            dataset_id=dataset_id,
        )
        return [
            NearDuplicate(image=image, distance=near.distance, analysis=analysis)
            for near, image, analysis in await _shown(info, found)
        ]


def _checked(info: Info, first: int) -> int:
    most = info.context.max_page
    if not 0 <= first <= most:
        raise InvalidInput(f"first must be from 0 to {most}")
    return first


async def _similar(info: Info, found: "Sequence[Match]") -> list[SimilarImage]:
    return [
        SimilarImage(image=image, similarity=match.similarity, analysis=analysis)
        for match, image, analysis in await _shown(info, found)
    ]


async def _shown(info: Info, found: Sequence[Found]) -> list[tuple[Found, Image, Analysis]]:
    """What was found with its image and analysis, unless they were deleted since."""
    loaders = info.context.loaders
    images, analyses = await asyncio.gather(
        asyncio.gather(*(loaders.by_id(core_images.LISTING, one.image_id) for one in found)),
        asyncio.gather(*(loaders.by_id(core_analyses.LISTING, one.analysis_id) for one in found)),
    )
    return [
        (one, Image.of(image), Analysis.of(analysis))
        for one, image, analysis in zip(found, images, analyses, strict=True)
        if image is not None and analysis is not None
        if not is_deleted(core_images.LISTING.table, image)
    ]
