"""Front ends that real build tools make of the committed schema, and the album that they show."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from tests.conftest import LiveServer
from tests.graphql.asking import ADD_ANNOTATIONS, ANALYZE, FINALIZE, box, dataset, external
from tests.graphql.print_schema import COMMITTED
from tests.node import CLIENTS, install_node_clients, node_tool
from tests.pictures import encoded, portrait, quadrants, solid_png

CODEGEN = "node_modules/@graphql-codegen/cli/esm/bin.js"
TYPESCRIPT = "node_modules/typescript/bin/tsc"
RELAY_COMPILER = "node_modules/relay-compiler/cli.js"

PICTURES = {
    "corners.png": encoded(quadrants(), "PNG"),
    "hopper.jpg": portrait(),
    "red.png": solid_png(),
}
CORNERS = {"#dc1e1e", "#1ec828", "#283cdc", "#f0dc28"}
"""The colours of the first picture."""
FOUND = ("Größe ☂", 0.93)
"""What the model elsewhere found with a confidence above one half, in each picture."""


class Album(NamedTuple):
    """A dataset of three pictures; each has an external analysis and one of ours, both ended."""

    dataset_id: str
    image_ids: list[str]


async def album(live: LiveServer) -> Album:
    dataset_id = await dataset(live, "album")
    image_ids = []
    for filename, picture in PICTURES.items():
        stored = (await live.upload(dataset_id, picture, filename))["data"]["uploadImage"]
        image_ids.append(stored["id"])
        told = await external(live, stored["id"], modelName="yolo")
        (name, confidence), unsure = FOUND, box(className="dog", confidence=0.41)
        found = [box(className=name, confidence=confidence), unsure]
        await live.data(ADD_ANNOTATIONS, id=told, found=found)
        await live.data(FINALIZE, input={"analysisId": told, "summary": {"things": 2}})
        task = {"run": {"dominantColors": {"count": 4}}}
        await live.data(ANALYZE, input={"imageId": stored["id"], "tasks": [task]})
    await _ended(live, dataset_id)
    return Album(dataset_id, image_ids)


async def _ended(live: LiveServer, dataset_id: str) -> None:
    """Wait until the worker has done everything."""
    unfinished = """query($id: ID!) { dataset(id: $id) {
      analyses(filter: {status: [QUEUED, PROCESSING]}) { totalCount } } }"""
    async with asyncio.timeout(60):
        while True:
            found = (await live.data(unfinished, id=dataset_id))["dataset"]["analyses"]
            if found["totalCount"] == 0:
                return
            await asyncio.sleep(0.02)


async def client(script: str, *arguments: str) -> Any:
    """What a program of tests/clients printed."""
    done = await node_tool(script, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def project(name: str, folder: Path) -> Path:
    """A copy of a project of tests/clients in a folder, with the schema and what it imports."""
    install_node_clients()
    copied = folder / name
    shutil.copytree(CLIENTS / name, copied)
    shutil.copy(COMMITTED, copied)
    (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')
    return copied


async def generated(folder: Path) -> Path:
    """The typed project once graphql-codegen has been there."""
    copied = project("typed", folder)
    done = await node_tool(CODEGEN, "--config", "codegen.ts", "--silent", folder=copied)
    assert done.returncode == 0, done.stdout + done.stderr
    return copied


async def compiled(folder: Path) -> Path:
    """What Relay's compiler makes of its project."""
    return await _compiled(project("relay", folder))


async def compiled_with_manifest(folder: Path) -> Path:
    """The same, its documents to be asked for by id: `manifest.json` has their texts."""
    copied = project("relay", folder)
    config = copied / "relay.config.json"
    persisted = {"file": "manifest.json", "algorithm": "SHA256"}
    config.write_text(json.dumps(json.loads(config.read_text()) | {"persistConfig": persisted}))
    (copied / "manifest.json").write_text("{}")
    return await _compiled(copied)


async def _compiled(copied: Path) -> Path:
    # Relay's artifacts are CommonJS here, which the nearest package.json decides.
    (copied / "package.json").write_text('{"type": "commonjs"}')
    done = await node_tool(RELAY_COMPILER, "relay.config.json", folder=copied)
    assert done.returncode == 0, done.stdout + done.stderr
    return copied
