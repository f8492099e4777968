"""The sample house on each kind of database."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias

import pytest
from sqlalchemy import event

from opsin.assembly import Parts
from opsin.core.access import Principal
from opsin.core.records import Dataset
from opsin.core.testing import Script
from opsin.settings import Settings
from tests.core.applications.house import new_dataset, sample_house

Statements: TypeAlias = Callable[[], list[str]]
"""Gives the statements since it was called last."""


@pytest.fixture
def script() -> Script:
    """How the operation `fake` behaves."""
    return Script()


@pytest.fixture
async def parts(settings: Settings, any_database_url: str, script: Script) -> AsyncIterator[Parts]:
    async with sample_house(settings, script=script, database_url=any_database_url) as house:
        yield house


@pytest.fixture
async def dataset(parts: Parts, principal: Principal) -> Dataset:
    return await new_dataset(parts, principal)


@pytest.fixture
def statements(parts: Parts) -> Iterator[Statements]:
    """What is sent to the database, but for the columns of compiled reads."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    def taken() -> list[str]:
        texts = seen.copy()
        seen.clear()
        return texts

    database = parts.use_cases.database
    engines = {id(one): one.sync_engine for one in (database._reader, database._writer)}
    for engine in engines.values():
        event.listen(engine, "before_cursor_execute", note)
    yield taken
    for engine in engines.values():
        event.remove(engine, "before_cursor_execute", note)
