"""Members taken into collections, from vectors or from our own images."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from opsin.core.access import Principal
from opsin.core.collections.collections import (
    emit,
    find_own_collection,
    inputs_of,
    lock_collection,
    note,
    touch,
)
from opsin.core.collections.member_rows import (
    MemberRow,
    delete_others,
    insert_rows,
    kept_images,
    known_models,
    members_already,
)
from opsin.core.collections.member_vectors import GivenVector, join_vectors
from opsin.core.datasets import require_text
from opsin.core.errors import Conflict, InvalidInput, NotFound, OpsinError, TooLarge
from opsin.core.records import Collection
from opsin.core.roles import Permission
from opsin.core.similarity.image_vectors import Answer, ImageVectors
from opsin.core.storable import check_json
from opsin.storage.database import Database, Transaction
from opsin.storage.ids import canonical_id

MOST_VECTORS = 1_000
MOST_IMAGES = 1_000


@dataclass(frozen=True, slots=True)
class NewMember:
    """A labelled embedding: one vector for each input of the collection, in its order.

    `source_key` is the member's name where it came from, such as a photo's id.
    """

    label: str
    vectors: Sequence[GivenVector]
    source_key: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImageMembers:
    """Images of the caller's that belong to one label."""

    image_ids: Sequence[str]
    label: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An image that did not become a member, and why."""

    image_id: str
    error: OpsinError


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The collection as it is now, how many members it has gained, and the images left out."""

    collection: Collection
    added: int
    left_out: Sequence[LeftOut] = ()


class Enrolment:
    """Adds members; all of a collection are embedded by the same models."""

    def __init__(self, database: Database, vectors: ImageVectors) -> None:
        self._database = database
        self._vectors = vectors

    async def add_vectors(
        self,
        principal: Principal,
        key: str,
        members: Sequence[NewMember],
        fingerprints: Sequence[str],
    ) -> Enrolled:
        """Add embeddings made elsewhere, all or none.

        `fingerprints` names the model of each input.  Raises InvalidInput for anything that is
        not a finite, non-zero vector, Conflict for other models or another length than those of
        the members there are.
        """
        if not 1 <= len(members) <= MOST_VECTORS:
            raise TooLarge(f"1 to {MOST_VECTORS} vectors may be added at once")
        rows = await self._rows(principal, key, members, fingerprints)
        async with self._database.write() as transaction:
            collection = await lock_collection(transaction.connection, principal, key)
            principal.require(Permission.ADMIN)
            note(transaction, principal, "collection.add_members", collection, count=len(rows))
            return await _add(transaction, collection, rows)

    async def replace(
        self,
        principal: Principal,
        key: str,
        members: Sequence[NewMember],
        fingerprints: Sequence[str],
    ) -> Enrolled:
        """Make these, and no others, the collection's members; those there already stay.

        Raises as `add_vectors`, with nothing changed.
        """
        rows = await self._rows(principal, key, members, fingerprints)
        async with self._database.write() as transaction:
            collection = await lock_collection(transaction.connection, principal, key)
            principal.require(Permission.ADMIN)
            removed, new = await delete_others(transaction.connection, collection.id, rows)
            note(
                transaction, principal, "collection.replace_members", collection,
                added=len(new), removed=removed,
            )  # fmt: skip
            if removed:
                collection = await touch(transaction, collection)
                emit(transaction, "collection.members_removed", collection, count=removed)
            return await _add(transaction, collection, new)

    async def add_images(self, principal: Principal, key: str, new: ImageMembers) -> Enrolled:
        """Embed images as the collection's inputs say, and add those that can be.

        One without a face where a face is needed, or already a member with this label, is left
        out.  Raises Conflict as `add_vectors`.
        """
        ids = list(dict.fromkeys(canonical_id(given) or given for given in new.image_ids))
        if not 1 <= len(ids) <= MOST_IMAGES:
            raise TooLarge(f"1 to {MOST_IMAGES} images may be added at once")
        label, attributes = require_text(new.label, "label", 255), _checked(new.attributes)
        async with self._database.read() as connection:
            collection = await find_own_collection(connection, principal, key)
            if collection is None:
                raise NotFound("Collection not found")
            fingerprints, _ = await known_models(connection, collection.id)
            already = await members_already(connection, collection.id, label, ids)
        principal.require(Permission.ADMIN)
        asked = [image_id for image_id in ids if image_id not in already]
        answers = await self._vectors.of(principal, asked, inputs_of(collection), fingerprints)
        left_out: dict[str, OpsinError] = {image_id: _is_member() for image_id in already}
        rows: dict[str, MemberRow] = {}
        for image_id, answer in zip(asked, answers, strict=True):
            try:
                rows[image_id] = _image_row(image_id, label, attributes, answer)
            except OpsinError as error:
                left_out[image_id] = error
        async with self._database.write() as transaction:
            connection = transaction.connection
            collection = await lock_collection(connection, principal, key)
            for image_id in await members_already(connection, collection.id, label, list(rows)):
                left_out[image_id] = _is_member()
            kept = await kept_images(connection, list(rows))
            for image_id in rows.keys() - kept:  # deleted meanwhile
                left_out[image_id] = NotFound("Image not found")
            added = [row for image_id, row in rows.items() if image_id not in left_out]
            note(transaction, principal, "collection.add_members", collection, count=len(added))
            enrolled = await _add(transaction, collection, added)
        told = [LeftOut(image_id, left_out[image_id]) for image_id in ids if image_id in left_out]
        return Enrolled(enrolled.collection, enrolled.added, told)

    async def _rows(
        self,
        principal: Principal,
        key: str,
        members: Sequence[NewMember],
        fingerprints: Sequence[str],
    ) -> list[MemberRow]:
        async with self._database.read() as connection:
            collection = await find_own_collection(connection, principal, key)
        if collection is None:
            raise NotFound("Collection not found")
        count = len(inputs_of(collection))
        if len(fingerprints) != count:
            raise InvalidInput(
                f"{count} model fingerprints are needed, one for each input, "
                f"not {len(fingerprints)}"
            )
        models = tuple(require_text(given, "a model fingerprint", 64) for given in fingerprints)
        # On a thread: thousands of vectors take long enough for the event loop to be missed.
        return await asyncio.to_thread(
            lambda: [_row(number, member, models) for number, member in enumerate(members)]
        )


async def _add(
    transaction: Transaction, collection: Collection, rows: Sequence[MemberRow]
) -> Enrolled:
    if not rows:
        return Enrolled(collection, 0)
    await _check_models(transaction, collection, rows)
    await insert_rows(transaction.connection, collection, rows)
    collection = await touch(transaction, collection)
    emit(transaction, "collection.members_added", collection, count=len(rows))
    return Enrolled(collection, len(rows))


async def _check_models(
    transaction: Transaction, collection: Collection, rows: Sequence[MemberRow]
) -> None:
    """Raises Conflict unless the new rows, and those there, can be compared with each other."""
    fingerprints, dimensions = await known_models(transaction.connection, collection.id)
    fingerprints = fingerprints or rows[0].fingerprints
    dimensions = dimensions or rows[0].dimensions
    for row in rows:
        if row.dimensions != dimensions:
            raise Conflict(
                f"The members of this collection have {dimensions} numbers, a new one has "
                f"{row.dimensions}"
            )
        for one, there, new in zip(
            inputs_of(collection), fingerprints, row.fingerprints, strict=True
        ):
            if there != new:
                raise Conflict(
                    f"The members of this collection were embedded by other weights of "
                    f"{one.operation} (fingerprint {there[:12]}) than new ones ({new[:12]}): "
                    "their vectors cannot be compared"
                )


def _row(number: int, member: NewMember, fingerprints: tuple[str, ...]) -> MemberRow:
    try:
        source_key = member.source_key
        if source_key is not None:
            source_key = require_text(source_key, "source key", 255)
        return MemberRow(
            label=require_text(member.label, "label", 255),
            source_key=source_key,
            attributes=_checked(member.attributes),
            fingerprints=fingerprints,
            vector=join_vectors(member.vectors, len(fingerprints)),
        )
    except InvalidInput as error:
        raise InvalidInput(f"member {number}: {error.message}") from None


def _image_row(image_id: str, label: str, attributes: dict[str, Any], answer: Answer) -> MemberRow:
    if isinstance(answer, OpsinError):
        raise answer
    return MemberRow(
        label=label,
        image_id=image_id,
        attributes=attributes,
        fingerprints=tuple(one.model_fingerprint for one in answer),
        vector=join_vectors([one.vector for one in answer], len(answer)),
    )


def _checked(attributes: Any) -> dict[str, Any]:
    if not isinstance(attributes, dict):
        raise InvalidInput("attributes must be an object")
    check_json(attributes, "attributes")
    return attributes


def _is_member() -> Conflict:
    return Conflict("The image is a member with this label already")
