"""Asking together: one load for all who ask at once, and nobody's end is another's."""

import asyncio
from collections.abc import Sequence

import pytest

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.errors import StorageError, Unauthenticated
from opsin.core.gathering import Gathering
from tests.graphql.statements import statements_of


async def test_equal_questions_of_one_moment_are_one() -> None:
    loads: list[list[int]] = []

    async def load(items: Sequence[int]) -> list[int]:
        loads.append(list(items))
        await asyncio.sleep(0)
        return [item * 10 for item in items]

    gathering = Gathering(load)
    asked = [gathering.ask(number % 3, number % 3) for number in range(9)]
    assert await asyncio.gather(*asked) == [0, 10, 20] * 3
    assert loads == [[0, 1, 2]]


async def test_a_load_that_has_begun_answers_no_later_question() -> None:
    begun, proceed, loads = asyncio.Event(), asyncio.Event(), 0

    async def load(items: Sequence[str]) -> list[int]:
        nonlocal loads
        loads += 1
        number = loads
        begun.set()
        await proceed.wait()
        return [number] * len(items)

    gathering = Gathering(load)
    first = gathering.ask("key", "key")
    await begun.wait()
    second = gathering.ask("key", "key")
    proceed.set()
    assert [await first, await second] == [1, 2]


async def test_who_leaves_and_what_fails() -> None:
    async def load(items: Sequence[str]) -> list[str]:
        await asyncio.sleep(0.01)
        raise StorageError("the database is down")

    gathering = Gathering(load)

    async def ask() -> str:
        return await asyncio.shield(gathering.ask("key", "key"))

    leaving, staying = asyncio.create_task(ask()), asyncio.create_task(ask())
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(StorageError):
        await staying
    assert leaving.cancelled()


async def test_all_keys_are_confirmed_in_one_statement(parts: Parts, principal: Principal) -> None:
    access = parts.use_cases.access
    made = [
        (await parts.use_cases.api_keys.create(principal, f"{number}"))[0] for number in range(20)
    ]
    callers = [Principal(principal.company_id, key.name, key.id) for key in made]
    await parts.use_cases.api_keys.revoke(principal, made[3].id)
    with statements_of("api_keys") as statements:
        outcomes = await asyncio.gather(
            *(access.confirm(caller) for caller in callers * 5), return_exceptions=True
        )
    assert len(statements) == 1
    refused = [n % 20 for n, outcome in enumerate(outcomes) if isinstance(outcome, Exception)]
    assert refused == [3] * 5
    assert all(isinstance(outcomes[n], Unauthenticated) for n in range(3, 100, 20))


async def test_an_answer_is_never_older_than_the_question(
    parts: Parts, principal: Principal
) -> None:
    """A key that is revoked while others ask: who asks afterwards hears of it."""
    access = parts.use_cases.access
    for _ in range(20):
        key, _ = await parts.use_cases.api_keys.create(principal, "short-lived")
        caller = Principal(principal.company_id, key.name, key.id)
        early = [asyncio.create_task(access.confirm(caller)) for _ in range(5)]
        await parts.use_cases.api_keys.revoke(principal, key.id)
        with pytest.raises(Unauthenticated):
            await access.confirm(caller)
        await asyncio.gather(*early, return_exceptions=True)
