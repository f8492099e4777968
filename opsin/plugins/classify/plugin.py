"""Classification: whether a picture belongs to a collection of the caller's company."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from opsin import (
    Annotation,
    Input,
    LoadContext,
    Operation,
    Params,
    Reference,
    ReferenceKind,
    ReferenceRequest,
    Result,
    Runner,
    hookimpl,
)


def _key(given: object) -> object:
    """The key of a collection, which may be sent as a plain number."""
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    if isinstance(given, str):
        return given
    raise ValueError("should be an integer or a text")


class ClassifyParams(Params):
    """Which collection; its classifier decides on which part of the picture it works.

    `target` and `face_context` count only for classifiers of which that is not known.
    """

    collection_id: Annotated[str, BeforeValidator(_key)] = Field(
        min_length=1, max_length=255, description="the collection's key, a text or an integer"
    )


class CollectionMembership(Result):
    """What the collection's classifier says of a picture."""

    annotation_types = ("classification",)

    is_in_collection: bool = Field(description="whether the probability is above one half")
    probability: float = Field(description="that the picture belongs to the collection", ge=0, le=1)
    collection: str = Field(description="the collection's key")
    classifier: str = Field(description="sha256 of the classifier that was used")

    def annotations(self) -> Sequence[Annotation]:
        return [
            Annotation(
                annotation_type="classification",
                class_name=self.collection,
                confidence=self.probability,
                data={"collection": self.collection, "is_in_collection": self.is_in_collection},
            )
        ]


class Classify(Operation[ClassifyParams, CollectionMembership]):
    """A logistic regression on embeddings, which the engine computes first."""

    name = "classify"
    version = "1"
    description = "Tells whether the picture belongs to a collection, by its trained classifier."
    params = ClassifyParams
    result = CollectionMembership
    uses_picture = False

    def reference(self, params: ClassifyParams) -> ReferenceRequest:
        return ReferenceRequest(ReferenceKind.CLASSIFIER, params.collection_id)

    def inputs(self, params: ClassifyParams, reference: Reference | None) -> Sequence[Input]:
        return () if reference is None else reference.inputs

    def load(self, context: LoadContext) -> Runner[ClassifyParams, CollectionMembership]:
        from opsin.plugins.classify.runner import ClassifyRunner

        return ClassifyRunner()


@hookimpl
def opsin_operations() -> Iterable[Operation[Any, Any]]:
    return [Classify()]
