"""Every program of examples/ does what its --help says, against a live server."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from matplotlib.cbook import get_sample_data
from PIL import Image

from opsin.client import Client
from tests.client.conftest import QUICK
from tests.client.servers import SECRET, Server
from tests.node import find_node
from tests.pictures import noise_jpeg, solid_png

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = sorted(path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".mjs"))
LONGEST = 120  # lines
MODELS = "yolo_v8,mtcnn,heatmap_generator,sharpness"
DOCUMENT = "4ef70414ba7309f51ed22efbaccb7a5bb4d9fae89ec168fb8b1fb818ab2bd571"
"""sha256 of the client in the API's document, each line without the blanks around it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A server that knows the examples' models, and a client for what they leave behind."""

    server: Server
    client: Client

    def project(self) -> str:
        return self.client.create_project("examples").id

    def run(
        self, name: str, *arguments: str, folder: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
        program = [*find_node().node] if name.endswith(".mjs") else [sys.executable]
        environment = os.environ | {
            "OPSIN_API_KEY": self.server.key,
            "ML_CALLBACK_HMAC_SECRET": SECRET,
            "OPSIN_URL": self.server.url,
            "OMP_WAIT_POLICY": "PASSIVE",  # PyTorch's threads must not spin on cores of others
        }
        return subprocess.run(
            [*program, str(EXAMPLES / name), *arguments],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def works(self, name: str, *arguments: str, folder: Path | None = None) -> str:
        given = (
            [*arguments]
            if name == "documented_client.py"
            else [*arguments, "--url", self.server.url]
        )
        done = self.run(name, *given, folder=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("OPSIN_", "ML_"))]:
            patch.delenv(name)
        server = Server(tmp_path_factory.mktemp("server"), vista_allowed_models=MODELS)
        server.start()
        try:
            with Client(server.url, api_key=server.key, retries=QUICK) as client:
                yield Place(server, client)
        finally:
            server.kill()


@pytest.fixture(scope="module")
def portrait() -> bytes:
    """Grace Hopper, whose face MTCNN finds."""
    return Path(str(get_sample_data("grace_hopper.jpg", asfileobj=False))).read_bytes()


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_says_what_it_does(place: Place, name: str) -> None:
    done = place.run(name, "--help")
    assert done.returncode == 0, done.stderr
    assert "ML_CALLBACK_HMAC_SECRET" in done.stdout
    assert f"`{name}`" in (EXAMPLES / "README.md").read_text()


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "documented_client.py"])
def test_each_is_short(name: str) -> None:
    assert len((EXAMPLES / name).read_text().splitlines()) < LONGEST


def test_the_documented_client_is_the_documents() -> None:
    text = (EXAMPLES / "documented_client.py").read_text()
    theirs = text[text.index("import requests") : text.index("# Run the pipeline")]
    for name, value in {
        "URL": "http://localhost:8000",
        "SECRET": "your-hmac-secret",
        "API_KEY": "your-api-key",
    }.items():
        theirs = re.sub(rf"={name}\b", f"='{value}'", theirs)
    lines = [line.strip() for line in theirs.splitlines() if line.strip()]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == DOCUMENT


def test_the_documented_client(place: Place, tmp_path: Path) -> None:
    image = place.client.upload_image(place.project(), noise_jpeg(), "picture.jpg").image
    (tmp_path / "detections.png").write_bytes(solid_png())
    assert "Analysis complete!" in place.works("documented_client.py", image.id, folder=tmp_path)
    (made,) = place.client.analyses(image)
    assert (made.status, made.summary) == ("completed", {"total_detections": 1})
    (found,) = place.client.annotations(made.id)
    assert found.data["bbox"] == [100, 150, 50, 100]


def test_the_detector_finds_the_face(place: Place, portrait: bytes) -> None:
    project = place.project()
    image = place.client.upload_image(project, portrait, "hopper.jpg").image
    assert "hopper.jpg: 1 faces" in place.works("detector_pipeline.py", project)
    (made,) = place.client.analyses(image)
    assert (made.status, made.summary) == ("completed", {"faces": 1})
    box, points = place.client.annotations(made.id)
    x, y, width, height = box.data["bbox"]
    assert (box.class_name, (box.confidence or 0) > 0.99) == ("face", True)
    # What the server's own operation finds in the same picture.
    assert _overlap((x, y, width, height), (174, 119, 181, 221)) > 0.6
    named = {one["name"]: one for one in points.data["keypoints"]}
    assert len(named) == 5
    assert named["left_eye"]["y"] < named["nose"]["y"] < named["mouth_left"]["y"]
    assert place.works("detector_pipeline.py", project) == ""  # all is done


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    sides = [
        max(0, min(one[n] + one[n + 2], other[n] + other[n + 2]) - max(one[n], other[n]))
        for n in (0, 1)
    ]
    common = sides[0] * sides[1]
    return common / (one[2] * one[3] + other[2] * other[3] - common)


def test_the_heatmap_shows_what_stands_out(place: Place, tmp_path: Path) -> None:
    grey = Image.new("RGB", (400, 300), (90, 90, 90))
    grey.paste((240, 30, 30), (300, 40, 330, 70))
    grey.save(tmp_path / "spot.png")
    project = place.project()
    image = place.client.upload_image(project, tmp_path / "spot.png").image
    plain = place.client.upload_image(project, solid_png(), "plain.png").image
    assert place.works("heatmap_pipeline.py", project).count("bytes") == 2
    for one in (image, plain):
        (made,) = place.client.analyses(one)
        (found,) = place.client.annotations(made.id)
        assert (made.status, found.annotation_type) == ("completed", "heatmap")
    (made,) = place.client.analyses(image)
    (found,) = place.client.annotations(made.id)
    content = _artifact(place, found.storage_path or "")
    (tmp_path / "heat.png").write_bytes(content)
    heat = Image.open(tmp_path / "heat.png")
    assert heat.size == (400, 300)
    levels = np.asarray(heat, np.float64)
    y, x = np.unravel_index(int(levels.argmax()), levels.shape)
    assert abs(x - 315) < 40 and abs(y - 55) < 40, (x, y)


def _artifact(place: Place, path: str) -> bytes:
    answer = httpx.get(
        f"{place.server.url}/api/ml/artifacts/content",
        params={"path": path},
        headers={"X-API-Key": place.server.key},
    )
    assert answer.status_code == 200, answer.text
    return answer.content


def test_the_folder_goes_on_where_it_stopped(place: Place, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "noise.jpg").write_bytes(noise_jpeg(300, 200))
    (tmp_path / "plain.png").write_bytes(solid_png(300, 200))
    (tmp_path / "same.PNG").write_bytes(solid_png(300, 200))
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("no picture either")
    project = place.project()
    first = place.run("folder_pipeline.py", str(tmp_path), project, "--url", place.server.url)
    assert first.returncode == 1
    assert "1 pictures failed" in first.stderr
    lines = {Path(line.partition(": ")[0]).name: line for line in first.stdout.splitlines()}
    assert set(lines) == {"noise.jpg", "plain.png", "same.PNG", "broken.jpg"}
    assert "new, sharpness" in lines["noise.jpg"] and "done before" in lines["same.PNG"]
    images = {one.filename: one for one in place.client.images(project)}
    assert set(images) == {"noise.jpg", "plain.png"}
    assert images["noise.jpg"].metadata == {"path": "below/noise.jpg"}
    best = {name: _classes(place, image) for name, image in images.items()}
    assert best == {"noise.jpg": "sharp", "plain.png": "blurred"}

    (tmp_path / "broken.jpg").write_bytes(noise_jpeg(64, 64, seed=5))
    again = place.works("folder_pipeline.py", str(tmp_path), project)
    assert again.count("done before") == 3 and again.count("new, sharpness") == 1
    assert len(list(place.client.images(project))) == 3


def _classes(place: Place, image: Any) -> str | None:
    (made,) = place.client.analyses(image)
    return next(
        one.class_name
        for one in place.client.annotations(made.id)
        if one.annotation_type == "classification"
    )


@pytest.mark.parametrize("dialect", ["timestamped", "documented"])
def test_node_without_packages(place: Place, tmp_path: Path, dialect: str) -> None:
    image = place.client.upload_image(place.project(), noise_jpeg(), "picture.jpg").image
    (tmp_path / "heat.png").write_bytes(solid_png())
    arguments = [image.id, "--dialect", dialect, "--file", str(tmp_path / "heat.png")]
    told = place.works("node_pipeline.mjs", *arguments)
    assert '"count":2,"status":"completed"' in told
    (made,) = place.client.analyses(image)
    box, heat = place.client.annotations(made.id)
    assert box.data["bbox"] == [100, 150, 50, 100]
    assert _artifact(place, heat.storage_path or "") == solid_png()


def test_node_tells_of_its_failure(place: Place) -> None:
    image = place.client.upload_image(place.project(), noise_jpeg(), "picture.jpg").image
    arguments = [image.id, "--url", place.server.url, "--file", "nowhere.png"]
    done = place.run("node_pipeline.mjs", *arguments)
    assert done.returncode != 0 and "nowhere.png" in done.stderr
    (made,) = place.client.analyses(image)
    assert (made.status, "nowhere.png" in (made.error_message or "")) == ("failed", True)
