"""Real PgBouncers before a real PostgreSQL: what can be done through each, and what is told of it.

PgBouncer is a program of its own (the Debian package has its name), which not every machine has.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import text

from opsin.core.checkup import Finding, Verdict
from opsin.core.checkup.poolers import look_for_pooler
from opsin.core.errors import StorageError
from opsin.storage.database import Database
from opsin.storage.poolers import Pooling, pooling
from opsin.storage.schema import upgrade
from tests.chaos.postgres import PostgresServer, free_port, postgres_server

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/sbin")
needs_pgbouncer = pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not installed here")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as one:
        yield one


@contextlib.contextmanager
def bouncer(server: PostgresServer, **settings: str) -> Iterator[str]:
    """The URL of a PgBouncer before the server."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # it runs as nobody where we are root
        with _started(server, folder, settings) as url:
            yield url


@contextlib.contextmanager
def _started(server: PostgresServer, folder: Path, settings: Mapping[str, str]) -> Iterator[str]:
    assert PGBOUNCER is not None
    port = free_port()
    users, configuration = folder / "users", folder / "pgbouncer.ini"
    users.write_text('"postgres" ""\n')
    lines = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "any",
        "auth_file": str(users),
        **settings,
    }
    configuration.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port} user=postgres\n[pgbouncer]\n"
        + "".join(f"{name} = {value}\n" for name, value in lines.items())
    )
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [PGBOUNCER, *user, str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait(30)


async def findings(url: str) -> list[Finding]:
    return [one async for one in look_for_pooler(url)]


def advised(finding: Finding) -> str:
    """The setting of PgBouncer that the doctor advises."""
    assert finding.advice is not None
    return finding.advice.partition(" = ")[2]


async def test_without_a_pooler_nothing_is_said(server: PostgresServer) -> None:
    url = f"postgresql://postgres@127.0.0.1:{server.port}/postgres"
    assert await pooling(url) == Pooling()
    assert await findings(url) == []


async def test_nobody_there(server: PostgresServer) -> None:
    with pytest.raises(StorageError, match="cannot be reached"):
        await pooling(f"postgresql://postgres@127.0.0.1:{free_port()}/postgres")


@needs_pgbouncer
async def test_what_the_doctor_says_is_enough_for_sessions(
    server: PostgresServer,
) -> None:
    with bouncer(server) as url:
        (refused,) = await findings(url)
        assert refused.verdict is Verdict.FAILED and "tcp_keepalives_idle" in refused.text
    with bouncer(server, ignore_startup_parameters=advised(refused)) as url:
        (dropped,) = await findings(url)
        assert dropped.verdict is Verdict.WARNING and dropped.advice is not None
        await upgrade(url)
        database = Database(url, pool_size=2)
        try:
            assert await at_once(database) == 8
        finally:
            await database.close()
        setting = dropped.advice.partition(",")[0].replace("ROLE ...", "ROLE postgres")
        server.query(setting)
    try:
        with bouncer(server, ignore_startup_parameters=advised(refused)) as url:
            assert await findings(url) == []
    finally:
        server.query("ALTER ROLE postgres RESET idle_in_transaction_session_timeout")


@needs_pgbouncer
async def test_pooling_by_transaction_is_told(server: PostgresServer) -> None:
    with bouncer(server) as url:
        names = advised((await findings(url))[0])
    settings = {"ignore_startup_parameters": names, "pool_mode": "transaction"}
    with bouncer(server, **settings) as url:
        shared, _ = await findings(url)
        assert shared.verdict is Verdict.FAILED
        assert shared.advice is not None and "pool_mode = session" in shared.advice


async def at_once(database: Database) -> int:
    """How many of eight who ask at the same time are answered."""

    async def ask() -> int:
        async with database.read() as connection:
            return int((await connection.execute(text("SELECT 1"))).scalar_one())

    return sum(await asyncio.gather(*(ask() for _ in range(8))))
