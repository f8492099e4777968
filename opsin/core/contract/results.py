"""What a caller may choose, and what an operation found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from opsin.core.contract.regions import Box, FaceContext, Target


class Annotation(BaseModel):
    """One finding inside an analysis, as derived from a result or told by an external pipeline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    annotation_type: Annotated[str, Field(min_length=3, max_length=50)]
    data: dict[str, JsonValue]
    class_name: Annotated[str, Field(max_length=255)] | None = None
    confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    storage_path: Annotated[str, Field(max_length=1024)] | None = None
    ordering: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None


@dataclass(frozen=True, slots=True)
class ProducedArtifact:
    """A file that belongs to a result, such as a heatmap; annotations name it by `name`."""

    name: str
    content_type: str
    content: bytes


class Params(BaseModel):
    """What a caller may choose; subclass it to add fields of your own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: Target | None = Field(
        default=None, description="part of the picture; the operation's default when absent"
    )
    face_context: FaceContext = Field(
        default=FaceContext.PROMINENT_PERSON,
        description="look for the face inside the prominent person, or in the whole image",
    )


class EmbeddingParams(Params):
    """What every operation that gives an `Embedding` lets a caller choose."""

    normalize: bool = Field(default=False, description="scale the vector to length 1")


class Result(BaseModel):
    """What an operation found; subclass it, the class name becomes the GraphQL type's name.

    `region` and `note` are filled by the engine: the part of the picture that was used (null for
    the whole) and anything the reader must know about how it was chosen.
    """

    model_config = ConfigDict(frozen=True)

    near_duplicate_hashes: ClassVar[tuple[str, ...]] = ()
    """Its fields that hold hashes of 64 bits (16 hexadecimal digits) by which near-duplicates are
    found: of those of two like pictures, few bits differ."""

    annotation_types: ClassVar[tuple[str, ...]] = ()
    """Types that its annotations may have, so that operations can be chosen by what they find;
    empty where it does not say."""

    region: Box | None = None
    note: str | None = None

    def annotations(self) -> Sequence[Annotation]:
        """The findings to store beside this result.

        An annotation whose `storage_path` is the name of one of `artifacts` gets its real path.
        """
        return ()

    def artifacts(self) -> Sequence[ProducedArtifact]:
        """The files to store beside this result; keep their bytes in a private attribute."""
        return ()


class Embedding(Result):
    """A picture, or the part of it, as a vector; near vectors of one model are like pictures.

    Those of one operation, version and model fingerprint are compared with each other, so whatever
    else changes what a vector means must change the operation's version.
    """

    dimensions: int = Field(description="length of the vector")
    normalized: bool = Field(description="whether the vector was scaled to length 1")
    model_fingerprint: str = Field(
        description="sha256 over the model's files; vectors of different models cannot be compared"
    )
    vector: tuple[float, ...] = Field(description="float32 values", repr=False)
