"""What one request costs: one decode, each search once, each region cut once."""

import base64
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from opsin.assembly import Parts, assemble
from opsin.compat.image_embed.analysis import Analysis
from opsin.compat.image_embed.options import ImageEmbedOptions
from opsin.compat.image_embed.requests import TaskRequest
from opsin.core.immediate import PictureSource
from tests.compat.image_embed.conftest import CLIP, Results, house_settings
from tests.compat.image_embed.person_plugin import SOURCE
from tests.core.loopback import Server
from tests.pictures import portrait, rotated_jpeg

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERSON = {"target": "prominent_person"}
FOUR = [
    TaskRequest(operation_id="whole", type=CLIP, params={}),
    TaskRequest(operation_id="person", type=CLIP, params=PERSON),
    TaskRequest(operation_id="box", type="detect_bounding_box", params=PERSON),
    TaskRequest(operation_id="dino", type="embed_dino_v2", params=PERSON),
]


@pytest_asyncio.fixture(loop_scope="module")
async def house(clean: None, models: Path, pages: Server, tmp_path: Path) -> AsyncIterator[Parts]:
    """Without a cache of pictures: what is decoded twice shows."""
    settings = house_settings(models, tmp_path, pages, picture_cache_bytes=0)
    async with (parts := assemble(settings, [SOURCE])).running():
        yield parts


async def ask(parts: Parts, picture: bytes, tasks: list[TaskRequest]) -> Results:
    cases = parts.use_cases
    analysis = Analysis(cases.immediate, cases.host, ImageEmbedOptions())
    caller = await cases.access.local()
    return await analysis.of_file(caller, PictureSource(file=io.BytesIO(picture)), tasks)


def items(parts: Parts) -> dict[str, int]:
    return {one.name: one.items for one in parts.use_cases.engine.statistics()}


async def test_four_tasks_cost_one_decode_and_one_person_detection(house: Parts) -> None:
    found = await ask(house, portrait(), FOUR)
    assert [one["status"] for one in found.values()] == ["success"] * 4
    counts = house.use_cases.engine.picture_counts
    assert (counts.misses, counts.hits, counts.shared) == (1, 0, 0)
    ran = items(house)
    assert ran["region finder 'person_finder'"] == 1
    assert ran[f"operation '{CLIP}'"] == 2
    png = found["person"]["cropped_image_base64"]
    assert png is found["dino"]["cropped_image_base64"]
    assert base64.b64decode(png).startswith(b"\x89PNG")


async def test_a_known_result_of_the_whole_picture_needs_no_pixels(house: Parts) -> None:
    whole = FOUR[:1]
    first = await ask(house, portrait(), whole)
    again = await ask(house, portrait(), whole)
    assert first == again
    assert house.use_cases.engine.picture_counts.misses == 1
    assert items(house)[f"operation '{CLIP}'"] == 1


async def test_the_orientation_may_be_applied(house: Parts) -> None:
    cases = house.use_cases
    caller = await cases.access.local()
    upright = ImageEmbedOptions(apply_orientation=True)
    found = {}
    for name, options in {"stored": ImageEmbedOptions(), "upright": upright}.items():
        analysis = Analysis(cases.immediate, cases.host, options)
        source = PictureSource(file=io.BytesIO(rotated_jpeg(6)))
        found[name] = await analysis.of_file(caller, source, FOUR[:1])
    assert found["stored"] != found["upright"]
