"""What known clients do with the API, each in its own way, from signing in to the end."""

import base64
from typing import Any

import httpx
import pytest

from tests.compat.haut.world import ABSENT, API, PASSWORD, PICTURE, Haut
from tests.pictures import portrait

pytestmark = pytest.mark.asyncio(loop_scope="module")

CREDENTIALS = {"username": "ours@example.com", "password": PASSWORD}


async def test_a_client_that_says_authentication_and_leaves_the_slash_out(any_haut: Haut) -> None:
    """It reads `token_access`, takes 404 for null, and makes what is missing."""
    client = any_haut.client
    signed_in = (await client.post(f"{API}/login", json=CREDENTIALS)).json()
    headers = {"Authentication": f"Bearer {signed_in['token_access']}"}
    profile = (await client.get(f"{API}/auth/profile", headers=headers)).json()
    assert profile["user"]["id"] == signed_in["id"]
    company = f"{API}/companies/{signed_in['company_id']}"
    gone = await client.get(f"{company}/datasets/{ABSENT}", headers=headers)
    assert gone.status_code == 404
    made = await client.post(
        f"{company}/datasets", json={"name": "d", "image_type_id": 1}, headers=headers
    )
    dataset = f"{company}/datasets/{made.json()['id']}"
    subject = await client.post(f"{dataset}/subjects", json={"name": "s"}, headers=headers)
    batches = f"{dataset}/subjects/{subject.json()['id']}/batches"
    batch = await client.post(batches, json={"creation_time": "not a time"}, headers=headers)
    picture = f"data:image/jpeg;base64,{base64.b64encode(portrait()).decode()}"
    for side in (1, 2, 3):
        body = {"b64data": picture, "side_id": side, "light_id": 1}
        images = f"{batches}/{batch.json()['id']}/images"
        answer = await client.post(images, json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        results = await client.get(f"{images}/{answer.json()['id']}/results", headers=headers)
        assert (results.status_code, results.json()) == (200, []), "nothing was attached"
        file = await client.get(
            f"/images/{answer.json()['id']}.jpg", params={"token": signed_in["access_token"]}
        )
        assert file.content == portrait()


async def test_a_client_that_counts_what_it_can_decode(any_haut: Haut) -> None:
    """Only 200 and 201 with JSON are success to it, and it deletes with a body."""

    def decoded(answer: httpx.Response) -> Any:
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    client = any_haut.client
    signed_in = decoded(await client.post(f"{API}/auth/login/", json=CREDENTIALS))
    renewed = decoded(
        await client.post(f"{API}/refresh/", json={"refresh_token": signed_in["refresh_token"]})
    )
    client_headers = {"authorization": f"Bearer {renewed['access_token']}"}

    async def ask(method: str, path: str, **request: Any) -> Any:
        return decoded(await client.request(method, path, headers=client_headers, **request))

    company = f"{API}/companies/{signed_in['company_id']}"
    made = await ask("POST", f"{company}/datasets/", json={"name": "d", "image_type_id": 1})
    dataset = f"{company}/datasets/{made['id']}"
    body = {"name": "s", "birth_date": "1990-12-31", "biological_sex": 2, "meta": {"a": 1}}
    ids = [(await ask("POST", f"{dataset}/subjects/", json=body))["id"] for _ in range(3)]
    assert (await ask("GET", f"{dataset}/subjects/"))["count"] == 3
    subject = f"{dataset}/subjects/{ids[0]}"
    batch = (await ask("POST", f"{subject}/batches/"))["id"]
    batches = await ask("GET", f"{subject}/batches/")
    assert [one["id"] for one in batches["results"]] == [batch]
    picture = base64.encodebytes(PICTURE).decode()  # with line breaks
    image = await ask("POST", f"{subject}/batches/{batch}/images/", json={"b64data": picture})
    listed = await ask("GET", f"{subject}/batches/{batch}/images/")
    assert [one["id"] for one in listed["results"]] == [image["id"]]
    for path in (
        f"{subject}/batches/{batch}/images/{image['id']}/",
        f"{subject}/batches/{batch}/",
    ):
        assert await ask("DELETE", path) == {}
    deleted = await ask("DELETE", f"{dataset}/subjects/delete/", json={"subjects_ids": ids[:2]})
    assert deleted == {}
    assert (await ask("GET", f"{dataset}/subjects/"))["count"] == 1


async def test_a_client_that_signs_in_for_every_request(any_haut: Haut) -> None:
    """It looks its dataset and its subject up by name, and sends images without a batch."""
    client = any_haut.client

    async def headers() -> dict[str, str]:
        body = (await client.post(f"{API}/login/", json=CREDENTIALS)).json()
        return {"Authorization": f"Bearer {body['access_token']}"}

    dataset_path = await any_haut.ours.dataset(name="The Kiosk in Oslo")
    await any_haut.ours.subject(dataset_path, name="Somebody Else")
    company = any_haut.ours.company
    found = await client.get(
        f"{company}/datasets/short_list/", params={"q": "kiosk"}, headers=await headers()
    )
    assert isinstance(found.json(), list)
    [dataset_id] = {one["id"] for one in found.json()} & {dataset_path.rpartition("/")[2]}
    subjects = f"{company}/datasets/{dataset_id}/subjects/"
    looked_up = await client.get(subjects, params={"q": "anna"}, headers=await headers())
    assert looked_up.json()["results"] == []
    made = await client.post(subjects, json={"name": "Anna"}, headers=await headers())
    looked_up = await client.get(subjects, params={"q": "anna"}, headers=await headers())
    assert [one["id"] for one in looked_up.json()["results"]] == [made.json()["id"]]
    answer = await client.post(
        f"{subjects}{made.json()['id']}/images/",
        json={"b64data": base64.b64encode(PICTURE).decode(), "side_id": 1, "light_id": 1},
        headers=await headers(),
    )
    image = answer.json()
    assert answer.status_code == 201 and image["image_batch_id"]
    shown = await client.get(image["urls"]["original"])
    assert shown.content == PICTURE
    results = await client.get(
        f"{subjects}{made.json()['id']}/batches/{image['image_batch_id']}"
        f"/images/{image['id']}/results/",
        headers=await headers(),
    )
    assert results.json() == []


async def test_a_client_that_checks_every_status(any_haut: Haut) -> None:
    """201 for what is made, 200 for the rest; with a private token it signs in no more."""
    client = any_haut.client
    signed_in = await client.post(f"{API}/login/", json=CREDENTIALS)
    assert signed_in.status_code == 200
    headers = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
    token = await client.post(
        f"{API}/auth/private_tokens/", json={"name": "server"}, headers=headers
    )
    assert token.status_code == 201
    headers = {"Authorization": f"Bearer {token.json()['data']}"}
    company = f"{API}/companies/{signed_in.json()['company_id']}"
    dataset = await any_haut.ours.dataset()
    subject = await client.post(
        f"{dataset}/subjects/",
        json={"name": "x" * 512, "meta": {"customer": 7, "tags": ["a", None]}},
        headers=headers,
    )
    assert subject.status_code == 201
    assert subject.json()["meta"] == {"customer": 7, "tags": ["a", None]}
    path = f"{dataset}/subjects/{subject.json()['id']}"
    batch = await client.post(f"{path}/batches/", json={}, headers=headers)
    assert batch.status_code == 201
    images = f"{path}/batches/{batch.json()['id']}/images/"
    body = {"side_id": 1, "light_id": 1, "b64data": base64.b64encode(PICTURE).decode()}
    image = await client.post(images, json=body, headers=headers)
    assert image.status_code == 201
    assert (await client.get(f"{company}/", headers=headers)).status_code == 200
    ended = await client.delete(f"{API}/auth/private_tokens/{token.json()['id']}/", headers=headers)
    assert ended.status_code == 204
    assert (await client.get(f"{company}/", headers=headers)).status_code == 401
