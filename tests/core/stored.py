"""What a house has stored: its rows counted, its blobs listed, its log read."""

from dataclasses import dataclass

from sqlalchemy import Table, func, select, update

from opsin.assembly import Parts
from opsin.settings import Settings
from opsin.storage.blobs import BlobStore, open_blob_store
from opsin.storage.database import Database
from opsin.storage.tables import analyses, annotations, events, images


@dataclass(frozen=True, slots=True)
class Stored:
    """Everything that taking in an image or running an analysis may add to."""

    images: int
    analyses: int
    annotations: int
    events: int


async def stored(parts: Parts) -> Stored:
    tables = (images, analyses, annotations, events)
    return Stored(*[await count(parts.use_cases.database, table) for table in tables])


async def count(database: Database, table: Table) -> int:
    async with database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


def blob_store(settings: Settings) -> BlobStore:
    """The same files as the house of these settings has."""
    return open_blob_store(settings.resolved_blob_url)


async def blobs(settings: Settings) -> set[str]:
    return {blob.key async for blob in blob_store(settings).list()}


async def tell_of(database: Database, analysis_id: str) -> list[str]:
    """The kinds of an analysis's events in their order, without `analysis.`."""
    statement = (
        select(events.c.kind).where(events.c.analysis_id == analysis_id).order_by(events.c.sequence)
    )
    async with database.read() as connection:
        kinds = (await connection.execute(statement)).scalars()
        return [kind.removeprefix("analysis.") for kind in kinds]


async def change_analyses(database: Database, **values: object) -> None:
    """Write columns of every analysis, as no use case would."""
    async with database.write() as transaction:
        await transaction.connection.execute(update(analyses).values(**values))
