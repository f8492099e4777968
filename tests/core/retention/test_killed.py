"""A sweeper that is killed, at any of its statements, leaves every image whole or without."""

import asyncio
import itertools
import signal
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, update

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.records import Dataset, Image
from opsin.core.retention import Removed
from opsin.settings import Settings
from opsin.storage.curation import image_deletions
from opsin.storage.tables import analyses, annotations, artifacts, datasets, events, images
from tests.core.retention.kept import (
    add,
    check_files,
    compute,
    has_file,
    in_days,
    named_blobs,
    new_dataset,
    rows,
    tell,
)
from tests.core.stored import blobs

_EACH = 3
"""Statements that the next process gets further than the one before it."""


async def swept(url: str, settings: Settings, now: datetime, last: int) -> bool:
    """Whether a process got to its end; else it was killed at its statement number `last`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.core.retention.sweeper",
        url, settings.resolved_blob_url, now.isoformat(), str(last),
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, complaint = await process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), complaint.decode()
    return process.returncode == 0


async def check_whole(parts: Parts, settings: Settings) -> Removed:
    """Every image has all that it had, or has lost all of it and is told of; what was lost."""
    per_image = (
        select(
            analyses.c.image_id,
            func.count(func.distinct(analyses.c.id)),
            func.count(func.distinct(annotations.c.id)),
            func.count(func.distinct(artifacts.c.id)),
        )
        .outerjoin(annotations, annotations.c.analysis_id == analyses.c.id)
        .outerjoin(artifacts, artifacts.c.analysis_id == analyses.c.id)
        .group_by(analyses.c.image_id)
    )
    async with parts.use_cases.database.read() as connection:
        having = {row[0]: tuple(row[1:]) for row in await connection.execute(per_image)}
        stored = (await connection.execute(select(images))).all()
        told = Counter(
            tuple(row)
            for row in await connection.execute(
                select(events.c.image_id, events.c.kind).where(
                    events.c.kind.in_(
                        ["image.file_deleted", "image.results_deleted", "image.deleted"]
                    )
                )
            )
        )
        noted = Counter(
            tuple(row)
            for row in await connection.execute(
                select(image_deletions.c.image_id, image_deletions.c.action)
            )
        )
    assert set(told.values()) | set(noted.values()) <= {1}
    assert await blobs(settings) >= await named_blobs(parts.use_cases.database)
    there = {image.id for image in stored}
    assert having.keys() <= there
    for image in stored:
        no_file, no_results = image.storage_deleted, image.results_deleted_at is not None
        # One of ours with two annotations and a file, one told with one annotation and a file.
        files = 0 if no_file else 1 if no_results else 2
        assert having[image.id] == ((1, 1, files) if no_results else (2, 3, files))
        assert told[image.id, "image.file_deleted"] == noted[image.id, "expire_file"] == no_file
        assert (
            told[image.id, "image.results_deleted"]
            == noted[image.id, "expire_results"]
            == no_results
        )
    gone = {identity for identity, kind in told if kind == "image.deleted"}
    assert not gone & there
    kinds = Counter(kind for _, kind in told)
    return Removed(
        kinds["image.file_deleted"], kinds["image.results_deleted"], kinds["image.deleted"]
    )


async def filled(parts: Parts, principal: Principal, dataset: Dataset, count: int) -> list[Image]:
    """Images with results of both kinds; the first has a twin in every such dataset."""
    found = [await add(parts, principal, dataset, seed) for seed in range(count)]
    for number, image in enumerate(found):
        await compute(parts, principal, image, f"ours {number}".encode())
        await tell(parts, principal, image, f"told {number}".encode())
    return found


async def test_killed_at_any_statement(
    parts: Parts, principal: Principal, settings: Settings
) -> None:
    kept = await filled(parts, principal, await new_dataset(parts, principal), 2)
    expired = await filled(parts, principal, await new_dataset(parts, principal, 5, 6), 5)
    deleted = await new_dataset(parts, principal)
    await filled(parts, principal, deleted, 3)
    async with parts.use_cases.database.write() as transaction:  # as if killed just after that
        statement = update(datasets).where(datasets.c.id == deleted.id)
        await transaction.connection.execute(statement.values(deleted_at=datetime.now(UTC)))
    now, last, stages = in_days(7), 1, list[Removed]()
    while not await swept(parts.database_url, settings, now, last):
        stages.append(await check_whole(parts, settings))
        last += _EACH
        assert last < 500
    # Some were killed after a part of the work, and nothing came back.
    assert len(set(stages)) > 3
    for before, after in itertools.pairwise(stages):
        assert before.files <= after.files and before.results <= after.results
        assert before.images <= after.images
    assert await check_whole(parts, settings) == Removed(files=5, results=5, images=3)
    assert [await has_file(parts, image) for image in (*kept, *expired)] == [True] * 2 + [False] * 5
    assert (await rows(parts)).images == 7
    # What a process left in the store that died between a commit and the store, the sweep finds.
    await parts.sweep.run(older_than=timedelta(hours=1), now=now)
    await check_files(parts, settings)
