"""Requests as they may be, and those that are refused: statuses, forms, and no value echoed."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.compat.image_embed.conftest import CLIP, PORTRAIT, task, upload
from tests.conftest import LiveServer
from tests.core.loopback import Server, answer
from tests.pictures import huge_png_header, portrait, solid_png, truncated

pytestmark = pytest.mark.asyncio(loop_scope="module")

WRONG = "Invalid tasks JSON format or structure: "
SECRET = "SECRET-VALUE"
PICTURE = solid_png()


def body(pages: Server, path: str = PORTRAIT, *tasks: dict[str, Any]) -> dict[str, Any]:
    return {"image_url": pages.url + path, "tasks": list(tasks)}


async def send(
    live: LiveServer, content: bytes | str, kind: str | None = "application/json"
) -> Any:
    headers = {} if kind is None else {"content-type": kind}
    return await live.client.post("/analyze_image/", content=content, headers=headers)


@pytest.mark.parametrize("path", ["/analyze_image/", "/analyze_image"])
async def test_a_url_is_fetched_and_told_again(live: LiveServer, pages: Server, path: str) -> None:
    asked = body(pages, PORTRAIT, task("a", "detect_bounding_box", target="prominent_face"))
    asked["image_url"] = asked["image_url"].replace("http://", "HTTP://")
    asked["nobody"] = "reads this"
    got = await live.client.post(path, json=asked, follow_redirects=False)
    assert got.status_code == 200, got.text
    assert list(got.json()) == ["image_url", "results"]
    assert got.json()["image_url"] == pages.url + PORTRAIT
    assert len(got.json()["results"]["a"]["data"]) == 4


async def test_a_body_without_a_type_is_json(live: LiveServer, pages: Server) -> None:
    got = await send(live, json.dumps(body(pages)), None)
    assert (got.status_code, got.json()["results"]) == (200, {})


@pytest.mark.parametrize("path", ["/analyze_image_upload/", "/analyze_image_upload"])
async def test_an_upload_is_called_by_its_name(live: LiveServer, path: str) -> None:
    got = await live.client.post(
        path,
        files={"image_file": ("../a/ü.jpg", PICTURE)},
        data={"tasks_json": "{}"},
        follow_redirects=False,
    )
    assert (got.status_code, got.json()) == (
        200,
        {"image_url": "uploaded:../a/ü.jpg", "results": {}},
    )


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/analyze_image/", "POST"),
        ("OPTIONS", "/analyze_image_upload/", "POST"),
        ("DELETE", "/analyze_images", "POST"),
        ("POST", "/available_operations/", "GET"),
    ],
)
async def test_other_methods(live: LiveServer, method: str, path: str, allow: str) -> None:
    got = await live.client.request(method, path)
    assert (got.status_code, got.json()) == (405, {"detail": "Method Not Allowed"})
    assert got.headers["allow"] == allow


ONE = '"operation_id": "a", "type": "b"'
FIELDS: list[tuple[str, list[tuple[str, list[Any]]]]] = [
    ("", [("missing", ["body"])]),
    ("{", [("json_invalid", ["body", 1])]),
    ('{"image_url": NaN}', [("json_invalid", ["body", 14])]),
    ("[]", [("model_attributes_type", ["body"])]),
    ("{}", [("missing", ["body", "image_url"]), ("missing", ["body", "tasks"])]),
    (f'{{"image_url": "ftp://a/{SECRET}", "tasks": []}}', [("url_scheme", ["body", "image_url"])]),
    (f'{{"image_url": "{SECRET}", "tasks": []}}', [("url_parsing", ["body", "image_url"])]),
    ('{"image_url": 5, "tasks": []}', [("url_type", ["body", "image_url"])]),
    (
        f'{{"image_url": "http://a/{"x" * 2100}", "tasks": []}}',
        [("url_too_long", ["body", "image_url"])],
    ),
    ('{"image_url": "http://a/", "tasks": {}}', [("list_type", ["body", "tasks"])]),
    (
        f'{{"image_url": "http://a/", "tasks": ["{SECRET}"]}}',
        [("model_attributes_type", ["body", "tasks", 0])],
    ),
    (
        '{"image_url": "http://a/", "tasks": [{"operation_id": 5}]}',
        [
            ("string_type", ["body", "tasks", 0, "operation_id"]),
            ("missing", ["body", "tasks", 0, "type"]),
        ],
    ),
    (
        f'{{"image_url": "http://a/", "tasks": [{{{ONE}, "params": ["{SECRET}"]}}]}}',
        [("dict_type", ["body", "tasks", 0, "params"])],
    ),
    (
        json.dumps({"image_url": "http://a/", "tasks": [task("a", "b")] * 65}),
        [("too_long", ["body", "tasks"])],
    ),
    ('{"image_url": "http://a/", "tasks": ' + "[" * 5000, [("json_invalid", ["body", None])]),
]


@pytest.mark.parametrize(("content", "expected"), FIELDS)
async def test_wrong_fields_are_listed_without_their_values(
    live: LiveServer, content: str, expected: list[tuple[str, list[Any]]]
) -> None:
    got = await send(live, content)
    assert got.status_code == 422, got.text
    found = got.json()["detail"]
    assert all(set(one) == {"type", "loc", "msg"} for one in found)
    assert [one["type"] for one in found] == [kind for kind, _ in expected]
    for one, (_, place) in zip(found, expected, strict=True):
        if None not in place:
            assert one["loc"] == place
    assert SECRET not in got.text


async def test_another_type_is_no_object(live: LiveServer) -> None:
    got = await send(live, PICTURE, "image/png")
    assert got.status_code == 422
    assert got.json()["detail"][0]["type"] == "model_attributes_type"


async def test_a_long_body_is_refused(live: LiveServer) -> None:
    got = await send(live, b" " * (2**20 + 1))
    assert got.status_code == 413 and list(got.json()) == ["detail"]


TASKS: list[tuple[str, str]] = [
    ("null", "a list of tasks is needed"),
    ("5", "a list of tasks is needed"),
    ("true", "a list of tasks is needed"),
    ('"text"', "a list of tasks is needed"),
    ('{"a": 1}', "a list of tasks is needed"),
    ("NaN", "no JSON at character 0"),
    ("[", "no JSON at character 1"),
    (f'["{SECRET}"]', "0: Input should be a valid dictionary or object to extract fields from"),
    ('[{"operation_id": "a"}]', "0.type: Field required"),
    (json.dumps([task("a", "b")] * 65), "at most 64 tasks may be asked at once"),
    ("[" * 5000, "no JSON at character"),
    ('[{"operation_id": "\\ud800", "type": "b"}]', "no JSON at character"),
]


@pytest.mark.parametrize(("text", "reason"), TASKS)
async def test_tasks_of_a_form_that_are_none(live: LiveServer, text: str, reason: str) -> None:
    """Looked at before the picture, which is none either."""
    got = await live.client.post(
        "/analyze_image_upload/",
        files={"image_file": ("a.jpg", b"no picture")},
        data={"tasks_json": text},
    )
    assert got.status_code == 400
    assert got.json()["detail"].startswith(WRONG + reason)
    assert SECRET not in got.text


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, [("missing", "image_file"), ("missing", "tasks_json")]),
        ({"image_file": ("a.jpg", PICTURE)}, [("missing", "tasks_json")]),
        (
            {"image_file": (None, SECRET), "tasks_json": (None, "[]")},
            [("value_error", "image_file")],
        ),
        (
            {"image_file": ("a.jpg", PICTURE), "tasks_json": ("t.json", "[]")},
            [("string_type", "tasks_json")],
        ),
        ({"image_file": ("a.jpg", PICTURE), "tasks_json": (None, "")}, [("missing", "tasks_json")]),
    ],
)
async def test_fields_of_a_form_that_are_missing(
    live: LiveServer, files: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    got = await live.client.post("/analyze_image_upload/", files=files or None)
    assert got.status_code == 422
    assert [(one["type"], one["loc"][1]) for one in got.json()["detail"]] == expected
    assert SECRET not in got.text


async def test_a_file_without_a_name_is_none(live: LiveServer) -> None:
    """As a browser sends a form in which nothing was chosen."""
    lines = [
        *("--x", 'Content-Disposition: form-data; name="image_file"; filename=""', "", SECRET),
        *("--x", 'Content-Disposition: form-data; name="tasks_json"', "", "[]", "--x--", ""),
    ]
    got = await live.client.post(
        "/analyze_image_upload/",
        content="\r\n".join(lines),
        headers={"content-type": "multipart/form-data; boundary=x"},
    )
    assert got.status_code == 422 and SECRET not in got.text
    assert got.json()["detail"] == [
        {"type": "missing", "loc": ["body", "image_file"], "msg": "Field required"}
    ]


async def test_forms_that_cannot_be_read(live: LiveServer) -> None:
    headers = {"content-type": "multipart/form-data"}
    got = await live.client.post("/analyze_image_upload/", content=b"x", headers=headers)
    assert got.status_code == 400 and list(got.json()) == ["detail"]
    long: dict[str, Any] = {
        "image_file": ("a.jpg", PICTURE),
        "tasks_json": (None, "x" * (2**20 + 1)),
    }
    got = await live.client.post("/analyze_image_upload/", files=long)
    assert got.status_code == 400
    assert got.json() == {"detail": "Part exceeded maximum size of 1024KB."}


@pytest.mark.parametrize(
    "tasks", [(), (task("a", CLIP),), (task("a", CLIP, target="prominent_face"),)]
)
@pytest.mark.parametrize(
    "picture", [b"", b"no picture", truncated(portrait()), huge_png_header()], ids=lambda p: len(p)
)
async def test_pictures_that_cannot_be_opened(
    live: LiveServer, pages: Server, picture: bytes, tasks: tuple[dict[str, Any], ...]
) -> None:
    """For the whole request, also when nothing is asked."""
    detail = (await upload(live, picture, *tasks, status=400))["detail"]
    assert detail.startswith("Could not process image: ")
    pages.answers["/bad"] = answer(picture)
    got = await live.client.post("/analyze_image/", json=body(pages, "/bad", *tasks))
    assert (got.status_code, got.json()) == (400, {"detail": detail})


async def test_addresses_that_are_not_fetched(live: LiveServer, pages: Server) -> None:
    pages.answers["/page"] = answer(b"<p>", "Content-Type: text/html")
    pages.answers["/away"] = answer(
        b"", "Location: http://169.254.169.254/secrets", status="302 Found"
    )
    for url in (
        "http://127.0.0.1:1/a.jpg",
        "http://[::1]/a.jpg",
        "http://169.254.169.254/latest/meta-data",
        "http://user:letmein@example.com/",
        pages.url + "/missing",
        pages.url + "/page",
        pages.url + "/away",
    ):
        got = await live.client.post("/analyze_image/", json={"image_url": url, "tasks": []})
        assert got.status_code == 400
        detail = got.json()["detail"]
        assert detail.startswith("Could not download image from URL: ")
        assert "169.254" not in detail and "127.0.0.1" not in detail and "letmein" not in detail


async def test_a_client_that_hangs_up_is_not_waited_for(live: LiveServer, pages: Server) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def never(_path: str, writer: asyncio.StreamWriter) -> None:
        asked.set()
        try:
            while not writer.is_closing():  # the server that fetches closes its connection
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        finally:
            left.set()

    pages.answers["/never"] = never
    async with httpx.AsyncClient(base_url=live.url) as client:
        waiting = asyncio.create_task(client.post("/analyze_image/", json=body(pages, "/never")))
        await asked.wait()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.wait_for(left.wait(), 15)
    assert (await live.client.get("/health")).status_code == 200


async def test_pages_of_other_sites_may_not_call(live: LiveServer) -> None:
    got = await live.client.post(
        "/analyze_image_upload/",
        files={"image_file": ("a.png", PICTURE)},
        data={"tasks_json": "[]"},
        headers={"origin": "https://elsewhere.example", "sec-fetch-site": "cross-site"},
    )
    assert got.status_code == 403 and list(got.json()) == ["detail"]
