"""Attaching, changing and detaching: one run a dataset and application, and whose it is."""

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.applications.applications import NewApplication
from opsin.core.applications.records import RunCounts
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.records import Dataset
from opsin.core.testing import Script
from opsin.settings import Settings
from opsin.storage.ids import new_id
from opsin.storage.tables import datasets
from tests.conftest import other_company
from tests.core.applications.house import (
    FIRST,
    SAMPLE,
    add,
    asked_of,
    fill,
    keys_by_image,
    lock_waits,
    new_dataset,
    sample_house,
    told,
)

ALL = ["second", "first", "other"]


async def test_a_run_begins_with_all_steps(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    runs = parts.use_cases.runs
    run = await runs.attach(principal, SAMPLE.id, dataset.id)
    assert (run.steps, run.is_enabled, run.history) == (ALL, True, [])
    assert (run.dataset_id, run.application_id) == (dataset.id, SAMPLE.id)
    assert run.backfill_until is None
    assert await runs.find(principal, run.id) == run
    assert await runs.find_many(principal, [run.id, new_id(), "?"]) == {run.id: run}
    assert await runs.of_dataset(principal, dataset.id) == [run]
    assert await runs.of_datasets(principal, [dataset.id]) == {dataset.id: [run]}
    assert await runs.of_application(principal, SAMPLE.id) == [run]
    (event,) = await told(parts, "run.created")
    assert event.dataset_id == dataset.id
    assert event.data == {"run_id": run.id, "application_id": SAMPLE.id}


async def test_attached_again_it_is_the_same_run_with_new_steps_for_images_to_come(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    runs = parts.use_cases.runs
    first = await runs.attach(principal, SAMPLE.id, dataset.id)
    (before,) = await add(parts, principal, dataset)
    again = await runs.attach(principal, SAMPLE.id, dataset.id, ["other", "first", "other"])
    (after,) = await add(parts, principal, dataset)
    assert again.id == first.id
    assert again.steps == ["first", "other"]
    (was,) = again.history
    assert (was["steps"], was["is_enabled"]) == (ALL, True)
    assert keys_by_image(await asked_of(parts, first.id)) == {
        before.id: ["first", "second", "other"],
        after.id: ["first", "other"],
    }
    assert await fill(parts) == 0
    assert len(await told(parts, "run.updated")) == 1


async def test_attached_again_as_it_is_nothing_changes(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    runs = parts.use_cases.runs
    first = await runs.attach(principal, SAMPLE.id, dataset.id, ["first"])
    assert await runs.attach(principal, SAMPLE.id, dataset.id, ["first"]) == first
    assert await told(parts, "run.updated") == []


async def test_a_detached_run_keeps_its_results_and_asks_for_nothing(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    runs = parts.use_cases.runs
    run = await runs.attach(principal, SAMPLE.id, dataset.id)
    (kept,) = await add(parts, principal, dataset)
    gone = await runs.detach(principal, run.id)
    assert (gone.id, gone.is_enabled, gone.steps) == (run.id, False, ALL)
    assert await runs.detach(principal, run.id) == gone
    await add(parts, principal, dataset)
    assert await parts.worker.drain() == 3
    assert keys_by_image(await asked_of(parts, run.id)).keys() == {kept.id}
    assert await runs.of_dataset(principal, dataset.id) == [gone]
    assert len(await told(parts, "run.updated")) == 1

    back = await runs.attach(principal, SAMPLE.id, dataset.id)
    (later,) = await add(parts, principal, dataset)
    assert (back.id, back.is_enabled, len(back.history)) == (run.id, True, 2)
    assert await fill(parts) == 0
    assert keys_by_image(await asked_of(parts, run.id)).keys() == {kept.id, later.id}


async def test_two_attach_at_once_and_get_one_run(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    await add(parts, principal, dataset, 3)
    made = await asyncio.gather(
        *(parts.use_cases.runs.attach(principal, SAMPLE.id, dataset.id) for _ in range(8))
    )
    assert len({run.id for run in made}) == 1
    await fill(parts)
    assert len(await asked_of(parts, made[0].id)) == 9
    assert len(await told(parts, "run.created")) == 1


async def test_a_dataset_that_is_being_deleted_gets_no_run(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    database, runs = parts.use_cases.database, parts.use_cases.runs
    async with database.write() as transaction:
        hidden = update(datasets).where(datasets.c.id == dataset.id)
        await transaction.connection.execute(hidden.values(deleted_at=datetime.now(UTC)))
        attaching = asyncio.create_task(runs.attach(principal, SAMPLE.id, dataset.id))
        if not database.is_sqlite:
            await lock_waits(database)
    with pytest.raises(NotFound):
        await attaching
    assert await told(parts, "run.created") == []


async def test_unknown_steps_and_none_are_refused(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    attach = parts.use_cases.runs.attach
    with pytest.raises(InvalidInput, match="no step 'third'"):
        await attach(principal, SAMPLE.id, dataset.id, ["first", "third"])
    with pytest.raises(InvalidInput, match="At least one step"):
        await attach(principal, SAMPLE.id, dataset.id, [])
    assert await parts.use_cases.runs.of_dataset(principal, dataset.id) == []


async def test_what_is_not_the_callers_is_not_there(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    runs, stranger = parts.use_cases.runs, await other_company(parts)
    with pytest.raises(NotFound, match="Application"):
        await runs.attach(principal, new_id(), dataset.id)
    with pytest.raises(NotFound, match="Dataset"):
        await runs.attach(stranger, SAMPLE.id, dataset.id)
    run = await runs.attach(principal, SAMPLE.id, dataset.id)
    (image,) = await add(parts, principal, dataset)
    with pytest.raises(NotFound, match="Run"):
        await runs.detach(stranger, run.id)
    with pytest.raises(NotFound, match="Run"):
        await runs.detach(principal, "no id")
    assert await runs.find(stranger, run.id) is None
    assert await runs.find_many(stranger, [run.id]) == {}
    assert await runs.of_dataset(stranger, dataset.id) == []
    assert await runs.of_application(stranger, SAMPLE.id) == []
    assert await runs.of_images(stranger, [image.id]) == {image.id: []}
    assert await runs.counts(stranger, [run.id]) == {run.id: RunCounts(0, 0)}


async def test_an_application_for_other_pictures_is_refused(
    settings: Settings, script: Script
) -> None:
    async with sample_house(settings, script=script) as parts:
        principal = await parts.use_cases.access.local()
        made = await parts.use_cases.applications.create(
            principal, NewApplication("selfies", (FIRST,), image_type="selfie")
        )
        datasets, attach = parts.use_cases.datasets, parts.use_cases.runs.attach
        skin = await datasets.create(principal, "skin", image_type="skin")
        with pytest.raises(InvalidInput, match="'selfie', and the dataset has 'skin'"):
            await attach(principal, made.id, skin.id)
        for image_type in ("selfie", None):
            fits = await datasets.create(principal, "fits", image_type=image_type)
            assert (await attach(principal, made.id, fits.id)).is_enabled


async def test_counts_and_what_runs_do_with_an_image(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    runs = parts.use_cases.runs
    (earlier,) = await add(parts, principal, dataset)
    run = await runs.attach(principal, SAMPLE.id, dataset.id)
    (later,) = await add(parts, principal, dataset)
    assert await runs.counts(principal, [run.id]) == {run.id: RunCounts(1, 0)}
    await fill(parts)
    await parts.worker.drain()
    await add(parts, principal, dataset)
    assert await runs.counts(principal, [run.id]) == {run.id: RunCounts(3, 2)}
    found = await runs.of_images(principal, [earlier.id, later.id, "?"])
    (was,), (came,) = found[earlier.id], found[later.id]
    assert (was.run_id, was.is_live, came.run_id, came.is_live) == (run.id, False, run.id, True)
    assert came.completed_at is not None


async def test_a_deleted_dataset_takes_its_run_along(parts: Parts, principal: Principal) -> None:
    runs = parts.use_cases.runs
    dataset, other = await new_dataset(parts, principal), await new_dataset(parts, principal)
    await add(parts, principal, dataset, 3)
    gone = await runs.attach(principal, SAMPLE.id, dataset.id)
    kept = await runs.attach(principal, SAMPLE.id, other.id)
    await parts.use_cases.datasets.delete(principal, dataset.id)
    assert await fill(parts) == 0
    assert await runs.find(principal, gone.id) is None
    assert await runs.of_application(principal, SAMPLE.id) == [kept]
    assert await asked_of(parts, gone.id) == []
