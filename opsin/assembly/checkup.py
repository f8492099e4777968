"""Everything that an installation stands on, looked at as its settings say; nothing is changed."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

from opsin import __version__
from opsin.assembly.engine import open_models
from opsin.assembly.plugins import discover_plugins
from opsin.assembly.stores import open_blobs
from opsin.core.checkup import Finding, Verdict, bad, good, look, poor
from opsin.core.checkup.database import look_at_database
from opsin.core.checkup.machine import (
    look_at_device,
    look_at_disk,
    look_at_extras,
    look_at_port,
    look_at_versions,
)
from opsin.core.checkup.poolers import look_for_pooler
from opsin.core.checkup.stores import look_at_blobs, look_at_operations
from opsin.core.checkup.work import look_at_work
from opsin.core.errors import ConfigurationError
from opsin.settings import Settings, misspelt
from opsin.storage.database import Database
from opsin.storage.schema import current_revision, newest_revision

Found = Callable[[list[Finding]], None]

_ANYBODY = 0o077
_DATABASE_ADVICE = "check OPSIN_DATABASE_URL: is the server up, the password right, the way open?"


async def check_up(settings: Settings, found: Found) -> list[Finding]:
    """All findings, in order; `found` hears of those of each part as soon as they are there."""
    everything: list[Finding] = []

    async def add(part: str, finder: Callable[[], AsyncIterator[Finding]], advice: str) -> None:
        some = await look(part, finder, advice)
        everything.extend(some)
        found(some)

    await add("versions", look_at_versions, "install Opsin again")
    await add("settings", partial(_settings, settings), "see docs/settings.md")
    await add("data", partial(_data_dir, settings), "set OPSIN_DATA_DIR")
    folders = {"the data directory": settings.data_dir}
    if settings.resolved_blob_url.startswith("file://"):
        folders["blobs"] = Path(settings.resolved_blob_url.removeprefix("file://"))
    await add("disk", partial(look_at_disk, folders), "is the disk mounted?")
    await add("extras", partial(look_at_extras, needed_extras(settings)), "pip install opsin[all]")
    before = len(everything)
    await add("database", partial(_database, settings), _DATABASE_ADVICE)
    if all(one.verdict is not Verdict.FAILED for one in everything[before:]):
        await add("work", partial(_work, settings), _DATABASE_ADVICE)
    await add("blobs", partial(_blobs, settings), _blob_advice(settings))
    await add("operations", partial(_operations, settings), "opsin plugins, opsin models list")
    await add("device", partial(look_at_device, settings.device), "set OPSIN_DEVICE")
    await add("port", partial(look_at_port, settings.host, settings.port), "set OPSIN_PORT")
    return everything


def needed_extras(settings: Settings) -> dict[str, str]:
    """The extras that settings ask for, with the setting that does."""
    needed = {}
    if settings.resolved_database_url.startswith("postgres"):
        needed["postgres"] = "OPSIN_DATABASE_URL"
    if settings.resolved_blob_url.startswith("s3:"):
        needed["s3"] = "OPSIN_BLOB_URL"
    if settings.engine != "local":
        needed["ray"] = "OPSIN_ENGINE"
    if settings.otlp_endpoint is not None:
        needed["telemetry"] = "OPSIN_OTLP_ENDPOINT"
    return needed


async def _settings(settings: Settings) -> AsyncIterator[Finding]:
    doubts = list(_doubts(settings))
    for finding in doubts:
        yield finding
    if not doubts:
        yield good("settings", "they fit together")


def _doubts(settings: Settings) -> Iterator[Finding]:
    for name, meant in misspelt():
        yield poor("settings", f"{name} is no setting", f"is {meant} meant?")
    try:
        settings.check_exposure()
    except ConfigurationError as error:
        told, _, advice = error.message.partition(": ")
        yield bad("settings", told, advice)
    is_shared = settings.resolved_database_url.startswith("postgres")
    blob_url = settings.resolved_blob_url
    if blob_url.startswith("memory:"):
        yield poor(
            "settings", "files are kept in memory, and are gone at the end", "OPSIN_BLOB_URL"
        )
    elif is_shared and blob_url.startswith("file:"):
        yield poor(
            "settings",
            "the database may be shared, the files are on this machine alone",
            "for several machines: OPSIN_BLOB_URL=s3://..., or one file system on all of them",
        )
    elif blob_url.startswith("s3:") and not is_shared:
        yield poor(
            "settings",
            "the files may be shared, the database is on this machine alone",
            "for several machines: OPSIN_DATABASE_URL=postgresql://...",
        )
    if is_shared and settings.secret_key is None:
        yield poor(
            "settings",
            "each machine makes a secret of its own, by which links of others are not valid",
            "for several machines: set one OPSIN_SECRET_KEY on all of them",
        )
    if settings.auth == "keys" and "*" in settings.cors_origins:
        yield poor(
            "settings", "pages of any site may call, with a key", "name them in OPSIN_CORS_ORIGINS"
        )
    if settings.fetch_allow or settings.webhook_allow:
        yield poor(
            "settings",
            "some private addresses may be fetched or posted to",
            "keep OPSIN_FETCH_ALLOW and OPSIN_WEBHOOK_ALLOW as short as they can be",
        )
    if settings.lease_seconds < 4 * settings.poll_seconds:
        yield poor(
            "settings",
            "OPSIN_LEASE_SECONDS is hardly longer than OPSIN_POLL_SECONDS: work is run twice",
            "OPSIN_LEASE_SECONDS=60",
        )


async def _data_dir(settings: Settings) -> AsyncIterator[Finding]:
    folder = settings.data_dir
    if not folder.exists():
        yield good("data", f"{folder} is made when the server starts")
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield bad("data", f"{folder} cannot be written to", "make it that of the server's user")
    else:
        yield good("data", f"{folder} can be written to")
    secret = folder / "secret.key"
    if settings.secret_key is None and secret.exists() and secret.stat().st_mode & _ANYBODY:
        yield poor("data", f"others on this machine may read {secret}", f"chmod 600 {secret}")


def connections_of(settings: Settings) -> int:
    """The most that this machine's processes open to PostgreSQL."""
    processes = 1 if settings.workers is None else settings.workers + settings.worker
    # A pool and as many more under load, those of compiled reads, and the one that listens.
    return processes * (3 * settings.database_pool + 1)


async def _blobs(settings: Settings) -> AsyncIterator[Finding]:
    url = settings.resolved_blob_url
    what = {"file": "files on this machine", "s3": "the S3 store"}.get(
        url.partition(":")[0], "the store"
    )
    if url.startswith("file:") and not _is_there(url.removeprefix("file://")):
        yield good("blobs", "their folder is made when the server starts")
        return
    store = open_blobs(settings)
    try:
        async for finding in look_at_blobs(store, what):
            yield finding
    finally:
        await store.close()


def _is_there(path: str) -> bool:
    return Path(path).exists()


def _blob_advice(settings: Settings) -> str:
    if settings.resolved_blob_url.startswith("s3:"):
        return "check OPSIN_S3_ENDPOINT, the bucket, the keys and this machine's clock"
    return "is the disk full, or the folder not the server's?"


async def _operations(settings: Settings) -> AsyncIterator[Finding]:
    host = discover_plugins(settings.model_copy(update={"strict_plugins": False}))
    async for finding in look_at_operations(host, open_models(settings, host)):
        yield finding


async def _database(settings: Settings) -> AsyncIterator[Finding]:
    if not _may_be_there(settings):
        yield good("database", "SQLite; it is made when the server starts")
        return
    url = settings.resolved_database_url
    database = Database(url, pool_size=1, name=f"opsin {__version__}")
    try:
        if not database.is_sqlite:
            async for finding in look_for_pooler(url):
                yield finding
        async for finding in look_at_database(database, connections_of(settings)):
            yield finding
    finally:
        await database.close()


async def _work(settings: Settings) -> AsyncIterator[Finding]:
    if not _may_be_there(settings):
        return
    url = settings.resolved_database_url
    if await current_revision(url) != newest_revision():
        return  # said already
    database = Database(url, pool_size=1, name=f"opsin {__version__}")
    try:
        async for finding in look_at_work(database, asks_for_keys=settings.auth == "keys"):
            yield finding
    finally:
        await database.close()


def _may_be_there(settings: Settings) -> bool:
    """False for a file that is not there, which connecting would make."""
    url = settings.resolved_database_url
    if url.startswith("postgres"):
        return True
    path = url.partition(":///")[2].partition("?")[0]
    return Path(path).is_file()
