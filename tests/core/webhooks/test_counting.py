"""How many deliveries wait and were given up, counted without looking at those that arrived."""

from datetime import UTC, datetime

from sqlalchemy import insert, text

from opsin.core.backlog import _DELIVERIES, backlog
from opsin.core.webhooks.records import DeliveryStatus
from opsin.storage.ids import new_ids
from opsin.storage.webhooks import webhook_deliveries
from tests.core.webhooks.conftest import Office

COUNTS = {DeliveryStatus.PENDING: 3, DeliveryStatus.FAILED: 5, DeliveryStatus.DELIVERED: 40}


async def test_each_from_an_index_of_its_own(office: Office) -> None:
    webhook, _ = await office.hook()
    database, now = office.parts.use_cases.database, datetime.now(UTC)
    statuses = [status for status, count in COUNTS.items() for _ in range(count)]
    rows: list[dict[str, object]] = [
        {
            "id": identity,
            "company_id": office.principal.company_id,
            "webhook_id": webhook.id,
            "sequence": sequence,
            "kind": "analysis.completed",
            "status": status.value,
            "attempt_count": 1,
            "tries": 1,
            "due_since": now,
            "in_place": False,
            "attempts": [],
            "created_at": now,
            "updated_at": now,
        }
        for sequence, (identity, status) in enumerate(
            zip(new_ids(len(statuses)), statuses, strict=True)
        )
    ]
    async with database.write() as transaction:
        connection = transaction.connection
        await connection.execute(insert(webhook_deliveries), rows)
        if not database.is_sqlite:  # a small table would be read whole, whatever its indexes
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
        statement = _DELIVERIES.compile(dialect=connection.dialect)
        found = await connection.exec_driver_sql(f"{explain} {statement}")
        plan = "\n".join(str(row[-1]) for row in found)
    assert "ix_webhook_deliveries_failed" in plan
    assert "ix_webhook_deliveries_due" in plan or "ix_webhook_deliveries_held" in plan
    counted = await backlog(database)
    assert (counted.deliveries_pending, counted.deliveries_failed) == (3, 5)
