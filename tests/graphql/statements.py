"""Which SQL statements a request makes."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from opsin.core.retention import Retention
from opsin.storage.reader import PostgresReader, SqliteReader


@contextmanager
def statements_of(table: str = "") -> Iterator[list[str]]:
    """The SELECTs from now on that read `table`; the server must have nothing else to do.

    But for retention, which looks for what is over by itself, and is not noted.  Those of compiled
    reads too, which go past SQLAlchemy.
    """
    found: list[str] = []

    def note(statement: str) -> None:
        if statement.lstrip().startswith("SELECT") and f"FROM {table}" in statement:
            found.append(statement)

    def seen(*arguments: object) -> None:
        if not _is_of_retention():
            note(str(arguments[2]))

    event.listen(Engine, "before_cursor_execute", seen)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for reader in (SqliteReader, PostgresReader):
                for method in ("fetch_text", "fetch_rows"):
                    patch.setattr(reader, method, _noting(getattr(reader, method), note))
            yield found
    finally:
        event.remove(Engine, "before_cursor_execute", seen)


def _noting(method: Any, note: Any) -> Any:
    async def fetch(self: Any, statement: str, parameters: Sequence[Any]) -> Any:
        note(statement)
        return await method(self, statement, parameters)

    return fetch


def _is_of_retention() -> bool:
    task = asyncio.current_task()
    asked_by = getattr(task.get_coro(), "__qualname__", "") if task is not None else ""
    return asked_by == Retention.watch.__qualname__
