"""Servers with the whales API and small checkpoints; those of a module share one."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import torch

from tests.compat.whales.making import checkpoints, manifest, settings_of
from tests.conftest import LiveServer, serve, without_settings


@pytest.fixture(scope="package", autouse=True)
def two_threads() -> Iterator[None]:
    """The networks are small, and other tests want the processor's cores too."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints."""
    folder: Path = tmp_path_factory.mktemp("weights")
    checkpoints(folder)
    return folder


@pytest.fixture
def model(weights: Path, tmp_path: Path) -> Path:
    """The same for a test that writes a manifest of its own, or takes weights away."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in weights.iterdir():
        if path.name != "manifest.json":
            (folder / path.name).symlink_to(path)
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whales(
    weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    """A gate that lets everything pass, and prototypes of four individuals."""
    with pytest.MonkeyPatch.context() as patch:
        without_settings(patch)
        folder = tmp_path_factory.mktemp("whales")
        settings = settings_of(folder, manifest(weights))
    async with serve(settings) as live:
        yield live
