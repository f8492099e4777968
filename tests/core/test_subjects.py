"""Subjects: made, changed, blanked and listed, within their dataset."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import select

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.errors import InvalidInput, NotFound, TooLarge
from opsin.core.pages import Order
from opsin.core.records import Dataset
from opsin.core.subjects import MAX_SUBJECTS, NewSubject, SubjectChanges
from opsin.storage.tables import events
from tests.conftest import other_company
from tests.core.retention.subjects import subject_with_images

NO_SUCH_ID = "01890000-0000-7000-8000-000000000000"


@pytest.fixture
async def dataset(parts: Parts, principal: Principal) -> Dataset:
    return await parts.use_cases.datasets.create(principal, "people")


async def told(parts: Parts, subject_id: str) -> list[str]:
    statement = select(events.c.kind, events.c.data).order_by(events.c.sequence)
    async with parts.use_cases.database.read() as connection:
        rows = (await connection.execute(statement)).all()
    return [row.kind for row in rows if row.data.get("subject_id") == subject_id]


async def test_made_as_it_was_said(parts: Parts, principal: Principal, dataset: Dataset) -> None:
    subjects = parts.use_cases.subjects
    new = NewSubject(" Ada ", date(1815, 12, 10), "female", {"phototype": 2, "tags": ["a"]})
    made = await subjects.create(principal, dataset.id, new)
    assert await subjects.get(principal, dataset.id, made.id) == made
    assert (made.name, made.birth_date, made.sex) == ("Ada", date(1815, 12, 10), "female")
    assert made.attributes == {"phototype": 2, "tags": ["a"]}
    # Names are not unique.
    again = await subjects.create(principal, dataset.id, NewSubject("Ada"))
    assert (again.birth_date, again.sex, again.attributes) == (None, None, {})
    assert again.id != made.id
    assert await told(parts, made.id) == ["subject.created"]


@pytest.mark.parametrize(
    "given",
    [
        {"name": " "},
        {"name": "x" * 513},
        {"name": "\ud800"},
        {"sex": "f"},
        {"birth_date": datetime(1990, 1, 1, tzinfo=UTC)},
        {"birth_date": "1990-01-01"},
        {"attributes": ["no object"]},
        {"attributes": {"a": float("nan")}},
    ],
)
async def test_what_is_refused(
    parts: Parts, principal: Principal, dataset: Dataset, given: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput):
        await parts.use_cases.subjects.create(
            principal, dataset.id, NewSubject(**{"name": "n", **given})
        )
    assert await parts.use_cases.subjects.page(principal, dataset.id) == ([], 0)


async def test_changed_in_part_and_told_of(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    subjects = parts.use_cases.subjects
    made = await subjects.create(
        principal, dataset.id, NewSubject("Ada", date(1815, 12, 10), "female", {"a": 1})
    )
    changed = await subjects.update(
        principal, dataset.id, made.id, SubjectChanges(name="Ada L.", birth_date=None)
    )
    assert (changed.name, changed.birth_date, changed.sex) == ("Ada L.", None, "female")
    assert changed.attributes == {"a": 1}
    assert await subjects.get(principal, None, made.id) == changed
    assert await subjects.update(principal, None, made.id, SubjectChanges(sex="female")) == changed
    with pytest.raises(InvalidInput):
        await subjects.update(principal, None, made.id, SubjectChanges(name="x", sex="none"))
    assert await subjects.get(principal, None, made.id) == changed
    assert await told(parts, made.id) == ["subject.created", "subject.updated"]


async def test_blanked_the_rest_stays(parts: Parts, principal: Principal) -> None:
    subjects = parts.use_cases.subjects
    subject, images = await subject_with_images(parts, principal, count=1)
    await subjects.update(
        principal,
        None,
        subject.id,
        SubjectChanges(birth_date=date(1990, 1, 1), attributes={"a": 1}),
    )
    with pytest.raises(NotFound):
        await subjects.clear(principal, subject.dataset_id, [subject.id, NO_SUCH_ID])
    assert (await subjects.get(principal, None, subject.id)).attributes == {"a": 1}
    [cleared] = await subjects.clear(principal, subject.dataset_id, [subject.id, subject.id])
    assert (cleared.name, cleared.birth_date, cleared.sex, cleared.attributes) == (
        "", None, None, {},
    )  # fmt: skip
    assert await subjects.get(principal, None, subject.id) == cleared
    found, _ = await parts.use_cases.image_pages.page(principal, subject_id=subject.id)
    assert [image.id for image in found] == [images[0].id]


async def test_only_the_companys_own_and_only_of_its_dataset(
    parts: Parts, principal: Principal, dataset: Dataset
) -> None:
    subjects = parts.use_cases.subjects
    other = await parts.use_cases.datasets.create(principal, "others")
    stranger = await other_company(parts)
    made = await subjects.create(principal, dataset.id, NewSubject("Ada"))
    changes = SubjectChanges(name="x")
    for attempt in (
        subjects.create(stranger, dataset.id, NewSubject("x")),
        subjects.get(stranger, None, made.id),
        subjects.get(principal, other.id, made.id),
        subjects.get(principal, "no id", made.id),
        subjects.get(principal, None, "no id"),
        subjects.page(stranger, dataset.id),
        subjects.update(stranger, None, made.id, changes),
        subjects.update(principal, other.id, made.id, changes),
        subjects.delete(principal, other.id, [made.id]),
        subjects.delete(stranger, dataset.id, [made.id]),
        subjects.clear(stranger, dataset.id, [made.id]),
        subjects.clear(principal, other.id, [made.id]),
        subjects.delete_files(principal, other.id, [made.id]),
    ):
        with pytest.raises(NotFound):
            await attempt
    for call in (subjects.delete, subjects.clear, subjects.delete_files):
        with pytest.raises(TooLarge):
            await call(principal, dataset.id, [NO_SUCH_ID] * (MAX_SUBJECTS + 1))
    assert await subjects.find(stranger, None, made.id) is None
    assert await subjects.get(principal, dataset.id, made.id) == made
    assert await subjects.delete(principal, dataset.id, []) == []


async def test_pages(parts: Parts, principal: Principal, dataset: Dataset) -> None:
    subjects = parts.use_cases.subjects
    born = [date(1990, 1, 1), None, date(1980, 1, 1)]
    for name, day in zip(("Cleo", "ada", "Ben"), born, strict=True):
        await subjects.create(principal, dataset.id, NewSubject(name, day))

    async def names(**wanted: Any) -> tuple[list[str], int]:
        found, total = await subjects.page(principal, dataset.id, **wanted)
        return [one.name for one in found], total

    assert await names() == (["Cleo", "ada", "Ben"], 3)
    assert await names(skip=1, limit=1) == (["ada"], 3)
    assert await names(text="E") == (["Cleo", "Ben"], 2)
    assert await names(order=Order("birth_date")) == (["ada", "Ben", "Cleo"], 3)
    assert await names(order=Order("birth_date", descending=True)) == (["Cleo", "Ben", "ada"], 3)
    assert (await names(order=Order("created_at", descending=True)))[0] == ["Ben", "ada", "Cleo"]
    with pytest.raises(InvalidInput):
        await names(order=Order("attributes"))
    [first] = (await subjects.page(principal, dataset.id, limit=1))[0]
    await subjects.delete(principal, dataset.id, [first.id])
    assert await names() == (["ada", "Ben"], 2)
