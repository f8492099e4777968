"""The forms of an answer: context, three kinds of image, in headers and in the body."""

import base64
import json
from typing import Any

import httpx
import numpy as np
import pytest

from opsin.core.imaging import decode
from opsin.settings import Settings
from tests.compat.pekat.conftest import FLOW, HEIGHT, WIDTH, pekat, pixels, png, scene
from tests.conftest import LiveServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMAGES = ("image", "annotated_image", "heatmap")


async def send(live: LiveServer, query: str) -> httpx.Response:
    answer = await live.client.post(f"/analyze_image?{query}", content=png(scene()))
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("query", ["", "response_type=", "response_type=context&context_in_body"])
async def test_a_context_is_the_whole_body(shared_server: LiveServer, query: str) -> None:
    answer = await send(shared_server, query)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["processing"] is True
    for name in ("imagelen", "context", "contextbase64utf"):
        assert name not in answer.headers
    assert answer.headers["content-length"] == str(len(answer.content))


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("switch", ["", "&context_in_body=0", "&context_in_body=false"])
async def test_an_image_with_its_context_in_headers(
    shared_server: LiveServer, kind: str, switch: str
) -> None:
    answer = await send(shared_server, f"response_type={kind}{switch}")
    assert answer.headers["content-type"] == "image/png"
    assert "imagelen" not in answer.headers
    assert answer.content.startswith(b"\x89PNG") and answer.content.endswith(b"IEND\xaeB`\x82")
    told = answer.headers["contextbase64utf"]
    context = json.loads(base64.b64decode(told, validate=True))
    assert json.loads(answer.headers["context"]) == context
    assert context["imageShape"] == {"height": HEIGHT, "width": WIDTH}


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("switch", ["context_in_body", "context_in_body=1", "context_in_body=true"])
async def test_an_image_with_its_context_behind_it(
    shared_server: LiveServer, kind: str, switch: str
) -> None:
    answer = await send(shared_server, f"response_type={kind}&{switch}")
    length = int(answer.headers["imagelen"])
    assert answer.content[:length].endswith(b"IEND\xaeB`\x82")
    assert json.loads(answer.content[length:].decode())["result"] is True
    assert "context" not in answer.headers and "contextbase64utf" not in answer.headers


async def test_the_images_show_what_they_should(shared_server: LiveServer) -> None:
    shown = {
        kind: pixels((await send(shared_server, f"response_type={kind}")).content)
        for kind in IMAGES
    }
    sent = scene()
    assert (shown["image"] == sent).all()
    heat = shown["heatmap"]
    assert (heat[8, 15] == 255).all() and heat[35, 55].max() < 255
    # Hotter means brighter: the order of the colours is that of the luma they came from.
    assert heat[8, 15].sum() > heat[35, 55].sum()
    drawn = shown["annotated_image"]
    color = json.loads((await send(shared_server, "response_type=image")).headers["context"])[
        "detectedRectangles"
    ][0]["classNames"][0]["color_bgr"]
    edge = [drawn[16, column].tolist() for column in range(12, 28)]
    assert edge == [color] * len(edge)


async def test_without_a_heatmap_it_is_black(settings: Settings) -> None:
    async with pekat(settings, [{"operation": "judge_tone"}]) as live:
        heat = pixels((await send(live, "response_type=heatmap")).content)
        plain = pixels((await send(live, "response_type=annotated_image")).content)
    assert heat.shape == (HEIGHT, WIDTH, 3) and not heat.any()
    assert (plain == scene()).all()


async def test_masks_and_polygons_are_heat_and_rectangles(settings: Settings) -> None:
    async with pekat(settings, [{"operation": "outline_bright"}]) as live:
        answer = await send(live, "response_type=heatmap")
    heat = pixels(answer.content).sum(axis=2)
    assert (heat[:, -1] == 3 * 255).all()
    assert 0 < heat[3, 3] < 3 * 255 and heat[30, 50] == 0
    corner, column = json.loads(answer.headers["context"])["detectedRectangles"]
    assert [corner["x"], corner["y"], corner["width"], corner["height"]] == [0, 0, 30, 20]
    assert corner["confidence"] == 50 and corner["source"]["type"] == "SUPERVISED"
    assert [column["x"], column["width"], column["height"]] == [WIDTH - 1, 1, HEIGHT]
    assert column["area"] == HEIGHT


def flow_of(copies: int) -> list[dict[str, Any]]:
    return [{"operation": "find_bright", "params": {"copies": copies}}]


@pytest.mark.parametrize(
    ("copies", "headers"),
    [(1, {"context", "contextbase64utf"}), (40, {"contextbase64utf"}), (400, set())],
)
async def test_what_fits_into_headers(settings: Settings, copies: int, headers: set[str]) -> None:
    async with pekat(settings, flow_of(copies)) as live:
        for kind in IMAGES:
            answer = await send(live, f"response_type={kind}")
            present = {"context", "contextbase64utf"} & set(answer.headers)
            assert present == headers
            in_body = await send(live, f"response_type={kind}&context_in_body")
            length = int(in_body.headers["imagelen"])
            context = json.loads(in_body.content[length:])
            assert len(context["detectedRectangles"]) == copies
            if not headers:  # no client could read the header: the context comes alone
                assert answer.headers["content-type"] == "application/json"
                assert len(answer.json()["detectedRectangles"]) == copies
    size = len(json.dumps(context))
    assert {1: size <= 4096, 40: 4096 < size <= 45 * 1024, 400: size > 45 * 1024}[copies]


async def test_what_is_not_ascii_counts_as_the_header_has_it(settings: Settings) -> None:
    async with pekat(settings, FLOW) as live:
        answer = await send(live, f"response_type=image&data={'%C3%A9' * 900}")
    assert "context" not in answer.headers  # \u00e9 takes six characters there
    told = base64.b64decode(answer.headers["contextbase64utf"]).decode()
    assert json.loads(told)["data"] == "é" * 900


async def test_the_last_image_again(settings: Settings) -> None:
    async with pekat(settings) as live:
        await live.client.post("/analyze_image", content=b"no picture")
        missing = await live.client.get("/last_image")
        assert missing.status_code == 404 and missing.json()["error"] is True
        first = await send(live, "data=first")
        assert (await live.client.get("/last_image")).json() == first.json()
        frame = scene(33, 44)
        sent = await live.client.post(
            "/analyze_raw_image?width=33&height=44&data=second", content=frame.tobytes()
        )
        assert (await live.client.get("/last_image")).json() == sent.json()
        for switch in ("", "&context_in_body"):
            answer = await live.client.get(f"/last_image?response_type=image{switch}")
            assert (pixels(answer.content) == frame).all()
        again = await send(live, "data=third")
        answer = await live.client.get("/last_image?response_type=image")
        assert (pixels(answer.content) == scene()).all()
        assert json.loads(answer.headers["context"]) == again.json()
        assert (await live.client.get("/last_image?response_type=none")).status_code == 400


async def test_one_decode_for_all_operations(settings: Settings) -> None:
    """Four operations and an image cost one decode, also when a second client asks the same."""
    flow = [
        *({"operation": name} for name in ("find_bright", "judge_tone", "heat_of_luma")),
        {"operation": "outline_bright"},
    ]
    counts = []

    def counted(*arguments: Any) -> Any:
        counts.append(1)
        return decode(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("opsin.core.engine.decoding.decode", counted)
        async with pekat(settings, flow, picture_cache_bytes=0) as live:
            first = await send(live, "response_type=annotated_image")
            assert len(counts) == 1
            second = await send(live, "response_type=annotated_image")
    assert (pixels(first.content) == pixels(second.content)).all()
    assert np.any(pixels(first.content) != scene())
