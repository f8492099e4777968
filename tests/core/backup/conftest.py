"""Databases of either kind, as many as a test wants."""

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from opsin.storage.schema import upgrade
from tests.conftest import administer

_numbers = itertools.count()

NewDatabase = Callable[..., Awaitable[str]]
"""Makes a database of a kind, with all tables or with none; gives its URL."""


@pytest.fixture
async def new_database(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[NewDatabase]:
    made: list[str] = []

    async def make(kind: str, *, migrated: bool = True) -> str:
        number = next(_numbers)
        if kind == "sqlite":
            url = f"sqlite:///{tmp_path / f'{number}.sqlite3'}"
            if migrated:
                await upgrade(url)
            return url
        name = f"backup_{os.getpid()}_{number}"
        template = "template_opsin" if migrated else "template0"
        await administer(server(), f"CREATE DATABASE {name} TEMPLATE {template}")
        made.append(name)
        return make_url(server()).set(database=name).render_as_string(hide_password=False)

    def server() -> str:
        return str(request.getfixturevalue("postgres"))

    # Before anything is awaited: the fixture of the server runs an event loop of its own.
    request.getfixturevalue("postgres")
    yield make
    for name in made:
        await administer(server(), f"DROP DATABASE {name} WITH (FORCE)")
