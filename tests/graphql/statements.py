"""Which SQL statements a request makes."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event
from sqlalchemy.engine import Engine


@contextmanager
def statements_of(table: str = "") -> Iterator[list[str]]:
    """The SELECTs from now on that read `table`; the server must have nothing else to do."""
    found: list[str] = []

    def seen(*arguments: object) -> None:
        statement = str(arguments[2])
        if statement.lstrip().startswith("SELECT") and f"FROM {table}" in statement:
            found.append(statement)

    event.listen(Engine, "before_cursor_execute", seen)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", seen)
