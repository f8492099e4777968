"""Uploads to signed addresses: of this server, and of S3; what they refuse, and what is swept."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import select

from opsin.core.errors import StorageError
from opsin.core.expected_files import Upload
from opsin.settings import Settings
from opsin.storage.blobs import S3Options, open_blob_store
from opsin.storage.curation import uploads
from tests.compat.vista.conftest import Vista, vista_server, vista_settings
from tests.storage.s3_server import pieces
from tests.storage.s3_server import s3_endpoint as s3_endpoint

pytestmark = pytest.mark.asyncio(loop_scope="module")

PNG = {"Content-Type": "image/png"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small(module_settings: Settings) -> AsyncIterator[Vista]:
    """A server that takes files of 1,000 bytes at most."""
    changes = {"vista_max_artifact_bytes": 1000, "data_dir": module_settings.data_dir / "small"}
    async with vista_server(vista_settings(module_settings, **changes)) as vista:
        yield vista


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bucket(module_settings: Settings, s3_endpoint: str) -> AsyncIterator[Vista]:
    """A server whose files lie in S3."""
    changes = {
        "blob_url": "s3://artifacts/some/prefix",
        "s3_endpoint": s3_endpoint,
        "s3_public_endpoint": s3_endpoint.replace("127.0.0.1", "localhost"),
        "s3_access_key": "key",
        "s3_secret_key": "secret",
        "s3_create_bucket": True,
        "vista_max_artifact_bytes": 1000,
        "data_dir": module_settings.data_dir / "s3",
    }
    async with vista_server(vista_settings(module_settings, **changes)) as vista:
        yield vista


async def address(vista: Vista, identity: str, name: str = "a.png") -> str:
    body = {"artifacts": [{"artifact_name": name, "content_type": "image/png"}]}
    answer = await vista.pipeline("timestamped").presign(identity, body)
    assert answer.status_code == 200, answer.text
    url: str = answer.json()["presigned_urls"][0]["upload_url"]
    return url


async def artifacts(vista: Vista, identity: str) -> list[dict[str, Any]]:
    query = "query($id: ID!) { analysis(id: $id) { artifacts { name sizeBytes contentType } } }"
    answer = await vista.client.post(
        "/graphql", json={"query": query, "variables": {"id": identity}}, headers=vista.user
    )
    found: list[dict[str, Any]] = answer.json()["data"]["analysis"]["artifacts"]
    return found


async def test_a_file_is_seen_when_it_has_come(small: Vista) -> None:
    identity = await small.analysis()
    url = await address(small, identity)
    assert await artifacts(small, identity) == []
    assert (await small.client.put(url, content=b"x" * 1000, headers=PNG)).status_code == 200
    again = await small.client.put(url, content=b"x" * 1000, headers=PNG)
    digest = base64.b64encode(hashlib.sha256(b"x" * 1000).digest()).decode()
    assert again.headers["repr-digest"] == f"sha-256=:{digest}:"
    expected = {"name": "a.png", "sizeBytes": 1000, "contentType": "image/png"}
    assert await artifacts(small, identity) == [expected]


async def test_what_an_address_refuses(small: Vista) -> None:
    identity = await small.analysis()
    url = await address(small, identity)
    client = small.client
    for other in ({"Content-Type": "image/jpeg"}, {}):
        assert (await client.put(url, content=b"x", headers=other)).status_code == 403
    assert (await client.put(url, content=b"x" * 1001, headers=PNG)).status_code == 413
    changed = httpx.URL(url).copy_merge_params({"expires": "9999999999"})
    assert (await client.put(changed, content=b"x", headers=PNG)).status_code == 403
    assert (await client.put(url.partition("?")[0], content=b"x", headers=PNG)).status_code == 403
    # Another upload's id does not fit the signature.
    second = await address(small, identity, "b.png")
    swapped = f"{second.partition('?')[0]}?{url.partition('?')[2]}"
    assert swapped != second
    assert (await client.put(swapped, content=b"x", headers=PNG)).status_code == 403
    assert (await client.get(url)).status_code == 405
    assert await artifacts(small, identity) == []


async def test_an_address_takes_one_file(small: Vista) -> None:
    identity = await small.analysis()
    url = await address(small, identity)
    assert (await small.client.put(url, content=b"one", headers=PNG)).status_code == 200
    assert (await small.client.put(url, content=b"one", headers=PNG)).status_code == 200
    assert (await small.client.put(url, content=b"two", headers=PNG)).status_code == 409
    # The same name again needs another address, and replaces the file.
    again = await address(small, identity)
    assert (await small.client.put(again, content=b"three", headers=PNG)).status_code == 200
    assert [one["sizeBytes"] for one in await artifacts(small, identity)] == [5]


async def test_after_its_time_an_address_is_refused(module_settings: Settings) -> None:
    changes = {
        "vista_presigned_url_expiry_seconds": 1,
        "data_dir": module_settings.data_dir / "brief",
    }
    async with vista_server(vista_settings(module_settings, **changes)) as vista:
        identity = await vista.analysis()
        url = await address(vista, identity)
        await asyncio.sleep(2)
        late = await vista.client.put(url, content=b"x", headers=PNG)
        assert late.status_code == 403
        assert await artifacts(vista, identity) == []
        # What is asked for again after that is another address, also by the same signed request.
        assert await address(vista, identity) != url


async def test_what_was_swept_takes_nothing(small: Vista) -> None:
    identity = await small.analysis()
    url = await address(small, identity)
    late = httpx.URL(url).params["expires"]
    assert 0 < int(late) - datetime.now(UTC).timestamp() <= 3600
    sent = small.parts.use_cases.sent_files
    assert await sent.sweep(datetime.now(UTC) + timedelta(hours=2)) >= 1
    assert (await small.client.put(url, content=b"x", headers=PNG)).status_code == 404
    assert await sent.sweep(datetime.now(UTC) + timedelta(hours=2)) == 0


@pytest.mark.parametrize(
    ("name", "status"),
    [("../a.png", 422), ("a/b.png", 422), ("a\\b", 422), ("..", 400), ("a..png", 400), ("", 422)],
)
@pytest.mark.parametrize("dialect", ["documented", "timestamped"])
@pytest.mark.parametrize("prefix", ["/api", "/api-key", "/api-ml"])
async def test_names_that_are_paths(
    small: Vista, prefix: str, dialect: str, name: str, status: int
) -> None:
    identity = await small.analysis()
    many = {"artifacts": [{"artifact_name": name, "content_type": "image/png"}]}
    one = {"artifact_type": "heatmap", "filename": name}
    for body in (many, one):
        answer = await small.pipeline(dialect, prefix).presign(identity, body)
        assert answer.status_code == status, answer.text
        if status == 400:
            detail = "Invalid filename: path traversal not allowed"
            assert answer.json() == {"detail": detail}


@pytest.mark.parametrize("body", [{}, {"artifact_type": "picture"}, {"artifacts": [{}]}])
async def test_what_is_no_file(small: Vista, body: dict[str, Any]) -> None:
    answer = await small.pipeline("timestamped").presign(await small.analysis(), body)
    assert answer.status_code == 422


async def test_kinds_have_content_types(small: Vista) -> None:
    identity = await small.analysis()
    for kind, content_type in (
        ("heatmap", "image/png"),
        ("mask", "image/png"),
        ("segmentation", "image/png"),
        ("log", "text/plain"),
        ("metadata", "application/json"),
    ):
        answer = await small.pipeline("timestamped").presign(identity, {"artifact_type": kind})
        assert answer.json()["storage_path"] == f"ml_outputs/{identity}/{kind}.bin"
        put = await small.client.put(
            answer.json()["upload_url"], content=b"x", headers={"Content-Type": content_type}
        )
        assert put.status_code == 200


@pytest.mark.parametrize("query", ["content", "download"])
async def test_paths_of_files(small: Vista, query: str) -> None:
    identity = await small.analysis()
    await small.client.put(await address(small, identity), content=b"x", headers=PNG)

    async def ask(path: str, key: str) -> httpx.Response:
        url = f"/api/ml/artifacts/{query}"
        return await small.client.get(url, params={"path": path}, headers={"X-API-Key": key})

    here = await ask(f"ml_outputs/{identity}/a.png", small.key)
    assert here.status_code == 200
    if query == "download":
        assert (await small.client.get(here.json()["url"])).content == b"x"
    for path, status, detail in (
        ("other/x", 400, "Invalid artifact path"),
        ("ml_outputs/x", 400, "Invalid analysis ID in path"),
        ("ml_outputs/none/a.png", 400, "Invalid analysis ID in path"),
        (f"ml_outputs/{identity}/../a.png", 400, "Invalid artifact path"),
        (f"ml_outputs/{identity[:-4]}0000/a.png", 404, "Analysis not found"),
        (f"ml_outputs/{identity}/b.png", 404, "Artifact not found in storage"),
    ):
        answer = await ask(path, small.key)
        assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    assert (await ask(f"ml_outputs/{identity}/a.png", small.their_key)).status_code == 403
    missing = await small.client.get(f"/api/ml/artifacts/{query}", headers=small.user)
    assert missing.status_code == 422


async def test_files_go_straight_to_s3(bucket: Vista) -> None:
    identity = await bucket.analysis()
    url = await address(bucket, identity)
    assert "X-Amz-Signature" in url
    assert url.startswith("http://localhost:")  # as clients see the store
    assert "content-type" in url.lower()
    async with httpx.AsyncClient() as anybody:
        assert (await anybody.put(url, content=b"heat", headers=PNG)).status_code == 200
    pipeline = bucket.pipeline("timestamped")
    path = f"ml_outputs/{identity}/a.png"
    finding = {"annotation_type": "heatmap", "data": {}, "storage_path": path}
    assert (await pipeline.bulk(identity, [finding])).status_code == 200
    assert [one["sizeBytes"] for one in await artifacts(bucket, identity)] == [4]
    seen = await bucket.client.get(
        "/api/ml/artifacts/content", params={"path": path}, headers=bucket.user
    )
    assert seen.content == b"heat"


async def test_what_was_sent_to_s3_is_recorded_without_being_asked_for(bucket: Vista) -> None:
    identity = await bucket.analysis()
    url = await address(bucket, identity)
    async with httpx.AsyncClient() as anybody:
        await anybody.put(url, content=b"heat", headers=PNG)
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while not found:
            await asyncio.sleep(0.2)
            found = await artifacts(bucket, identity)
    assert [one["sizeBytes"] for one in found] == [4]


async def test_what_an_address_of_s3_is_signed_for(bucket: Vista) -> None:
    identity = await bucket.analysis()
    one = {"artifact_name": "a.png", "content_type": "image/png"}
    two = {"artifact_name": "b.png", "content_type": "image/png", "size_bytes": 7}
    answer = await bucket.pipeline("timestamped").presign(identity, {"artifacts": [one, two]})
    signed = [
        set(httpx.URL(file["upload_url"]).params["X-Amz-SignedHeaders"].split(";"))
        for file in answer.json()["presigned_urls"]
    ]
    assert signed == [{"content-type", "host"}, {"content-length", "content-type", "host"}]
    expires = {
        httpx.URL(f["upload_url"]).params["X-Amz-Expires"] for f in answer.json()["presigned_urls"]
    }
    assert expires == {"3600"}
    large = {"artifacts": [two | {"size_bytes": 1001}]}
    refused = await bucket.pipeline("timestamped").presign(identity, large)
    assert refused.status_code == 413


async def test_files_in_s3_that_nothing_is_left_of_are_removed(bucket: Vista) -> None:
    image_id = await bucket.image()
    pipeline = bucket.pipeline("timestamped")
    identity = (await pipeline.create(image_id)).json()["id"]
    url = await address(bucket, identity)
    await bucket.parts.use_cases.images.delete(bucket.ours, image_id)
    async with httpx.AsyncClient() as anybody:
        assert (await anybody.put(url, content=b"x" * 777, headers=PNG)).status_code == 200
    store = open_blob_store(
        "s3://artifacts/some/prefix",
        s3=S3Options(
            endpoint_url=str(httpx.URL(url).copy_with(path="/", query=None)),
            access_key_id="key",
            secret_access_key="secret",
        ),
    )
    await store.put("uploads/somebody-elses.png", pieces(b"not ours"))
    assert 777 in [blob.size async for blob in store.list("uploads/")]
    await bucket.parts.use_cases.sent_files.sweep()
    assert 777 not in [blob.size async for blob in store.list("uploads/")]
    assert await store.read("uploads/somebody-elses.png") == b"not ours"
    await store.close()


async def test_a_file_that_cannot_be_had_holds_nothing_up(
    bucket: Vista, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are swept, and it is tried again."""
    identity = await bucket.analysis()
    urls = [httpx.URL(await address(bucket, identity, name)) for name in ("a.png", "b.png")]
    first, second = (url.path.rpartition("/")[2] for url in urls)
    sent, later = bucket.parts.use_cases.sent_files, datetime.now(UTC) + timedelta(hours=2)
    collect = sent._collect

    async def cut_off(upload: Upload) -> bool:
        if upload.id == first:
            raise StorageError("the store cannot be reached")
        return await collect(upload)

    async def left() -> set[str]:
        statement = select(uploads.c.id).where(uploads.c.id.in_([first, second]))
        async with bucket.parts.use_cases.database.read() as connection:
            return set((await connection.execute(statement)).scalars())

    assert await left() == {first, second}
    with monkeypatch.context() as patch:
        patch.setattr(sent, "_collect", cut_off)
        await sent.sweep(later)
    assert await left() == {first}
    await sent.sweep(later)
    assert await left() == set()


async def test_what_is_too_large_in_s3_is_thrown_away(bucket: Vista) -> None:
    identity = await bucket.analysis()
    url = await address(bucket, identity)
    async with httpx.AsyncClient() as anybody:
        await anybody.put(url, content=b"x" * 1001, headers=PNG)
    await bucket.pipeline("timestamped").finalize(identity, status="completed")
    assert await artifacts(bucket, identity) == []


async def test_graphql_gives_addresses_too(small: Vista) -> None:
    identity = await small.analysis()
    query = """mutation($id: ID!, $name: String!) { presignArtifacts(input: {analysisId: $id,
      artifacts: [{name: $name, contentType: "image/png"}]}) {
      name uploadUrl storagePath expiresIn } }"""

    async def ask(name: str) -> Any:
        body = {"query": query, "variables": {"id": identity, "name": name}}
        return (await small.client.post("/graphql", json=body, headers=small.user)).json()

    given = (await ask("b.png"))["data"]["presignArtifacts"][0]
    assert given["storagePath"] == f"ml_outputs/{identity}/b.png"
    assert given["expiresIn"] == 3600
    put = await small.client.put(given["uploadUrl"], content=b"xyz", headers=PNG)
    assert put.status_code == 200
    assert [one["name"] for one in await artifacts(small, identity)] == ["b.png"]
    assert (await ask("../b.png"))["errors"][0]["extensions"]["code"] == "INVALID_INPUT"
