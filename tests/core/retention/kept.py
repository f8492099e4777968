"""Images with computed and told results and files, and what a house still keeps of them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import func, select

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.analyses import NewExternalAnalysis
from opsin.core.contract import Annotation, ProducedArtifact
from opsin.core.datasets import RetentionPolicy
from opsin.core.errors import BlobNotFound
from opsin.core.images import NewImage
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.queue.analysis_queue import AnalysisQueue
from opsin.core.queue.finished import Finished
from opsin.core.records import Analysis, Dataset, Image
from opsin.core.similarity.embeddings import NewEmbedding
from opsin.core.uploads import ExpectedFile
from opsin.settings import Settings
from opsin.storage.blobs import content_key
from opsin.storage.database import Database
from opsin.storage.tables import analyses, annotations, artifacts, embeddings, events, images
from tests.core.house import ask
from tests.core.stored import blobs
from tests.pictures import noise_jpeg
from tests.storage.s3_server import pieces

PNG = "image/png"
BOX = Annotation(annotation_type="bounding_box", data={"bbox": [1, 2, 3, 4], "format": "xywh"})


def in_days(days: float) -> datetime:
    """So many days from now."""
    return datetime.now(UTC) + timedelta(days=days)


async def new_dataset(
    parts: Parts,
    principal: Principal,
    files: int | None = None,
    results: int | None = None,
    *,
    when_ready: bool = False,
) -> Dataset:
    return await parts.use_cases.datasets.create(
        principal, "kept", retention=RetentionPolicy(files, results, when_ready)
    )


async def add(
    parts: Parts,
    principal: Principal,
    dataset: Dataset,
    seed: int = 0,
    subject_id: str | None = None,
) -> Image:
    """An image of a dataset; equal seeds make equal bytes."""
    new = NewImage(dataset.id, f"{seed}.jpg", subject_id=subject_id)
    picture = noise_jpeg(width=24, height=16, seed=seed)
    return await parts.use_cases.images.add(principal, new, io.BytesIO(picture))


def queue_of(parts: Parts) -> AnalysisQueue:
    use_cases = parts.use_cases
    lease = timedelta(seconds=600)
    return AnalysisQueue(use_cases.database, use_cases.artifacts, lease=lease, max_attempts=3)


def ending(analysis: Analysis, file: bytes) -> Finished:
    """A result with annotations, an embedding and a file."""
    return Finished(
        analysis,
        AnalysisStatus.COMPLETED,
        result_type="Nothing",
        result={"a": 1},
        annotations=[BOX, BOX],
        artifacts=[ProducedArtifact("mask.png", PNG, file)],
        embedding=NewEmbedding("embed", "1", "whole_image", "f", np.ones(4, "<f4").tobytes()),
    )


async def compute(
    parts: Parts, principal: Principal, image: Image, file: bytes = b"made of it"
) -> Analysis:
    """An analysis of ours that has ended, with a file."""
    (asked,) = await ask(parts, principal, image)
    queue = queue_of(parts)
    claim = await queue.claim(most=100)
    assert [one.id for one in claim.analyses] == [asked.id]
    assert await queue.finish(claim.lease_id, [ending(claim.analyses[0], file)]) == 1
    return asked


async def tell(
    parts: Parts, principal: Principal, image: Image, file: bytes = b"told of it"
) -> Analysis:
    """An analysis that ran elsewhere, with an annotation and a file."""
    use_cases = parts.use_cases
    told = await use_cases.analyses.tell(principal, NewExternalAnalysis(image.id, "yolo", "1"))
    await use_cases.annotations.add(principal, told.id, [BOX])
    (address,) = await use_cases.uploads.presign(
        principal, told.id, [ExpectedFile("heat.png", PNG)]
    )
    upload = address.url.partition("?")[0].rpartition("/")[2]
    await use_cases.uploads.receive(upload, PNG, pieces(file))
    return await use_cases.analyses.finalize(principal, told.id)


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows there are of the things that belong to images."""

    images: int
    analyses: int
    annotations: int
    artifacts: int
    embeddings: int


async def rows(parts: Parts) -> Rows:
    found = []
    async with parts.use_cases.database.read() as connection:
        for table in (images, analyses, annotations, artifacts, embeddings):
            count = select(func.count()).select_from(table)
            found.append((await connection.execute(count)).scalar_one())
    return Rows(*found)


async def has_file(parts: Parts, image: Image) -> bool:
    """Whether the image's own file can be had; what its row says must be so."""
    now = await parts.use_cases.images.by_id(image.id)
    try:
        await parts.use_cases.images.content(now)
    except BlobNotFound:
        assert now.storage_deleted
        return False
    assert not now.storage_deleted
    return True


async def named_blobs(database: Database) -> set[str]:
    """The keys of all files that some row names."""
    of_images = select(images.c.sha256).where(images.c.storage_deleted.is_(False))
    of_results = select(artifacts.c.sha256).where(artifacts.c.sha256.is_not(None))
    async with database.read() as connection:
        found = [await connection.execute(one) for one in (of_images, of_results)]
        return {content_key(digest) for rows in found for digest in rows.scalars()}


async def check_files(parts: Parts, settings: Settings) -> None:
    """The store has what rows name, and nothing else."""
    assert await blobs(settings) == await named_blobs(parts.use_cases.database)


async def kinds(database: Database, image: Image) -> list[str]:
    """What the log tells of an image itself, in order."""
    statement = (
        select(events.c.kind)
        .where(events.c.image_id == image.id, events.c.analysis_id.is_(None))
        .order_by(events.c.sequence)
    )
    async with database.read() as connection:
        return list((await connection.execute(statement)).scalars())


async def deletions(parts: Parts, principal: Principal, image: Image) -> Sequence[str]:
    """What the list of deletions says of an image, oldest first: action, actor and reason."""
    found, _ = await parts.use_cases.image_deletions.listed(
        principal, image.dataset_id, skip=0, limit=1000
    )
    return [
        f"{one.action}: {one.actor}: {one.reason}"
        for one in reversed(found)
        if one.image_id == image.id
    ]


async def told(parts: Parts, dataset: Dataset) -> list[str]:
    """What the log tells of a dataset and what is in it, but for its analyses; in order."""
    statement = (
        select(events.c.kind)
        .where(events.c.dataset_id == dataset.id, events.c.analysis_id.is_(None))
        .order_by(events.c.sequence)
    )
    async with parts.use_cases.database.read() as connection:
        return list((await connection.execute(statement)).scalars())
