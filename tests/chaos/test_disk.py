"""A full disk, below the database or the blobs: callers are told, and all goes on after it."""

import asyncio
import contextlib
import io
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from opsin.core.errors import StorageError
from opsin.core.images import NewImage
from opsin.core.testing import FakeOperation
from opsin.settings import Settings
from tests.chaos.forms import START, long_form
from tests.chaos.ledger import Ledger
from tests.core.given_plugins import house_of
from tests.marks_plugin import MarkParams
from tests.pictures import noise_jpeg
from tests.processes import Marks
from tests.scene import Scene

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

_MEGABYTES = 24
_CREATE = 'mutation { createDataset(input: {name: "x"}) { id } }'


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    size = f"size={_MEGABYTES}m"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def _filled(disk: Path) -> Iterator[None]:
    """Nothing more fits on it, until the block ends."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        ballast.unlink()


@contextlib.asynccontextmanager
async def _ledger(
    settings: Settings, folder: Path, url: str, blobs: Path
) -> AsyncIterator[tuple[Ledger, Scene]]:
    operation = FakeOperation("write_mark", params=MarkParams)
    where = {"database_url": url, "blob_url": blobs.as_uri()}
    async with house_of(settings, operation, **where) as parts:
        principal = await parts.use_cases.access.local()
        yield Ledger(parts, principal), Scene(parts, principal, folder, lease=30)


@pytest.mark.parametrize("full", ["database", pytest.param("blobs", marks=long_form)])
async def test_a_disk_that_is_full_for_a_while(
    settings: Settings, tmp_path: Path, small_disk: Path, full: str
) -> None:
    """What was accepted is kept; what is not accepted is refused as an error of storage."""
    marks = Marks(tmp_path, 0.01, files=True)
    database = (small_disk if full == "database" else tmp_path) / "opsin.sqlite3"
    blobs = (small_disk if full == "blobs" else tmp_path) / "blobs"
    blobs.mkdir()
    url = f"sqlite:///{database}"
    async with _ledger(settings, tmp_path, url, blobs) as (ledger, scene):
        await ledger.ask(300)
        use_cases, principal = ledger.parts.use_cases, ledger.principal
        with (
            scene.start("worker", marks=marks, blob_url=blobs.as_uri()) as worker,
            scene.start(
                "serve", "--port", "0", marks=marks, worker=False, blob_url=blobs.as_uri()
            ) as node,
        ):
            base = (await node.prints("Health", START)).split()[-1].removesuffix("/health")
            await marks.at_least(20, by=worker)
            async with httpx.AsyncClient(base_url=base, timeout=30) as client:
                with _filled(small_disk):
                    new = NewImage(ledger.dataset_id, "late.jpg")
                    with pytest.raises(StorageError):
                        for seed in range(50):  # the last pages of the database may have room
                            picture = io.BytesIO(noise_jpeg(300, 300, seed=10_000 + seed))
                            await use_cases.images.add(principal, new, picture)
                    assert (await client.get("/health")).status_code == 200
                    read = await client.post(
                        "/graphql", json={"query": "{ datasets { nodes { id } } }"}
                    )
                    assert "errors" not in read.json()
                    await asyncio.sleep(1)
                    worker.check_alive()
                again = await client.post("/graphql", json={"query": _CREATE})
                assert "errors" not in again.json(), again.text
            await ledger.ask(20)
            await ledger.until_ended(120)
            assert [await worker.stop(), await node.stop()] == [0, 0]
        verdict = await ledger.judge()
        assert verdict.asked == 320 and verdict.begun_again == 0
