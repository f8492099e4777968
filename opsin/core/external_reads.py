"""Analyses and annotations by offset, as pipelines read them back; JSON written by the database."""

from collections.abc import Sequence

from sqlalchemy import func, select

from opsin.core.access import Principal
from opsin.core.images import require_image
from opsin.core.records import Analysis, columns_of, to_record
from opsin.storage.database import Database
from opsin.storage.tables import analyses, annotations

_TEXTS = ("annotation_type", "class_name", "storage_path")


class ExternalReads:
    """Pages with totals; in the order of insertion, or newest first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def analyses_of(
        self, principal: Principal, image_id: str, *, skip: int, limit: int
    ) -> tuple[Sequence[Analysis], int]:
        """The analyses of an image, newest first, and how many there are."""
        async with self._database.read() as connection:
            image = await require_image(connection, principal, image_id, deleted=True)
            mine = analyses.c.image_id == image.id
            page = (
                select(*columns_of(analyses, Analysis))
                .where(mine)
                .order_by(analyses.c.id.desc())
                .offset(skip)
                .limit(limit)
            )
            found = [to_record(Analysis, row) for row in await connection.execute(page)]
            count = select(func.count()).select_from(analyses).where(mine)
            return found, (await connection.execute(count)).scalar_one()

    async def annotation_count(self, analysis: Analysis) -> int:
        count = (
            select(func.count())
            .select_from(annotations)
            .where(annotations.c.analysis_id == analysis.id)
        )
        async with self._database.read() as connection:
            return (await connection.execute(count)).scalar_one()

    async def annotations_json(
        self,
        analysis: Analysis,
        *,
        skip: int = 0,
        limit: int | None = None,
        with_analysis: bool = True,
    ) -> bytes:
        """A JSON list of a (checked) analysis's annotations.

        Those with `ordering` come first, by it; all others in the order of their insertion.
        """
        sql = self._database.reader.sql
        members = [
            f"'\"id\":'||{sql.identity('a.id')}",
            *([f"'\"analysis_id\":'||{sql.identity('a.analysis_id')}"] if with_analysis else []),
            *(f"'\"{name}\":'||coalesce({sql.text(f'a.{name}')},'null')" for name in _TEXTS),
            f"'\"confidence\":'||coalesce({sql.number('a.confidence')},'null')",
            f"'\"data\":'||{sql.json('a.data')}",
            f"'\"ordering\":'||coalesce({sql.plain('a.ordering')},'null')",
            f"'\"created_at\":\"'||replace({sql.moment('a.created_at')},'+00:00','Z')||'\"'",
        ]
        item = "'{'||" + "||','||".join(members) + "||'}'"
        page = (
            f"FROM annotations a WHERE a.analysis_id={sql.placeholder(1)}"
            " ORDER BY a.ordering IS NULL,a.ordering,a.id"
        )
        if limit is not None:
            page += f" LIMIT {int(limit)} OFFSET {int(skip)}"
        rows = await self._database.reader.fetch_rows(
            f"SELECT {sql.answer(item)} {page}", [analysis.id]
        )
        return b"[" + b",".join(row[0] or b"null" for row in rows) + b"]"
