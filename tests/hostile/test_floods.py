"""What costs a caller little and would cost the server much: it ends, and others are served."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.hostile.fort import Fort, fort

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

MIB = 2**20
SPARE = 96 * MIB
"""Of memory, which allocators keep and threads take, whatever is asked."""
_GRAPHQL = Subprotocol("graphql-transport-ws")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fort]:
    async with fort(tmp_path_factory.mktemp("fort"), body_seconds=1) as one:
        yield one


async def opened(server: Fort) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.port)


async def status_of(reader: asyncio.StreamReader) -> int:
    """The status that is answered; 0 when the connection just ends."""
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        async with asyncio.timeout(120):
            line = await reader.readline()
        return int(line.split()[1]) if line else 0
    return 0


async def poured(writer: asyncio.StreamWriter, piece: bytes, most: int) -> int:
    """How many bytes of the same again and again are taken before the server has enough."""
    sent = 0
    with suppress(ConnectionError, TimeoutError):
        while sent < most:
            writer.write(piece)
            async with asyncio.timeout(5):
                await writer.drain()
            sent += len(piece)
    return sent


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X-A: " + b"a" * 8000 + b"\r\n"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"a:\r\n" * 2000),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ", b"a" * 8000),
        (b"GET /", b"a" * 8000),
        (b"GET /?", b"a=b&" * 2000),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: ", b"a=b; " * 2000),
    ],
    ids=["long headers", "many headers", "one header", "path", "query", "cookies"],
)
async def test_a_head_without_an_end_is_cut_off(server: Fort, start: bytes, piece: bytes) -> None:
    before = server.rss
    reader, writer = await opened(server)
    writer.write(start)
    sent = await poured(writer, piece, 64 * MIB)
    assert sent < 32 * MIB
    assert server.rss - before < SPARE
    assert await status_of(reader) in (0, 400, 414, 431)
    await ended(writer)
    assert await server.is_well()


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X-A: b\r\n"),
        (b"POST /graphql %a\r\nContent-Type: application/json\r\n"
         b"Content-Length: 1000\r\n\r\n{", b" "),
        (b"POST /analyze_image %a\r\nContent-Type: application/octet-stream\r\n"
         b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        (b"GET /analyze_image %a\r\nContent-Type: application/octet-stream\r\n"
         b"Content-Length: 1000\r\n\r\n{", b" "),
        (b"POST /api/projects %a\r\nContent-Type: application/json\r\n"
         b"Content-Length: 1000\r\n\r\n{", b" "),
        (b"POST /v1/predict-single %a\r\nContent-Type: multipart/form-data; boundary=x\r\n"
         b"Content-Length: 1000\r\n\r\n--x\r\nContent-Disposition: form-data; name=", b"a"),
        (b"PUT /uploads/x?token=y %a\r\nContent-Length: 1000\r\n\r\n", b"a"),
    ],
    ids=["head", "GraphQL", "chunks", "body of a GET", "VISTA", "form", "upload"],
)  # fmt: skip
async def test_what_comes_too_slowly_is_not_waited_for(
    server: Fort, start: bytes, drop: bytes
) -> None:
    reader, writer = await opened(server)
    asked = b"HTTP/1.1\r\nHost: localhost\r\nX-API-Key: " + server.key.encode()
    writer.write(start.replace(b"%a", asked))
    dripping = asyncio.create_task(_drip(writer, drop))
    try:
        async with asyncio.timeout(120):
            # What is refused whatever its body holds need not be waited for at all.
            assert await status_of(reader) in (0, 408) or start.startswith(b"PUT")
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        await ended(writer)
    assert await server.is_well()


async def _drip(writer: asyncio.StreamWriter, drop: bytes) -> None:
    with suppress(ConnectionError):
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.2)


async def ended(writer: asyncio.StreamWriter) -> None:
    """Closed, whatever is left to be sent."""
    writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/graphql", "application/json"),
        ("/graphql", "multipart/form-data; boundary=x"),
        ("/api/projects", "application/json"),
        ("/analyze_image/", "application/json"),
        ("/analyze_image", "application/octet-stream"),
        ("/analyze_image_upload/", "multipart/form-data; boundary=x"),
        ("/v1/predict-single", "multipart/form-data; boundary=x"),
        ("/v1/predict-batch", "multipart/form-data; boundary=x"),
        ("/api/v1/companies/x/datasets/", "application/json"),
        ("/api/v1/login/", "application/json"),
    ],
)
async def test_nobody_without_a_key_has_a_large_body_kept(
    server: Fort, path: str, kind: str
) -> None:
    """Thirty at once, each of what a caller with a key may send."""
    before = server.rss
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {40 * MIB}\r\n\r\n"
    )
    connections = [await opened(server) for _ in range(30)]
    for _, writer in connections:
        writer.write(head.encode())
    await asyncio.gather(*(poured(writer, b" " * 65536, 6 * MIB) for _, writer in connections))
    assert server.rss - before < SPARE
    assert {await status_of(reader) for reader, _ in connections} <= {0, 400, 401, 408, 413, 415}
    for _, writer in connections:
        await ended(writer)
    assert await server.is_well()


async def test_idle_connections_leave_room_for_others(server: Fort) -> None:
    connections = [await opened(server) for _ in range(400)]
    assert await server.is_well()
    for _, writer in connections:
        await ended(writer)


DEEP = "[" * 100_000
MANY = ",".join(f'"a{n}":1' for n in range(200_000))
BODIES = {
    "deep JSON": f'{{"query": "{{ __typename }}", "variables": {{"a": {DEEP}',
    "deep and whole": f'{{"query": "{{ a }}", "variables": {DEEP + "]" * 100_000}}}',
    "wide": f'{{"query": "{{ a }}", "variables": {{{MANY}}}}}',
    "a long integer": '{"query": "{ __typename }", "variables": {"a": ' + "1" * 100_000 + "}}",
    "a long fraction": '{"query": "{ __typename }", "variables": {"a": 0.' + "1" * 1_000_000 + "}}",
    "a large exponent": '{"query": "{ __typename }", "variables": {"a": 1e999999999}}',
    "one key many times": '{"query": "{ a }", ' + '"a": 1, ' * 200_000 + '"b": 1}',
    "half a character": '{"query": "{ __typename }", "operationName": "\\ud800"}',
    "many empty lists": '{"query": "{ a }", "variables": [' + "[]," * 500_000 + "[]]}",
    "a number": "5",
    "nothing": "",
}  # fmt: skip
JSON_ROUTES = (
    ("/graphql", 200),
    ("/api/projects", 401),
    ("/api/ml/images/x/analyses", 404),
    ("/analyze_image/", 422),
    ("/api/v1/login/", 400),
)


@pytest.mark.parametrize("name", BODIES)
async def test_no_json_breaks_or_holds_up_anything(server: Fort, name: str) -> None:
    content, headers = BODIES[name].encode(), {"content-type": "application/json"}
    for path, _ in JSON_ROUTES:
        answer = await server.client.post(path, content=content, headers=headers)
        assert answer.status_code < 500, (path, answer.text[:500])
        assert len(answer.content) < 2 * MIB
    assert await server.is_well()


async def test_a_form_of_thousands_of_parts_is_refused(server: Fort) -> None:
    part = '--x\r\nContent-Disposition: form-data; name="a{n}"{more}\r\n\r\nb\r\n'
    headers = {"content-type": "multipart/form-data; boundary=x"}
    for more in ("", '; filename="a.png"'):
        body = "".join(part.format(n=n, more=more) for n in range(50_000)) + "--x--\r\n"
        for path in (
            *("/graphql", "/analyze_image", "/analyze_image_upload/", "/v1/predict-single"),
            "/v1/predict-batch",
        ):
            before = server.rss
            answer = await server.client.post(path, content=body.encode(), headers=headers)
            assert 400 <= answer.status_code < 500, (path, answer.status_code)
            assert server.rss - before < SPARE
    assert await server.is_well()


@pytest.mark.parametrize(
    "value",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 10_000,
        "multipart/form-data; " + "a=b; " * 5_000,
        "application/json" + "; a=b" * 5_000,
        "application/json; charset=utf-16",
        "multipart/form-data; boundary*=utf-8''x",
        "/;=,\"'",
        "\xff",
    ],
    ids=range(9),
)
async def test_no_content_type_breaks_anything(server: Fort, value: str) -> None:
    for path in ("/graphql", "/analyze_image", "/analyze_image_upload/", "/v1/predict-single"):
        request = server.client.build_request("POST", path, content=b"--x\r\n\r\n--x--")
        request.headers.raw.append((b"content-type", value.encode("latin-1")))
        answer = await server.client.send(request)
        assert 400 <= answer.status_code < 500, (path, answer.text[:300])
    assert await server.is_well()


async def socket(server: Fort, *, key: bool = True) -> ClientConnection:
    headers = {"x-api-key": server.key} if key else {}
    return await connect(
        f"ws://127.0.0.1:{server.port}/graphql",
        subprotocols=[_GRAPHQL],
        additional_headers=headers,
        max_queue=None,
        ping_interval=None,
    )


async def code_of(one: ClientConnection) -> int | None:
    with suppress(ConnectionClosed):
        async with asyncio.timeout(120):
            while True:
                await one.recv()
    return one.close_code


async def test_a_frame_that_is_too_large_ends_its_socket(server: Fort) -> None:
    before = server.rss
    for is_split in (False, True):
        one = await socket(server, key=False)
        piece = "x" * (MIB // 4)
        with suppress(ConnectionClosed):
            await one.send((piece for _ in range(96)) if is_split else piece * 96)
        assert await code_of(one) in (1006, 1009)
    assert server.rss - before < SPARE
    assert await server.is_well()


async def test_parts_of_frames_without_an_end_are_not_kept(server: Fort) -> None:
    """Twenty who have not said who they are, each with a message that never ends."""
    before = server.rss
    sockets = [await socket(server, key=False) for _ in range(20)]

    async def pour(one: ClientConnection) -> None:
        async def endless() -> AsyncIterator[str]:
            for _ in range(60):
                yield "x" * (MIB // 4)
            await asyncio.sleep(1)

        with suppress(ConnectionClosed):
            await one.send(endless())

    await asyncio.gather(*map(pour, sockets))
    assert server.rss - before < SPARE
    for one in sockets:
        await one.close()
    assert await server.is_well()


async def test_who_sends_pings_and_reads_nothing_is_not_kept_answers_for(server: Fort) -> None:
    before = server.rss
    reader, writer = await opened(server)
    writer.write(
        b"GET /graphql HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    )
    assert await status_of(reader) == 101
    ping = struct.pack("!BB4s", 0x89, 0x80 | 125, b"\0\0\0\0") + b"x" * 125
    sent = await poured(writer, ping * 500, 256 * MIB)
    assert server.rss - before < SPARE, sent
    await ended(writer)
    assert await server.is_well()


@pytest.mark.parametrize(
    "message",
    [
        '{"type": "ping"}',
        '{"type": "connection_init"}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }"}}',
        '{"type": "complete", "id": "nothing"}',
        '{"type": 5}',
        "[]",
        DEEP,
        "1" * 100_000,
        '{"type": "subscribe", "id": ' + "1" * 5000 + ', "payload": {}}',
        '"\\ud800"',
        "\x00",
    ],
    ids=range(11),
)
async def test_a_flood_of_messages_ends_or_is_answered(server: Fort, message: str) -> None:
    before = server.rss
    one = await socket(server)

    async def read() -> None:
        with suppress(ConnectionClosed):
            async for _ in one:
                pass

    reading = asyncio.create_task(read())
    with suppress(ConnectionClosed, TimeoutError):
        async with asyncio.timeout(5):
            for _ in range(3000):
                await one.send(message)
    assert await server.is_well()
    assert server.rss - before < SPARE
    await one.close()
    await reading


async def test_operations_of_one_socket_have_a_bound(server: Fort) -> None:
    one = await socket(server)
    await one.send('{"type": "connection_init"}')
    query = "subscription { analysisEvents { cursor } }"
    for number in range(300):
        payload = {"type": "subscribe", "id": str(number), "payload": {"query": query}}
        await one.send(json.dumps(payload))
    refused = 0
    async with asyncio.timeout(120):
        while refused < 200:
            refused += json.loads(await one.recv())["type"] == "error"
    assert await server.is_well()
    await one.close()


async def test_who_does_not_read_answers_does_not_have_them_kept(server: Fort) -> None:
    """A hundred requests for a large page on one connection, of which nothing is read."""
    before = server.rss
    _, writer = await opened(server)
    head = f"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {server.key}\r\n\r\n"
    writer.write(head.encode() * 2000)
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(3):
            await writer.drain()
    assert await server.is_well()
    assert server.rss - before < SPARE
    await ended(writer)


async def test_answers_name_no_path_and_no_line_of_code(server: Fort) -> None:
    for path in (
        "/%00",
        "/..%2f..%2fetc/passwd",
        "/static/../../app.py",
        "/files/%ff",
        "/a" * 2000,
    ):
        with suppress(httpx.InvalidURL):
            answer = await server.client.get(path)
            assert answer.status_code in (400, 401, 404, 405)
            assert "opsin/" not in answer.text and "root:" not in answer.text
