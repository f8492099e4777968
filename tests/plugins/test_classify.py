"""`classify`: scikit-learn's probability, from a classifier and the embeddings it was made for."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression

from opsin import (
    Classifier,
    Embedding,
    Gallery,
    Input,
    Item,
    LoadContext,
    OperationFailed,
    ReferenceKind,
    ReferenceRequest,
    Result,
    Target,
)
from opsin.plugins.classify.plugin import Classify, ClassifyParams, CollectionMembership
from opsin.plugins.classify.runner import sigmoid

PICTURE = np.zeros((2, 2, 3), np.uint8)
PRINTS = ("a" * 64, "b" * 64)


def embedding(vector: Sequence[float], fingerprint: str = PRINTS[0]) -> Embedding:
    return Embedding(
        dimensions=len(vector),
        normalized=False,
        model_fingerprint=fingerprint,
        vector=tuple(vector),
    )


def classifier(
    coefficients: Any, intercept: float = 0.0, fingerprints: tuple[str, ...] = PRINTS[:1]
) -> Classifier:
    inputs = tuple(Input(f"embed_{n}") for n in range(len(fingerprints)))
    return Classifier(
        "5", "d" * 64, inputs, fingerprints, np.asarray(coefficients, np.float64), intercept
    )


def classify(reference: Any, *inputs: Result) -> CollectionMembership:
    operation = Classify()
    params = ClassifyParams.model_validate({"collection_id": 5})
    runner = operation.load(LoadContext("cpu"))
    prepared = runner.prepare(Item(PICTURE, params, inputs=inputs, reference=reference))
    (result,) = runner.run([prepared])
    assert isinstance(result, CollectionMembership)
    return result


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dimensions", [512, 1536])
def test_the_probability_is_scikit_learns(seed: int, dimensions: int) -> None:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(200, dimensions)).astype(np.float32) * 10
    truth = rows[:, 0] + random.normal(size=200) > 0
    model = LogisticRegression(
        class_weight="balanced", C=0.1, solver="liblinear", random_state=42
    ).fit(rows[:150], truth[:150])
    trained = classifier(model.coef_[0], float(model.intercept_[0]))
    for row in rows[150:]:
        found = classify(trained, embedding(row.tolist()))
        expected = model.predict_proba(row[None])[0, 1]
        assert abs(found.probability - expected) < 1e-12
        assert found.is_in_collection is bool(model.predict(row[None])[0])
    assert {bool(one) for one in model.predict(rows[150:])} == {True, False}


def test_several_embeddings_are_joined_in_order() -> None:
    pair = classifier([1.0, 2.0, 4.0], 0.5, PRINTS)
    found = classify(pair, embedding([1.0, 1.0]), embedding([0.25], PRINTS[1]))
    assert found.probability == pytest.approx(1 / (1 + math.exp(-4.5)), abs=1e-15)
    assert found.is_in_collection
    assert (found.collection, found.classifier) == ("5", "d" * 64)
    (annotation,) = found.annotations()
    assert annotation.model_dump(exclude_none=True) == {
        "annotation_type": "classification",
        "class_name": "5",
        "confidence": found.probability,
        "data": {"collection": "5", "is_in_collection": True},
    }


@pytest.mark.parametrize(
    ("logit", "inside"),
    [(0.0, False), (1e-300, True), (-1e-300, False), (1e6, True), (-1e6, False)],
)
def test_one_half_is_not_in_the_collection(logit: float, inside: bool) -> None:
    found = classify(classifier([logit]), embedding([1.0]))
    assert found.is_in_collection is inside
    assert 0 <= found.probability <= 1


def test_sigmoid_is_exact_at_both_ends() -> None:
    assert [sigmoid(x) for x in (-1e308, -745.0, 0.0, 40.0, 1e308)] == [
        0.0,
        math.exp(-745),
        0.5,
        1.0,
        1.0,
    ]


@pytest.mark.parametrize(
    ("reference", "inputs", "reason"),
    [
        (classifier([1.0]), [embedding([1.0], "f" * 64)], "other weights.*aaaaaaaaaaaa.*embed_0"),
        (classifier([1.0]), [embedding([1.0, 2.0])], "made for 1 numbers, not for 2: retrain"),
        (classifier([1.0, 2.0], 0, PRINTS), [embedding([1.0])], "needs 2 embeddings"),
        (classifier([1.0]), [Result()], "needs 1 embeddings"),
        (classifier([1.0]), [embedding([1.0]), Result()], "needs 1 embeddings"),
        (None, [embedding([1.0])], "needs a classifier"),
        (Gallery("5", "", (), (), np.zeros((1, 1), np.float32), ("a",)), [], "needs a classifier"),
    ],
)
def test_what_does_not_fit_is_an_error(reference: Any, inputs: list[Result], reason: str) -> None:
    with pytest.raises(OperationFailed, match=reason):
        classify(reference, *inputs)


@pytest.mark.parametrize(
    ("sent", "key"), [(5, "5"), (-3, "-3"), ("5", "5"), ("007", "007"), ("whales", "whales")]
)
def test_a_collection_is_named_by_text_or_integer(sent: object, key: str) -> None:
    params = ClassifyParams.model_validate({"collection_id": sent})
    assert Classify().reference(params) == ReferenceRequest(ReferenceKind.CLASSIFIER, key)


@pytest.mark.parametrize("sent", [True, 5.0, None, [], {}, b"5"])
def test_anything_else_names_none(sent: object) -> None:
    with pytest.raises(ValidationError, match="should be an integer or a text"):
        ClassifyParams.model_validate({"collection_id": sent})
    for none in ({}, {"collection_id": ""}, {"collection_id": "x" * 256}):
        with pytest.raises(ValidationError):
            ClassifyParams.model_validate(none)


def test_the_classifier_says_what_is_embedded() -> None:
    operation, params = Classify(), ClassifyParams(collection_id="5", target=Target.WHOLE_IMAGE)
    inputs = (Input("embed_a", Target.PROMINENT_FACE), Input("embed_b"))
    made = Classifier("5", "", inputs, PRINTS, np.zeros(2), 0.0)
    assert operation.inputs(params, made) == inputs
    assert operation.inputs(params, None) == ()
    assert not operation.uses_picture
