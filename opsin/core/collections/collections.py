"""Collections of labelled embeddings: made, found, deleted, and their members removed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core import audit
from opsin.core.access import Principal
from opsin.core.collections.inputs import CollectionInput, NewInput, check_inputs
from opsin.core.datasets import require_text
from opsin.core.errors import Conflict, InvalidInput, NotFound, TooLarge
from opsin.core.pages import Listing
from opsin.core.plugin_host import PluginHost
from opsin.core.records import (
    Collection,
    CollectionMember,
    StoredClassifier,
    columns_of,
    from_values,
    to_record,
)
from opsin.core.roles import Permission
from opsin.core.scope import within
from opsin.core.storable import is_storable_text
from opsin.storage.database import Database, Transaction
from opsin.storage.event_log import NewEvent
from opsin.storage.ids import canonical_id, new_id
from opsin.storage.tables import classifiers, collection_members, collections

LISTING = Listing(collections, Collection, parent="company_id")
MEMBERS = Listing(collection_members, CollectionMember, parent="collection_id")
CLASSIFIERS = Listing(classifiers, StoredClassifier, parent="collection_id")

_MOST_CHOSEN = 10_000
_INTEGER = re.compile(r"[+-]?[0-9]{1,255}")
_CLOCK_STEP = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class NewCollection:
    """What a collection is called, and how its members are embedded.

    With `open_targets`, an input without a target leaves it to whoever classifies a picture.
    """

    key: str
    inputs: Sequence[NewInput]
    name: str = ""
    description: str = ""
    open_targets: bool = False


@dataclass(frozen=True, slots=True)
class MemberChoice:
    """Which members are meant: those with any of these."""

    ids: Sequence[str] = ()
    labels: Sequence[str] = ()
    source_keys: Sequence[str] = ()


class Collections:
    """Every change of a collection that embeds nothing; each commits with its event."""

    def __init__(self, database: Database, host: PluginHost) -> None:
        self._database = database
        self._host = host

    async def create(self, principal: Principal, new: NewCollection) -> Collection:
        """A new, empty collection; Conflict when the company has one with this key."""
        principal.require(Permission.ADMIN)
        key = collection_key(new.key)
        inputs = check_inputs(self._host, new.inputs, open_target=new.open_targets)
        now = datetime.now(UTC)
        values = {
            "id": new_id(),
            "company_id": principal.company_id,
            "key": key,
            "name": require_text(new.name or key, "name", 255),
            "description": require_text(new.description, "description", 10_000, least=0),
            "inputs": [one.as_json() for one in inputs],
            "created_at": now,
            "updated_at": now,
        }
        made = from_values(Collection, values)
        try:
            async with self._database.write() as transaction:
                await transaction.connection.execute(insert(collections).values(values))
                emit(transaction, "collection.created", made)
                note(transaction, principal, "collection.create", made)
        except IntegrityError:
            if await self.find(principal, key) is None:
                raise
            raise Conflict(f"There is a collection with the key {key!r} already") from None
        return made

    async def find(self, principal: Principal, key: str) -> Collection | None:
        async with self._database.read() as connection:
            return await find_own_collection(connection, principal, key)

    async def get(self, principal: Principal, key: str) -> Collection:
        """The caller's collection with this key; NotFound also for another company's."""
        found = await self.find(principal, key)
        if found is None:
            raise NotFound("Collection not found")
        return found

    async def every(self, principal: Principal) -> list[Collection]:
        """All of the caller's collections, oldest first."""
        statement = (
            select(*columns_of(collections, Collection))
            .where(within(principal, collections))
            .order_by(collections.c.id)
        )
        async with self._database.read() as connection:
            return [to_record(Collection, row) for row in await connection.execute(statement)]

    async def remove(
        self, principal: Principal, key: str, choice: MemberChoice
    ) -> tuple[Collection, int]:
        """Remove the chosen members; gives how many there were."""
        condition = _chosen(choice)
        async with self._database.write() as transaction:
            collection = await lock_collection(transaction.connection, principal, key)
            principal.require(Permission.ADMIN)
            done = await transaction.connection.execute(
                delete(collection_members).where(
                    collection_members.c.collection_id == collection.id, condition
                )
            )
            if done.rowcount:
                collection = await touch(transaction, collection)
                count = done.rowcount
                emit(transaction, "collection.members_removed", collection, count=count)
                note(transaction, principal, "collection.remove_members", collection, count=count)
        return collection, done.rowcount

    async def delete(self, principal: Principal, key: str) -> str:
        """Delete a collection with its members and classifiers; gives its id."""
        async with self._database.write() as transaction:
            collection = await lock_collection(transaction.connection, principal, key)
            principal.require(Permission.ADMIN)
            note(transaction, principal, "collection.delete", collection)
            await transaction.connection.execute(
                delete(collections).where(collections.c.id == collection.id)
            )
            emit(transaction, "collection.deleted", collection)
        return collection.id


def plain_key(text: str) -> str | None:
    """The key as it is stored; None for a text under which nothing can be stored."""
    try:
        return collection_key(text)
    except InvalidInput:
        return None


async def read_label_counts(
    connection: AsyncConnection, principal: Principal, collection_ids: Sequence[str]
) -> dict[str, dict[str, int]]:
    """How many members each label has, by the collection's id."""
    c = collection_members.c
    statement = (
        select(c.collection_id, c.label, func.count())
        .where(within(principal, collection_members), c.collection_id.in_(collection_ids))
        .group_by(c.collection_id, c.label)
        .order_by(c.collection_id, c.label)
    )
    counts: dict[str, dict[str, int]] = {identity: {} for identity in collection_ids}
    for identity, label, count in await connection.execute(statement):
        counts[identity][label] = count
    return counts


def collection_key(text: str) -> str:
    """The key as it is stored: without blanks around it, an integer in its one plain form."""
    key = text.strip()
    if not 1 <= len(key) <= 255 or not is_storable_text(key):
        raise InvalidInput("A collection's key has 1 to 255 characters")
    return str(int(key)) if _INTEGER.fullmatch(key) else key


async def find_collection(
    connection: AsyncConnection, company_id: str, key: str, *, lock: bool = False
) -> Collection | None:
    """The company's collection with this key, however it is written."""
    plain = plain_key(key)
    if plain is None:
        return None
    statement = select(*columns_of(collections, Collection)).where(
        collections.c.company_id == company_id, collections.c.key == plain
    )
    row = (await connection.execute(statement.with_for_update() if lock else statement)).first()
    return None if row is None else to_record(Collection, row)


async def find_own_collection(
    connection: AsyncConnection, principal: Principal, key: str, *, lock: bool = False
) -> Collection | None:
    """The collection with this key, for a caller who reads the whole company; None for others."""
    if not principal.may(Permission.READ):
        return None
    return await find_collection(connection, principal.company_id, key, lock=lock)


async def lock_collection(
    connection: AsyncConnection, principal: Principal, key: str
) -> Collection:
    """The caller's collection, held until the transaction ends."""
    found = await find_own_collection(connection, principal, key, lock=True)
    if found is None:
        raise NotFound("Collection not found")
    return found


async def touch(transaction: Transaction, locked: Collection) -> Collection:
    """Note that the members have changed.

    The time always moves on, whatever the clock says: it tells what was read before from what
    must be read again.
    """
    now = max(datetime.now(UTC), locked.updated_at + _CLOCK_STEP)
    await transaction.connection.execute(
        update(collections).where(collections.c.id == locked.id).values(updated_at=now)
    )
    return replace(locked, updated_at=now)


def emit(transaction: Transaction, kind: str, collection: Collection, **data: Any) -> None:
    """Tell of a change of the collection."""
    told = {"collection_id": collection.id, "key": collection.key, **data}
    transaction.emit(NewEvent(kind, collection.company_id, data=told))


def note(
    transaction: Transaction,
    principal: Principal,
    action: str,
    collection: Collection,
    **details: Any,
) -> None:
    """Note who did what to the collection."""
    subject = ("collection", collection.id)
    audit.note(transaction, principal, action, subject, key=collection.key, **details)


def inputs_of(collection: Collection) -> tuple[CollectionInput, ...]:
    """The embeddings that the collection's members are made of."""
    return stored_inputs(collection.inputs)


def stored_inputs(inputs: Sequence[dict[str, Any]]) -> tuple[CollectionInput, ...]:
    """The same, of the column."""
    return tuple(CollectionInput.model_validate(one) for one in inputs)


def _chosen(choice: MemberChoice) -> ColumnElement[bool]:
    c = collection_members.c
    ids = [identity for given in choice.ids if (identity := canonical_id(given))]
    texts = [*choice.labels, *choice.source_keys]
    if len(texts) + len(choice.ids) > _MOST_CHOSEN:
        raise TooLarge(f"At most {_MOST_CHOSEN} ids, labels and source keys may be given at once")
    if not texts and not choice.ids:
        raise InvalidInput("Give ids, labels or source keys")
    if not all(is_storable_text(text) for text in texts):
        raise InvalidInput("NULs and lone surrogates are in no label and no source key")
    return or_(c.id.in_(ids), c.label.in_(choice.labels), c.source_key.in_(choice.source_keys))
