"""Servers with the Haut API, for all tests of a module."""

from collections.abc import AsyncIterator

import pytest_asyncio

from opsin.settings import Settings
from tests.compat.haut.flow import Measured, measured
from tests.compat.haut.world import Haut, haut_server, haut_settings


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def haut(module_settings: Settings) -> AsyncIterator[Haut]:
    """On SQLite."""
    async with haut_server(haut_settings(module_settings)) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def any_haut(any_module_settings: Settings) -> AsyncIterator[Haut]:
    """On each kind of database."""
    async with haut_server(haut_settings(any_module_settings)) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(any_module_settings: Settings) -> AsyncIterator[Measured]:
    """A server with a worker on each kind of database, and a portrait that was measured."""
    async with measured(any_module_settings) as found:
        yield found
