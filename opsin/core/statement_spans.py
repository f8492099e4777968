"""A span for each statement that the database runs for somebody, while spans are made."""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import event

from opsin.core import tracing
from opsin.storage.database import Database
from opsin.storage.json_sql import JsonSql
from opsin.storage.reader import Reader

_BEGUN = "opsin_begun"
_MOST_CHARACTERS = 2000
"""Of a statement's text, which holds no values: they are bound."""


def trace_statements(database: Database) -> None:
    """Have every statement of this database make a span inside of what it is run for."""
    system = "sqlite" if database.is_sqlite else "postgresql"

    def before(
        _connection: Any, _cursor: Any, _text: str, _given: Any, context: Any, _m: bool
    ) -> None:
        if context is not None:
            setattr(context, _BEGUN, time.monotonic())

    def after(
        _connection: Any, _cursor: Any, text: str, _given: Any, context: Any, _m: bool
    ) -> None:
        begun = getattr(context, _BEGUN, None)
        if begun is not None and tracing.place() is not None:
            _record(system, text, begun)

    for engine in database.engines:
        event.listen(engine, "before_cursor_execute", before)
        event.listen(engine, "after_cursor_execute", after)
    database.reader = _TracedReader(database.reader, system)


class _TracedReader:
    """Does what `reader` does."""

    def __init__(self, reader: Reader, system: str) -> None:
        self.sql: JsonSql = reader.sql
        self._reader = reader
        self._system = system

    async def fetch_text(self, statement: str, parameters: Sequence[Any]) -> bytes | None:
        begun = time.monotonic()
        try:
            return await self._reader.fetch_text(statement, parameters)
        finally:
            self._ended(statement, begun)

    async def fetch_rows(
        self, statement: str, parameters: Sequence[Any]
    ) -> Sequence[Sequence[bytes | None]]:
        begun = time.monotonic()
        try:
            return await self._reader.fetch_rows(statement, parameters)
        finally:
            self._ended(statement, begun)

    async def close(self) -> None:
        await self._reader.close()

    def _ended(self, statement: str, begun: float) -> None:
        if tracing.place() is not None:
            _record(self._system, statement, begun)


def _record(system: str, statement: str, begun: float) -> None:
    text = statement.lstrip()
    tracing.record(
        f"sql {text.partition(' ')[0].upper()[:16]}",
        begun,
        time.monotonic(),
        {"db.system.name": system, "db.query.text": text[:_MOST_CHARACTERS]},
        kind="client",
    )
