"""Webhooks: from commit to receipt, deliveries a second, and memory while 10,000 events wait.

The receiver is another process.  Delays are paired with those of a follower of the log in the same
process; for the other steps the server is a process of its own.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import uvloop

from bench.databases import each_database
from bench.server import data, running_process
from bench.subscribers import cpu_seconds, resident
from opsin.assembly import assemble
from opsin.core.webhooks.webhooks import NewWebhook
from opsin.settings import Settings
from opsin.storage.database import Database
from opsin.storage.event_log import EventFilter, NewEvent

WEBHOOKS = 10
BACKLOG = 10_000
CREATE = """mutation($input: CreateWebhookInput!) { createWebhook(input: $input) {
  webhook { id } } }"""
KIND = "analysis.completed"


class Receiver:
    """The other process."""

    def __init__(self, *answers: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.webhook_receiver", *answers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def seen(self) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        found: dict[str, Any] = json.loads(self._process.stdout.read())
        self._process.wait()
        return found


@contextmanager
def served(
    folder: Path, url: str, receiver: Receiver
) -> "Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]":
    settings = {"database_url": url, "webhook_allow": f"127.0.0.1:{receiver.port}"}
    with running_process(folder, **settings) as both:
        yield both


def make_webhooks(client: httpx.Client, receiver: Receiver, count: int, **more: Any) -> list[str]:
    made = []
    for number in range(count):
        given = {
            "url": f"http://127.0.0.1:{receiver.port}/{number}",
            "events": ["ANALYSIS_COMPLETED"],
        } | more
        made.append(data(client, CREATE, input=given)["createWebhook"]["webhook"]["id"])
    return made


def delays(url: str, folder: Path, *, rate: float = 100, seconds: float = 10) -> dict[str, Any]:
    """From just before the commit until the receiver has the request.

    Paired with a follower of the log in the same process, which is what a subscription starts from.
    """
    return uvloop.run(_delays(url, folder, rate, seconds))


async def _delays(url: str, folder: Path, rate: float, seconds: float) -> dict[str, Any]:
    receiver = Receiver()
    allow = (f"127.0.0.1:{receiver.port}",)
    settings = Settings(data_dir=folder, database_url=url, webhook_allow=allow)
    followed: list[float] = []
    count = int(rate * seconds)
    async with assemble(settings).running() as parts:
        use_cases = parts.use_cases
        principal = await use_cases.access.local()

        async def follow() -> None:
            wanted = EventFilter(principal.company_id, kinds=(KIND,))
            async for group in use_cases.events.follow(wanted, after=None):
                now = datetime.now(UTC)
                followed.extend((now - event.created_at).total_seconds() for event in group)

        async def write() -> None:
            async with use_cases.database.write() as transaction:
                transaction.emit(NewEvent(KIND, principal.company_id))

        for number in range(WEBHOOKS):
            new = NewWebhook(f"http://127.0.0.1:{receiver.port}/{number}", [KIND])
            await use_cases.webhooks.create(principal, new)
        running = [asyncio.create_task(one) for one in (parts.sender.run(), follow())]
        await asyncio.sleep(2)
        began, cpu = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
                group.create_task(write())
        reached = count / (time.perf_counter() - began)
        await asyncio.sleep(3)
        used = time.process_time() - cpu
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    seen = receiver.seen()
    return {
        "events": count,
        "events_per_second": round(reached, 1),
        "webhooks": WEBHOOKS,
        "lost": count * WEBHOOKS - seen["events"],
        "repeated": seen["repeated"],
        "out_of_order": seen["out_of_order"],
        **_percentiles("webhook", seen["delays"]),
        **_percentiles("follower", followed),
        "cpu_seconds": round(used, 1),
    }


def _percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    found = sorted(seconds)
    return {
        f"{name}_p50_ms": round(statistics.median(found) * 1000, 1),
        f"{name}_p99_ms": round(found[int(len(found) * 0.99)] * 1000, 1),
    }


async def write_log(url: str, company: str, count: int) -> None:
    database = Database(url)
    async with database.write() as transaction:
        for _ in range(count):
            transaction.emit(NewEvent(KIND, company, data={"status": "COMPLETED"}))
    await database.close()


def company_of(url: str) -> str:
    async def read() -> str:
        from sqlalchemy import select

        from opsin.storage.tables import companies

        database = Database(url)
        async with database.read() as connection:
            found: str = (await connection.execute(select(companies.c.id))).scalar_one()
        await database.close()
        return found

    return asyncio.run(read())


def flat_out(url: str, folder: Path, *, webhooks: int, parallel: int) -> dict[str, Any]:
    """A backlog of BACKLOG events, sent to each webhook as fast as it goes."""
    receiver = Receiver()
    with served(folder, url, receiver) as (client, process):
        data(client, 'mutation { createDataset(input: {name: "bench"}) { id } }')
        asyncio.run(write_log(url, company_of(url), BACKLOG))
        cpu = cpu_seconds(process.pid)
        make_webhooks(client, receiver, webhooks, parallel=parallel, after="0")
        wait_for_position(client, BACKLOG)
        used = cpu_seconds(process.pid) - cpu
    seen = receiver.seen()
    return {
        "webhooks": webhooks,
        "parallel": parallel,
        "deliveries": seen["received"],
        "repeated": seen["repeated"],
        "out_of_order": seen["out_of_order"],
        "per_second": round(seen["received"] / (seen["last"] - seen["first"])),
        "server_cpu_seconds": round(used, 1),
    }


def wait_for_position(client: httpx.Client, count: int) -> None:
    """Until every webhook has had so many deliveries written down."""
    query = "{ webhooks { nodes { deliveries { totalCount } } } }"
    while True:
        nodes = data(client, query)["webhooks"]["nodes"]
        if all(node["deliveries"]["totalCount"] >= count for node in nodes):
            return
        time.sleep(0.5)


def pending(url: str, folder: Path) -> dict[str, Any]:
    """The server's memory while BACKLOG events wait for each of the webhooks, who are all busy."""
    receiver = Receiver("busy")
    with served(folder, url, receiver) as (client, process):
        data(client, 'mutation { createDataset(input: {name: "bench"}) { id } }')
        time.sleep(2)
        before = resident(process.pid)
        make_webhooks(client, receiver, WEBHOOKS, parallel=4)
        asyncio.run(write_log(url, company_of(url), BACKLOG))
        time.sleep(10)
        after = resident(process.pid)
    seen = receiver.seen()
    return {
        "pending": BACKLOG * WEBHOOKS,
        "attempts": seen["received"],
        "megabytes_before": round(before / 1e6, 1),
        "megabytes_more": round((after - before) / 1e6, 1),
    }


def main(only: str | None = None) -> list[dict[str, Any]]:
    results = []
    steps: dict[str, Any] = {
        "delay": delays,
        "flat out, 1 webhook": lambda url, folder: flat_out(url, folder, webhooks=1, parallel=1),
        "flat out, 10 webhooks": lambda url, folder: flat_out(url, folder, webhooks=10, parallel=1),
        "flat out, 1 webhook, 8 at once": lambda url, folder: flat_out(
            url, folder, webhooks=1, parallel=8
        ),
        "pending": pending,
    }
    for name, step in steps.items():
        if only is not None and only not in name:
            continue
        for database, url, folder in each_database():
            result = {"database": database, "step": name} | step(url, folder)
            results.append(result)
            print(json.dumps(result), flush=True)
    return results


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
