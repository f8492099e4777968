"""Files that go past the server, straight to S3."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsin.client import Client, TooLarge, heatmap
from tests.client.conftest import QUICK
from tests.client.servers import SECRET, Server
from tests.pictures import noise_jpeg
from tests.storage.s3_server import s3_endpoint as s3_endpoint


@pytest.fixture
def client(s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    for name in [name for name in os.environ if name.startswith(("OPSIN_", "ML_"))]:
        monkeypatch.delenv(name)
    server = Server(
        tmp_path,
        blob_url="s3://pictures/house",
        s3_endpoint=s3_endpoint,
        s3_access_key="key",
        s3_secret_key="secret",
        s3_create_bucket="true",
    )
    server.start()
    with Client(server.url, api_key=server.key, secret=SECRET, retries=QUICK) as made:
        yield made
    server.kill()


def test_a_file_is_streamed_to_its_address(
    client: Client, s3_endpoint: str, tmp_path: Path
) -> None:
    large = os.urandom(2_500_000)
    (tmp_path / "large.bin").write_bytes(large)
    picture = noise_jpeg()
    image = client.upload_image(client.create_project("s3").id, picture, "picture.jpg").image
    assert client.read_image(image) == picture
    sent: list[int] = []
    with client.analysis(image, model="yolo_v8", version="1") as analysis:
        steps = client._analyses.presign(analysis.id, [("x.bin", "text/x", 1)])
        (given,) = client._transport.run(steps)
        assert given.url.startswith(s3_endpoint)  # and not to the server
        file = analysis.upload(tmp_path / "large.bin", progress=lambda done, _: sent.append(done))
        analysis.add(heatmap(file))
    assert (file.size_bytes, file.sha256) == (2_500_000, hashlib.sha256(large).hexdigest())
    assert sent[-1] == 2_500_000 and len(sent) > 5
    query = "query($id: ID!) { analysis(id: $id) { artifacts { name sizeBytes sha256 } } }"
    data, _ = client._transport.run(client._session.ask(query, {"id": analysis.id}))
    (stored,) = data["analysis"]["artifacts"]
    assert stored == {"name": "large.bin", "sizeBytes": 2_500_000, "sha256": file.sha256}


def test_a_file_that_is_too_large_is_not_sent_at_all(client: Client) -> None:
    picture = client.upload_image(client.create_project("s3").id, noise_jpeg(), "a.jpg").image
    made = client.create_analysis(picture, model="yolo_v8", version="1")
    with pytest.raises(TooLarge, match="OPSIN_VISTA_MAX_ARTIFACT_BYTES"):
        client.upload_artifact(made.id, bytes(4_000_000), "large.bin")
