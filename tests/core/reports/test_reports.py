"""Reports of stored images: what they tell, to whom, and what they do when much is asked."""

import asyncio
import io
import threading
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from sqlalchemy import update

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.errors import DeadlineExceeded, MissingExtra, NotFound, Overloaded
from opsin.core.images import NewImage
from opsin.core.reports import Reports
from opsin.core.reports.budget import Budget
from opsin.core.reports.wording import ABOUT, FILE_DELETED, NOT, NOTHING, RESULTS_DELETED
from opsin.storage.ids import new_id
from opsin.storage.tables import images, subjects
from tests.conftest import other_company
from tests.core.history.rows import MOMENT, Diary, diary, score_of
from tests.core.reports.pages import shown
from tests.pictures import encoded

WHITE, WIDTH, HEIGHT = (255, 255, 255), 400, 300


async def upload(parts: Parts, made: Diary, days: float = 0, **more: Any) -> str:
    """A white picture of the subject's, with its file; gives its id."""
    file = io.BytesIO(encoded(PillowImage.new("RGB", (WIDTH, HEIGHT), WHITE), "PNG"))
    new = NewImage(
        made.dataset_id,
        "white.png",
        subject_id=made.subject_id,
        side="front",
        light="regular",
        taken_at=MOMENT + timedelta(days=days),
    )
    image = await parts.use_cases.images.add(made.principal, new, file)
    made.images[days] = image.id
    return image.id


async def change(made: Diary, table: Any, identity: str, **values: Any) -> None:
    async with made.database.write() as transaction:
        await transaction.connection.execute(
            update(table).where(table.c.id == identity).values(**values)
        )


async def pdf(parts: Parts, made: Diary, image_id: str) -> bytes:
    return await parts.use_cases.reports.pdf(made.principal, image_id)


async def measured_image(parts: Parts, principal: Principal) -> tuple[Diary, str]:
    """An image with a score, its method, areas and a polygon."""
    made = await diary(parts, principal)
    image = await upload(parts, made)
    result = {
        "measure": "redness",
        "explanation": "How red it is.",
        "source": "CIE 15:2018",
        "feedback": ["use even light"],
    }
    analysis = await made.result(
        image,
        "skin_redness",
        [
            {"name": "face.redness", "value": 12.25, "unit": "a*", "score": 71.6},
            {"name": "face.redness_local", "value": 0.125, "unit": "share"},
            {"name": "nose.redness", "value": 20, "unit": "a*", "score": 20},
            {"name": "nose.redness_local", "value": 0.5, "unit": "share"},
        ],
        result=result,
        result_type="SkinMeasures",
    )
    polygon = {"polygons": [[100, 75, 300, 75, 300, 225, 100, 225]]}
    await made.annotation(analysis, annotation_type="segmentation", data=polygon, ordering=9)
    return made, image


async def test_a_report_tells_what_was_measured_how_and_what_it_is_not(
    parts: Parts, principal: Principal
) -> None:
    made, image = await measured_image(parts, principal)
    found = shown(await pdf(parts, made, image))
    for told in (
        "Grace",
        "faces",
        "white.png",
        "400 × 300 pixels",  # noqa: RUF001 - the sign of multiplication
        "20 November 2026, 12:00 UTC",
        "front, regular",
        "72 / 100",
        "12.2",
        "12.5",
        "Nose",
        "How red it is.",
        "Source: CIE 15:2018",
        "use even light",
        "skin_redness, version 1",
        ABOUT,
        NOT,
        f"image {image}",
    ):
        assert told in found.text, told
    assert found.outline == ["Overview", "Redness"]
    assert all(f"Page {n} of {len(found.texts)}" in text for n, text in enumerate(found.texts, 1))
    assert found.fonts
    assert all(found.fonts.values()), found.fonts


async def test_the_same_data_give_the_same_bytes(parts: Parts, principal: Principal) -> None:
    made, image = await measured_image(parts, principal)
    await made.scored(-3, 40, "skin_redness")
    first = await pdf(parts, made, image)
    assert first == await pdf(parts, made, image)
    assert first == await parts.use_cases.reports.pdf_by_id(image)
    await change(made, subjects, made.subject_id, name="Grace Brewster")
    assert first != await pdf(parts, made, image)


async def test_a_mask_lies_where_it_was_found(parts: Parts, principal: Principal) -> None:
    made, image = await measured_image(parts, principal)
    page = shown(await pdf(parts, made, image)).pixels[0].astype(int)
    # The palette's red over white, in the upper part of the page; the legend's is a dot.
    red = (page[:, :, 0] > 200) & (page[:, :, 0] - page[:, :, 1] > 30) & (page[:, :, 1] > 130)
    rows = np.nonzero(red[:800].sum(axis=1) > 100)[0]
    columns = np.nonzero(red[:800].sum(axis=0) > 100)[0]
    box = columns.min(), rows.min(), columns.max(), rows.max()
    millimetre = 2 * 72 / 25.4
    # The part of the picture around the mask, which is half of it each way, 6 % wider: 224 x 174.
    scale = 96 * millimetre / 224
    assert box[2] - box[0] == pytest.approx(200 * scale, abs=3)
    assert box[3] - box[1] == pytest.approx(150 * scale, abs=3)
    assert box[0] == pytest.approx(18 * millimetre + 12 * scale, abs=3)


@pytest.mark.parametrize(
    "data",
    [
        {"rle": {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * 100, HEIGHT * 200, HEIGHT * 100]}},
        {"bbox": [100, 75, 200, 150], "format": "xywh"},
        {"keypoints": [[x, 150] for x in range(100, 300)]},
        {"polygons": [[0.25, 0.25, 0.75, 0.25, 0.75, 0.75]], "normalized": True},
    ],
)
async def test_every_kind_of_shape_is_drawn(
    parts: Parts, principal: Principal, data: dict[str, Any]
) -> None:
    made = await diary(parts, principal)
    image = await upload(parts, made)
    analysis = await made.result(image, "redness", [score_of("redness", 50)])
    before = shown(await pdf(parts, made, image))
    await made.annotation(analysis, annotation_type="segmentation", data=data, ordering=5)
    after = shown(await pdf(parts, made, image))
    # The card has a figure now, and the picture of the first page is another.
    assert after.pictures > before.pictures
    red = [int(((p[:, :, 0] > 180) & (p[:, :, 1] < 190)).sum()) for p in (*after.pixels,)]
    assert sum(red) > 300


async def test_without_its_file_a_picture_is_a_frame_with_the_masks(
    parts: Parts, principal: Principal
) -> None:
    made, image = await measured_image(parts, principal)
    await change(made, images, image, storage_deleted=True)
    found = shown(await pdf(parts, made, image))
    assert FILE_DELETED in found.text
    assert found.pictures == 0
    assert "72 / 100" in found.text


async def test_a_damaged_file_is_as_none(parts: Parts, principal: Principal) -> None:
    made = await diary(parts, principal)
    image = await made.scored(0, 50)  # a row whose file was never there
    found = shown(await pdf(parts, made, image))
    assert FILE_DELETED in found.text


async def test_an_image_without_results_says_so(parts: Parts, principal: Principal) -> None:
    made = await diary(parts, principal)
    image = await upload(parts, made)
    assert NOTHING in shown(await pdf(parts, made, image)).text
    await change(made, images, image, results_deleted_at=MOMENT)
    assert RESULTS_DELETED in shown(await pdf(parts, made, image)).text


async def test_what_has_no_result_is_told_with_its_reason(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    image = await upload(parts, made)
    reason = "No prominent face found for operation 'skin_redness'."
    await made.result(
        image, "skin_redness", status="FAILED", error_code="SKIPPED", error_message=reason
    )
    await made.result(image, "skin_tone", status="QUEUED", completed_at=None)
    found = shown(await pdf(parts, made, image))
    assert "Without a result" in found.text
    assert f"Skin redness Failed. {reason}" in found.text
    assert "Skin tone Queued." in found.text


async def test_the_newest_result_of_each_kind_is_shown(parts: Parts, principal: Principal) -> None:
    made = await diary(parts, principal)
    image = await upload(parts, made)
    await made.result(image, "redness", [score_of("redness", 11)])
    await made.result(image, "redness", [score_of("redness", 22)])
    await made.result(image, "redness", status="FAILED", error_message="it broke")
    text = shown(await pdf(parts, made, image)).text
    assert "22 / 100" in text
    assert "11 / 100" not in text
    assert "it broke" not in text


async def test_the_same_operation_with_other_parameters_is_another_measure(
    parts: Parts, principal: Principal
) -> None:
    made = await diary(parts, principal)
    image = await upload(parts, made)
    for step, score in (("left side", 11), ("right side", 22)):
        metrics = [score_of("redness", score)]
        await made.result(image, "redness", metrics, task_id=step, parameters={"side": step})
    found = shown(await pdf(parts, made, image))
    assert found.outline[1:] == ["Redness (left side)", "Redness (right side)"]


async def test_findings_that_are_no_numbers_are_listed(parts: Parts, principal: Principal) -> None:
    made = await diary(parts, principal)
    image = await upload(parts, made)
    analysis = await made.result(
        image, None, external=True, operation_version=None, model_name="yolo", model_version="8.4"
    )
    await made.annotation(
        analysis,
        annotation_type="classification",
        class_name="humpback",
        confidence=0.875,
        data={},
    )
    await made.annotation(analysis, annotation_type="caption", data={"text": "a whale at sea"})
    text = shown(await pdf(parts, made, image)).text
    for told in ("Yolo", "humpback", "87.5 %", "a whale at sea", "yolo, version 8.4"):
        assert told in text, told


@pytest.mark.parametrize("earlier", [0, 1, 500, 510])
async def test_a_history_of_any_length(house: Parts, earlier: int) -> None:
    made = await diary(house, await house.use_cases.access.local())
    for number in range(earlier, 0, -1):
        await made.scored(-number / 3, number % 101)
    image = await upload(house, made)
    await made.result(image, "redness", [score_of("redness", 50)])
    later = await upload(house, made, 5)
    await made.result(later, "redness", [score_of("redness", 99)])
    text = shown(await pdf(house, made, image)).text
    if earlier == 0:
        assert "History of" not in text
    else:
        assert f"History of {min(earlier, 500) + 1} pictures, score" in text


async def test_much_is_cut_and_said(parts: Parts, principal: Principal) -> None:
    made = await diary(parts, principal)
    image = await upload(parts, made)
    for number in range(45):
        await made.result(image, f"other_{number:02}", [score_of("other", number)])
    metrics = [{"name": f"area {n}.number", "value": n, "score": n % 100} for n in range(230)]
    analysis = await made.result(image, "redness", metrics)
    for number in range(410):
        polygon = {"polygons": [[number / 2, 1, number / 2 + 20, 1, number / 2, 20]]}
        await made.annotation(
            analysis, annotation_type="segmentation", data=polygon, ordering=300 + number
        )
    found = shown(await pdf(parts, made, image))
    assert len(found.texts) < 30
    assert "30 more numbers" in found.text
    assert "10 more findings" in found.text
    assert "6 more analyses are not in this report." in found.text


async def test_a_report_is_its_owners(parts: Parts, principal: Principal) -> None:
    made, image = await measured_image(parts, principal)
    reports = parts.use_cases.reports
    with pytest.raises(NotFound, match="Image not found"):
        await reports.pdf(await other_company(parts), image)
    with pytest.raises(NotFound, match="Image not found"):
        await reports.pdf(principal, new_id())
    await change(made, images, image, deleted_at=MOMENT)
    with pytest.raises(NotFound, match="Image not found"):
        await reports.pdf(principal, image)
    with pytest.raises(NotFound, match="Image not found"):
        await reports.pdf_by_id(image)


async def test_without_the_extra_it_says_how_to_get_it(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, image = await measured_image(parts, principal)
    assert parts.use_cases.reports.is_available
    monkeypatch.setattr("opsin.core.reports.reports._PACKAGES", ("fpdf", "no_such_package"))
    assert not parts.use_cases.reports.is_available
    with pytest.raises(MissingExtra, match=r"pip install 'opsin\[reports\]'"):
        await pdf(parts, made, image)


def reports_of(parts: Parts, **limits: Any) -> Reports:
    """Reports of the same house with limits of their own."""
    use_cases = parts.use_cases
    given = use_cases.reports
    return Reports(
        use_cases.database,
        use_cases.host,
        use_cases.images,
        use_cases.history,
        given.limits,
        **limits,
    )


class Pause:
    """Holds the threads of reports until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.threads: set[str] = set()
        check = Budget.check

        def held(budget: Budget) -> None:
            self.threads.add(threading.current_thread().name)
            if not self.go_on.is_set():
                self.entered.release()
                self.go_on.wait(60)
            check(budget)

        monkeypatch.setattr(Budget, "check", held)

    async def until_entered(self) -> None:
        await asyncio.to_thread(self.entered.acquire, timeout=60)


async def test_so_many_are_written_at_once_and_more_are_refused(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, image = await measured_image(parts, principal)
    reports = reports_of(parts, most_at_once=1, most_waiting=1)
    pause = Pause(monkeypatch)
    first = asyncio.create_task(reports.pdf(principal, image))
    await pause.until_entered()
    second = asyncio.create_task(reports.pdf(principal, image))
    await asyncio.sleep(0)
    while reports.waiting < 2:  # noqa: ASYNC110 - a number has no event
        await asyncio.sleep(0.01)
    with pytest.raises(Overloaded) as refused:
        await reports.pdf(principal, image)
    assert refused.value.retry_after == 5
    pause.go_on.set()
    assert await first == await second
    assert len(await reports.pdf(principal, image)) > 10_000
    # Never on the event loop's own thread.
    assert all(name.startswith("report") for name in pause.threads), pause.threads
    await reports.close()


async def test_a_deadline_ends_the_wait_and_then_the_work(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, image = await measured_image(parts, principal)
    reports = reports_of(parts, most_at_once=1)
    pause = Pause(monkeypatch)
    loop = asyncio.get_running_loop()
    with pytest.raises(DeadlineExceeded):
        await reports.pdf(principal, image, deadline=loop.time() - 1)
    waiting = asyncio.create_task(reports.pdf(principal, image, deadline=loop.time() + 2))
    await pause.until_entered()
    with pytest.raises(DeadlineExceeded):
        await waiting
    # The thread is still busy: its turn is over only when it notices.
    with pytest.raises(DeadlineExceeded):
        await reports.pdf(principal, image, deadline=loop.time() + 0.3)
    pause.go_on.set()
    assert (await reports.pdf(principal, image)).startswith(b"%PDF")
    await reports.close()


async def test_who_leaves_stops_the_work(
    parts: Parts, principal: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, image = await measured_image(parts, principal)
    reports = reports_of(parts, most_at_once=1)
    pause = Pause(monkeypatch)
    left = asyncio.create_task(reports.pdf(principal, image))
    await pause.until_entered()
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    pause.go_on.set()
    assert (await reports.pdf(principal, image)).startswith(b"%PDF")
    assert reports.waiting == 0
    await reports.close()


def test_a_budget_ends_with_its_time_or_with_who_waits() -> None:
    budget = Budget(60)
    budget.check()
    budget.stop()
    with pytest.raises(DeadlineExceeded):
        budget.check()
    with pytest.raises(DeadlineExceeded):
        Budget(-1).check()
