"""What an operation may need beside the picture: other operations' results, stored references."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from opsin.core.contract.regions import FaceContext, Target

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vector: TypeAlias = npt.NDArray[np.float64]
    Vectors: TypeAlias = npt.NDArray[np.float32]
else:
    Vector = Vectors = Any


@dataclass(frozen=True, slots=True)
class Input:
    """Another operation's result on the same picture, which is asked for first.

    `target` and `face_context` are the asking task's own when None.  Tasks of one picture share
    equal inputs; when an input fails or is skipped, so does the task that needs it.
    """

    operation: str
    target: Target | None = None
    face_context: FaceContext | None = None
    params: Mapping[str, Any] = field(default_factory=dict, hash=False)


class ReferenceKind(StrEnum):
    """What a collection of labelled embeddings is used as."""

    CLASSIFIER = "classifier"
    GALLERY = "gallery"


@dataclass(frozen=True, slots=True)
class ReferenceRequest:
    """Which stored reference an operation's params name; `collection` is the collection's key."""

    kind: ReferenceKind
    collection: str


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Stored data of the caller's company; `digest` changes whenever an answer might."""

    collection: str
    digest: str
    inputs: tuple[Input, ...]
    """The embeddings it was made of, in the order in which they are joined."""
    fingerprints: tuple[str, ...]
    """The model fingerprint of each of these embeddings; other weights give other numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Classifier(Reference):
    """A trained logistic regression: P(in the collection) = sigmoid(coefficients . x + intercept).

    x is the concatenation of the inputs' vectors, `coefficients` of its length, float64.
    """

    coefficients: Vector
    intercept: float


@dataclass(frozen=True, slots=True, eq=False)
class Gallery(Reference):
    """Known individuals: `vectors` is n x dimensions, float32, rows of unit length, read-only.

    `labels` names the individual of each row; `attributes` tells more by label (species, ...).
    """

    vectors: Vectors
    labels: tuple[str, ...]
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
