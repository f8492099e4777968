"""Parts of files: what a Range header asks for, by the standard and over the wire."""

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as some
from sqlalchemy import insert, select

from opsin.settings import Settings
from opsin.storage.blobs import content_key, open_blob_store
from opsin.storage.database import Database
from opsin.storage.ids import new_id
from opsin.storage.tables import analyses, artifacts
from opsin.web.byte_ranges import UnsatisfiableRange, asked_range
from tests.conftest import LiveServer, serve
from tests.graphql.asking import external, image
from tests.pictures import solid_png

ETAG = '"tag"'


def asked(value: str, size: int = 100, if_range: str = ETAG) -> tuple[int, int] | None:
    found = asked_range({"range": value, "if-range": if_range}, size, ETAG)
    return None if found is None else (found.start, found.end)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=10-", (10, 100)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-7", (93, 100)),
        ("bytes=-1000", (0, 100)),
        ("BYTES= 0-9 ", (0, 10)),
        # What is no range, several, or in another unit: the whole file.
        ("bytes=20-10", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("lines=0-1", None),
        ("bytes=\u0661-2", None),
        ("", None),
        ("bytes=" + "9" * 19 + "-", None),
    ],
)
def test_what_is_asked_for(value: str, expected: tuple[int, int] | None) -> None:
    assert asked(value) == expected


@pytest.mark.parametrize(("value", "size"), [("bytes=100-", 100), ("bytes=0-", 0), ("bytes=-0", 5)])
def test_what_the_file_does_not_have(value: str, size: int) -> None:
    with pytest.raises(UnsatisfiableRange):
        asked(value, size)


def test_another_version_comes_whole() -> None:
    for known, expected in ((ETAG, (0, 2)), ('"older"', None)):
        assert asked("bytes=0-1", if_range=known) == expected


@given(some.integers(0, 300), some.integers(0, 300), some.integers(1, 200))
def test_a_range_is_a_part_of_the_file(first: int, last: int, size: int) -> None:
    try:
        found = asked(f"bytes={first}-{last}", size)
    except UnsatisfiableRange:
        assert first >= size
        return
    whole = bytes(range(size))
    if first > last:
        assert found is None
    else:
        assert found is not None and whole[found[0] : found[1]] == whole[first : last + 1]


# --- over the wire --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("files"), worker=False, secret_key="s" * 32)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(files: Settings) -> AsyncIterator[LiveServer]:
    async with serve(files) as server:
        yield server


async def artifact_url(live: LiveServer, files: Settings, content: bytes, content_type: str) -> str:
    """The link of a file that an analysis has."""
    analysis_id = await external(live)
    sha256 = hashlib.sha256(content).hexdigest()
    store = open_blob_store(files.resolved_blob_url)

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    await store.put(content_key(sha256), chunks())
    database = Database(files.resolved_database_url)
    async with database.write() as transaction:
        company = select(analyses.c.company_id).where(analyses.c.id == analysis_id)
        now = datetime.now(UTC)
        values = {
            "id": new_id(),
            "company_id": (await transaction.connection.execute(company)).scalar_one(),
            "analysis_id": analysis_id,
            "name": "a file",
            "content_type": content_type,
            "storage_path": f"ml_outputs/{analysis_id}/a",
            "size_bytes": len(content),
            "sha256": sha256,
            "created_at": now,
            "stored_at": now,
        }
        await transaction.connection.execute(insert(artifacts).values(values))
    await database.close()
    query = "query($id: ID!) { analysis(id: $id) { artifacts { url } } }"
    found = await live.data(query, id=analysis_id)
    return str(found["analysis"]["artifacts"][0]["url"])


pytest_module = pytest.mark.asyncio(loop_scope="module")


@pytest_module
@pytest.mark.parametrize("kind", ["image", "artifact"])
async def test_a_part_of_a_file_is_sent(live: LiveServer, files: Settings, kind: str) -> None:
    if kind == "image":
        content = solid_png()
        query = "query($id: ID!) { image(id: $id) { url } }"
        url = (await live.data(query, id=await image(live)))["image"]["url"]
    else:
        content = bytes(range(256)) * 3000  # several chunks
        url = await artifact_url(live, files, content, "application/x-weights")
    size = len(content)
    whole = await live.client.get(url)
    assert (whole.status_code, whole.content) == (200, content)
    assert whole.headers["accept-ranges"] == "bytes"
    for value, start, end in (
        ("bytes=5-20", 5, 21),
        (f"bytes={size - 3}-", size - 3, size),
        ("bytes=-4", size - 4, size),
    ):
        part = await live.client.get(url, headers={"range": value})
        assert (part.status_code, part.content) == (206, content[start:end])
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
        assert part.headers["content-length"] == str(end - start)
        assert part.headers["etag"] == whole.headers["etag"]
    beyond = await live.client.get(url, headers={"range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.content) == (416, b"")
    assert beyond.headers["content-range"] == f"bytes */{size}"
    has_it = {"if-none-match": whole.headers["etag"], "range": "bytes=0-1"}
    assert (await live.client.get(url, headers=has_it)).status_code == 304


@pytest_module
@pytest.mark.parametrize(
    ("content_type", "shown"),
    [
        ("image/png", True),
        ("IMAGE/JPEG; q=1", True),
        ("image/svg+xml", False),
        ("text/html; charset=utf-8", False),
        ("application/octet-stream", False),
    ],
)
async def test_only_plain_pictures_are_shown_by_a_browser(
    live: LiveServer, files: Settings, content_type: str, shown: bool
) -> None:
    url = await artifact_url(live, files, b"<script>alert(1)</script>", content_type)
    answer = await live.client.get(url)
    disposition = answer.headers["content-disposition"]
    assert disposition.partition(";")[0] == ("inline" if shown else "attachment")
    assert disposition.endswith("a%20file")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["content-type"] == content_type


@pytest_module
async def test_an_artifacts_link_holds_only_as_it_was_signed(
    live: LiveServer, files: Settings
) -> None:
    one = await artifact_url(live, files, b"one", "text/plain")
    two = await artifact_url(live, files, b"two", "text/plain")
    path, _, query = one.partition("?")
    for tampered in (
        path,
        f"{two.partition('?')[0]}?{query}",
        f"{path.replace('artifacts', 'images')}?{query}",
        f"{one}&more=1",
    ):
        assert (await live.client.get(tampered)).status_code == 403


@pytest_module
async def test_a_file_that_is_gone_is_a_404(live: LiveServer, files: Settings) -> None:
    url = await artifact_url(live, files, b"soon gone", "text/plain")
    digest = hashlib.sha256(b"soon gone").hexdigest()
    await open_blob_store(files.resolved_blob_url).delete(content_key(digest))
    for headers in ({}, {"range": "bytes=0-1"}):
        answer = await live.client.get(url, headers=headers)
        assert answer.status_code == 404
        assert answer.json()["errors"][0]["extensions"]["code"] == "BLOB_NOT_FOUND"
