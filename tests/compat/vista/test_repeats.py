"""`Idempotency-Key`: a request that is sent again acts once, whatever became of its answer."""

import asyncio
import json
import uuid
from typing import Any

import httpx
import pytest

from tests.compat.vista.conftest import Vista
from tests.compat.vista.pipelines import documented, timestamped

pytestmark = pytest.mark.asyncio(loop_scope="module")

FINDING = {"annotation_type": "keypoint", "class_name": "nose", "data": {"x": 1, "y": 2}}


def chunk(count: int = 3) -> bytes:
    return json.dumps({"annotations": [FINDING] * count}).encode()


async def bulk(
    vista: Vista,
    analysis: str,
    body: bytes,
    key: str | None,
    prefix: str = "/api",
    **more: str,
) -> httpx.Response:
    headers = timestamped(body) | more
    headers |= {"Idempotency-Key": key} if key is not None else {}
    headers |= vista.user if prefix != "/api" else {}
    url = f"{prefix}/analyses/{analysis}/annotations:bulk"
    return await vista.client.post(url, content=body, headers=headers)


async def count(vista: Vista, analysis: str) -> int:
    url = f"/api/analyses/{analysis}/annotations?limit=0"
    answer = await vista.client.get(url, headers=vista.user)
    total: int = answer.json()["total"]
    return total


async def create(vista: Vista, image: str, key: str, user: dict[str, str]) -> httpx.Response:
    body = {"model_name": "yolo_v8", "model_version": "8"}
    headers = user | {"Idempotency-Key": key}
    return await vista.client.post(f"/api/images/{image}/analyses", json=body, headers=headers)


@pytest.mark.parametrize("prefix", ["/api", "/api-key", "/api-ml"])
async def test_findings_sent_again_are_stored_once(any_vista: Vista, prefix: str) -> None:
    analysis, key = await any_vista.analysis(), str(uuid.uuid4())
    first = await bulk(any_vista, analysis, chunk(), key, prefix)
    again = await bulk(any_vista, analysis, chunk(), key, prefix)
    assert (first.status_code, again.status_code) == (200, 200), first.text + again.text
    assert again.json() == first.json()
    assert again.json()["created_count"] == again.json()["total"] == 3
    other = await bulk(any_vista, analysis, chunk(), str(uuid.uuid4()), prefix)
    assert other.json()["total"] == 6
    without = await bulk(any_vista, analysis, chunk(), None, prefix)
    assert without.json()["total"] == await count(any_vista, analysis) == 9


async def test_of_many_at_once_one_acts(any_vista: Vista) -> None:
    analysis, key = await any_vista.analysis(), str(uuid.uuid4())
    answers = await asyncio.gather(*(bulk(any_vista, analysis, chunk(), key) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["created_count"] for answer in answers} == {3}
    assert await count(any_vista, analysis) == 3


async def test_a_key_counts_with_its_body_and_its_analysis(any_vista: Vista) -> None:
    analysis, other, key = await any_vista.analysis(), await any_vista.analysis(), "the-same"
    assert (await bulk(any_vista, analysis, chunk(1), key)).json()["total"] == 1
    assert (await bulk(any_vista, analysis, chunk(2), key)).json()["total"] == 3
    assert (await bulk(any_vista, other, chunk(1), key)).json()["total"] == 1


async def test_what_was_refused_may_be_sent_again(any_vista: Vista) -> None:
    analysis, key = await any_vista.analysis(), str(uuid.uuid4())
    bad = json.dumps({"annotations": [FINDING | {"confidence": 1.1}]}).encode()
    assert (await bulk(any_vista, analysis, bad, key)).status_code == 422
    unsigned = {"X-ML-Signature": "sha256=" + "0" * 64}
    assert (await bulk(any_vista, analysis, chunk(), key, **unsigned)).status_code == 401
    assert (await bulk(any_vista, analysis, chunk(), key)).json()["total"] == 3


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 256])
async def test_keys_that_are_none(vista: Vista, key: str) -> None:
    analysis = await vista.analysis()
    headers: Any = {**timestamped(chunk()), "Idempotency-Key": key.encode()}
    url = f"/api/analyses/{analysis}/annotations:bulk"
    answer = await vista.client.post(url, content=chunk(), headers=headers)
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["detail"]
    assert await count(vista, analysis) == 0


async def test_an_unsigned_key_opens_no_way_to_replay(any_vista: Vista) -> None:
    analysis, payload = await any_vista.analysis(), json.loads(chunk())
    url = f"/api/analyses/{analysis}/annotations:bulk"
    for key in ("one", "two"):
        headers = documented(payload, at=None) | {"Idempotency-Key": key}
        answer = await any_vista.client.post(url, json=payload, headers=headers)
        assert answer.status_code == 201
    assert await count(any_vista, analysis) == 3


async def test_an_analysis_is_made_once(any_vista: Vista) -> None:
    image, key = await any_vista.image(), str(uuid.uuid4())
    several = (create(any_vista, image, key, any_vista.user) for _ in range(6))
    made = await asyncio.gather(*several)
    assert {one.status_code for one in made} == {201}, [one.text for one in made]
    assert len({one.json()["id"] for one in made}) == 1
    other = await create(any_vista, image, str(uuid.uuid4()), any_vista.user)
    assert other.json()["id"] != made[0].json()["id"]


async def test_an_analysis_that_is_there_already_is_not_one_too_many(any_vista: Vista) -> None:
    image = await any_vista.image()
    keys = [str(uuid.uuid4()) for _ in range(10)]
    made = [await create(any_vista, image, key, any_vista.user) for key in keys]
    again = await create(any_vista, image, keys[-1], any_vista.user)
    assert again.json()["id"] == made[-1].json()["id"]
    full = await create(any_vista, image, str(uuid.uuid4()), any_vista.user)
    assert full.status_code == 400


async def test_nobody_gets_another_callers_answer(any_vista: Vista) -> None:
    image, key = await any_vista.image(), str(uuid.uuid4())
    assert (await create(any_vista, image, key, any_vista.user)).status_code == 201
    theirs = await create(any_vista, image, key, {"X-API-Key": any_vista.their_key})
    assert theirs.status_code == 403


@pytest.mark.parametrize("wish", ["return=minimal", "wait=5, return = minimal; x=1"])
async def test_a_small_answer(any_vista: Vista, wish: str) -> None:
    analysis = await any_vista.analysis()
    answer = await bulk(any_vista, analysis, chunk(), None, Prefer=wish)
    assert answer.json() == {"created_count": 3, "annotations": [], "total": 3}
    whole = await bulk(any_vista, analysis, chunk(), None, Prefer="return=representation")
    assert len(whole.json()["annotations"]) == whole.json()["total"] == 6
