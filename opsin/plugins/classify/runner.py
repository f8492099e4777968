"""Logistic regression on the inputs' vectors, as scikit-learn's `predict_proba` computes it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from opsin import Classifier, Embedding, Item, OperationFailed, Runner
from opsin.plugins.classify.plugin import ClassifyParams, CollectionMembership

if TYPE_CHECKING:
    import numpy.typing as npt

    Vector = npt.NDArray[np.float64]


class ClassifyRunner(Runner[ClassifyParams, CollectionMembership]):
    """Decides while preparing, on several threads; the batch only hands the results on."""

    max_batch = 64
    uses_device = False

    def prepare(self, item: Item[ClassifyParams]) -> CollectionMembership:
        classifier = item.reference
        if not isinstance(classifier, Classifier):
            raise OperationFailed("classify needs a classifier")
        vector = joined(classifier, item.inputs)
        logit = float(vector @ classifier.coefficients) + classifier.intercept
        return CollectionMembership(
            # On the logit, as scikit-learn decides: the probability may have been rounded to 0.5.
            is_in_collection=logit > 0,
            probability=sigmoid(logit),
            collection=classifier.collection,
            classifier=classifier.digest,
        )

    def run(self, batch: Sequence[CollectionMembership]) -> Sequence[CollectionMembership]:
        return batch


def joined(classifier: Classifier, inputs: Sequence[object]) -> "Vector":
    """The inputs' vectors one after the other, float64.

    Raises OperationFailed unless they are of the models and lengths the classifier was made for.
    """
    name = classifier.collection
    embeddings = [one for one in inputs if isinstance(one, Embedding)]
    if len(embeddings) != len(classifier.inputs) or len(inputs) != len(embeddings):
        raise OperationFailed(
            f"the classifier of collection {name!r} needs {len(classifier.inputs)} embeddings"
        )
    for asked, trained, embedding in zip(
        classifier.inputs, classifier.fingerprints, embeddings, strict=True
    ):
        here = embedding.model_fingerprint
        if here != trained:
            raise OperationFailed(
                f"the classifier of collection {name!r} was trained on vectors of other weights "
                f"(fingerprint {trained[:12]}) than {asked.operation} has now ({here[:12]}): "
                "embed its members anew and retrain it"
            )
    vector = np.array([value for one in embeddings for value in one.vector], np.float64)
    if vector.shape != classifier.coefficients.shape:
        raise OperationFailed(
            f"the classifier of collection {name!r} is made for "
            f"{classifier.coefficients.size} numbers, not for {vector.size}: retrain it"
        )
    return vector


def sigmoid(logit: float) -> float:
    """1 / (1 + exp(-logit)), without overflow."""
    small = np.exp(-abs(logit))
    return float(1 / (1 + small) if logit >= 0 else small / (1 + small))
