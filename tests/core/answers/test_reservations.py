"""What a process reserves: once for all who want it here, until the last of them has ended."""

import asyncio
from collections.abc import Sequence

import pytest

from opsin.core.answers import reservations as module
from opsin.core.answers.reservations import Reservations

A, B = "a" * 64, "b" * 64


class Locks:
    """What this process holds, and what `elsewhere` holds; answers when it is let."""

    def __init__(self) -> None:
        self.held: list[int] = []
        self.elsewhere: set[int] = set()
        self.asked: list[list[int]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def take(self, keys: Sequence[int]) -> frozenset[int]:
        self.asked.append(list(keys))
        await self.may_answer.wait()
        free = [key for key in keys if key not in self.elsewhere]
        self.held += free
        return frozenset(free)

    async def release(self, keys: Sequence[int]) -> None:
        for key in keys:
            self.held.remove(key)

    async def close(self) -> None:
        self.held.clear()


def number(digest: str) -> int:
    return int(digest[:16], 16) >> 1


async def test_askers_of_one_process_share_a_key() -> None:
    reservations = Reservations(locks := Locks())
    first, second = reservations.open(), reservations.open()
    assert all(await asyncio.gather(first.take("1", A), second.take("1", A)))
    assert await first.take("2", B)
    assert locks.asked == [[number(A)], [number(B)]]
    await first.ended(["1"])
    assert locks.held == [number(A), number(B)]
    await second.ended(["1"])
    assert locks.held == [number(B)]
    await first.close()
    assert locks.held == []


async def test_two_tasks_of_one_claim_end_one_after_the_other() -> None:
    reservations = Reservations(locks := Locks())
    one = reservations.open()
    assert await one.take("1", A) and await one.take("2", A)
    await one.ended(["1"])
    assert locks.held == [number(A)]
    await one.ended(["2", "of somebody else"])
    assert locks.held == []


async def test_what_another_process_has_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reservations = Reservations(locks := Locks())
    locks.elsewhere.add(number(A))
    one = reservations.open()
    assert not await one.take("1", A)
    waiting = asyncio.ensure_future(one.take_when_free("1", A))
    await asyncio.sleep(0.1)
    assert not waiting.done() and one.waited_at > 0
    locks.elsewhere.clear()
    await waiting
    assert locks.held == [number(A)]
    await one.close()
    assert locks.held == []
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    locks.elsewhere.add(number(A))
    await reservations.open().take_when_free("1", A)  # it computes as well then
    assert locks.held == []


async def test_who_goes_while_asking_leaves_nothing_behind() -> None:
    reservations = Reservations(locks := Locks())
    locks.may_answer.clear()
    one = reservations.open()
    asking = asyncio.ensure_future(one.take("1", A))
    await asyncio.sleep(0)
    asking.cancel()
    await one.close()
    locks.may_answer.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert locks.asked == [[number(A)]]
    assert locks.held == []


async def test_a_release_in_the_middle_of_asking_loses_nothing() -> None:
    reservations = Reservations(locks := Locks())
    first, second = reservations.open(), reservations.open()
    assert await first.take("1", A)
    locks.may_answer.clear()
    asking = asyncio.gather(second.take("1", B), second.take("2", A))
    for _ in range(3):
        await asyncio.sleep(0)
    await first.ended(["1"])
    locks.may_answer.set()
    assert tuple(await asking) == (True, False)  # it is asked for again, as what is elsewhere
    await second.take_when_free("2", A)
    assert sorted(locks.held) == [number(A), number(B)]
    await second.close()
    assert locks.held == []


async def test_beyond_the_most_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 1)
    reservations = Reservations(locks := Locks())
    one = reservations.open()
    assert await one.take("1", A) and await one.take("2", B)
    assert locks.held == [number(A)]
    await one.ended(["1", "2"])
    assert locks.held == []


async def test_closed_they_hold_nothing() -> None:
    reservations = Reservations(locks := Locks())
    assert await reservations.open().take("1", A)
    await reservations.close()
    assert locks.held == []


async def test_who_stops_asking_and_goes_on_leaves_nothing_behind() -> None:
    reservations = Reservations(locks := Locks())
    locks.may_answer.clear()
    one = reservations.open()
    asking = asyncio.ensure_future(one.take("1", A))
    await asyncio.sleep(0)
    asking.cancel()
    locks.may_answer.set()
    await asyncio.gather(asking, return_exceptions=True)
    async with asyncio.timeout(10):
        while not locks.held:  # noqa: ASYNC110 - it is given to who asks no more
            await asyncio.sleep(0)
    await one.close()
    assert locks.held == []
