"""Whoever removes something of an image holds its analyses first, as who writes results does."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy import delete

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.artifacts import Artifacts, NewArtifact
from opsin.core.errors import NotFound
from opsin.core.subjects import NewSubject
from opsin.storage.database import Transaction
from opsin.storage.tables import analyses, images
from tests.core.applications.house import lock_waits
from tests.core.house import ask
from tests.core.retention.kept import add, compute, ending, in_days, new_dataset, queue_of, rows


async def test_a_purge_and_a_result_that_is_being_written_do_not_wait_for_each_other(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await add(parts, principal, await new_dataset(parts, principal))
    await ask(parts, principal, image)
    queue = queue_of(parts)
    claim = await queue.claim(1)
    deletions = parts.use_cases.image_deletions
    await deletions.delete(principal, None, image.id, "a reason that is long enough")
    name, reached, goes_on = Artifacts.name, asyncio.Event(), asyncio.Event()

    async def held_up(
        self: Artifacts, transaction: Transaction, new: Sequence[NewArtifact]
    ) -> None:
        reached.set()
        await goes_on.wait()
        await name(self, transaction, new)

    monkeypatch.setattr(Artifacts, "name", held_up)
    # An embedding would name the image earlier.
    result = replace(ending(claim.analyses[0], b"made of it"), embedding=None)
    finishing = asyncio.create_task(queue.finish(claim.lease_id, [result]))
    await reached.wait()  # it holds the analysis, and not yet the image
    purging = asyncio.create_task(deletions.purge(in_days(366)))
    if not parts.use_cases.database.is_sqlite:
        await lock_waits(parts.use_cases.database)
    goes_on.set()
    assert await finishing == 1
    assert await purging == 1
    left = await rows(parts)
    assert (left.images, left.analyses, left.artifacts) == (0, 0, 0)


async def test_files_that_go_wait_for_an_image_that_goes_whole(
    parts: Parts, principal: Principal
) -> None:
    database, subjects = parts.use_cases.database, parts.use_cases.subjects
    dataset = await new_dataset(parts, principal)
    subject = await subjects.create(principal, dataset.id, NewSubject("somebody"))
    image = await add(parts, principal, dataset, subject_id=subject.id)
    await compute(parts, principal, image)
    async with database.write() as transaction:
        connection = transaction.connection
        # As `remove_images` does, the one before the other.
        await connection.execute(delete(analyses).where(analyses.c.image_id == image.id))
        removing = asyncio.create_task(subjects.delete_files(principal, dataset.id, [subject.id]))
        if not database.is_sqlite:
            await lock_waits(database)
        await connection.execute(delete(images).where(images.c.id == image.id))
    assert await removing == 0
    with pytest.raises(NotFound):
        await parts.use_cases.images.by_id(image.id)


async def test_an_image_that_was_restored_meanwhile_is_not_purged(
    parts: Parts, principal: Principal
) -> None:
    database, deletions = parts.use_cases.database, parts.use_cases.image_deletions
    image = await add(parts, principal, await new_dataset(parts, principal))
    await compute(parts, principal, image)
    await deletions.delete(principal, None, image.id, "a reason that is long enough")
    async with database.write() as transaction:
        await transaction.connection.execute(
            images.update().where(images.c.id == image.id).values(deleted_at=None)
        )
        purging = asyncio.create_task(deletions.purge(in_days(366)))
        await asyncio.sleep(0.05)
    assert await purging == 0
    left = await rows(parts)
    assert (left.images, left.analyses, left.artifacts) == (1, 1, 1)
