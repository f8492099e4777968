"""Full-size checkpoints of the default whales pipeline, with random weights, and pictures."""

import io
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from opsin.plugins.cetacean.manifest import DEFAULT
from tests.plugins.cetacean.making import manifest, randomized, settled
from tests.plugins.published import clip_config, clip_folder

ROWS, ACTIVE, DIMENSIONS = 15_587, 13_837, 512
VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
}
"""CLIP ViT-B/32."""


def make_checkpoints(folder: Path) -> Path:
    """The manifest's path; the gate lets everything pass, so that all stages are paid for."""
    clip_folder(folder / "gate", clip_config(**VISION))
    backbone: Any = timm.create_model("tf_efficientnet_b4", num_classes=0)
    embedding = torch.nn.Linear(backbone.num_features, DIMENSIONS)
    randomized(torch.nn.ModuleList([backbone, embedding]))
    settled(backbone, 160)
    weights = {
        **{f"model.{key}": tensor for key, tensor in backbone.state_dict().items()},
        **{f"embedding.{key}": tensor for key, tensor in embedding.state_dict().items()},
    }
    save_file(weights, folder / "embedder.safetensors")
    save_file({"arc.weight": torch.randn(ROWS, DIMENSIONS)}, folder / "prototypes.safetensors")
    individuals = [f"{number:012x}" for number in range(ACTIVE)]
    (folder / "individuals.txt").write_text("\n".join(individuals))
    species = "".join(f"{one},beluga\n" for one in individuals)
    (folder / "species_map.csv").write_text(f"individual_id,species\n{species}")
    told = tomllib.loads(DEFAULT.read_text("utf-8"))
    told["embedder"]["model"] = told["prototypes"]["model"] = {"folder": "."}
    told["gate"] |= {
        "model": {"folder": "gate"},
        "threshold": 0.0,
        "positive": ["a photo of whales in the sea", "3 whales"],
        "negative": ["a photo of a cat", "two dogs"],
    }
    return manifest(folder, **told)


def make_archive(count: int, seed: int) -> bytes:
    """JPEG photographs of 1280 x 853 pixels, each another."""
    random = np.random.default_rng(seed)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(count):
            cells = random.integers(0, 256, (40, 60, 3), dtype=np.uint8)
            picture = Image.fromarray(cells).resize((1280, 853), Image.Resampling.BICUBIC)
            encoded = io.BytesIO()
            picture.save(encoded, "JPEG", quality=88)
            archive.writestr(f"{number:03}.jpg", encoded.getvalue())
    return packed.getvalue()
