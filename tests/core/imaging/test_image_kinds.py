"""Good but odd pictures: taken in, said so, analysed in displayed orientation."""

import asyncio
import io
from collections.abc import Callable

import pytest
from PIL import Image as PillowImage
from PIL import ImageOps

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.engine import make_task
from opsin.core.images import NewImage
from opsin.core.immediate import PictureSource
from opsin.core.records import Image
from opsin.core.testing import FakeOperation, FakeResult
from opsin.settings import Settings
from tests.core.given_plugins import house_of
from tests.core.stored import stored
from tests.pictures import (
    alpha_png,
    animated_gif,
    cmyk_jpeg,
    encoded,
    exif,
    palette_png,
    portrait,
    rotated_jpeg,
    sixteen_bit_png,
    ycck_jpeg,
)

FACE = (174, 119, 355, 340)
"""Of the portrait as it is shown: x_min, y_min, x_max, y_max."""


async def add(house: Parts, principal: Principal, picture: bytes) -> Image:
    dataset = await house.use_cases.datasets.create(principal, "odd")
    new = NewImage(dataset.id, "odd")
    return await house.use_cases.images.add(principal, new, io.BytesIO(picture))


KINDS: dict[str, tuple[Callable[[], bytes], tuple[int, int], int, str]] = {
    "animated GIF": (animated_gif, (16, 12), 3, "animated: 3 frames, the first is used"),
    "CMYK": (cmyk_jpeg, (16, 16), 1, "CMYK"),
    "YCCK": (ycck_jpeg, (16, 16), 1, "CMYK"),
    "16 bits": (sixteen_bit_png, (4, 1), 1, "16"),
    "palette": (palette_png, (8, 8), 1, "transparency composited"),
    "alpha": (alpha_png, (8, 8), 1, "transparency composited"),
}


async def test_odd_kinds_are_taken_in_and_said(settings: Settings) -> None:
    async with house_of(settings, FakeOperation()) as house:
        principal = await house.use_cases.access.local()
        task = make_task(house.use_cases.host, "1", "fake")
        for name, (make, sides, frames, note) in KINDS.items():
            image = await add(house, principal, make())
            assert (image.width, image.height) == sides, name
            assert image.frames == frames, name
            assert note.lower() in " ".join(image.notes).lower(), (name, image.notes)
            source = PictureSource(image_id=image.id)
            analyzed = await house.use_cases.immediate.analyze(principal, source, [task])
            result = analyzed.outcomes[0].result
            assert isinstance(result, FakeResult), name
            assert (result.width, result.height) == sides, name
        assert (await stored(house)).images == len(KINDS)


async def test_all_orientations_are_kept_with_their_displayed_sides(house: Parts) -> None:
    principal = await house.use_cases.access.local()
    for orientation in range(1, 9):
        image = await add(house, principal, rotated_jpeg(orientation))
        turned = orientation >= 5
        assert (image.width, image.height) == ((48, 64) if turned else (64, 48)), orientation
        assert (image.orientation, image.orientation_applied) == (orientation, True)
        # The file itself stays as it came.
        assert await house.use_cases.images.content(image) == rotated_jpeg(orientation)


def stored_as(orientation: int) -> bytes:
    """The portrait, its pixels turned away so that this orientation shows it upright."""
    upright = PillowImage.open(io.BytesIO(portrait())).convert("RGB")
    tags = PillowImage.Exif()
    tags[0x0112] = {6: 8, 8: 6}.get(orientation, orientation)  # the way back
    upright.getexif().update(tags)
    away = ImageOps.exif_transpose(upright)
    return encoded(away, "JPEG", quality=100, subsampling=0, exif=exif(orientation))


async def test_the_face_has_the_same_box_however_the_file_is_turned(house: Parts) -> None:
    """The real detector, eight files that all show the same upright portrait."""
    principal = await house.use_cases.access.local()
    params = {"target": "prominent_face", "face_context": "whole_image"}
    task = make_task(house.use_cases.host, "1", "detect_bounding_box", params)
    images = [await add(house, principal, stored_as(o)) for o in range(1, 9)]
    assert {(image.width, image.height) for image in images} == {(512, 600)}
    analyzed = await asyncio.gather(
        *(
            house.use_cases.immediate.analyze(principal, PictureSource(image_id=image.id), [task])
            for image in images
        )
    )
    for orientation, answer in enumerate(analyzed, 1):
        outcome = answer.outcomes[0]
        assert outcome.result is not None, (orientation, outcome.error)
        box = outcome.result.model_dump()["box"]
        found = tuple(box[side] for side in ("x_min", "y_min", "x_max", "y_max"))
        assert found == pytest.approx(FACE, abs=4), orientation
