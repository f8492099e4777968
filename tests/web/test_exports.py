"""Exports over HTTP: for their owner or by link; whatever the client does, nothing stays open."""

import asyncio
import contextlib
import gzip
import json
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from opsin.assembly import Parts, assemble
from opsin.core.access import Principal
from opsin.core.links import Links
from opsin.settings import Settings
from opsin.storage.database import connect_without_pool, database_url
from opsin.web import exports as door
from tests.conftest import LiveServer, postgres_database, serve
from tests.core.exports.stored import store, store_many
from tests.graphql.asking import NO_SUCH_ID, codes
from tests.graphql.conftest import new_key, revoke

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "s" * 32
MANY = 20_000
END = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND xact_start IS NOT NULL"
    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


class House:
    """A server that wants keys, what it stores, and the keys."""

    def __init__(self, live: LiveServer, parts: Parts, database: str) -> None:
        self.live = live
        self.parts = parts
        self.database = database
        self.paths: dict[str, str] = {}
        self.large = ""
        self.keys: dict[str, dict[str, str]] = {}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    folder: Path = tmp_path_factory.mktemp("exports")
    async with contextlib.AsyncExitStack() as stack:
        url = f"sqlite:///{folder / 'opsin.sqlite3'}"
        if request.param == "postgresql":
            server = request.getfixturevalue("postgres")
            url = await stack.enter_async_context(postgres_database(server))
        settings = Settings(
            data_dir=folder, worker=False, secret_key=SECRET, auth="keys", database_url=url
        )
        parts = await stack.enter_async_context(assemble(settings).running())
        made = House(await stack.enter_async_context(serve(settings)), parts, url)
        await _fill(made)
        yield made


async def _fill(house: House) -> None:
    access = house.parts.use_cases.access
    for company in ("ours", "theirs"):
        house.keys[company] = {"authorization": f"Bearer {await new_key(house.parts, company)}"}
    ended = await new_key(house.parts, "ours")
    await revoke(house.parts, ended)
    house.keys["revoked"] = {"x-api-key": ended}
    house.keys["nobody's"] = {}
    principal = Principal((await access.ensure_company("ours")).id, "owner")
    stored = await store(house.parts, principal)
    house.paths = {
        "dataset": f"/exports/datasets/{stored.dataset_id}",
        "image": f"/exports/images/{stored.images[0].id}",
        "analysis": f"/exports/analyses/{stored.analyses[0][0].id}",
    }
    large = await store_many(house.parts, principal, MANY)
    house.large = f"/exports/datasets/{large.dataset_id}"


async def get(house: House, path: str, caller: str = "ours", **query: str) -> httpx.Response:
    query = {"format": "ndjson"} | query
    return await house.live.client.get(path, params=query, headers=house.keys[caller])


def link(path: str, *, minutes: int = 5, **query: str) -> str:
    expires_at = datetime.now(UTC) + timedelta(minutes=minutes)
    return Links(SECRET.encode()).sign(path, expires_at=expires_at, **query)


@pytest.mark.parametrize(
    ("form", "media_type", "suffix"),
    [
        ("json", "application/json", ".json"),
        ("ndjson", "application/x-ndjson", ".ndjson"),
        ("csv", "text/csv; charset=utf-8; header=present", ".csv"),
        ("coco", "application/json", ".coco.json"),
    ],
)
async def test_every_kind_in_every_format(
    house: House, form: str, media_type: str, suffix: str
) -> None:
    for kind, path in house.paths.items():
        answer = await get(house, path, format=form.upper())
        assert answer.status_code == 200
        assert answer.headers["content-type"] == media_type
        name = f"{kind}-{path.rpartition('/')[2]}{suffix}"
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "no-store" in answer.headers["cache-control"]
        assert answer.content
        if form in ("json", "coco"):
            answer.json()
        head = await house.live.client.head(
            path, params={"format": form}, headers=house.keys["ours"]
        )
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-disposition"] == answer.headers["content-disposition"]


async def test_filters_are_a_part_of_the_address(house: House) -> None:
    answer = await get(house, house.paths["dataset"], class_name="cat", model_name="yolo")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert len(lines) == 2 and {line["class_name"] for line in lines} == {"cat"}


async def test_who_may_read(house: House) -> None:
    for path in house.paths.values():
        for caller, status, code in (
            ("nobody's", 401, "UNAUTHENTICATED"),
            ("revoked", 401, "UNAUTHENTICATED"),
            ("theirs", 404, "NOT_FOUND"),
        ):
            answer = await get(house, path, caller)
            assert (answer.status_code, codes(answer.json())) == (status, [code])
        assert (await get(house, path)).status_code == 200
    wrong_kind = house.paths["image"].replace("images", "datasets")
    for path in (wrong_kind, f"/exports/datasets/{NO_SUCH_ID}"):
        assert (await get(house, path)).status_code == 404
    assert (await get(house, "/exports/datasets/nothing")).status_code == 404


async def test_a_link_needs_no_key_and_holds_only_as_it_was_signed(house: House) -> None:
    client, path = house.live.client, house.paths["dataset"]
    signed = link(path, format="ndjson", class_name="cat")
    assert (await client.get(signed)).text.count("\n") == 4
    for wrong in (
        signed.replace("cat", "-dog"),
        signed.replace("ndjson", "json"),
        signed.replace("&class_name=cat", ""),
        signed + "&model_name=yolo",
        signed.replace(path, house.paths["image"]),
        link(path, minutes=-1, format="ndjson"),
    ):
        answer = await client.get(wrong)
        assert (answer.status_code, codes(answer.json())) == (403, ["FORBIDDEN"])
    gone = link(f"/exports/images/{NO_SUCH_ID}", format="csv")
    assert (await client.get(gone)).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        {"format": "xml"},
        {"format": ""},
        {"class": "cat"},
        {"confidence_from": "2"},
        {"status": "DONE"},
    ],
)
async def test_what_is_no_export(house: House, query: dict[str, str]) -> None:
    answer = await get(house, house.paths["dataset"], **query)
    assert (answer.status_code, codes(answer.json())) == (400, ["INVALID_INPUT"])


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("*", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("br, gzip; q=0.0", False),
        ("*, gzip;q=0", False),
        ("", False),
    ],
)
async def test_it_is_compressed_when_asked(house: House, accepted: str, zipped: bool) -> None:
    plain = (await get(house, house.large)).content
    headers = house.keys["ours"] | {"accept-encoding": accepted}
    async with house.live.client.stream(
        "GET", house.large, params={"format": "ndjson"}, headers=headers
    ) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert answer.headers.get("content-encoding") == ("gzip" if zipped else None)
    assert answer.headers["vary"] == "accept-encoding"
    assert (gzip.decompress(raw) if zipped else raw) == plain
    if zipped:
        assert len(raw) < len(plain) / 4


async def ask(house: House) -> socket.socket:
    """A socket that has asked for the large export and takes hardly anything of it."""
    loop = asyncio.get_running_loop()
    asking = socket.socket()
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    asking.setblocking(False)
    await loop.sock_connect(asking, ("127.0.0.1", house.live.port))
    signed = link(house.large, format="ndjson")
    request = f"GET {signed} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    await loop.sock_sendall(asking, request.encode())
    assert (await loop.sock_recv(asking, 1000)).startswith(b"HTTP/1.1 200")
    return asking


async def rest(asking: socket.socket) -> bytes:
    loop, received = asyncio.get_running_loop(), b""
    with contextlib.suppress(ConnectionError):
        while chunk := await loop.sock_recv(asking, 1 << 20):
            received = (received + chunk)[-100:]
    return received


async def nothing_is_open(house: House) -> None:
    """Waits until no statement of an export is left in the database."""
    for _ in range(600):
        if not await open_reads(house.database):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("an export is still open")


async def open_reads(url: str) -> bool:
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND xact_start IS NOT NULL"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    if url.startswith("sqlite"):
        query = "PRAGMA wal_checkpoint(TRUNCATE)"  # busy while somebody reads an older state
    engine = connect_without_pool(database_url(url))
    async with engine.connect() as connection:
        if url.startswith("sqlite"):
            # Something to write into the log that a reader of an older state holds.
            await connection.execute(text("UPDATE companies SET name = name"))
            await connection.commit()
        left = (await connection.execute(text(query))).scalar_one()
    await engine.dispose()
    return bool(left)


async def test_the_whole_arrives_at_a_slow_clients_pace(house: House) -> None:
    asking = await ask(house)
    assert await open_reads(house.database)
    assert (await rest(asking)).endswith(b"\r\n0\r\n\r\n")
    asking.close()
    await nothing_is_open(house)


async def test_clients_that_leave_in_the_middle_leave_nothing_open(house: House) -> None:
    for _ in range(4):  # eight may run at once
        left = [await ask(house) for _ in range(6)]
        for asking in left:
            asking.close()
        await nothing_is_open(house)
    for _ in range(600):
        answer = await get(house, house.paths["analysis"])
        if answer.status_code == 200:
            break
        await asyncio.sleep(0.05)
    assert answer.status_code == 200


async def test_so_many_at_once_and_no_more(house: House) -> None:
    asking = [await ask(house) for _ in range(8)]
    answer = await get(house, house.paths["analysis"])
    assert (answer.status_code, codes(answer.json())) == (503, ["OVERLOADED"])
    assert answer.headers["retry-after"] == "10"
    for one in asking:
        one.close()
    await nothing_is_open(house)


async def test_a_client_that_takes_nothing_is_let_go(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "PATIENCE_SECONDS", 0.3)
    asking = await ask(house)
    await nothing_is_open(house)
    assert not (await rest(asking)).endswith(b"\r\n0\r\n\r\n")  # no part passes for the whole
    asking.close()


@pytest.mark.parametrize("house", ["postgresql"], indirect=True)  # SQLite has no server to end it
async def test_an_export_that_breaks_off_does_not_pass_for_whole(house: House) -> None:
    asking = await ask(house)
    engine = connect_without_pool(database_url(house.database))
    ended = 0
    while not ended:
        async with engine.connect() as connection:
            ended = len((await connection.execute(text(END))).all())
    await engine.dispose()
    assert not (await rest(asking)).endswith(b"\r\n0\r\n\r\n")
    asking.close()
    await nothing_is_open(house)
