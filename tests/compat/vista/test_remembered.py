"""Requests signed by the documented dialect: what is remembered of them, and for whom."""

import json
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from opsin.storage.curation import signed_answers
from tests.compat.vista.conftest import Vista
from tests.compat.vista.pipelines import documented

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def post(vista: Vista, path: str, payload: Any, key: str) -> httpx.Response:
    """On the prefix where everything is signed."""
    headers = documented(payload) | {"X-API-Key": key}
    content = json.dumps(payload)
    return await vista.client.post(f"/api-ml{path}", content=content, headers=headers)


async def test_nobody_gets_anothers_new_key(any_vista: Vista) -> None:
    """Two users who sign the same words with the pipelines' secret are two users all the same."""
    ours = await post(any_vista, "/api-keys", {"name": "ci"}, any_vista.key)
    theirs = await post(any_vista, "/api-keys", {"name": "ci"}, any_vista.their_key)
    assert (ours.status_code, theirs.status_code) == (201, 201)
    assert ours.json()["key"] != theirs.json()["key"]


async def test_the_text_of_a_key_is_kept_nowhere(any_vista: Vista) -> None:
    made = await post(any_vista, "/api-keys", {"name": "once"}, any_vista.key)
    secret = made.json()["key"]
    async with any_vista.parts.use_cases.database.read() as connection:
        kept = (await connection.execute(select(signed_answers.c.body))).scalars().all()
    assert all(secret.encode() not in (body or b"") for body in kept)
    again = await post(any_vista, "/api-keys", {"name": "once"}, any_vista.key)
    assert again.status_code == 409
    assert secret not in again.text
    listed = await any_vista.client.get("/api/api-keys", headers=any_vista.user)
    assert [key["name"] for key in listed.json()].count("once") == 1


async def test_two_users_say_the_same(any_vista: Vista) -> None:
    """Of a user's own change only the user's own repeat is one."""
    image = await any_vista.image()
    second = (await any_vista.parts.use_cases.api_keys.create(any_vista.ours, "second"))[1]
    keys = [any_vista.key, second, any_vista.key, second]
    said = [await post(any_vista, f"/images/{image}/comments", {"text": "ok"}, k) for k in keys]
    assert {answer.status_code for answer in said} == {201}
    assert len({answer.json()["author_id"] for answer in said}) == 2
    url = f"/api/images/{image}/comments"
    assert len((await any_vista.client.get(url, headers=any_vista.user)).json()) == 2


async def test_a_callback_is_one_whoever_sends_it(any_vista: Vista) -> None:
    """Its signature is enough: by leaving credentials out, or adding some, nobody repeats it."""
    identity = await any_vista.analysis()
    payload = {"artifact_type": "log"}
    url = f"/api/analyses/{identity}/artifacts/presign"
    callers: list[dict[str, str]] = [any_vista.user, {}]
    answers = [
        await any_vista.client.post(
            url, content=json.dumps(payload), headers=documented(payload) | user
        )
        for user in callers
    ]
    assert answers[0].status_code == 200
    assert answers[0].content == answers[1].content


async def test_what_was_refused_is_tried_again(any_vista: Vista) -> None:
    """Nothing was done, so there is nothing to repeat; what was in its way may be gone."""
    identity, pipeline = await any_vista.analysis(), any_vista.pipeline()
    assert (await pipeline.status(identity, "completed")).status_code == 409
    assert (await pipeline.status(identity, "processing")).status_code == 200
    assert (await pipeline.status(identity, "completed")).json()["status"] == "completed"
