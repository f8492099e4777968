"""DINOv3's vectors: the class token, and the mean of the others, as transformers computes them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import DINOv3ViTConfig, DINOv3ViTImageProcessor, DINOv3ViTModel

from opsin import Picture
from opsin.core.models.store import ModelStore
from opsin.core.neural import UnusableWeights
from opsin.core.testing import run_operation
from opsin.plugins.dino.plugin import EmbedDinoV3, EmbedDinoV3Patch
from tests.pictures import noise
from tests.plugins.published import (
    change,
    change_weights,
    context_of,
    dino_v3_folder,
    loaded,
    opened,
    store_of,
)
from tests.plugins.running import (
    Matrix,
    Shared,
    check_normalization,
    check_region,
    difference,
    embeddings,
    sharing,
    similarity,
)

# Seconds on a machine of their own; minutes where other processes want the same cores.
pytestmark = pytest.mark.timeout(600)

BOTH = (EmbedDinoV3(), EmbedDinoV3Patch())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dino_v3_folder(tmp_path_factory.mktemp("small-dinov3"))


@pytest.fixture(scope="module")
def vit_l_16(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The architecture of facebook/dinov3-vitl16-pretrain-lvd1689m."""
    folder = tmp_path_factory.mktemp("dinov3-vitl16")
    config = DINOv3ViTConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        num_register_tokens=4,
    )
    yield dino_v3_folder(folder, config)
    shutil.rmtree(folder)  # 1.2 GB


@torch.inference_mode()
def reference_vectors(folder: Path, pictures: list[Picture]) -> tuple[Matrix, Matrix]:
    """Class tokens and means of all others, of each picture alone."""
    network = opened(DINOv3ViTModel, folder)
    processor = DINOv3ViTImageProcessor.from_pretrained(folder)
    inputs = [processor(Image.fromarray(picture), return_tensors="pt") for picture in pictures]
    outputs = [network(**one) for one in inputs]
    return (
        np.array([output.pooler_output[0].numpy() for output in outputs], np.float64),
        np.array([output.last_hidden_state[0, 1:].mean(dim=0).numpy() for output in outputs]),
    )


def test_the_published_size(vit_l_16: Path, tmp_path: Path) -> None:
    pictures = [noise(640, 480), noise(90, 300)]
    class_tokens, means = reference_vectors(vit_l_16, pictures)
    shared = Shared()
    one, other = (
        operation.load(sharing(context_of(operation, vit_l_16, tmp_path), shared))
        for operation in BOTH
    )
    assert len(shared.models) == 1
    ours = embeddings(one, pictures)
    assert ours.shape == (2, 1024)
    assert difference(ours, class_tokens) < 1e-4
    assert difference(class_tokens[:1], class_tokens[1:]) > 0.01
    assert difference(embeddings(other, pictures[:1]), means[:1]) < 1e-4


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_the_device_gives_the_vectors_of_the_processor(
    vit_l_16: Path, tmp_path: Path, precision: str
) -> None:
    pictures = [noise(640, 480), noise(90, 300)]
    for operation, expected in zip(BOTH, reference_vectors(vit_l_16, pictures), strict=True):
        more = {"device": "cuda:0", "precision": precision}
        ours = embeddings(loaded(operation, vit_l_16, tmp_path, **more), pictures)
        assert similarity(ours, expected) >= 0.999


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_batch_gives_what_transformers_gives_for_each_picture(
    small: Path, tmp_path: Path, count: int
) -> None:
    pictures = [noise(100 + 40 * number, 250, seed=number) for number in range(count)]
    for operation, expected in zip(BOTH, reference_vectors(small, pictures), strict=True):
        ours = embeddings(loaded(operation, small, tmp_path), pictures)
        assert ours.shape == (count, 32)
        assert difference(ours, expected) < 1e-4
        assert len({tuple(row) for row in ours}) == count


def test_register_tokens_are_in_the_mean(small: Path, tmp_path: Path) -> None:
    picture = noise(224, 224)
    runner = loaded(BOTH[1], small, tmp_path)
    (ours,) = embeddings(runner, [picture])
    network = opened(DINOv3ViTModel, small)
    processor = DINOv3ViTImageProcessor.from_pretrained(small)
    with torch.inference_mode():
        tokens = network(**processor(Image.fromarray(picture), return_tensors="pt"))[0][0]
    assert len(tokens) == 1 + 4 + 196
    assert difference(ours, tokens[1:].mean(dim=0).numpy()) < 1e-4
    assert difference(ours, tokens[5:].mean(dim=0).numpy()) > 1e-3


def test_a_unit_vector_is_given_to_those_who_ask_for_it(small: Path, tmp_path: Path) -> None:
    for operation in BOTH:
        check_normalization(loaded(operation, small, tmp_path))


def test_a_region_is_embedded_as_the_picture_that_it_is(small: Path, tmp_path: Path) -> None:
    check_region(BOTH[0], "prominent_person", context_of(BOTH[0], small, tmp_path))


def test_another_size_takes_its_place(tmp_path: Path) -> None:
    config = DINOv3ViTConfig(
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        use_gated_mlp=True,
    )
    folder = dino_v3_folder(tmp_path / "other", config, size={"height": 64, "width": 96})
    pictures = [noise(200, 150), noise(80, 120)]
    for operation, expected in zip(BOTH, reference_vectors(folder, pictures), strict=True):
        ours = embeddings(loaded(operation, folder, tmp_path), pictures)
        assert ours.shape == (2, 48)
        assert difference(ours, expected) < 1e-4


def test_bfloat16_keeps_the_direction(small: Path, tmp_path: Path) -> None:
    pictures = [noise(200, 150), noise(80, 120)]
    for operation, expected in zip(BOTH, reference_vectors(small, pictures), strict=True):
        ours = embeddings(loaded(operation, small, tmp_path, precision="bfloat16"), pictures)
        assert similarity(ours, expected) >= 0.999


def test_the_fingerprint_is_that_of_the_files(small: Path, tmp_path: Path) -> None:
    store = store_of(tmp_path, {operation.name: small for operation in BOTH})
    located = [store.locate(store.models_of(operation)[0]) for operation in BOTH]
    assert located[0].fingerprint == located[1].fingerprint
    for operation in BOTH:
        context = store.context(operation, "cpu")
        result = run_operation(operation, noise(9, 9), context=context)
        assert result.model_fingerprint == located[0].fingerprint


def test_weights_that_are_not_here_are_named_with_the_command_that_gets_them(
    tmp_path: Path,
) -> None:
    name = "dinov3-vitl16-pretrain-lvd1689m"
    for operation in BOTH:
        assert ModelStore(tmp_path).missing(operation) == (
            f"needs the weights of '{name}', which are not here: opsin models pull {name}"
        )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"norm.weight": None}, "norm.weight is missing"),
        ({"classifier.weight": torch.zeros(2)}, "classifier.weight is unexpected"),
        ({"norm.bias": torch.zeros(3)}, "norm.bias has another shape"),
    ],
    ids=["missing", "unexpected", "misshapen"],
)
def test_weights_that_do_not_fit_are_refused(
    small: Path, tmp_path: Path, changes: dict[str, torch.Tensor | None], reason: str
) -> None:
    folder = change_weights(shutil.copytree(small, tmp_path / "changed"), **changes)
    with pytest.raises(UnusableWeights, match=reason):
        loaded(BOTH[0], folder, tmp_path)


def test_a_model_of_another_family_is_refused(small: Path, tmp_path: Path) -> None:
    folder = change(shutil.copytree(small, tmp_path / "other"), model_type="dinov3_convnext")
    with pytest.raises(UnusableWeights, match="type 'dinov3_convnext', not 'dinov3_vit'"):
        loaded(BOTH[0], folder, tmp_path)
