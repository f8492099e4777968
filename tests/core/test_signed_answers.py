"""Answers to signed requests: one for each, also when its worker died or its time is over."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from opsin.assembly import Parts
from opsin.core import signed_answers as core
from opsin.core.errors import Overloaded
from opsin.core.signed_answers import SignedAnswer, SignedAnswers
from opsin.storage.curation import signed_answers

DAY = timedelta(days=1)
GIVEN = SignedAnswer(201, "application/json", b'{"a": 1}')
DIGEST = "0" * 64


@pytest.fixture
def answers(parts: Parts) -> SignedAnswers:
    return parts.use_cases.signed_answers


async def test_whoever_comes_later_gets_the_first_answer(answers: SignedAnswers) -> None:
    assert await answers.claim(DIGEST, DAY) is None
    waiting = [asyncio.create_task(answers.claim(DIGEST, DAY)) for _ in range(3)]
    await asyncio.sleep(0.1)
    assert not any(task.done() for task in waiting)
    await answers.answer(DIGEST, GIVEN, DAY)
    assert await asyncio.gather(*waiting) == [GIVEN] * 3
    assert await answers.claim(DIGEST, DAY) == GIVEN
    assert await answers.claim("1" * 64, DAY) is None


async def test_one_claim_of_many_at_once_is_taken(answers: SignedAnswers) -> None:
    async def act() -> str:
        if await answers.claim(DIGEST, DAY) is None:
            await answers.answer(DIGEST, GIVEN, DAY)
            return "acted"
        return "was told"

    assert sorted(await asyncio.gather(*(act() for _ in range(8)))) == ["acted"] + ["was told"] * 7


async def test_what_came_to_nothing_may_come_again(answers: SignedAnswers) -> None:
    assert await answers.claim(DIGEST, DAY) is None
    await answers.release(DIGEST)
    assert await answers.claim(DIGEST, DAY) is None
    await answers.answer(DIGEST, GIVEN, DAY)
    await answers.release(DIGEST)  # too late: it was answered
    assert await answers.claim(DIGEST, DAY) == GIVEN


async def test_who_died_with_a_claim_does_not_keep_it(parts: Parts, answers: SignedAnswers) -> None:
    assert await answers.claim(DIGEST, DAY) is None
    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    async with parts.use_cases.database.write() as transaction:
        await transaction.connection.execute(update(signed_answers).values(created_at=long_ago))
    assert await answers.claim(DIGEST, DAY) is None


async def test_who_waits_too_long_is_told_to_come_back(
    answers: SignedAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "_WAIT_SECONDS", 0.1)
    assert await answers.claim(DIGEST, DAY) is None
    with pytest.raises(Overloaded):
        await answers.claim(DIGEST, DAY)


async def test_what_is_old_is_forgotten(answers: SignedAnswers) -> None:
    for digest, keep in (("1" * 64, timedelta(0)), ("2" * 64, DAY)):
        await answers.claim(digest, keep)
        await answers.answer(digest, GIVEN, keep)
    assert await answers.claim("1" * 64, DAY) is None
    await answers.answer("1" * 64, GIVEN, timedelta(0))
    assert await answers.sweep() == 1
    assert await answers.claim("2" * 64, DAY) == GIVEN
