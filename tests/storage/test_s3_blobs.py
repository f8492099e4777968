"""What only the S3 store does: parts, presigned URLs, errors without addresses."""

import hashlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from opsin.core.errors import (
    BlobNotFound,
    ConfigurationError,
    InvalidInput,
    MissingExtra,
    StorageError,
)
from opsin.storage.blobs import BlobStore, S3Options, open_blob_store
from tests.storage.s3_server import pieces, s3_options
from tests.storage.s3_server import s3_endpoint as s3_endpoint

MEBIBYTE = 1024 * 1024
HOUR = timedelta(hours=1)


@pytest.fixture
async def s3(s3_endpoint: str) -> AsyncIterator[BlobStore]:
    store = open_blob_store(f"s3://bucket-{uuid4().hex}/p", s3=s3_options(s3_endpoint))
    yield store
    await store.close()


async def test_s3_parts_of_every_boundary(s3: BlobStore) -> None:
    part = 8 * MEBIBYTE
    for size in (part, part + 1, 2 * part):
        content = os.urandom(MEBIBYTE) * (size // MEBIBYTE) + b"x" * (size % MEBIBYTE)
        assert await s3.put("parts", pieces(content), content_type="image/tiff") == size
        stored = await s3.read("parts")
        assert hashlib.sha256(stored).digest() == hashlib.sha256(content).digest()
        stat = await s3.stat("parts")
        assert stat is not None
        assert stat.content_type == "image/tiff"


async def test_s3_presigned_upload_takes_a_real_put(s3: BlobStore) -> None:
    upload = await s3.presign_put("up/ä b.png", content_type="image/png", expires_in=HOUR)
    assert upload is not None
    assert upload.method == "PUT"
    assert upload.headers == {"Content-Type": "image/png"}
    assert "X-Amz-SignedHeaders=content-type%3Bhost" in upload.url
    assert "X-Amz-Expires=3600" in upload.url
    assert abs(upload.expires_at - datetime.now(UTC) - HOUR) < timedelta(seconds=10)
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.request(
            upload.method, upload.url, headers=dict(upload.headers), content=b"picture"
        )
    assert answer.status_code == 200
    assert await s3.read("up/ä b.png") == b"picture"
    stat = await s3.stat("up/ä b.png")
    assert stat is not None
    assert stat.content_type == "image/png"


async def test_s3_presigned_url_gives_the_blob(s3: BlobStore) -> None:
    await s3.put("down", pieces(b"picture"), content_type="application/octet-stream")
    url = await s3.presign_get(
        "down", expires_in=HOUR, filename='gr"ün\r\n.png', content_type="image/png"
    )
    assert url is not None
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(url)
    assert answer.content == b"picture"
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"gr__n__.png\"; filename*=UTF-8''gr%22%C3%BCn%0D%0A.png"
    )
    for wrong in (timedelta(0), timedelta(days=8)):
        with pytest.raises(InvalidInput):
            await s3.presign_get("down", expires_in=wrong)


async def test_s3_signs_for_the_address_that_clients_see() -> None:
    options = S3Options(
        endpoint_url="http://inside:9000",
        public_endpoint_url="https://files.example.org",
        access_key_id="key",
        secret_access_key="secret",
    )
    store = open_blob_store("s3://bucket", s3=options)
    url = await store.presign_get("k", expires_in=HOUR)
    await store.close()
    assert url is not None
    assert url.startswith("https://files.example.org/bucket/k?")


async def test_s3_failures_name_neither_endpoint_nor_key(s3_endpoint: str) -> None:
    unreachable = open_blob_store("s3://bucket", s3=s3_options("http://127.0.0.1:9"))
    no_bucket = open_blob_store(
        f"s3://none-{uuid4().hex}", s3=s3_options(s3_endpoint, create_bucket=False)
    )
    for store in (unreachable, no_bucket):
        with pytest.raises(StorageError) as caught:
            await store.put("secret-key", pieces(b"x"))
        assert not isinstance(caught.value, BlobNotFound)
        assert "127.0.0.1" not in str(caught.value)
        assert "secret-key" not in str(caught.value)
        await store.close()
    assert "secret'" not in repr(s3_options(s3_endpoint))


def test_half_of_the_s3_keys_or_no_endpoint_scheme() -> None:
    with pytest.raises(ConfigurationError, match="both"):
        open_blob_store("s3://bucket", s3=S3Options(access_key_id="key"))
    with pytest.raises(ConfigurationError, match="endpoint"):
        open_blob_store("s3://bucket", s3=S3Options(endpoint_url="minio:9000"))


def test_s3_without_its_client_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsin.storage.blobs.opening.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"opsin\[s3\]"):
        open_blob_store("s3://bucket")


async def test_s3_a_failed_upload_leaves_no_parts(s3_endpoint: str) -> None:
    bucket = f"bucket-{uuid4().hex}"
    store = open_blob_store(f"s3://{bucket}", s3=s3_options(s3_endpoint))

    async def broken() -> AsyncIterator[bytes]:
        yield bytes(9 * MEBIBYTE)
        async with httpx.AsyncClient(trust_env=False) as client:
            under_way.append((await client.get(f"{s3_endpoint}/{bucket}?uploads")).text)
        raise RuntimeError("gone")

    under_way: list[str] = []
    with pytest.raises(RuntimeError, match="gone"):
        await store.put("k", broken())
    await store.close()
    async with httpx.AsyncClient(trust_env=False) as client:
        left = (await client.get(f"{s3_endpoint}/{bucket}?uploads")).text
    assert "<UploadId>" in under_way[0]
    assert "<UploadId>" not in left
