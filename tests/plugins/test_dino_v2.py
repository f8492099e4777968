"""DINOv2's vectors: those of timm and transformers, in the size that the weights were made for."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision.transforms import (
    CenterCrop,
    Compose,
    InterpolationMode,
    Normalize,
    Resize,
    ToTensor,
)
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
)

from opsin import EmbeddingParams, Picture
from opsin.core.models.store import ModelStore
from opsin.core.neural import UnusableWeights
from opsin.core.plugin_host import PluginHost, PluginSource
from opsin.core.testing import run_operation
from opsin.plugins.dino.plugin import EmbedDinoV2
from tests.pictures import noise
from tests.plugins.published import (
    IMAGENET,
    change,
    change_weights,
    context_of,
    dino_v2_config,
    dino_v2_folder,
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
    heavy_imports,
    sharing,
    similarity,
)

# Seconds on a machine of their own; minutes where other processes want the same cores.
pytestmark = pytest.mark.timeout(600)

DINO = PluginSource("dino", "opsin.plugins.dino.plugin", "opsin")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dino_v2_folder(tmp_path_factory.mktemp("small-dinov2"))


@pytest.fixture(scope="module")
def vit_b_14(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The architecture of facebook/dinov2-base: 12 layers of 768, pictures of 518 pixels."""
    folder = tmp_path_factory.mktemp("dinov2-base")
    yield dino_v2_folder(folder, Dinov2Config(image_size=518))
    shutil.rmtree(folder)  # 350 MB


@torch.inference_mode()
def reference_vectors(folder: Path, pictures: list[Picture], side: int = 56) -> Matrix:
    """What transformers makes of each picture alone, in that size."""
    network = opened(Dinov2Model, folder)
    return np.array(
        [network(one).pooler_output[0].numpy() for one in prepared(pictures, side)], np.float64
    )


def prepared(pictures: list[Picture], side: int) -> list[torch.Tensor]:
    """Each picture alone, as torchvision prepares it."""
    steps = Compose(
        [
            Resize(side, InterpolationMode.BICUBIC),
            CenterCrop(side),
            ToTensor(),
            Normalize(IMAGENET["image_mean"], IMAGENET["image_std"]),
        ]
    )
    return [steps(Image.fromarray(picture))[None] for picture in pictures]


# --- the plugin -----------------------------------------------------------------------------------


def test_the_plugin_is_light() -> None:
    assert heavy_imports("import opsin.plugins.dino.plugin") == []


def test_the_plugin_comes_through_the_door() -> None:
    host = PluginHost.discover([DINO], entry_points=False)
    assert host.failures == ()
    assert list(host.operations) == ["embed_dino_v2", "embed_dino_v3", "embed_dino_v3_patch"]


# --- ViT-B/14 -------------------------------------------------------------------------------------


def test_the_vector_is_that_of_timm(vit_b_14: Path, tmp_path: Path) -> None:
    picture = noise(641, 480)
    with torch.device("meta"):  # without the time for initial weights
        network = timm.create_model("vit_base_patch14_dinov2", num_classes=0, img_size=518).eval()
    weights = timm_weights(load_file(vit_b_14 / "model.safetensors"))
    network.load_state_dict(weights, assign=True)
    data: Any = timm.data
    transform = data.create_transform(**data.resolve_model_data_config(network))
    pixels = transform(Image.fromarray(picture))[None]
    assert pixels.shape == (1, 3, 518, 518)
    with torch.inference_mode():
        expected = network(pixels).numpy()
    ours = embeddings(loaded(EmbedDinoV2(), vit_b_14, tmp_path), [picture])
    assert ours.shape == (1, 768)
    assert difference(ours, expected) < 1e-4


def timm_weights(published: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of facebook/dinov2-base under the names of timm."""
    weights = {
        "cls_token": published["embeddings.cls_token"],
        "pos_embed": published["embeddings.position_embeddings"],
    }
    modules = {"patch_embed.proj": "embeddings.patch_embeddings.projection", "norm": "layernorm"}
    parts = {
        "attn.proj": "attention.output.dense",
        "norm1": "norm1",
        "norm2": "norm2",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
    }
    for layer in range(12):
        of, to = f"encoder.layer.{layer}", f"blocks.{layer}"
        modules |= {f"{to}.{theirs}": f"{of}.{ours}" for theirs, ours in parts.items()}
        for number in (1, 2):
            weights[f"{to}.ls{number}.gamma"] = published[f"{of}.layer_scale{number}.lambda1"]
        for part in ("weight", "bias"):
            weights[f"{to}.attn.qkv.{part}"] = torch.cat(
                [
                    published[f"{of}.attention.attention.{one}.{part}"]
                    for one in ("query", "key", "value")
                ]
            )
    for theirs, ours in modules.items():
        for part in ("weight", "bias"):
            weights[f"{theirs}.{part}"] = published[f"{ours}.{part}"]
    return weights


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_the_device_gives_the_vectors_of_the_processor(
    vit_b_14: Path, tmp_path: Path, precision: str
) -> None:
    pictures = [noise(640, 480), noise(300, 500)]
    expected = embeddings(loaded(EmbedDinoV2(), vit_b_14, tmp_path), pictures)
    ours = embeddings(
        loaded(EmbedDinoV2(), vit_b_14, tmp_path, device="cuda:0", precision=precision), pictures
    )
    assert similarity(ours, expected) >= 0.999


# --- any checkpoint of the family -----------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_batch_gives_what_transformers_gives_for_each_picture(
    small: Path, tmp_path: Path, count: int
) -> None:
    pictures = [noise(100 + 40 * number, 200, seed=number) for number in range(count)]
    ours = embeddings(loaded(EmbedDinoV2(), small, tmp_path), pictures)
    assert ours.shape == (count, 32)
    assert difference(ours, reference_vectors(small, pictures)) < 1e-4
    assert len({tuple(row) for row in ours}) == count


def test_a_unit_vector_is_given_to_those_who_ask_for_it(small: Path, tmp_path: Path) -> None:
    check_normalization(loaded(EmbedDinoV2(), small, tmp_path))


def test_a_region_is_embedded_as_the_picture_that_it_is(small: Path, tmp_path: Path) -> None:
    context = context_of(EmbedDinoV2(), small, tmp_path)
    check_region(EmbedDinoV2(), "prominent_face", context)


def test_a_larger_one_with_registers_takes_its_place(tmp_path: Path) -> None:
    config = Dinov2WithRegistersConfig(
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=70,
        patch_size=14,
        use_swiglu_ffn=True,
    )
    folder = dino_v2_folder(tmp_path / "registers", config)
    pictures = [noise(200, 150), noise(80, 120)]
    ours = embeddings(loaded(EmbedDinoV2(), folder, tmp_path), pictures)
    assert ours.shape == (2, 48)
    network = opened(Dinov2WithRegistersModel, folder)
    with torch.inference_mode():
        expected = [network(one).pooler_output[0].numpy() for one in prepared(pictures, 70)]
    assert difference(ours, expected) < 1e-4


def test_mean_and_deviation_are_those_of_the_file(tmp_path: Path) -> None:
    plain = dino_v2_folder(tmp_path / "plain")
    other = dino_v2_folder(tmp_path / "other", image_mean=[0.5, 0.5, 0.5], image_std=[1, 1, 1])
    vectors = [
        embeddings(loaded(EmbedDinoV2(), folder, tmp_path), [noise(60, 60)])
        for folder in (plain, other)
    ]
    assert difference(*vectors) > 0.01


def test_bfloat16_keeps_the_direction(small: Path, tmp_path: Path) -> None:
    pictures = [noise(200, 150), noise(80, 120)]
    ours = embeddings(loaded(EmbedDinoV2(), small, tmp_path, precision="bfloat16"), pictures)
    assert similarity(ours, reference_vectors(small, pictures)) >= 0.999


def test_the_fingerprint_is_that_of_the_files(small: Path, tmp_path: Path) -> None:
    store = store_of(tmp_path, {"embed_dino_v2": small})
    located = store.locate(store.models_of(EmbedDinoV2())[0])
    result = run_operation(EmbedDinoV2(), noise(9, 9), context=store.context(EmbedDinoV2(), "cpu"))
    assert result.model_fingerprint == located.fingerprint


def test_a_model_is_in_memory_once(small: Path, tmp_path: Path) -> None:
    shared = Shared()
    context = sharing(context_of(EmbedDinoV2(), small, tmp_path), shared)
    one, other = EmbedDinoV2().load(context), EmbedDinoV2().load(context)
    assert len(shared.models) == 1
    weights = load_file(small / "model.safetensors").values()
    assert one.memory_bytes() == other.memory_bytes() == sum(one.nbytes for one in weights)
    one.close()
    assert embeddings(other, [noise(9, 9)]).shape == (1, 32)


# --- checkpoints that cannot be used --------------------------------------------------------------


def test_weights_that_are_not_here_are_named_with_the_command_that_gets_them(
    tmp_path: Path,
) -> None:
    assert ModelStore(tmp_path).missing(EmbedDinoV2()) == (
        "needs the weights of 'dinov2-base', which are not here: opsin models pull dinov2-base"
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"layernorm.weight": None}, "layernorm.weight is missing"),
        ({"classifier.weight": torch.zeros(2)}, "classifier.weight is unexpected"),
        ({"layernorm.bias": torch.zeros(3)}, "layernorm.bias has another shape"),
    ],
    ids=["missing", "unexpected", "misshapen"],
)
def test_weights_that_do_not_fit_are_refused(
    small: Path, tmp_path: Path, changes: dict[str, torch.Tensor | None], reason: str
) -> None:
    folder = change_weights(shutil.copytree(small, tmp_path / "changed"), **changes)
    with pytest.raises(UnusableWeights, match=reason):
        loaded(EmbedDinoV2(), folder, tmp_path)


def test_a_model_of_another_family_is_refused(small: Path, tmp_path: Path) -> None:
    folder = change(shutil.copytree(small, tmp_path / "other"), model_type="vit")
    with pytest.raises(UnusableWeights, match="type 'vit', not 'dinov2' or 'dinov2_with_regist"):
        loaded(EmbedDinoV2(), folder, tmp_path)


def test_params_are_those_of_every_embedding() -> None:
    assert EmbedDinoV2.params is EmbeddingParams
    assert dino_v2_config().model_type == "dinov2"
