"""Whether this process can do its work now: each thing that it needs, looked at within a time."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import text

from opsin.core.errors import OpsinError
from opsin.storage.blobs import BlobStore
from opsin.storage.database import Database
from opsin.storage.schema import is_behind

log = logging.getLogger(__name__)

OK = "ok"
_LOOK_SECONDS = 2.0
"""For each look; a probe that has to wait longer has its answer."""
_FRESH_SECONDS = 1.0
"""However often somebody asks, the database and the blobs are looked at this seldom."""
_NO_BLOB = "ready"
"""A key that nothing has: that there is no such blob is the store's answer."""
_SILENT = "does not answer"
_REVISION = text("SELECT version_num FROM alembic_version")


@dataclass(frozen=True, slots=True)
class Ready:
    """What was found, by the name of the thing: `ok`, or what is wrong in a few words."""

    checks: Mapping[str, str]

    @property
    def is_ready(self) -> bool:
        return all(found == OK for found in self.checks.values())


class Readiness:
    """Looks at the database, its revision, the blobs and the models to warm."""

    def __init__(self, database: Database, blobs: BlobStore, is_warm: Callable[[], bool]) -> None:
        self._database = database
        self._blobs = blobs
        self._is_warm = is_warm
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[Ready] | None = None

    async def look(self) -> Ready:
        """At most a moment old, and there within a bounded time; one look serves all who ask."""
        if self._looking is None or (
            self._looking.done() and time.monotonic() - self._looked_at >= _FRESH_SECONDS
        ):
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(self._looking)

    async def _look(self) -> Ready:
        (database, revision), blobs = await asyncio.gather(
            self._database_answers(), self._blobs_answer()
        )
        self._looked_at = time.monotonic()
        models = OK if self._is_warm() else "loading"
        return Ready(
            {"database": database, "migrations": revision, "blobs": blobs, "models": models}
        )

    async def _database_answers(self) -> tuple[str, str]:
        async def revision() -> str:
            async with self._database.read() as connection:
                found = await connection.execute(_REVISION)
                return str(found.scalar_one())

        found = await _within_time(revision)
        if found is None:
            return _SILENT, "unknown"
        return OK, "behind" if is_behind(found) else OK

    async def _blobs_answer(self) -> str:
        async def ask() -> str:
            await self._blobs.stat(_NO_BLOB)
            return OK

        return await _within_time(ask) or _SILENT


async def _within_time(ask: Callable[[], Awaitable[str]]) -> str | None:
    """What `ask` gives; None when it fails or takes too long."""
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            return await ask()
    except (OpsinError, TimeoutError):
        return None
    except Exception:
        log.exception("what this process needs could not be looked at")
        return None
