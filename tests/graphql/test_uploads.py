"""Files by the GraphQL multipart request specification, and bodies that are too large."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from opsin.settings import Settings
from tests.conftest import LiveServer, serve
from tests.graphql.asking import codes, dataset, post_file
from tests.pictures import noise_jpeg, portrait, solid_png

pytestmark = pytest.mark.asyncio(loop_scope="module")

UPLOAD = """mutation($input: UploadImageInput!) { uploadImage(input: $input) {
  filename width height contentType metadata } }"""
ANALYZE = """mutation($file: Upload!) { analyzeImage(input: {file: $file, tasks: []}) {
  picture { format width } } }"""
LIMIT = 1 << 20  # of a request; a picture may have half of it


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    """A server that takes little."""
    limits = {"max_request_bytes": LIMIT, "max_upload_bytes": LIMIT // 2}
    folder = {"data_dir": tmp_path_factory.mktemp("small")}
    async with serve(module_settings.model_copy(update=limits | folder)) as live:
        yield live


def operations(query: str, **variables: Any) -> str:
    return json.dumps({"query": query, "variables": variables})


async def test_a_picture_is_uploaded(door: LiveServer) -> None:
    given = {"datasetId": await dataset(door), "file": None, "metadata": {"camera": 3}}
    answer = await post_file(
        door.client, operations(UPLOAD, input=given), portrait(), "variables.input.file"
    )
    assert answer.json()["data"]["uploadImage"] == {
        "filename": "a.png",
        "width": 512,
        "height": 600,
        "contentType": "image/jpeg",
        "metadata": {"camera": 3},
    }


async def test_a_picture_is_analysed_from_the_form(door: LiveServer) -> None:
    answer = await post_file(
        door.client, operations(ANALYZE, file=None), solid_png(), "variables.file"
    )
    assert answer.json() == {"data": {"analyzeImage": {"picture": {"format": "PNG", "width": 32}}}}


@pytest.mark.parametrize("value", ["text", 1, [], {}, None])
async def test_an_upload_that_is_no_file_is_refused(door: LiveServer, value: Any) -> None:
    answer = await door.graphql(UPLOAD, input={"datasetId": await dataset(door), "file": value})
    expected = "GRAPHQL_VALIDATION_FAILED" if value is None else "INVALID_INPUT"
    assert codes(answer) == [expected]
    written = 'mutation { uploadImage(input: {datasetId: "a", file: "text"}) { id } }'
    assert codes(await door.graphql(written)) == ["INVALID_INPUT"]


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"operations": "{}"},
        {"operations": "not json", "map": "{}"},
        {"operations": "[]", "map": "{}"},
        {"operations": operations(ANALYZE, file=None), "map": "[]"},
        {"operations": operations(ANALYZE, file=None), "map": '{"0": "variables.file"}'},
        {"operations": operations(ANALYZE, file=None), "map": '{"1": ["variables.file"]}'},
        {"operations": operations(ANALYZE, file=None), "map": '{"0": ["variables.file.x"]}'},
        {"operations": operations(ANALYZE, file=None), "map": '{"0": ["nowhere.file"]}'},
        {"operations": operations(ANALYZE, file=None), "map": '{"0": [0]}'},
    ],
)
async def test_a_form_that_does_not_follow_the_specification_is_400(
    door: LiveServer, form: dict[str, str]
) -> None:
    answer = await door.client.post("/graphql", data=form, files={"0": ("a.png", solid_png())})
    assert answer.status_code == 400
    assert codes(answer.json()) == ["BAD_REQUEST"]


async def test_a_file_of_the_same_form_may_be_used_twice(door: LiveServer) -> None:
    query = """mutation($file: Upload!) {
      one: analyzeImage(input: {file: $file, tasks: []}) { picture { width } }
      two: analyzeImage(input: {file: $file, tasks: []}) { picture { width } } }"""
    answer = await post_file(
        door.client, operations(query, file=None), solid_png(), "variables.file"
    )
    assert answer.json() == {
        "data": {"one": {"picture": {"width": 32}}, "two": {"picture": {"width": 32}}}
    }


async def test_a_picture_over_its_limit_is_too_large(small: LiveServer) -> None:
    picture = noise_jpeg(800, 800)
    assert LIMIT // 2 < len(picture) < LIMIT
    for query, variables, path in (
        (UPLOAD, {"input": {"datasetId": await dataset(small), "file": None}}, "input.file"),
        (ANALYZE, {"file": None}, "file"),
    ):
        answer = await post_file(
            small.client, operations(query, **variables), picture, f"variables.{path}"
        )
        assert answer.status_code == 200
        assert codes(answer.json()) == ["TOO_LARGE"]
    images = await small.data("{ images { totalCount } }")
    assert images["images"]["totalCount"] == 0


HEAD = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


async def answered(live: LiveServer, head: bytes, body: AsyncIterator[bytes]) -> tuple[bytes, int]:
    """The beginning of the answer, and how many bytes of the body were sent before it came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    writer.write(HEAD + head + b"\r\n")
    answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
    sent = 0
    try:
        async for chunk in body:
            if answer.done():
                break
            writer.write(chunk)
            await writer.drain()
            sent += len(chunk)
        return await answer, sent
    finally:
        writer.transport.abort()


async def test_a_length_over_the_limit_is_413_before_the_body(small: LiveServer) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        for _ in ():
            yield b""

    head, sent = await answered(small, b"Content-Length: %d\r\n" % (LIMIT + 1), nothing())
    assert head.startswith(b"HTTP/1.1 413")
    assert sent == 0


async def test_a_body_without_a_length_is_413_before_it_is_read_whole(small: LiveServer) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"10000\r\n" + b" " * 0x10000 + b"\r\n"

    head, sent = await answered(small, b"Transfer-Encoding: chunked\r\n", endless())
    assert head.startswith(b"HTTP/1.1 413")
    # What the buffers of the two ends hold has left us, too.
    assert LIMIT <= sent < 20 * LIMIT


@pytest.mark.parametrize("path", ["/graphql", "/images/x/content", "/nothing"])
async def test_the_limit_holds_everywhere(small: LiveServer, path: str) -> None:
    answer = await small.client.post(path, content=b" " * (LIMIT + 1))
    assert answer.status_code == 413
    assert codes(answer.json()) == ["TOO_LARGE"]


async def test_a_form_over_the_limit_is_413(small: LiveServer) -> None:
    answer = await post_file(
        small.client, operations(ANALYZE, file=None), b"\0" * (LIMIT + 1), "variables.file"
    )
    assert answer.status_code == 413
