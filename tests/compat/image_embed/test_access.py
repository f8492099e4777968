"""Who may call, the path that two APIs have, and the document that describes them."""

import json
from typing import Any

import pytest

from opsin.cli.exit_codes import ExitCode
from opsin.compat.image_embed.answers import answer, error_answer
from opsin.core.error_statuses import status_of
from opsin.core.errors import OpsinError, Overloaded, Throttled
from opsin.settings import Settings
from tests.cli.command import opsin
from tests.conftest import serve
from tests.pictures import solid_png

JSON = {"image_url": "http://127.0.0.1:1/a.jpg", "tasks": []}
PATHS = ("/analyze_image/", "/analyze_images", "/analyze_image_upload", "/available_operations/")


def method(path: str) -> str:
    return "GET" if path.startswith("/available") else "POST"


@pytest.mark.parametrize("path", PATHS)
async def test_a_key_is_wanted_where_keys_are(settings: Settings, path: str) -> None:
    made = opsin(
        "keys", "create", "k", "--data-dir", settings.data_dir, cwd=settings.data_dir.parent
    )
    assert made.code == ExitCode.OK, made.err
    key = made.out.strip()
    async with serve(settings.model_copy(update={"auth": "keys"})) as server:
        refused = await server.client.request(method(path), path)
        assert refused.status_code == 401
        assert list(refused.json()) == ["detail"]
        assert refused.headers["www-authenticate"] == "Bearer"
        wrong = await server.client.request(method(path), path, headers={"X-API-Key": "opsin_x"})
        assert wrong.status_code == 401
        for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
            let_in = await server.client.request(method(path), path, headers=headers)
            assert let_in.status_code == (200 if method(path) == "GET" else 422)


async def test_the_operator_may_let_everybody_in(settings: Settings) -> None:
    changes: dict[str, Any] = {"auth": "keys", "image_embed_open": True}
    async with serve(settings.model_copy(update=changes)) as server:
        assert (await server.client.get("/available_operations/")).status_code == 200


@pytest.mark.parametrize(
    ("compat", "json_status", "picture_status"),
    [
        (("image_embed", "pekat"), 400, 200),
        (("image_embed",), 400, 422),
        (("pekat",), 400, 200),
        (("vista",), 404, 404),
    ],
)
async def test_each_may_be_switched_off(
    settings: Settings, compat: tuple[str, ...], json_status: int, picture_status: int
) -> None:
    """Of the two that have one path, whichever is left has it alone."""
    changes: dict[str, Any] = {"compat": compat, "max_request_bytes": 5000}
    async with serve(settings.model_copy(update=changes)) as server:
        client = server.client
        asked = await client.post("/analyze_image", json=JSON)
        sent = await client.post("/analyze_image", content=solid_png())
        listed = await client.get("/available_operations/")
        long = await client.post("/analyze_image", content=b"x" * 6000)
    assert (asked.status_code, sent.status_code) == (json_status, picture_status)
    assert listed.status_code == (200 if "image_embed" in compat else 404)
    if "image_embed" in compat:
        assert asked.json()["detail"].startswith("Could not download image from URL: ")
    if "pekat" in compat:
        assert sent.json()["imageShape"] == {"width": 32, "height": 24}
    assert long.status_code == 413
    assert ("detail" in long.json()) is (compat == ("image_embed",))
    assert ("error" in long.json()) is ("pekat" in compat)


async def test_too_many_bytes_are_refused_in_its_own_form(settings: Settings) -> None:
    small = settings.model_copy(update={"max_upload_bytes": 1000, "max_request_bytes": 100_000})
    async with serve(small) as server:
        for size in (50_000, 200_000):
            form: dict[str, Any] = {
                "image_file": ("a.jpg", b"x" * size),
                "tasks_json": (None, "[]"),
            }
            got = await server.client.post("/analyze_image_upload/", files=form)
            assert got.status_code == 413, got.text
            assert list(got.json()) == ["detail"]


def subclasses(kind: type[OpsinError]) -> list[type[OpsinError]]:
    return [kind, *(inner for one in kind.__subclasses__() for inner in subclasses(one))]


@pytest.mark.parametrize("kind", subclasses(OpsinError), ids=lambda kind: kind.__name__)
def test_every_error_has_its_status(kind: type[OpsinError]) -> None:
    error = kind.__new__(kind)
    OpsinError.__init__(error, "in words")
    if isinstance(error, Overloaded | Throttled):
        error.retry_after = 2.4
    told = error_answer(error)
    assert told.status_code == status_of(error)
    assert json.loads(bytes(told.body)) == {"detail": "in words"}
    assert told.headers.get("retry-after") == (
        "3" if isinstance(error, Overloaded | Throttled) else None
    )


def test_numbers_that_are_none_are_null() -> None:
    told = answer({"data": (0.5, float("nan"), float("inf"))})
    assert told.body == b'{"data":[0.5,null,null]}'


def test_what_nobody_expected_is_masked() -> None:
    told = error_answer(RuntimeError("/secret/path"))
    assert told.status_code == 500
    assert b"secret" not in told.body and b"Internal Server Error" in told.body


async def test_it_is_described(settings: Settings) -> None:
    async with serve(settings) as server:
        document = (await server.client.get("/openapi.json")).json()
    for path in ("/analyze_image/", "/analyze_image_upload/", "/analyze_images/"):
        post = document["paths"][path]["post"]
        assert {"200", "400", "401", "413", "422", "503"} <= set(post["responses"])
        (content,) = post["requestBody"]["content"].values()
        name = content["schema"]["$ref"].rpartition("/")[2]
        assert name in document["components"]["schemas"]
    assert "get" in document["paths"]["/available_operations/"]
