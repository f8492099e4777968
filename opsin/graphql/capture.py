"""Image types as GraphQL shows them: what pictures are of, from which sides, in which light."""

from typing import Self

import strawberry

from opsin.core import capture as core
from opsin.core.errors import InvalidInput
from opsin.graphql.compiler.rules import Computed
from opsin.graphql.context import Context


@strawberry.type(description="From where a picture shows its subject.")
class ImageSide:
    number: int
    name: str = strawberry.field(description="As `side` of an image has it.")
    title: str


@strawberry.type(description="In which light a picture is taken.")
class ImageLight:
    number: int
    name: str = strawberry.field(description="As `light` of an image has it.")
    title: str


@strawberry.type(description="What the pictures of a dataset are, and how they are taken.")
class ImageType:
    number: int
    name: str = strawberry.field(description="As inputs have it.")
    title: str
    sides: list[ImageSide] = strawberry.field(
        description="The first is that of a picture of which nothing is said."
    )
    lights: list[ImageLight] = strawberry.field(description="Likewise.")
    one_per_batch: bool = strawberry.field(description="Whether a batch has one picture only.")

    @classmethod
    def of(cls, one: core.ImageType) -> Self:
        return cls(
            number=one.number,
            name=one.name,
            title=one.title,
            sides=[ImageSide(number=s.number, name=s.name, title=s.title) for s in one.sides],
            lights=[
                ImageLight(number=li.number, name=li.name, title=li.title) for li in one.lights
            ],
            one_per_batch=one.one_per_batch,
        )


@strawberry.type
class CaptureQuery:
    @strawberry.field(description="What a dataset's pictures can be said to be.")
    def image_types(self) -> list[ImageType]:
        return [ImageType.of(one) for one in core.IMAGE_TYPES]


def image_type_of(_context: Context, name: str | None) -> ImageType | None:
    """The image type of a dataset; None for one without, or with one that is known no more."""
    if name is None:
        return None
    try:
        return ImageType.of(core.image_type(name))
    except InvalidInput:
        return None


IMAGE_TYPE = Computed(("image_type",), image_type_of)
"""How `Dataset.imageType` is read."""
