"""A trained classifier as JSON text: the numbers, what they were made of, and a digest."""

import hashlib
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from opsin.core.collections.inputs import CollectionInput
from opsin.core.collections.member_vectors import MOST_DIMENSIONS
from opsin.core.contract import Classifier
from opsin.core.errors import InvalidInput, StorageError

if TYPE_CHECKING:
    import numpy.typing as npt

FORMAT: Final = "opsin-classifier-1"


class TrainedOn(BaseModel):
    """What is known of a training.

    `seen` are the marks (`row_mark`) of the rows it was trained on, sorted; None when nobody
    knows them, as for a classifier that was trained elsewhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    library: str
    parameters: dict[str, JsonValue]
    members: dict[str, int] | None = None
    trained: dict[str, int] | None = None
    held_out: dict[str, int] | None = None
    seen: tuple[str, ...] | None = None


class ClassifierDocument(BaseModel):
    """A logistic regression: P(in the collection) = sigmoid(coefficients . x + intercept)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal["opsin-classifier-1"] = FORMAT
    kind: Literal["logistic_regression"] = "logistic_regression"
    inputs: tuple[CollectionInput, ...] = Field(min_length=1)
    fingerprints: tuple[str, ...]
    classes: tuple[Literal[False], Literal[True]] = (False, True)
    coefficients: tuple[float, ...] = Field(min_length=1, max_length=MOST_DIMENSIONS)
    intercept: float
    training: TrainedOn

    @model_validator(mode="after")
    def _check(self) -> "ClassifierDocument":
        if len(self.fingerprints) != len(self.inputs):
            raise ValueError("one fingerprint is needed for each input")
        return self

    def as_text(self) -> str:
        """The text that is stored; every digit of a float64 is kept."""
        return self.model_dump_json()

    def fits(self, other: "ClassifierDocument") -> bool:
        """Whether both are made for the same vectors."""
        return (
            self.inputs == other.inputs
            and self.fingerprints == other.fingerprints
            and len(self.coefficients) == len(other.coefficients)
        )

    def decide(self, vectors: "npt.NDArray[np.float32]") -> "npt.NDArray[np.bool_]":
        """For each row of n x dimensions, whether it is in the collection."""
        scores = vectors.astype(np.float64) @ np.array(self.coefficients) + self.intercept
        return np.asarray(scores > 0)

    def as_reference(self, collection: str, digest: str) -> Classifier:
        """What the operation `classify` works with."""
        coefficients = np.array(self.coefficients, np.float64)
        coefficients.flags.writeable = False
        return Classifier(
            collection=collection,
            digest=digest,
            inputs=tuple(one.as_input() for one in self.inputs),
            fingerprints=self.fingerprints,
            coefficients=coefficients,
            intercept=self.intercept,
        )


def digest_of(text: str) -> str:
    """The sha256 of a document's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_document(text: str, digest: str) -> ClassifierDocument:
    """A stored document; StorageError when it is not the one that was stored."""
    if digest_of(text) != digest:
        raise StorageError("a stored classifier is damaged: train it anew")
    try:
        return ClassifierDocument.model_validate_json(text)
    except ValidationError as error:
        raise StorageError("a stored classifier cannot be read: train it anew") from error


def parse_document(text: str | bytes) -> ClassifierDocument:
    """A document from elsewhere; InvalidInput says what is wrong with it."""
    try:
        return ClassifierDocument.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "document"
        raise InvalidInput(f"this is no classifier: {place}: {first['msg']}") from None


def row_mark(vector: bytes) -> str:
    """A short name of a training row, by its numbers alone: members may be stored anew."""
    return hashlib.sha256(vector).hexdigest()[:16]
