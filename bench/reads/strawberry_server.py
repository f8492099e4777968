"""`python -m bench.reads.strawberry_server PORT URL`: Strawberry, SQLAlchemy and DataLoaders.

As Strawberry's guide to DataLoaders teaches: a loader for each list, made anew for each request.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import InstrumentedAttribute
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.scalars import JSON
from strawberry.types import Info

from bench.reads import mapped
from bench.reads.raw_server import serve


@strawberry.type
class Annotation:
    id: strawberry.ID
    annotation_type: str
    class_name: str | None
    confidence: float | None
    data: JSON


@strawberry.type
class Analysis:
    id: strawberry.ID
    model_name: str
    status: str
    created_at: datetime

    @strawberry.field
    async def annotations(self, info: Info) -> list[Annotation]:
        return await info.context["annotations"].load(self.id)


@strawberry.type
class Image:
    id: strawberry.ID
    filename: str
    width: int
    height: int

    @strawberry.field
    async def analyses(self, info: Info) -> list[Analysis]:
        return await info.context["analyses"].load(self.id)


@strawberry.type
class Dataset:
    id: strawberry.ID
    name: str

    @strawberry.field
    async def images(self, info: Info) -> list[Image]:
        return await info.context["images"].load(self.id)


# The resolvers give mapped objects, whose attributes Strawberry reads by name: nothing is copied.
@strawberry.type
class Query:
    @strawberry.field
    async def analyses(self, info: Info, first: int) -> list[Analysis]:
        statement = select(mapped.Analysis).order_by(mapped.Analysis.id).limit(first)
        async with info.context["sessions"]() as session:
            return (await session.scalars(statement)).all()

    @strawberry.field
    async def analysis(self, info: Info, id: strawberry.ID) -> Analysis | None:
        async with info.context["sessions"]() as session:
            return await session.get(mapped.Analysis, UUID(id))

    @strawberry.field
    async def dataset(self, info: Info, id: strawberry.ID) -> Dataset | None:
        async with info.context["sessions"]() as session:
            return await session.get(mapped.Dataset, UUID(id))


class Served(GraphQL):
    """The ASGI application, with the loaders of each request."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        super().__init__(strawberry.Schema(Query), graphql_ide=None)
        self._sessions = sessions

    async def get_context(self, request: Any, response: Any) -> dict[str, Any]:
        return {
            "sessions": self._sessions,
            "images": self._loader(mapped.Image, mapped.Image.dataset_id),
            "analyses": self._loader(mapped.Analysis, mapped.Analysis.image_id),
            "annotations": self._loader(mapped.Annotation, mapped.Annotation.analysis_id),
        }

    def _loader(self, child: Any, parent: InstrumentedAttribute[UUID]) -> DataLoader[UUID, Any]:
        async def load(keys: Sequence[UUID]) -> list[list[Any]]:
            found: dict[UUID, list[Any]] = defaultdict(list)
            async with self._sessions() as session:
                statement = select(child).where(parent.in_(keys)).order_by(child.id)
                for row in await session.scalars(statement):
                    found[getattr(row, parent.key)].append(row)
            return [found[key] for key in keys]

        return DataLoader(load_fn=load)


if __name__ == "__main__":
    serve(Served(mapped.sessions(sys.argv[2])), int(sys.argv[1]))
