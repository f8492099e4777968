"""Datasets: made and changed with what they are for, found by name, turned over page by page."""

from typing import Any

import pytest
from sqlalchemy import select

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.datasets import DatasetChanges, RetentionPolicy
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.pages import Order
from opsin.storage.tables import events
from tests.conftest import other_company


async def changes_told(parts: Parts, dataset_id: str) -> list[dict[str, Any]]:
    statement = (
        select(events.c.data)
        .where(events.c.dataset_id == dataset_id, events.c.kind == "dataset.updated")
        .order_by(events.c.sequence)
    )
    async with parts.use_cases.database.read() as connection:
        return list((await connection.execute(statement)).scalars())


async def test_made_with_all_that_it_may_say(parts: Parts, principal: Principal) -> None:
    datasets = parts.use_cases.datasets
    made = await datasets.create(
        principal,
        " x" + "y" * 511,
        "what it is",
        image_type="selfie",
        retention=RetentionPolicy(365, 1, True),
        branding=-5,
    )
    assert await datasets.get(principal, made.id) == made
    assert (len(made.name), made.image_type, made.branding) == (512, "selfie", -5)
    assert (made.expire_files_after_days, made.expire_results_after_days) == (365, 1)
    assert made.delete_files_when_ready
    plain = await datasets.create(principal, "plain")
    assert (plain.image_type, plain.branding, plain.delete_files_when_ready) == (None, None, False)
    assert (plain.expire_files_after_days, plain.expire_results_after_days) == (None, None)


@pytest.mark.parametrize(
    "given",
    [
        {"name": " "},
        {"name": "x" * 513},
        {"name": "a\x00b"},
        {"image_type": "portrait"},
        {"retention": RetentionPolicy(expire_files_after_days=0)},
        {"retention": RetentionPolicy(expire_files_after_days=-1)},
        {"retention": RetentionPolicy(expire_results_after_days=366)},
        {"retention": RetentionPolicy(expire_files_after_days=True)},
        {"branding": 2**31},
    ],
)
async def test_what_is_refused(parts: Parts, principal: Principal, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await parts.use_cases.datasets.create(principal, **{"name": "n", **given})
    assert await parts.use_cases.datasets.page(principal) == ([], 0)


async def test_only_what_is_named_changes_and_is_told_of(
    parts: Parts, principal: Principal
) -> None:
    datasets = parts.use_cases.datasets
    made = await datasets.create(
        principal, "before", "kept", image_type="skin", retention=RetentionPolicy(7, 8, True)
    )
    changed = await datasets.update(
        principal, made.id, DatasetChanges(name=" after ", expire_files_after_days=None, branding=3)
    )
    assert (changed.name, changed.description, changed.branding) == ("after", "kept", 3)
    assert (changed.expire_files_after_days, changed.expire_results_after_days) == (None, 8)
    assert (changed.image_type, changed.delete_files_when_ready) == ("skin", True)
    assert changed.updated_at > made.updated_at
    assert await datasets.get(principal, made.id) == changed
    assert await datasets.update(principal, made.id, DatasetChanges()) == changed
    assert await datasets.update(principal, made.id, DatasetChanges(name="after")) == changed
    assert await changes_told(parts, made.id) == [
        {"changed": ["name", "expire_files_after_days", "branding"]}
    ]


@pytest.mark.parametrize(
    "changes",
    [
        DatasetChanges(name="new", expire_files_after_days=0),
        DatasetChanges(name="new", expire_results_after_days=366),
        DatasetChanges(name="new", image_type="portrait"),
        DatasetChanges(name=""),
        DatasetChanges(name="new", branding=2**40),
        DatasetChanges(name="new", delete_files_when_ready=None),  # type: ignore[arg-type]  # wrong
    ],
)
async def test_a_change_that_is_refused_changes_nothing(
    parts: Parts, principal: Principal, changes: DatasetChanges
) -> None:
    made = await parts.use_cases.datasets.create(principal, "before")
    with pytest.raises(InvalidInput):
        await parts.use_cases.datasets.update(principal, made.id, changes)
    assert await parts.use_cases.datasets.get(principal, made.id) == made
    assert await changes_told(parts, made.id) == []


async def test_another_companys_is_not_there(parts: Parts, principal: Principal) -> None:
    made = await parts.use_cases.datasets.create(principal, "mine")
    stranger = await other_company(parts)
    for identity in (made.id, "no id"):
        with pytest.raises(NotFound):
            await parts.use_cases.datasets.update(stranger, identity, DatasetChanges(name="x"))
    assert await parts.use_cases.datasets.page(stranger) == ([], 0)


async def test_pages_and_parts_of_names(parts: Parts, principal: Principal) -> None:
    datasets = parts.use_cases.datasets
    for name in ("Öl", "beta", "alpha", "Beta 2", "50% off"):
        await datasets.create(principal, name)
    await datasets.create(await other_company(parts), "beta of theirs")

    async def names(**wanted: Any) -> tuple[list[str], int]:
        found, total = await datasets.page(principal, **wanted)
        return [one.name for one in found], total

    assert await names() == (["Öl", "beta", "alpha", "Beta 2", "50% off"], 5)
    assert await names(skip=1, limit=2) == (["beta", "alpha"], 5)
    assert await names(skip=9, limit=2) == ([], 5)
    assert await names(limit=0) == ([], 5)
    assert await names(text="BETA") == (["beta", "Beta 2"], 2)
    assert await names(text="%") == (["50% off"], 1)
    assert await names(order=Order(descending=True), limit=1) == (["50% off"], 5)
    ordered, _ = await names(order=Order("created_at", descending=True))
    assert ordered == ["50% off", "Beta 2", "alpha", "beta", "Öl"]
    by_name, _ = await names(text="eta", order=Order("name", descending=True))
    assert set(by_name) == {"beta", "Beta 2"}
    for wrong in ({"skip": -1}, {"limit": 1001}, {"limit": -1}, {"order": Order("description")}):
        with pytest.raises(InvalidInput):
            await names(**wrong)
