"""The report of a real portrait with all measures of its skin, and of a picture without a face."""

import io

from PIL import Image as PillowImage

from opsin.assembly import Parts
from opsin.core.engine import make_task
from opsin.core.images import NewImage
from opsin.core.records import Image
from opsin.plugins.skin.plugin import MEASURES
from tests.core.history.rows import diary
from tests.core.reports.pages import shown
from tests.core.working import until, working
from tests.pictures import encoded, portrait, solid_png

OPERATIONS = ["face_areas", *(measure.name for measure in MEASURES)]


async def analysed(parts: Parts, picture: bytes) -> Image:
    """An image whose analyses have all ended."""
    use_cases = parts.use_cases
    made = await diary(parts, await use_cases.access.local())
    new = NewImage(made.dataset_id, "portrait.jpg", subject_id=made.subject_id)
    image = await use_cases.images.add(made.principal, new, io.BytesIO(picture))
    tasks = [make_task(use_cases.host, name, name, {}) for name in OPERATIONS]
    asked = await use_cases.analyses.ask(made.principal, image.id, tasks)
    ids = [one.id for one in asked]

    async def ended() -> bool:
        found = await use_cases.analyses.find_many(made.principal, ids)
        return all(one.status.is_final for one in found.values())

    async with working(parts):
        await until(ended, 100)
    return image


def enlarged(picture: bytes, times: float) -> bytes:
    """As from a better camera, so that every measure has enough pixels."""
    image = PillowImage.open(io.BytesIO(picture)).convert("RGB")
    size = round(image.width * times), round(image.height * times)
    return encoded(image.resize(size), "JPEG", quality=92)


async def test_a_real_portrait_has_a_card_with_a_source_for_every_measure(house: Parts) -> None:
    image = await analysed(house, enlarged(portrait(), 2.2))
    local = await house.use_cases.access.local()
    found = shown(await house.use_cases.reports.pdf(local, image.id))
    titles = {measure.measure.replace("_", " ").capitalize() for measure in MEASURES}
    assert set(found.outline) == {"Overview", "Face areas", *titles}
    assert "Without a result" not in found.text
    for measure in MEASURES:
        assert measure.explanation in found.text, measure.name
        assert f"Source: {measure.source}" in found.text, measure.name
    for area in ("Forehead", "Nose", "Left cheek", "Right under eye", "Chin"):
        assert area in found.text, area
    # Whole and part on the first page, and a figure for each measure that outlines something.
    assert found.pictures >= 8


async def test_without_a_face_nothing_is_measured_and_the_reasons_are_told(house: Parts) -> None:
    image = await analysed(house, solid_png(300, 300))
    local = await house.use_cases.access.local()
    found = shown(await house.use_cases.reports.pdf(local, image.id))
    assert found.outline == ["Overview"]
    assert found.text.count("No prominent face found for operation") == len(OPERATIONS)
    assert "/ 100" not in found.text
