"""What is refused, always as a JSON object of the API's own form."""

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import Request

from opsin.compat.analyze_image_path import PATH, analyze_image_route
from opsin.compat.pekat import answers
from opsin.compat.pekat.door import PATHS, is_of_this_machine
from opsin.core import errors
from opsin.settings import Settings
from tests.compat.pekat.conftest import pekat, png, scene
from tests.conftest import LiveServer
from tests.pictures import huge_png_header, truncated

MODULE = pytest.mark.asyncio(loop_scope="module")
FORM = "multipart/form-data"


def is_error(body: Any) -> bool:
    return set(body) == {"error", "message"} and body["error"] is True and bool(body["message"])


@MODULE
@pytest.mark.parametrize(
    ("query", "body", "content_type"),
    [
        ("", b"", None),
        ("", b"no picture", None),
        ("", truncated(png(scene())), None),
        ("", huge_png_header(), None),
        ("response_type=mask", png(scene()), None),
        ("response_type=Context", png(scene()), None),
        ("", b"--b\r\n", f"{FORM}; boundary=b"),
        ("", png(scene()), FORM),
        ("", png(scene()), f"{FORM}; boundary=b"),
        ("", b"--b--\r\n", f"{FORM}; boundary=b"),
        (
            "",
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n',
            FORM + "; boundary=b",
        ),
        ("", b"--b\r\n\r\n\r\n" * 1500 + b"--b--\r\n", FORM + "; boundary=b"),
        ("&".join(f"a{number}=" for number in range(1200)), png(scene()), None),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_what_is_no_request(
    shared_server: LiveServer, query: str, body: bytes, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    answer = await shared_server.client.post(
        f"/analyze_image?{query}", content=body, headers=headers
    )
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/json" and is_error(answer.json())


@MODULE
@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/ping", {"GET", "HEAD"}),
        ("/version", {"GET", "HEAD"}),
        ("/stop", {"GET", "HEAD"}),
        ("/last_image", {"GET"}),
        ("/analyze_image", {"GET", "POST", "PUT"}),
        ("/analyze_raw_image", {"GET", "POST", "PUT"}),
        ("/analyze_image_shared_memory", {"POST"}),
    ],
)
async def test_other_methods(shared_server: LiveServer, path: str, methods: set[str]) -> None:
    assert path in PATHS
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = await shared_server.client.request(method, path)
        assert (answer.status_code == 405) is (method not in methods), (method, path)
        if method not in methods:
            assert {name.strip() for name in answer.headers["allow"].split(",")} == methods
            assert method == "HEAD" or is_error(answer.json())


async def test_every_path_is_in_the_table() -> None:
    """The table above has all of them, and so has the documentation."""
    from pathlib import Path

    told = Path(__file__).parents[3].joinpath("docs", "pekat.md").read_text("utf-8")
    assert [path for path in PATHS if f"`{path}`" not in told] == []


@MODULE
@pytest.mark.parametrize("path", ["/analyze_raw_Image", "/Analyze_image", "/projects/list"])
async def test_unknown_paths_are_answered_with_an_object(
    shared_server: LiveServer, path: str
) -> None:
    answer = await shared_server.client.post(path, content=b"x")
    assert answer.status_code == 404 and isinstance(answer.json(), dict)


@pytest.mark.parametrize("declares_length", [True, False])
async def test_bodies_over_the_limit(settings: Settings, declares_length: bool) -> None:
    async def chunks() -> Any:
        for _ in range(8):
            yield bytes(1000)

    content: Any = bytes(8000) if declares_length else chunks()
    async with pekat(settings, max_request_bytes=5000) as live:
        for path in ("/analyze_image", "/analyze_raw_image?width=100&height=80"):
            answer = await live.client.post(path, content=content if declares_length else chunks())
            assert answer.status_code == 413 and is_error(answer.json())


async def test_files_over_the_limit_of_pictures(settings: Settings) -> None:
    async with pekat(settings, max_upload_bytes=1000) as live:
        for query in ("", "?response_type=image"):
            answer = await live.client.post(f"/analyze_image{query}", content=png(scene()))
            assert answer.status_code == 413 and is_error(answer.json())


async def test_a_client_that_leaves_in_the_middle(server: LiveServer) -> None:
    for path in ("/analyze_image", "/analyze_raw_image?width=61&height=40"):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7320\r\n\r\n"
        writer.write(head.encode() + b"half")
        await writer.drain()
        writer.close()
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head.encode() + scene().tobytes())  # all of it, and no wait for the answer
        await writer.drain()
        writer.transport.abort()
    answer = await server.client.post("/analyze_image", content=png(scene()))
    assert answer.status_code == 200


async def test_the_server_is_not_stopped_without_a_key_of_its_own(settings: Settings) -> None:
    for query, given in (("", None), ("?key=", None), ("?key=a", None), ("?key=a", "ab")):
        async with pekat(settings, stop_key=given) as live:
            answer = await live.client.get(f"/stop{query}")
            assert answer.status_code == (404 if given is None else 403)
            assert is_error(answer.json())
            assert (await live.client.get("/ping")).status_code == 200


def test_too_much_work_says_when_to_come_again() -> None:
    answer = answers.error_answer(errors.Overloaded("the queue is full", retry_after=2.6))
    assert answer.status_code == 503 and answer.headers["retry-after"] == "3"
    assert is_error(json.loads(bytes(answer.body)))


@pytest.mark.parametrize(
    ("client", "server", "allowed"),
    [
        (("127.0.0.1", 5000), ("127.0.0.1", 8000), True),
        (("10.0.0.7", 5000), ("10.0.0.7", 8000), True),
        (("10.0.0.8", 5000), ("10.0.0.7", 8000), False),
        (None, ("127.0.0.1", 8000), False),
        (("127.0.0.1", 5000), None, False),
    ],
)
def test_shared_memory_is_for_this_machine(client: Any, server: Any, allowed: bool) -> None:
    scope = {"type": "http", "client": client, "server": server}
    assert is_of_this_machine(Request(scope)) is allowed


async def test_an_unexpected_error_is_masked(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("secret details")

    monkeypatch.setattr("opsin.compat.pekat.analysis.gather", broken)
    answer = await server.client.post("/analyze_image", content=png(scene()))
    assert answer.status_code == 500 and is_error(answer.json())
    assert "secret" not in answer.text
    assert answer.json()["message"].partition("(")[2][:-1] in caplog.text


def route_of(content_type: str | None, pictures: Any, other: Any) -> Any:
    """Which application a request with this content type reaches."""
    reached: list[Any] = []

    def named(name: Any) -> Any:
        if name is None:
            return None

        async def application(scope: Any, receive: Any, send: Any) -> None:
            reached.append(name)

        class Application:
            __call__ = staticmethod(application)

        return Application()

    (route,) = analyze_image_route(named(pictures), named(other))
    headers = [] if content_type is None else [(b"content-type", content_type.encode())]
    scope = {"type": "http", "method": "POST", "path": PATH, "headers": headers}
    asyncio.run(route.handle(scope, None, None))  # type: ignore[arg-type] # nothing is received or sent
    return reached


@pytest.mark.parametrize(
    ("content_type", "which"),
    [
        ("application/json", "json"),
        ("Application/JSON; charset=utf-8", "json"),
        ("application/problem+json", "json"),
        ("application/octet-stream", "pictures"),
        ("multipart/form-data; boundary=b", "pictures"),
        ("text/plain", "pictures"),
        (None, "pictures"),
    ],
)
def test_the_path_of_two_apis(content_type: str | None, which: str) -> None:
    assert route_of(content_type, "pictures", "json") == [which]
    assert route_of(content_type, "pictures", None) == ["pictures"]
    assert route_of(content_type, None, "json") == ["json"]
    assert analyze_image_route(None, None) == []


async def test_the_api_can_be_switched_off(settings: Settings) -> None:
    async with pekat(settings, compat=("vista",)) as live:
        for path in PATHS:
            answer = await live.client.get(path)
            assert answer.status_code == 404 and json.loads(answer.content)
