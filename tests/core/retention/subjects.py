"""Subjects with images, for tests of deletion."""

import io

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.images import NewImage
from opsin.core.records import Image, Subject
from opsin.core.subjects import NewSubject
from tests.pictures import noise_jpeg


async def subject_with_images(
    parts: Parts, principal: Principal, dataset_id: str | None = None, *, count: int
) -> tuple[Subject, list[Image]]:
    """A subject with one batch of so many images, no two of them equal; of a dataset of its own."""
    use_cases = parts.use_cases
    if dataset_id is None:
        dataset_id = (await use_cases.datasets.create(principal, "people")).id
    subject = await use_cases.subjects.create(principal, dataset_id, NewSubject("Ada"))
    batch = await use_cases.batches.create(principal, dataset_id, subject.id)
    images = []
    for number in range(count):
        picture = noise_jpeg(width=16, height=16, seed=int(subject.id[-6:], 16) + number)
        new = NewImage(dataset_id, f"{number}.jpg", batch_id=batch.id)
        images.append(await use_cases.images.add(principal, new, io.BytesIO(picture)))
    return subject, images
