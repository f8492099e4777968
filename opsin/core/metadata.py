"""Metadata: named JSON values that callers keep with a dataset or with an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.datasets import require_dataset, require_text
from opsin.core.errors import InvalidInput, NotFound
from opsin.core.images import require_image
from opsin.core.records import Dataset, Image, columns_of, to_record
from opsin.core.roles import Permission
from opsin.core.scope import within
from opsin.core.storable import check_json, is_storable_text
from opsin.storage.curation import dataset_metadata
from opsin.storage.database import Database
from opsin.storage.ids import new_id
from opsin.storage.tables import datasets, images

MAX_KEYS = 1000
"""Of one dataset, or of one image."""


@dataclass(frozen=True, slots=True)
class MetadataEntry:
    id: str
    company_id: str
    dataset_id: str
    key: str
    value: Any
    created_at: datetime
    updated_at: datetime | None


class Metadata:
    """Sets, reads and removes named values."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def entries(self, principal: Principal, dataset_id: str) -> Sequence[MetadataEntry]:
        """Everything kept with a dataset, by key."""
        async with self._database.read() as connection:
            dataset = await require_dataset(connection, principal, dataset_id)
            return await _entries(connection, dataset)

    async def entry(self, principal: Principal, dataset_id: str, key: str) -> MetadataEntry:
        for entry in await self.entries(principal, dataset_id):
            if entry.key == key:
                return entry
        raise NotFound("Metadata not found")

    async def set_many(
        self, principal: Principal, dataset_id: str, values: dict[str, Any]
    ) -> Sequence[MetadataEntry]:
        """Set these keys of a dataset, all or none; others stay.  Gives all there are then."""
        checked = {_key(key): value for key, value in values.items()}
        check_json(checked, "metadata")
        now = datetime.now(UTC)
        async with self._database.write() as transaction:
            connection = transaction.connection
            dataset = await require_dataset(connection, principal, dataset_id)
            principal.require(Permission.ADMIN, dataset.id)
            # Two who set the same key must come one after the other.
            hold = select(datasets.c.id).where(datasets.c.id == dataset.id)
            await connection.execute(hold.with_for_update(key_share=True))
            there = {entry.key for entry in await _entries(connection, dataset)}
            if len(there | checked.keys()) > MAX_KEYS:
                raise InvalidInput(f"There may be at most {MAX_KEYS} keys")
            for key, value in checked.items():
                if key in there:
                    statement: Any = (
                        update(dataset_metadata)
                        .where(
                            dataset_metadata.c.dataset_id == dataset.id,
                            dataset_metadata.c.key == key,
                        )
                        .values(value=value, updated_at=now)
                    )
                else:
                    statement = insert(dataset_metadata).values(
                        id=new_id(),
                        company_id=dataset.company_id,
                        dataset_id=dataset.id,
                        key=key,
                        value=value,
                        created_at=now,
                    )
                await connection.execute(statement)
            audit.note(
                transaction, principal, "metadata.set", ("dataset", dataset.id),
                dataset_id=dataset.id, keys=sorted(checked),
            )  # fmt: skip
            return await _entries(connection, dataset)

    async def remove(self, principal: Principal, dataset_id: str, key: str) -> None:
        await self.remove_many(principal, dataset_id, [key])

    async def remove_many(
        self, principal: Principal, dataset_id: str, keys: Sequence[str]
    ) -> Dataset:
        """Remove these keys of a dataset, all or none; NotFound when one is not there."""
        wanted = _storable(keys)
        async with self._database.write() as transaction:
            connection = transaction.connection
            dataset = await require_dataset(connection, principal, dataset_id)
            principal.require(Permission.ADMIN, dataset.id)
            removed = await connection.execute(
                delete(dataset_metadata).where(
                    dataset_metadata.c.dataset_id == dataset.id,
                    dataset_metadata.c.key.in_(wanted),
                )
            )
            if removed.rowcount < len(wanted):
                raise NotFound("Metadata not found")
            audit.note(
                transaction, principal, "metadata.remove", ("dataset", dataset.id),
                dataset_id=dataset.id, keys=sorted(wanted),
            )  # fmt: skip
        return dataset

    async def set_of_image(
        self, principal: Principal, image_id: str, key: str, value: Any
    ) -> Image:
        """Set one key of an image; the others stay."""
        return await self.set_many_of_image(principal, image_id, {key: value})

    async def set_many_of_image(
        self, principal: Principal, image_id: str, values: dict[str, Any]
    ) -> Image:
        """Set these keys of an image; the others stay."""
        checked = {_key(key): value for key, value in values.items()}
        check_json(checked, "metadata")
        async with self._database.write() as transaction:
            image = await _held(transaction.connection, principal, image_id)
            principal.require(Permission.ANNOTATE, image.dataset_id)
            changed = image.metadata | checked
            if len(changed) > MAX_KEYS:
                raise InvalidInput(f"There may be at most {MAX_KEYS} keys")
            audit.note(
                transaction, principal, "metadata.set", ("image", image.id),
                dataset_id=image.dataset_id, keys=sorted(checked),
            )  # fmt: skip
            return await _store(transaction.connection, image, changed)

    async def remove_of_image(self, principal: Principal, image_id: str, key: str) -> Image:
        return await self.remove_many_of_image(principal, image_id, [key])

    async def remove_many_of_image(
        self, principal: Principal, image_id: str, keys: Sequence[str]
    ) -> Image:
        """Remove these keys of an image, all or none; NotFound when one is not there."""
        async with self._database.write() as transaction:
            image = await _held(transaction.connection, principal, image_id)
            principal.require(Permission.ANNOTATE, image.dataset_id)
            if not image.metadata.keys() >= set(keys):
                raise NotFound("Metadata key not found")
            left = {name: value for name, value in image.metadata.items() if name not in keys}
            audit.note(
                transaction, principal, "metadata.remove", ("image", image.id),
                dataset_id=image.dataset_id, keys=sorted(set(keys)),
            )  # fmt: skip
            return await _store(transaction.connection, image, left)


async def read_metadata(
    connection: AsyncConnection, principal: Principal, dataset_ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """What is kept with each of the caller's datasets, by key, in the order of the keys."""
    table = dataset_metadata
    statement = select(table.c.dataset_id, table.c.key, table.c.value).where(
        table.c.dataset_id.in_(dataset_ids), within(principal, table)
    )
    found: dict[str, dict[str, Any]] = {identity: {} for identity in dataset_ids}
    # Sorted here: a database has an order of letters of its own.
    rows = sorted((await connection.execute(statement)).all(), key=lambda row: row.key)
    for row in rows:
        found[row.dataset_id][row.key] = row.value
    return found


async def _entries(connection: AsyncConnection, dataset: Dataset) -> list[MetadataEntry]:
    statement = (
        select(*columns_of(dataset_metadata, MetadataEntry))
        .where(dataset_metadata.c.dataset_id == dataset.id)
        .order_by(dataset_metadata.c.key)
    )
    return [to_record(MetadataEntry, row) for row in await connection.execute(statement)]


async def _held(connection: AsyncConnection, principal: Principal, image_id: str) -> Image:
    """The image, read under a lock, so that no other key is lost."""
    return await require_image(connection, principal, image_id, hold=True)


async def _store(connection: AsyncConnection, image: Image, metadata: dict[str, Any]) -> Image:
    statement = (
        update(images)
        .where(images.c.id == image.id)
        .values(metadata=metadata, updated_at=datetime.now(UTC))
        .returning(*columns_of(images, Image))
    )
    return to_record(Image, (await connection.execute(statement)).one())


def _storable(keys: Sequence[str]) -> set[str]:
    """The keys without repetition; NotFound for one that no database could look for."""
    if not all(is_storable_text(key) for key in keys):
        raise NotFound("Metadata not found")
    return set(keys)


def _key(key: str) -> str:
    return require_text(key, "key", 255)
