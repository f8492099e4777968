"""Smoothed values of an image: which of its subject's images count."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.errors import NotFound
from opsin.core.history import Smoothed, SmoothingMethod, SmoothingOptions, round_half_up
from opsin.storage.ids import new_id
from opsin.storage.tables import images
from tests.conftest import other_company
from tests.core.history.rows import MOMENT, Diary, diary, score_of
from tests.core.history.test_smoothing import HISTORY, VECTORS


async def smoothed(
    parts: Parts, made: Diary, image_id: str, options: SmoothingOptions | None = None
) -> dict[str, Smoothed]:
    found = await parts.use_cases.history.smoothed(made.principal, image_id, options)
    return {one.operation: one for one in found}


async def redness(parts: Parts, made: Diary, image_id: str) -> tuple[float, int]:
    one = (await smoothed(parts, made, image_id))["redness"]
    return one.value, one.count


async def test_the_vectors_of_the_definition_hold_for_stored_images(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    for days, score in HISTORY.items():
        await made.scored(days, score)
    for window, size, count, *wanted in VECTORS:
        for method, (exact, whole) in zip(SmoothingMethod, wanted, strict=True):
            options = SmoothingOptions(window, size, method)
            found = (await smoothed(parts, made, made.images[0], options))["redness"]
            assert (round_half_up(found.value), found.count) == (whole, count), (options, exact)
            assert found.value == pytest.approx(exact, abs=0.0005)


async def test_the_window_is_half_open_to_the_microsecond(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    target = await made.scored(0, 40)
    await made.scored(-14, 10)
    assert await redness(parts, made, target) == (40, 1)
    late = await made.scored(-13, 20)
    async with made.database.write() as transaction:
        await transaction.connection.execute(
            update(images)
            .where(images.c.id == late)
            .values(taken_at=MOMENT - timedelta(days=14) + timedelta(microseconds=1))
        )
    assert await redness(parts, made, target) == (30, 2)


async def test_later_images_never_count_and_of_equal_times_all_do(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    target = await made.scored(0, 61)
    await made.scored(1, 0)
    assert await redness(parts, made, target) == (61, 1)
    await made.scored(0, 50)
    assert await redness(parts, made, target) == (55.5, 2)
    for method in SmoothingMethod:
        options = SmoothingOptions(method=method)
        assert (await smoothed(parts, made, target, options))["redness"].value == 55.5


async def test_only_the_same_side_and_light_of_the_same_subject_count(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    target = await made.scored(0, 50)
    for more in ({"side": "left"}, {"light": "polarised"}, {"side": None}, {"subject_id": None}):
        await made.result(await made.image(-1, **more), metrics=[score_of("redness", 100)])
    assert await redness(parts, made, target) == (50, 1)
    nowhere = await made.image(-1, side=None, light=None)
    await made.result(nowhere, metrics=[score_of("redness", 20)])
    other = await made.image(-2, side=None, light=None)
    await made.result(other, metrics=[score_of("redness", 40)])
    assert await redness(parts, made, nowhere) == (30, 2)


async def test_an_image_of_no_subject_has_its_own_value(parts: Parts, principal: Principal) -> None:
    made = await diary(parts, principal)
    for days in (-1, 0):
        image = await made.image(days, subject_id=None)
        await made.result(image, metrics=[score_of("redness", 50 + days)])
    assert await redness(parts, made, made.images[0]) == (50, 1)


async def test_an_operation_that_the_image_lacks_is_left_out(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    await made.scored(-1, 50, "shine")
    target = await made.scored(0, 60, "redness")
    assert set(await smoothed(parts, made, target)) == {"redness"}
    assert await smoothed(parts, made, await made.image(0)) == {}


async def test_a_score_is_smoothed_with_scores_only(parts: Parts, principal: Principal) -> None:
    made = await diary(parts, principal)
    target = await made.scored(0, 50)
    value = {"name": "face.redness", "value": 7.0, "unit": "share"}
    await made.result(await made.image(-1), metrics=[value])
    await made.scored(-2, 60)
    assert await redness(parts, made, target) == (55, 2)
    found = (await smoothed(parts, made, made.images[-1]))["redness"]
    assert (found.value, found.count, found.is_score, found.unit) == (7, 1, False, "share")


async def test_a_line_of_values_is_not_held_within_the_scores(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    for days, degrees in ((-2, -150.0), (-1, -120.0), (0, -120.0)):
        metric = {"name": "face.ita", "value": degrees, "unit": "degrees"}
        await made.result(await made.image(days), "tone", [metric])
    line = SmoothingOptions(method=SmoothingMethod.LINEAR_APPROXIMATION)
    found = await smoothed(parts, made, made.images[0], line)
    assert found["tone"].value == pytest.approx(-115)


async def test_applications_are_smoothed_each_for_itself(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    applications = [new_id(), new_id()]
    runs = [await made.run(application) for application in applications]
    for days in (-1, 0):
        image = await made.image(days)
        for run, score in ((runs[0], 10 + days), (runs[1], 50 + days), (None, 90 + days)):
            metrics = [score_of("redness", score)]
            await made.result(image, metrics=metrics, run_id=run, task_id="step")
    read = parts.use_cases.history.smoothed
    found = await read(principal, made.images[0])
    values = {(one.application_id, one.step): (one.value, one.count) for one in found}
    assert values == {
        (applications[0], "step"): (9.5, 2),
        (applications[1], "step"): (49.5, 2),
        (None, None): (89.5, 2),
    }
    (only,) = await read(principal, made.images[0], application_id=applications[1])
    assert (only.value, only.application_id) == (49.5, applications[1])
    assert await read(principal, made.images[0], application_id=new_id()) == []


async def test_the_newest_count_where_most_images_lack_the_operation(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    for number in range(120):
        image = await made.image(-number / 24)
        operations = ["common", "rare"] if number % 40 == 0 else ["common"]
        for operation in operations:
            await made.result(image, operation, [score_of(operation, number % 100)])
    found = await smoothed(parts, made, made.images[0], SmoothingOptions(max_size=3))
    assert (found["common"].value, found["common"].count) == (1, 3)
    assert (found["rare"].value, found["rare"].count) == ((0 + 40 + 80) / 3, 3)


async def test_an_image_is_the_callers(parts: Parts, principal: Principal) -> None:
    made = await diary(parts, principal)
    target = await made.scored(0, 60)
    read = parts.use_cases.history.smoothed
    for caller, image in (
        (await other_company(parts), target),
        (principal, new_id()),
        (principal, "none"),
    ):
        with pytest.raises(NotFound, match="Image not found"):
            await read(caller, image)
