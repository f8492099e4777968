"""Several pictures in one request: in their order, each failing alone, sent as they are done."""

import asyncio

import httpx
import pytest

from tests.compat.image_embed.conftest import CLIP, PORTRAIT, task
from tests.conftest import LiveServer
from tests.core.loopback import Server, answer
from tests.pictures import solid_png

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("path", ["/analyze_images/", "/analyze_images"])
async def test_one_failure_never_fails_the_others(
    live: LiveServer, pages: Server, path: str
) -> None:
    pages.answers["/text"] = answer(b"no picture")
    urls = [pages.url + PORTRAIT, "nothing", pages.url + "/text", pages.url + "/missing"]
    urls += [f"{pages.url}/{shade}.png" for shade in range(24)]
    for shade in range(24):
        pages.answers[f"/{shade}.png"] = answer(solid_png(40, 30, (shade * 10, 9, 9)))
    tasks = [task("a", CLIP), task("b", "nope")]
    got = await live.client.post(path, json={"image_urls": urls, "tasks": tasks})
    assert got.status_code == 200
    images = got.json()["images"]
    assert [one["image_url"] for one in images] == urls
    expected = ["success", "error", "error", "error", *["success"] * 24]
    assert [one["status"] for one in images] == expected
    starts = ["Could not download image", "Could not process image", "Could not download image"]
    for one, start in zip(images[1:4], starts, strict=True):
        assert one["error_message"].startswith(start)
    for one in images:
        assert (one["results"] == {}) is (one["status"] == "error")
        assert (one["error_message"] is None) is (one["status"] == "success")
    for url, one in zip(urls, images, strict=True):
        if one["status"] == "error":
            continue
        alone = await live.client.post("/analyze_image/", json={"image_url": url, "tasks": tasks})
        assert alone.json()["results"] == one["results"]


async def test_what_is_done_is_sent(live: LiveServer, pages: Server) -> None:
    """The second picture never comes; the first one's results do."""
    asked = asyncio.Event()

    async def late(_path: str, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.sleep(600)

    pages.answers["/late"] = late
    urls = [pages.url + PORTRAIT, pages.url + "/late"]
    body = {"image_urls": urls, "tasks": [task("a", CLIP)]}
    async with (
        httpx.AsyncClient(base_url=live.url, timeout=60) as client,
        client.stream("POST", "/analyze_images/", json=body) as got,
    ):
        first = await anext(got.aiter_bytes())
        await asked.wait()
    assert first.startswith(b'{"images":[{"image_url":') and b'"status":"success"' in first


@pytest.mark.parametrize(
    ("urls", "kind"), [([], "too_short"), (["http://a/"] * 101, "too_long"), ("a", "list_type")]
)
async def test_how_many(live: LiveServer, urls: object, kind: str) -> None:
    got = await live.client.post("/analyze_images/", json={"image_urls": urls, "tasks": []})
    assert got.status_code == 422
    assert [(one["type"], one["loc"]) for one in got.json()["detail"]] == [
        (kind, ["body", "image_urls"])
    ]


async def test_a_client_that_hangs_up_is_not_waited_for(live: LiveServer, pages: Server) -> None:
    left = asyncio.Event()

    async def never(_path: str, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():  # the server that fetches closes its connection
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        finally:
            left.set()

    pages.answers["/never"] = never
    body = {"image_urls": [pages.url + PORTRAIT, pages.url + "/never"], "tasks": []}
    async with (
        httpx.AsyncClient(base_url=live.url, timeout=60) as client,
        client.stream("POST", "/analyze_images/", json=body) as got,
    ):
        await anext(got.aiter_bytes())
    await asyncio.wait_for(left.wait(), 15)
