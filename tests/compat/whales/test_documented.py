"""The document's own examples, word for word but for the host, against `opsin serve`."""

import asyncio
import json
from pathlib import Path

import requests

from tests.compat.whales.making import DETECTION, manifest, picture
from tests.compat.whales.served import run, served

DOCUMENTED = Path(__file__).parent / "documented"
HOST = "http://localhost:8000"
HEALTH, SINGLE, BATCH = (DOCUMENTED / "curl.txt").read_text().split("\n\n")
CLIENT = (DOCUMENTED / "client_py.txt").read_text()


def _pictures(folder: Path) -> Path:
    folder.mkdir()
    for number, name in enumerate(("whale.jpg", "whale1.jpg", "whale2.jpg", "cat.jpg")):
        (folder / name).write_bytes(picture(number, "JPEG"))
    return folder


async def test_the_documented_examples(weights: Path, tmp_path: Path) -> None:
    folder = await asyncio.to_thread(_pictures, tmp_path / "client")
    async with served(tmp_path / "server", manifest(weights)) as url:

        async def shell(command: str) -> str:
            quiet = command.replace("curl", "curl -sSf").replace("zip b", "zip -q b")
            return await run("bash", "-ec", quiet.replace(HOST, url), cwd=folder)

        health = json.loads(await shell(HEALTH))
        assert (health["status"], health["device"]) == ("ok", "cpu")
        found = json.loads(await shell(SINGLE))
        assert tuple(found) == DETECTION
        assert (found["image_ind"], found["rejected"]) == ("whale.jpg", False)
        many = json.loads(await shell(BATCH))
        assert [one["image_ind"] for one in many] == ["whale1.jpg", "whale2.jpg", "cat.jpg"]
        names: dict[str, object] = {}

        def documented_client() -> None:
            here = CLIENT.replace(HOST, url).replace('"whale', f'"{folder}/whale', 1)
            exec(compile(here, "document", "exec"), names)

        await asyncio.to_thread(documented_client)
        assert names["det"] == {**found, "image_ind": "whale.jpg"}
        scraped = await asyncio.to_thread(requests.get, f"{url}/metrics", timeout=30)
    assert scraped.headers["content-type"] == "text/plain; charset=utf-8"
    assert "\npredictions_total 5\n" in scraped.text
