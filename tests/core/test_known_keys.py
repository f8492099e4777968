"""Keys that were valid a moment ago: for how long, and what ends them."""

import asyncio

import pytest

from opsin.core.known_keys import KNOWN_SECONDS, KnownKeys, Together


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_key_is_known_for_a_moment() -> None:
    clock = Clock()
    known: KnownKeys[str] = KnownKeys(clock)
    assert known.get(b"a") is None
    known.put(b"a", "caller", "id", checked_at=clock.now)
    clock.now += KNOWN_SECONDS * 0.9
    assert known.get(b"a") == "caller"
    assert known.get(b"b") is None
    clock.now += KNOWN_SECONDS * 0.2
    assert known.get(b"a") is None


def test_it_counts_from_when_the_reading_began() -> None:
    clock = Clock()
    known: KnownKeys[str] = KnownKeys(clock)
    known.put(b"a", "caller", "id", checked_at=clock.now - KNOWN_SECONDS)
    assert known.get(b"a") is None


def test_a_revoked_key_is_not_brought_back_by_an_older_reading() -> None:
    known: KnownKeys[str] = KnownKeys(Clock())
    known.put(b"a", "caller", "id", checked_at=100.0)
    known.put(b"b", "other", "another id", checked_at=100.0)
    known.revoke("id")
    assert known.get(b"a") is None and known.is_revoked("id")
    known.put(b"a", "caller", "id", checked_at=100.0)
    assert known.get(b"a") is None
    assert known.get(b"b") == "other"


def test_a_key_that_expires_is_known_no_longer_than_it_is_good() -> None:
    clock = Clock()
    known: KnownKeys[str] = KnownKeys(clock)
    known.put(b"a", "caller", "id", checked_at=clock.now, seconds=0.25)
    known.put(b"b", "other", "another id", checked_at=clock.now, seconds=1e9)
    clock.now += 0.24
    assert known.get(b"a") == "caller"
    clock.now += 0.01
    assert known.get(b"a") is None
    assert known.get(b"b") == "other"
    clock.now += KNOWN_SECONDS
    assert known.get(b"b") is None


def test_the_keys_of_an_account_that_changes_are_read_anew() -> None:
    clock = Clock()
    known: KnownKeys[str] = KnownKeys(clock)
    known.put(b"a", "ada", "1", checked_at=clock.now, account_id="ada")
    known.put(b"b", "ben", "2", checked_at=clock.now, account_id="ben")
    clock.now += 0.1
    known.forget_account("ada")
    known.put(b"c", "ada", "3", checked_at=100.0, account_id="ada")  # read before it
    assert (known.get(b"a"), known.get(b"b"), known.get(b"c")) == (None, "ben", None)
    clock.now += 0.1
    known.put(b"a", "ada", "1", checked_at=clock.now, account_id="ada")
    assert known.get(b"a") == "ada"


def test_their_number_is_bounded() -> None:
    known: KnownKeys[int] = KnownKeys(Clock())
    for number in range(20_000):
        known.put(b"%d" % number, number, str(number), checked_at=100.0)
    assert known.get(b"0") is None
    assert known.get(b"19999") == 19_999


async def test_those_who_ask_together_get_one_answer() -> None:
    together, begun, gate = Together(), asyncio.Event(), asyncio.Event()
    asked = 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        begun.set()
        await gate.wait()
        return asked

    waiting = [asyncio.create_task(together.once("a", ask)) for _ in range(10)]
    await begun.wait()
    waiting[0].cancel()  # who asked first leaves
    gate.set()
    assert await asyncio.gather(*waiting[1:]) == [1] * 9
    assert await together.once("a", ask) == 2  # asked anew
    assert await together.once("b", ask) == 3


async def test_an_error_is_told_to_all_and_kept_for_nobody() -> None:
    together = Together()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    results = await asyncio.gather(
        *(together.once("a", fail) for _ in range(3)), return_exceptions=True
    )
    assert [str(result) for result in results] == ["no"] * 3
    alone = asyncio.create_task(together.once("a", fail))
    await asyncio.sleep(0)
    alone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await alone
    await asyncio.sleep(0.01)  # nobody is left; the error is no warning
