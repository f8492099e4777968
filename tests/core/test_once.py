"""What happens once: the claim and the change are committed together, or neither is."""

import asyncio
import io
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.analyses import NewExternalAnalysis
from opsin.core.errors import InvalidInput
from opsin.core.images import NewImage
from opsin.core.once import Once, Repeated, keep_claims, require_first
from opsin.core.records import Image
from opsin.storage.tables import annotations as table
from tests.pictures import solid_png

ONCE = Once("0" * 64, timedelta(days=1))
FINDING = {"annotation_type": "mark", "data": {}}


@pytest.fixture
async def image(parts: Parts, principal: Principal) -> Image:
    dataset = await parts.use_cases.datasets.create(principal, "once")
    new = NewImage(dataset.id, "a.png")
    return await parts.use_cases.images.add(principal, new, io.BytesIO(solid_png()))


async def told(parts: Parts, principal: Principal, image: Image, once: Once | None) -> str:
    new = NewExternalAnalysis(image.id, "model", "1")
    return (await parts.use_cases.analyses.tell(principal, new, most=10, once=once)).id


async def test_a_change_that_fails_leaves_no_claim(parts: Parts) -> None:
    database = parts.use_cases.database
    with pytest.raises(ZeroDivisionError):
        async with database.write() as transaction:
            await keep_claims(transaction, [(ONCE, "first")])
            raise ZeroDivisionError
    async with database.write() as transaction:
        await require_first(transaction, ONCE)
        await keep_claims(transaction, [(ONCE, "second")])
    with pytest.raises(Repeated) as repeated:
        async with database.write() as transaction:
            await require_first(transaction, ONCE)
    assert repeated.value.told == "second"


async def test_findings_of_many_at_once(parts: Parts, principal: Principal, image: Image) -> None:
    identity = await told(parts, principal, image, None)
    annotations = parts.use_cases.annotations

    async def append() -> str:
        try:
            await annotations.append(principal, identity, [FINDING] * 3, once=ONCE)
        except Repeated:
            return "was told"
        return "acted"

    outcomes = await asyncio.gather(*(append() for _ in range(8)))
    assert sorted(outcomes) == ["acted"] + ["was told"] * 7
    async with parts.use_cases.database.read() as connection:
        count = select(func.count()).select_from(table)
        assert (await connection.execute(count)).scalar_one() == 3


async def test_refused_findings_may_come_again(
    parts: Parts, principal: Principal, image: Image
) -> None:
    identity = await told(parts, principal, image, None)
    annotations = parts.use_cases.annotations
    with pytest.raises(InvalidInput):
        await annotations.append(principal, identity, [FINDING, {"data": {}}], once=ONCE)
    _, rows = await annotations.append(principal, identity, [FINDING], once=ONCE)
    assert len(rows) == 1


async def test_an_analysis_is_known_until_its_claim_is_swept(
    parts: Parts, principal: Principal, image: Image
) -> None:
    made = await told(parts, principal, image, ONCE)
    with pytest.raises(Repeated) as repeated:
        await told(parts, principal, image, ONCE)
    assert repeated.value.told == made
    sweep = parts.use_cases.signed_answers.sweep
    assert await sweep(datetime.now(UTC) + timedelta(hours=23)) == 0
    assert await sweep(datetime.now(UTC) + timedelta(hours=25)) == 1
    assert await told(parts, principal, image, ONCE) != made
