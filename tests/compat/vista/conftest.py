"""Servers with the VISTA API: one for API keys on each database, and callers of two groups."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from opsin.assembly import Parts, assemble
from opsin.core.access import Principal
from opsin.core.analyses import NewExternalAnalysis
from opsin.core.images import NewImage
from opsin.settings import Settings
from tests.compat.vista.pipelines import OLD_SECRET, SECRET, Pipeline
from tests.conftest import LiveServer, serve
from tests.pictures import solid_png

PROXY_SECRET = "between-proxy-and-server"


@dataclass(frozen=True, slots=True)
class Vista:
    """A server that wants credentials, the parts behind it, and keys of two companies."""

    live: LiveServer
    parts: Parts
    ours: Principal
    theirs: Principal
    key: str
    their_key: str

    @property
    def client(self) -> httpx.AsyncClient:
        return self.live.client

    @property
    def user(self) -> dict[str, str]:
        return {"X-API-Key": self.key}

    def pipeline(self, dialect: str = "documented", prefix: str = "/api") -> Pipeline:
        return Pipeline(self.client, dialect, prefix, self.key)

    async def image(self, principal: Principal | None = None) -> str:
        """The id of an image in a new project."""
        owner = principal or self.ours
        dataset = await self.parts.use_cases.datasets.create(owner, "some pictures")
        made = await self.parts.use_cases.images.add(
            owner, NewImage(dataset.id, "picture.png"), io.BytesIO(solid_png(40, 30))
        )
        return made.id

    async def analysis(self, principal: Principal | None = None) -> str:
        """The id of a queued analysis of a new image."""
        owner = principal or self.ours
        new = NewExternalAnalysis(await self.image(owner), "yolo_v8", "1")
        return (await self.parts.use_cases.analyses.tell(owner, new)).id


def vista_settings(settings: Settings, **changes: object) -> Settings:
    given: dict[str, object] = {
        "auth": "keys",
        "vista_hmac_secret": SECRET,
        "vista_previous_hmac_secret": OLD_SECRET,
        "vista_proxy_shared_secret": PROXY_SECRET,
    }
    return settings.model_copy(update=given | changes)


@asynccontextmanager
async def vista_server(settings: Settings) -> AsyncIterator[Vista]:
    async with assemble(settings).running() as parts, serve(settings) as live:
        access = parts.use_cases.access
        ours = Principal((await access.ensure_company("ours")).id, "ours")
        theirs = Principal((await access.ensure_company("theirs")).id, "theirs")
        key = (await parts.use_cases.api_keys.create(ours, "a key"))[1]
        their_key = (await parts.use_cases.api_keys.create(theirs, "a key"))[1]
        yield Vista(live, parts, ours, theirs, key, their_key)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def vista(module_settings: Settings) -> AsyncIterator[Vista]:
    """On SQLite, for all tests of a module."""
    async with vista_server(vista_settings(module_settings)) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def any_vista(any_module_settings: Settings) -> AsyncIterator[Vista]:
    """On each kind of database, for all tests of a module."""
    async with vista_server(vista_settings(any_module_settings)) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dev(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    """In dev mode, where everyone is the local user."""
    changes = {"data_dir": tmp_path_factory.mktemp("dev"), "vista_hmac_secret": SECRET}
    async with serve(module_settings.model_copy(update=changes)) as server:
        yield server
