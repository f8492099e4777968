"""The whole way of a pipeline, in both dialects, by either client."""

import hashlib
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from opsin.client import (
    Annotation,
    AsyncClient,
    Client,
    GraphQLRefused,
    KeyRefused,
    bounding_box,
    classification,
    heatmap,
    keypoints,
    mask,
    polygon,
)
from tests.client.conftest import QUICK, Site
from tests.client.servers import PROXY_SECRET, SECRET
from tests.pictures import solid_png

FINDINGS = [
    bounding_box(1, 2, 3.5, 4, "Größe 鯨 🐋", 0.95),
    polygon([(0, 0), (10, 0), (10, 10)], "roof", 0.5),
    mask([[0, 1, 1], [0, 1, 0]], "tile"),
    keypoints({"nose": (5, 6, 0.9), "left eye": (4, 5)}, "face"),
    classification({"cat": 0.25, "dog": 0.75}),
]


@pytest.mark.parametrize("prefix", ["/api", "/api-key", "/api-ml"])
@pytest.mark.parametrize("dialect", ["timestamped", "documented"])
def test_everything_arrives(
    site: Site, dialect: Literal["timestamped", "documented"], prefix: str
) -> None:
    picture, sent = solid_png(300, 200), []
    with site.client(dialect=dialect, prefix=prefix) as client:
        image = client.image(site.image())
        with client.analysis(
            image, model="yolo_v8", version="8.1", parameters={"t": 0.5}, description="boxes"
        ) as analysis:
            assert analysis.record.status == "processing"
            file = analysis.upload(
                picture, "heat.png", progress=lambda done, of: sent.append((done, of))
            )
            assert analysis.add(*FINDINGS, heatmap(file, "warm", scale=2)) == 6
            analysis.summary["found"] = 6
        found = client.get_analysis(analysis.id)
        assert found == analysis.record
        assert (found.status, found.summary) == ("completed", {"found": 6})
        assert (found.model_name, found.parameters) == ("yolo_v8", {"t": 0.5})
        assert found.started_at and found.completed_at and found.error_message is None
        stored = list(client.annotations(analysis.id))
    assert stored[:5] == FINDINGS
    assert stored[5].storage_path == file.storage_path == f"ml_outputs/{analysis.id}/heat.png"
    assert file.sha256 == hashlib.sha256(picture).hexdigest()
    assert (file.size_bytes, file.content_type) == (len(picture), "image/png")
    assert sent[-1] == (len(picture), len(picture))


async def test_the_asynchronous_client_does_the_same(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "heat.png"
    path.write_bytes(solid_png(30, 20))

    async def found() -> AsyncIterator[Annotation]:
        for number in range(25):
            yield bounding_box(number, 0, 1, 1, "box", 0.5)

    async with AsyncClient(
        site.server.url, api_key=site.server.key, secret=SECRET, retries=QUICK, chunk=10
    ) as client:
        uploaded = await client.upload_image(site.project, path, metadata={"camera": 1})
        again = await client.upload_image(site.project, path)
        assert uploaded.is_new and not again.is_new
        assert again.image.id == uploaded.image.id
        assert uploaded.image.metadata == {"camera": 1}
        assert await client.read_image(uploaded.image) == path.read_bytes()
        await client.download_image(uploaded.image, tmp_path / "copy.png")
        assert (tmp_path / "copy.png").read_bytes() == path.read_bytes()
        async with client.analysis(uploaded.image, model="yolo_v8", version="1") as analysis:
            file = await analysis.upload(path)
            assert file.name == "heat.png"
            assert await analysis.add_all(found()) == 25
            assert await analysis.add_all([heatmap(file)]) == 1
        assert (await client.get_analysis(analysis.id)).status == "completed"
        assert await client.count_annotations(analysis.id) == 26
        places = [one.data["bbox"][0] async for one in client.annotations(analysis.id) if one.data]
        assert places == list(range(25))
        (listed,) = await client.analyses(uploaded.image)
        assert listed.id == analysis.id


def test_a_secret_alone_carries_on_what_is_there(site: Site) -> None:
    with site.client() as client:
        made = client.create_analysis(site.image(1), model="yolo_v8", version="1")
    with site.client(api_key=None) as pipeline:
        pipeline.set_status(made.id, "processing")
        assert pipeline.add_annotations(made.id, FINDINGS) == 5
        file = pipeline.upload_artifact(made.id, io.BytesIO(b"{}"), "log.json")
        assert file.content_type == "application/json"
        assert pipeline.finalize(made.id, summary={"a": 1}).status == "completed"


def test_a_user_behind_a_proxy(site: Site) -> None:
    given = {"api_key": None, "user_email": "Ada@example.org", "proxy_secret": PROXY_SECRET}
    with site.client(**given) as client:
        project = client.create_project("mine")
        assert project.group == "ada@example.org"
        image = client.upload_image(project.id, solid_png(), "a.png").image
        with client.analysis(image, model="yolo_v8", version="1") as analysis:
            analysis.add(*FINDINGS)
        assert client.count_annotations(analysis.id) == 5
        with pytest.raises(GraphQLRefused, match="Make a key with"):
            list(client.images(project.id))
    with site.client(**given | {"proxy_secret": "wrong"}) as other, pytest.raises(KeyRefused):
        other.image(image.id)


def test_findings_of_any_number_come_in_order(site: Site) -> None:
    def found() -> Iterator[dict[str, Any]]:
        for number in range(2345):
            yield {"annotation_type": "mark", "data": {"n": number}}

    with site.client(chunk=1000) as client:
        made = client.create_analysis(site.image(2), model="yolo_v8", version="1")
        assert client.add_annotations(made.id, found()) == 2345
        assert [one.data["n"] for one in client.annotations(made.id)] == list(range(2345))


@pytest.mark.parametrize("dialect", ["timestamped", "documented"])
def test_equal_findings_are_all_stored(site: Site, dialect: Any) -> None:
    with site.client(chunk=2, dialect=dialect) as client:
        made = client.create_analysis(site.image(3), model="yolo_v8", version="1")
        assert client.add_annotations(made.id, [FINDINGS[0]] * 6) == 6
        assert client.count_annotations(made.id) == 6


@pytest.mark.parametrize("prefix", ["/api", "/api-ml"])
@pytest.mark.parametrize("dialect", ["timestamped", "documented"])
def test_equal_analyses_are_two(site: Site, dialect: Any, prefix: str) -> None:
    with site.client(dialect=dialect, prefix=prefix) as client:
        image = client.upload_image(site.project, solid_png(60, len(prefix + dialect)), "a.png")
        made = [client.create_analysis(image.image, model="yolo_v8", version="1") for _ in "ab"]
        assert len({one.id for one in made}) == 2
        for one in made:
            assert client.finalize(one.id).status == "completed"
        assert client.read_image(image.image)


def test_files_from_wherever_they_are(site: Site, client: Client, tmp_path: Path) -> None:
    class OneWay(io.RawIOBase):
        """A pipe: it cannot be rewound, and its length is not known."""

        def __init__(self, content: bytes) -> None:
            self._left = io.BytesIO(content)

        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return False

        def read(self, size: int = -1) -> bytes:
            return self._left.read(size)

    large = bytes(range(256)) * 8192
    (tmp_path / "large.bin").write_bytes(large)
    made = client.create_analysis(site.image(4), model="yolo_v8", version="1")
    started = io.BytesIO(b"before" + large)
    started.seek(6)
    with (tmp_path / "large.bin").open("rb") as opened:
        for name, source in {
            "path": tmp_path / "large.bin",
            "text": str(tmp_path / "large.bin"),
            "bytes": large,
            "opened": opened,
            "started": started,
            "one-way": OneWay(large),
        }.items():
            file = client.upload_artifact(made.id, source, f"{name}.bin")  # type: ignore[arg-type]  # OneWay is an IO[bytes] in all that counts
            assert (file.size_bytes, file.sha256) == (
                len(large),
                hashlib.sha256(large).hexdigest(),
            ), name
        assert not opened.closed
    empty = client.upload_artifact(made.id, b"", "empty.txt")
    assert empty.size_bytes == 0
    with pytest.raises(ValueError, match="need a name"):
        client.upload_artifact(made.id, b"x")
