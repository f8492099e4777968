"""Servers with the Haut API, for all tests of a module."""

import contextlib
import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from opsin.settings import DOCUMENTED_NAMES, Settings
from tests.compat.haut.flow import Measured, measured
from tests.compat.haut.world import Haut, haut_server, haut_settings
from tests.graphql.conftest import postgres_database


@pytest.fixture(scope="module")
def module_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("OPSIN_") or name.upper() in DOCUMENTED_NAMES:
                patch.delenv(name)
        yield Settings(data_dir=tmp_path_factory.mktemp("house"), worker=False, poll_seconds=0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def haut(module_settings: Settings) -> AsyncIterator[Haut]:
    """On SQLite."""
    async with haut_server(haut_settings(module_settings)) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def any_haut(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Haut]:
    """On each kind of database."""
    settings: Settings = request.getfixturevalue("module_settings")
    changed: dict[str, object] = {"data_dir": tmp_path_factory.mktemp(request.param)}
    if request.param == "sqlite":
        async with haut_server(haut_settings(settings, **changed)) as server:
            yield server
        return
    async with postgres_database(request.getfixturevalue("postgres")) as url:
        changed["database_url"] = url
        async with haut_server(haut_settings(settings, **changed)) as server:
            yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Measured]:
    """A server with a worker on each kind of database, and a portrait that was measured."""
    settings: Settings = request.getfixturevalue("module_settings")
    changed: dict[str, object] = {"data_dir": tmp_path_factory.mktemp(request.param)}
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "postgresql":
            database = postgres_database(request.getfixturevalue("postgres"))
            changed["database_url"] = await stack.enter_async_context(database)
        yield await stack.enter_async_context(measured(settings, **changed))
