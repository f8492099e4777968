"""How the networks of the cetacean operations compute, and that the provenance tells just that."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from opsin import LoadContext, LocatedModel, Operation
from opsin.core.engine.provenance import models_used
from opsin.core.models.configuration import ModelConfiguration
from opsin.core.models.store import ModelStore
from opsin.plugins.cetacean.results import EMBED, IDENTIFY
from tests.plugins.cetacean.making import (
    gate,
    manifest,
    operation,
    pictures,
    prototypes,
    save_embedder,
)
from tests.plugins.running import embeddings

pytestmark = pytest.mark.timeout(600)

DETECTOR = {
    "architecture": "ssdlite320_mobilenet_v3_large",
    "model": {"folder": "."},
    "classes": ["background", "whale"],
    "keep": ["whale"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whales")
    save_embedder(folder)
    return folder


def chosen(one: Operation[Any, Any], tmp_path: Path, text: str = "") -> LoadContext:
    """What it is loaded with where the operator has written that."""
    file = tmp_path / "models.toml"
    file.write_text(text)
    configuration = ModelConfiguration.read(file)
    assert configuration.unused([one]) == []
    return ModelStore(tmp_path, configuration=configuration).context(one, "cpu")


def layouts(runner: Any) -> set[torch.memory_format]:
    """Of the kernels of the embedder's network that have more than one layout."""
    kernels = [
        weight
        for weight in runner._animals._embedder.network.parameters()
        if weight.dim() == 4 and min(weight.shape[1:]) > 1
    ]
    assert kernels
    known = (torch.contiguous_format, torch.channels_last)
    return {one for kernel in kernels for one in known if kernel.is_contiguous(memory_format=one)}


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        ("", torch.channels_last),
        ("[acceleration]\nprecision = 'float32'", torch.channels_last),
        ("[embed_cetacean.acceleration]\nchannels_last = false", torch.contiguous_format),
    ],
    ids=["nothing", "a precision", "the other layout"],
)
def test_channels_come_last_unless_the_operator_chooses_otherwise(
    folder: Path, tmp_path: Path, text: str, layout: torch.memory_format
) -> None:
    one = operation(manifest(folder), EMBED)
    context = chosen(one, tmp_path, text)
    assert layouts(one.load(context)) == {layout}
    (told,) = models_used(context)
    assert told.channels_last is (layout is torch.channels_last)


def test_both_layouts_give_the_same_vectors(folder: Path, tmp_path: Path) -> None:
    one = operation(manifest(folder), EMBED)
    given = pictures(3)
    vectors = []
    for told in ("true", "false"):
        context = chosen(one, tmp_path, f"[acceleration]\nchannels_last = {told}")
        vectors.append(embeddings(one.load(context), given))
    last, first = vectors
    assert np.abs(last - first).max() < 1e-5 * np.abs(first).max()


def test_reduced_precision_stays_near(folder: Path, tmp_path: Path) -> None:
    one = operation(manifest(folder), EMBED)
    given = pictures(3)
    plain = embeddings(one.load(chosen(one, tmp_path)), given, normalize=True)
    faster = chosen(one, tmp_path, "[acceleration]\nprecision = 'bfloat16'")
    reduced = embeddings(one.load(faster), given, normalize=True)
    assert (plain * reduced).sum(axis=1).min() > 0.999


def test_the_detector_and_the_prototypes_are_told_as_plain_float32(tmp_path: Path) -> None:
    file = manifest(tmp_path, gate=gate(), detector=DETECTOR, prototypes=prototypes())
    one = operation(file, IDENTIFY)
    models = tmp_path / "models.toml"
    models.write_text("[acceleration]\nprecision = 'bfloat16'")
    how = ModelConfiguration.read(models).acceleration_of(one)
    located = {model.role: LocatedModel(model, (), "f") for model in one.models}
    told = models_used(LoadContext("cpu", located, how))
    assert {model.role: (model.precision, model.channels_last) for model in told} == {
        "gate": ("bfloat16", True),
        "detector": ("float32", False),
        "embedder": ("bfloat16", True),
        "prototypes": ("float32", False),
    }
