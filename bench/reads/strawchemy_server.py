"""`python -m bench.reads.strawchemy_server PORT URL`: Strawchemy, as its guide has it."""

import sys
from collections.abc import AsyncIterator
from typing import Any

import strawberry
from strawberry.asgi import GraphQL
from strawberry.extensions import SchemaExtension
from strawberry.scalars import JSON
from strawchemy import Strawchemy, StrawchemyAsyncRepository, StrawchemyConfig

from bench.reads import mapped
from bench.reads.raw_server import serve

strawchemy = Strawchemy(
    StrawchemyConfig(
        "postgresql",
        session_getter=lambda info: info.context["session"],
        repository_type=StrawchemyAsyncRepository,
    )
)


@strawchemy.type(mapped.Annotation, include="all")
class Annotation:
    data: JSON


@strawchemy.type(mapped.Analysis, include="all")
class Analysis: ...


@strawchemy.type(mapped.Image, include="all")
class Image: ...


@strawchemy.type(mapped.Dataset, include="all")
class Dataset: ...


@strawberry.type
class Query:
    analyses: list[Analysis] = strawchemy.field(pagination=True)
    analysis: Analysis = strawchemy.field()
    dataset: Dataset = strawchemy.field()


class SessionOfOperation(SchemaExtension):
    """A session for each operation, whose connection goes back in the end."""

    async def on_operation(self) -> AsyncIterator[None]:
        async with SESSIONS() as session:
            self.execution_context.context["session"] = session
            yield


class Served(GraphQL):
    """The ASGI application, with a context that the extension may write to."""

    async def get_context(self, request: Any, response: Any) -> dict[str, Any]:
        return {}


if __name__ == "__main__":
    SESSIONS = mapped.sessions(sys.argv[2])
    schema = strawberry.Schema(Query, extensions=[SessionOfOperation])
    serve(Served(schema, graphql_ide=None), int(sys.argv[1]))
