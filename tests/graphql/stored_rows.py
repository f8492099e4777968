"""Rows that no mutation makes yet: a subject, a batch and an artifact."""

from datetime import UTC, datetime

from sqlalchemy import insert

from opsin.core.records import Analysis
from opsin.storage.database import Database
from opsin.storage.ids import new_id
from opsin.storage.tables import artifacts, batches, subjects


async def add_subject(database: Database, company_id: str, dataset_id: str) -> str:
    values = _values(company_id) | {"dataset_id": dataset_id, "name": "somebody", "attributes": {}}
    async with database.write() as transaction:
        await transaction.connection.execute(insert(subjects).values(values))
    return str(values["id"])


async def add_batch(database: Database, company_id: str, dataset_id: str) -> str:
    values = _values(company_id) | {"dataset_id": dataset_id, "name": "a day"}
    async with database.write() as transaction:
        await transaction.connection.execute(insert(batches).values(values))
    return str(values["id"])


async def add_artifact(database: Database, analysis: Analysis) -> str:
    values = _values(analysis.company_id) | {
        "analysis_id": analysis.id,
        "name": "mask.png",
        "content_type": "image/png",
        "storage_path": "masks/1.png",
    }
    async with database.write() as transaction:
        await transaction.connection.execute(insert(artifacts).values(values))
    return str(values["id"])


def _values(company_id: str) -> dict[str, object]:
    return {"id": new_id(), "company_id": company_id, "created_at": datetime.now(UTC)}
