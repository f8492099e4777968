"""One contract for every blob store: local files, memory, and S3 over real HTTP."""

import asyncio
import hashlib
import io
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import SpooledTemporaryFile
from uuid import uuid4

import pytest

from opsin.core.errors import (
    BlobNotFound,
    ConfigurationError,
    InvalidInput,
    StorageError,
    TooLarge,
)
from opsin.storage.blobs import BlobStore, check_key, content_key, open_blob_store
from tests.storage.s3_server import pieces, s3_options
from tests.storage.s3_server import s3_endpoint as s3_endpoint

MEBIBYTE = 1024 * 1024
HOUR = timedelta(hours=1)

ODD_KEYS = [
    "a",
    "a/b",
    "a/b/c.blob/d",
    "a/b/c",
    "x.blob",
    "x.blob/y",
    "x.blob%/y",
    "x.blob%",
    "incoming/objects",
    ".hidden/..twice../...",
    "space and + plus/100%/%2F?q=1#f&g;h",
    "Ünïcödé/写真/🦉.png",
    "quote'\"<>|*:~`$",
    "-" * 240 + "/" + "é" * 120,
    " leading and trailing ",
    "/".join(["deep"] * 180),
]
HOSTILE_KEYS = [
    "",
    "/etc/passwd",
    "..",
    "../up",
    "a/../../b",
    "a/..",
    "./a",
    "a/./b",
    "a//b",
    "a/",
    "a\\b",
    "a\x00b",
    "a\nb",
    "a\x7fb",
    "a\x85b",
    "a" * 241,
    "/".join(["x" * 99] * 10),
    "\ud800",
]


@pytest.fixture(params=["local", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return {
        "local": f"file://{tmp_path}/blobs",
        "memory": "memory://",
        "s3": f"s3://bucket-{uuid4().hex}/some/prefix",
    }[request.param]


@pytest.fixture
async def store(url: str, s3_endpoint: str) -> AsyncIterator[BlobStore]:
    store = open_blob_store(url, s3=s3_options(s3_endpoint))
    yield store
    await store.close()
    await store.close()


async def collect(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def test_what_is_put_is_read(store: BlobStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    size = await store.put("a/b.png", pieces(b"one", b"", b"two"), content_type="image/png")
    assert size == 6
    assert await store.read("a/b.png") == b"onetwo"
    stat = await store.stat("a/b.png")
    assert stat is not None
    assert (stat.key, stat.size) == ("a/b.png", 6)
    assert before <= stat.modified <= datetime.now(UTC) + timedelta(seconds=1)
    assert stat.content_type in ("image/png", None)


async def test_an_empty_blob_is_a_blob(store: BlobStore) -> None:
    assert await store.put("empty", pieces()) == 0
    assert await store.read("empty") == b""
    assert await collect(store.open("empty", start=0, end=5)) == b""
    stat = await store.stat("empty")
    assert stat is not None
    assert stat.size == 0


async def test_putting_again_replaces(store: BlobStore) -> None:
    await store.put("k", pieces(b"a longer first text"))
    await store.put("k", pieces(b"second"))
    assert await store.read("k") == b"second"


async def test_put_file_streams_the_whole_file_from_its_start(store: BlobStore) -> None:
    content = os.urandom(3 * MEBIBYTE + 17)
    with SpooledTemporaryFile(max_size=MEBIBYTE) as file:
        file.write(content)
        assert await store.put_file("file", file, content_type="image/png") == len(content)
    assert await store.read("file") == content
    assert await store.put_file("file", io.BytesIO(b"x")) == 1


async def test_a_missing_blob(store: BlobStore) -> None:
    assert await store.stat("none") is None
    await store.delete("none")
    with pytest.raises(BlobNotFound):
        await store.read("none")
    for start, end in ((0, None), (5, None), (2, 1), (0, 0)):
        with pytest.raises(BlobNotFound):
            await collect(store.open("none", start=start, end=end))


async def test_delete(store: BlobStore) -> None:
    await store.put("k", pieces(b"x"))
    await store.delete("k")
    assert await store.stat("k") is None
    assert [stat async for stat in store.list("")] == []


async def test_read_refuses_more_than_the_limit(store: BlobStore) -> None:
    await store.put("k", pieces(b"12345"))
    assert await store.read("k", limit=5) == b"12345"
    with pytest.raises(TooLarge):
        await store.read("k", limit=4)


RANGES = [
    (0, 3),
    (2, 5),
    (5, None),
    (0, None),
    (0, 99),
    (9, 10),
    (10, None),
    (50, 60),
    (3, 3),
    (5, 2),
]


async def test_ranges(store: BlobStore) -> None:
    await store.put("k", pieces(b"0123456789"))
    for start, end in RANGES:
        assert await collect(store.open("k", start=start, end=end)) == b"0123456789"[start:end]


async def test_a_range_of_a_large_blob(store: BlobStore) -> None:
    content = os.urandom(2 * MEBIBYTE)
    await store.put("k", pieces(content))
    assert (
        await collect(store.open("k", start=1000, end=MEBIBYTE + 7))
        == (content[1000 : MEBIBYTE + 7])
    )
    with pytest.raises(InvalidInput):
        await collect(store.open("k", start=-1))


async def test_a_reader_may_stop_early(store: BlobStore) -> None:
    await store.put("k", pieces(os.urandom(2 * MEBIBYTE)))
    async with aclosing(store.open("k")) as chunks:
        async for chunk in chunks:
            assert chunk
            break
    assert len(await store.read("k")) == 2 * MEBIBYTE


@pytest.mark.parametrize("megabytes", [0, 9])
async def test_a_failing_iterator_leaves_what_was_there(store: BlobStore, megabytes: int) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"start"
        for _ in range(megabytes):
            yield bytes(MEBIBYTE)
        raise OSError("the client went away")

    with pytest.raises(OSError, match="went away"):
        await store.put("new", broken())
    assert await store.stat("new") is None
    await store.put("old", pieces(b"kept"))
    with pytest.raises(OSError, match="went away"):
        await store.put("old", broken())
    assert await store.read("old") == b"kept"
    assert [stat.key async for stat in store.list("")] == ["old"]


async def test_a_cancelled_put_leaves_what_was_there(store: BlobStore) -> None:
    sent = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield bytes(9 * MEBIBYTE)
        sent.set()
        await asyncio.Event().wait()

    await store.put("k", pieces(b"kept"))
    putting = asyncio.create_task(store.put("k", stalled()))
    await sent.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await store.read("k") == b"kept"


async def test_concurrent_puts_of_one_key_leave_one_whole_blob(store: BlobStore) -> None:
    async def slowly(letter: bytes) -> AsyncIterator[bytes]:
        for _ in range(8):
            yield letter * 100_000
            await asyncio.sleep(0)

    letters = [bytes([65 + number]) for number in range(8)]
    await asyncio.gather(*(store.put("same", slowly(letter)) for letter in letters))
    content = await store.read("same")
    assert content in [letter * 800_000 for letter in letters]
    assert [stat.key async for stat in store.list("")] == ["same"]


async def test_odd_but_legal_keys_are_kept_apart(store: BlobStore) -> None:
    await asyncio.gather(*(store.put(key, pieces(key.encode())) for key in ODD_KEYS))
    for key in ODD_KEYS:
        assert await store.read(key) == key.encode()
    listed = {stat.key: stat.size async for stat in store.list("")}
    assert listed == {key: len(key.encode()) for key in ODD_KEYS}


async def test_listing_is_by_the_start_of_the_text(store: BlobStore) -> None:
    await asyncio.gather(*(store.put(key, pieces(b"1")) for key in ODD_KEYS))
    for prefix in ("", "a", "a/", "a/b", "a/b/", "x.blob", "x.blob/", "none/", "Ü"):
        listed = [stat.key async for stat in store.list(prefix)]
        assert sorted(listed) == sorted(key for key in ODD_KEYS if key.startswith(prefix))


async def test_a_listing_may_be_deleted_from(store: BlobStore) -> None:
    for number in range(5):
        await store.put(f"many/{number}", pieces(b"1"))
    async for stat in store.list("many/"):
        await store.delete(stat.key)
    assert [stat async for stat in store.list("")] == []


async def test_hostile_keys_are_refused_everywhere(store: BlobStore) -> None:
    for key in HOSTILE_KEYS:
        for attempt in (
            store.put(key, pieces(b"x")),
            store.read(key),
            store.stat(key),
            store.delete(key),
            store.presign_put(key, content_type="image/png", expires_in=HOUR),
            store.presign_get(key, expires_in=HOUR),
        ):
            with pytest.raises(InvalidInput):
                await attempt


async def test_hostile_prefixes_are_refused(store: BlobStore) -> None:
    for prefix in ("../", "/", "a/../", "a\\", "a\x00", "a//"):
        with pytest.raises(InvalidInput):
            await anext(store.list(prefix))


async def test_a_content_type_that_is_no_header_is_refused(store: BlobStore) -> None:
    with pytest.raises(InvalidInput):
        await store.put("k", pieces(b"x"), content_type="image/png\r\nX-Amz-Acl: public-read")
    with pytest.raises(InvalidInput):
        await store.presign_put("k", content_type="a\nb", expires_in=HOUR)


async def test_stores_without_urls_presign_nothing(tmp_path: Path) -> None:
    for store in (open_blob_store("memory://"), open_blob_store(f"file://{tmp_path}")):
        assert await store.presign_get("k", expires_in=HOUR) is None
        assert await store.presign_put("k", content_type="a/b", expires_in=HOUR) is None


# Memory of the writing process only: the S3 server keeps the blob in its own.
BOUNDED = """
import asyncio, hashlib, sys, tracemalloc
from opsin.storage.blobs import S3Options, open_blob_store

async def main():
    options = S3Options(endpoint_url=sys.argv[2], access_key_id="k", secret_access_key="s",
                        create_bucket=True)
    store = open_blob_store(sys.argv[1], s3=options)
    digest = hashlib.sha256()
    async def chunks():
        for number in range(640):
            chunk = bytes([number % 256]) * 65536
            digest.update(chunk)
            yield chunk
    await store.stat("warm")
    tracemalloc.start()
    size = await store.put("large", chunks())
    written = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    again = hashlib.sha256()
    async for chunk in store.open("large"):
        again.update(chunk)
    read = tracemalloc.get_traced_memory()[1]
    await store.close()
    assert again.digest() == digest.digest()
    print(size, written, read)

asyncio.run(main())
"""


@pytest.mark.parametrize(("kind", "limit"), [("local", 2), ("s3", 20)])
def test_a_40_mebibyte_stream_needs_little_memory(
    kind: str, limit: int, s3_endpoint: str, tmp_path: Path
) -> None:
    url = {"local": f"file://{tmp_path}", "s3": f"s3://bucket-{uuid4().hex}"}[kind]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BOUNDED, url, s3_endpoint],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    size, written, read = map(int, done.stdout.split())
    assert size == 40 * MEBIBYTE
    # S3 holds the part being gathered and the part being sent.
    assert written < limit * MEBIBYTE
    assert read < 3 * MEBIBYTE
    assert done.stderr == ""


async def test_a_failing_disk_is_a_storage_error_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file where the folder should be")
    store = open_blob_store(f"file://{tmp_path}/blobs")
    with pytest.raises(StorageError) as caught:
        await store.put("k", pieces(b"x"))
    assert str(tmp_path) not in str(caught.value)


async def test_local_files_are_private_and_nothing_is_left_over(tmp_path: Path) -> None:
    store = open_blob_store(f"file://{tmp_path}")
    await store.put("a/b", pieces(b"x"))
    assert (tmp_path / "objects" / "a" / "b.blob").stat().st_mode & 0o777 == 0o600
    assert list((tmp_path / "incoming").iterdir()) == []


async def test_what_a_killed_writer_left_is_discarded_when_it_is_old(tmp_path: Path) -> None:
    store = open_blob_store(f"file://{tmp_path}")
    now = datetime.now(UTC)
    assert await store.discard_unfinished(now) == 0  # before anything was written at all
    await store.put("kept", pieces(b"x"))
    for name, age in (("old", 2 * HOUR), ("young", timedelta(minutes=1))):
        left = tmp_path / "incoming" / name
        left.write_bytes(b"half")
        os.utime(left, ((now - age).timestamp(),) * 2)
    assert await store.discard_unfinished(now - HOUR) == 1
    assert [path.name for path in (tmp_path / "incoming").iterdir()] == ["young"]
    assert await store.read("kept") == b"x"


def test_content_key() -> None:
    digest = hashlib.sha256(b"").hexdigest()
    assert content_key(digest) == f"sha256/e3/{digest[2:]}"
    assert check_key(content_key(digest)) == content_key(digest)
    for wrong in ("", "e3", digest.upper(), digest + "\n", "../" + digest[3:]):
        with pytest.raises(InvalidInput):
            content_key(wrong)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x/y",
        "/just/a/path",
        "file://",
        "file://host/path",
        "file:relative",
        "s3://",
        "s3:///prefix",
        "s3://bucket/../up",
        "s3://key:secret@bucket/",
        "s3://bucket/p?region=x",
        "s3://bucket/" + "p" * 101,
        "http://[::1",
    ],
)
def test_unusable_urls(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_blob_store(url)
    assert "secret" not in str(caught.value)
