"""A server with small checkpoints for every operation, and a web server for its pictures."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from opsin.assembly import assemble
from opsin.core.classifiers.document import ClassifierDocument, TrainedOn
from opsin.core.collections.collections import NewCollection
from opsin.core.collections.inputs import NewInput, check_inputs
from opsin.core.contract import Target
from opsin.core.models.store import ModelStore
from opsin.settings import Settings
from tests.compat.image_embed.person_plugin import SOURCE
from tests.conftest import LiveServer, serve, without_settings
from tests.core.loopback import Server, answer, running
from tests.pictures import portrait
from tests.plugins.caption.models import blip_folder
from tests.plugins.published import clip_folder, dino_v2_folder, dino_v3_folder

CLIP = "embed_clip_vit_b_32"
NOBODY = "/nobody.png"
PORTRAIT = "/portrait.jpg"

Results = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OPSIN_MODELS with a small checkpoint for each operation."""
    folder = tmp_path_factory.mktemp("image-embed-models")
    clip, v2, v3, blip = (folder / name for name in ("clip", "v2", "v3", "blip"))
    for inner in (clip, v2, v3, blip):
        inner.mkdir()
    clip_folder(clip)
    dino_v2_folder(v2)
    dino_v3_folder(v3)
    blip_folder(blip)
    places = {
        f"{CLIP}.encoder": clip,
        "embed_dino_v2.encoder": v2,
        "embed_dino_v3.encoder": v3,
        "embed_dino_v3_patch.encoder": v3,
        "describe_image.captioner": blip,
    }
    file = folder / "models.toml"
    file.write_text("".join(f"[{name}]\nfolder = '{place}'\n" for name, place in places.items()))
    return file


@pytest.fixture(scope="session")
def clean() -> Iterator[None]:
    """Fixtures of a module are made before the environment of its first test is cleaned."""
    with pytest.MonkeyPatch.context() as patch:
        without_settings(patch)
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pages() -> AsyncIterator[Server]:
    """Where pictures are fetched from."""
    async with running() as server:
        server.answers[PORTRAIT] = answer(portrait(), "Content-Type: image/jpeg")
        yield server


@asynccontextmanager
async def image_embed(
    models: Path, folder: Path, pages: Server, **changes: Any
) -> AsyncIterator[LiveServer]:
    """A server on the CPU."""
    async with serve(house_settings(models, folder, pages, **changes), None, [SOURCE]) as live:
        yield live


def house_settings(models: Path, folder: Path, pages: Server, **changes: Any) -> Settings:
    settings: dict[str, Any] = {
        "data_dir": folder,
        "worker": False,
        "device": "cpu",
        "models": models,
        "disabled_plugins": ("bbox",),
        "fetch_allow": (f"127.0.0.1:{pages.port}",),
    }
    return Settings(**(settings | changes))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(
    clean: None, models: Path, pages: Server, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    """One for all tests of a module, with some classifiers."""
    folder = tmp_path_factory.mktemp("image-embed")
    await keep_classifiers(house_settings(models, folder, pages))
    async with image_embed(models, folder, pages) as server:
        yield server


CLASSIFIERS = {"5": Target.PROMINENT_FACE, "6": Target.PROMINENT_PERSON, "7": None, "8": None}
"""By key the region they were trained on, None where nobody knows; 8 is of other weights."""
INTERCEPT = 1.25


async def keep_classifiers(settings: Settings) -> None:
    """Coefficients of nothing, so that the probability is that of the intercept."""
    parts = assemble(settings, [SOURCE])
    async with parts.running():
        host, cases = parts.use_cases.host, parts.use_cases
        fingerprint = fingerprint_of(parts.models, host)
        local = await cases.access.local()
        for key, target in CLASSIFIERS.items():
            inputs = [NewInput(CLIP, target)]
            new = NewCollection(key, inputs, open_targets=True)
            await cases.collections.create(local, new)
            document = ClassifierDocument(
                inputs=tuple(check_inputs(host, inputs, open_target=True)),
                fingerprints=("f" * 64 if key == "8" else fingerprint,),
                coefficients=(0.0,) * 16,
                intercept=INTERCEPT,
                training=TrainedOn(library="none", parameters={}),
            )
            await cases.classifiers.keep(local, key, document)


def fingerprint_of(models: ModelStore, host: Any) -> str:
    """Of the small CLIP."""
    (needed,) = models.models_of(host.operation(CLIP))
    return models.locate(needed).fingerprint


def task(name: str, kind: str, **params: Any) -> dict[str, Any]:
    return {"operation_id": name, "type": kind, "params": params}


async def upload(
    live: LiveServer, picture: bytes, *tasks: dict[str, Any], status: int = 200
) -> dict[str, Any]:
    """The whole answer."""
    got = await live.client.post(
        "/analyze_image_upload/",
        files={"image_file": ("some_person.jpg", picture, "image/jpeg")},
        data={"tasks_json": json.dumps(tasks)},
    )
    assert got.status_code == status, got.text
    body: dict[str, Any] = got.json()
    return body


async def results(live: LiveServer, picture: bytes, *tasks: dict[str, Any]) -> Results:
    found: Results = (await upload(live, picture, *tasks))["results"]
    assert all(
        list(one)
        == ["status", "data", "cropped_image_bbox", "cropped_image_base64", "error_message"]
        for one in found.values()
    )
    return found


async def result(live: LiveServer, picture: bytes, kind: str, **params: Any) -> dict[str, Any]:
    """That of one task, whose name is `one`."""
    return (await results(live, picture, task("one", kind, **params)))["one"]
