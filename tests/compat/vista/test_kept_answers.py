"""Documented bulk requests: rows and what is remembered of them are committed together, or not."""

import asyncio

import pytest
from sqlalchemy import func, select

from opsin.storage.curation import signed_answers
from opsin.storage.tables import annotations
from tests.compat.vista.conftest import Vista

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOX = {"annotation_type": "bounding_box", "data": {"bbox": [1, 2, 3, 4]}}


async def rows(vista: Vista, analysis_id: str) -> int:
    count = select(func.count()).where(annotations.c.analysis_id == analysis_id)
    async with vista.parts.use_cases.database.read() as connection:
        return (await connection.execute(count)).scalar_one()


async def remembered(vista: Vista) -> int:
    async with vista.parts.use_cases.database.read() as connection:
        return (await connection.execute(select(func.count(signed_answers.c.id)))).scalar_one()


async def test_what_cannot_be_remembered_is_not_stored(
    any_vista: Vista, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between the two would make the client's own retry store everything twice."""
    identity, before = await any_vista.analysis(), await remembered(any_vista)

    async def fails(*_: object) -> None:
        raise OSError("the machine goes down")

    monkeypatch.setattr("opsin.core.annotations.keep_claims", fails)
    answer = await any_vista.pipeline().bulk(identity, [BOX, BOX])
    assert answer.status_code == 503
    assert (await rows(any_vista, identity), await remembered(any_vista)) == (0, before)
    monkeypatch.undo()
    answers = [await any_vista.pipeline().bulk(identity, [BOX, BOX]) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content
    assert (await rows(any_vista, identity), await remembered(any_vista)) == (2, before + 1)


async def test_a_process_that_ends_in_the_middle_leaves_nothing_behind(
    any_vista: Vista, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No claim waits for its time to be over: the retry acts at once."""
    identity = await any_vista.analysis()
    reached = asyncio.Event()

    async def hangs(*_: object) -> None:
        reached.set()
        raise asyncio.CancelledError

    monkeypatch.setattr("opsin.core.annotations.keep_claims", hangs)
    sending = asyncio.create_task(any_vista.pipeline().bulk(identity, [BOX]))
    await reached.wait()
    monkeypatch.undo()
    await asyncio.gather(sending, return_exceptions=True)
    again = await any_vista.pipeline().bulk(identity, [BOX])
    assert (again.status_code, again.json()["total"]) == (201, 1)
    assert await rows(any_vista, identity) == 1


async def test_what_was_refused_is_refused_again(any_vista: Vista) -> None:
    identity = await any_vista.analysis()
    bad = {"annotation_type": "bounding_box", "data": {"bbox": [1, 2]}}
    answers = [await any_vista.pipeline().bulk(identity, [BOX, bad]) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[0].content == answers[1].content
    assert await rows(any_vista, identity) == 0


async def test_other_bytes_of_the_same_text_are_the_same_request(any_vista: Vista) -> None:
    """The signature is over the canonical text, which a client may space as it likes."""
    identity = await any_vista.analysis()
    many = [BOX | {"class_name": f"{n} 鯨"} for n in range(200)]
    first = await any_vista.pipeline().bulk(identity, many)
    assert (first.status_code, first.json()["total"]) == (201, 200)
    assert (await any_vista.pipeline().bulk(identity, many)).content == first.content
    assert await rows(any_vista, identity) == 200
