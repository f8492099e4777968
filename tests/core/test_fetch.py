"""Fetching from a real server on loopback: files, redirects, limits and broken answers."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from time import monotonic

import pytest

from opsin.core.errors import (
    AddressNotAllowed,
    FetchFailed,
    InvalidInput,
    TooLarge,
)
from opsin.core.fetch import Fetcher
from tests.core.loopback import TLS, Handler, Server, answer
from tests.core.loopback import server as server

FAILED = "the URL could not be fetched"


@pytest.fixture
async def fetcher(server: Server) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(
        allow=[f"127.0.0.1:{server.port}"], max_bytes=4_000_000, timeout=5, ssl_context=TLS
    )
    yield fetcher
    fetcher.close()


@pytest.fixture
async def closed() -> AsyncIterator[Fetcher]:
    """One without an allow-list."""
    fetcher = Fetcher(timeout=5, ssl_context=TLS)
    yield fetcher
    fetcher.close()


async def test_a_picture_is_fetched(server: Server, fetcher: Fetcher) -> None:
    content = bytes(range(256)) * 8000
    server.answers["/a/p%20q.png?x=1"] = answer(content, "Content-Type: Image/PNG; q=1")
    with await fetcher.fetch(f"{server.url}/a/p q.png?x=1#fragment") as fetched:
        assert fetched.file.read() == content
        assert fetched.size == len(content)
        assert fetched.content_type == "image/png"
        assert fetched.filename == "p q.png"
        assert fetched.url == f"{server.url}/a/p%20q.png?x=1#fragment"
    assert fetched.file.closed
    request = server.requests[0].lower()
    assert f"host: 127.0.0.1:{server.port}\r\n".encode() in request
    assert b"accept-encoding: identity\r\n" in request


@pytest.mark.parametrize(
    ("header", "filename"),
    [
        ('attachment; filename="cat.png"', "cat.png"),
        ("inline; filename*=UTF-8''gr%C3%BCn.png", "grün.png"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        (r'attachment; filename="C:\\x\\y.png"', "y.png"),
        ('attachment; filename="写真.png"', "写真.png"),
        ('attachment; filename=".."', None),
        ("attachment", "named"),
        (";;=;filename", "named"),
    ],
)
async def test_file_names_are_only_names(
    server: Server, fetcher: Fetcher, header: str, filename: str | None
) -> None:
    server.answers["/named"] = answer(b"x", f"Content-Disposition: {header}")
    with await fetcher.fetch(f"{server.url}/named") as fetched:
        assert fetched.filename == filename


@pytest.mark.parametrize("kind", ["image/webp", "application/octet-stream", "", None])
async def test_image_and_unknown_types_are_taken(
    server: Server, fetcher: Fetcher, kind: str | None
) -> None:
    headers = [] if kind is None else [f"Content-Type: {kind}"]
    server.answers["/"] = answer(b"x", *headers)
    with await fetcher.fetch(server.url) as fetched:
        assert fetched.content_type == (kind or None)
        assert fetched.filename is None


@pytest.mark.parametrize(
    "kind", ["text/html; charset=utf-8", "application/json", "application/ld+json", "VIDEO/mp4"]
)
async def test_other_types_are_refused(server: Server, fetcher: Fetcher, kind: str) -> None:
    server.answers["/"] = answer(b"<html>", f"Content-Type: {kind}")
    with pytest.raises(FetchFailed, match="not lead to an image"):
        await fetcher.fetch(server.url)


async def test_redirects_are_followed_three_times(server: Server, fetcher: Fetcher) -> None:
    for number, status in enumerate(("301 Moved", "302 Found", "307 Temporary", "308 Permanent")):
        server.answers[f"/{number}"] = answer(b"", f"Location: {number + 1}", status=status)
    server.answers["/4"] = answer(b"here")
    with await fetcher.fetch(f"{server.url}/1") as fetched:
        assert fetched.file.read() == b"here"
        assert fetched.url == f"{server.url}/4"
    with pytest.raises(FetchFailed, match="too often"):
        await fetcher.fetch(f"{server.url}/0")


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.1/", "http://169.254.169.254/latest", "http://[::1]/", "//10.0.0.1/"],
)
async def test_a_redirect_to_a_private_address_is_refused(
    server: Server, fetcher: Fetcher, location: str
) -> None:
    server.answers["/"] = answer(b"", f"Location: {location}", status="302 Found")
    with pytest.raises(AddressNotAllowed):
        await fetcher.fetch(server.url)


@pytest.mark.parametrize(
    "location",
    ["ftp://example.org/", "file:///etc/passwd", "http://u:p@example.org/", "http://[::1"],
)
async def test_a_redirect_to_something_else_fails(
    server: Server, fetcher: Fetcher, location: str
) -> None:
    server.answers["/"] = answer(b"", f"Location: {location}", status="302 Found")
    with pytest.raises(FetchFailed, match="redirects to something"):
        await fetcher.fetch(server.url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "picture.png",
        "ftp://example.org/a.png",
        "file:///etc/passwd",
        "gopher://example.org/",
        "data:image/png;base64,AAAA",
        "http://user@example.org/",
        "http://user:password@example.org/",
        "http:///path",
        "http://",
        "//example.org/",
        "http://exa\nmple.org/",
        "http://[::1/",
        "http://example.org:port/",
        "http://example.org:0/",
        "http://example.org/\ud800",
        "http://example.org/" + "a" * 9000,
    ],
)
async def test_what_is_no_plain_web_url_is_invalid(closed: Fetcher, url: str) -> None:
    with pytest.raises(InvalidInput):
        await closed.fetch(url)


async def test_an_endless_body_ends_at_the_limit(server: Server, fetcher: Fetcher) -> None:
    async def endless(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    server.answers["/"] = endless
    with pytest.raises(TooLarge):
        await fetcher.fetch(server.url)


async def test_an_announced_length_above_the_limit_is_not_read(
    server: Server, fetcher: Fetcher
) -> None:
    server.answers["/"] = b"HTTP/1.1 200 OK\r\nContent-Length: 4000001\r\n\r\n"
    with pytest.raises(TooLarge):
        await fetcher.fetch(server.url)
    server.answers["/"] = answer(bytes(4_000_000))
    with await fetcher.fetch(server.url) as fetched:
        assert fetched.size == 4_000_000


async def slow_headers(path: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-A: b\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def slow_body(path: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def silence(path: str, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


@pytest.mark.parametrize("drip", [slow_headers, slow_body, silence])
async def test_a_slow_server_is_left_at_the_deadline(server: Server, drip: Handler) -> None:
    server.answers["/"] = drip
    fetcher = Fetcher(allow=[f"127.0.0.1:{server.port}"], timeout=0.3)
    started = monotonic()
    with pytest.raises(FetchFailed, match=FAILED):
        await fetcher.fetch(server.url)
    assert monotonic() - started < 20


async def test_a_slow_name_is_left_at_the_deadline() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return []

    with pytest.raises(FetchFailed, match=FAILED):
        await Fetcher(resolver=resolve, timeout=0.1).fetch("http://example.org/")


async def test_a_cancelled_fetch_leaves_nothing_open(server: Server, fetcher: Fetcher) -> None:
    server.answers["/"] = slow_body
    fetching = asyncio.create_task(fetcher.fetch(server.url))
    await server.asked.wait()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching


async def test_compressed_answers_are_refused(server: Server, fetcher: Fetcher) -> None:
    bomb = gzip.compress(bytes(10_000_000))
    for encoding in ("gzip", "br", "identity, gzip"):
        server.answers["/"] = answer(bomb, f"Content-Encoding: {encoding}")
        with pytest.raises(FetchFailed, match="compressed"):
            await fetcher.fetch(server.url)
    server.answers["/"] = answer(b"x", "Content-Encoding: identity")
    (await fetcher.fetch(server.url)).close()


@pytest.mark.parametrize(
    ("status", "text"), [("404 Not Found", "4xx"), ("403 No", "4xx"), ("503 Busy", "5xx")]
)
async def test_an_error_status_says_its_class(
    server: Server, fetcher: Fetcher, status: str, text: str
) -> None:
    server.answers["/"] = answer(b"no", "Content-Type: text/html", status=status)
    with pytest.raises(FetchFailed, match=text) as caught:
        await fetcher.fetch(server.url)
    assert status[:3] not in str(caught.value)


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nzz",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
    ],
)
async def test_broken_answers_fail_with_the_one_text(
    server: Server, fetcher: Fetcher, broken: bytes
) -> None:
    server.answers["/"] = broken
    with pytest.raises(FetchFailed, match=FAILED):
        await fetcher.fetch(server.url)


async def test_refused_unknown_and_impossible_names_have_the_one_text() -> None:
    fetcher = Fetcher(allow=["127.0.0.1:1"], timeout=5)
    refused = "http://127.0.0.1:1/"
    unknown = "http://no-such-name.invalid/"
    impossible = f"http://{'a' * 70}.org/"
    for url in (refused, unknown, impossible, "http://ex%20ample/"):
        with pytest.raises(FetchFailed) as caught:
            await fetcher.fetch(url)
        assert type(caught.value) is FetchFailed
        assert str(caught.value) == FAILED
    fetcher.close()


async def test_the_environment_is_not_asked(
    server: Server, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.answers["/"] = answer(b"x")
    (await fetcher.fetch(server.url)).close()
    assert b"authorization" not in server.requests[0].lower()
