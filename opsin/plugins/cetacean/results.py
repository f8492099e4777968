"""What a caller may choose and what the cetacean operations answer."""

from collections.abc import Iterator, Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from opsin import Annotation, Box, Params, Result

SCREEN, EMBED, IDENTIFY = "screen_cetacean", "embed_cetacean", "identify_cetacean"


class CetaceanRejection(StrEnum):
    """Why there is no identification that can be relied on."""

    NOT_A_MARINE_MAMMAL = "not_a_marine_mammal"
    LOW_CONFIDENCE = "low_confidence"


class CetaceanMatch(StrEnum):
    """What the animal was compared with."""

    PROTOTYPES = "prototypes"
    GALLERY = "gallery"
    FUSED = "fused"
    NOTHING = "nothing"


class CetaceanIdentificationParams(Params):
    """Whom to compare with, and how many to name."""

    gallery: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="key of the collection of known individuals to compare with",
    )
    candidates: int = Field(default=5, ge=1, le=100, description="at most so many candidates")


class CetaceanCandidate(BaseModel):
    """A known individual that the animal may be."""

    model_config = ConfigDict(frozen=True)

    rank: int = Field(description="1 is the nearest")
    individual: str
    species: str | None = Field(default=None, description="null when it is not known")
    probability: float = Field(description="softmax of scale x cosine over all known individuals")
    cosine: float = Field(description="similarity to the individual, -1 to 1")


class CetaceanScreening(Result):
    """Whether a picture shows a whale or dolphin."""

    annotation_types = ("classification",)

    is_cetacean: bool = Field(description="whether the score reaches the threshold")
    cetacean_score: float = Field(description="0 to 1; no probability, see the manifest's prompts")
    threshold: float
    manifest: str = Field(description="the manifest's name")

    def annotations(self) -> Sequence[Annotation]:
        return (screened(self.is_cetacean, self.cetacean_score),)


class CetaceanIdentification(Result):
    """Which known individual the picture shows, if any."""

    annotation_types = ("bounding_box", "classification")

    is_cetacean: bool | None = Field(
        default=None,
        description="null when nothing judged it: no gate, and no detector that rejects",
    )
    cetacean_score: float | None = Field(default=None, description="null without a gate")
    rejected: bool = Field(description="whether the answer is not to be relied on")
    rejection_reason: CetaceanRejection | None = None
    individual: str | None = Field(
        default=None, description="id of the nearest known individual, also of a rejected answer"
    )
    species: str | None = None
    probability: float | None = Field(default=None, description="of the nearest individual")
    cosine: float | None = Field(default=None, description="of the nearest individual")
    new_individual: bool | None = Field(
        default=None,
        description="whether no known one is near enough; null without a limit on the cosine",
    )
    candidates: tuple[CetaceanCandidate, ...] = Field(
        default=(), description="the nearest individuals, the nearest first"
    )
    box: Box | None = Field(
        default=None, description="what was identified; null when nothing was, or nothing detects"
    )
    box_score: float | None = Field(default=None, description="the detector's certainty")
    matched_by: CetaceanMatch = CetaceanMatch.NOTHING
    manifest: str = Field(description="the manifest's name")
    manifest_digest: str = Field(description="changes with every setting that changes an answer")

    def annotations(self) -> Sequence[Annotation]:
        return tuple(self._annotations())

    def _annotations(self) -> Iterator[Annotation]:
        if self.is_cetacean is not None and self.cetacean_score is not None:
            yield screened(self.is_cetacean, self.cetacean_score)
        if self.box is not None:
            corner_and_size = [self.box.x_min, self.box.y_min, self.box.width, self.box.height]
            yield Annotation(
                annotation_type="bounding_box",
                data={"bbox": [*corner_and_size], "format": "xywh"},
                class_name="cetacean",
                confidence=self.box_score,
            )
        if self.individual is not None and not self.rejected:
            scores: dict[str, JsonValue] = {c.individual: c.probability for c in self.candidates}
            yield Annotation(
                annotation_type="classification",
                data={"name": "individual", "scores": scores, "species": self.species},
                class_name=self.individual[:255],
                confidence=self.probability,
            )


def screened(is_cetacean: bool, score: float) -> Annotation:
    """The gate's answer as an annotation."""
    return Annotation(
        annotation_type="classification",
        data={"name": "cetacean", "scores": {"cetacean": score, "other": 1 - score}},
        class_name="cetacean" if is_cetacean else "other",
        confidence=score if is_cetacean else 1 - score,
    )
