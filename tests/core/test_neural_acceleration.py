"""Reduced precision, layout and compilation are held to the plain float32 reference."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import timm
import torch

from opsin.core.contract import Acceleration, LoadContext, Precision
from opsin.core.neural import pixels_to_batch, place
from tests.core.networks import residual_network

HALF = (0.5, 0.5, 0.5)


def vision_transformer() -> torch.nn.Module:
    return timm.create_model("vit_tiny_patch16_224", pretrained=False, img_size=64, num_classes=0)


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=[residual_network, vision_transformer], ids=["convolutions", "vit"])
def build(request: pytest.FixtureRequest) -> Callable[[], torch.nn.Module]:
    """Makes a network, each time with the same weights."""

    def made() -> torch.nn.Module:
        torch.manual_seed(7)
        network: torch.nn.Module = request.param()
        return network

    return made


def context(*args: Any, **acceleration: Any) -> LoadContext:
    return LoadContext("cpu", acceleration=Acceleration(*args, **acceleration))


def run(network: torch.nn.Module, how: LoadContext, count: int = 8) -> torch.Tensor:
    chance = np.random.default_rng(3)
    pictures = [chance.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(count)]
    with torch.inference_mode():
        output: torch.Tensor = network(pixels_to_batch(pictures, HALF, HALF, how))
    return output.to(torch.float32)


def embedded(
    build: Callable[[], torch.nn.Module], how: LoadContext, **options: torch.Tensor
) -> torch.Tensor:
    return run(place(build(), how, **options), how)


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(one, other, dim=1).min())


def test_bfloat16(build: Callable[[], torch.nn.Module]) -> None:
    plain = embedded(build, context())
    half = embedded(build, context(Precision.BFLOAT16))
    assert cosine(plain, half) >= 0.999
    assert not torch.equal(plain, half), "it was computed in another precision"


def test_channels_last(build: Callable[[], torch.nn.Module]) -> None:
    how = context(channels_last=True)
    network = place(build(), how)
    four = [p for p in network.parameters() if p.dim() == 4 and p.shape[1] > 1]
    assert four
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in four)
    assert float((embedded(build, context()) - run(network, how)).abs().max()) <= 1e-5


def test_both(build: Callable[[], torch.nn.Module]) -> None:
    how = context(Precision.BFLOAT16, channels_last=True)
    assert cosine(embedded(build, context()), embedded(build, how)) >= 0.999


needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("c++", "g++", "clang++")),
    reason="torch.compile needs a C++ compiler on the CPU",
)


@needs_compiler
@pytest.mark.timeout(300)
def test_compiled_once_for_batches_of_every_size(build: Callable[[], torch.nn.Module]) -> None:
    how = context(compile=True)
    network = place(build(), how, example=torch.zeros(1, 3, 64, 64))
    plain = place(build(), context())
    with torch.compiler.set_stance("fail_on_recompile"):
        for count in (1, 2, 3, 7, 16, 33):
            difference = run(plain, context(), count) - run(network, how, count)
            assert float(difference.abs().max()) <= 1e-4


class Uncompilable(torch.nn.Module):
    """Stands for a network that the compiler cannot take."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = torch.ops.opsin_test.unknown(pixels)
        return output


def test_what_cannot_be_compiled_is_told_while_it_loads() -> None:
    with pytest.raises(Exception, match="opsin_test"):
        place(Uncompilable(), context(compile=True), example=torch.zeros(1, 3, 8, 8))


@needs_compiler
@pytest.mark.timeout(300)
def test_an_example_by_the_names_of_its_parameters() -> None:
    class Named(torch.nn.Module):
        def forward(self, *, ids: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.mean(dim=(1, 2, 3)) + ids.sum(dim=1)

    how = context(Precision.BFLOAT16, channels_last=True, compile=True)
    example = {"ids": torch.ones(1, 4, dtype=torch.int64), "pixels": torch.zeros(1, 3, 8, 8)}
    network = place(Named(), how, example)
    with torch.inference_mode(), torch.compiler.set_stance("fail_on_recompile"):
        pixels = pixels_to_batch([np.zeros((8, 8, 3), np.uint8)] * 5, (0.0,) * 3, (1.0,) * 3, how)
        output = network(ids=torch.ones(5, 4, dtype=torch.int64), pixels=pixels)
    assert output.tolist() == [4.0] * 5
