"""The files of pictures that were made of an image: for whoever may see it, as long as it is."""

import io
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from PIL import Image

from opsin.settings import Settings
from tests.compat.haut.flow import DETECTOR, attach, id_of, results
from tests.compat.haut.world import Haut, base64_text, fault, haut_server, haut_settings
from tests.pictures import portrait

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def working(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Haut]:
    """A server with a worker."""
    settings = haut_settings(
        module_settings, data_dir=tmp_path_factory.mktemp("working"), worker=True
    )
    async with haut_server(settings) as server:
        yield server


async def made_pictures(haut: Haut) -> tuple[str, list[str]]:
    """The path of a new portrait, and those of the files that were made of it."""
    dataset = await haut.ours.dataset()
    await attach(haut.ours, dataset, enabled_algorithms=[DETECTOR])
    batch = await haut.ours.batch(await haut.ours.subject(dataset))
    image = await haut.ours.image(batch, b64data=base64_text(portrait()))
    await results(haut.ours, image, 1)
    listed = await haut.ours.get(f"{image}/aux/")
    assert len(listed) >= 5
    return image, [f"/images/{one['id']}.jpg" for one in listed]


async def test_the_files_of_what_was_made(working: Haut) -> None:
    _, files = await made_pictures(working)
    for file in files:
        answer = await working.client.get(file, params={"token": working.ours.token})
        assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg"
        assert Image.open(io.BytesIO(answer.content)).format == "JPEG"
        assert fault(await working.theirs.ask("GET", file), 404)["code"] == "not_found"
        assert fault(await working.client.get(file), 401)["code"] == "not_authenticated"


async def test_they_go_with_the_image(working: Haut) -> None:
    image, files = await made_pictures(working)
    # Softly, as another API does it: it may come back, and is shown to nobody until then.
    client, headers = working.client, {"X-API-Key": await company_key(working)}
    reason = {"reason": "taken by mistake, really"}
    path = f"/api/projects/{image.split('/')[6]}/images/{id_of(image)}"
    answer = await client.request("DELETE", path, json=reason, headers=headers)
    assert answer.status_code == 200, answer.text
    for file in (*files, f"/images/{id_of(image)}.jpg"):
        assert fault(await working.ours.ask("GET", file), 404)["code"] == "not_found"
    answer = await client.post(f"{path}/restore", json=reason, headers=headers)
    assert answer.status_code == 200, answer.text
    for file in files:
        assert (await working.ours.ask("GET", file)).status_code == 200
    assert (await working.ours.ask("DELETE", image)).status_code == 200
    for file in files:
        assert fault(await working.ours.ask("GET", file), 404)["code"] == "not_found"


async def company_key(haut: Haut) -> str:
    access = haut.parts.use_cases.access
    principal = await access.authenticate(haut.ours.token)
    _, key = await haut.parts.use_cases.api_keys.create(principal, "a key")
    return key
