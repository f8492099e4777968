"""What a server, a worker and the command line are made of."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from opsin.core.applications.backfill import Backfill
from opsin.core.blob_sweep import BlobSweep
from opsin.core.loop_lag import LoopLag
from opsin.core.models.store import ModelStore
from opsin.core.queue.worker import Worker
from opsin.core.readiness import Readiness
from opsin.core.use_cases import UseCases
from opsin.core.watched_blobs import WatchedBlobs
from opsin.core.webhooks.sender import Sender
from opsin.storage.schema import upgrade


@dataclass(frozen=True, slots=True)
class Parts:
    """The use cases and the parts that only the operator's commands touch."""

    use_cases: UseCases
    models: ModelStore
    worker: Worker
    backfill: Backfill
    sender: Sender
    sweep: BlobSweep
    readiness: Readiness
    blobs: WatchedBlobs
    database_url: str
    closers: tuple[Callable[[], Awaitable[None]], ...]
    lag: LoopLag = field(default_factory=LoopLag)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Parts"]:
        """Migrate the database, and close every part in the end."""
        try:
            await upgrade(self.database_url)
            yield self
        finally:
            for close in self.closers:
                await close()
