"""docs/pipelines.md: its programs run as they stand there, one after the other."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import opsin.client
from opsin.client import Client, ClientError, bounding_box
from tests.client.servers import SECRET, Server
from tests.pictures import noise_jpeg, solid_png

GUIDE = (Path(__file__).parents[2] / "docs" / "pipelines.md").read_text()
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture
def dev_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in [name for name in os.environ if name.startswith(("OPSIN_", "ML_"))]:
        monkeypatch.delenv(name)
    server = Server(tmp_path, auth="dev", vista_allowed_models="my_detector")
    server.start()
    yield server
    server.kill()


def test_its_programs_run(
    dev_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photo.jpg").write_bytes(noise_jpeg())
    (tmp_path / "heat.png").write_bytes(solid_png())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ML_CALLBACK_HMAC_SECRET", SECRET)
    programs = re.findall(r"^```python\n(.*?)^```", GUIDE, re.S | re.M)
    assert len(programs) == 5
    assert sum(ADDRESS in program for program in programs) == 2
    names: dict[str, Any] = {}
    for program in programs:
        exec(program.replace(ADDRESS, dev_server.url), names)  # our own documentation

    client: Client = names["client"]
    made = client.analyses(names["image"])
    assert {(one.model_version, one.status) for one in made} == {
        ("1.0", "completed"),
        ("1.1", "completed"),
        ("2", "completed"),
    }
    # The loop that waits: one image is left, then a new one comes.
    seen: list[bytes] = []

    def detect(picture: bytes) -> list[Any]:
        seen.append(picture)
        if len(seen) == 2:
            raise KeyboardInterrupt
        client.upload_image(names["project"].id, noise_jpeg(seed=8), "new.jpg")
        return [bounding_box(1, 2, 3, 4)]

    names["detect"] = detect
    with pytest.raises(KeyboardInterrupt):
        names["run"]()
    assert seen == [solid_png(), noise_jpeg(seed=8)]
    client.close()


def test_it_tells_of_every_error() -> None:
    errors = {
        name
        for name, one in vars(opsin.client).items()
        if isinstance(one, type) and issubclass(one, ClientError)
    }
    (table,) = re.findall(r"^\| error \|.*?\n\n", GUIDE, re.S | re.M)
    assert set(re.findall(r"`([A-Z]\w+)`", table)) | {"ClientError"} == errors
