"""Images that were there before: asked for in pages, below what comes, none twice, none missed."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.applications.backfill import Backfill, Filled, steps_at
from opsin.core.applications.records import Run
from opsin.core.applications.scheduling import BACKFILL_PRIORITY
from opsin.core.records import Dataset
from opsin.settings import Settings
from opsin.storage.tables import images
from tests.core.applications.house import (
    SAMPLE,
    add,
    asked_of,
    completed,
    fill,
    keys_by_image,
    sample_house,
    told,
)
from tests.core.working import until, working

ALL = ["first", "second", "other"]


def paged(parts: Parts, at_once: int, most_open: int = 100) -> Backfill:
    """The house's own, with small pages."""
    own = parts.backfill
    return Backfill(
        parts.use_cases.database,
        own._scheduling,
        own._attached,
        at_once=at_once,
        most_open=most_open,
    )


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
async def test_every_image_is_asked_for_once_whatever_the_pages(
    parts: Parts, principal: Principal, dataset: Dataset, count: int
) -> None:
    made = await add(parts, principal, dataset, count)
    run = await parts.use_cases.runs.attach(principal, SAMPLE.id, dataset.id)
    small = paged(parts, at_once=2)
    while await small.fill() is Filled.SOME:
        pass
    asked = await asked_of(parts, run.id)
    assert keys_by_image(asked) == {image.id: ALL for image in made}
    assert {one.priority for one in asked} <= {BACKFILL_PRIORITY}
    assert await small.fill() is Filled.ALL
    found = await parts.use_cases.runs.find(principal, run.id)
    assert found is not None and (found.backfill_until, found.backfill_after) == (None, None)
    assert await parts.worker.drain() == 3 * count
    assert len(await told(parts, "run.completed")) == count


async def test_what_comes_goes_before_what_was_there(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    await add(parts, principal, dataset, 3)
    run = await parts.use_cases.runs.attach(principal, SAMPLE.id, dataset.id)
    await fill(parts)
    (live,) = await add(parts, principal, dataset)
    await parts.worker.drain()
    ended = [event.image_id for event in await told(parts, "analysis.processing")]
    assert set(ended[:3]) == {live.id}
    assert len(await asked_of(parts, run.id)) == 12


async def test_no_more_are_under_way_than_should_be(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    """So that a large dataset does not fill the queue, and can be detached."""
    await add(parts, principal, dataset, 9)
    run = await parts.use_cases.runs.attach(principal, SAMPLE.id, dataset.id)
    small = paged(parts, at_once=2, most_open=4)
    looks = [await small.fill() for _ in range(3)]
    assert looks == [Filled.SOME, Filled.SOME, Filled.ENOUGH]
    assert len(await asked_of(parts, run.id)) == 12
    await parts.worker.drain()
    assert await small.fill() is Filled.SOME
    await parts.use_cases.runs.detach(principal, run.id)
    assert await small.fill() is Filled.ALL
    assert len(await asked_of(parts, run.id)) == 18


async def test_the_images_that_were_there_get_the_steps_of_the_first_attachment(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    """However soon it was attached again: the answer does not depend on who was faster."""
    runs = parts.use_cases.runs
    (before,) = await add(parts, principal, dataset)
    run = await runs.attach(principal, SAMPLE.id, dataset.id)
    await runs.attach(principal, SAMPLE.id, dataset.id, ["other"])
    (after,) = await add(parts, principal, dataset)
    await fill(parts)
    assert keys_by_image(await asked_of(parts, run.id)) == {before.id: ALL, after.id: ["other"]}


async def test_deleted_images_are_passed_over_and_restored_ones_are_asked_for(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    use_cases = parts.use_cases
    kept, hidden, gone, blank = await add(parts, principal, dataset, 4)
    reason = "nobody needs this picture any more"
    await use_cases.image_deletions.delete(principal, None, hidden.id, reason)
    await use_cases.images.delete(principal, gone.id)
    async with use_cases.database.write() as transaction:
        statement = update(images).where(images.c.id == blank.id).values(storage_deleted=True)
        await transaction.connection.execute(statement)
    run = await use_cases.runs.attach(principal, SAMPLE.id, dataset.id)
    await fill(parts)
    assert keys_by_image(await asked_of(parts, run.id)).keys() == {kept.id}
    for _ in range(2):
        await use_cases.image_deletions.restore(principal, None, hidden.id)
        assert keys_by_image(await asked_of(parts, run.id)).keys() == {kept.id, hidden.id}
        await use_cases.image_deletions.delete(principal, None, hidden.id, reason)
    assert len(await asked_of(parts, run.id)) == 6


async def test_two_houses_share_the_work_and_repeat_nothing(
    settings: Settings, any_database_url: str
) -> None:
    shared = settings.model_copy(update={"database_url": any_database_url})
    async with sample_house(shared) as one, sample_house(shared) as two:
        principal = await one.use_cases.access.local()
        dataset = await one.use_cases.datasets.create(principal, "pictures")
        made = {image.id for image in await add(one, principal, dataset, 30)}
        run = await one.use_cases.runs.attach(principal, SAMPLE.id, dataset.id)
        small = [paged(house, at_once=2, most_open=1000) for house in (one, two, one, two)]

        async def fill_all(backfill: Backfill) -> None:
            while await backfill.fill() is not Filled.ALL:  # noqa: ASYNC110 - others have their turn
                await asyncio.sleep(0)

        await asyncio.gather(*(fill_all(backfill) for backfill in small))
        assert keys_by_image(await asked_of(one, run.id)) == {image: ALL for image in made}
        async with working(one, two):

            async def done() -> bool:
                counts = await one.use_cases.runs.counts(principal, [run.id])
                return counts[run.id].completed == 30

            await until(done)
        assert await completed(one) == sorted(made)


async def test_the_background_wakes_when_something_is_attached(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    """Without waiting for its next look, which comes after seconds."""
    await add(parts, principal, dataset, 3)
    filling = asyncio.create_task(parts.backfill.run())
    try:
        await asyncio.sleep(0.05)
        run = await parts.use_cases.runs.attach(principal, SAMPLE.id, dataset.id)
        seen = asyncio.get_running_loop().time()

        async def asked() -> bool:
            return len(await asked_of(parts, run.id)) == 9

        await until(asked)
        assert asyncio.get_running_loop().time() - seen < 4
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)


async def test_an_image_deleted_while_it_is_asked_for_harms_no_other(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    made = await add(parts, principal, dataset, 20)
    run = await parts.use_cases.runs.attach(principal, SAMPLE.id, dataset.id)
    small = paged(parts, at_once=3, most_open=1000)

    async def fill_all() -> None:
        while await small.fill() is not Filled.ALL:  # noqa: ASYNC110 - others have their turn
            await asyncio.sleep(0)

    gone = [image.id for image in made[::3]]
    await asyncio.gather(
        fill_all(), *(parts.use_cases.images.delete(principal, image) for image in gone)
    )
    expected = {image.id for image in made}.difference(gone)
    by_image = keys_by_image(await asked_of(parts, run.id))
    assert by_image == {image: ALL for image in expected}
    assert await parts.worker.drain() == 3 * len(expected)
    assert len(await told(parts, "run.completed")) == len(expected)


def test_which_steps_were_enabled_when() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def was(hours: int, steps: list[str], is_enabled: bool = True) -> dict[str, object]:
        until = (noon + timedelta(hours=hours)).isoformat()
        return {"until": until, "steps": steps, "is_enabled": is_enabled}

    history = [was(1, ["a", "b"]), was(2, ["b"]), was(3, ["b"], is_enabled=False)]
    run = Run("", "", "", "", ["c"], True, None, noon, noon, history, None, None)
    expected = {-9: ["a", "b"], 0: ["a", "b"], 1: ["b"], 2: [], 3: ["c"], 9: ["c"]}
    for hours, steps in expected.items():
        assert steps_at(run, noon + timedelta(hours=hours)) == steps
