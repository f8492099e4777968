"""Rows that no mutation makes: a subject, a batch, an artifact, and what models would find."""

from datetime import UTC, datetime

import numpy as np
from sqlalchemy import insert, update

from opsin.core.records import Analysis
from opsin.storage.database import Database
from opsin.storage.ids import new_id
from opsin.storage.tables import analyses, artifacts, batches, subjects
from opsin.storage.webhooks import webhook_deliveries
from tests.core.stored_vectors import Place, add_images, add_vectors


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


async def add_twin(database: Database, company_id: str, dataset_id: str, image_id: str) -> str:
    """Another image that has the same embedding and the same hashes as this one."""
    place = Place(company_id, dataset_id)
    (twin,) = await add_images(database, place, 1)
    both, vectors = [image_id, twin], np.ones((2, 4), np.float32)
    hashes = {"phash": "0" * 16, "dhash": "f" * 16}
    for operation in ("embed_dino_v2", "perceptual_hash"):
        await add_vectors(database, place, vectors, both, operation=operation)
    async with database.write() as transaction:
        await transaction.connection.execute(
            update(analyses)
            .where(analyses.c.operation == "perceptual_hash")
            .values(result=hashes, result_type="PerceptualHash")
        )
    return twin


async def add_delivery(database: Database, company_id: str, webhook_id: str) -> str:
    """An event that was given up."""
    values = _values(company_id)
    now = values["created_at"]
    more = {
        "webhook_id": webhook_id,
        "sequence": 1,
        "kind": "image.created",
        "status": "FAILED",
        "attempt_count": 1,
        "tries": 1,
        "due_since": now,
        "in_place": False,
        "attempts": [],
        "updated_at": now,
    }
    async with database.write() as transaction:
        await transaction.connection.execute(insert(webhook_deliveries).values(values | more))
    return str(values["id"])


def _values(company_id: str) -> dict[str, object]:
    return {"id": new_id(), "company_id": company_id, "created_at": datetime.now(UTC)}
