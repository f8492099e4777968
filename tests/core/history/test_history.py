"""A subject's history: which results are in it, in which order, and whose."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.history import HistoryPoint
from opsin.storage.ids import new_id
from opsin.storage.tables import images
from tests.conftest import other_company
from tests.core.history.rows import MOMENT, Diary, diary, score_of


async def points(parts: Parts, made: Diary, **wanted: Any) -> list[HistoryPoint]:
    read = parts.use_cases.history.of_subject
    return await read(made.principal, made.dataset_id, made.subject_id, **wanted)


def numbers(found: list[HistoryPoint]) -> list[float]:
    return [point.number for point in found]


async def test_points_come_newest_first_with_all_that_they_tell(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    for days, score in ((-1, 50), (-3, 30), (0, 60), (-2, 40)):
        await made.scored(days, score)
    found = await points(parts, made)
    assert numbers(found) == [60, 50, 40, 30]
    newest = found[0]
    assert newest.image_id == made.images[0]
    assert newest.taken_at == MOMENT
    assert (newest.operation, newest.step, newest.application_id) == ("redness", None, None)
    assert (newest.name, newest.value, newest.score) == ("face.redness", 6.0, 60.0)
    assert newest.unit == "share"


async def test_of_equal_times_the_last_that_came_is_first(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    for score in (10, 20, 30):
        await made.scored(0, score)
    assert numbers(await points(parts, made)) == [30, 20, 10]


async def test_a_period_includes_both_of_its_ends(parts: Parts, principal: Principal) -> None:
    made = await diary(parts, principal)
    for days in (-4, -3, -2, -1, 0):
        await made.scored(days, 10.0 - days)
    since, until = MOMENT - timedelta(days=3), MOMENT - timedelta(days=1)
    assert numbers(await points(parts, made, since=since, until=until)) == [11, 12, 13]
    assert numbers(await points(parts, made, since=since)) == [10, 11, 12, 13]
    assert numbers(await points(parts, made, until=until)) == [11, 12, 13, 14]


async def test_the_first_metric_as_displayed_is_the_main_one(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    image = await made.image(0)
    # Written in this order: the ordering, not the time of writing, says which is first.
    await made.result(image, "a", [score_of("second", 2), score_of("third", 3)])
    analysis = await made.result(image, "b")
    rows: list[tuple[str, dict[str, Any]]] = [
        ("later", {"annotation_type": "metric", "ordering": None, "data": score_of("late", 9)}),
        ("second", {"annotation_type": "metric", "ordering": 7, "data": score_of("second", 7)}),
        ("first", {"annotation_type": "metric", "ordering": 3, "data": score_of("first", 5)}),
        ("shape", {"annotation_type": "segmentation", "ordering": 0, "data": {"points": []}}),
    ]
    for _, row in rows:
        await made.annotation(analysis, **row)
    unplaced = await made.result(image, "c")
    for measure, score in (("first", 1), ("second", 2)):
        await made.annotation(unplaced, ordering=None, data=score_of(measure, score))
    found = {point.operation: point.name for point in await points(parts, made)}
    assert found == {"a": "face.second", "b": "face.first", "c": "face.first"}


@pytest.mark.parametrize(
    "data",
    [
        {"name": "face.redness"},
        {"value": "70"},
        {"value": True},
        {"score": None, "value": None},
        {"value": 10**400},
        {"value": -1e200},
    ],
)
async def test_what_tells_no_number_is_no_point(
    parts: Parts, principal: Principal, data: dict[str, Any]
) -> None:
    made = await diary(parts, principal)
    await made.result(await made.image(0), metrics=[data])
    await made.scored(-1, 50)
    assert numbers(await points(parts, made)) == [50]


async def test_without_a_score_the_value_counts(parts: Parts, principal: Principal) -> None:
    made = await diary(parts, principal)
    await made.result(
        await made.image(0), "tone", [{"name": "face.ita", "value": -12.5, "unit": "degrees"}]
    )
    (point,) = await points(parts, made)
    assert (point.number, point.value, point.score, point.unit) == (-12.5, -12.5, None, "degrees")


async def test_of_several_results_the_newest_that_was_completed_counts(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    image = await made.image(0)
    await made.result(image, metrics=[score_of("redness", 10)])
    newest = await made.result(image, metrics=[score_of("redness", 20)], operation_version="2")
    for status in ("FAILED", "CANCELLED", "QUEUED", "PROCESSING"):
        await made.result(image, metrics=[score_of("redness", 99)], status=status)
    found = await points(parts, made)
    assert [(point.number, point.analysis_id) for point in found] == [(20, newest)]


async def test_a_newer_result_without_a_number_hides_an_older_one(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    image = await made.image(0)
    await made.result(image, metrics=[score_of("redness", 10)])
    await made.result(image)
    assert await points(parts, made) == []


async def test_results_are_told_apart_by_application_and_step(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    first, second = new_id(), new_id()
    runs = {first: await made.run(first), second: await made.run(second)}
    image = await made.image(0)
    for score, application, step in ((1, first, "a"), (2, first, "b"), (3, second, "a")):
        await made.result(
            image, metrics=[score_of("redness", score)], run_id=runs[application], task_id=step
        )
    await made.result(image, metrics=[score_of("redness", 4)], task_id="anything")
    found = {(p.application_id, p.step): p.number for p in await points(parts, made)}
    assert found == {(first, "a"): 1, (first, "b"): 2, (second, "a"): 3, (None, None): 4}
    of_first = await points(parts, made, application_id=first)
    assert sorted(numbers(of_first)) == [1, 2]
    assert await points(parts, made, application_id=new_id()) == []
    assert await points(parts, made, application_id="none") == []


async def test_results_of_pipelines_count_by_their_model(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    await made.result(
        await made.image(0),
        None,
        [score_of("redness", 8)],
        external=True,
        model_name="elsewhere",
    )
    (point,) = await points(parts, made)
    assert point.operation == "elsewhere"


async def test_deleted_images_are_hidden_and_images_without_their_file_are_not(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    gone, bare = await made.scored(-1, 10), await made.scored(-2, 20)
    for identity, column, value in (
        (gone, "deleted_at", MOMENT),
        (bare, "storage_deleted", True),
    ):
        async with made.database.write() as transaction:
            await transaction.connection.execute(
                update(images).where(images.c.id == identity).values({column: value})
            )
    assert numbers(await points(parts, made)) == [20]


async def test_no_more_than_the_limit_and_all_of_many(parts: Parts, principal: Principal) -> None:
    made = await diary(parts, principal)
    # More than the first page of images, so that a second one is read.
    for number in range(130):
        image = await made.image(-number / 24)
        for operation in ("redness", "shine"):
            await made.result(image, operation, [score_of(operation, number % 100)])
    whole = await points(parts, made)
    assert len(whole) == 260
    assert [point.taken_at for point in whole] == sorted(
        (point.taken_at for point in whole), reverse=True
    )
    assert [point.operation for point in whole[:4]] == ["redness", "shine"] * 2
    for limit in (1, 3, 200, 201, 260, 261):
        assert await points(parts, made, limit=limit) == whole[:limit]
    for limit in (0, -1, 100_001):
        with pytest.raises(InvalidInput, match="limit must be from 1 to 100000"):
            await points(parts, made, limit=limit)


async def test_a_subject_is_the_callers_and_of_its_dataset(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    await made.scored(0, 50)
    elsewhere = await diary(parts, principal)
    stranger = await other_company(parts)
    read = parts.use_cases.history.of_subject
    for caller, dataset, subject in (
        (stranger, made.dataset_id, made.subject_id),
        (principal, elsewhere.dataset_id, made.subject_id),
        (principal, made.dataset_id, elsewhere.subject_id),
        (principal, made.dataset_id, new_id()),
        (principal, made.dataset_id, "no id"),
        (principal, "no id", made.subject_id),
    ):
        with pytest.raises(NotFound, match="Subject not found"):
            await read(caller, dataset, subject)


async def test_a_history_ends_with_the_image_it_is_asked_for(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    for days, score in ((-2, 20), (-1, 30), (0, 40), (1, 50)):
        await made.scored(days, score)
    from_the_left = await made.image(-1, side="left")
    await made.result(from_the_left, metrics=[score_of("redness", 99)])
    image = await parts.use_cases.images.get(principal, made.images[0])
    assert numbers(await parts.use_cases.history.leading_to(principal, image)) == [40, 30, 20]
    side = await parts.use_cases.images.get(principal, from_the_left)
    assert numbers(await parts.use_cases.history.leading_to(principal, side)) == [99]
