"""Analyses and annotations by offset, as pipelines read them back; JSON written by the database."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import func, select

from opsin.core.access import Principal
from opsin.core.images import require_image
from opsin.core.records import Analysis, columns_of, to_record
from opsin.storage.database import Database
from opsin.storage.ids import canonical_id
from opsin.storage.json_sql import JsonSql
from opsin.storage.tables import analyses

_ALL = 2**62
_AT_ONCE = 50_000
"""Rows that the database puts into one text; it has a limit for that, and so has our memory."""
_BY_ID = " ORDER BY id"


@dataclass(frozen=True, slots=True)
class AnnotationPage:
    """Annotations as a JSON list, and how many the analysis has in all."""

    json: bytes
    total: int


@dataclass(frozen=True, slots=True)
class _Wanted:
    analysis_id: str
    skip: int
    limit: int | None
    with_analysis: bool


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

    async def annotation_page(
        self,
        principal: Principal,
        analysis_id: str,
        *,
        skip: int = 0,
        limit: int | None = None,
        with_analysis: bool = True,
    ) -> AnnotationPage | None:
        """Annotations of the caller's analysis; None where there is no such analysis.

        Those with an `ordering` come first, by it; all others in the order of their insertion.
        """
        identity = canonical_id(analysis_id)
        if identity is None:
            return None
        wanted = _Wanted(identity, skip, limit, with_analysis)
        rows: list[bytes] = []
        if limit is None:
            counts = await self._counts(principal, identity)
        else:
            # At the same time as if none had an ordering, as is usual; else it is read again.
            counts, rows = await asyncio.gather(
                self._counts(principal, identity), self._rows(wanted, _BY_ID)
            )
        if counts is None:
            return None
        total, ordered = counts
        if limit is None and total <= _AT_ONCE:
            wanted = replace(wanted, limit=total)
        if ordered or limit is None:
            rows = await self._in_order(wanted, ordered)
        return AnnotationPage(b"[%s]" % b",".join(rows), total)

    async def _counts(self, principal: Principal, analysis_id: str) -> tuple[int, int] | None:
        """How many there are, and how many of them have an `ordering`."""
        sql = self._database.reader.sql
        count = "SELECT count(*) FROM annotations WHERE analysis_id=a.id"
        total, ordered = sql.plain(f"({count})"), sql.plain(f"({count} AND ordering IS NOT NULL)")
        mine = f"a.id={sql.placeholder(1)} AND a.company_id={sql.placeholder(2)}"
        parameters: list[Any] = [analysis_id, principal.company_id]
        if (readable := principal.rights.readable) is not None:
            mine += f" AND {sql.among('a.dataset_id', sql.placeholder(3), 'uuid')}"
            parameters.append(list(readable))
        found = await self._database.reader.fetch_rows(
            f"SELECT {sql.answer(total)},{sql.answer(ordered)} FROM analyses a WHERE {mine}",
            parameters,
        )
        return (int(found[0][0] or 0), int(found[0][1] or 0)) if found else None

    async def _in_order(self, wanted: _Wanted, ordered: int) -> list[bytes]:
        """Each part has an index in its order."""
        rows: list[bytes] = []
        first = max(0, ordered - wanted.skip)
        if wanted.limit is not None:
            first = min(wanted.limit, first)
        if first:
            part = " AND ordering IS NOT NULL ORDER BY ordering,id"
            rows += await self._rows(replace(wanted, limit=first), part)
        rest = None if wanted.limit is None else wanted.limit - first
        if rest != 0:
            part = f"{' AND ordering IS NULL' if ordered else ''}{_BY_ID}"
            after = max(0, wanted.skip - ordered)
            rows += await self._rows(replace(wanted, skip=after, limit=rest), part)
        return rows

    async def _rows(self, wanted: _Wanted, part: str) -> list[bytes]:
        """Rows as JSON, or all of them as one text with commas between them."""
        sql = self._database.reader.sql
        page = f"SELECT * FROM annotations WHERE analysis_id={sql.placeholder(1)}{part}"
        named = f',"analysis_id":"{wanted.analysis_id}"' if wanted.with_analysis else ""
        parameters: list[Any] = [wanted.analysis_id, f'"{named},"annotation_type":']
        if wanted.limit is not None or wanted.skip:
            # Inside, so that nothing is written of what is skipped.
            page += f" LIMIT {sql.placeholder(3)} OFFSET {sql.placeholder(4)}"
            parameters += [_ALL if wanted.limit is None else wanted.limit, wanted.skip]
        item = _annotation(sql, sql.plain(sql.placeholder(2)))
        if wanted.limit is not None and wanted.limit <= _AT_ONCE:
            statement = f"SELECT {sql.answer(sql.joined(item))} FROM ({page}) a"
            text = await self._database.reader.fetch_text(statement, parameters)
            return [text] if text else []
        statement = f"SELECT {sql.answer(item)} FROM ({page}) a"
        rows = await self._database.reader.fetch_rows(statement, parameters)
        return [row[0] or b"null" for row in rows]


def _annotation(sql: JsonSql, head: str) -> str:
    """One annotation as JSON; `head` is all between its id and its type, the same for many.

    Each `||` copies what is before it, so there are few of them.
    """
    moment = f"replace({sql.moment('a.created_at')},'+00:00','Z')"
    return (
        f'\'{{"id":"\'||a.id||{head}||{sql.text_or_null("a.annotation_type")}'
        f"||',\"class_name\":'||{sql.text_or_null('a.class_name')}"
        f"||',\"storage_path\":'||{sql.text_or_null('a.storage_path')}"
        f"||',\"confidence\":'||coalesce({sql.number('a.confidence')},'null')"
        f"||',\"data\":'||{sql.json('a.data')}"
        f"||',\"ordering\":'||coalesce({sql.plain('a.ordering')},'null')"
        f"||',\"created_at\":\"'||{moment}||'\"}}'"
    )
