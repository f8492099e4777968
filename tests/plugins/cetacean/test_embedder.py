"""The embedder against plain timm, transformers and torch, stage by stage."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision import transforms
from transformers import ConvNextConfig, ConvNextModel, ViTConfig, ViTModel

from opsin import Picture
from opsin.core.neural import UnusableWeights
from opsin.plugins.cetacean.results import EMBED
from opsin.plugins.cetacean.runner.pictures import Fitting
from opsin.plugins.cetacean.stages import Embedder
from tests.plugins.cetacean.making import (
    IMAGENET,
    SIZE,
    embedder,
    load,
    manifest,
    pictures,
    pixels_of,
    randomized,
    save_embedder,
)
from tests.plugins.published import opened, save
from tests.plugins.running import difference, embeddings

pytestmark = pytest.mark.timeout(600)

NORMALIZE = transforms.Normalize(**IMAGENET)


def stage_of(**more: Any) -> Embedder:
    return Embedder.model_validate_json(json.dumps(embedder(**more)))


# --- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [64, [48, 96]])
def test_squash_is_torchvisions_resize(size: Any, interpolation: str) -> None:
    fitting = Fitting(stage_of(size=size, interpolation=interpolation))
    sides = [size, size] if isinstance(size, int) else size
    resize = transforms.Resize(sides, getattr(transforms.InterpolationMode, interpolation.upper()))
    for picture in pictures(4):
        expected = np.asarray(resize(Image.fromarray(picture)))
        np.testing.assert_array_equal(fitting.pixels(picture), expected)


@pytest.mark.parametrize("short_side", [None, 64, 73])
def test_crop_is_torchvisions_resize_and_centre_crop(short_side: int | None) -> None:
    fitting = Fitting(stage_of(resize="crop", short_side=short_side))
    crop = transforms.Compose([transforms.Resize(short_side or SIZE), transforms.CenterCrop(SIZE)])
    for picture in pictures(6):
        expected = np.asarray(crop(Image.fromarray(picture)))
        np.testing.assert_array_equal(fitting.pixels(picture), expected)


@pytest.mark.parametrize("shape", [(40, 80), (80, 40), (33, 33), (7, 500), (1, 1), (500, 3)])
@pytest.mark.parametrize("size", [64, [48, 96]])
def test_pad_keeps_the_whole_picture_in_the_middle(shape: tuple[int, int], size: Any) -> None:
    fitting = Fitting(stage_of(resize="pad", size=size))
    high, wide = (size, size) if isinstance(size, int) else size
    picture = np.full((*shape, 3), 200, np.uint8)
    pixels = fitting.pixels(picture)
    assert pixels.shape == (high, wide, 3)
    rows, columns = (np.flatnonzero(pixels.any(axis=(other, 2))) for other in (1, 0))
    scale = min(high / shape[0], wide / shape[1])
    assert len(rows) == max(1, round(shape[0] * scale)) and len(columns) == max(
        1, round(shape[1] * scale)
    )
    for inside, side in ((rows, high), (columns, wide)):
        assert np.all(np.diff(inside) == 1)
        assert abs(inside[0] - (side - 1 - inside[-1])) <= 1
    assert (pixels[np.ix_(rows, columns)] == 200).all()


# --- networks -------------------------------------------------------------------------------------


def reference(network: Any, given: list[Picture], size: int = SIZE) -> np.ndarray[Any, Any]:
    """Batches of one, as the library computes it."""
    with torch.inference_mode():
        return np.concatenate([network(pixels_of(picture, size)).numpy() for picture in given])


def test_a_linear_neck(tmp_path: Path) -> None:
    network = save_embedder(tmp_path)
    given = pictures(3)
    runner = load(manifest(tmp_path), EMBED)
    assert difference(embeddings(runner, given), reference(network, given)) < 1e-4
    unit = embeddings(runner, given, normalize=True)
    assert np.linalg.norm(unit, axis=1) == pytest.approx(1)
    assert 1 - min(unit[0] @ unit[1], unit[0] @ unit[2]) > 1e-3, "different pictures are apart"


def save_renamed(file: Path, **networks: torch.nn.Module) -> None:
    """Weights of several networks, each below its name."""
    save_file(
        {
            f"{name}.{key}": tensor
            for name, network in networks.items()
            for key, tensor in network.state_dict().items()
        },
        file,
    )


class Gem(torch.nn.Module):
    """As papers write it down."""

    def __init__(self, power: float = 3.0) -> None:
        super().__init__()
        self.p = torch.nn.Parameter(torch.ones(1) * power)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        pooled = torch.nn.functional.avg_pool2d(
            maps.clamp(min=1e-6).pow(self.p), (maps.size(-2), maps.size(-1))
        ).pow(1.0 / self.p)
        return pooled.flatten(1)


def test_gem_of_two_stages_and_batch_norm(tmp_path: Path) -> None:
    backbone: Any = timm.create_model("test_efficientnet", features_only=True, out_indices=(3, 4))
    neck = torch.nn.BatchNorm1d(sum(backbone.feature_info.channels()))
    randomized(torch.nn.ModuleList([backbone, neck]))
    save_renamed(tmp_path / "embedder.safetensors", backbone=backbone, bn=neck)
    gem = Gem()

    def network(pixels: torch.Tensor) -> torch.Tensor:
        found = neck(torch.cat([gem(maps) for maps in backbone(pixels)], dim=1))
        assert isinstance(found, torch.Tensor)
        return found

    table = embedder(
        keys={"backbone.": "backbone.", "bn.": "neck.0."},
        pooling="gem",
        stages=[3, 4],
        neck=["batch_norm"],
    )
    given = pictures(3)
    ours = embeddings(load(manifest(tmp_path, embedder=table), EMBED), given)
    assert difference(ours, reference(network, given)) < 1e-4


def test_a_learned_power_of_gem(tmp_path: Path) -> None:
    backbone = timm.create_model("test_efficientnet", num_classes=0, global_pool="")
    gem = Gem(4.5)
    randomized(backbone)
    save_renamed(tmp_path / "embedder.safetensors", backbone=backbone, pooling=gem)
    keys = {"backbone.": "backbone.", "pooling.": "pool.0."}
    table = embedder(keys=keys, pooling="gem", gem_power="learned", neck=[])
    given = pictures(2)
    ours = embeddings(load(manifest(tmp_path, embedder=table), EMBED), given)
    theirs = reference(torch.nn.Sequential(backbone, gem), given)
    assert difference(ours, theirs) < 1e-4
    fixed = embedder(keys=keys, pooling="gem", neck=[])
    with pytest.raises(UnusableWeights, match=r"ModuleList: 0\.p is unexpected"):
        load(manifest(tmp_path, embedder=fixed), EMBED)


@pytest.mark.parametrize(
    ("architecture", "pooling", "more"),
    [
        ("test_efficientnet", "model", {}),
        ("test_vit", "model", {"size": 96, "pass_size": True}),
        ("swin_tiny_patch4_window7_224", "average", {"size": 224}),
    ],
)
def test_architectures_of_timm(
    tmp_path: Path, architecture: str, pooling: str, more: dict[str, Any]
) -> None:
    size = int(more.get("size", SIZE))
    told: dict[str, Any] = {"img_size": size} if more.get("pass_size") else {}
    backbone = timm.create_model(architecture, num_classes=0, **told)
    randomized(backbone)
    save_file(backbone.state_dict(), tmp_path / "embedder.safetensors")
    table = embedder(
        architecture=architecture, pooling=pooling, keys={"": "backbone."}, neck=[], **more
    )
    given = pictures(2)
    ours = embeddings(load(manifest(tmp_path, embedder=table), EMBED), given)
    # Swin's own pooling is the mean over its last maps, whose channels come last.
    assert difference(ours, reference(backbone, given, size)) < 1e-4


def test_models_of_transformers(tmp_path: Path) -> None:
    tower: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    vit = ViTConfig(**tower, num_attention_heads=2, image_size=SIZE, patch_size=16)
    save(ViTModel, vit, tmp_path, seed=1)
    given = pictures(3)
    network = opened(ViTModel, tmp_path)
    table: dict[str, Any] = {
        "source": "transformers",
        "architecture": None,
        "file": "model.safetensors",
        "keys": {"": "backbone."},
        "neck": [],
    }
    for pooling in ("cls", "model"):
        runner = load(manifest(tmp_path, embedder=embedder(**table, pooling=pooling)), EMBED)

        def expected(pixels: torch.Tensor, pooling: str = pooling) -> torch.Tensor:
            found = network(pixel_values=pixels)
            chosen = found.pooler_output if pooling == "model" else found.last_hidden_state[:, 0]
            assert isinstance(chosen, torch.Tensor)
            return chosen

        assert difference(embeddings(runner, given), reference(expected, given)) < 1e-4
    with pytest.raises(UnusableWeights, match="gives no feature maps"):
        load(manifest(tmp_path, embedder=embedder(**table, pooling="average")), EMBED)


def test_feature_maps_of_transformers(tmp_path: Path) -> None:
    config = ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])
    save(ConvNextModel, config, tmp_path, seed=1)
    network = opened(ConvNextModel, tmp_path)
    table = embedder(
        source="transformers",
        architecture=None,
        file="model.safetensors",
        keys={"": "backbone."},
        neck=[],
        pooling="average",
    )
    given = pictures(2)
    ours = embeddings(load(manifest(tmp_path, embedder=table), EMBED), given)

    def expected(pixels: torch.Tensor) -> torch.Tensor:
        maps = network(pixel_values=pixels).last_hidden_state
        assert isinstance(maps, torch.Tensor)
        return maps.mean(dim=(2, 3))

    assert difference(ours, reference(expected, given)) < 1e-4


def test_the_mirrored_picture_counts_as_much(tmp_path: Path) -> None:
    network = save_embedder(tmp_path)
    given = pictures(2)
    with torch.inference_mode():
        expected = [
            ((network(pixels_of(p)) + network(pixels_of(p).flip(3))) / 2)[0].numpy() for p in given
        ]
    runner = load(manifest(tmp_path, embedder=embedder(flip=True)), EMBED)
    assert difference(embeddings(runner, given), expected) < 1e-4
    mirrored = [np.ascontiguousarray(picture[:, ::-1]) for picture in given]
    assert difference(embeddings(runner, mirrored), expected) < 1e-2  # resizing is not quite even


@pytest.mark.parametrize("count", [3, 8, 20])
def test_a_batch_embeds_as_each_alone(tmp_path: Path, count: int) -> None:
    save_embedder(tmp_path)
    runner = load(manifest(tmp_path), EMBED)
    given = pictures(count)
    alone = np.concatenate([embeddings(runner, [picture]) for picture in given])
    assert difference(embeddings(runner, given), alone) < 1e-5


# --- what does not fit ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (
            {"keys": {"model.": "backbone."}},
            "embedding.bias among the weights of 'small-embedder' is none of backbone",
        ),
        (
            {"keys": {"model.": "backbone.", "embedding.": "neck.0.", "head.": "neck.1."}},
            "no weight of 'small-embedder' begins with 'head.'",
        ),
        ({"neck": []}, "neck' do not fit Sequential: 0.bias is unexpected"),
        ({"neck": ["batch_norm"]}, "neck.0.weight of .* is missing, or not that of a batch_norm"),
        ({"neck": ["linear", "linear"]}, "neck.1.weight of .* is missing"),
        ({"architecture": "test_resnet"}, "do not fit ResNet"),
        ({"architecture": "no_such_net"}, "timm cannot build 'no_such_net'"),
        ({"ignore": ["embedding."]}, "no weight of .* begins with 'embedding.'"),
        ({"pooling": "average", "stages": [1, 2]}, "do not fit|does not work"),
        ({"pooling": "average", "stages": [11]}, "timm cannot build"),
        ({"pass_size": True}, "timm cannot build"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    tmp_path: Path, more: dict[str, Any], complaint: str
) -> None:
    save_embedder(tmp_path)
    with pytest.raises(UnusableWeights, match=complaint):
        load(manifest(tmp_path, embedder=embedder(**more)), EMBED)


def test_a_weight_that_is_missing_misshapen_or_twice(tmp_path: Path) -> None:
    save_embedder(tmp_path)
    file = tmp_path / "embedder.safetensors"
    weights = load_file(file)
    for spoilt, complaint in (
        ({k: t for k, t in weights.items() if k != "model.conv_stem.weight"}, "is missing"),
        ({**weights, "model.conv_stem.weight": torch.zeros(3)}, "do not fit EfficientNet"),
        ({**weights, "embedding.weight": torch.zeros(32, 99)}, "does not work"),
        ({**weights, "backbone.conv_stem.weight": torch.zeros(3)}, "two weights of"),
    ):
        save_file(spoilt, file)
        with pytest.raises(UnusableWeights, match=complaint):
            load(manifest(tmp_path), EMBED)
