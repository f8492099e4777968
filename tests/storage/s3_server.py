"""An S3-compatible server on loopback, for the tests of everything that is kept in S3."""

from collections.abc import AsyncIterator, Iterator

import pytest
from moto.server import ThreadedMotoServer

from opsin.storage.blobs import S3Options


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def s3_options(endpoint: str, *, create_bucket: bool = True) -> S3Options:
    return S3Options(
        endpoint_url=endpoint,
        access_key_id="key",
        secret_access_key="secret",
        create_bucket=create_bucket,
    )


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
