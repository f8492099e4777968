"""CLIP's vectors of texts: in the space of the pictures, whatever else is in the batch."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPConfig

from opsin.core.neural import UnusableWeights
from opsin.plugins.clip.plugin import EmbedClip, EmbedText
from tests.plugins.published import (
    change_weights,
    clip_config,
    clip_folder,
    context_of,
    loaded,
    store_of,
    tokenizer,
)
from tests.plugins.reference import clip_texts
from tests.plugins.running import Matrix, Shared, difference, results, sharing, similarity

TEXTS = (
    "a photo of a cat",
    "Two  DOGS\tand 3 whales\nin the sea!",
    "",
    "naïve é",
    "a <|endoftext|> b",
    "日本語 🐳",
)
LONG = "two dogs and three whales in the sea " * 20


def vectors(runner: Any, texts: Sequence[str]) -> Matrix:
    found = results(runner, texts)
    assert not any(one.normalized for one in found)
    return np.array([one.vector for one in found])


def test_vectors_are_those_of_the_reference(small_clip: Path, tmp_path: Path) -> None:
    texts = (*TEXTS, LONG)
    expected = clip_texts(small_clip, texts)
    runner = loaded(EmbedText(), small_clip, tmp_path)
    alone = np.concatenate([vectors(runner, [text]) for text in texts])
    assert alone.shape == (7, 16)
    assert difference(alone, expected) < 1e-4
    assert min(difference(expected[:1], other) for other in expected[1:]) > 0.01


@pytest.mark.parametrize("count", [2, 7, 150])
def test_longer_texts_in_the_batch_change_nothing(
    small_clip: Path, tmp_path: Path, count: int
) -> None:
    runner = loaded(EmbedText(), small_clip, tmp_path)
    texts = [f"{(*TEXTS, LONG)[number % 7]} {number}"[-100:] for number in range(count)]
    alone = np.concatenate([vectors(runner, [text]) for text in texts])
    assert difference(vectors(runner, texts), alone) < 1e-5


def test_a_long_text_is_cut_and_keeps_its_end(small_clip: Path, tmp_path: Path) -> None:
    runner = loaded(EmbedText(), small_clip, tmp_path)
    tokens = runner.prepare(LONG)
    assert len(tokens) == 32
    assert (tokens[0], tokens[-1]) == tuple(tokenizer()("")["input_ids"])
    assert tokens == runner.prepare(LONG + " cat")


def test_an_end_that_the_configuration_names_is_found(tmp_path: Path) -> None:
    config = clip_config({"eos_token_id": tokenizer().eos_token_id})
    folder = clip_folder(tmp_path / "newer", config)
    runner = loaded(EmbedText(), folder, tmp_path)
    assert difference(vectors(runner, TEXTS), clip_texts(folder, TEXTS)) < 1e-4


def test_the_published_size(tmp_path: Path) -> None:
    sizes = {"vocab_size": 49408, "eos_token_id": 2}
    config = CLIPConfig(text_config=sizes, vision_config={"num_hidden_layers": 1})
    folder = clip_folder(tmp_path / "vit-b-32", config)
    texts = (*TEXTS, LONG)
    runner = loaded(EmbedText(), folder, tmp_path)
    assert len(runner.prepare(LONG)) == 77
    assert difference(vectors(runner, texts), clip_texts(folder, texts)) < 1e-4
    shutil.rmtree(folder)


def test_texts_and_pictures_are_of_one_space(small_clip: Path, tmp_path: Path) -> None:
    """One table replaces the weights of both."""
    store = store_of(tmp_path, {"embed_clip_vit_b_32": small_clip})
    both = [store.context(one, "cpu").models["encoder"] for one in (EmbedText(), EmbedClip())]
    assert both[0].fingerprint == both[1].fingerprint
    assert EmbedText.operation == EmbedClip.name
    (result,) = results(loaded(EmbedText(), small_clip, tmp_path), ["a cat"])
    assert result.model_fingerprint == both[0].fingerprint


def test_one_text_tower_for_all(small_clip: Path, tmp_path: Path) -> None:
    shared = Shared()
    context = sharing(context_of(EmbedText(), small_clip, tmp_path), shared)
    one, other = EmbedText().load(context), EmbedText().load(context)
    EmbedClip().load(context)
    assert len(shared.models) == 2  # texts, and pictures
    one.close()
    assert vectors(other, ["a cat"]).shape == (1, 16)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"text_projection.weight": None}, "text_projection.weight is missing"),
        ({"text_model.extra": torch.zeros(2)}, "text_model.extra is unexpected"),
        ({"logit_scale": None}, "lack logit_scale"),
    ],
    ids=["missing", "unexpected", "no scale"],
)
def test_weights_that_do_not_fit_are_refused(
    small_clip: Path, tmp_path: Path, changes: dict[str, torch.Tensor | None], reason: str
) -> None:
    folder = change_weights(shutil.copytree(small_clip, tmp_path / "changed"), **changes)
    with pytest.raises(UnusableWeights, match=reason):
        loaded(EmbedText(), folder, tmp_path)


def test_the_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = clip_folder(tmp_path / "other", clip_config({"vocab_size": 50}))
    with pytest.raises(UnusableWeights, match=r"tokenizer\.json of .* has more tokens"):
        loaded(EmbedText(), folder, tmp_path)


def test_bfloat16_keeps_the_direction(small_clip: Path, tmp_path: Path) -> None:
    ours = vectors(loaded(EmbedText(), small_clip, tmp_path, precision="bfloat16"), TEXTS)
    assert similarity(ours, clip_texts(small_clip, TEXTS)) >= 0.999
