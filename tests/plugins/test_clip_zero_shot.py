"""Classes named by text: the probabilities are those of the reference, the labels the caller's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from opsin import Embedding, Input, OperationFailed
from opsin.core.errors import OperationUnavailable
from opsin.plugins.clip.plugin import (
    ClassifyZeroShot,
    EmbedClip,
    EmbedText,
    ZeroShotClassification,
    ZeroShotParams,
)
from opsin.plugins.clip.runner import zero_shot
from tests.pictures import noise
from tests.plugins.published import clip_folder, context_of, loaded, opened
from tests.plugins.running import Shared, item, results, sharing

LABELS = ("cat", "two dogs", "whale in the sea", "portrait")


@pytest.fixture
def runner(small_clip: Path, tmp_path: Path) -> Any:
    return loaded(ClassifyZeroShot(), small_clip, tmp_path)


@pytest.fixture(scope="module")
def embedded(small_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Embedding]:
    """Three pictures as `embed_clip_vit_b_32` gives them."""
    context = context_of(EmbedClip(), small_clip, tmp_path_factory.mktemp("embed"))
    return results(EmbedClip().load(context), [item(noise(80, 60, seed=n)) for n in range(3)])


def asked(embedding: Embedding, *labels: str, **more: Any) -> Any:
    """What the runner gets: no picture, but its vector."""
    params = ZeroShotParams(labels=labels or LABELS, **more)
    return item(np.empty((0, 0, 3), np.uint8), params, inputs=(embedding,))


def by_label(found: ZeroShotClassification) -> dict[str, float]:
    return {score.label: score.probability for score in found.labels}


@torch.inference_mode()
def reference(folder: Path, picture: Any, sentences: list[str]) -> tuple[Any, Any]:
    """Probabilities and cosines, by transformers."""
    network = opened(CLIPModel, folder)
    texts = CLIPTokenizer.from_pretrained(folder)(sentences, padding=True, return_tensors="pt")
    pixels = CLIPImageProcessorPil.from_pretrained(folder)(
        Image.fromarray(picture), return_tensors="pt"
    )
    output = network(**texts, **pixels)
    cosines = (output.text_embeds @ output.image_embeds.T)[:, 0]
    return output.logits_per_image[0].softmax(dim=0).numpy(), cosines.numpy()


def test_probabilities_are_those_of_the_reference(
    small_clip: Path, runner: Any, embedded: list[Embedding]
) -> None:
    found = results(runner, [asked(embedding) for embedding in embedded])
    sentences = [f"a photo of a {label}" for label in LABELS]
    for number, one in enumerate(found):
        probabilities, cosines = reference(small_clip, noise(80, 60, seed=number), sentences)
        told = by_label(one)
        assert [told[label] for label in LABELS] == pytest.approx(list(probabilities), abs=1e-4)
        similarities = {score.label: score.similarity for score in one.labels}
        assert [similarities[label] for label in LABELS] == pytest.approx(list(cosines), abs=1e-5)
        assert sum(told.values()) == pytest.approx(1)
        assert list(told.values()) == sorted(told.values(), reverse=True)
        assert one.model_fingerprint == embedded[0].model_fingerprint
    assert len({one.labels[0].probability for one in found}) == 3


def test_a_template_of_ones_own(small_clip: Path, runner: Any, embedded: list[Embedding]) -> None:
    (found,) = results(runner, [asked(embedded[0], *LABELS, template="{} {} {0.a}")])
    sentences = [f"{label} {label} {{0.a}}" for label in LABELS]
    probabilities, _ = reference(small_clip, noise(80, 60, seed=0), sentences)
    assert [by_label(found)[label] for label in LABELS] == pytest.approx(
        list(probabilities), abs=1e-4
    )


def test_a_unit_vector_does_as_well(runner: Any, embedded: list[Embedding]) -> None:
    vector = np.array(embedded[0].vector)
    unit = embedded[0].model_copy(
        update={"vector": tuple(vector / np.linalg.norm(vector)), "normalized": True}
    )
    one, other = results(runner, [asked(embedded[0]), asked(unit)])
    assert by_label(one) == pytest.approx(by_label(other))


def test_one_label_is_certain(runner: Any, embedded: list[Embedding]) -> None:
    (found,) = results(runner, [asked(embedded[0], "cat")])
    assert by_label(found) == {"cat": 1.0}
    assert found.labels[0].similarity < 1


def test_the_annotation_is_the_best_label(runner: Any, embedded: list[Embedding]) -> None:
    (found,) = results(runner, [asked(embedded[0])])
    (annotation,) = found.annotations()
    assert annotation.annotation_type == "classification"
    assert annotation.class_name == found.labels[0].label
    assert annotation.confidence == found.labels[0].probability
    assert annotation.data == {"scores": by_label(found)}


def test_the_picture_is_embedded_by_the_other_operation() -> None:
    operation = ClassifyZeroShot()
    assert operation.inputs(ZeroShotParams(labels=("cat",)), None) == (
        Input("embed_clip_vit_b_32"),
    )
    assert not operation.uses_picture
    assert operation.models == EmbedClip().models


def test_labels_are_embedded_once_and_forgotten_in_the_end(
    runner: Any, embedded: list[Embedding], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    embed = runner._tower.embed

    def counted(sentences: Any) -> Any:
        computed.append(len(sentences))
        return embed(sentences)

    monkeypatch.setattr(runner._tower, "embed", counted)
    monkeypatch.setattr(zero_shot, "REMEMBERED", 3)
    first = results(runner, [asked(embedded[0], "cat", "dog"), asked(embedded[1], "dog", "whale")])
    assert computed == [3]
    again = results(runner, [asked(embedded[0], "dog", "cat")])
    assert computed == [3]
    assert by_label(first[0]) == pytest.approx(by_label(again[0]))
    results(runner, [asked(embedded[0], "sea")])  # in the place of the whale, the oldest
    results(runner, [asked(embedded[0], "dog", "cat", "sea")])
    assert computed == [3, 1]
    (many,) = results(runner, [asked(embedded[0], "whale", "cat", "dog", "sea", "photo")])
    assert computed == [3, 1, 2]
    assert len(many.labels) == 5


def test_texts_and_labels_share_one_tower(small_clip: Path, tmp_path: Path) -> None:
    shared = Shared()
    context = sharing(context_of(ClassifyZeroShot(), small_clip, tmp_path), shared)
    labels, texts = ClassifyZeroShot().load(context), EmbedText().load(context)
    assert len(shared.models) == 1
    assert labels.memory_bytes() == texts.memory_bytes()


def test_vectors_of_other_weights_are_refused(
    runner: Any, embedded: list[Embedding], tmp_path: Path
) -> None:
    folder = clip_folder(tmp_path / "other", seed=1)
    context = context_of(EmbedClip(), folder, tmp_path)
    (other,) = results(EmbedClip().load(context), [item(noise(80, 60))])
    assert len(other.vector) == len(embedded[0].vector)
    with pytest.raises(OperationUnavailable, match="OPSIN_MODELS must name the same for both"):
        runner.prepare(asked(other))


def test_a_vector_without_direction_has_no_class(runner: Any, embedded: list[Embedding]) -> None:
    nowhere = embedded[0].model_copy(update={"vector": (0.0,) * 16})
    with pytest.raises(OperationFailed, match="length 0"):
        runner.prepare(asked(nowhere))


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({}, "labels"),
        ({"labels": []}, "at least 1"),
        ({"labels": [str(number) for number in range(101)]}, "at most 100"),
        ({"labels": ["cat", "  "]}, "at least 1 character"),
        ({"labels": ["x" * 201]}, "at most 200 characters"),
        ({"labels": ["cat", " cat "]}, "labels must be different"),
        ({"labels": ["cat"], "template": "a photo"}, "must contain {}"),
        ({"labels": ["cat"], "template": "{}" + "x" * 199}, "at most 200 characters"),
    ],
)
def test_params_that_cannot_be_used(params: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        ZeroShotParams.model_validate(params)


def test_labels_are_taken_without_the_space_around_them() -> None:
    assert ZeroShotParams(labels=(" a cat ",)).prompts() == ["a photo of a a cat"]
