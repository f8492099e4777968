"""The files of images by signed links: for whoever has the link, while it holds, and as signed."""

import base64
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import pytest
import pytest_asyncio
from PIL import Image

from opsin.core.links import Links
from opsin.settings import Settings
from opsin.storage.blobs import content_key, open_blob_store
from tests.conftest import LiveServer, serve
from tests.graphql.asking import codes, image
from tests.pictures import noise_jpeg, solid_png

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "s" * 32


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("files"), worker=False, secret_key=SECRET)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(files: Settings) -> AsyncIterator[LiveServer]:
    async with serve(files) as server:
        yield server


async def links(live: LiveServer, image_id: str, sides: str = "") -> dict[str, str]:
    query = f"query($id: ID!) {{ image(id: $id) {{ url thumbnailUrl{sides} }} }}"
    found: dict[str, str] = (await live.data(query, id=image_id))["image"]
    return found


async def test_the_file_comes_as_it_was_taken_in(live: LiveServer) -> None:
    url = (await links(live, await image(live)))["url"]
    assert url.startswith(live.url)
    answer = await live.client.get(url)
    assert answer.content == solid_png()
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(solid_png()))
    # An uploaded file must not act as a page of ours.
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    head = await live.client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == answer.headers["content-length"]


@pytest.mark.parametrize(("width", "height"), [(16, 16), (1, 1), (8, 2000), (2048, 2048)])
async def test_a_thumbnail_fits_into_its_sides(live: LiveServer, width: int, height: int) -> None:
    found = await links(live, await image(live), f"(width: {width}, height: {height})")
    answer = await live.client.get(found["thumbnailUrl"])
    assert answer.headers["content-type"] in ("image/jpeg", "image/png", "image/webp")
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.width <= min(width, 32) and picture.height <= min(height, 24)


@pytest.mark.parametrize("sides", ["(width: 0)", "(height: 2049)", "(width: -1)"])
async def test_a_thumbnail_of_wrong_sides_has_no_link(live: LiveServer, sides: str) -> None:
    query = f"query($id: ID!) {{ image(id: $id) {{ thumbnailUrl{sides} }} }}"
    assert codes(await live.graphql(query, id=await image(live))) == ["INVALID_INPUT"]


async def refused(live: LiveServer, url: str, status: int, code: str) -> None:
    answer = await live.client.get(url)
    assert answer.status_code == status
    assert codes(answer.json()) == [code]


async def test_a_link_holds_only_as_it_was_signed(live: LiveServer) -> None:
    one, other = await image(live), await image(live)
    found = await links(live, one)
    url, thumbnail = found["url"], found["thumbnailUrl"]
    for tampered in (
        url.replace(one, other),
        url.replace("/content", "/thumbnail"),
        url.replace("expires=", "expires=9"),
        url[:-1] + ("0" if url[-1] != "0" else "1"),
        url + "&more=1",
        url.partition("?")[0],
        thumbnail.replace("width=256", "width=2048"),
        thumbnail.replace("width=256&", ""),
        thumbnail + "&width=2048",
    ):
        await refused(live, tampered, 403, "FORBIDDEN")


async def test_a_link_ends(live: LiveServer) -> None:
    signer = Links(SECRET.encode())
    path = f"/images/{await image(live)}/content"
    now = datetime.now(UTC)
    assert (
        await live.client.get(signer.sign(path, expires_at=now + timedelta(minutes=1)))
    ).is_success
    await refused(live, signer.sign(path, expires_at=now - timedelta(seconds=1)), 403, "FORBIDDEN")
    forged = Links(b"t" * 32).sign(path, expires_at=now + timedelta(minutes=1))
    await refused(live, forged, 403, "FORBIDDEN")


async def test_what_a_browser_has_is_not_sent_again(live: LiveServer) -> None:
    for url in (await links(live, await image(live))).values():
        answer = await live.client.get(url)
        assert answer.headers["cache-control"].startswith("private")
        for known in (answer.headers["etag"], f'"x", W/{answer.headers["etag"]}'):
            again = await live.client.get(url, headers={"if-none-match": known})
            assert (again.status_code, again.content) == (304, b"")
        assert (await live.client.get(url, headers={"if-none-match": '"x"'})).content


@pytest.mark.parametrize(
    "name",
    [
        "a b.png",
        "\u00e4\u6f22\U0001f600.png",
        "a\"b;c='d'.png",
        "a\r\nSet-Cookie: x=1.png",
        "%2e%2e.png",
    ],
)
async def test_any_name_of_a_file_can_be_told(live: LiveServer, name: str) -> None:
    url = (await links(live, await image(live, filename=name)))["url"]
    answer = await live.client.get(url)
    disposition = answer.headers["content-disposition"]
    assert disposition.isascii() and "set-cookie" not in answer.headers
    told = unquote(disposition.partition("filename*=UTF-8''")[2])
    assert told == name.replace("\r\n", "")


async def test_a_deleted_image_is_gone(live: LiveServer) -> None:
    image_id = await image(live)
    found = await links(live, image_id)
    await live.data("mutation($id: ID!) { deleteImage(id: $id) { deletedId } }", id=image_id)
    for url in found.values():
        await refused(live, url, 404, "NOT_FOUND")


async def test_a_missing_file_is_a_clear_404(live: LiveServer, files: Settings) -> None:
    image_id = await image(live, base64=base64.b64encode(noise_jpeg(seed=5)).decode())
    found = await links(live, image_id)
    query = "query($id: ID!) { image(id: $id) { sha256 } }"
    sha256 = (await live.data(query, id=image_id))["image"]["sha256"]
    await open_blob_store(files.resolved_blob_url).delete(content_key(sha256))
    for url in found.values():
        await refused(live, url, 404, "BLOB_NOT_FOUND")


@pytest.mark.parametrize("path", ["/images/x/content", "/images//content", "/images", "/nothing"])
async def test_what_is_no_path_is_404(live: LiveServer, path: str) -> None:
    assert (await live.client.get(path)).status_code == 404
