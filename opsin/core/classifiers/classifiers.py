"""Classifiers of collections: trained, compared, kept, listed."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.access import Principal
from opsin.core.classifiers.bake_off import Candidate, Standing
from opsin.core.classifiers.document import (
    ClassifierDocument,
    digest_of,
    read_document,
)
from opsin.core.classifiers.training import TrainingReport, train
from opsin.core.collections.collections import (
    emit,
    find_own_collection,
    inputs_of,
    lock_collection,
    note,
)
from opsin.core.collections.member_vectors import read_members
from opsin.core.errors import Conflict, NotFound, StorageError
from opsin.core.records import Collection, StoredClassifier, columns_of, from_values, to_record
from opsin.core.roles import Permission
from opsin.storage.database import Database, Transaction
from opsin.storage.ids import new_id
from opsin.storage.tables import classifiers


class Classifiers:
    """Trains off the event loop; a new ranking is stored whole or not at all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def train(self, principal: Principal, key: str) -> TrainingReport:
        """Train on the collection's members and rank the new classifier among the kept ones.

        Raises Conflict, saying why, when the members do not suffice, OperationUnavailable without
        scikit-learn.
        """
        async with self._database.read() as connection:
            collection = await find_own_collection(connection, principal, key)
            if collection is None:
                raise NotFound("Collection not found")
            principal.require(Permission.ADMIN)
            members = await read_members(connection, collection.id)
            kept, damaged = await _candidates(connection, collection.id)
        report, text = await asyncio.to_thread(train, collection, members, kept)
        async with self._database.write() as transaction:
            locked = await lock_collection(transaction.connection, principal, key)
            ids = await _ids(transaction.connection, locked.id)
            if locked.id != collection.id or ids != {one.id for one in kept} | damaged:
                raise Conflict("Another training of this collection ended meanwhile; train again")
            await _store(transaction, report, text, kept)
            digest = report.new.candidate.digest
            note(transaction, principal, "classifier.train", locked, digest=digest)
        return report

    async def keep(
        self, principal: Principal, key: str, document: ClassifierDocument
    ) -> StoredClassifier:
        """Add a classifier that was trained elsewhere; the best one if there is none yet.

        Raises Conflict when it is made for other inputs than the collection's.
        """
        text = document.as_text()
        async with self._database.write() as transaction:
            connection = transaction.connection
            collection = await lock_collection(connection, principal, key)
            principal.require(Permission.ADMIN)
            if inputs_of(collection) != document.inputs:
                raise Conflict("The classifier is made for other inputs than this collection's")
            rows = await connection.execute(
                select(*columns_of(classifiers, StoredClassifier)).where(
                    classifiers.c.collection_id == collection.id
                )
            )
            there = [to_record(StoredClassifier, row) for row in rows]
            digest = digest_of(text)
            for one in there:
                if one.digest == digest:
                    return one
            values = _values(collection, new_id(), digest, text, datetime.now(UTC)) | {
                "is_best": not any(one.is_best for one in there)
            }
            await connection.execute(insert(classifiers).values(values))
            emit(transaction, "classifier.added", collection, digest=digest)
            note(transaction, principal, "classifier.keep", collection, digest=digest)
        return from_values(StoredClassifier, values)

    async def of(self, principal: Principal, key: str) -> list[StoredClassifier]:
        """The collection's classifiers, newest first."""
        c = classifiers.c
        async with self._database.read() as connection:
            collection = await find_own_collection(connection, principal, key)
            if collection is None:
                raise NotFound("Collection not found")
            statement = (
                select(*columns_of(classifiers, StoredClassifier))
                .where(c.collection_id == collection.id)
                .order_by(c.id.desc())
            )
            return [to_record(StoredClassifier, row) for row in await connection.execute(statement)]


async def _candidates(
    connection: AsyncConnection, collection_id: str
) -> tuple[list[Candidate], set[str]]:
    """The stored classifiers that can be read, newest first, and the ids of the others."""
    c = classifiers.c
    statement = (
        select(c.id, c.digest, c.created_at, c.document)
        .where(c.collection_id == collection_id)
        .order_by(c.id.desc())
    )
    found: list[Candidate] = []
    damaged: set[str] = set()
    for identity, digest, created_at, text in await connection.execute(statement):
        try:
            document = await asyncio.to_thread(read_document, text, digest)
        except StorageError:
            damaged.add(identity)
        else:
            found.append(Candidate(identity, digest, created_at, document))
    return found, damaged


async def _ids(connection: AsyncConnection, collection_id: str) -> set[str]:
    statement = select(classifiers.c.id).where(classifiers.c.collection_id == collection_id)
    return set((await connection.execute(statement)).scalars())


async def _store(
    transaction: Transaction, report: TrainingReport, text: str, kept: Sequence[Candidate]
) -> None:
    """Write the new classifier and everybody's rank, and delete those that are not kept."""
    connection, new = transaction.connection, report.new.candidate
    values = _values(report.collection, new.id, new.digest, text, new.created_at)
    await connection.execute(insert(classifiers).values(values))
    staying = {one.candidate.id for one in report.standings if one.is_kept}
    gone = {one.id for one in kept} - staying
    if report.new.candidate.id not in staying:
        gone.add(new.id)
    await connection.execute(delete(classifiers).where(classifiers.c.id.in_(gone)))
    await connection.execute(
        update(classifiers)
        .where(classifiers.c.collection_id == report.collection.id)
        .values(is_best=False)
    )
    for one in report.standings:
        if not one.is_kept:
            continue
        changes: dict[str, Any] = {
            "score": one.score.precision if one.score else None,
            "metrics": _metrics(one),
            "is_best": one.rank == 1,
        }
        await connection.execute(
            update(classifiers).where(classifiers.c.id == one.candidate.id).values(changes)
        )
    emit(
        transaction,
        "classifier.trained",
        report.collection,
        digest=new.digest,
        best=report.best.candidate.digest,
    )


def _values(
    collection: Collection, identity: str, digest: str, text: str, created_at: datetime
) -> dict[str, Any]:
    return {
        "id": identity,
        "company_id": collection.company_id,
        "collection_id": collection.id,
        "digest": digest,
        "document": text,
        "score": None,
        "metrics": {},
        "is_best": False,
        "created_at": created_at,
    }


def _metrics(standing: Standing) -> dict[str, Any]:
    """What the last bake-off said of a classifier."""
    training = standing.candidate.document.training
    told: dict[str, Any] = {
        "rank": standing.rank,
        "note": standing.note,
        "library": training.library,
        "members": training.members,
        "trained": training.trained,
        "held_out": training.held_out,
    }
    if standing.score is not None:
        told |= {
            "precision": standing.score.precision,
            "accuracy": standing.score.accuracy,
            "rows": standing.score.rows,
        }
    return told
