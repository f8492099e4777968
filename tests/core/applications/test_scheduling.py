"""What is asked of images that come: in the transaction that stores them, in order, or why not."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from opsin import Application, Step
from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.applications.scheduling import MISSING_PREREQUISITE
from opsin.core.imports.options import ImportOptions
from opsin.core.imports.sources import SourcePaths
from opsin.core.lifecycle import AnalysisStatus
from opsin.core.records import Dataset
from opsin.core.testing import Script
from opsin.settings import Settings
from opsin.storage.database import Transaction
from opsin.storage.tables import analyses
from tests.core.applications.conftest import Statements
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
from tests.core.given_plugins import house_of
from tests.core.stored import stored
from tests.core.working import until, working
from tests.pictures import solid_png

QUEUED, PROCESSING, COMPLETED, FAILED, CANCELLED = AnalysisStatus


async def test_an_image_that_comes_is_asked_for_at_once(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    run = await parts.use_cases.runs.attach(principal, SAMPLE.id, dataset.id)
    (image,) = await add(parts, principal, dataset)
    asked = await asked_of(parts, run.id)
    assert [one.task_id for one in asked] == ["first", "second", "other"]
    for one in asked:
        assert (one.status, one.priority, one.image_id) == (QUEUED, 0, image.id)
        assert (one.dataset_id, one.company_id) == (dataset.id, principal.company_id)
        assert not one.external and one.reuse
    assert asked[0].operation == asked[1].operation == asked[0].model_name == "fake"
    assert (asked[1].parameters or {})["mark"] == 2
    assert (asked[1].parameters or {})["target"] == "whole_image"
    kinds = [(e.kind, e.analysis_id) for e in await _log(parts) if e.image_id == image.id]
    assert kinds == [
        ("image.created", None),
        *(("analysis.queued", one.id) for one in asked),
    ]
    assert await parts.worker.drain() == 3


async def _log(parts: Parts) -> list[Any]:
    kinds = ("image.created", "analysis.queued", "analysis.failed", "run.completed")
    return sorted([e for kind in kinds for e in await told(parts, kind)], key=lambda e: e.sequence)


async def test_a_dataset_without_runs_costs_one_look(
    parts: Parts,
    principal: Principal,
    dataset: Dataset,
    statements: Statements,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await add(parts, principal, dataset)
    statements()
    await add(parts, principal, dataset)
    seen = statements()
    assert len([text for text in seen if "application_runs" in text]) == 1
    assert not [text for text in seen if "image_runs" in text]
    monkeypatch.setattr(parts.use_cases.images, "_arrived", None)
    await add(parts, principal, dataset)
    assert len(statements()) == len(seen) - 1


async def test_other_datasets_and_detached_runs_ask_for_nothing(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    run = await parts.use_cases.runs.attach(principal, SAMPLE.id, dataset.id)
    other = await parts.use_cases.datasets.create(principal, "other")
    await add(parts, principal, other)
    assert await asked_of(parts, run.id) == []
    assert (await stored(parts)).analyses == 0


async def test_two_applications_are_asked_side_by_side(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    second = Application("second_sample", "Second", "One step.", (Step("only", "quick"),))
    parts.use_cases.applications.declare(second)
    runs = [
        await parts.use_cases.runs.attach(principal, one.id, dataset.id) for one in (SAMPLE, second)
    ]
    (image,) = await add(parts, principal, dataset)
    assert [len(await asked_of(parts, run.id)) for run in runs] == [3, 1]
    assert await parts.worker.drain() == 4
    ended = {e.data["run_id"]: e.data["application_id"] for e in await told(parts, "run.completed")}
    assert ended == {runs[0].id: SAMPLE.id, runs[1].id: second.id}
    assert len((await parts.use_cases.runs.of_images(principal, [image.id]))[image.id]) == 2


async def test_a_step_whose_prerequisite_is_not_enabled_fails_at_once(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    run = await parts.use_cases.runs.attach(principal, SAMPLE.id, dataset.id, ["second", "other"])
    await add(parts, principal, dataset)
    failed, queued = await asked_of(parts, run.id)
    assert (failed.task_id, failed.status, failed.error_code) == (
        "second",
        FAILED,
        MISSING_PREREQUISITE,
    )
    assert failed.error_message == "The step 'first', which it requires, is not enabled"
    assert failed.completed_at is not None and failed.started_at is None
    assert (queued.task_id, queued.status) == ("other", QUEUED)
    assert await told(parts, "run.completed") == []
    assert await parts.worker.drain() == 1
    assert len(await told(parts, "run.completed")) == 1


async def test_where_every_step_fails_at_once_all_has_ended(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    run = await parts.use_cases.runs.attach(principal, SAMPLE.id, dataset.id, ["second"])
    (image,) = await add(parts, principal, dataset)
    (failed,) = await asked_of(parts, run.id)
    assert failed.status is FAILED
    assert [(e.kind, e.image_id) for e in await _log(parts)] == [
        ("image.created", image.id),
        ("analysis.failed", image.id),
        ("run.completed", image.id),
    ]
    (done,) = (await parts.use_cases.runs.of_images(principal, [image.id]))[image.id]
    assert done.completed_at is not None


async def test_a_step_of_an_operation_that_is_not_here_fails_and_says_so(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    steps = Step("gone", "no_such_thing", {"a": 1}), Step("here", "quick")
    broken = Application("broken", "Broken", "An operation is missing.", steps)
    parts.use_cases.applications.declare(broken)
    run = await parts.use_cases.runs.attach(principal, broken.id, dataset.id)
    await add(parts, principal, dataset)
    failed, queued = await asked_of(parts, run.id)
    assert (failed.operation, failed.operation_version, failed.model_version) == (
        "no_such_thing",
        None,
        "unknown",
    )
    assert (failed.status, failed.error_code) == (FAILED, "UNKNOWN_OPERATION")
    assert "no operation 'no_such_thing'" in (failed.error_message or "")
    assert queued.status is QUEUED
    assert await parts.worker.drain() == 1
    assert len(await told(parts, "run.completed")) == 1


async def test_images_of_a_run_whose_application_is_not_known_wait_for_it(
    settings: Settings, any_database_url: str
) -> None:
    """Another process may know it, or this one when its plugin is back: nothing is missed."""
    async with sample_house(settings, database_url=any_database_url) as parts:
        principal = await parts.use_cases.access.local()
        dataset = await parts.use_cases.datasets.create(principal, "pictures")
        run = await parts.use_cases.runs.attach(principal, SAMPLE.id, dataset.id)
        (live,) = await add(parts, principal, dataset)
    without = settings.model_copy(update={"database_url": any_database_url})
    async with house_of(without) as parts:
        (waiting, *_) = await add(parts, principal, dataset, 3)
        assert await fill(parts) == 0
        found = await parts.use_cases.runs.find(principal, run.id)
        assert found is not None and found.backfill_until is not None
        assert len(await asked_of(parts, run.id)) == 3
    async with sample_house(settings, database_url=any_database_url) as parts:
        await fill(parts)
        by_image = keys_by_image(await asked_of(parts, run.id))
        assert len(by_image) == 4
        assert by_image[live.id] == by_image[waiting.id] == ["first", "second", "other"]
        found = await parts.use_cases.runs.find(principal, run.id)
        assert found is not None and found.backfill_until is None
        assert await parts.worker.drain() == 12
        assert len(await told(parts, "run.completed")) == 4


async def test_imported_images_are_asked_for_too(
    parts: Parts, principal: Principal, dataset: Dataset, tmp_path: Path
) -> None:
    folder = tmp_path / "train"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for n in range(3):
        (folder / "images" / f"{n}.png").write_bytes(solid_png(10 + n, 10))
        (folder / "labels" / f"{n}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (folder / "data.yaml").write_text("names: [thing]\ntrain: images\n")
    run = await parts.use_cases.runs.attach(principal, SAMPLE.id, dataset.id)
    paths = SourcePaths(folder)
    for _ in range(2):  # the second time they are there already
        report = await parts.use_cases.imports.run(principal, paths, dataset.id, ImportOptions())
        assert report.is_complete
    assert [len(keys) for keys in keys_by_image(await asked_of(parts, run.id)).values()] == [3] * 3
    assert await parts.worker.drain() == 9
    assert len(await told(parts, "run.completed")) == 3


async def test_what_cannot_be_stored_leaves_no_work(
    parts: Parts, principal: Principal, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Image, analyses and events are one transaction."""
    run = await parts.use_cases.runs.attach(principal, SAMPLE.id, dataset.id)
    arrived = parts.use_cases.images._arrived
    assert arrived is not None

    async def then_fail(transaction: Transaction, rows: Any) -> None:
        await arrived(transaction, rows)
        row = (await transaction.connection.execute(analyses.select().limit(1))).mappings().one()
        await transaction.connection.execute(insert(analyses).values(dict(row)))

    monkeypatch.setattr(parts.use_cases.images, "_arrived", then_fail)
    with pytest.raises(Exception, match=r"(?i)unique"):
        await add(parts, principal, dataset)
    assert await asked_of(parts, run.id) == []
    assert (await stored(parts)).images == 0
    assert await told(parts, "analysis.queued") == []


async def test_images_that_come_while_it_is_attached_are_asked_for_once(
    parts: Parts, principal: Principal, dataset: Dataset, script: Script
) -> None:
    """Uploads begin before, during and after: each is backfilled or live, none both, none not."""
    runs = parts.use_cases.runs
    async with working(parts):
        filling = asyncio.create_task(parts.backfill.run())
        try:
            uploads = [asyncio.create_task(add(parts, principal, dataset, 6)) for _ in range(8)]
            while len(await told(parts, "image.created")) < 5:  # noqa: ASYNC110 - rows have no event
                await asyncio.sleep(0)
            run = await runs.attach(principal, SAMPLE.id, dataset.id)
            images = {image.id for made in await asyncio.gather(*uploads) for image in made}

            async def done() -> bool:
                return (await runs.counts(principal, [run.id]))[run.id].completed == len(images)

            await until(done)
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)
    asked = await asked_of(parts, run.id)
    assert keys_by_image(asked) == {one: ["first", "second", "other"] for one in images}
    assert await completed(parts) == sorted(images)
    kinds = {
        image.is_live for one in (await runs.of_images(principal, images)).values() for image in one
    }
    assert kinds == {True, False}
