"""The main flow: an application attached, a portrait uploaded, and measured by a worker."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from PIL import Image

from opsin.settings import Settings
from tests.compat.haut.world import Haut, Person, base64_text, haut_server, haut_settings
from tests.pictures import portrait

V2 = "8b5b3acc-480b-4412-8d2c-ebe6ab4384d7"
V1 = "d2942e17-6239-49d1-8ff5-d74c4eb0bd20"
DETECTOR, REDNESS = 40, 30
ALL = 11
"""Results of the application."""


def large_portrait() -> bytes:
    """Grace Hopper, 1024 x 1200, so that every measure has pixels enough."""
    with Image.open(io.BytesIO(portrait())) as image:
        file = io.BytesIO()
        image.convert("RGB").resize((1024, 1200), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


async def attach(
    person: Person, dataset: str, application: str = V2, **body: Any
) -> dict[str, Any]:
    """The run."""
    path = f"{person.company}/applications/{application}/runs/"
    return await person.made(path, {"dataset_id": id_of(dataset), **body})


def id_of(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


async def results(person: Person, image: str, count: int = ALL) -> list[dict[str, Any]]:
    """An image's results as soon as there are so many."""
    return await results_at(person, f"{image}/results/", count)


async def results_at(person: Person, path: str, count: int) -> list[dict[str, Any]]:
    """What is listed there as soon as there is so much of it."""
    async with asyncio.timeout(120):
        while True:
            found: list[dict[str, Any]] = await person.get(path)
            if len(found) >= count:
                return found
            await asyncio.sleep(0.1)


def by_family(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["algorithm_family_tech_name"].removeprefix("selfie_v2."): one for one in found}


@dataclass(frozen=True, slots=True)
class Measured:
    """A server, and the path of an image whose results are there."""

    haut: Haut
    dataset: str
    subject: str
    batch: str
    image: str
    run: dict[str, Any]

    @property
    def person(self) -> Person:
        return self.haut.ours


@asynccontextmanager
async def measured(settings: Settings, **changes: object) -> AsyncIterator[Measured]:
    """With a portrait, uploaded as the documented script does it."""
    changed: dict[str, object] = {"worker": True, "webhooks": True}
    async with haut_server(haut_settings(settings, **changed | changes)) as haut:
        person = haut.ours
        dataset = await person.dataset()
        run = await attach(person, dataset)
        subject = await person.subject(dataset)
        batch = await person.batch(subject)
        picture = base64_text(large_portrait())
        image = await person.image(batch, b64data=picture, side_id=1, light_id=1)
        await results(person, image)
        yield Measured(haut, dataset, subject, batch, image, run)
