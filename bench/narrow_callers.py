"""Lists, events and the audit as somebody reads them who sees one small dataset of a large company.

Medians in milliseconds, beside the same reads by somebody who sees the whole company; with
`--plans`, how the database carries out each statement.
"""

import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Table, event, insert, text

from bench.databases import each_database
from opsin.assembly import Parts, assemble
from opsin.core.access import Principal
from opsin.core.audit_log import NEWEST_FIRST, AuditFilter
from opsin.core.pages import PageRequest
from opsin.core.roles import Role, rights_of
from opsin.graphql.context import Context
from opsin.graphql.limits import Limits
from opsin.graphql.schema import build_schema
from opsin.graphql.subscriptions import wanted_events
from opsin.graphql.wire import encode_json
from opsin.settings import Settings
from opsin.storage.audit import audit_entries
from opsin.storage.bulk import as_sent, insert_rows
from opsin.storage.database import Database
from opsin.storage.event_log import read_events
from opsin.storage.ids import new_ids
from opsin.storage.tables import analyses, datasets, events, images

IMAGES, ANALYSES, EVENTS, ENTRIES = 100_000, 300_000, 300_000, 200_000
LARGE = 20
"""Datasets that nearly all of it lies in."""
SMALL = ("spread", "oldest")
"""A thousandth of it each: one among the others all the time, one before all others."""
SHARE = 1000
AT_ONCE = 10_000
REPEATS = 7
ENOUGH_SECONDS = 3.0
NOW = datetime.now(UTC)
LIMITS = Limits(depth=40, fields=500, aliases=50, tokens=5000)

RARE = "rare"
"""Somebody who does a thousandth of all that is in the audit."""
PAGE = """{ %s(first: 50, orderBy: CREATED_%s%s) {
  nodes { id createdAt } pageInfo { hasNextPage endCursor } } }"""
FAILED = "{ analyses(first: 50, filter: {status: [FAILED]}) { nodes { id } } }"

Read = Callable[[Principal], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Company:
    """Whose rows there are, and the ids of datasets, and of who does little, by name."""

    caller: Principal
    ids: dict[str, str]

    def narrow(self, *names: str) -> Principal:
        """Somebody who sees these datasets only."""
        roles = [(self.ids[name], Role.ADMIN.value) for name in names]
        return replace(self.caller, rights=rights_of(frozenset(), roles))


async def fill(database: Database, caller: Principal) -> Company:
    """The rows, in the order in which they would have come."""
    numbers = random.Random(1)
    names = [*SMALL, *(f"large {n}" for n in range(LARGE))]
    found = dict(zip(names, new_ids(len(names)), strict=True))
    async with database.write() as transaction:
        of_company = {"company_id": caller.company_id, "created_at": NOW, "updated_at": NOW}
        rows = [of_company | {"id": identity, "name": name} for name, identity in found.items()]
        await transaction.connection.execute(insert(datasets), rows)
    large = [found[name] for name in names if name not in SMALL]

    def places(count: int) -> Iterator[str]:
        for number in range(count):
            if number < count // SHARE:
                yield found["oldest"]
            elif number % SHARE == 0:
                yield found["spread"]
            else:
                yield numbers.choice(large)

    image_ids = new_ids(IMAGES)
    image_places = list(places(IMAGES))
    await _insert(
        database, images,
        ({"id": i, "dataset_id": d, "sha256": f"{n:064x}"}
         for n, (i, d) in enumerate(zip(image_ids, image_places, strict=True))),
        {"filename": "a.jpg", "content_type": "image/jpeg", "size_bytes": 1, "width": 1,
         "height": 1, "frames": 1, "orientation": 1, "orientation_applied": True, "notes": [],
         "metadata": {}, "storage_deleted": False, "created_at": NOW, "taken_at": NOW,
         "company_id": caller.company_id},
    )  # fmt: skip
    each = ANALYSES // IMAGES
    of = [n // each for n in range(ANALYSES)]
    analysis_ids = new_ids(ANALYSES)
    await _insert(
        database, analyses,
        ({"id": i, "dataset_id": image_places[n], "image_id": image_ids[n]}
         for i, n in zip(analysis_ids, of, strict=True)),
        {"external": True, "model_name": "yolo", "model_version": "8", "status": "COMPLETED",
         "priority": 0, "attempts": 0, "available_at": NOW, "created_at": NOW, "updated_at": NOW,
         "reuse": True, "suspicion": 0, "company_id": caller.company_id},
    )  # fmt: skip
    await _insert(
        database, events,
        ({"dataset_id": image_places[of[n]], "image_id": image_ids[of[n]],
          "analysis_id": analysis_ids[n]} for n in range(EVENTS)),
        {"kind": "analysis.completed", "data": {"status": "COMPLETED"}, "created_at": NOW,
         "company_id": caller.company_id},
    )  # fmt: skip
    people = new_ids(LARGE)
    await _insert(
        database, audit_entries,
        ({"id": i, "dataset_id": d, "subject_id": image_ids[n % IMAGES],
          "actor_id": people[0] if n % SHARE == 0 else numbers.choice(people[1:]),
          "actor_name": RARE if n % SHARE == 0 else "often"}
         for n, (i, d) in enumerate(zip(new_ids(ENTRIES), places(ENTRIES), strict=True))),
        {"action": "image.create", "actor_kind": "account", "subject_kind": "image",
         "details": {}, "created_at": NOW, "company_id": caller.company_id},
    )  # fmt: skip
    if not database.is_sqlite:  # where nobody ever asks for statistics
        async with database.write() as transaction:
            await transaction.connection.execute(text("ANALYZE"))
    return Company(caller, found | {RARE: people[0]})


async def _insert(
    database: Database, table: Table, rows: Iterator[dict[str, Any]], same: dict[str, Any]
) -> None:
    """Rows of what differs and of what is the same in all."""
    known: dict[str, Any] | None = None
    while some := [row for _, row in zip(range(AT_ONCE), rows, strict=False)]:
        async with database.write() as transaction:
            connection = transaction.connection
            if known is None:
                known = {n: as_sent(connection, table.c[n], value) for n, value in same.items()}
            names = [*some[0], *known]
            values = [(*row.values(), *known.values()) for row in some]
            await insert_rows(connection, table, names, values)


@dataclass(frozen=True, slots=True)
class Case:
    """One read, and who asks for it."""

    name: str
    read: Read
    caller: Principal
    compares: bool = True
    """Whether somebody who sees the whole company reads as much."""


async def cases(parts: Parts, company: Company) -> list[Case]:
    """What somebody reads who sees one small dataset, and what the audit is asked."""
    use_cases = parts.use_cases
    schema = build_schema(use_cases.host, LIMITS)

    def ask(document: str) -> Read:
        async def read(caller: Principal) -> Any:
            context = Context(use_cases, caller, "http://here", 1000)
            answer = await schema.execute(document, {}, context)
            if answer.errors:
                raise AssertionError(answer.errors)
            return json.loads(encode_json(answer.data))

        return read

    def missed(dataset_id: str | None) -> Read:
        return lambda caller: _missed(parts, caller, dataset_id)

    def audit(wanted: AuditFilter) -> Read:
        page = PageRequest(50, None, NEWEST_FIRST)
        return lambda caller: use_cases.audit_log.page(caller, wanted, page)

    found: list[Case] = []
    for name in SMALL:
        caller, dataset_id = company.narrow(name), company.ids[name]
        for noun in ("images", "analyses"):
            for order in ("ASC", "DESC"):
                first = PAGE % (noun, order, "")
                cursor = (await ask(first)(caller))[noun]["pageInfo"]["endCursor"]
                second = PAGE % (noun, order, f', after: "{cursor}"')
                found.append(Case(f"{noun} {order}, first page, {name}", ask(first), caller))
                found.append(Case(f"{noun} {order}, second page, {name}", ask(second), caller))
            total = ask(f"{{ {noun} {{ totalCount }} }}")
            found.append(Case(f"{noun} counted, {name}", total, caller))
        found.append(Case(f"analyses that failed, {name}", ask(FAILED), caller))
        found.append(Case(f"eventCursor, {name}", ask("{ eventCursor }"), caller))
        found.append(Case(f"all events missed, {name}", missed(None), caller, False))
        found.append(Case(f"its own events missed, {name}", missed(dataset_id), caller, False))
        asked = AuditFilter(dataset_id=dataset_id)
        found.append(Case(f"audit of a dataset, {name}", audit(asked), caller))
    both = company.narrow(*SMALL)
    found.append(Case("images DESC, first page, both", ask(PAGE % ("images", "DESC", "")), both))
    found.append(Case("all events missed, both", missed(None), both, False))
    for how, actor in (("id", company.ids[RARE]), ("name", RARE)):
        asked = AuditFilter(actor=actor)
        found.append(Case(f"audit of who does little, by {how}", audit(asked), company.caller))
    return found


async def _missed(parts: Parts, caller: Principal, dataset_id: str | None) -> int:
    """All events from the beginning that somebody would be sent; how many."""
    context, count, position = Context(parts.use_cases, caller, "http://here", 1000), 0, 0
    wanted = wanted_events(context, dataset_id)
    while True:
        async with parts.use_cases.database.read() as connection:
            some = await read_events(
                connection, wanted, after=position, limit=500, datasets=caller.rights.readable
            )
        count += len(context.seen(some))
        if len(some) < 500:
            return count
        position = some[-1].sequence


async def measure(url: str, folder: Path, plans: bool) -> list[dict[str, Any]]:
    """The median of each read, and how many rows the small datasets have of it."""
    settings = Settings(data_dir=folder, database_url=url, worker=False, webhooks=False)
    async with (parts := assemble(settings)).running():
        database = parts.use_cases.database
        company = await fill(database, await parts.use_cases.access.local())
        results = []
        for case in await cases(parts, company):
            with seen_statements(database) as statements:
                await case.read(case.caller)
            if plans:
                for statement, values in statements[-1:]:
                    print(f"--- {case.name}\n{await plan(database, statement, values)}", flush=True)
            narrow = await _median_ms(case.read, case.caller)
            whole = await _median_ms(case.read, company.caller) if case.compares else None
            results.append(
                {
                    "read": case.name,
                    "narrow_ms": narrow,
                    "whole_ms": whole,
                }
            )
            print(results[-1], flush=True)
        return results


@contextmanager
def seen_statements(database: Database) -> Iterator[list[tuple[str, Sequence[Any]]]]:
    """The statements that are made meanwhile, with their values."""
    seen: list[tuple[str, Sequence[Any]]] = []
    engine = database._reader.sync_engine

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        seen.append((statement, values))

    def noting(fetch: Any) -> Any:
        async def noted(statement: str, values: Sequence[Any]) -> Any:
            seen.append((statement, values))
            return await fetch(statement, values)

        return noted

    reader: Any = database.reader
    event.listen(engine, "before_cursor_execute", note)
    reader.fetch_text, reader.fetch_rows = noting(reader.fetch_text), noting(reader.fetch_rows)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)
        del reader.fetch_text, reader.fetch_rows


async def plan(database: Database, statement: str, values: Sequence[Any]) -> str:
    """How the database carries it out."""
    if statement.startswith("BEGIN"):
        return ""
    if database.is_sqlite:
        rows = await database.reader.fetch_rows(f"EXPLAIN QUERY PLAN {statement}", values)
    else:
        rows = await database.reader.fetch_rows(f"EXPLAIN (ANALYZE) {statement}", values)
    return "\n".join(str(row[-1]) for row in rows)


async def _median_ms(read: Read, caller: Principal) -> float:
    """Of a few, or of three that take long."""
    times: list[float] = []
    while len(times) < REPEATS and (len(times) < 3 or sum(times) < ENOUGH_SECONDS):
        started = time.perf_counter()
        await read(caller)
        times.append(time.perf_counter() - started)
    return round(statistics.median(times) * 1000, 2)


def main() -> list[dict[str, Any]]:
    results, plans = [], "--plans" in sys.argv
    for name, url, folder in each_database():
        found = asyncio.run(measure(url, folder, plans))
        results += [{"database": name, **one} for one in found]
    return results


if __name__ == "__main__":
    main()
