"""One server with every API on it, small models included, for the tests of a module."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import torch

from tests.compat.whales.making import checkpoints, manifest, settings_of
from tests.compat.world import World, world
from tests.conftest import without_settings
from tests.core.loopback import answer, running
from tests.pictures import solid_png


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints of the whales API's tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    folder: Path = tmp_path_factory.mktemp("small-weights")
    checkpoints(folder)
    torch.set_num_threads(threads)
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def everything(
    small_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """In dev mode, recording; a picture lies at `picture_url`."""
    with pytest.MonkeyPatch.context() as patch:
        without_settings(patch)
        settings = settings_of(tmp_path_factory.mktemp("everything"), manifest(small_weights))
    async with running() as pictures:
        pictures.answers["/a.png"] = answer(solid_png(40, 30), "Content-Type: image/png")
        allowed = (f"127.0.0.1:{pictures.port}",)
        async with world(
            settings,
            picture_url=f"{pictures.url}/a.png",
            fetch_allow=allowed,
            record_stateless=True,
            worker=True,
        ) as there:
            yield there
