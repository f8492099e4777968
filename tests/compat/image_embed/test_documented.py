"""The document's own examples against `opsin serve`, verbatim but for host, address and file."""

import base64
import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import file_server, install, serving
from tests.compat.image_embed import person_plugin
from tests.compat.image_embed.person_plugin import PERSON
from tests.pictures import portrait

BY_URL = """curl -X POST "http://localhost:8000/analyze_image/" -H "Content-Type: application/json" -d '{"image_url": "https://upload.wikimedia.org/wikipedia/commons/thumb/e/e9/Official_portrait_of_Barack_Obama.jpg/800px-Official_portrait_of_Barack_Obama.jpg", "tasks": [{"operation_id": "whole_image_embedding", "type": "embed_clip_vit_b_32", "params": {"target": "whole_image"}}, {"operation_id": "person_bbox", "type": "detect_bounding_box", "params": {"target": "prominent_person"}}, {"operation_id": "face_bbox_from_person", "type": "detect_bounding_box", "params": {"target": "prominent_face", "face_context": "prominent_person"}}, {"operation_id": "face_embedding", "type": "embed_clip_vit_b_32", "params": {"target": "prominent_face", "face_context": "prominent_person"}}]}'"""  # noqa: E501  # one line, as it is documented
BY_FILE = """curl -X POST "http://localhost:8000/analyze_image_upload/" -H "Content-Type: multipart/form-data" -F "image_file=@/path/to/some_person.jpg" -F 'tasks_json=[{"operation_id": "face_from_file", "type": "detect_bounding_box", "params": {"target": "prominent_face"}}]'"""  # noqa: E501  # the same
PICTURE = (
    "https://upload.wikimedia.org/wikipedia/commons/thumb/e/e9/"
    "Official_portrait_of_Barack_Obama.jpg/800px-Official_portrait_of_Barack_Obama.jpg"
)


@pytest.fixture
def server(tmp_path: Path, models: Path) -> Iterator[tuple[str, str]]:
    """The addresses of the API, and of a web server with the portrait."""
    source = Path(person_plugin.__file__).read_text("utf-8")
    install(tmp_path, "person", source)
    files = tmp_path / "files"
    files.mkdir()
    (files / "person.jpg").write_bytes(portrait())
    with file_server(files) as pages:
        settings = {
            "models": str(models),
            "disabled_plugins": "bbox",
            "device": "cpu",
            "fetch_allow": pages.removeprefix("http://"),
        }
        with serving(cwd=tmp_path, settings=settings) as (_, url):
            yield url, pages


def run(command: str) -> Any:
    done = subprocess.run(
        [*shlex.split(command), "--silent", "--fail-with-body", "--noproxy", "*"],
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_the_documented_commands(server: tuple[str, str], tmp_path: Path) -> None:
    url, pages = server
    picture = f"{pages}/person.jpg"
    found = run(BY_URL.replace("http://localhost:8000", url).replace(PICTURE, picture))
    assert found["image_url"] == picture
    results = found["results"]
    whole, person, face, embedding = results.values()
    assert list(results) == [
        *("whole_image_embedding", "person_bbox"),
        *("face_bbox_from_person", "face_embedding"),
    ]
    assert {one["status"] for one in results.values()} == {"success"}
    assert len(whole["data"]) == len(embedding["data"]) > 1
    assert person["data"] == [PERSON.x_min, PERSON.y_min, PERSON.x_max, PERSON.y_max]
    assert face["data"] == pytest.approx([174, 120, 356, 340], abs=12)
    assert face["cropped_image_bbox"] is None
    assert embedding["cropped_image_bbox"] == face["data"]
    assert base64.b64decode(embedding["cropped_image_base64"]).startswith(b"\x89PNG")

    file = tmp_path / "files" / "person.jpg"
    command = BY_FILE.replace("http://localhost:8000", url)
    found = run(command.replace("/path/to/some_person.jpg", str(file)))
    assert found["image_url"] == "uploaded:person.jpg"
    assert found["results"]["face_from_file"]["data"] == face["data"]
    assert "embed_clip_vit_b_32" in run(f"curl {url}/available_operations/")["operations"]
