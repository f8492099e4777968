"""A small installation of real parts behind proxies, and the faults that can be made in it."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from moto.server import ThreadedMotoServer

from opsin.core.testing import FakeOperation
from opsin.settings import Settings
from tests.chaos.followers import Follower, followers
from tests.chaos.forms import START
from tests.chaos.ledger import Ledger, Verdict
from tests.chaos.postgres import PostgresServer, postgres_server
from tests.chaos.proxy import Mode, Proxy
from tests.core.given_plugins import house_of
from tests.marks_plugin import MarkParams
from tests.processes import Marks, Opsin
from tests.scene import Scene

LEASE = 3.0
POLL = 0.1
_PATIENCE = 180.0


@dataclass
class Storm:
    """Workers and API nodes on one database and one store; `recovered` has each fault's seconds."""

    folder: Path
    scene: Scene
    ledger: Ledger
    marks: Marks
    postgres: PostgresServer
    database: Proxy
    store: Proxy
    stack: contextlib.ExitStack
    settings: dict[str, Any]
    workers: list[Opsin] = field(default_factory=list)
    nodes: list[tuple[Opsin, int]] = field(default_factory=list)
    recovered: dict[str, list[float]] = field(default_factory=dict)
    replica: PostgresServer | None = None

    def ports(self) -> list[int]:
        return [port for _, port in self.nodes]

    async def start_worker(self, **more: Any) -> Opsin:
        settings = self.settings | {"worker_batch": 64} | more
        worker: Opsin = self.stack.enter_context(
            self.scene.start("worker", marks=self.marks, **settings)
        )
        self.workers.append(worker)
        await worker.prints("working", START)
        return worker

    async def start_node(self) -> None:
        arguments = ("serve", "--port", "0")
        settings = self.settings | {"worker": False}
        node: Opsin = self.stack.enter_context(
            self.scene.start(*arguments, marks=self.marks, **settings)
        )
        line = await node.prints("Health", START)
        self.nodes.append((node, int(line.split()[-1].split(":")[-1].split("/")[0])))

    def note(self, fault: str, started: float) -> None:
        self.recovered.setdefault(fault, []).append(time.monotonic() - started)

    async def flows(self, fault: str, since: float | None = None) -> None:
        """Note how long it takes until the next analysis ends."""
        started = time.monotonic() if since is None else since
        before: int | None = None
        async with asyncio.timeout(_PATIENCE):
            while True:
                now = await self.ledger.count("COMPLETED")
                if now is not None:
                    before = now if before is None else before
                    if now > before:
                        break
                await asyncio.sleep(0.02)
        self.note(fault, started)

    async def kill_worker(self) -> None:
        """kill -9 of one; another is started, and what it had in hand is run again."""
        victim = self.workers.pop(0)
        in_hand = await self._stopped_in_the_middle(victim)
        started = time.monotonic()
        victim.kill()
        await self.start_worker()
        await self.ledger.until_ended(_PATIENCE, in_hand)
        self.note("worker killed", started)

    async def _stopped_in_the_middle(self, worker: Opsin) -> list[str]:
        """Hold a worker still at a moment at which something is begun and not written."""
        async with asyncio.timeout(_PATIENCE):
            while True:
                worker.process.send_signal(signal.SIGSTOP)
                in_hand = await self.ledger.in_hand()
                begun = {mark for mark, pid in self.marks.lines() if pid == worker.pid}
                if {self.ledger.accepted.get(mark) for mark in begun} & set(in_hand):
                    return in_hand
                worker.process.send_signal(signal.SIGCONT)
                await asyncio.sleep(0.05)

    async def kill_node(self) -> None:
        """kill -9 of an API node; its followers go to another, and a new one answers."""
        victim, _ = self.nodes.pop(0)
        started = time.monotonic()
        victim.kill()
        await self.start_node()
        async with httpx.AsyncClient(timeout=10) as client, asyncio.timeout(_PATIENCE):
            while True:
                answer = await client.get(f"http://127.0.0.1:{self.ports()[-1]}/ready")
                if answer.status_code == 200:
                    break
                await asyncio.sleep(0.02)
        self.note("API node killed", started)

    async def crash_database(self, seconds: float = 0.5) -> None:
        await asyncio.to_thread(self.postgres.kill)
        await asyncio.sleep(seconds)
        started = time.monotonic()
        await asyncio.to_thread(self._restart)
        await self.flows("PostgreSQL killed, started again", started)

    def _restart(self) -> None:
        """As a service manager does: again, while processes of the dead one are still ending."""
        for _ in range(20):
            try:
                return self.postgres.start()
            except Exception:
                time.sleep(0.3)
        self.postgres.start()

    async def fail_over(self) -> None:
        """The server is gone for good; its replica takes over on another port."""
        assert self.replica is not None
        started = time.monotonic()
        self.database.set(Mode.CUT)
        await asyncio.to_thread(self.postgres.kill)
        await asyncio.to_thread(self.replica.promote)
        self.replica.without_replica()
        self.database.retarget("127.0.0.1", self.replica.port)
        self.database.set(Mode.PASS)
        self.postgres, self.replica = self.replica, None
        await self.flows("PostgreSQL failed over to another port", started)

    async def during(self, proxy: Proxy, mode: Mode, fault: str, seconds: float) -> None:
        """A proxy in that mode for so long."""
        proxy.set(mode)
        await asyncio.sleep(seconds)
        proxy.set(Mode.PASS)
        await self.flows(fault)

    async def slow(self, proxy: Proxy, fault: str, delay: float, seconds: float) -> None:
        proxy.delay = delay
        await asyncio.sleep(seconds)
        proxy.delay = 0.0
        await self.flows(fault)

    async def asking(self, count: int, faults: Callable[[], Awaitable[None]]) -> None:
        """Keep the queue filled while `faults` run, and then until `count` were asked for."""
        under_way = asyncio.ensure_future(faults())
        try:
            while not under_way.done() or len(self.ledger.accepted) < count:
                if len(self.ledger.accepted) >= count and under_way.done():
                    break
                waiting = await self.ledger.count("QUEUED")
                if waiting is None or waiting > 200:
                    await asyncio.sleep(0.05)
                    continue
                await self.ledger.ask(50)
            await under_way
        finally:
            under_way.cancel()

    async def judge(self, seen: list[Follower], failing: tuple[int, ...] = ()) -> Verdict:
        await self.ledger.until_ended(_PATIENCE)
        return await self.ledger.judge(seen, failing=failing)


@contextlib.contextmanager
def _s3_server() -> Iterator[int]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()[1]
    finally:
        server.stop()


@contextlib.asynccontextmanager
async def storm(
    settings: Settings,
    folder: Path,
    *,
    seconds: float = 0.01,
    workers: int = 2,
    nodes: int = 2,
    subscribers: int = 2,
    failover: bool = False,
) -> AsyncIterator[tuple[Storm, list[Follower]]]:
    """The installation, with the ledger's own house and its subscribers; `seconds` an item."""
    marks = Marks(folder, seconds, files=True)
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(postgres_server())
        replica = postgres.replica() if failover else None
        s3_port = stack.enter_context(_s3_server())
        async with (
            Proxy("127.0.0.1", postgres.port).running() as database,
            Proxy("127.0.0.1", s3_port).running() as store,
        ):
            shared: dict[str, Any] = {
                "blob_url": "s3://chaos/opsin",
                "s3_endpoint": f"http://127.0.0.1:{store.port}",
                "s3_access_key": "key",
                "s3_secret_key": "secret",
                "s3_create_bucket": True,
            }
            url = f"postgresql://postgres@127.0.0.1:{database.port}/postgres"
            operation = FakeOperation("write_mark", params=MarkParams)
            async with house_of(settings, operation, database_url=url, **shared) as parts:
                principal = await parts.use_cases.access.local()
                scene = Scene(parts, principal, folder, LEASE)
                made = Storm(
                    folder,
                    scene,
                    Ledger(parts, principal),
                    marks,
                    postgres,
                    database,
                    store,
                    stack,
                    shared | {"poll_seconds": POLL},
                    replica=replica,
                )
                await asyncio.gather(
                    *(made.start_worker() for _ in range(workers)),
                    *(made.start_node() for _ in range(nodes)),
                )
                async with followers(subscribers, made.ports) as seen:
                    yield made, seen
                for process in [*made.workers, *(node for node, _ in made.nodes)]:
                    process.check_alive()
                    assert await process.stop() == 0
