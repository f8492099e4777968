"""One of each thing that paths of the Haut API name, in a dataset that is there already."""

import asyncio
import base64

from opsin.compat.haut.catalogue import CATALOGUE
from tests.conftest import LiveServer
from tests.pictures import portrait

LONGEST = 120
REDNESS, DETECTOR = 30, 40


async def things(
    live: LiveServer, dataset_id: str, user: tuple[str, str], *, calculates: bool
) -> dict[str, str]:
    """Ids by the names of parameters, and what the user shows; results where it `calculates`."""
    client = live.client
    email, password = user
    signed_in = await client.post("/api/v1/login/", json={"username": email, "password": password})
    assert signed_in.status_code == 200, signed_in.text
    token, company_id = signed_in.json()["access_token"], signed_in.json()["company_id"]
    headers = {"Authorization": f"Bearer {token}"}

    async def made(path: str, body: dict[str, object]) -> dict[str, str]:
        answer = await client.post(path, json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        found: dict[str, str] = answer.json()
        return found

    company = f"/api/v1/companies/{company_id}"
    dataset = f"{company}/datasets/{dataset_id}"
    await client.patch(dataset, json={"image_type_id": 1}, headers=headers)
    application_id = CATALOGUE.applications[0].id
    runs = f"{company}/applications/{application_id}/runs/"
    if calculates:
        algorithms = [REDNESS, DETECTOR]
        await made(runs, {"dataset_id": dataset_id, "enabled_algorithms": algorithms})
    subject = await made(f"{dataset}/subjects/", {"name": "somebody"})
    batch = await made(f"{dataset}/subjects/{subject['id']}/batches/", {})
    images = f"{dataset}/subjects/{subject['id']}/batches/{batch['id']}/images/"
    image = await made(images, {"b64data": base64.b64encode(portrait()).decode()})
    file_id = image["id"]
    if calculates:
        async with asyncio.timeout(LONGEST):
            results: list[object] = []
            while len(results) < len(algorithms):
                answer = await client.get(f"{images}{image['id']}/results/", headers=headers)
                results = answer.json()
                await asyncio.sleep(0.1)
        aux = (await client.get(f"{images}{image['id']}/aux/", headers=headers)).json()
        file_id = aux[0]["id"]
    private = await made("/api/v1/auth/private_tokens/", {"name": "first"})
    return {
        "company_id": company_id,
        "dataset_id": dataset_id,
        "subject_id": subject["id"],
        "batch_id": batch["id"],
        "image_id": image["id"],
        "application_id": application_id,
        "aux_id": file_id,
        "file_id": file_id,
        "token_id": str(private["id"]),
        "token": token,
        "refresh_token": signed_in.json()["refresh_token"],
        "email": email,
        "password": password,
    }
