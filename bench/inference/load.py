"""Clients that ask one after the other, and what they saw."""

import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import httpx

from bench.inference.contestants import Contestant


@dataclass(frozen=True, slots=True)
class Seen:
    """Pictures a second, and milliseconds of the median and the slowest hundredth."""

    rate: float
    p50: float
    p99: float
    answers: int


async def load(
    ask: Callable[[bytes], Awaitable[object]],
    pictures: Sequence[bytes],
    clients: int,
    seconds: float,
) -> Seen:
    """`clients` at a time ask for `seconds`; the first tenth is warm-up and not counted."""
    times: list[float] = []
    supply = itertools.cycle(pictures)
    started = time.perf_counter()
    counted_from, end = started + seconds / 10, started + seconds

    async def client() -> None:
        while (begun := time.perf_counter()) < end:
            await ask(next(supply))
            done = time.perf_counter()
            if begun >= counted_from:
                times.append(done - begun)

    await asyncio.gather(*(client() for _ in range(clients)))
    took = time.perf_counter() - counted_from
    ordered = sorted(times)
    return Seen(
        len(times) / took,
        statistics.median(ordered) * 1000,
        ordered[int(len(ordered) * 0.99)] * 1000,
        len(times),
    )


async def load_over_http(
    contestant: Contestant, url: str, pictures: Sequence[bytes], clients: int, seconds: float
) -> Seen:
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(timeout=120, limits=limits) as client:

        async def ask(picture: bytes) -> list[float]:
            answer = await client.post(url, **contestant.request(picture))
            answer.raise_for_status()
            return contestant.vector(answer.json())

        return await load(ask, pictures, clients, seconds)
