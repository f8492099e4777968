"""The images that are stored already: which of them a source's images are."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from opsin.core.access import Principal
from opsin.core.images import clean_filename
from opsin.core.imports.found import SourceImage
from opsin.core.scope import within
from opsin.core.soft_deletion import not_deleted
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id
from opsin.storage.tables import images

_NAMES = ("id", "dataset_id", "filename", "sha256", "size_bytes", "content_type", "width", "height",
          "frames", "orientation", "orientation_applied", "notes")  # fmt: skip
Facts = Mapping[str, Any]
"""A stored image's columns, those of `_NAMES`."""


@dataclass(frozen=True, slots=True)
class Alike:
    """The company's images of some digests, the oldest first, and those of some ids."""

    by_digest: Mapping[str, Sequence[Facts]]
    by_id: Mapping[str, Facts]


class KnownImages:
    """A company's images, and which of a dataset were given to images of the source.

    Two images of a source are never one stored image, also where their bytes are equal.
    """

    def __init__(self, database: Database, principal: Principal, dataset_id: str | None) -> None:
        self._database = database
        self._principal = principal
        self._dataset_id = dataset_id
        self._given: set[str] = set()
        self._by_filename: dict[str, Facts | None] | None = None

    async def look_up(self, digests: Collection[str], ids: Collection[str]) -> Alike:
        async with self._database.read() as connection:
            alike = await self._stored(connection, images.c.sha256.in_(digests))
            own = await self._stored(connection, images.c.id.in_(ids))
        by_digest: dict[str, list[Facts]] = {}
        for facts in alike:
            by_digest.setdefault(facts["sha256"], []).append(facts)
        return Alike(by_digest, {facts["id"]: facts for facts in own})

    def give(self, image_id: str) -> None:
        """Let no other image of the source have it."""
        self._given.add(image_id)

    def free(self, source: SourceImage, digest: str | None, alike: Alike) -> Facts | None:
        """One of the dataset with these bytes, or with the id where no bytes are known.

        That of its own id or name rather than another.
        """
        identity, name = canonical_id(source.image_id), clean_filename(source.filename or "")
        found = list(alike.by_digest.get(digest or "", ()))
        if digest is None and (own := alike.by_id.get(identity or "")) is not None:
            found = [own]
        free = [
            facts
            for facts in found
            if facts["dataset_id"] == self._dataset_id and facts["id"] not in self._given
        ]
        if not free:
            return None
        best = min(free, key=lambda facts: (facts["id"] != identity, facts["filename"] != name))
        self.give(best["id"])
        return best

    async def named(self, source: SourceImage) -> Facts | None:
        """The one image of the dataset that is called so, and has the size that the file tells."""
        if source.filename is None or self._dataset_id is None:
            return None
        if self._by_filename is None:
            async with self._database.read() as connection:
                found = await self._stored(connection, images.c.dataset_id == self._dataset_id)
            by_name: dict[str, Facts | None] = {}
            for one in found:
                by_name[one["filename"]] = None if one["filename"] in by_name else one
            self._by_filename = by_name
        facts = self._by_filename.get(clean_filename(source.filename))
        if facts is None or facts["id"] in self._given:
            return None
        if source.size not in (None, (facts["width"], facts["height"])):
            return None
        self.give(facts["id"])
        return facts

    async def has_others(self, connection: AsyncConnection, digests: Collection[str]) -> bool:
        """Whether the dataset has images of these digests that were never seen here."""
        if not digests:
            return False
        statement = select(images.c.id).where(
            images.c.dataset_id == self._dataset_id,
            images.c.sha256.in_(digests),
            *not_deleted(images),
        )
        return not set((await connection.execute(statement)).scalars()) <= self._given

    async def _stored(self, connection: AsyncConnection, condition: Any) -> Sequence[Facts]:
        columns = [images.c[name] for name in _NAMES]
        statement = select(*columns).where(
            within(self._principal, images), condition, *not_deleted(images)
        )
        rows = await connection.execute(statement.order_by(images.c.id))
        return [dict(row) for row in rows.mappings()]
