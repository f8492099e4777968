"""Whose rows a caller sees: the condition that every read has which a caller can cause."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Table, and_, false, or_, select

from opsin.core.access import Principal
from opsin.core.roles import Permission
from opsin.storage.applications import application_runs, applications, image_runs
from opsin.storage.curation import (
    dataset_metadata,
    image_classes,
    image_classifications,
    image_comments,
    image_deletions,
    uploads,
)
from opsin.storage.first_rows import MOST_GROUPS, Groups
from opsin.storage.tables import (
    analyses,
    annotations,
    artifacts,
    batches,
    dataset_roles,
    datasets,
    embeddings,
    events,
    images,
    subjects,
)
from opsin.storage.webhooks import webhook_deliveries, webhooks


@dataclass(frozen=True, slots=True)
class Way:
    """How a row leads to its dataset: by a column, which may name a row of another table."""

    column: str
    through: Table | None = None
    """The table whose row the column names, and whose own way goes on from there."""


WAYS: Mapping[str, Way] = MappingProxyType(
    {
        datasets.name: Way("id"),
        **{
            table.name: Way("dataset_id")
            for table in (
                subjects,
                batches,
                images,
                analyses,
                embeddings,
                application_runs,
                dataset_metadata,
                dataset_roles,
                image_classes,
                image_deletions,
                events,
                webhooks,
            )
        },
        **{
            table.name: Way("image_id", images)
            for table in (image_classifications, image_comments, image_runs)
        },
        **{table.name: Way("analysis_id", analyses) for table in (annotations, artifacts, uploads)},
        webhook_deliveries.name: Way("webhook_id", webhooks),
    }
)
"""By the table's name.  Rows of other tables are the company's: who may read all of it sees them.

A row without a dataset, as a webhook for all of them, is the company's, too.
"""

NAMES = frozenset({applications.name})
"""Tables that tell what can be done, not what was: everybody in the company sees their rows."""


def within(principal: Principal, table: FromClause) -> ColumnElement[bool]:
    """The rows of a table, or of an alias of one, that the caller may read.

    For whoever reads the whole company it is `company_id` alone.
    """
    mine, readable = of_company(principal, table), principal.rights.readable
    if readable is None or name_of(table) in NAMES:
        return mine
    return and_(mine, _in_datasets(principal, table, readable))


def of_company(principal: Principal, table: FromClause) -> ColumnElement[bool]:
    """The rows of the company that the caller acts for; more than they may read, perhaps."""
    mine: ColumnElement[bool] = table.c.company_id == principal.company_id
    return mine


def by_dataset(principal: Principal, table: Table) -> Groups | None:
    """The datasets that the rows of a narrow caller can be looked up by, beside `of_company`.

    None for whoever reads the whole company, and where rows do not name a dataset themselves.
    """
    readable, way = principal.rights.readable, WAYS.get(table.name)
    if not readable or way is None or way.through is not None or len(readable) > MOST_GROUPS:
        return None
    return Groups(table.c[way.column], readable)


def within_any(principals: Iterable[Principal], table: FromClause) -> ColumnElement[bool]:
    """The rows that one of several callers may read: reads for many look at once for all.

    Who sees which of them is to be asked of `sees`.
    """
    whole: set[str] = set()
    narrow: dict[tuple[str, tuple[str, ...] | None], Principal] = {}
    for one in principals:
        if one.rights.readable is None:
            whole.add(one.company_id)
        else:
            narrow[one.company_id, one.rights.readable] = one
    companies: ColumnElement[bool] = table.c.company_id.in_(whole)
    if not narrow:
        return companies
    return or_(companies, *(within(one, table) for one in narrow.values()))


def sees(principal: Principal, company_id: str, dataset_id: str | None) -> bool:
    """Whether the caller may read what lies in this dataset; None: in none, but the company's."""
    return company_id == principal.company_id and principal.may(Permission.READ, dataset_id)


def _in_datasets(
    principal: Principal, table: FromClause, dataset_ids: tuple[str, ...]
) -> ColumnElement[bool]:
    """The rows that lie in one of these datasets; none of a table that has no way to them."""
    way = WAYS.get(name_of(table))
    if way is None or not dataset_ids:
        return false()
    column: Any = table.c[way.column]
    if way.through is None:
        found: ColumnElement[bool] = column.in_(dataset_ids)
        return found
    inside = way.through.alias()
    # Not `IN (SELECT ...)`: SQLite would read all of them before it looks at a single row.
    return select(inside.c.id).where(inside.c.id == column, within(principal, inside)).exists()


def name_of(table: FromClause) -> str:
    """The name of a table, also of one that has an alias."""
    element: Any = getattr(table, "element", table)
    name: str = element.name
    return name
