"""Many rows at once: as single ones would be, within the transaction, on both databases."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from opsin.storage.bulk import as_sent, insert_rows
from opsin.storage.database import Database
from opsin.storage.ids import new_id, new_ids
from opsin.storage.tables import companies, datasets

MOMENT = datetime(2026, 1, 31, 13, 5, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
NAMES = ("id", "company_id", "name", "description", "created_at", "updated_at")


@pytest.fixture
async def database(any_database_url: str) -> Any:
    made = Database(any_database_url)
    yield made
    await made.close()


async def company(database: Database) -> str:
    made = new_id()
    async with database.write() as transaction:
        await transaction.connection.execute(
            insert(companies).values(id=made, name="c", created_at=MOMENT)
        )
    return made


async def count(database: Database) -> int:
    async with database.read() as connection:
        found = await connection.execute(select(func.count()).select_from(datasets))
        return int(found.scalar_one())


async def test_rows_come_back_as_single_ones_do(database: Database) -> None:
    owner = await company(database)
    ids = new_ids(3000)
    texts = ["", "a", "Käfer \U0001f41e", "tab\tand\nline", "back\\slash", "\\N", "\\.", "'\""]
    async with database.write() as transaction:
        now = as_sent(transaction.connection, datasets.c.created_at, MOMENT)
        rows = [(one, owner, f"{n}", texts[n % len(texts)], now, now) for n, one in enumerate(ids)]
        await insert_rows(transaction.connection, datasets, NAMES, rows)
        await insert_rows(transaction.connection, datasets, NAMES, [])
    async with database.read() as connection:
        found = (await connection.execute(select(datasets).order_by(datasets.c.id))).all()
    assert [row.id for row in found] == ids
    assert [row.description for row in found] == [texts[n % len(texts)] for n in range(3000)]
    assert {row.created_at for row in found} == {MOMENT.astimezone(UTC)}


@pytest.mark.parametrize("many", [1, 2000])
async def test_one_row_that_does_not_fit_refuses_all(database: Database, many: int) -> None:
    owner = await company(database)
    with pytest.raises(IntegrityError):
        async with database.write() as transaction:
            now = as_sent(transaction.connection, datasets.c.created_at, MOMENT)
            rows = [(one, owner, "d", "", now, now) for one in new_ids(many)]
            rows.append((new_id(), new_id(), "of nobody", "", now, now))
            await insert_rows(transaction.connection, datasets, NAMES, rows)
    assert await count(database) == 0


async def test_a_transaction_that_fails_later_takes_the_rows_with_it(database: Database) -> None:
    owner = await company(database)
    with pytest.raises(RuntimeError):
        async with database.write() as transaction:
            now = as_sent(transaction.connection, datasets.c.created_at, MOMENT)
            rows = [(one, owner, "d", "", now, now) for one in new_ids(100)]
            await insert_rows(transaction.connection, datasets, NAMES, rows)
            raise RuntimeError("later")
    assert await count(database) == 0
