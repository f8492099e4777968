"""Every way in which clients send a picture: methods, content types, forms, parameters."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.compat.pekat.conftest import BOX, HEIGHT, WIDTH, encoded, pixels, png, scene
from tests.conftest import LiveServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZE = {"width": str(WIDTH), "height": str(HEIGHT)}


def found(answer: httpx.Response) -> dict[str, Any]:
    """The context of an answer, whose box was found."""
    assert answer.status_code == 200, answer.text
    context: dict[str, Any] = answer.json()
    (rectangle,) = context["detectedRectangles"]
    assert {side: rectangle[side] for side in BOX} == BOX
    return context


@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
@pytest.mark.parametrize(
    "content_type",
    [
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "image/jpeg",
        "text/plain; charset=utf-8",
        "nonsense",
        None,
    ],
)
async def test_any_content_type_is_a_picture(
    shared_server: LiveServer, method: str, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    request = shared_server.client.build_request(
        method, "/analyze_image", content=png(scene()), headers=headers
    )
    found(await shared_server.client.send(request))
    raw = shared_server.client.build_request(
        method,
        f"/analyze_raw_image?width={WIDTH}&height={HEIGHT}",
        content=scene().tobytes(),
        headers=headers,
    )
    found(await shared_server.client.send(raw))


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tiff", ".webp"])
async def test_any_picture_file(shared_server: LiveServer, ending: str) -> None:
    picture = encoded(scene(), ending)
    if ending == ".webp":  # lossy by default, and the box may grow by a pixel
        assert (
            await shared_server.client.post("/analyze_image", content=picture)
        ).status_code == 200
        return
    found(await shared_server.client.post("/analyze_image", content=picture))


@pytest.mark.parametrize(
    ("method", "part", "filename"),
    [
        ("POST", "array", "array"),
        ("GET", "file", "picture.png"),
        ("POST", "image", "blob"),
        ("PUT", "anything", "x"),
    ],
)
async def test_forms_as_the_examples_send_them(
    shared_server: LiveServer, method: str, part: str, filename: str
) -> None:
    files = {part: (filename, scene().tobytes(), "application/octet-stream")}
    found(await shared_server.client.request(method, "/analyze_raw_image", data=SIZE, files=files))
    files = {part: (filename, png(scene()), "application/octet-stream")}
    answer = await shared_server.client.request(
        method, "/analyze_image", data={"data": "from the form", **SIZE}, files=files
    )
    assert found(answer)["data"] == "from the form"


async def test_the_query_wins_over_the_form_and_the_first_over_the_second(
    shared_server: LiveServer,
) -> None:
    files = {"file": ("a", png(scene())), "other": ("b", b"no picture")}
    form = {"data": "form", "response_type": "image"}
    answer = await shared_server.client.post(
        "/analyze_image?data=one&data=two&response_type=context&unknown=1", data=form, files=files
    )
    assert found(answer)["data"] == "one"


async def test_a_part_without_filename_is_found_by_its_name(shared_server: LiveServer) -> None:
    boundary = "b0"
    body = b"".join(
        (
            b'--b0\r\nContent-Disposition: form-data; name="data"\r\n\r\nhere\r\n',
            b'--b0\r\nContent-Disposition: form-data; name="image"\r\n\r\n',
            png(scene()),
            b"\r\n--b0--\r\n",
        )
    )
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    answer = await shared_server.client.post("/analyze_image", content=body, headers=headers)
    assert found(answer)["data"] == "here"


@pytest.mark.parametrize(
    ("query", "data"),
    [
        ("data=ab+c%26d", "ab c&d"),
        ("data=ab%20c", "ab c"),
        ("data=h%C3%A9", "hé"),
        ("data=%FF", "\ufffd"),
        ("data=", ""),
        ("", ""),
        ("data=None", "None"),
        ("data=%22%0d%0aX-A:+1", '"\r\nX-A: 1'),
    ],
)
async def test_data_comes_back(shared_server: LiveServer, query: str, data: str) -> None:
    answer = await shared_server.client.post(f"/analyze_image?{query}", content=png(scene()))
    assert found(answer)["data"] == data
    shown = await shared_server.client.post(
        f"/analyze_image?response_type=heatmap&{query}", content=png(scene())
    )
    assert json.loads(shown.headers["context"])["data"] == data
    assert json.loads(base64.b64decode(shown.headers["contextbase64utf"]))["data"] == data
    assert "x-a" not in shown.headers


@pytest.mark.parametrize(
    ("path", "is_raw"),
    [
        ("/analyze_image?width=1920&height=1024&data=SomeInfo", False),
        ("/analyze_raw_image?width=1920&height=1024", True),
        ("/analyze_raw_image?width=1920&height=1024&bayer", True),
        ("/analyze_image", False),
        ("/analyze_image?api_key=SUPER_SECRET", False),
    ],
)
async def test_the_addresses_of_the_documentation(
    shared_server: LiveServer, path: str, is_raw: bool
) -> None:
    frame = scene(1920, 1024)
    body = frame.tobytes() if is_raw else png(frame)
    if path.endswith("bayer"):
        body = np.ascontiguousarray(frame[..., 1]).tobytes()
    headers = {"content-type": "application/octet-stream"}
    answer = await shared_server.client.post(path, content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["imageShape"] == {"width": 1920, "height": 1024}
    assert answer.json()["data"] == ("SomeInfo" if "data=" in path else "")
    (found,) = answer.json()["detectedRectangles"]
    assert 10 <= found["x"] <= 11  # what Bayer filters leave of an edge is darker


async def test_chunked_bodies(shared_server: LiveServer) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        whole = png(scene())
        for start in range(0, len(whole), 1000):
            yield whole[start : start + 1000]

    found(await shared_server.client.post("/analyze_image", content=chunks()))


async def test_a_client_that_waits_to_be_told_to_continue(shared_server: LiveServer) -> None:
    """As curl does with large bodies, and with PUT; without any content type."""
    frame = scene().tobytes()
    reader, writer = await asyncio.open_connection("127.0.0.1", shared_server.port)
    head = (
        f"PUT /analyze_raw_image?width={WIDTH}&height={HEIGHT} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Length: {len(frame)}\r\nExpect: 100-continue\r\n\r\n"
    )
    writer.write(head.encode())
    await writer.drain()
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
    writer.write(frame)
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ") and b"content-length: " in answer.lower()
    writer.close()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_ping(shared_server: LiveServer, method: str) -> None:
    answer = await shared_server.client.request(method, "/ping")
    assert answer.status_code == 200
    if method == "GET":
        assert answer.json() == {"status": "ok"}
    assert (await shared_server.client.request(method, "/ping?init_model")).status_code == 200


async def test_orientation_in_the_file_is_ignored(shared_server: LiveServer) -> None:
    from tests.pictures import rotated_jpeg

    query = "response_type=image"
    for orientation in (1, 6):
        answer = await shared_server.client.post(
            f"/analyze_image?{query}", content=rotated_jpeg(orientation)
        )
        assert pixels(answer.content).shape == (48, 64, 3)
    context = json.loads(answer.headers["context"])
    assert context["imageShape"] == {"height": 48, "width": 64}
