"""CLIP's vectors of pictures, of any checkpoint of the family; checkpoints that cannot be used."""

import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPModel

from opsin.core.errors import ConfigurationError, OperationUnavailable
from opsin.core.models.configuration import ModelConfiguration
from opsin.core.models.store import ModelStore
from opsin.core.neural import UnusableWeights
from opsin.core.plugin_host import PluginHost, PluginSource
from opsin.core.testing import run_operation
from opsin.plugins.clip.plugin import EmbedClip
from tests.pictures import noise
from tests.plugins.published import (
    change,
    change_weights,
    clip_config,
    clip_folder,
    context_of,
    loaded,
    opened,
    store_of,
)
from tests.plugins.reference import clip_pictures
from tests.plugins.running import (
    Shared,
    check_normalization,
    check_region,
    difference,
    embeddings,
    heavy_imports,
    sharing,
)

CLIP = PluginSource("clip", "opsin.plugins.clip.plugin", "opsin")


# --- the plugin -----------------------------------------------------------------------------------


def test_the_plugin_is_light() -> None:
    assert heavy_imports("import opsin.plugins.clip.plugin") == []


def test_the_plugin_comes_through_the_door() -> None:
    host = PluginHost.discover([CLIP], entry_points=False)
    assert host.failures == ()
    assert list(host.operations) == ["embed_clip_vit_b_32", "classify_zero_shot"]


# --- any checkpoint of the family -----------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_batch_gives_what_each_picture_alone_gives(
    small_clip: Path, tmp_path: Path, count: int
) -> None:
    runner = loaded(EmbedClip(), small_clip, tmp_path)
    pictures = [noise(100 + 40 * number, 200, seed=number) for number in range(count)]
    alone = np.concatenate([embeddings(runner, [picture]) for picture in pictures])
    together = embeddings(runner, pictures)
    assert difference(together, alone) < 1e-5
    assert len({tuple(row) for row in together}) == count


def test_a_unit_vector_is_given_to_those_who_ask_for_it(small_clip: Path, tmp_path: Path) -> None:
    check_normalization(loaded(EmbedClip(), small_clip, tmp_path))


def test_a_region_is_embedded_as_the_picture_that_it_is(small_clip: Path, tmp_path: Path) -> None:
    context = context_of(EmbedClip(), small_clip, tmp_path)
    check_region(EmbedClip(), "prominent_person", context)


def test_another_clip_takes_its_place(tmp_path: Path) -> None:
    config = clip_config(patch_size=14, image_size=112, hidden_act="gelu")
    config.projection_dim = 24
    folder = clip_folder(
        tmp_path / "other",
        config,
        image_std=[0.5, 0.5, 0.5],
        size={"shortest_edge": 112},
        crop_size={"height": 112, "width": 112},
    )
    pictures = [noise(200, 150), noise(80, 120)]
    ours = embeddings(loaded(EmbedClip(), folder, tmp_path), pictures)
    assert ours.shape == (2, 24)
    assert difference(ours, clip_pictures(folder, pictures)) < 1e-4


def test_weights_in_half_precision_are_computed_with_in_single(
    small_clip: Path, tmp_path: Path
) -> None:
    halves = {key: w.half() for key, w in load_file(small_clip / "model.safetensors").items()}
    folder = change_weights(shutil.copytree(small_clip, tmp_path / "half"), **halves)
    change(folder, dtype="float16")
    runner = loaded(EmbedClip(), folder, tmp_path)
    whole = {key: w.float() for key, w in halves.items()}
    same = change_weights(shutil.copytree(small_clip, tmp_path / "whole"), **whole)
    picture = noise(90, 60)
    assert difference(embeddings(runner, [picture]), clip_pictures(same, [picture])) < 1e-4


def test_a_checkpoint_in_several_files(small_clip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(small_clip, tmp_path / "shards")
    (folder / "model.safetensors").unlink()
    opened(CLIPModel, small_clip).save_pretrained(folder, max_shard_size="40KB")
    shards = sorted(path.name for path in folder.glob("model*.safetensors*"))
    assert len(shards) > 2
    assert "model.safetensors.index.json" in shards
    files = ["config.json", "preprocessor_config.json", "tokenizer.json", *shards]
    file = tmp_path / "models.toml"
    file.write_text(f"[embed_clip_vit_b_32.encoder]\nfolder = '{folder}'\nfiles = {files}\n")
    store = ModelStore(tmp_path, configuration=ModelConfiguration.read(file))
    runner = EmbedClip().load(store.context(EmbedClip(), "cpu"))
    one = loaded(EmbedClip(), small_clip, tmp_path)
    assert difference(embeddings(runner, [noise(9, 9)]), embeddings(one, [noise(9, 9)])) < 1e-6


def test_the_fingerprint_is_that_of_the_files(small_clip: Path, tmp_path: Path) -> None:
    store = store_of(tmp_path, {"embed_clip_vit_b_32": small_clip})
    (requirement,) = store.models_of(EmbedClip())
    located = store.locate(requirement)
    assert [path.name for path in located.paths] == [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
    ]
    result = run_operation(EmbedClip(), noise(9, 9), context=store.context(EmbedClip(), "cpu"))
    assert result.model_fingerprint == located.fingerprint


def test_a_model_is_in_memory_once_and_without_its_other_half(
    small_clip: Path, tmp_path: Path
) -> None:
    shared = Shared()
    context = sharing(context_of(EmbedClip(), small_clip, tmp_path), shared)
    one, other = EmbedClip().load(context), EmbedClip().load(context)
    assert len(shared.models) == 1
    keys = [key for key in load_file(small_clip / "model.safetensors") if key.startswith("vis")]
    size = sum(load_file(small_clip / "model.safetensors")[key].nbytes for key in keys)
    positions = 50 * 8  # a buffer
    assert one.memory_bytes() == other.memory_bytes() == size + positions
    one.close()
    assert embeddings(other, [noise(9, 9)]).shape == (1, 16)


def test_nothing_is_asked_of_the_network(
    small_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert embeddings(loaded(EmbedClip(), small_clip, tmp_path), [noise(9, 9)]).shape == (1, 16)


# --- checkpoints that cannot be used --------------------------------------------------------------


def test_weights_that_are_not_here_are_named_with_the_command_that_gets_them(
    tmp_path: Path,
) -> None:
    store = ModelStore(tmp_path)
    assert store.missing(EmbedClip()) == (
        "needs the weights of 'clip-vit-base-patch32', which are not here: "
        "opsin models pull clip-vit-base-patch32"
    )
    with pytest.raises(OperationUnavailable, match="embed_clip_vit_b_32 needs the weights"):
        store.context(EmbedClip(), "cpu")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"visual_projection.weight": None}, "visual_projection.weight is missing"),
        ({"vision_model.extra": torch.zeros(2)}, "vision_model.extra is unexpected"),
        ({"visual_projection.weight": torch.zeros(3)}, "weight has another shape"),
        ({"classifier.weight": torch.zeros(2)}, "classifier.weight in .* is no weight of CLIP"),
    ],
    ids=["missing", "unexpected", "misshapen", "of something else"],
)
def test_weights_that_do_not_fit_are_refused(
    small_clip: Path, tmp_path: Path, changes: dict[str, torch.Tensor | None], reason: str
) -> None:
    folder = change_weights(shutil.copytree(small_clip, tmp_path / "changed"), **changes)
    with pytest.raises(UnusableWeights, match=reason):
        loaded(EmbedClip(), folder, tmp_path)


def test_a_model_of_another_family_is_refused(small_clip: Path, tmp_path: Path) -> None:
    folder = change(shutil.copytree(small_clip, tmp_path / "other"), model_type="siglip")
    with pytest.raises(UnusableWeights, match="is a model of type 'siglip', not 'clip'"):
        loaded(EmbedClip(), folder, tmp_path)


def test_pictures_of_another_size_than_the_model_takes_are_refused(tmp_path: Path) -> None:
    folder = clip_folder(tmp_path / "sizes", size=336, crop_size=336)
    with pytest.raises(UnusableWeights, match=r"takes 224 pixels a side, but .* 336 x 336"):
        loaded(EmbedClip(), folder, tmp_path)


def test_a_file_that_is_not_asked_for_is_named(small_clip: Path, tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(
        f"[embed_clip_vit_b_32.encoder]\nfolder = '{small_clip}'\n"
        "files = ['config.json', 'model.safetensors']\n"
    )
    store = ModelStore(tmp_path, configuration=ModelConfiguration.read(file))
    reason = r"has no preprocessor_config\.json among its files"
    with pytest.raises(ConfigurationError, match=reason):
        EmbedClip().load(store.context(EmbedClip(), "cpu"))
