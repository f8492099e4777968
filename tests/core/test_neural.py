"""The toolkit of runners: weights read as data, fitted strictly, and pictures made into batches."""

import json
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import CLIPImageProcessor

from opsin.core.contract import (
    Acceleration,
    Folder,
    LoadContext,
    LocatedModel,
    ModelRequirement,
    Precision,
)
from opsin.core.errors import ConfigurationError
from opsin.core.neural import (
    UnusableWeights,
    embedding_of,
    fit_weights,
    memory_of,
    pixels_to_batch,
    place,
    read_config,
    read_weights,
)

CPU = LoadContext("cpu")
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def weights(*names: str) -> dict[str, torch.Tensor]:
    return {name: torch.full((2, 3), float(len(name))) for name in names}


def saved(path: Path, tensors: Mapping[str, torch.Tensor]) -> Path:
    if path.suffix == ".safetensors":
        save_file(dict(tensors), path)
    else:
        torch.save(dict(tensors), path)
    return path


def sharded(folder: Path, **weight_map: str) -> list[Path]:
    """Two files with the tensors a, b and c, d, and an index that says so unless it is told."""
    told = {"a": "one", "b": "one", "c": "two", "d": "two", **weight_map}
    index = folder / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {k: f"{v}.safetensors" for k, v in told.items() if v}})
    )
    return [
        index,
        saved(folder / "one.safetensors", weights("a", "b")),
        saved(folder / "two.safetensors", weights("c", "d")),
    ]


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth", "w.bin"])
def test_weights_of_either_format(tmp_path: Path, name: str) -> None:
    told = weights("a", "bb")
    found = read_weights(saved(tmp_path / name, told))
    assert found.keys() == told.keys()
    assert all(torch.equal(found[key], told[key]) for key in told)


def test_weights_in_the_older_format_of_pytorch(tmp_path: Path) -> None:
    torch.save(weights("a"), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert read_weights(tmp_path / "old.pth").keys() == {"a"}


def test_weights_in_several_files(tmp_path: Path) -> None:
    one = saved(tmp_path / "one.safetensors", weights("a"))
    two = saved(tmp_path / "two.safetensors", weights("b"))
    assert read_weights(one, two).keys() == {"a", "b"}
    with pytest.raises(UnusableWeights, match=r"^a is in one\.safetensors and in three\.pt$"):
        read_weights(one, saved(tmp_path / "three.pt", weights("a")))


def test_shards_and_their_index(tmp_path: Path) -> None:
    paths = sharded(tmp_path)
    for order in (paths, paths[::-1]):
        assert read_weights(*order).keys() == {"a", "b", "c", "d"}


@pytest.mark.parametrize(
    ("weight_map", "reason"),
    [
        ({"a": "two"}, "a is not where model.safetensors.index.json says"),
        ({"e": "one"}, "e is not where"),
        ({"d": ""}, "d is not where"),
        ({"d": "three"}, "names three.safetensors, which is not among the files"),
        ({"d": "../two"}, "names two.safetensors, which is not among the files"),
    ],
)
def test_an_index_that_does_not_fit(
    tmp_path: Path, weight_map: dict[str, str], reason: str
) -> None:
    with pytest.raises(UnusableWeights, match=reason.replace(".", r"\.")):
        read_weights(*sharded(tmp_path, **weight_map))


def test_a_shard_that_was_not_asked_for_is_not_read(tmp_path: Path) -> None:
    index, one, _two = sharded(tmp_path)  # the second lies beside them, but who checked it?
    with pytest.raises(UnusableWeights, match=r"names two\.safetensors"):
        read_weights(index, one)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}'])
def test_an_index_that_is_none(tmp_path: Path, text: str) -> None:
    index, one, two = sharded(tmp_path)
    index.write_text(text)
    with pytest.raises(UnusableWeights, match="cannot be read as an index of weights"):
        read_weights(index, one, two)


class Hostile:
    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.made,)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_a_broken_or_hostile_file_is_refused_and_nothing_in_it_is_run(
    tmp_path: Path, name: str
) -> None:
    file, made = tmp_path / name, tmp_path / "made"
    for content in (b"", b"nothing", pickle.dumps({"a": Hostile(made)})):
        file.write_bytes(content)
        with pytest.raises(UnusableWeights, match=f"^{name} cannot be read as "):
            read_weights(file)
    torch.save({"a": Hostile(made)}, tmp_path / "zip.pt")
    with pytest.raises(UnusableWeights):
        read_weights(tmp_path / "zip.pt")
    assert not made.exists()


@pytest.mark.parametrize("state", [[torch.zeros(1)], {"a": 1}, torch.zeros(1)])
def test_a_file_that_holds_something_else(tmp_path: Path, state: Any) -> None:
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(UnusableWeights, match=r"w\.pt holds no state_dict"):
        read_weights(tmp_path / "w.pt")


def test_weights_must_fit_exactly() -> None:
    given = torch.nn.Linear(3, 2).state_dict()
    network = fit_weights(torch.nn.Linear(3, 2), given, "tiny")
    assert torch.equal(network.weight, given["weight"])
    for changes, reason in (
        ({"more": torch.zeros(1)}, "more is unexpected"),
        ({"weight": torch.zeros(2, 4)}, "do not fit Linear"),
    ):
        with pytest.raises(UnusableWeights, match=f"the weights of 'tiny' .*{reason}"):
            fit_weights(torch.nn.Linear(3, 2), {**given, **changes}, "tiny")
    with pytest.raises(UnusableWeights, match="bias is missing"):
        fit_weights(torch.nn.Linear(3, 2), {"weight": given["weight"]}, "tiny")


def test_a_placed_network_is_ready_for_inference() -> None:
    network = place(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout()), CPU)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert network[0].weight.dtype == torch.float32


def test_float16_is_not_for_the_processor() -> None:
    with pytest.raises(ConfigurationError, match="float16 is for CUDA devices; on the CPU use bf"):
        LoadContext("cpu", acceleration=Acceleration(Precision.FLOAT16))
    LoadContext("cuda:0", acceleration=Acceleration(Precision.FLOAT16))


@pytest.mark.parametrize("channels_last", [False, True])
def test_pictures_become_the_batch_that_the_published_processor_makes(channels_last: bool) -> None:
    chance = np.random.default_rng(0)
    pictures = [chance.integers(0, 256, (20, 30, 3), np.uint8) for _ in range(3)]
    pictures[0].flags.writeable = False
    pictures[1] = chance.integers(0, 256, (40, 60, 3), np.uint8)[::2, ::2]  # a view, as crops are
    context = LoadContext("cpu", acceleration=Acceleration(channels_last=channels_last))
    batch = pixels_to_batch(pictures, MEAN, STD, context)
    published = CLIPImageProcessor(
        do_resize=False, do_center_crop=False, image_mean=list(MEAN), image_std=list(STD)
    )
    expected = published([p.copy() for p in pictures], return_tensors="pt")["pixel_values"]
    assert batch.dtype == torch.float32
    assert torch.allclose(batch, expected, atol=1e-6, rtol=0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert batch.is_contiguous(memory_format=layout)


def test_pictures_in_the_precision_of_the_network() -> None:
    context = LoadContext("cpu", acceleration=Acceleration(Precision.BFLOAT16))
    picture = np.full((2, 2, 3), 255, np.uint8)
    batch = pixels_to_batch([picture], (0.0, 0.5, 1.0), (1.0, 0.5, 0.25), context)
    assert batch.dtype == torch.bfloat16
    assert batch[0, :, 0, 0].tolist() == [1.0, 1.0, 0.0]


def test_memory_counts_what_is_shared_once() -> None:
    one, two = torch.nn.Linear(10, 10, bias=False), torch.nn.Linear(10, 10, bias=False)
    assert memory_of(one) == 400
    assert memory_of(one, one) == 400
    two.weight = one.weight
    assert memory_of(one, two) == 400
    assert memory_of(torch.nn.BatchNorm1d(10)) == 4 * 40 + 8  # a count of batches, too
    assert memory_of() == 0


def test_an_embedding_is_float32_and_scaled_where_that_was_asked() -> None:
    row = torch.tensor([3.0, 4.0], dtype=torch.bfloat16)
    plain, unit = embedding_of(row, "a" * 64), embedding_of(row, "a" * 64, normalize=True)
    assert (plain.vector, plain.normalized) == ((3.0, 4.0), False)
    assert unit.vector == pytest.approx((0.6, 0.8), abs=1e-7)
    assert math.hypot(*unit.vector) == pytest.approx(1, abs=1e-6)
    assert (unit.dimensions, unit.normalized, unit.model_fingerprint) == (2, True, "a" * 64)
    assert all(type(value) is float for value in unit.vector)


def test_a_configuration_is_of_a_known_family(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"model_type": "clip", "projection_dim": 16}')
    model = LocatedModel(ModelRequirement("r", "ours", Folder(tmp_path), "MIT"), (file,), "f")
    assert read_config(model, ["vit", "clip"])["projection_dim"] == 16
    with pytest.raises(UnusableWeights, match="'ours' is a model of type 'clip', not 'a' or 'b'"):
        read_config(model, ["a", "b"])
