"""The wire's own words for what the operation found: `Detection`, with all twelve keys."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from opsin.core.contract import Box
from opsin.core.imaging import ImageInfo

LOW_CONFIDENCE = "low_confidence"
_UNKNOWN = "unknown"
_UNIDENTIFIED = "cetacean_unidentified"
_DIGITS = 4
_NO_GATE = 1.0
"""The documented default of `cetacean_score`, for answers that no gate has given."""


class Candidate(BaseModel):
    """A known individual (`class_animal`) and its species (`id_animal`)."""

    model_config = ConfigDict(frozen=True)

    class_animal: str
    id_animal: str
    probability: float


class Detection(BaseModel):
    """The answer for one picture; `class_animal` is the individual, `id_animal` the species."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    image_ind: str
    bbox: tuple[int, int, int, int]
    """Corners: x1, y1, x2, y2."""
    class_animal: str
    id_animal: str
    probability: float
    mask: str | None = None
    is_cetacean: bool = True
    cetacean_score: float = 1.0
    rejected: bool = False
    rejection_reason: Literal["not_a_marine_mammal", "low_confidence", "corrupted_image"] | None = (
        None
    )
    model_version: str
    candidates: tuple[Candidate, ...] = ()


class FoundCandidate(Protocol):
    """What is read of a candidate."""

    @property
    def individual(self) -> str: ...
    @property
    def species(self) -> str | None: ...
    @property
    def probability(self) -> float: ...


class Identification(Protocol):
    """What is read of the result of `identify_cetacean`."""

    @property
    def is_cetacean(self) -> bool | None: ...
    @property
    def cetacean_score(self) -> float | None: ...
    @property
    def rejection_reason(self) -> str | None: ...
    @property
    def individual(self) -> str | None: ...
    @property
    def species(self) -> str | None: ...
    @property
    def probability(self) -> float | None: ...
    @property
    def candidates(self) -> Sequence[FoundCandidate]: ...
    @property
    def box(self) -> Box | None: ...


class Screening(Protocol):
    """What is read of the result of `screen_cetacean`."""

    @property
    def is_cetacean(self) -> bool: ...
    @property
    def cetacean_score(self) -> float: ...


def identified(
    name: str, found: Identification, info: ImageInfo, version: str, rows: int
) -> Detection:
    """The answer of the whole pipeline; `rows` is how many candidates are told."""
    box = _corners(found.box, info)
    if found.is_cetacean is False:
        score = found.cetacean_score or 0.0
        return _not_a_whale(name, box, score, version)
    score = _NO_GATE if found.cetacean_score is None else found.cetacean_score
    if found.individual is None or found.probability is None:
        # Without a gate nothing has given a probability either.
        return _unidentified(name, box, score, found.cetacean_score or 0.0, version)
    is_doubtful = found.rejection_reason == LOW_CONFIDENCE
    return Detection(
        image_ind=name,
        bbox=box,
        class_animal=found.individual,
        id_animal=found.species or found.individual,
        probability=_rounded(found.probability),
        cetacean_score=_rounded(score),
        rejected=is_doubtful,
        rejection_reason="low_confidence" if is_doubtful else None,
        model_version=version,
        candidates=tuple(
            Candidate(
                class_animal=one.individual,
                id_animal=one.species or one.individual,
                probability=_rounded(one.probability),
            )
            for one in found.candidates[:rows]
        ),
    )


def screened(name: str, found: Screening, info: ImageInfo, version: str) -> Detection:
    """The answer of the gate alone, where there are no weights to identify with."""
    box = _corners(None, info)
    if not found.is_cetacean:
        return _not_a_whale(name, box, found.cetacean_score, version)
    return _unidentified(name, box, found.cetacean_score, found.cetacean_score, version)


def corrupted(name: str, version: str) -> Detection:
    """The answer for an image that is damaged, or larger than images are taken."""
    return Detection(
        image_ind=name,
        bbox=(0, 0, 0, 0),
        class_animal="",
        id_animal=_UNKNOWN,
        probability=0.0,
        is_cetacean=False,
        cetacean_score=0.0,
        rejected=True,
        rejection_reason="corrupted_image",
        model_version=version,
    )


def record_of(detection: Detection) -> dict[str, Any]:
    """What is kept of an answer: neither the mask nor the candidates."""
    return detection.model_dump(mode="json", exclude={"mask", "candidates"})


def wire(detection: Detection) -> Mapping[str, Any]:
    """As JSON objects have it, keys in their documented order."""
    return detection.model_dump(mode="json")


def _not_a_whale(
    name: str, box: tuple[int, int, int, int], score: float, version: str
) -> Detection:
    return Detection(
        image_ind=name,
        bbox=box,
        class_animal="",
        id_animal=_UNKNOWN,
        probability=0.0,
        is_cetacean=False,
        cetacean_score=_rounded(score),
        rejected=True,
        rejection_reason="not_a_marine_mammal",
        model_version=version,
    )


def _unidentified(
    name: str, box: tuple[int, int, int, int], score: float, probability: float, version: str
) -> Detection:
    return Detection(
        image_ind=name,
        bbox=box,
        class_animal="",
        id_animal=_UNIDENTIFIED,
        probability=_rounded(probability),
        cetacean_score=_rounded(score),
        model_version=version,
    )


def _corners(box: Box | None, info: ImageInfo) -> tuple[int, int, int, int]:
    if box is None:
        return (0, 0, info.width, info.height)
    return (int(box.x_min), int(box.y_min), int(box.x_max), int(box.y_max))


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS)
