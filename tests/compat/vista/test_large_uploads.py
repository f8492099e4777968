"""Large files sent to a real `opsin serve`: flat memory, cut connections, a killed server."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from opsin.assembly import assemble
from opsin.settings import Settings
from tests.compat.vista.pipelines import SECRET, documented
from tests.pictures import solid_png
from tests.processes import Marks, Opsin, opsin

MEBIBYTE = 2**20
BINARY = {"Content-Type": "application/octet-stream"}


@contextlib.contextmanager
def serving(folder: Path, name: str = "data") -> Iterator[Opsin]:
    """A server process in dev mode, on a free port, that takes files of a gigabyte."""
    marks_folder = folder / f"marks-{len(list(folder.glob('marks-*')))}"
    marks_folder.mkdir()
    with opsin(
        folder,
        *("serve", "--port", "0"),
        marks=Marks(marks_folder, 0),
        data_dir=folder / name,
        vista_hmac_secret=SECRET,
        vista_max_artifact_bytes=2**30,
        max_request_bytes=MEBIBYTE,
    ) as process:
        yield process


async def url_of(server: Opsin) -> str:
    return (await server.prints("GraphQL")).split()[-1].removesuffix("/graphql")


async def analysis(client: httpx.AsyncClient) -> str:
    body = {"name": "p", "meta_group_id": "any"}
    project = (await client.post("/api/projects", json=body)).json()["id"]
    file = {"file": ("a.png", solid_png(9, 9), "image/png")}
    image = (await client.post(f"/api/projects/{project}/images", files=file)).json()["id"]
    model = {"model_name": "yolo_v8", "model_version": "1"}
    made = await client.post(f"/api/images/{image}/analyses", json=model)
    identity: str = made.json()["id"]
    return identity


async def address(client: httpx.AsyncClient, identity: str) -> str:
    wanted = {"artifacts": [{"artifact_name": "a.bin", "content_type": BINARY["Content-Type"]}]}
    answer = await client.post(
        f"/api/analyses/{identity}/artifacts/presign", json=wanted, headers=documented(wanted)
    )
    url: str = answer.json()["presigned_urls"][0]["upload_url"]
    return url


async def artifacts(client: httpx.AsyncClient, identity: str) -> list[dict[str, Any]]:
    query = "query($id: ID!) { analysis(id: $id) { artifacts { name sizeBytes sha256 } } }"
    body = {"query": query, "variables": {"id": identity}}
    answer = await client.post("/graphql", json=body)
    found: list[dict[str, Any]] = answer.json()["data"]["analysis"]["artifacts"]
    return found


def peak(process: int) -> int:
    """The most bytes of memory that a process has had at once."""
    status = Path(f"/proc/{process}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


async def half_sent(url: str, *, declared: int, sent: int) -> asyncio.StreamWriter:
    """A connection on which only the first bytes of a body have come."""
    target = httpx.URL(url)
    _, writer = await asyncio.open_connection(target.host, target.port)
    head = (
        f"PUT {target.raw_path.decode()} HTTP/1.1\r\nHost: {target.host}\r\n"
        f"Content-Type: {BINARY['Content-Type']}\r\nContent-Length: {declared}\r\n\r\n"
    )
    writer.write(head.encode() + b"x" * sent)
    await writer.drain()
    return writer


async def until(server: Opsin, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            server.check_alive()
            await asyncio.sleep(0.05)


async def test_a_large_file_streams(tmp_path: Path) -> None:
    piece, pieces = bytes(range(256)) * 4096, 192
    digest = hashlib.sha256()

    async def body() -> AsyncIterator[bytes]:
        for _ in range(pieces):
            digest.update(piece)
            yield piece

    with serving(tmp_path) as server:
        async with httpx.AsyncClient(base_url=await url_of(server), timeout=110) as client:
            identity = await analysis(client)
            url = await address(client, identity)
            before = peak(server.pid)
            answer = await client.put(url, content=body(), headers=BINARY)
            assert answer.status_code == 200, answer.text
            found = await artifacts(client, identity)
            expected = {"name": "a.bin", "sizeBytes": pieces * len(piece)}
            assert found == [expected | {"sha256": digest.hexdigest()}]
            # More than three times less than the file: it was never there as a whole.
            assert peak(server.pid) - before < 64 * MEBIBYTE
            path = f"ml_outputs/{identity}/a.bin"
            read = hashlib.sha256()
            content = "/api/ml/artifacts/content"
            async with client.stream("GET", content, params={"path": path}) as stream:
                async for chunk in stream.aiter_bytes():
                    read.update(chunk)
            assert read.digest() == digest.digest()
            assert peak(server.pid) - before < 64 * MEBIBYTE


@pytest.mark.chaos
async def test_a_body_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    incoming = tmp_path / "data" / "blobs" / "incoming"
    with serving(tmp_path) as server:
        async with httpx.AsyncClient(base_url=await url_of(server), timeout=60) as client:
            identity = await analysis(client)
            url = await address(client, identity)
            writer = await half_sent(url, declared=8 * MEBIBYTE, sent=2 * MEBIBYTE)
            await until(server, lambda: any(incoming.glob("*")))
            writer.transport.abort()
            await until(server, lambda: not any(incoming.glob("*")))
            assert await artifacts(client, identity) == []
            assert (await client.put(url, content=b"whole", headers=BINARY)).status_code == 200
            assert [one["sizeBytes"] for one in await artifacts(client, identity)] == [5]
        assert await server.stop() == 0


@pytest.mark.chaos
async def test_a_server_killed_in_mid_upload(tmp_path: Path) -> None:
    incoming = tmp_path / "data" / "blobs" / "incoming"
    with serving(tmp_path) as first:
        async with httpx.AsyncClient(base_url=await url_of(first), timeout=60) as client:
            identity = await analysis(client)
            path = httpx.URL(await address(client, identity)).raw_path.decode()
            unused = httpx.URL(await address(client, await analysis(client))).raw_path.decode()
        url = await url_of(first) + path
        writer = await half_sent(url, declared=8 * MEBIBYTE, sent=2 * MEBIBYTE)
        await until(first, lambda: any(incoming.glob("*")))
        first.kill()
        writer.transport.abort()
    (left,) = incoming.glob("*")
    with serving(tmp_path) as second:
        async with httpx.AsyncClient(base_url=await url_of(second), timeout=60) as client:
            assert await artifacts(client, identity) == []
            # The address is still good, and the file is what is sent now.
            assert (await client.put(path, content=b"whole", headers=BINARY)).status_code == 200
            assert [one["sizeBytes"] for one in await artifacts(client, identity)] == [5]
        assert await second.stop() == 0
    assert left.exists()
    later = datetime.now(UTC) + timedelta(hours=2)
    settings = Settings(data_dir=tmp_path / "data", worker=False)
    async with assemble(settings).running() as parts:
        assert await parts.use_cases.sent_files.sweep(later) == 2
        await parts.sweep.run(older_than=timedelta(hours=1), now=later)
        found = await parts.use_cases.artifacts.find(
            await parts.use_cases.access.local(), identity, "a.bin"
        )
        assert found is not None
        kept = b"".join([chunk async for chunk in parts.use_cases.artifacts.stream(found)])
        assert kept == b"whole"
    assert not left.exists()
    with serving(tmp_path) as third:
        async with httpx.AsyncClient(base_url=await url_of(third), timeout=60) as client:
            assert (await client.put(unused, content=b"x", headers=BINARY)).status_code == 404
