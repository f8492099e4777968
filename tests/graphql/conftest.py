"""Servers that the tests of one module share, and callers of two companies."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from opsin.assembly import Parts, assemble
from opsin.core.access import Principal
from opsin.graphql.http import GraphQLApp
from opsin.settings import Settings
from tests.conftest import LiveServer, serve


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(module_settings: Settings) -> AsyncIterator[LiveServer]:
    """A server on SQLite, for all tests of a module."""
    async with serve(module_settings) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def any_door(any_module_settings: Settings) -> AsyncIterator[LiveServer]:
    """A server on each kind of database, for all tests of a module."""
    async with serve(any_module_settings) as server:
        yield server


@pytest.fixture
def ordinary(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The methods of requests that went the ordinary way."""
    seen: list[str] = []
    answer = GraphQLApp._answer

    async def noted(self: GraphQLApp, request: Any) -> Any:
        seen.append(request.method)
        return await answer(self, request)

    monkeypatch.setattr(GraphQLApp, "_answer", noted)
    yield seen


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
    return (await parts.use_cases.api_keys.create(principal, f"a key of {company}"))[1]


async def revoke(parts: Parts, key: str) -> None:
    principal = await parts.use_cases.access.authenticate(key)
    assert principal.key_id is not None
    await parts.use_cases.api_keys.revoke(principal, principal.key_id)
