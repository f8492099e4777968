"""For tests of the worker: run it beside a test, wait for what it does, see how things ended."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.records import Analysis


async def found(parts: Parts, principal: Principal, asked: Sequence[Analysis]) -> list[Analysis]:
    """The analyses as they are now, in the order in which they were asked for."""
    by_id = await parts.use_cases.analyses.find_many(principal, [a.id for a in asked])
    return [by_id[analysis.id] for analysis in asked]


@contextlib.asynccontextmanager
async def working(*houses: Parts) -> AsyncIterator[None]:
    """The workers of these houses, running beside the test."""
    tasks = [asyncio.create_task(house.worker.run()) for house in houses]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Wait for a condition to hold."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - a row of the database has no event
            await asyncio.sleep(0.02)


async def until_all(
    parts: Parts,
    principal: Principal,
    asked: Sequence[Analysis],
    status: AnalysisStatus = AnalysisStatus.COMPLETED,
    seconds: float = 30,
) -> None:
    """Wait for every one of the analyses to have the status."""

    async def reached() -> bool:
        return all(a.status is status for a in await found(parts, principal, asked))

    await until(reached, seconds)
