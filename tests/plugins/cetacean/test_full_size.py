"""The default configuration at full size: EfficientNet-B4 at 512 pixels and 15,587 rows."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from opsin import Item
from opsin.plugins.cetacean.manifest import DEFAULT
from opsin.plugins.cetacean.results import EMBED, IDENTIFY
from tests.plugins.cetacean.making import (
    asked,
    load,
    manifest,
    pictures,
    pixels_of,
    randomized,
    settled,
)
from tests.plugins.running import Shared, difference, embeddings, results

pytestmark = pytest.mark.timeout(600)

ROWS, ACTIVE, SIDE = 15_587, 13_837, 512


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest that comes with the plugin, without its gate, on random weights."""
    folder = tmp_path_factory.mktemp("ecomarineai")
    backbone: Any = timm.create_model("tf_efficientnet_b4", num_classes=0)
    embedding = torch.nn.Linear(backbone.num_features, 512)
    randomized(torch.nn.ModuleList([backbone, embedding]))
    settled(backbone, 160)
    weights = {
        **{f"model.{key}": tensor for key, tensor in backbone.state_dict().items()},
        **{f"embedding.{key}": tensor for key, tensor in embedding.state_dict().items()},
    }
    save_file(weights, folder / "embedder.safetensors")
    save_file({"arc.weight": torch.randn(ROWS, 512)}, folder / "prototypes.safetensors")
    individuals = [f"{number:012x}" for number in range(ACTIVE)]
    (folder / "individuals.txt").write_text("\n".join(individuals))
    (folder / "species_map.csv").write_text(
        "individual_id,species\n" + "".join(f"{one},kiler_whale\n" for one in individuals[::2])
    )
    told = tomllib.loads(DEFAULT.read_text("utf-8"))
    told["embedder"]["model"] = told["prototypes"]["model"] = {"folder": "."}
    assert told.pop("gate")["threshold"] == 0.52
    return manifest(folder, **told)


@pytest.fixture(scope="module")
def plain(file: Path) -> Any:
    """The same network in plain timm and torch."""
    from safetensors.torch import load_file

    weights = load_file(file.parent / "embedder.safetensors")
    backbone = timm.create_model("tf_efficientnet_b4", num_classes=0)
    backbone.load_state_dict(
        {k.removeprefix("model."): t for k, t in weights.items() if k.startswith("model.")}
    )
    embedding = torch.nn.Linear(1792, 512)
    embedding.load_state_dict(
        {k.removeprefix("embedding."): t for k, t in weights.items() if k.startswith("embedding.")}
    )
    return torch.nn.Sequential(backbone, embedding).eval()


def test_vectors_and_identification_are_those_of_plain_timm(file: Path, plain: Any) -> None:
    given = pictures(8)
    with torch.inference_mode():
        expected = torch.cat([plain(pixels_of(picture, SIDE)) for picture in given])
    shared = Shared()
    embedding = load(file, EMBED, shared)
    for count in (1, 3, 8):
        assert difference(embeddings(embedding, given[:count]), expected[:count].numpy()) < 1e-4
    identification = load(file, IDENTIFY, shared)
    assert len(shared.models) == 1, "one network in memory for both operations"

    found = results(identification, [Item(picture, asked()) for picture in given[:3]])
    from safetensors.torch import load_file

    rows = load_file(file.parent / "prototypes.safetensors")["arc.weight"]
    cosines = torch.nn.functional.normalize(expected[:3]) @ torch.nn.functional.normalize(rows).T
    cosines = cosines[:, :ACTIVE]
    probabilities = (30 * cosines).softmax(dim=1)
    for one, row, shares in zip(found, cosines, probabilities, strict=True):
        best = shares.topk(5)
        assert [c.individual for c in one.candidates] == [
            f"{i:012x}" for i in best.indices.tolist()
        ]
        ours = np.array([(c.probability, c.cosine) for c in one.candidates])
        theirs = np.stack([best.values.numpy(), row[best.indices].numpy()], axis=1)
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
        assert one.individual == one.candidates[0].individual
        assert one.species == ("kiler_whale" if int(one.individual, 16) % 2 == 0 else None)
        assert one.rejected is (round(float(best.values[0]), 4) < 0.05)


@pytest.mark.gpu
def test_the_device_computes_what_the_processor_computes(file: Path, plain: Any) -> None:
    from tests.plugins.cetacean.making import context_of, operation

    given = pictures(8)
    with torch.inference_mode():
        expected = torch.cat([plain(pixels_of(picture, SIDE)) for picture in given])
    one = operation(file, EMBED)
    runner = one.load(context_of(one, file.parent, device="cuda:0"))
    for count in (1, 3, 8):
        assert difference(embeddings(runner, given[:count]), expected[:count].numpy()) < 1e-3
