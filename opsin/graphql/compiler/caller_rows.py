"""The caller's rows in SQL: every FROM of a compiled read, and the WHERE that says whose it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Table

from opsin.core.events import CURSOR_DIGITS
from opsin.core.scope import NAMES, WAYS
from opsin.core.soft_deletion import DeletedRows, deletion_column, places_of
from opsin.storage.json_sql import First, JsonSql
from opsin.storage.tables import events

COMPANY = 1
"""The number of the parameter that every statement has first: whose rows may be read."""
DATASETS = 2
"""That of a caller who sees single datasets only: the list of their ids."""


@dataclass(slots=True)
class CallerRows:
    """Writes FROM and WHERE; the company, and the datasets of who sees no more, are bound first."""

    sql: JsonSql
    alias: Callable[[], str]
    """Gives a name that nothing in the statement has yet."""
    is_narrow: bool
    """Whether the caller sees single datasets only."""

    @property
    def parameters(self) -> int:
        """How many there are before those of the arguments."""
        return DATASETS if self.is_narrow else COMPANY

    def of(
        self,
        table: Table,
        alias: str,
        conditions: Sequence[str],
        *,
        by_company: bool = False,
        deleted: DeletedRows = DeletedRows.INCLUDED,
    ) -> str:
        """A table's rows that meet the conditions; nothing in a compiled read has another FROM.

        With `by_company` the rows are looked up by whose they are, else by the conditions; lists
        and roots say which of the rows that were softly `deleted` are among them.
        """
        by_dataset = by_company and self.has_datasets(table)
        mine = f"{alias}.company_id={self.sql.placeholder(COMPANY)}"
        every = [mine if by_company and not by_dataset else self.sql.unindexed(mine)]
        every += [*conditions, *self._of_state(table, alias, deleted)]
        if by_dataset:
            every.append(self._among_datasets(table, alias))
        elif self.is_narrow:
            every.append(self._in_datasets(table, alias))
        return f"FROM {table.name} {alias} WHERE {' AND '.join(every)}"

    def in_place(self, table: Table, alias: str) -> list[str]:
        """As `opsin.core.soft_deletion.in_place` says it: that the row is not about to go."""
        conditions = []
        for column, place in places_of(table).items():
            other = self.alias()
            found = self.of(
                place, other, [f"{other}.id={alias}.{column}"], deleted=DeletedRows.EXCLUDED
            )
            there = f"EXISTS (SELECT 1 {found})"
            is_nullable = table.c[column].nullable
            conditions.append(f"({alias}.{column} IS NULL OR {there})" if is_nullable else there)
        return conditions

    def has_datasets(self, table: Table) -> bool:
        """Whether a narrow caller's rows can be looked up by a dataset that they name."""
        way = WAYS.get(table.name)
        return self.is_narrow and way is not None and way.through is None

    def first_of_each_dataset(
        self,
        table: Table,
        alias: str,
        conditions: Sequence[str],
        *,
        key: str = "id",
        limit: str = "1",
        descending: bool = False,
        after: str | None = None,
        deleted: DeletedRows = DeletedRows.INCLUDED,
    ) -> str:
        """The keys of the first rows of all datasets together, in their order.

        Each dataset has them in an index; in an index of the company they lie among all others.
        """
        one = self.alias()
        mine = self.sql.unindexed(f"{alias}.company_id={self.sql.placeholder(COMPANY)}")
        every = [mine, *conditions, *self._of_state(table, alias, deleted)]
        return self.sql.first_of_each(
            self.sql.elements(self.sql.placeholder(DATASETS), one, "uuid"),
            f"{table.name} {alias} WHERE {' AND '.join(every)}",
            First(
                f"{alias}.{WAYS[table.name].column}",
                f"{one}.value",
                f"{alias}.{key}",
                limit,
                descending,
                after,
            ),
        )

    def log_end(self) -> str:
        """Where the caller's part of the event log ends, as a cursor in JSON."""
        alias = self.alias()
        if self.is_narrow:
            last = self.first_of_each_dataset(events, alias, [], key="sequence", descending=True)
            end = self.sql.padded(f"coalesce(({last}),0)", CURSOR_DIGITS)
            return f"'\"'||{end}||'\"'"
        end = self.sql.padded("coalesce(max(sequence),0)", CURSOR_DIGITS)
        return f"(SELECT '\"'||{end}||'\"' {self.of(events, alias, [], by_company=True)})"

    def _of_state(self, table: Table, alias: str, deleted: DeletedRows) -> list[str]:
        deleted_at = deletion_column(table)
        if deleted_at is None or deleted is DeletedRows.INCLUDED:
            return []
        null = "NOT NULL" if deleted is DeletedRows.ONLY else "NULL"
        return [f"{alias}.{deleted_at} IS {null}"]

    def _among_datasets(self, table: Table, alias: str) -> str:
        column = f"{alias}.{WAYS[table.name].column}"
        return self.sql.among(column, self.sql.placeholder(DATASETS), "uuid")

    def _in_datasets(self, table: Table, alias: str) -> str:
        """Of a caller who sees single datasets only: that a row lies in one of them.

        As `opsin.core.scope.within` says it, which tells of each table how.
        """
        # Whatever is read, PostgreSQL must see what type the parameter has.
        is_given = self.sql.has_list(self.sql.placeholder(DATASETS), "uuid")
        if table.name in NAMES:
            return is_given
        way = WAYS.get(table.name)
        if way is None:
            return f"NOT ({is_given})"
        if way.through is None:
            return self.sql.unindexed(self._among_datasets(table, alias))
        other = self.alias()
        found = self.of(way.through, other, [f"{other}.id={alias}.{way.column}"])
        return f"EXISTS (SELECT 1 {found})"
