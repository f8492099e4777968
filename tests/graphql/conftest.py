"""Servers that the tests of one module share, and callers of two companies."""

import itertools
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy.engine import make_url

from opsin.assembly import Parts, assemble
from opsin.core.access import Principal
from opsin.settings import Settings
from tests.conftest import LiveServer, administer, serve

_numbers = itertools.count()


@pytest.fixture(scope="module")
def module_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings for a server of a whole module, without a worker."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("OPSIN_")]:
            patch.delenv(name)
        yield Settings(
            data_dir=tmp_path_factory.mktemp("house"),
            worker=False,
            webhooks=False,
            poll_seconds=0.05,
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(module_settings: Settings) -> AsyncIterator[LiveServer]:
    """A server on SQLite, for all tests of a module."""
    async with serve(module_settings) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def any_door(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    """A server on each kind of database, for all tests of a module."""
    settings: Settings = request.getfixturevalue("module_settings")
    kind: str = request.param
    changes: dict[str, object] = {"data_dir": tmp_path_factory.mktemp(kind)}
    if kind == "sqlite":
        async with serve(settings.model_copy(update=changes)) as server:
            yield server
        return
    async with postgres_database(request.getfixturevalue("postgres")) as url:
        changes["database_url"] = url
        async with serve(settings.model_copy(update=changes)) as server:
            yield server


@asynccontextmanager
async def postgres_database(server_url: str) -> AsyncIterator[str]:
    """An empty, migrated database on the PostgreSQL of the tests."""
    name = f"door_{os.getpid()}_{next(_numbers)}"
    await administer(server_url, f"CREATE DATABASE {name} TEMPLATE template_opsin")
    yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    await administer(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@dataclass(frozen=True, slots=True)
class KeyServer:
    """A server that wants API keys, the parts behind it, and keys of two companies."""

    live: LiveServer
    parts: Parts
    ours: str
    theirs: str
    revoked: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keys(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[KeyServer]:
    """A server in keys mode, for all tests of a module."""
    folder: Path = tmp_path_factory.mktemp("keys")
    async with key_server(module_settings.model_copy(update={"data_dir": folder})) as server:
        yield server


@asynccontextmanager
async def key_server(settings: Settings) -> AsyncIterator[KeyServer]:
    settings = settings.model_copy(update={"auth": "keys"})
    async with assemble(settings).running() as parts, serve(settings) as live:
        ours, revoked = await new_key(parts, "ours"), await new_key(parts, "ours")
        await revoke(parts, revoked)
        yield KeyServer(live, parts, ours, await new_key(parts, "theirs"), revoked)


async def new_key(parts: Parts, company: str) -> str:
    """A new API key of a company, which is made when it is not there."""
    access = parts.use_cases.access
    principal = Principal((await access.ensure_company(company)).id, "the operator")
    return (await access.create_key(principal, f"a key of {company}"))[1]


async def revoke(parts: Parts, key: str) -> None:
    principal = await parts.use_cases.access.authenticate(key)
    assert principal.key_id is not None
    await parts.use_cases.access.revoke_key(principal, principal.key_id)
