"""Houses with the same rows on each kind of database, and both ways to ask them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from strawberry.types import ExecutionResult

from opsin.assembly import Parts, assemble
from opsin.core.plugin_host import PluginHost
from opsin.graphql.context import Context
from opsin.graphql.execution import OpsinSchema
from opsin.graphql.limits import Limits
from opsin.graphql.schema import build_schema
from opsin.settings import Settings
from tests.core.given_plugins import given
from tests.graphql.differential.documents import Document
from tests.graphql.differential.rows import OURS, TENANTS, THEIRS, Tenant, rows_of
from tests.graphql.differential.writing import insert_rows, loosen
from tests.graphql.unusual import OPERATIONS

MAX_PAGE = 100
_UNUSUAL = given(*OPERATIONS)
LIMITS = Limits(
    depth=60,
    fields=5_000,
    aliases=500,
    tokens=50_000,
    rows=10**15,
    page=MAX_PAGE,
    document_bytes=10**6,
)
COMPILED_ROOTS = (
    "dataset",
    "datasets",
    "image",
    "images",
    "subject",
    "batch",
    "run",
    "runs",
    "analysis",
    "analyses",
    "node",
    "collection",
    "collections",
)
"""What the compiler reads by itself."""
RESOLVED_FIELDS: frozenset[str] = frozenset()
"""What only resolvers read, below a compiled root, whose whole they then give."""


@dataclass(frozen=True, slots=True, repr=False)
class House:
    """One database with rows, and the schema that compiles beside the one that resolves."""

    name: str
    parts: Parts
    compiled: OpsinSchema
    ordinary: OpsinSchema

    def __repr__(self) -> str:
        return f"the house on {self.name}"

    async def ask(
        self, schema: OpsinSchema, document: Document, tenant: Tenant = OURS
    ) -> ExecutionResult:
        """The answer to a caller of this company."""
        context = Context(self.parts.use_cases, tenant.principal, "http://opsin.test", MAX_PAGE)
        return await schema.execute(
            document.query,
            variable_values=document.variables,
            context_value=context,
            operation_name=document.operation_name,
        )

    async def cursors(self) -> dict[str, list[str]]:
        """Cursors of every list, of both companies, by their order."""
        found: dict[str, list[str]] = {order: [] for order in _ORDERS}
        for tenant in TENANTS:
            for order, query in _CURSORS.items():
                answer = await self.ask(self.ordinary, Document(query, {}), tenant)
                assert answer.errors is None
                found[order] += _named(answer.data, "cursor")
        return found


@asynccontextmanager
async def house(
    settings: Settings,
    name: str,
    url: str | None = None,
    tenants: Sequence[Tenant] = TENANTS,
    *,
    is_loose: bool = False,
) -> AsyncIterator[House]:
    """A house that has the rows of these companies; a loose one takes any value in any column."""

    parts = assemble(settings.model_copy(update={"database_url": url}), [_UNUSUAL])
    host = parts.use_cases.host
    async with parts.running():
        if is_loose:
            await loosen(parts.database_url)
        for tenant in tenants:
            await insert_rows(parts.database_url, all_rows(tenant, host))
        yield House(
            name, parts, build_schema(host, LIMITS), build_schema(host, LIMITS, compiled=False)
        )


def all_rows(tenant: Tenant, host: PluginHost) -> dict[str, list[dict[str, Any]]]:
    """The rows of one of the two companies."""
    return rows_of(tenant, THEIRS if tenant is OURS else OURS, host)


def _named(value: Any, name: str) -> list[Any]:
    """Everything of this name in an answer, however deep."""
    if isinstance(value, list):
        return [one for inner in value for one in _named(inner, name)]
    if not isinstance(value, dict):
        return []
    here = [value[name]] if name in value else []
    return here + [one for inner in value.values() for one in _named(inner, name)]


_ORDERS = (
    "CREATED_ASC",
    "CREATED_DESC",
    "UPDATED_ASC",
    "UPDATED_DESC",
    "TAKEN_ASC",
    "TAKEN_DESC",
)
_CURSORS = {
    order: f"{{ {'images' if order.startswith('TAKEN') else 'analyses'}(orderBy: {order}) "
    "{ edges { cursor } } }"
    for order in _ORDERS
}
_CURSORS["CREATED_ASC"] = """{
  datasets { edges { cursor } nodes { classes { edges { cursor } }
    subjects { edges { cursor node { batches { edges { cursor } } } } }
    batches { edges { cursor } } applications { edges { cursor node {
      images { edges { cursor } } } } } } }
  images { edges { cursor } nodes { classifications { edges { cursor } }
    comments { edges { cursor } } } } analyses { edges { cursor node {
    annotations { edges { cursor } } } } }
  collections { edges { cursor node { members { edges { cursor } } } } } }"""
_CURSORS["CREATED_DESC"] = """{
  analyses(orderBy: CREATED_DESC) { edges { cursor } }
  datasets { nodes { deletions { edges { cursor } } } }
  images(orderBy: CREATED_DESC) { edges { cursor } }
  collections { nodes { classifiers { edges { cursor } } } } }"""
