"""Embeddings put straight into a database: companies, datasets, images, analyses and vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import insert

from opsin.core.similarity.embeddings import NewEmbedding, space_of
from opsin.storage.database import Database
from opsin.storage.event_log import NewEvent
from opsin.storage.ids import new_id, new_ids
from opsin.storage.tables import analyses, companies, datasets, images
from opsin.storage.vectors import insert_embeddings

Floats = npt.NDArray[np.float32]
OPERATION, VERSION, FINGERPRINT = "embed", "1", "f" * 64
SPACE = space_of(OPERATION, VERSION, FINGERPRINT)
TARGET = "whole_image"
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """A dataset of a company."""

    company_id: str
    dataset_id: str


async def new_place(database: Database, company_id: str | None = None) -> Place:
    """A new dataset, of a new company unless one is given."""
    now = datetime.now(UTC)
    place = Place(company_id or new_id(), new_id())
    async with database.write() as transaction:
        if company_id is None:
            values = {"id": place.company_id, "name": place.company_id, "created_at": now}
            await transaction.connection.execute(insert(companies).values(values))
        values = {"id": place.dataset_id, "company_id": place.company_id, "name": "pictures"}
        await transaction.connection.execute(
            insert(datasets).values(values | {"created_at": now, "updated_at": now})
        )
    return place


def event_of(place: Place, kind: str) -> NewEvent:
    """One as every change of what is stored comes with."""
    return NewEvent(kind, place.company_id, dataset_id=place.dataset_id)


async def add_images(database: Database, place: Place, count: int) -> list[str]:
    """Rows of images without files."""
    now = datetime.now(UTC)
    ids = new_ids(count)
    shared = {
        "company_id": place.company_id,
        "dataset_id": place.dataset_id,
        "filename": "a.png",
        "content_type": "image/png",
        "sha256": "0" * 64,
        "size_bytes": 1,
        "width": 1,
        "height": 1,
        "created_at": now,
    }
    for start in range(0, count, _AT_ONCE):
        rows = [shared | {"id": identity} for identity in ids[start : start + _AT_ONCE]]
        async with database.write() as transaction:
            await transaction.connection.execute(insert(images), rows)
    return ids


async def add_vectors(
    database: Database,
    place: Place,
    vectors: Floats,
    image_ids: Sequence[str] | None = None,
    *,
    operation: str = OPERATION,
    fingerprint: str = FINGERPRINT,
    target: str = TARGET,
) -> list[str]:
    """Completed analyses with these vectors, of new images unless they are given; the images."""
    if image_ids is None:
        image_ids = await add_images(database, place, len(vectors))
    now = datetime.now(UTC)
    shared: dict[str, Any] = {
        "company_id": place.company_id,
        "dataset_id": place.dataset_id,
        "operation": operation,
        "created_at": now,
    }
    analysis = {
        "operation_version": VERSION,
        "model_name": operation,
        "model_version": VERSION,
        "parameters": {"target": target},
        "status": "COMPLETED",
        "available_at": now,
        "updated_at": now,
    }
    pairs = list(zip(new_ids(len(vectors)), image_ids, vectors, strict=True))
    for start in range(0, len(pairs), _AT_ONCE):
        made, stored = [], []
        for identity, image_id, vector in pairs[start : start + _AT_ONCE]:
            new = NewEmbedding(operation, VERSION, target, fingerprint, vector.tobytes())
            made.append(shared | analysis | {"id": identity, "image_id": image_id})
            stored.append(
                shared
                | {
                    "analysis_id": identity,
                    "image_id": image_id,
                    "space": new.space,
                    "target": target,
                    "model_fingerprint": fingerprint,
                    "dimensions": new.dimensions,
                    "vector": new.vector,
                }
            )
        async with database.write() as transaction:
            await transaction.connection.execute(insert(analyses), made)
            await insert_embeddings(transaction.connection, stored)
            transaction.emit(event_of(place, "image.created"))
    return list(image_ids)
