"""Manifests and small checkpoints for them, in the formats of real ones, drawn from a seed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision import transforms

from opsin import Gallery, Input, LoadContext, Operation, Picture
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost, PluginSource
from opsin.plugins.cetacean.results import CetaceanIdentificationParams
from tests.plugins.published import change_weights, clip_folder
from tests.plugins.running import Shared, sharing

CETACEAN = PluginSource("cetacean", "opsin.plugins.cetacean.plugin", "opsin")
POSITIVE = ("a photo of whales in the sea", "3 whales")
NEGATIVE = ("a photo of a cat", "two dogs", "Hopper's portrait")
SIZE = 64
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def gate(**more: Any) -> dict[str, Any]:
    return {
        "kind": "clip",
        "model": {"folder": "gate"},
        "positive": POSITIVE,
        "negative": NEGATIVE,
        "threshold": 0.4,
        **more,
    }


def embedder(**more: Any) -> dict[str, Any]:
    """A network of timm so small that it embeds in a few milliseconds, and a linear neck."""
    return {
        "architecture": "test_efficientnet",
        "model": {"folder": "."},
        "file": "embedder.safetensors",
        "keys": {"model.": "backbone.", "embedding.": "neck.0."},
        "size": SIZE,
        "pooling": "average",
        "neck": ["linear"],
        **more,
    }


def prototypes(**more: Any) -> dict[str, Any]:
    return {
        "model": {"folder": "."},
        "tensor": "arc.weight",
        "species": "species.csv",
        **more,
    }


def manifest(folder: Path, **tables: Any) -> Path:
    """A manifest with these tables and, where none is given, a small embedder."""
    told = {"name": "small", "embedder": embedder(), **tables}
    file = folder / "manifest.json"
    file.write_text(json.dumps({key: table for key, table in told.items() if table is not None}))
    return file


def randomized(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """No weight as plain as an initial one, and activations of ordinary size."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.1)
            elif tensor.dim() == 1:
                tensor.normal_(1, 0.1)
            else:
                tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5)
    return network.eval()


def settled(network: torch.nn.Module, side: int) -> torch.nn.Module:
    """With the statistics of real activations in its batch norms, as training leaves them.

    A deep network with any other statistics makes rounding errors large or all pictures alike.
    """
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.cat([pixels_of(picture, side) for picture in pictures(6, seed=9)]))
    return network.eval()


def save_embedder(folder: Path, dimensions: int = 32, seed: int = 0) -> torch.nn.Module:
    """The small network with its neck, saved as a training framework names its weights."""
    backbone: Any = timm.create_model("test_efficientnet", num_classes=0)
    network = randomized(
        torch.nn.Sequential(backbone, torch.nn.Linear(backbone.num_features, dimensions)), seed
    )
    names = {"0.": "model.", "1.": "embedding."}
    weights = {names[key[:2]] + key[2:]: tensor for key, tensor in network.state_dict().items()}
    save_file(weights, folder / "embedder.safetensors")
    return network


def save_prototypes(
    folder: Path, individuals: Sequence[str], rows: torch.Tensor, species: Mapping[str, str]
) -> None:
    save_file({"arc.weight": rows.contiguous()}, folder / "prototypes.safetensors")
    (folder / "individuals.txt").write_text("\n".join(individuals) + "\n")
    lines = ["individual_id,species", *(f"{key},{name}" for key, name in species.items())]
    (folder / "species.csv").write_text("\n".join(lines) + "\n")


def save_gate(folder: Path) -> Path:
    """A small CLIP whose logits are small enough that scores are neither 0 nor 1."""
    made = clip_folder(folder / "gate")
    return change_weights(made, logit_scale=torch.tensor(2.0))


def discover(file: Path) -> PluginHost:
    options = {"cetacean": {"manifest": str(file)}}
    return PluginHost.discover([CETACEAN], entry_points=False, options=options)


def operation(file: Path, name: str) -> Operation[Any, Any]:
    host = discover(file)
    assert host.failures == ()
    return host.operation(name)


def context_of(
    one: Operation[Any, Any], folder: Path, shared: Shared | None = None, device: str = "cpu"
) -> LoadContext:
    context = ModelStore(folder / "models", offline=True).context(one, device)
    return context if shared is None else sharing(context, shared)


def load(file: Path, name: str, shared: Shared | None = None) -> Any:
    """The runner of one operation of a manifest, loaded as the engine loads it."""
    one = operation(file, name)
    return one.load(context_of(one, file.parent, shared))


def asked(gallery: str | None = None, **more: Any) -> CetaceanIdentificationParams:
    return CetaceanIdentificationParams(gallery=gallery, **more)


def gallery_of(
    vectors: Any,
    labels: Sequence[str],
    fingerprint: str,
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
    digest: str = "1",
) -> Gallery:
    """As the server makes it of a collection: unit rows, float32, read-only."""
    rows = np.asarray(vectors, np.float64)
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    unit.flags.writeable = False
    return Gallery(
        collection="pod",
        digest=digest,
        inputs=(Input("embed_cetacean"),),
        fingerprints=(fingerprint,),
        vectors=unit,
        labels=tuple(labels),
        attributes=attributes or {},
    )


def pixels_of(picture: Picture, size: int = SIZE) -> torch.Tensor:
    """What torchvision makes of a picture that is squashed: 1 x 3 x size x size."""
    prepare = transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.ToTensor(),
            transforms.Normalize(**IMAGENET),
        ]
    )
    tensor: torch.Tensor = prepare(Image.fromarray(picture))
    return tensor[None]


def pictures(count: int, seed: int = 0) -> list[Picture]:
    """Smooth coloured pictures of different sizes, each another."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        cells = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        size = (int(random.integers(90, 200)), int(random.integers(90, 200)))
        made.append(np.array(Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC)))
    return made
