"""Old processes beside newer tables: what runs goes on, what starts says why it does not."""

import asyncio
from pathlib import Path

from sqlalchemy import Connection, text

from opsin.cli.exit_codes import ExitCode
from opsin.settings import Settings
from opsin.storage.database import connect_without_pool, database_url
from opsin.storage.schema import change_tables, newest_revision, upgrade
from tests.cli.command import opsin
from tests.conftest import LiveServer, serve
from tests.graphql.asking import ANALYZE, dataset, image

# What a migration may do, by docs/upgrading.md: it adds.
_ADDED = (
    "CREATE TABLE added_later (id VARCHAR(36) PRIMARY KEY)",
    "ALTER TABLE images ADD COLUMN added_later VARCHAR(16) DEFAULT 'x'",
    "ALTER TABLE analyses ADD COLUMN added_later INTEGER",
    "CREATE INDEX ix_images_added_later ON images (added_later)",
    "UPDATE alembic_version SET version_num = '9999'",
)


def _add(connection: Connection) -> None:
    for statement in _ADDED:
        connection.execute(text(statement))


async def test_tables_get_newer_while_a_server_runs(
    any_database_url: str, settings: Settings, tmp_path: Path
) -> None:
    running = settings.model_copy(update={"database_url": any_database_url, "worker": True})
    async with serve(running) as live:
        place = await dataset(live)
        done: list[str] = []
        at_work = asyncio.create_task(_work(live, place, done))
        try:
            await _more(done, at_work)
            # One that finds nothing to do holds up nobody.
            assert await upgrade(any_database_url) == (newest_revision(), newest_revision())
            engine = connect_without_pool(database_url(any_database_url))
            async with engine.connect() as connection:
                await change_tables(connection, _add)
            await engine.dispose()
            await _more(done, at_work)
        finally:
            done.append("enough")
        await at_work
        counted = await live.data("{ images { totalCount } }")
        assert counted["images"]["totalCount"] == len(done) - 1

    # Whatever starts on them now, for it may not know what they mean.
    told = {"database_url": any_database_url, "data_dir": str(settings.data_dir)}
    ended = await asyncio.to_thread(opsin, "serve", "--port", "0", cwd=tmp_path, settings=told)
    assert ended.code == ExitCode.USAGE, ended.err
    assert "of a newer Opsin (revision 9999" in ended.err


async def _work(live: LiveServer, place: str, done: list[str]) -> None:
    """Pictures in, analyses asked for, all read, until there are enough; none of it may fail."""
    while "enough" not in done:
        name = f"{len(done)}.png"
        identity = await image(live, place, filename=name)
        task = {"taskId": "hash", "operation": "perceptual_hash"}
        await live.data(ANALYZE, input={"imageId": identity, "tasks": [task]})
        found = await live.data("query($id: ID!) { image(id: $id) { filename } }", id=identity)
        assert found["image"]["filename"] == name
        done.append(name)


async def _more(done: list[str], at_work: "asyncio.Task[None]") -> None:
    """Until three more pictures were worked on."""
    enough = len(done) + 3
    async with asyncio.timeout(60):
        while len(done) < enough and not at_work.done():  # noqa: ASYNC110 - a list tells nobody
            await asyncio.sleep(0.02)
