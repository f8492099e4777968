"""The SQL of the conditions that the rows of a list must meet."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from opsin.core.conditions import Carries, Compared, Comparison, Condition, Related

if TYPE_CHECKING:
    from opsin.graphql.compiler.statement import StatementWriter


def written(
    writer: "StatementWriter", condition: Condition, alias: str, values: Iterator[str]
) -> str:
    """The condition on the rows of `alias`; takes its parameters from `values`, in their order."""
    match condition:
        case Compared():
            return _compared(writer, condition, alias, next(values))
        case Carries(column=column):
            whole, key, regex = next(values), next(values), next(values)
            return writer.sql.carries(f"{alias}.{column}", whole, key, regex)
        case Related():
            return _related(writer, condition, alias, values)


def _compared(writer: "StatementWriter", condition: Compared, alias: str, value: str) -> str:
    column = f"{alias}.{condition.column}"
    match condition.comparison:
        case Comparison.AMONG:
            return writer.sql.among(column, value)
        case Comparison.CONTAINS:
            return writer.sql.contains(column, value)
        case Comparison.ABSENT:
            return f"({column} IS NULL)={value}"
        case comparison:
            return f"{column}{comparison.value}{value}"


def _related(
    writer: "StatementWriter", condition: Related, alias: str, values: Iterator[str]
) -> str:
    other = writer.alias()
    conditions = [f"{other}.{condition.parent}={alias}.id"]
    conditions += [written(writer, one, other, values) for one in condition.conditions]
    return f"EXISTS (SELECT 1 {writer.rows(condition.table, other, conditions)})"
