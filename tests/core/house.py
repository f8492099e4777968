"""Short ways to put a dataset, an image and analyses into a house."""

import io
from typing import Any

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.engine import make_task
from opsin.core.images import NewImage
from opsin.core.records import Analysis, Image
from tests.pictures import solid_png


async def add_image(parts: Parts, principal: Principal, picture: bytes | None = None) -> Image:
    """An image in a new dataset."""
    dataset = await parts.use_cases.datasets.create(principal, "some pictures")
    new = NewImage(dataset.id, "picture.png")
    return await parts.use_cases.images.add(
        principal, new, io.BytesIO(picture or solid_png(40, 30))
    )


async def ask(
    parts: Parts,
    principal: Principal,
    image: Image,
    operation: str = "detect_bounding_box",
    count: int = 1,
    priority: int = 0,
    **params: Any,
) -> list[Analysis]:
    """`count` queued analyses of one image."""
    tasks = [make_task(parts.use_cases.host, str(n), operation, params) for n in range(count)]
    return await parts.use_cases.analyses.ask(principal, image.id, tasks, priority=priority)
