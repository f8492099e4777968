"""Images like another, or like a text: asked by embedding operation, answered by cosine."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select

from opsin.core.access import Principal
from opsin.core.contract import Embedding, Target
from opsin.core.engine import Engine
from opsin.core.errors import Conflict, InvalidInput
from opsin.core.images import require_image
from opsin.core.plugin_host import PluginHost
from opsin.core.scope import within
from opsin.core.similarity.embeddings import space_of, vector_bytes
from opsin.core.similarity.search import VectorSearch
from opsin.core.storable import is_storable_text
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id
from opsin.storage.tables import embeddings
from opsin.storage.vectors import Scope

if TYPE_CHECKING:
    from opsin.core.similarity.ranking import Match

_LONGEST_TEXT = 10_000


class SimilarImages:
    """Looks among a company's newest embeddings of each image."""

    def __init__(
        self, database: Database, host: PluginHost, engine: Engine, search: VectorSearch
    ) -> None:
        self._database = database
        self._host = host
        self._engine = engine
        self._search = search

    async def to_image(
        self,
        principal: Principal,
        image_id: str,
        operation: str,
        *,
        most: int,
        target: Target | None = None,
        dataset_id: str | None = None,
    ) -> "Sequence[Match]":
        """The images most like a stored one, itself left out, by an operation's embeddings.

        Raises NotFound for an image that is not the caller's, UnknownOperation or InvalidInput for
        an operation that gives no embeddings, Conflict when the image has none yet.
        """
        async with self._database.read() as connection:
            image = await require_image(connection, principal, image_id)
            part = self._target(operation, target)
            c = embeddings.c
            newest = (
                select(c.space, c.dimensions, c.vector)
                .where(
                    within(principal, embeddings),
                    c.image_id == image.id,
                    c.operation == operation,
                    c.target == part.value,
                )
                .order_by(c.analysis_id.desc())
            )
            found = (await connection.execute(newest.limit(1))).first()
        if found is None:
            raise Conflict(
                f"This image has no embedding by {operation!r} of its {part.value} yet: "
                "analyze it first"
            )
        scope = Scope(
            principal.company_id,
            found.space,
            part.value,
            found.dimensions,
            _datasets(principal, dataset_id),
        )
        return await self._search.nearest(scope, found.vector, most, without=image.id)

    async def to_text(
        self,
        principal: Principal,
        text: str,
        operation: str,
        *,
        most: int,
        target: Target | None = None,
        dataset_id: str | None = None,
    ) -> "Sequence[Match]":
        """The images most like what a text says.

        Raises UnknownOperation or InvalidInput for an operation that gives no embeddings or has no
        text embedder, and what the engine raises.
        """
        if not 1 <= len(text) <= _LONGEST_TEXT or not is_storable_text(text):
            raise InvalidInput(f"text has 1 to {_LONGEST_TEXT} characters, and no NULs")
        part = self._target(operation, target)
        (like,) = await self._engine.embed_texts(operation, [text], normalize=True)
        version = self._host.operation(operation).version
        space = space_of(operation, version, like.model_fingerprint)
        scope = Scope(
            principal.company_id,
            space,
            part.value,
            len(like.vector),
            _datasets(principal, dataset_id),
        )
        return await self._search.nearest(scope, vector_bytes(like.vector), most)

    def _target(self, name: str, target: Target | None) -> Target:
        """The part of the picture that is meant, the operation's default when none is given."""
        operation = self._host.operation(name)
        if not issubclass(operation.result, Embedding):
            raise InvalidInput(f"The operation {name!r} gives no embeddings")
        return operation.default_target if target is None else target


def _datasets(principal: Principal, dataset_id: str | None) -> tuple[str, ...] | None:
    """Where is looked: in the dataset that is named, and only where the caller reads."""
    readable = principal.rights.readable
    if dataset_id is None:
        return readable
    wanted = canonical_id(dataset_id)
    # What is no id is the id of no dataset, rather than of every one.
    if wanted is None or (readable is not None and wanted not in readable):
        return ()
    return (wanted,)
