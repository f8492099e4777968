"""OpenAI's CLIP ViT-B/32 in full size: its vectors are those of transformers and of timm."""

import json
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
from transformers import CLIPConfig
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from opsin import Picture
from opsin.core.imaging import ImageLimits, decode
from opsin.plugins.clip.plugin import EmbedClip
from tests.pictures import noise, portrait
from tests.plugins.published import TOKENS, change_weights, clip_folder, loaded
from tests.plugins.reference import clip_pictures
from tests.plugins.running import Matrix, difference, embeddings, similarity

# Seconds on a machine of their own; minutes where other processes want the same cores.
pytestmark = pytest.mark.timeout(600)

OLD = {"torch_dtype": None, "id2label": {"0": "LABEL_0"}, "is_decoder": False, "top_k": 50}
"""What files of transformers 4.16 say besides."""
VIT_B_32: dict[str, Any] = {
    "architectures": ["CLIPModel"],
    "initializer_factor": 1.0,
    "logit_scale_init_value": 2.6592,
    "model_type": "clip",
    "projection_dim": 512,
    "text_config": {
        **TOKENS,
        **OLD,
        "hidden_act": "quick_gelu",
        "hidden_size": 512,
        "intermediate_size": 2048,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 77,
        "model_type": "clip_text_model",
        "num_attention_heads": 8,
        "num_hidden_layers": 12,
        "vocab_size": 49408,
    },
    "text_config_dict": None,
    "transformers_version": None,
    "vision_config": {
        **OLD,
        "eos_token_id": None,
        "hidden_act": "quick_gelu",
        "hidden_size": 768,
        "image_size": 224,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-05,
        "model_type": "clip_vision_model",
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "patch_size": 32,
    },
    "vision_config_dict": None,
}
"""As beside OpenAI's weights: among others, without the number of dimensions in the towers."""


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    """A photograph, and noise in which every pixel counts; enlarged, reduced, wide and high."""
    photograph = decode(portrait(), ImageLimits()).pixels
    return [photograph, noise(640, 480), noise(300, 500), noise(90, 70)]


@pytest.fixture(scope="module")
def vit_b_32(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The published checkpoint's files, but for the values of the weights."""
    folder = tmp_path_factory.mktemp("vit-b-32")
    clip_folder(folder, CLIPConfig.from_dict(VIT_B_32))
    (folder / "config.json").write_text(json.dumps(VIT_B_32))
    change_weights(
        folder,
        **{
            "text_model.embeddings.position_ids": torch.arange(77)[None],
            "vision_model.embeddings.position_ids": torch.arange(50)[None],
        },
    )
    yield folder
    shutil.rmtree(folder)  # 600 MB


@pytest.fixture(scope="module")
def reference(vit_b_32: Path, pictures: list[Picture]) -> Matrix:
    """What transformers makes of each picture alone."""
    return clip_pictures(vit_b_32, pictures)


def test_vectors_are_those_of_the_reference(
    vit_b_32: Path, pictures: list[Picture], reference: Matrix, tmp_path: Path
) -> None:
    runner = loaded(EmbedClip(), vit_b_32, tmp_path)
    ours = embeddings(runner, pictures)
    assert ours.shape == (4, 512)
    assert difference(ours, reference) < 1e-4
    alone = np.concatenate([embeddings(runner, [picture]) for picture in pictures])
    assert difference(alone, reference) < 1e-4
    # The pictures differ by much more than that, and no vector was normalised.
    assert difference(reference[1:2], reference[2:3]) > 0.1
    assert abs(np.linalg.norm(ours, axis=1) - 1).min() > 0.1


def test_the_activation_is_quick_gelu_as_an_independent_implementation_has_it(
    vit_b_32: Path, pictures: list[Picture], reference: Matrix
) -> None:
    weights = timm_weights(load_file(vit_b_32 / "model.safetensors"), layers=12)
    pixels = torch.cat(
        [
            CLIPImageProcessorPil()(Image.fromarray(picture), return_tensors="pt")["pixel_values"]
            for picture in pictures
        ]
    )
    vectors = {}
    for name in ("vit_base_patch32_clip_quickgelu_224", "vit_base_patch32_clip_224"):
        with torch.device("meta"):  # without the time for initial weights
            network = timm.create_model(name, num_classes=512).eval()
        network.load_state_dict(weights, assign=True)
        with torch.inference_mode():
            vectors[name] = network(pixels).numpy()
    assert difference(vectors["vit_base_patch32_clip_quickgelu_224"], reference) < 1e-4
    assert difference(vectors["vit_base_patch32_clip_224"], reference) > 1e-3


def timm_weights(published: dict[str, torch.Tensor], layers: int) -> dict[str, torch.Tensor]:
    """The image tower under the names of timm."""
    embedded = "vision_model.embeddings."
    weights = {
        "cls_token": published[f"{embedded}class_embedding"][None, None],
        "pos_embed": published[f"{embedded}position_embedding.weight"][None],
        "patch_embed.proj.weight": published[f"{embedded}patch_embedding.weight"],
        "head.weight": published["visual_projection.weight"],
        "head.bias": torch.zeros(512),
    }
    for theirs, ours in {"norm_pre": "pre_layrnorm", "norm": "post_layernorm"}.items():
        for part in ("weight", "bias"):
            weights[f"{theirs}.{part}"] = published[f"vision_model.{ours}.{part}"]
    names = {
        "norm1": "layer_norm1",
        "attn.proj": "self_attn.out_proj",
        "norm2": "layer_norm2",
        "mlp.fc1": "mlp.fc1",
        "mlp.fc2": "mlp.fc2",
    }
    for layer in range(layers):
        of = f"vision_model.encoder.layers.{layer}"
        for part in ("weight", "bias"):
            for theirs, ours in names.items():
                weights[f"blocks.{layer}.{theirs}.{part}"] = published[f"{of}.{ours}.{part}"]
            weights[f"blocks.{layer}.attn.qkv.{part}"] = torch.cat(
                [published[f"{of}.self_attn.{one}_proj.{part}"] for one in "qkv"]
            )
    return weights


def test_bfloat16_keeps_the_direction(
    vit_b_32: Path, pictures: list[Picture], reference: Matrix, tmp_path: Path
) -> None:
    ours = embeddings(loaded(EmbedClip(), vit_b_32, tmp_path, precision="bfloat16"), pictures)
    assert similarity(ours, reference) >= 0.999
    assert difference(ours, reference) > 1e-4  # it was in fact computed so


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_the_device_gives_the_vectors_of_the_processor(
    vit_b_32: Path, pictures: list[Picture], reference: Matrix, tmp_path: Path, precision: str
) -> None:
    ours = embeddings(
        loaded(EmbedClip(), vit_b_32, tmp_path, device="cuda:0", precision=precision), pictures
    )
    assert similarity(ours, reference) >= 0.999
    if precision == "float32":
        assert difference(ours, reference) < 1e-3
